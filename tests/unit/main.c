/* SPDX-License-Identifier: MIT */
/*
 * main.c - runs one suite of unit tests and reports it as TAP
 *
 * Each test_NAME.c in tests/unit or a room of it is a program of its own: it defines `Suite *NAME_suite(void)` and may
 * bring doubles of whole modules, since the daemon's modules are linked from an archive. The
 * Makefile passes that name as SUITE.
 *
 * Check forks for each test: a crash, a sanitizer's report (leaks included) or a time-out fails
 * that test alone. CK_RUN_CASE=name runs one case; CK_FORK=no is for debuggers.
 */
#include <check.h>
#include <stdlib.h>

Suite *SUITE(void);

int main(void)
{
	SRunner *runner = srunner_create(SUITE());
	int failed;

	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
