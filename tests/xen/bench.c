/* SPDX-License-Identifier: MIT */
/*
 * bench.c - what a client of /dev/xen/gntdev pays, whoever serves the device
 *
 *     bench [-d PID] WHAT...      WHAT: a row of benches[], such as cycle
 *
 * bench.sh runs it against the kernel's driver and against the daemon, which are then compared. It
 * makes the granter itself (domain.h). Times are wall-clock times of this thread: on a machine that counts
 * instructions, instructions. With -d the processor time is shown that process PID, the daemon, has used for the same.
 *
 * Lines are "NAME VALUE UNIT", where NAME has a * for whoever serves the device, if that matters.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xengnttab.h>
#include <xen/sys/gntdev.h>

#include "bench_common.h"
#include "bench_many.h"

#define RW (PROT_READ | PROT_WRITE)
/* Any that is not root's. */
#define USER 1000

/* --- the machine --- */

static double system_calls(int n)
{
	double start = bench_now_us();

	for (int i = 0; i < n; i++)
		syscall(SYS_getppid);
	return (bench_now_us() - start) / n;
}

/* A byte goes to and fro: each time two system calls and a switch to the other process. */
static double switches(const int *to, const int *fro, int n)
{
	double start = bench_now_us();
	char c = 0;

	for (int i = 0; i < n; i++)
		if (write(to[1], &c, 1) != 1 || read(fro[0], &c, 1) != 1)
			bench_die("pipe");
	return (bench_now_us() - start) / (2 * n);
}

/* What no server in another process can do without. */
static void bench_base(void)
{
	enum { N = 50, ROUNDS = 11 };
	double call[ROUNDS], turn[ROUNDS];
	int to[2], fro[2];
	pid_t pid;
	char c;

	if (pipe(to) || pipe(fro))
		bench_die("pipe");
	pid = fork();
	if (pid == 0) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1 && write(fro[1], &c, 1) == 1)
			;
		_exit(0);
	}
	for (int r = -BENCH_WARM_UP; r < ROUNDS; r++) {
		call[r < 0 ? 0 : r] = system_calls(N);
		turn[r < 0 ? 0 : r] = switches(to, fro, N);
	}
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(fro[i]);
	}
	waitpid(pid, NULL, 0);
	printf("base_clock %.2f us\n", bench.clock_cost);
	printf("base_system_call %.2f us\n", bench_median(call, ROUNDS));
	printf("base_switch %.2f us\n", bench_median(turn, ROUNDS));
}
/* --- MAP_GRANT_REF with many live maps of one descriptor, that are never mmapped --- */

static uint64_t map_one(int fd, uint32_t ref)
{
	struct ioctl_gntdev_map_grant_ref op = {
		.count = 1,
		.refs = { { .domid = bench.granter->domid, .ref = ref } },
	};

	if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &op))
		bench_die("MAP_GRANT_REF");
	return op.index;
}

static void unmap_one(int fd, uint64_t index)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = 1 };

	if (ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op))
		bench_die("UNMAP_GRANT_REF");
}

/* More maps are made, as many as it takes for a median, and the newest is unmapped first. */
static void measure_live(int fd, int live, bool show)
{
	enum { N = 151 };
	double map[N], unmap[N];
	uint64_t index[N];

	for (int i = 0; i < N; i++) {
		uint32_t ref = *bench_refs(1);
		double start = bench_now_us();

		index[i] = map_one(fd, ref);
		map[i] = bench_between(start, bench_now_us());
	}
	for (int i = N - 1; i >= 0; i--) {
		double start = bench_now_us();

		unmap_one(fd, index[i]);
		unmap[i] = bench_between(start, bench_now_us());
	}
	if (!show)
		return;
	printf("map_ioctl_*_%d %.1f us\n", live, bench_median(map, N));
	printf("unmap_ioctl_*_%d %.1f us\n", live, bench_median(unmap, N));
}

static void measure_levels(const int *level, size_t n)
{
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC), live = 0;

	if (fd < 0)
		bench_die("gntdev");
	for (int i = 0; i < BENCH_WARM_UP; i++)
		measure_live(fd, live, false);
	for (size_t i = 0; i < n; i++) {
		for (; live < level[i]; live++)
			map_one(fd, *bench_refs(1));
		measure_live(fd, live, true);
	}
	close(fd);
}

static void bench_live(void)
{
	static const int level[] = { 1, 1000, 4000, 10000, 20000 };

	measure_levels(level, sizeof(level) / sizeof(level[0]));
}

static void bench_few(void)
{
	static const int level[] = { 1, 1000 };

	measure_levels(level, sizeof(level) / sizeof(level[0]));
}

/* --- one page: map, touch, unmap --- */

static void cycle(void)
{
	const uint32_t *ref = bench_refs(1);
	volatile uint32_t *p = xengnttab_map_grant_ref(bench.gt, bench.granter->domid, *ref, RW);

	if (!p)
		bench_die("map of a page");
	if (*p != bench_page_of(*ref))
		bench_die("another page is mapped");
	*p = bench_page_of(*ref);
	if (xengnttab_unmap(bench.gt, (void *)p, 1))
		bench_die("unmap of a page");
}

enum { CYCLES = 50, CYCLE_ROUNDS = 11 };

/* A mean, so that nothing is missed that is put off to a later time; the median of several of them. */
static void measure_cycle(const char *name)
{
	double us[CYCLE_ROUNDS], client = bench_clock_us(CLOCK_PROCESS_CPUTIME_ID);

	for (int r = -BENCH_WARM_UP; r < CYCLE_ROUNDS; r++) {
		double start = bench_now_us();

		for (int i = 0; i < CYCLES; i++)
			cycle();
		us[r < 0 ? 0 : r] = (bench_now_us() - start) / CYCLES;
	}
	client = bench_clock_us(CLOCK_PROCESS_CPUTIME_ID) - client;
	printf("%s_* %.1f us\n", name, bench_median(us, CYCLE_ROUNDS));
	printf("%s_client_cpu_* %.1f us\n", name,
	       client / (CYCLES * (BENCH_WARM_UP + CYCLE_ROUNDS)));
}

static void bench_cycle(void)
{
	double daemon = bench_used_by_daemon();

	measure_cycle("cycle");
	bench_show_daemon("cycle", daemon, CYCLES * (BENCH_WARM_UP + CYCLE_ROUNDS));
}

/* By a process that is not root's, and has opened the device itself. It does not have the granter's memory. */
static void bench_user(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgid(USER) || setuid(USER) || !(bench.gt = xengnttab_open(NULL, 0))) {
			perror("bench: the device, as another user");
			_exit(1);
		}
		measure_cycle("cycle_user");
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		errno = ECHILD;
		bench_die("another user");
	}
}

/* The same, by the calls that libxengnttab makes. */

enum {
	STEP_MAP,
	STEP_MMAP,
	STEP_TOUCH,
	STEP_GET_OFFSET,
	STEP_MUNMAP,
	STEP_UNMAP,
	STEPS,
};

static const char *const step_name[STEPS] = {
	"map_ioctl", "mmap", "touch", "get_offset_ioctl", "munmap", "unmap_ioctl",
};

/* Where each step ends; @at[0] is the beginning. */
static void steps(int fd, double *at)
{
	uint32_t ref = *bench_refs(1);
	struct ioctl_gntdev_get_offset_for_vaddr where = { 0 };
	uint64_t index;
	volatile char *p;

	*at++ = bench_now_us();
	index = map_one(fd, ref);
	*at++ = bench_now_us();
	p = mmap(NULL, DOMAIN_PAGE, RW, MAP_SHARED, fd, (off_t)index);
	if (p == MAP_FAILED)
		bench_die("mmap");
	*at++ = bench_now_us();
	p[DOMAIN_PAGE - 1] = 1;
	*at++ = bench_now_us();
	where.vaddr = (uintptr_t)p;
	if (ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &where) || where.offset != index)
		bench_die("GET_OFFSET_FOR_VADDR");
	*at++ = bench_now_us();
	if (munmap((void *)p, DOMAIN_PAGE))
		bench_die("munmap");
	*at++ = bench_now_us();
	unmap_one(fd, index);
	*at = bench_now_us();
}

static void bench_steps(void)
{
	enum { N = 301 };
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
	double us[STEPS][N], at[STEPS + 1];

	if (fd < 0)
		bench_die("gntdev");
	for (int i = -20 * BENCH_WARM_UP; i < N; i++) {
		steps(fd, at);
		for (int s = 0; i >= 0 && s < STEPS; s++)
			us[s][i] = bench_between(at[s], at[s + 1]);
	}
	for (int s = 0; s < STEPS; s++)
		printf("step_%s_* %.1f us\n", step_name[s], bench_median(us[s], N));
	close(fd);
}

/* --- */

static const struct {
	const char *name;
	void (*run)(void);
} benches[] = {
	{ "base", bench_base },	  { "live", bench_live },	    { "few", bench_few },
	{ "cycle", bench_cycle }, { "user", bench_user },	    { "steps", bench_steps },
	{ "bulk", bench_bulk },	  { "scattered", bench_scattered }, { "offset", bench_offset },
	{ "copy", bench_copy },	  { "data", bench_data },
};

static void run(const char *name)
{
	for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
		if (strcmp(name, benches[i].name) != 0)
			continue;
		benches[i].run();
		bench_drain();
		return;
	}
	errno = EINVAL;
	bench_die(name);
}

int main(int argc, char **argv)
{
	int first = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 && !strcmp(argv[1], "-d")) {
		first = 3;
		errno = clock_getcpuclockid((pid_t)atoi(argv[2]), &bench.daemon_clock);
		if (errno)
			bench_die("the daemon's clock");
		bench.has_daemon = true;
	}
	bench_measure_clock();
	bench.granter = domain_new(BENCH_PAGES, BENCH_TABLE_FRAMES);
	if (!bench.granter)
		return 1;
	bench_grant_all();
	bench.gt = xengnttab_open(NULL, 0);
	if (!bench.gt)
		bench_die("gntdev");
	for (int i = first; i < argc; i++)
		run(argv[i]);
	xengnttab_close(bench.gt);
	if (domain_destroy(bench.granter)) {
		bench.granter = NULL;
		bench_die("the end of the granter");
	}
	return 0;
}
