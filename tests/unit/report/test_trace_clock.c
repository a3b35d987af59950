/* SPDX-License-Identifier: MIT */
/*
 * report/test_trace_clock.c - the clock of events, where the machine's clocks do as they like
 *
 * report/trace_clock.c is compiled in here, with clocks that are ours.
 */
#include <check.h>
#include <stdint.h>
#include <x86intrin.h>

#include "base/clock.h"

/* What the clocks show, and how far they go on each time CLOCK_MONOTONIC is read; 3 ticks a ns. */
static uint64_t fake_ns, step;

static uint64_t fake_clock_ns(void)
{
	fake_ns += step;
	return fake_ns;
}

#undef __rdtsc
/* NOLINTNEXTLINE(bugprone-reserved-identifier): it is the intrinsic's name */
#define __rdtsc() (3 * fake_ns)
#define clock_ns  fake_clock_ns
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "report/trace_clock.c"
#undef clock_ns

/* Each in a process of its own: the clock is measured once. */
static const uint64_t steps[] = {
	50,	     /* a machine that works */
	10000000000, /* one that was stopped for 10 s while it was measured */
};

START_TEST(goes_as_fast_as_time)
{
	uint64_t before;

	fake_ns = 1000000000000;
	step = steps[_i];
	before = trace_now();
	fake_ns += 1000000000;
	ck_assert_uint_ge(trace_now() - before, 1000000000 - 100);
	ck_assert_uint_le(trace_now() - before, 1000000000 + 100);
	ck_assert_uint_le(trace_now(), fake_ns);
	ck_assert_uint_ge(trace_now() + 1000, fake_ns);
}
END_TEST

Suite *trace_clock_suite(void);

Suite *trace_clock_suite(void)
{
	Suite *s = suite_create("trace_clock");
	TCase *tc = tcase_create("trace_clock");

	tcase_add_loop_test(tc, goes_as_fast_as_time, 0, (int)(sizeof(steps) / sizeof(steps[0])));
	suite_add_tcase(s, tc);
	return s;
}
