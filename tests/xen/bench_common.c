/* SPDX-License-Identifier: MIT */
/*
 * bench_common.c - see bench_common.h
 */
#include "bench_common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench bench;

void bench_die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	if (bench.granter)
		domain_destroy(bench.granter);
	exit(1);
}

double bench_clock_us(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t))
		bench_die("clock");
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

double bench_now_us(void)
{
	return bench_clock_us(CLOCK_MONOTONIC);
}

double bench_between(double start, double end)
{
	double us = end - start - bench.clock_cost;

	return us > 0 ? us : 0;
}

static int by_value(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return (d > 0) - (d < 0);
}

double bench_median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return v[n / 2];
}

void bench_measure_clock(void)
{
	enum { N = 201 };
	double us[N], last = bench_now_us();

	for (int i = 0; i < N; i++) {
		double now = bench_now_us();

		us[i] = now - last;
		last = now;
	}
	bench.clock_cost = bench_median(us, N);
}

/* --- grants --- */

const uint32_t *bench_refs(uint32_t n)
{
	static uint32_t ref[BENCH_BULK], next = DOMAIN_FIRST_REF;

	for (uint32_t i = 0; i < n; i++) {
		ref[i] = next;
		next = next + 1 < bench.granter->grants ? next + 1 : DOMAIN_FIRST_REF;
	}
	return ref;
}

uint32_t bench_page_of(uint32_t ref)
{
	return (ref - DOMAIN_FIRST_REF) % BENCH_PAGES;
}

void bench_grant_all(void)
{
	for (uint32_t ref = DOMAIN_FIRST_REF; ref < bench.granter->grants; ref++) {
		*(uint32_t *)domain_page(bench.granter, bench_page_of(ref)) = bench_page_of(ref);
		domain_grant(bench.granter, ref, bench_page_of(ref), 0);
	}
}

static uint32_t pinned(void)
{
	uint32_t n = 0;

	for (uint32_t ref = DOMAIN_FIRST_REF; ref < bench.granter->grants; ref++)
		n += domain_pinned(bench.granter, ref) != 0;
	return n;
}

void bench_drain(void)
{
	for (int i = 0; pinned(); i++) {
		if (i == 500) {
			errno = ETIMEDOUT;
			bench_die("grants are still mapped");
		}
		usleep(10000);
	}
}

/* --- processor time --- */

double bench_used_by_daemon(void)
{
	return bench.has_daemon ? bench_clock_us(bench.daemon_clock) : 0;
}

void bench_show_daemon(const char *name, double start, int n)
{
	bench_drain();
	if (bench.has_daemon)
		printf("%s_daemon_cpu_* %.2f us\n", name, (bench_used_by_daemon() - start) / n);
}
