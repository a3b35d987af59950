/* SPDX-License-Identifier: MIT */
/*
 * cycles.c - maps and unmaps, and clients and daemons that are killed at it
 *
 *     cycles run N        N cycles, that the granter sees each; every tenth client is killed in it
 *     cycles hold N PID   has N grants mapped when the daemon, PID, is killed
 *     cycles storm MS PID clients map and unmap when the daemon is killed, after MS milliseconds
 *     cycles once         one client does all there is, once; whatever becomes of it
 *
 * The granter is this process: what is held it knows from the flags in its grant table.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/sys/gntdev.h>

#include "dom0.h"

#define PAGE DOMAIN_PAGE
#define TEN  10U
/* A cycle takes some milliseconds: the kill comes during one, or shortly after. */
#define KILL_WITHIN_US 15000U
#define STORM_CLIENTS  3U
#define STORM_REFS     64U

static struct domain *granter;

static void make_granter(uint32_t n)
{
	uint32_t table = (n + DOMAIN_FIRST_REF) / DOMAIN_FRAME_GRANTS + 1;

	granter = domain_new(n, table);
	if (!granter)
		exit(1);
	for (uint32_t i = 0; i < n; i++) {
		memset(domain_page(granter, i), 'g', PAGE);
		domain_grant(granter, DOMAIN_FIRST_REF + i, i, 0);
	}
}

/* --- run ---------------------------------------------------------------------------------------- */

/* A worker: ten cycles, the granter looks at each while it has the page. The last is for being killed in. */
static _Noreturn void work(unsigned int first, int said, int seen)
{
	int device = device_open();
	uint64_t index;
	char c = 0, *at;

	for (unsigned int i = 0; i < TEN; i++) {
		if (i == TEN - 1 && write(said, &c, 1) != 1)
			_exit(1);
		index = device_map(device, granter->domid, DOMAIN_FIRST_REF + i, 1);
		at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)index);
		if (at == MAP_FAILED)
			die("mmap");
		memcpy(at, &(unsigned int){ first + i }, sizeof(first));
		if (i < TEN - 1 && (write(said, &c, 1) != 1 || read(seen, &c, 1) != 1))
			_exit(1);
		if (munmap(at, PAGE) || device_unmap(device, index, 1))
			die("unmap");
	}
	_exit(0);
}

/* Return: how many of ten cycles were not as they should be. */
static unsigned int ten_cycles(unsigned int first)
{
	int said[2], seen[2], status;
	unsigned int bad = 0, got;
	pid_t pid;
	char c;

	if (pipe(said) || pipe(seen))
		die("pipe");
	pid = fork();
	if (!pid) {
		close(said[0]);
		close(seen[1]);
		work(first, said[1], seen[0]);
	}
	close(said[1]);
	close(seen[0]);
	for (unsigned int i = 0; i < TEN - 1; i++) {
		if (read(said[0], &c, 1) != 1) {
			bad++;
			break;
		}
		memcpy(&got, domain_page(granter, i), sizeof(got));
		bad += got != first + i || !domain_pinned(granter, DOMAIN_FIRST_REF + i);
		if (write(seen[1], &c, 1) != 1)
			bad++;
	}
	if (read(said[0], &c, 1) != 1)
		bad++;
	usleep((unsigned int)rand() % KILL_WITHIN_US);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(said[0]);
	close(seen[1]);
	return bad;
}

static int run(unsigned int n)
{
	uint64_t start = now_ms(), took;
	unsigned int bad = 0, kept = 0;

	make_granter(TEN);
	signal(SIGPIPE, SIG_IGN);
	srand(1);
	for (unsigned int i = 0; i < n; i += TEN)
		bad += ten_cycles(i);
	took = now_ms() - start;
	for (uint32_t i = 0; i < TEN; i++)
		kept += !released(granter, DOMAIN_FIRST_REF + i, 1);
	printf("# %u cycles in %.1f s, each %.2f ms\n", n, (double)took / 1000, (double)took / n);
	report(!bad, "in each of %u cycles the granter sees its page held and written", n);
	report(!kept, "and then released, though %u clients were killed", n / TEN);
	domain_destroy(granter);
	return reported_bad() != 0;
}

/* --- hold --------------------------------------------------------------------------------------- */

static sigjmp_buf fault;

static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(fault, 1);
}

/* What a client has when the daemon is gone: memory of its own, or none; but not the granter's. */
static _Noreturn void keep_writing(struct client_map m, int ready, int go)
{
	char c = 0;

	memset(m.at, 'c', m.n * PAGE);
	if (write(ready, &c, 1) != 1 || read(go, &c, 1) != 1)
		_exit(1);
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	if (!sigsetjmp(fault, 1))
		memset(m.at, 'x', m.n * PAGE);
	if (munmap(m.at, m.n * PAGE))
		_exit(2);
	close(m.device);
	_exit(0);
}

static bool all_pages(uint32_t n, char byte)
{
	for (uint32_t i = 0; i < n; i++)
		for (size_t at = 0; at < PAGE; at++)
			if (domain_page(granter, i)[at] != byte)
				return false;
	return true;
}

static uint32_t how_many_pinned(uint32_t n)
{
	uint32_t pinned = 0;

	for (uint32_t i = 0; i < n; i++)
		pinned += domain_pinned(granter, DOMAIN_FIRST_REF + i) != 0;
	return pinned;
}

static int hold(uint32_t n, pid_t daemon)
{
	int ready[2], go[2], status;
	uint64_t start;
	pid_t pid;
	char c = 0;

	make_granter(n);
	if (pipe(ready) || pipe(go))
		die("pipe");
	pid = fork();
	if (!pid) {
		close(ready[0]);
		keep_writing(
			client_map(granter->domid, DOMAIN_FIRST_REF, n, PROT_READ | PROT_WRITE),
			ready[1], go[0]);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		die("the client");
	report(how_many_pinned(n) == n && all_pages(n, 'c'), "%u grants are held and written to",
	       n);
	start = now_ms();
	if (kill(daemon, SIGKILL))
		die("kill");
	report(released(granter, DOMAIN_FIRST_REF, n),
	       "the daemon is killed: %u grants are released", n);
	printf("# after %u ms\n", (unsigned int)(now_ms() - start));
	/* The frames come back after all of that; writing meanwhile is not wrong, but slow. */
	if (write(go[1], &c, 1) != 1)
		die("the client");
	waitpid(pid, &status, 0);
	report(!status, "the client can go on");
	/* In a PV dom0 it has the page in its own page table, until it unmaps it. */
	if (!dom0_is_pv())
		report(all_pages(n, 'c'), "what it writes does not reach the granter any more");
	domain_destroy(granter);
	return reported_bad() != 0;
}

/* --- storm -------------------------------------------------------------------------------------- */

/* Maps and unmaps until the daemon is there no more. */
static _Noreturn void storm_client(unsigned int seed)
{
	srand(seed);
	/* What fails, fails because the daemon has gone. */
	if (!freopen("/dev/null", "w", stderr))
		_exit(1);
	while (1) {
		uint32_t n = 1U << rand() % 6, ref = (uint32_t)rand() % (STORM_REFS - n + 1);
		struct client_map m;

		m = client_map(granter->domid, DOMAIN_FIRST_REF + ref, n,
			       rand() % 4 ? PROT_READ | PROT_WRITE : PROT_READ);
		if (rand() % 2)
			client_unmap(&m);
		else
			munmap(m.at, n * PAGE);
		close(m.device);
	}
}

static int storm(unsigned int ms, pid_t daemon)
{
	pid_t pid[STORM_CLIENTS];
	bool good;

	make_granter(STORM_REFS);
	for (unsigned int i = 0; i < STORM_CLIENTS; i++) {
		pid[i] = fork();
		if (!pid[i])
			storm_client(ms + i);
	}
	usleep(ms * 1000);
	if (kill(daemon, SIGKILL))
		die("kill");
	good = released(granter, DOMAIN_FIRST_REF, STORM_REFS);
	for (unsigned int i = 0; i < STORM_CLIENTS; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	if (!good)
		printf("after %u ms: %u grants are still held\n", ms, how_many_pinned(STORM_REFS));
	good &= all_pages(STORM_REFS, 'g');
	domain_destroy(granter);
	return !good;
}

/* --- once --------------------------------------------------------------------------------------- */

static _Noreturn void once_client(void)
{
	struct client_map m =
		client_map(granter->domid, DOMAIN_FIRST_REF, 2, PROT_READ | PROT_WRITE);

	m.at[0] = 'g';
	if (device_notify(m.device, m.index, UNMAP_NOTIFY_CLEAR_BYTE, 0))
		die("notify");
	client_unmap(&m);
	usleep(80000);
	close(m.device);
	usleep(80000);
	_exit(0);
}

/* Return: 0 if the client got through, 1 if the daemon died before, 2 if that left anything. */
static int once(void)
{
	bool good;
	int status;
	pid_t pid;

	make_granter(2);
	pid = fork();
	if (!pid)
		once_client();
	waitpid(pid, &status, 0);
	good = released(granter, DOMAIN_FIRST_REF, 2);
	/* But for the byte that may have been cleared. */
	domain_page(granter, 0)[0] = 'g';
	good &= all_pages(2, 'g');
	domain_destroy(granter);
	return good ? status != 0 : 2;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "run") && argc > 2)
		return run((unsigned int)atoi(argv[2]));
	if (!strcmp(what, "hold") && argc > 3)
		return hold((uint32_t)atoi(argv[2]), atoi(argv[3]));
	if (!strcmp(what, "storm") && argc > 3)
		return storm((unsigned int)atoi(argv[2]), atoi(argv[3]));
	if (!strcmp(what, "once"))
		return once();
	fprintf(stderr, "usage: cycles run N | hold N PID | storm MS PID | once\n");
	return 2;
}
