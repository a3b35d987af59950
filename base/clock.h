/* SPDX-License-Identifier: MIT */
/*
 * base/clock.h - what time it is
 *
 * Any thread. What is measured for every event has a clock of its own, report/trace_clock.c.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/** clock_read_ns() - any of clock_gettime(2)'s clocks, in ns */
uint64_t clock_read_ns(clockid_t id);

/**
 * clock_ns(), clock_us(), clock_ms() - CLOCK_MONOTONIC
 *
 * In a PV dom0 reading it is a system call.
 */
uint64_t clock_ns(void);
uint64_t clock_us(void);
uint64_t clock_ms(void);

/**
 * clock_coarse_ms() - CLOCK_MONOTONIC_COARSE, which lags by up to a tick (10 ms)
 *
 * Read without a system call everywhere.
 */
uint64_t clock_coarse_ms(void);

/** clock_realtime_ns() - the time of day: since 1970, and it may jump */
uint64_t clock_realtime_ns(void);

#endif /* BASE_CLOCK_H */
