/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what programs that measure a device share
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <xen/sys/gntdev.h>

static inline double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

__attribute__((noreturn)) static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline int by_value(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return (d > 0) - (d < 0);
}

static inline double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return v[n / 2];
}

/* MAP a grant of domain 1 @n times; @index may be NULL. */
static inline void map_many(int fd, uint32_t ref, uint64_t *index, int n)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1, .refs = { { 1, ref } } };

	for (int i = 0; i < n; i++) {
		if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &op))
			die("MAP_GRANT_REF");
		if (index)
			index[i] = op.index;
	}
}

static inline void unmap_many(int fd, const uint64_t *index, int n)
{
	for (int i = 0; i < n; i++) {
		struct ioctl_gntdev_unmap_grant_ref op = { .index = index[i], .count = 1 };

		if (ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op))
			die("UNMAP_GRANT_REF");
	}
}

/* Return: microseconds that each of @n MAPs took; they are unmapped again. */
static inline double map_ioctls(int fd, uint32_t ref, int n)
{
	uint64_t index[n];
	double start = now_us(), us;

	map_many(fd, ref, index, n);
	us = (now_us() - start) / n;
	unmap_many(fd, index, n);
	return us;
}

#endif /* BENCH_H */
