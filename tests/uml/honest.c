/* SPDX-License-Identifier: MIT */
/*
 * honest.c - a client that does what back ends do, and times it: honest SECONDS DOMID REF USER
 *
 * As user number USER; to be started as root, by gntdev-run. Prints "CALL median N us" and "CALL worst N us" for each
 * kind of call, and "standstill total N us": for so long the whole machine stood still (a thread that goes before all
 * others was not run for over STILL_US: User-Mode Linux does that for a second at times), which is taken off the
 * calls that it fell into. Ends at the first call that fails, with a line that begins with "failed".
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/sys/gntdev.h>

#define PAGE	4096
#define SAMPLES 100000
/* What one MAP_GRANT_REF may have. */
#define LARGE 65536

#define BEAT_US	 10000
#define STILL_US 50000

enum call { OPEN, MAP, MMAP, GET_OFFSET, MUNMAP, UNMAP, COPY, LARGE_MAP, CLOSE, CALLS };

static const char *const names[CALLS] = { "open",  "map",  "mmap",	"get_offset", "munmap",
					  "unmap", "copy", "large_map", "close" };

static struct {
	uint32_t us[SAMPLES];
	size_t n;
} times[CALLS];

static uint64_t started;
static uint64_t still_at_start;

/* When it was last seen that the machine runs, and for how long it has not, us. */
static uint64_t seen_at;
static uint64_t still;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void *beat(void *arg)
{
	for (;;) {
		uint64_t gap = now_us() - seen_at;

		if (gap > STILL_US)
			__atomic_fetch_add(&still, gap - 2 * BEAT_US, __ATOMIC_RELAXED);
		__atomic_store_n(&seen_at, now_us(), __ATOMIC_RELAXED);
		usleep(BEAT_US);
	}
	return arg;
}

static void start_beat(void)
{
	const struct sched_param first = { .sched_priority = 1 };
	pthread_t t;

	seen_at = now_us();
	errno = pthread_create(&t, NULL, beat, NULL);
	if (!errno)
		errno = pthread_setschedparam(t, SCHED_FIFO, &first);
	if (errno) {
		printf("failed: a thread that goes before all others: %s\n", strerror(errno));
		exit(1);
	}
}

static void become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid)) {
		printf("failed: setresuid: %s\n", strerror(errno));
		exit(1);
	}
	/* As a client that began as this user. */
	prctl(PR_SET_DUMPABLE, 1);
}

static void begin(void)
{
	still_at_start = __atomic_load_n(&still, __ATOMIC_RELAXED);
	started = now_us();
}

static void end(enum call call, int bad)
{
	uint64_t us = now_us() - started;
	uint64_t stood = __atomic_load_n(&still, __ATOMIC_RELAXED) - still_at_start;

	us -= stood < us ? stood : us;
	if (bad) {
		printf("failed: %s: %s\n", names[call], strerror(errno));
		exit(1);
	}
	if (times[call].n < SAMPLES)
		times[call].us[times[call].n++] = (uint32_t)us;
}

static void unmap(int fd, uint64_t index, uint32_t count)
{
	struct ioctl_gntdev_unmap_grant_ref un = { .index = index, .count = count };

	begin();
	end(UNMAP, ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &un));
}

static void cycle(int fd, uint32_t domid, uint32_t ref)
{
	struct ioctl_gntdev_map_grant_ref map = { .count = 1, .refs = { { domid, ref } } };
	struct ioctl_gntdev_get_offset_for_vaddr at = { 0 };
	volatile char *p;

	begin();
	end(MAP, ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map));
	begin();
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.index);
	end(MMAP, p == MAP_FAILED);
	(void)p[0];
	at.vaddr = (uintptr_t)p;
	begin();
	end(GET_OFFSET, ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &at));
	begin();
	end(MUNMAP, munmap((void *)p, PAGE));
	unmap(fd, map.index, 1);
}

static void copy(int fd, uint32_t domid, uint32_t ref)
{
	static char buf[PAGE];
	struct ioctl_gntdev_grant_copy_segment seg = {
		.source.foreign = { .ref = ref, .domid = (domid_t)domid },
		.dest.virt = buf,
		.len = PAGE,
		.flags = GNTCOPY_source_gref,
	};
	struct ioctl_gntdev_grant_copy op = { .count = 1, .segments = &seg };

	begin();
	errno = EPROTO;
	end(COPY, ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &op) || seg.status);
}

static void large(int fd, uint32_t domid, uint32_t ref)
{
	static struct ioctl_gntdev_map_grant_ref *map;

	if (!map)
		map = calloc(1, sizeof(*map) + LARGE * sizeof(map->refs[0]));
	map->count = LARGE;
	for (int i = 0; i < LARGE; i++) {
		map->refs[i].domid = domid;
		map->refs[i].ref = ref;
	}
	begin();
	end(LARGE_MAP, ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, map));
	unmap(fd, map->index, LARGE);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void print_times(void)
{
	for (int call = 0; call < CALLS; call++) {
		size_t n = times[call].n;

		qsort(times[call].us, n, sizeof(uint32_t), by_value);
		if (!n)
			continue;
		printf("%s median %u us\n", names[call], times[call].us[n / 2]);
		printf("%s worst %u us\n", names[call], times[call].us[n - 1]);
	}
	printf("standstill total %lu us\n", (unsigned long)still);
}

int main(int argc, char **argv)
{
	uint32_t domid, ref;
	uint64_t until;

	if (argc < 5)
		return 2;
	start_beat();
	become((uid_t)atoi(argv[4]));
	until = now_us() + (uint64_t)(atof(argv[1]) * 1e6);
	domid = (uint32_t)atoi(argv[2]);
	ref = (uint32_t)atoi(argv[3]);
	for (unsigned int i = 0; now_us() < until; i++) {
		int fd;

		begin();
		fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
		end(OPEN, fd < 0);
		cycle(fd, domid, ref);
		cycle(fd, domid, ref);
		copy(fd, domid, ref);
		if (i % 20 == 0)
			large(fd, domid, ref);
		begin();
		end(CLOSE, close(fd));
		usleep(2000);
	}
	print_times();
	return 0;
}
