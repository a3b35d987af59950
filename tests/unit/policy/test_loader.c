/* SPDX-License-Identifier: MIT */
/*
 * policy/test_loader.c - a policy is read on a thread of its own: nobody waits for a look-up
 *
 * getpwnam_r() is ours: it answers when a test lets it.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/loader.h"
#include "policy/policy.h"
#include "tests/unit/suite.h"

static sem_t asked, answered;
static char file[64];
static struct policy_why why;
static struct policy_loader *l;

int getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t size, struct passwd **result)
{
	(void)name;
	(void)buf;
	(void)size;
	sem_post(&asked);
	sem_wait(&answered);
	pw->pw_uid = 1000;
	*result = pw;
	return 0;
}

static void put(const char *text)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void setup(void)
{
	int fd;

	sem_init(&asked, 0, 0);
	sem_init(&answered, 0, 0);
	strcpy(file, "/tmp/gntdev-loader-XXXXXX");
	fd = mkstemp(file);
	ck_assert_int_ge(fd, 0);
	close(fd);
	l = policy_loader_new(file, true);
	ck_assert_ptr_nonnull(l);
	put("rule a { user = alice action = deny }");
}

static void teardown(void)
{
	policy_loader_free(l);
	unlink(file);
}

/* Whether there is a result within @ms. */
static bool ready(int ms)
{
	struct pollfd p = { .fd = policy_loader_fd(l), .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static struct policy *take(void)
{
	struct policy *p = NULL;

	ck_assert(ready(30000));
	ck_assert_int_eq(policy_loader_take(l, &p, &why), 0);
	return p;
}

START_TEST(nobody_waits)
{
	struct policy *p = NULL;

	ck_assert_int_eq(policy_loader_begin(l), 0);
	sem_wait(&asked);
	ck_assert(!ready(0));
	ck_assert_int_eq(policy_loader_take(l, &p, &why), -EAGAIN);
	sem_post(&answered);
	p = take();
	ck_assert_uint_eq(policy_n_rules(p), 1);
	policy_free(p);
	ck_assert(!ready(0));
}
END_TEST

START_TEST(what_is_wrong_is_told)
{
	struct policy *p = NULL;

	put("rule a { action = alow }");
	ck_assert_int_eq(policy_loader_begin(l), 0);
	ck_assert(ready(30000));
	ck_assert_int_eq(policy_loader_take(l, &p, &why), -EINVAL);
	ck_assert_ptr_null(p);
	ck_assert_ptr_nonnull(strstr(why.text[0], ":1: action \"alow\""));
	unlink(file);
	ck_assert_int_eq(policy_loader_begin(l), 0);
	ck_assert(ready(30000));
	ck_assert_int_eq(policy_loader_take(l, &p, &why), -ENOENT);
}
END_TEST

/* Asked for once more meanwhile: what is in the files then counts, and each is told once. */
START_TEST(once_more)
{
	struct policy *p = NULL;

	ck_assert_int_eq(policy_loader_begin(l), 0);
	sem_wait(&asked);
	put("rule a { user = 1 action = deny } rule b { user = bob action = deny }");
	ck_assert_int_eq(policy_loader_begin(l), 0);
	ck_assert_int_eq(policy_loader_begin(l), 0);
	sem_post(&answered);
	ck_assert(ready(30000));
	ck_assert_int_eq(policy_loader_take(l, &p, &why), -EAGAIN);
	ck_assert_ptr_null(p);
	sem_wait(&asked);
	sem_post(&answered);
	p = take();
	ck_assert_uint_eq(policy_n_rules(p), 2);
	policy_free(p);
	ck_assert(!ready(20));
}
END_TEST

static unsigned int threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned int n = 0;

	ck_assert_ptr_nonnull(d);
	for (struct dirent *e; (e = readdir(d));)
		n += *e->d_name != '.';
	closedir(d);
	return n;
}

/* The loader goes while a look-up hangs, and a result that nobody takes goes with it. */
START_TEST(freed_meanwhile)
{
	ck_assert_int_eq(policy_loader_begin(l), 0);
	sem_wait(&asked);
	policy_loader_free(l);
	sem_post(&answered);
	/* One loader at a time reads. */
	while (threads() > 1)
		usleep(1000);
	l = policy_loader_new(file, true);
	put("");
	ck_assert_int_eq(policy_loader_begin(l), 0);
	ck_assert(ready(30000));
}
END_TEST

Suite *loader_suite(void);

Suite *loader_suite(void)
{
	const TTest *const tests[] = { nobody_waits, what_is_wrong_is_told, once_more,
				       freed_meanwhile };

	return suite_of("loader", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
