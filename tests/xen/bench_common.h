/* SPDX-License-Identifier: MIT */
/*
 * bench_common.h - what the parts of bench.c share: a granter, clocks, and medians
 *
 * One thread. What fails ends the process: bench_die().
 */
#ifndef TESTS_XEN_BENCH_COMMON_H
#define TESTS_XEN_BENCH_COMMON_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <xengnttab.h>

#include "domain.h"

#define BENCH_PAGES	   16384 /* 64 MiB, each page granted twice */
#define BENCH_TABLE_FRAMES 64	 /* what Xen allows by default */
/* References that are asked for at once, at most. */
#define BENCH_BULK 512
/* Processor caches, and the translations of an emulator. */
#define BENCH_WARM_UP 3

/**
 * struct bench - what there is to measure with
 * @gt:	          the device
 * @daemon_clock: the processor time of the daemon, if @has_daemon
 * @clock_cost:   us that it takes to look at the clock
 */
extern struct bench {
	struct domain *granter;
	xengnttab_handle *gt;
	clockid_t daemon_clock;
	bool has_daemon;
	double clock_cost;
} bench;

/** bench_die() - tell errno, undo the granter, end the process */
_Noreturn void bench_die(const char *what);

/** bench_clock_us() - what a clock shows, us */
double bench_clock_us(clockid_t id);

/** bench_now_us() - what the machine's clock shows, us */
double bench_now_us(void);

/** bench_measure_clock() - find out bench.clock_cost */
void bench_measure_clock(void);

/** bench_between() - us from one look at the clock to the next, without the cost of looking */
double bench_between(double start, double end);

/** bench_median() - of @n values, which are sorted by it */
double bench_median(double *v, int n);

/**
 * bench_refs() - the next @n of all references, at most BENCH_BULK
 *
 * Xen lets one be mapped a limited number of times, and what was unmapped a moment ago may not be so yet. Return: good until
 * the next call.
 */
const uint32_t *bench_refs(uint32_t n);

/** bench_page_of() - the number of the page that is granted by a reference; each page begins with it */
uint32_t bench_page_of(uint32_t ref);

/** bench_grant_all() - have the granter grant all that it has */
void bench_grant_all(void);

/** bench_drain() - nothing of what was unmapped may stay mapped: a server that does so has not done the work */
void bench_drain(void);

/** bench_used_by_daemon() - processor time, us; 0 without one */
double bench_used_by_daemon(void);

/** bench_show_daemon() - print what it has used since @start, and for what is still to be done for it; for each of @n */
void bench_show_daemon(const char *name, double start, int n);

#endif
