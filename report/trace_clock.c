/* SPDX-License-Identifier: MIT */
/*
 * report/trace_clock.c - a clock that can be read for every event
 *
 * clock_gettime() is cheap only where the kernel lets user space read its clock. In a PV dom0 it is a
 * system call, under emulation an access to a device: several per cent of an ioctl. The processor's time stamp
 * counter always takes some 10 ns. How fast it runs is measured once, against CLOCK_MONOTONIC: within some
 * parts in ten thousand, which is enough for how long things took, and for how old they are; when
 * something happened is told by counting back from the present (control/trace.c).
 *
 * On machines whose processors do not agree on the time a duration may come out wrong, and nothing else
 * depends on it.
 */
#include <pthread.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "report/trace.h"

/* As long as it is measured, ns. */
#define MEASURE_NS 2000000
/* Of @per_tick: its bits behind the point. */
#define SHIFT 32

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t start_ns;
static uint64_t start_ticks;
static uint64_t per_tick; /* ns */

static void measure(void)
{
	unsigned __int128 ns;
	uint64_t now, ticks;

	start_ns = clock_ns();
	start_ticks = __rdtsc();
	do {
		now = clock_ns();
		ticks = __rdtsc();
	} while (now - start_ns < MEASURE_NS);
	/* Whoever is stopped meanwhile measures for longer, which is no worse. */
	ns = now - start_ns;
	__atomic_store_n(&per_tick, (uint64_t)((ns << SHIFT) / (ticks - start_ticks)),
			 __ATOMIC_RELEASE);
}

uint64_t trace_now(void)
{
	uint64_t rate = __atomic_load_n(&per_tick, __ATOMIC_ACQUIRE);

	if (!rate) {
		pthread_once(&once, measure);
		rate = per_tick;
	}
	return start_ns +
	       (uint64_t)(((unsigned __int128)(__rdtsc() - start_ticks) * rate) >> SHIFT);
}
