/* SPDX-License-Identifier: MIT */
/*
 * bench.c - what a client of /dev/xen/gntdev pays, whoever serves the device
 *
 *     bench [-d PID] WHAT...      WHAT: base, live, cycle, steps, bulk, copy, data
 *
 * bench.sh runs it against the kernel's driver and against the daemon, which are then compared. It
 * makes the granter itself (domain.h). Times are wall-clock times of this thread. With -d the
 * processor time is shown that process PID, the daemon, has used for the same.
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

#include "domain.h"

#define PAGES	     16384 /* 64 MiB, each page granted twice */
#define TABLE_FRAMES 64	   /* what Xen allows by default */
#define BULK	     512
#define SEGMENTS     64
#define RW	     (PROT_READ | PROT_WRITE)
/* Processor caches, and the translations of an emulator. */
#define WARM_UP 3

static struct domain *granter;
static xengnttab_handle *gt;
static clockid_t daemon_clock;
static bool has_daemon;

static void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	if (granter)
		domain_destroy(granter);
	exit(1);
}

static double clock_us(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t))
		die("clock");
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* What it costs to look at the clock: where Xen emulates the time stamp counter it is not little. */
static double clock_cost;

/* From one look at the clock to the next, without the cost of looking. */
static double between(double start, double end)
{
	double us = end - start - clock_cost;

	return us > 0 ? us : 0;
}

static int by_value(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return (d > 0) - (d < 0);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return v[n / 2];
}

/* --- the machine --- */

static void measure_clock(void)
{
	enum { N = 201 };
	double us[N], last = now_us();

	for (int i = 0; i < N; i++) {
		double now = now_us();

		us[i] = now - last;
		last = now;
	}
	clock_cost = median(us, N);
}

static double system_calls(int n)
{
	double start = now_us();

	for (int i = 0; i < n; i++)
		syscall(SYS_getppid);
	return (now_us() - start) / n;
}

/* A byte goes to and fro: each time two system calls and a switch to the other process. */
static double switches(const int *to, const int *fro, int n)
{
	double start = now_us();
	char c = 0;

	for (int i = 0; i < n; i++)
		if (write(to[1], &c, 1) != 1 || read(fro[0], &c, 1) != 1)
			die("pipe");
	return (now_us() - start) / (2 * n);
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
		die("pipe");
	pid = fork();
	if (pid == 0) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1 && write(fro[1], &c, 1) == 1)
			;
		_exit(0);
	}
	for (int r = -WARM_UP; r < ROUNDS; r++) {
		call[r < 0 ? 0 : r] = system_calls(N);
		turn[r < 0 ? 0 : r] = switches(to, fro, N);
	}
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(fro[i]);
	}
	waitpid(pid, NULL, 0);
	printf("base_clock %.2f us\n", clock_cost);
	printf("base_system_call %.2f us\n", median(call, ROUNDS));
	printf("base_switch %.2f us\n", median(turn, ROUNDS));
}

/* --- grants --- */

/*
 * The next @n of all references. Xen lets one be mapped a limited number of times, and what was
 * unmapped a moment ago may not be so yet.
 */
static const uint32_t *next_refs(uint32_t n)
{
	static uint32_t ref[BULK], next = DOMAIN_FIRST_REF;

	for (uint32_t i = 0; i < n; i++) {
		ref[i] = next;
		next = next + 1 < granter->grants ? next + 1 : DOMAIN_FIRST_REF;
	}
	return ref;
}

static uint32_t page_of(uint32_t ref)
{
	return (ref - DOMAIN_FIRST_REF) % PAGES;
}

/* Each page begins with its number. */
static void grant_all(void)
{
	for (uint32_t ref = DOMAIN_FIRST_REF; ref < granter->grants; ref++) {
		*(uint32_t *)domain_page(granter, page_of(ref)) = page_of(ref);
		domain_grant(granter, ref, page_of(ref), 0);
	}
}

static uint32_t pinned(void)
{
	uint32_t n = 0;

	for (uint32_t ref = DOMAIN_FIRST_REF; ref < granter->grants; ref++)
		n += domain_pinned(granter, ref) != 0;
	return n;
}

/* Nothing of what was unmapped may stay mapped: a server that does so has not done the work. */
static void drain(void)
{
	for (int i = 0; pinned(); i++) {
		if (i == 500) {
			errno = ETIMEDOUT;
			die("grants are still mapped");
		}
		usleep(10000);
	}
}

/* --- processor time --- */

static double used_by_daemon(void)
{
	return has_daemon ? clock_us(daemon_clock) : 0;
}

/* From @start on, and for what is still to be done for it; for each of @n. */
static void show_daemon(const char *name, double start, int n)
{
	drain();
	if (has_daemon)
		printf("%s_daemon_cpu_* %.2f us\n", name, (used_by_daemon() - start) / n);
}

/* --- MAP_GRANT_REF with many live maps of one descriptor, that are never mmapped --- */

static uint64_t map_one(int fd, uint32_t ref)
{
	struct ioctl_gntdev_map_grant_ref op = {
		.count = 1,
		.refs = { { .domid = granter->domid, .ref = ref } },
	};

	if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &op))
		die("MAP_GRANT_REF");
	return op.index;
}

static void unmap_one(int fd, uint64_t index)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = 1 };

	if (ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op))
		die("UNMAP_GRANT_REF");
}

/* More maps are made, as many as it takes for a median, and the newest is unmapped first. */
static void measure_live(int fd, int live, bool show)
{
	enum { N = 151 };
	double map[N], unmap[N];
	uint64_t index[N];

	for (int i = 0; i < N; i++) {
		uint32_t ref = *next_refs(1);
		double start = now_us();

		index[i] = map_one(fd, ref);
		map[i] = between(start, now_us());
	}
	for (int i = N - 1; i >= 0; i--) {
		double start = now_us();

		unmap_one(fd, index[i]);
		unmap[i] = between(start, now_us());
	}
	if (!show)
		return;
	printf("map_ioctl_*_%d %.1f us\n", live, median(map, N));
	printf("unmap_ioctl_*_%d %.1f us\n", live, median(unmap, N));
}

static void bench_live(void)
{
	static const int level[] = { 1, 1000, 4000, 10000, 20000 };
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC), live = 0;

	if (fd < 0)
		die("gntdev");
	for (int i = 0; i < WARM_UP; i++)
		measure_live(fd, live, false);
	for (size_t i = 0; i < sizeof(level) / sizeof(level[0]); i++) {
		for (; live < level[i]; live++)
			map_one(fd, *next_refs(1));
		measure_live(fd, live, true);
	}
	close(fd);
}

/* --- one page: map, touch, unmap --- */

static void cycle(void)
{
	const uint32_t *ref = next_refs(1);
	volatile uint32_t *p = xengnttab_map_grant_ref(gt, granter->domid, *ref, RW);

	if (!p)
		die("map of a page");
	if (*p != page_of(*ref))
		die("another page is mapped");
	*p = page_of(*ref);
	if (xengnttab_unmap(gt, (void *)p, 1))
		die("unmap of a page");
}

/* A mean, so that nothing is missed that is put off to a later time; the median of several of them. */
static void bench_cycle(void)
{
	enum { N = 50, ROUNDS = 11 };
	double us[ROUNDS], client, daemon;

	for (int i = 0; i < WARM_UP * N; i++)
		cycle();
	client = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	daemon = used_by_daemon();
	for (int r = 0; r < ROUNDS; r++) {
		double start = now_us();

		for (int i = 0; i < N; i++)
			cycle();
		us[r] = (now_us() - start) / N;
	}
	client = clock_us(CLOCK_PROCESS_CPUTIME_ID) - client;
	printf("cycle_* %.1f us\n", median(us, ROUNDS));
	printf("cycle_client_cpu_* %.1f us\n", client / (N * ROUNDS));
	show_daemon("cycle", daemon, N * ROUNDS);
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
	uint32_t ref = *next_refs(1);
	struct ioctl_gntdev_get_offset_for_vaddr where = { 0 };
	uint64_t index;
	volatile char *p;

	*at++ = now_us();
	index = map_one(fd, ref);
	*at++ = now_us();
	p = mmap(NULL, DOMAIN_PAGE, RW, MAP_SHARED, fd, (off_t)index);
	if (p == MAP_FAILED)
		die("mmap");
	*at++ = now_us();
	p[DOMAIN_PAGE - 1] = 1;
	*at++ = now_us();
	where.vaddr = (uintptr_t)p;
	if (ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &where) || where.offset != index)
		die("GET_OFFSET_FOR_VADDR");
	*at++ = now_us();
	if (munmap((void *)p, DOMAIN_PAGE))
		die("munmap");
	*at++ = now_us();
	unmap_one(fd, index);
	*at = now_us();
}

static void bench_steps(void)
{
	enum { N = 301 };
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
	double us[STEPS][N], at[STEPS + 1];

	if (fd < 0)
		die("gntdev");
	for (int i = -20 * WARM_UP; i < N; i++) {
		steps(fd, at);
		for (int s = 0; i >= 0 && s < STEPS; s++)
			us[s][i] = between(at[s], at[s + 1]);
	}
	for (int s = 0; s < STEPS; s++)
		printf("step_%s_* %.1f us\n", step_name[s], median(us[s], N));
	close(fd);
}

/* --- many pages in a call --- */

static char *map_bulk(const uint32_t *ref)
{
	char *p = xengnttab_map_domain_grant_refs(gt, BULK, granter->domid, (uint32_t *)ref, RW);

	if (!p)
		die("map of many pages");
	for (uint32_t i = 0; i < BULK; i++) {
		volatile uint32_t *page = (uint32_t *)(p + i * DOMAIN_PAGE);

		if (*page != page_of(ref[i]))
			die("another page is mapped");
		*page = page_of(ref[i]);
	}
	return p;
}

static void bench_bulk(void)
{
	enum { N = 2, ROUNDS = 11 };
	double map[ROUNDS], unmap[ROUNDS], all[ROUNDS], daemon = 0;

	for (int r = -WARM_UP; r < ROUNDS; r++) {
		double start = now_us(), mapping = 0;

		if (r == 0)
			daemon = used_by_daemon();
		for (int i = 0; i < N; i++) {
			double before = now_us();
			char *p = map_bulk(next_refs(BULK));

			mapping += now_us() - before;
			if (xengnttab_unmap(gt, p, BULK))
				die("unmap of many pages");
		}
		if (r >= 0) {
			map[r] = mapping / (N * BULK);
			all[r] = (now_us() - start) / (N * BULK);
			unmap[r] = all[r] - map[r];
		}
	}
	printf("bulk_per_page_* %.2f us\n", median(all, ROUNDS));
	printf("bulk_map_per_page_* %.2f us\n", median(map, ROUNDS));
	printf("bulk_unmap_per_page_* %.2f us\n", median(unmap, ROUNDS));
	show_daemon("bulk", daemon, N * ROUNDS * BULK);
}

/* --- GRANT_COPY --- */

enum direction {
	COPY_IN, /* from the granter, as a disk's write or a network card's output */
	COPY_OUT,
	COPY_MIXED,
};

static void set_up_copy(xengnttab_grant_copy_segment_t *seg, char *local, enum direction direction)
{
	const uint32_t *ref = next_refs(SEGMENTS);

	for (uint32_t i = 0; i < SEGMENTS; i++) {
		bool in = direction == COPY_IN || (direction == COPY_MIXED && i % 2 == 0);
		union xengnttab_copy_ptr foreign = {
			.foreign = { .ref = ref[i], .domid = granter->domid },
		};
		union xengnttab_copy_ptr here = { .virt = local + i * DOMAIN_PAGE };

		seg[i].source = in ? foreign : here;
		seg[i].dest = in ? here : foreign;
		seg[i].len = DOMAIN_PAGE;
		seg[i].flags = in ? GNTCOPY_source_gref : GNTCOPY_dest_gref;
		seg[i].status = 1;
		/* The page's number is what is there, and is to be there again. */
		*(uint32_t *)(in ? here.virt : domain_page(granter, page_of(ref[i]))) = ~0U;
		if (!in)
			*(uint32_t *)here.virt = page_of(ref[i]);
	}
}

static void check_copy(const xengnttab_grant_copy_segment_t *seg)
{
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		bool in = seg[i].flags & GNTCOPY_source_gref;
		uint32_t page = page_of(in ? seg[i].source.foreign.ref : seg[i].dest.foreign.ref);
		const uint32_t *got = in ? seg[i].dest.virt : (void *)domain_page(granter, page);

		if (seg[i].status || *got != page)
			die("a segment was not copied");
	}
}

static double measure_copy(const char *name, char *local, enum direction direction)
{
	enum { N = 101 };
	xengnttab_grant_copy_segment_t seg[SEGMENTS];
	double us[N], daemon = 0;

	for (int i = -WARM_UP; i < N; i++) {
		double start;

		set_up_copy(seg, local, direction);
		if (i == 0)
			daemon = used_by_daemon();
		start = now_us();
		if (xengnttab_grant_copy(gt, SEGMENTS, seg))
			die("GRANT_COPY");
		if (i >= 0)
			us[i] = now_us() - start;
		check_copy(seg);
	}
	printf("%s_* %.1f us\n", name, median(us, N));
	show_daemon(name, daemon, N);
	return median(us, N);
}

/* A request of a back end goes one way; a mixed one is what a daemon has to be careful with. */
static void bench_copy(void)
{
	char *local = mmap(NULL, SEGMENTS * DOMAIN_PAGE, RW,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	double in, out;

	if (local == MAP_FAILED)
		die("memory");
	in = measure_copy("copy_in", local, COPY_IN);
	out = measure_copy("copy_out", local, COPY_OUT);
	printf("copy_* %.1f us\n", (in + out) / 2);
	measure_copy("copy_mixed", local, COPY_MIXED);
	munmap(local, SEGMENTS * DOMAIN_PAGE);
}

/* --- 64 MiB through mapped pages, in and out --- */

#define WINDOWS	     (PAGES / BULK)
#define WINDOW_BYTES (BULK * DOMAIN_PAGE)

static void copy_data(char *const *window, char *local, double *in, double *out)
{
	*in = *out = 0;
	for (int w = 0; w < WINDOWS; w++) {
		double start = now_us(), read;

		memcpy(local, window[w], WINDOW_BYTES);
		read = now_us();
		memcpy(window[w], local, WINDOW_BYTES);
		*in += read - start;
		*out += now_us() - read;
	}
}

static double mib_per_s(double us)
{
	return PAGES * DOMAIN_PAGE / (double)(1 << 20) / (us / 1e6);
}

static void bench_data(void)
{
	enum { N = 9 };
	double in[N], out[N], both[N];
	char *window[WINDOWS], *local;

	local = mmap(NULL, WINDOW_BYTES, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (local == MAP_FAILED)
		die("memory");
	for (int w = 0; w < WINDOWS; w++)
		window[w] = map_bulk(next_refs(BULK));
	for (int i = -1; i < N; i++) {
		int at = i < 0 ? 0 : i;

		copy_data(window, local, &in[at], &out[at]);
		both[at] = in[at] + out[at];
	}
	printf("data_copy_* %.1f MiB/s\n", mib_per_s(median(both, N) / 2));
	printf("data_copy_in_* %.1f MiB/s\n", mib_per_s(median(in, N)));
	printf("data_copy_out_* %.1f MiB/s\n", mib_per_s(median(out, N)));
	for (int w = 0; w < WINDOWS; w++)
		if (xengnttab_unmap(gt, window[w], BULK))
			die("unmap of many pages");
	munmap(local, WINDOW_BYTES);
}

/* --- */

static const struct {
	const char *name;
	void (*run)(void);
} benches[] = {
	{ "base", bench_base },	  { "live", bench_live }, { "cycle", bench_cycle },
	{ "steps", bench_steps }, { "bulk", bench_bulk }, { "copy", bench_copy },
	{ "data", bench_data },
};

static void run(const char *name)
{
	for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
		if (strcmp(name, benches[i].name) != 0)
			continue;
		benches[i].run();
		drain();
		return;
	}
	errno = EINVAL;
	die(name);
}

int main(int argc, char **argv)
{
	int first = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 && !strcmp(argv[1], "-d")) {
		first = 3;
		errno = clock_getcpuclockid((pid_t)atoi(argv[2]), &daemon_clock);
		if (errno)
			die("the daemon's clock");
		has_daemon = true;
	}
	measure_clock();
	granter = domain_new(PAGES, TABLE_FRAMES);
	if (!granter)
		return 1;
	grant_all();
	gt = xengnttab_open(NULL, 0);
	if (!gt)
		die("gntdev");
	for (int i = first; i < argc; i++)
		run(argv[i]);
	xengnttab_close(gt);
	if (domain_destroy(granter)) {
		granter = NULL;
		die("the end of the granter");
	}
	return 0;
}
