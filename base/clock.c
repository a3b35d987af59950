/* SPDX-License-Identifier: MIT */
/*
 * base/clock.c - what time it is
 */
#include "base/clock.h"

#define NS_PER_S  1000000000U
#define NS_PER_MS 1000000U
#define NS_PER_US 1000U

uint64_t clock_read_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_us(void)
{
	return clock_ns() / NS_PER_US;
}

uint64_t clock_ms(void)
{
	return clock_ns() / NS_PER_MS;
}

uint64_t clock_coarse_ms(void)
{
	return clock_read_ns(CLOCK_MONOTONIC_COARSE) / NS_PER_MS;
}

uint64_t clock_realtime_ns(void)
{
	return clock_read_ns(CLOCK_REALTIME);
}
