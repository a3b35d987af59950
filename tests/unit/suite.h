/* SPDX-License-Identifier: MIT */
/*
 * suite.h - a list of tests as a suite; checks for inner loops
 */
#ifndef SUITE_H
#define SUITE_H

#include <check.h>
#include <stddef.h>

/*
 * For inner loops: each ck_assert() is a system call, whether it fails or not. What follows @expr is a format and
 * arguments that tell which round of the loop it is, and the values.
 */
#define assert_each(expr, format, ...)                                     \
	do {                                                               \
		if (!(expr))                                               \
			ck_abort_msg("%s: " format, #expr, ##__VA_ARGS__); \
	} while (0)

/* @before and @after each test. */
static inline Suite *suite_of(const char *name, const TTest *const *tests, size_t n,
			      void (*before)(void), void (*after)(void))
{
	Suite *s = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, before, after);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return s;
}

#endif /* SUITE_H */
