/* SPDX-License-Identifier: MIT */
/*
 * client/test_proclook.c - when processes have started, and what time that is
 *
 * open(2) is ours, and gives a process a stat of our choice; so are the clocks.
 */
#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/proclook.h"
#include "tests/unit/suite.h"

/* --- doubles --------------------------------------------------------------------------------- */

/* Larger than any there can be. */
#define PID   (4 * 1024 * 1024 + 1)
#define NS    1000000000ULL
#define TICKS 100ULL /* a second, in /proc */

static const char *stat_text;

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;
	char ours[32];
	int fd;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	snprintf(ours, sizeof(ours), "/proc/%d/stat", PID);
	if (!stat_text || strcmp(path, ours) != 0)
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	fd = memfd_create("stat", MFD_CLOEXEC);
	ck_assert_int_eq(write(fd, stat_text, strlen(stat_text)), (ssize_t)strlen(stat_text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* ns */
static uint64_t monotonic, boottime;

uint64_t clock_read_ns(clockid_t id)
{
	return id == CLOCK_BOOTTIME ? boottime : monotonic;
}

uint64_t clock_ns(void)
{
	return monotonic;
}

uint64_t clock_ms(void)
{
	return monotonic / 1000000;
}

/* --- when a process started ------------------------------------------------------------------- */

static uint64_t start_of(const char *name, const char *start)
{
	static char text[1024];

	snprintf(text, sizeof(text),
		 "%d (%s) S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 %s 13 14 15\n", PID,
		 name, start);
	stat_text = text;
	return proclook_start(PID);
}

START_TEST(it_is_the_field_behind_whatever_name)
{
	ck_assert_uint_eq(start_of("cat", "123456"), 123456);
	ck_assert_uint_eq(start_of("a) R 1 2 (b c", "123456"), 123456);
	ck_assert_uint_eq(start_of("cat", "0"), 0);
}
END_TEST

/* It is told modulo 2^64 ns. */
START_TEST(who_is_older_than_the_time_namespace_has_started_at_0)
{
	ck_assert_uint_eq(start_of("cat", "1844674407369"), 0);
	ck_assert_uint_eq(start_of("cat", "1844673407370"), 0);
	/* After 200 years. */
	ck_assert_uint_eq(start_of("cat", "630720000000"), 630720000000);
}
END_TEST

START_TEST(what_is_not_told_is_the_end_of_time)
{
	ck_assert_uint_eq(proclook_start(PID), UINT64_MAX);
	stat_text = "";
	ck_assert_uint_eq(proclook_start(PID), UINT64_MAX);
	stat_text = "1 (cat) S 1 2 3 4";
	ck_assert_uint_eq(proclook_start(PID), UINT64_MAX);
	stat_text = "1 (cat)";
	ck_assert_uint_eq(proclook_start(PID), UINT64_MAX);
}
END_TEST

/* --- the same clock ----------------------------------------------------------------------------- */

/* Before any walk; the machine was suspended, or we are in a time namespace where the clocks have offsets of their own. */
START_TEST(the_time_is_that_of_starts)
{
	static const uint64_t boot[] = { 5000, 9000, 100 };

	monotonic = 5000 * NS;
	boottime = boot[_i] * NS;
	ck_assert_uint_eq(procwalk_now(), boot[_i] * TICKS);
	monotonic += 7 * NS;
	ck_assert_uint_eq(procwalk_now(), (boot[_i] + 7) * TICKS);
}
END_TEST

Suite *proclook_suite(void);
Suite *proclook_suite(void)
{
	Suite *s = suite_create("proclook");
	TCase *tc = tcase_create("times");

	tcase_add_test(tc, it_is_the_field_behind_whatever_name);
	tcase_add_test(tc, who_is_older_than_the_time_namespace_has_started_at_0);
	tcase_add_test(tc, what_is_not_told_is_the_end_of_time);
	tcase_add_loop_test(tc, the_time_is_that_of_starts, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}
