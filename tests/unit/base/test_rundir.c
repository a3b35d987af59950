/* SPDX-License-Identifier: MIT */
/*
 * base/test_rundir.c - the run directory: whose it is, who can write on the way to it
 *
 * In a directory of our own below /tmp, which anybody can write to and which has the sticky bit.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rundir.h"
#include "base/why.h"
#include "tests/unit/suite.h"

static char top[64], text[512];
static const struct why why = { text, sizeof(text) };

/* A name below the directory of this test. */
static const char *below(const char *name)
{
	static char path[4][160];
	static unsigned int n;

	snprintf(path[++n % 4], sizeof(path[0]), "%s/%s", top, name);
	return path[n % 4];
}

static void setup(void)
{
	strcpy(top, "/tmp/gntdev-rundir-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chmod(top, 0755), 0);
	umask(0);
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

static void make_dir(const char *name, mode_t mode)
{
	ck_assert_int_eq(mkdir(below(name), 0700), 0);
	ck_assert_int_eq(chmod(below(name), mode), 0);
}

static void good(const char *name, bool made)
{
	bool was_made = !made;

	ck_assert_msg(rundir_make(below(name), &was_made, &why), "%s", text);
	ck_assert_int_eq(was_made, made);
}

static void refused(const char *path, const char *part)
{
	bool made;

	ck_assert(!rundir_make(path, &made, &why));
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in: %s", part, text);
	ck_assert(!made);
}

START_TEST(made_for_all)
{
	struct stat st;

	umask(077);
	good("run", true);
	ck_assert_int_eq(stat(below("run"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
	ck_assert(!rundir_closed(below("run")));
	good("run", false);
	good("run/", false);
	good("run/below/", true);
}
END_TEST

START_TEST(no_directory)
{
	refused("run", "--run-dir=run: an absolute path is wanted");
	refused("", "an absolute path is wanted");
	refused(below("not/there"), "cannot make the run directory /tmp/gntdev-rundir-");
	ck_assert_int_eq(mknod(below("file"), S_IFREG | 0644, 0), 0);
	refused(below("file"), "file is no directory");
	refused(below("file/run"), "is no directory");
}
END_TEST

START_TEST(others_can_write)
{
	make_dir("group", 0775);
	refused(below("group"), "others can write to the directory (mode 0775)");
	refused(below("group/run"), "chmod go-w /tmp/gntdev-rundir-");
	ck_assert_int_ne(access(below("group/run"), F_OK), 0);
	/* Above it that is allowed, as /tmp is; in it anybody could make a socket. */
	make_dir("sticky", 01777);
	refused(below("sticky"), "(mode 1777)");
	good("sticky/run", true);
}
END_TEST

START_TEST(links)
{
	make_dir("open", 0777);
	make_dir("open/run", 0755);
	make_dir("closed", 0755);
	ck_assert_int_eq(symlink("closed", below("good")), 0);
	good("good", false);
	good("good/run", true);
	/* Where a link leads is looked at, and so is what leads to the link. */
	ck_assert_int_eq(symlink("open/run", below("bad")), 0);
	refused(below("bad"), "open: others can write");
	ck_assert_int_eq(symlink("../closed", below("open/link")), 0);
	refused(below("open/link"), "open: others can write");
	ck_assert_int_eq(symlink("nowhere", below("dangling")), 0);
	refused(below("dangling"), "cannot make the run directory");
}
END_TEST

/* Only root can give things away. */
START_TEST(of_somebody_else)
{
	if (geteuid())
		return;
	make_dir("other", 0755);
	make_dir("other/run", 0755);
	ck_assert_int_eq(chown(below("other"), 4711, 0), 0);
	refused(below("other"), "other: the directory belongs to user 4711");
	refused(below("other/run"), "other: the directory belongs to user 4711");
	make_dir("run", 0755);
	ck_assert_int_eq(symlink("run", below("link")), 0);
	ck_assert_int_eq(lchown(below("link"), 4711, 0), 0);
	refused(below("link"), "link: the symbolic link belongs to user 4711");
	refused(below("link/new"), "link: the symbolic link belongs to user 4711");
}
END_TEST

START_TEST(closed_to_clients)
{
	make_dir("closed", 0700);
	good("closed", false);
	ck_assert(rundir_closed(below("closed")));
}
END_TEST

Suite *rundir_suite(void);

Suite *rundir_suite(void)
{
	const TTest *const tests[] = { made_for_all, no_directory,     others_can_write,
				       links,	     of_somebody_else, closed_to_clients };

	return suite_of("rundir", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
