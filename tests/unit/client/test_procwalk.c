/* SPDX-License-Identifier: MIT */
/*
 * client/test_procwalk.c - a walk through a /proc that does not show all
 *
 * readdir(3) is ours: it leaves out what a /proc mounted with hidepid= does not list.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/rcu.h"
#include "client/procwalk.h"
#include "tests/unit/suite.h"

static const char *hidden;

struct dirent *readdir(DIR *dir)
{
	struct dirent *e;

	/* The same, by its other name. */
	do
		e = (struct dirent *)readdir64(dir);
	while (e && hidden && !strcmp(e->d_name, hidden));
	return e;
}

static bool nothing(const char *name)
{
	(void)name;
	return false;
}

static void found(struct procwalk_visitor *v, pid_t pid, const struct procmaps_file *file)
{
	(void)v;
	(void)file;
	ck_abort_msg("process %d holds what nobody looks for", (int)pid);
}

static void blocked(struct procwalk_visitor *v, pid_t pid, uint64_t start, bool late)
{
	(void)v;
	(void)pid;
	(void)start;
	(void)late;
}

static int walk(void)
{
	struct procwalk_visitor v = { .wanted = nothing, .found = found, .blocked = blocked };

	return procwalk(&v);
}

/* Process 1 is always there, and one of the last that anybody but root may look at. */
START_TEST(not_all_processes_are_shown)
{
	ck_assert_int_ge(walk(), 0);
	hidden = "1";
	ck_assert_int_eq(walk(), -EACCES);
}
END_TEST

Suite *procwalk_suite(void);

Suite *procwalk_suite(void)
{
	const TTest *const tests[] = { not_all_processes_are_shown };

	return suite_of("procwalk", tests, sizeof(tests) / sizeof(tests[0]), rcu_thread_enter,
			rcu_thread_leave);
}
