/* SPDX-License-Identifier: MIT */
/*
 * windows.c - clients that do to their windows what they should not, and what becomes of the
 * memory of the granter and of dom0
 *
 *     windows all             one after the other, while memory is scarce and is moved about; then
 *                             dom0's memory is looked through
 *     windows calm            the same, without that
 *     windows frames          how many frames dom0 has
 *     windows quarantine PID  has pages unmapped when Xen has no frame for them; PID is the daemon
 *
 * The granter is this process, its clients are children. In a PVH dom0 a window is a file, that a
 * client can cut; in a PV dom0 a device, and part of the clients have nothing to do there.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dom0.h"
#include "press.h"

#define PAGE DOMAIN_PAGE
/* A client's grants: as many as a pipe takes. */
#define EACH   8U
#define PAGES  512U
#define SECRET 0x6b65657065727321ULL

static struct domain *granter;
static uint32_t next_ref = DOMAIN_FIRST_REF;
static bool pv;

/* Between a client and the granter: each waits for the other. */
static int to_granter[2], to_client[2];

/* The client's side: what the granter is to look at has been done. */
static void meet(void)
{
	char c = 'm';

	if (write(to_granter[1], &c, 1) != 1 || read(to_client[0], &c, 1) != 1)
		die("the granter is gone");
}

/* The granter's side, in two parts, with what it looks at between. Return: false if the client has ended */
static bool await(void)
{
	char c;

	return read(to_granter[0], &c, 1) == 1;
}

static void go_on(void)
{
	if (write(to_client[1], "g", 1) != 1)
		die("go on");
}

static char *page_of(uint32_t ref)
{
	return domain_page(granter, ref - DOMAIN_FIRST_REF);
}

/* What the granter writes before: not a pattern to look for, and another in each page. */
static char first_byte(uint32_t ref, size_t at)
{
	return (char)(ref * 7 + at);
}

/* Is a page what the granter wrote, but for the byte at 0? */
static bool untouched(uint32_t ref)
{
	for (size_t at = 1; at < PAGE; at++)
		if (page_of(ref)[at] != first_byte(ref, at))
			return false;
	return true;
}

static bool all_untouched(uint32_t ref, char first)
{
	for (uint32_t i = 0; i < EACH; i++)
		if (page_of(ref + i)[0] != first || !untouched(ref + i))
			return false;
	return true;
}

static bool all_pinned(uint32_t ref)
{
	for (uint32_t i = 0; i < EACH; i++)
		if (!domain_pinned(granter, ref + i))
			return false;
	return true;
}

static uint32_t grant_some(void)
{
	uint32_t ref = next_ref;

	next_ref += EACH;
	for (uint32_t i = 0; i < EACH; i++) {
		for (size_t at = 0; at < PAGE; at++)
			page_of(ref + i)[at] = first_byte(ref + i, at);
		domain_grant(granter, ref + i, ref + i - DOMAIN_FIRST_REF, 0);
	}
	return ref;
}

/* --- clients ------------------------------------------------------------------------------------ */

/* A client's window with the descriptor kept. */
struct window {
	int device, fd;
	uint64_t index;
	char *at;
};

static struct window window_keep(uint32_t ref, int prot)
{
	struct window w = { .device = device_open() };

	w.index = device_map(w.device, granter->domid, ref, EACH);
	errno = window_ask(w.device, w.index, EACH, prot, &w.fd);
	if (errno || w.fd < 0)
		die("window");
	if (!pv) {
		w.at = mmap(NULL, EACH * PAGE, prot, MAP_SHARED, w.fd, 0);
		if (w.at == MAP_FAILED)
			die("mmap of the window");
	}
	return w;
}

static void mark(char *at, char byte)
{
	for (uint32_t i = 0; i < EACH; i++)
		at[i * PAGE] = byte;
}

static int client_truncates(uint32_t ref)
{
	struct window w = window_keep(ref, PROT_READ | PROT_WRITE);

	mark(w.at, 'c');
	if (ftruncate(w.fd, 0) || ftruncate(w.fd, EACH * PAGE))
		die("ftruncate");
	memset(w.at, 'x', EACH * PAGE);
	meet();
	return 0;
}

static int client_punches_holes(uint32_t ref)
{
	struct window w = window_keep(ref, PROT_READ | PROT_WRITE);

	mark(w.at, 'c');
	if (fallocate(w.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 3 * PAGE) ||
	    madvise(w.at + 3 * PAGE, 3 * PAGE, MADV_REMOVE))
		die("holes");
	memset(w.at, 'x', 6 * PAGE);
	meet();
	return 0;
}

/* Maps again on the same open what it has spoilt: it has to be the granter's page. */
static int client_maps_again(uint32_t ref)
{
	struct window w = window_keep(ref, PROT_READ | PROT_WRITE);
	char *at;

	mark(w.at, 'x');
	if (ftruncate(w.fd, PAGE) || munmap(w.at, EACH * PAGE) || close(w.fd) ||
	    device_unmap(w.device, w.index, EACH))
		die("unmap");
	meet();
	w.index = device_map(w.device, granter->domid, ref, EACH);
	at = mmap(NULL, EACH * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, w.device, (off_t)w.index);
	if (at == MAP_FAILED)
		die("mmap again");
	mark(at, 'c');
	meet();
	return 0;
}

static int client_keeps_descriptor(uint32_t ref)
{
	struct window w = window_keep(ref, PROT_READ | PROT_WRITE);

	if (w.at)
		munmap(w.at, EACH * PAGE);
	if (device_unmap(w.device, w.index, EACH) || close(w.device))
		die("close");
	meet();
	if (!pv) {
		w.at = mmap(NULL, EACH * PAGE, PROT_READ, MAP_SHARED, w.fd, 0);
		if (w.at == MAP_FAILED || w.at[0] != 'k')
			return 1;
		munmap(w.at, EACH * PAGE);
	}
	close(w.fd);
	meet();
	return 0;
}

static int client_forks(uint32_t ref)
{
	struct client_map m = client_map(granter->domid, ref, EACH, PROT_READ | PROT_WRITE);

	if (fork())
		_exit(0);
	meet();
	mark(m.at, 'c');
	meet();
	return 0;
}

/* Its pages were moved and swapped, if they could be. */
static int client_holds_on(uint32_t ref)
{
	struct client_map m = client_map(granter->domid, ref, EACH, PROT_READ | PROT_WRITE);
	int bad = 0;

	meet();
	for (uint32_t i = 0; i < EACH; i++)
		bad |= m.at[i * PAGE] != 'k';
	mark(m.at, 'c');
	return bad;
}

static int client_is_killed(uint32_t ref)
{
	struct client_map m = client_map(granter->domid, ref, EACH, PROT_READ | PROT_WRITE);

	mark(m.at, 'c');
	meet();
	raise(SIGKILL);
	return 1;
}

static int client_reads_only(uint32_t ref)
{
	struct window w = window_keep(ref, PROT_READ);
	char c = 'x';
	int bad = 0;

	bad |= mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, w.fd, 0) != MAP_FAILED;
	bad |= mprotect(w.at, PAGE, PROT_READ | PROT_WRITE) == 0;
	bad |= ftruncate(w.fd, 0) == 0;
	bad |= fallocate(w.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) == 0;
	bad |= madvise(w.at, PAGE, MADV_REMOVE) == 0;
	bad |= pwrite(w.fd, &c, 1, 0) >= 0;
	meet();
	return bad;
}

/* References on the window's pages that outlive it, in a pipe. */
static void splice_away(int pipefd[2], char *at)
{
	struct iovec iov = { at, EACH * PAGE };

	if (pipe(pipefd))
		die("pipe");
	if (vmsplice(pipefd[1], &iov, 1, 0) != (ssize_t)iov.iov_len)
		die("vmsplice");
}

/* Return: whether a page of the pipe is the granter's, as it is now. */
static bool drain_shows_secret(const int pipefd[2])
{
	static char page[PAGE] __attribute__((aligned(4096)));
	bool shown = false;
	size_t have = 0;
	ssize_t n;

	for (size_t left = EACH * PAGE; left; left -= (size_t)n) {
		n = read(pipefd[0], page + have, PAGE - have);
		if (n <= 0)
			die("drain");
		have = (have + (size_t)n) % PAGE;
		shown |= !have && pattern_is(page, SECRET);
	}
	return shown;
}

static int client_splices(uint32_t ref)
{
	struct client_map m = client_map(granter->domid, ref, EACH, PROT_READ | PROT_WRITE);
	int pipefd[2];

	mark(m.at, 'c');
	splice_away(pipefd, m.at);
	client_unmap(&m);
	meet();
	return drain_shows_secret(pipefd);
}

static int client_splices_and_closes(uint32_t ref)
{
	struct client_map m = client_map(granter->domid, ref, EACH, PROT_READ | PROT_WRITE);
	int pipefd[2];

	mark(m.at, 'c');
	splice_away(pipefd, m.at);
	client_unmap(&m);
	close(m.device);
	meet();
	/* Another open has the pages now, if anybody has. */
	m = client_map(granter->domid, ref, EACH, PROT_READ | PROT_WRITE);
	return drain_shows_secret(pipefd);
}

static int client_cannot_splice(uint32_t ref)
{
	struct client_map m = client_map(granter->domid, ref, EACH, PROT_READ | PROT_WRITE);
	struct iovec iov = { m.at, EACH * PAGE };
	int pipefd[2];

	mark(m.at, 'c');
	if (pipe(pipefd))
		die("pipe");
	return vmsplice(pipefd[1], &iov, 1, 0) > 0;
}

/* --- what the granter sees of them -------------------------------------------------------------- */

static bool look_overwritten(uint32_t ref)
{
	if (!await())
		return false;
	report(all_pinned(ref) && all_untouched(ref, 'c'),
	       "the granter's pages are still held, and hold what was written through the mapping "
	       "only");
	go_on();
	return true;
}

static bool look_again(uint32_t ref)
{
	if (!await())
		return false;
	report(released(granter, ref, EACH), "what has been spoilt is unmapped");
	go_on();
	if (!await())
		return false;
	report(all_untouched(ref, 'c'), "mapped again, it is the granter's page");
	go_on();
	return true;
}

static bool look_kept(uint32_t ref)
{
	if (!await())
		return false;
	usleep(300000);
	report(all_pinned(ref), "a kept descriptor holds the grants");
	page_of(ref)[0] = 'k';
	go_on();
	if (!await())
		return false;
	page_of(ref)[0] = first_byte(ref, 0);
	report(released(granter, ref, EACH), "they are unmapped when it is closed");
	go_on();
	return true;
}

static bool look_forked(uint32_t ref)
{
	if (!await())
		return false;
	usleep(300000);
	report(all_pinned(ref), "the child holds the grants when its parent has ended");
	go_on();
	if (!await())
		return false;
	report(all_untouched(ref, 'c'), "and writes to the granter's pages");
	go_on();
	return true;
}

static bool look_secret(uint32_t ref)
{
	if (!await())
		return false;
	report(released(granter, ref, EACH),
	       "the grants are unmapped, though their pages are in a pipe");
	for (uint32_t i = 0; i < EACH; i++)
		pattern_fill(page_of(ref + i), SECRET);
	go_on();
	return true;
}

static bool look_pressed(uint32_t ref)
{
	if (!await())
		return false;
	if (press_is_on())
		report(press_is_felt(), "meanwhile pages are swapped and moved");
	for (uint32_t i = 0; i < EACH; i++)
		page_of(ref + i)[0] = 'k';
	go_on();
	return true;
}

static bool look_held(uint32_t ref)
{
	if (!await())
		return false;
	report(all_pinned(ref), "the granter sees its pages held");
	go_on();
	return true;
}

/**
 * struct deed - one client
 * @look:   what the granter looks at meanwhile
 * @writes: 'c' at the head of each page, through its mapping
 */
static const struct deed {
	const char *name;
	int (*client)(uint32_t ref);
	bool (*look)(uint32_t ref);
	bool pvh, pv, writes;
} deeds[] = {
	{ "truncates", client_truncates, look_overwritten, .pvh = 1, .writes = 1 },
	{ "punches holes", client_punches_holes, look_overwritten, .pvh = 1, .writes = 1 },
	{ "maps again what it has cut", client_maps_again, look_again, .pvh = 1, .writes = 1 },
	{ "keeps a descriptor", client_keeps_descriptor, look_kept, .pvh = 1, .pv = 1 },
	{ "forks", client_forks, look_forked, .pvh = 1, .writes = 1 },
	{ "holds on", client_holds_on, look_pressed, .pvh = 1, .pv = 1, .writes = 1 },
	{ "is killed", client_is_killed, look_held, .pvh = 1, .pv = 1, .writes = 1 },
	{ "writes to a read-only window", client_reads_only, look_held, .pvh = 1 },
	{ "splices", client_splices, look_secret, .pvh = 1 },
	{ "splices and closes", client_splices_and_closes, look_secret, .pvh = 1 },
	{ "cannot splice", client_cannot_splice, NULL, .pv = 1, .writes = 1 },
};

/* Afterwards: nothing but what is allowed to be there. */
static bool is_right(const struct deed *deed, uint32_t ref)
{
	bool right = true;

	for (uint32_t i = 0; i < EACH; i++) {
		char first = first_byte(ref + i, 0);

		if (deed->writes)
			first = 'c';
		if (deed->look == look_secret)
			right &= pattern_is(page_of(ref + i), SECRET);
		else
			right &= page_of(ref + i)[0] == first && untouched(ref + i);
	}
	return right;
}

static void run_deed(const struct deed *deed)
{
	uint32_t ref = grant_some();
	int status;
	pid_t pid;

	if (pipe(to_granter) || pipe(to_client))
		die("pipe");
	pid = fork();
	if (!pid) {
		close(to_granter[0]);
		close(to_client[1]);
		_exit(deed->client(ref));
	}
	close(to_granter[1]);
	close(to_client[0]);
	if (deed->look && !deed->look(ref))
		report(false, "a client that %s has gone too early", deed->name);
	waitpid(pid, &status, 0);
	if (deed->client == client_is_killed)
		status = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 1;
	report(!status, "a client that %s", deed->name);
	report(released(granter, ref, EACH) && is_right(deed, ref),
	       "nothing is left of a client that %s, and the pages are right", deed->name);
	close(to_granter[0]);
	close(to_client[1]);
}

/* --- afterwards --------------------------------------------------------------------------------- */

static bool granter_kept_all(void)
{
	char *mem = xenforeignmemory_map(granter->fmem, granter->domid, PROT_READ, PAGES,
					 granter->frame, NULL);
	bool good = mem != NULL;

	for (uint32_t i = 0; good && i < PAGES; i++)
		good = pattern_is(mem + i * PAGE, SECRET);
	if (mem)
		xenforeignmemory_unmap(granter->fmem, mem, PAGES);
	return good;
}

static void look_for_remains(void)
{
	char *known = aligned_alloc(PAGE, PAGE);
	long found = 0;

	if (!known)
		die("memory");
	pattern_fill(known, ~SECRET);
	report(pattern_in_memory(~SECRET) > 0, "a page of dom0's that has a pattern is found");
	for (uint32_t i = 0; i < PAGES; i++)
		pattern_fill(domain_page(granter, i), SECRET);
	domain_unmap(granter);
	found = pattern_in_memory(SECRET);
	report(found == 0, "no page of dom0 shows a guest's memory (%ld do)", found);
	report(memory_is_sound(memory_available() * 9 / 10),
	       "dom0's memory keeps what is written to it");
	report(granter_kept_all(), "and none of that has come to the guest");
	free(known);
}

static int run_all(bool calm)
{
	granter = domain_new(PAGES, 1);
	if (!granter)
		return 1;
	/* A client that has gone is seen by its end of the pipe. */
	signal(SIGPIPE, SIG_IGN);
	if (!calm)
		press_start();
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		if (pv ? deeds[i].pv : deeds[i].pvh)
			run_deed(&deeds[i]);
	if (!calm)
		press_stop();
	look_for_remains();
	domain_destroy(granter);
	return reported_bad() != 0;
}

/* --- no frames ---------------------------------------------------------------------------------- */

static bool quarantine_becomes(pid_t daemon, bool empty, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	long n;

	do {
		usleep(50000);
		n = daemon_held(daemon, "quarantined");
		if (n >= 0 && (n == 0) == empty)
			return true;
	} while (now_ms() < end);
	return false;
}

/* A client that has mapped pages, whose frames so are Xen's. */
static pid_t start_holder(uint32_t n)
{
	pid_t pid = fork();

	if (!pid) {
		struct client_map m =
			client_map(granter->domid, DOMAIN_FIRST_REF, n, PROT_READ | PROT_WRITE);

		m.at[0] = 'c';
		meet();
		_exit(0);
	}
	if (!await())
		die("the client");
	return pid;
}

static int run_quarantine(pid_t daemon)
{
	const uint32_t n = 256;
	struct domain *hog;
	pid_t pid;

	granter = domain_new(n, 1);
	if (!granter || pipe(to_granter) || pipe(to_client))
		return 1;
	for (uint32_t i = 0; i < n; i++)
		domain_grant(granter, DOMAIN_FIRST_REF + i, i, 0);
	pid = start_holder(n);
	hog = hog_new();
	if (!hog)
		return 1;
	go_on();
	waitpid(pid, NULL, 0);
	report(released(granter, DOMAIN_FIRST_REF, n),
	       "without a frame to get, grants are unmapped");
	report(quarantine_becomes(daemon, false, 3000), "pages without a frame are in quarantine");
	/* A window made now gives frames to Xen, and may get them back, or others may get them first. */
	pid = start_holder(16);
	report(domain_pinned(granter, DOMAIN_FIRST_REF) != 0, "other clients map meanwhile");
	go_on();
	waitpid(pid, NULL, 0);
	domain_destroy(hog);
	report(quarantine_becomes(daemon, true, 3000), "they leave it when Xen has frames again");
	report(daemon_held(daemon, "away") == 0, "and no page is away");
	report(memory_is_sound(memory_available() / 2),
	       "dom0's memory keeps what is written to it");
	domain_destroy(granter);
	return reported_bad() != 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	pv = dom0_is_pv();
	if (!strcmp(what, "all") || !strcmp(what, "calm"))
		return run_all(!strcmp(what, "calm"));
	if (!strcmp(what, "frames"))
		return printf("%ld\n", dom0_frames()) < 2;
	if (!strcmp(what, "quarantine") && argc > 2)
		return run_quarantine(atoi(argv[2]));
	fprintf(stderr, "usage: windows all | calm | frames | quarantine PID\n");
	return 2;
}
