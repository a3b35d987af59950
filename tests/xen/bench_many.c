/* SPDX-License-Identifier: MIT */
/*
 * bench_many.c - see bench_many.h
 */
#include "bench_many.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xen/sys/gntdev.h>

#include "bench_common.h"

#define SCATTER	 521 /* a prime, and more than a page of a table has */
#define SEGMENTS 64
#define RW	 (PROT_READ | PROT_WRITE)

/* --- many pages in a call --- */

static char *map_bulk(const uint32_t *ref)
{
	char *p = xengnttab_map_domain_grant_refs(bench.gt, BENCH_BULK, bench.granter->domid,
						  (uint32_t *)ref, RW);

	if (!p)
		bench_die("map of many pages");
	for (uint32_t i = 0; i < BENCH_BULK; i++) {
		volatile uint32_t *page = (uint32_t *)(p + i * DOMAIN_PAGE);

		if (*page != bench_page_of(ref[i]))
			bench_die("another page is mapped");
		*page = bench_page_of(ref[i]);
	}
	return p;
}

/* A server may unmap pages when nobody waits for it any more: that is work, too. It has the processor meanwhile. */
static void wait_unmapped(const uint32_t *ref, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		while (domain_pinned(bench.granter, ref[i]))
			usleep(50);
}

static void measure_bulk(const char *name, const uint32_t *(*refs)(uint32_t n))
{
	/* As for a cycle: what is put off is not missed, and a tick of the scheduler more or less is not much. */
	enum { N = 8, ROUNDS = 5 };
	double map[ROUNDS], unmap[ROUNDS], all[ROUNDS], daemon = 0;

	for (int r = -BENCH_WARM_UP; r < ROUNDS; r++) {
		double start = bench_now_us(), mapping = 0;

		if (r == 0)
			daemon = bench_used_by_daemon();
		for (int i = 0; i < N; i++) {
			const uint32_t *ref = refs(BENCH_BULK);
			double before = bench_now_us();
			char *p = map_bulk(ref);

			mapping += bench_now_us() - before;
			if (xengnttab_unmap(bench.gt, p, BENCH_BULK))
				bench_die("unmap of many pages");
			wait_unmapped(ref, BENCH_BULK);
		}
		if (r >= 0) {
			map[r] = mapping / (N * BENCH_BULK);
			all[r] = (bench_now_us() - start) / (N * BENCH_BULK);
			unmap[r] = all[r] - map[r];
		}
	}
	printf("%s_per_page_* %.2f us\n", name, bench_median(all, ROUNDS));
	printf("%s_map_per_page_* %.2f us\n", name, bench_median(map, ROUNDS));
	printf("%s_unmap_per_page_* %.2f us\n", name, bench_median(unmap, ROUNDS));
	bench_show_daemon(name, daemon, N * ROUNDS * BENCH_BULK);
}

void bench_bulk(void)
{
	measure_bulk("bulk", bench_refs);
}

/* As bench_refs(); but a page of the granter's table has one of them, and the next 60 or so are in other pages. */
static const uint32_t *scattered_refs(uint32_t n)
{
	static uint32_t ref[BENCH_BULK], next;
	const uint32_t refs = bench.granter->grants - DOMAIN_FIRST_REF;

	for (uint32_t i = 0; i < n; i++) {
		ref[i] = DOMAIN_FIRST_REF + next;
		next = (next + SCATTER) % refs;
	}
	return ref;
}

void bench_scattered(void)
{
	measure_bulk("scattered", scattered_refs);
}

/* --- GET_OFFSET_FOR_VADDR, among many windows --- */

/* Every other one is of two pages. */
static uint32_t window_pages(int i)
{
	return 1 + (uint32_t)i % 2;
}

static void map_windows(xengnttab_handle *handle, char **at, int n)
{
	for (int i = 0; i < n; i++) {
		uint32_t pages = window_pages(i);
		const uint32_t *ref = bench_refs(pages);

		at[i] = xengnttab_map_domain_grant_refs(handle, pages, bench.granter->domid,
							(uint32_t *)ref, RW);
		if (!at[i])
			bench_die("map of a window");
	}
}

/* By libc, where the preload object may answer; by the system call, which always asks who serves the device. */
static int by_libc(int fd, struct ioctl_gntdev_get_offset_for_vaddr *op)
{
	return ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, op);
}

static int by_kernel(int fd, struct ioctl_gntdev_get_offset_for_vaddr *op)
{
	return (int)syscall(SYS_ioctl, fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, op);
}

static void measure_offset(const char *name, int fd, char *const *at, int n,
			   int (*ask)(int fd, struct ioctl_gntdev_get_offset_for_vaddr *op))
{
	enum { N = 31 };
	double us[N];

	for (int i = -BENCH_WARM_UP; i < N; i++) {
		int window = (i + BENCH_WARM_UP) * 37 % n;
		struct ioctl_gntdev_get_offset_for_vaddr op = { .vaddr = (uintptr_t)at[window] };
		double start = bench_now_us();

		if (ask(fd, &op))
			bench_die("GET_OFFSET_FOR_VADDR");
		if (i >= 0)
			us[i] = bench_between(start, bench_now_us());
		if (op.count != window_pages(window)) {
			errno = ERANGE;
			bench_die("GET_OFFSET_FOR_VADDR of another window");
		}
	}
	printf("%s_*_%d %.1f us\n", name, n, bench_median(us, N));
}

/* Windows are unmapped without libxengnttab, which would ask for each. */
static void measure_windows(int n)
{
	xengnttab_handle *handle = xengnttab_open(NULL, 0);
	char **at = calloc((size_t)n, sizeof(*at));

	if (!handle || !at)
		bench_die("many windows");
	map_windows(handle, at, n);
	measure_offset("offset", xengnttab_fd(handle), at, n, by_libc);
	measure_offset("offset_asked", xengnttab_fd(handle), at, n, by_kernel);
	for (int i = 0; i < n; i++)
		if (munmap(at[i], window_pages(i) * DOMAIN_PAGE))
			bench_die("unmap of a window");
	xengnttab_close(handle);
	free(at);
}

void bench_offset(void)
{
	measure_windows(10);
	measure_windows(5000);
}

/* --- GRANT_COPY --- */

enum direction {
	COPY_IN, /* from the granter, as a disk's write or a network card's output */
	COPY_OUT,
	COPY_MIXED,
};

static void set_up_copy(xengnttab_grant_copy_segment_t *seg, char *local, enum direction direction)
{
	const uint32_t *ref = bench_refs(SEGMENTS);

	for (uint32_t i = 0; i < SEGMENTS; i++) {
		bool in = direction == COPY_IN || (direction == COPY_MIXED && i % 2 == 0);
		union xengnttab_copy_ptr foreign = {
			.foreign = { .ref = ref[i], .domid = bench.granter->domid },
		};
		union xengnttab_copy_ptr here = { .virt = local + i * DOMAIN_PAGE };

		seg[i].source = in ? foreign : here;
		seg[i].dest = in ? here : foreign;
		seg[i].len = DOMAIN_PAGE;
		seg[i].flags = in ? GNTCOPY_source_gref : GNTCOPY_dest_gref;
		seg[i].status = 1;
		/* The page's number is what is there, and is to be there again. */
		*(uint32_t *)(in ? here.virt : domain_page(bench.granter, bench_page_of(ref[i]))) =
			~0U;
		if (!in)
			*(uint32_t *)here.virt = bench_page_of(ref[i]);
	}
}

static void check_copy(const xengnttab_grant_copy_segment_t *seg)
{
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		bool in = seg[i].flags & GNTCOPY_source_gref;
		uint32_t page =
			bench_page_of(in ? seg[i].source.foreign.ref : seg[i].dest.foreign.ref);
		const uint32_t *got =
			in ? seg[i].dest.virt : (void *)domain_page(bench.granter, page);

		if (seg[i].status || *got != page)
			bench_die("a segment was not copied");
	}
}

static double measure_copy(const char *name, char *local, enum direction direction)
{
	enum { N = 101 };
	xengnttab_grant_copy_segment_t seg[SEGMENTS];
	double us[N], daemon = 0;

	for (int i = -BENCH_WARM_UP; i < N; i++) {
		double start;

		set_up_copy(seg, local, direction);
		if (i == 0)
			daemon = bench_used_by_daemon();
		start = bench_now_us();
		if (xengnttab_grant_copy(bench.gt, SEGMENTS, seg))
			bench_die("GRANT_COPY");
		if (i >= 0)
			us[i] = bench_now_us() - start;
		check_copy(seg);
	}
	printf("%s_* %.1f us\n", name, bench_median(us, N));
	bench_show_daemon(name, daemon, N);
	return bench_median(us, N);
}

/* A request of a back end goes one way; a mixed one is what a daemon has to be careful with. */
void bench_copy(void)
{
	char *local = mmap(NULL, SEGMENTS * DOMAIN_PAGE, RW,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	double in, out;

	if (local == MAP_FAILED)
		bench_die("memory");
	in = measure_copy("copy_in", local, COPY_IN);
	out = measure_copy("copy_out", local, COPY_OUT);
	printf("copy_* %.1f us\n", (in + out) / 2);
	measure_copy("copy_mixed", local, COPY_MIXED);
	munmap(local, SEGMENTS * DOMAIN_PAGE);
}

/* --- 64 MiB through mapped pages, in and out --- */

#define WINDOWS	     (BENCH_PAGES / BENCH_BULK)
#define WINDOW_BYTES (BENCH_BULK * DOMAIN_PAGE)

static void copy_data(char *const *window, char *local, double *in, double *out)
{
	*in = *out = 0;
	for (int w = 0; w < WINDOWS; w++) {
		double start = bench_now_us(), read;

		memcpy(local, window[w], WINDOW_BYTES);
		read = bench_now_us();
		memcpy(window[w], local, WINDOW_BYTES);
		*in += read - start;
		*out += bench_now_us() - read;
	}
}

static double mib_per_s(double us)
{
	return BENCH_PAGES * DOMAIN_PAGE / (double)(1 << 20) / (us / 1e6);
}

void bench_data(void)
{
	enum { N = 9 };
	double in[N], out[N], both[N];
	char *window[WINDOWS], *local;

	local = mmap(NULL, WINDOW_BYTES, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (local == MAP_FAILED)
		bench_die("memory");
	for (int w = 0; w < WINDOWS; w++)
		window[w] = map_bulk(bench_refs(BENCH_BULK));
	for (int i = -1; i < N; i++) {
		int at = i < 0 ? 0 : i;

		copy_data(window, local, &in[at], &out[at]);
		both[at] = in[at] + out[at];
	}
	printf("data_copy_* %.1f MiB/s\n", mib_per_s(bench_median(both, N) / 2));
	printf("data_copy_in_* %.1f MiB/s\n", mib_per_s(bench_median(in, N)));
	printf("data_copy_out_* %.1f MiB/s\n", mib_per_s(bench_median(out, N)));
	for (int w = 0; w < WINDOWS; w++)
		if (xengnttab_unmap(bench.gt, window[w], BENCH_BULK))
			bench_die("unmap of many pages");
	munmap(local, WINDOW_BYTES);
}
