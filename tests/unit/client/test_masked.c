/* SPDX-License-Identifier: MIT */
/*
 * client/test_masked.c - whether a client is in the midst of an exchange: by its signal masks
 */
#include "client/masked.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum mask {
	NOTHING,
	ALL_OF_ALL, /* as the preload object */
	ALL_OF_A_LIBRARY,
	ALL_IN_A_THREAD,
};

static int ready;

static void mask_all(void)
{
	const uint64_t all = ~UINT64_C(0);

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
}

static void say_and_wait(void)
{
	(void)!write(ready, "", 1);
	for (;;)
		pause();
}

static void *other_thread(void *arg)
{
	mask_all();
	say_and_wait();
	return arg;
}

static void be(enum mask m)
{
	pthread_t t;
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigfillset(&all);
	if (m == ALL_OF_ALL)
		mask_all();
	else if (m == ALL_OF_A_LIBRARY)
		sigprocmask(SIG_SETMASK, &all, NULL);
	if (m == ALL_IN_A_THREAD)
		pthread_create(&t, NULL, other_thread, NULL);
	else
		say_and_wait();
	for (;;)
		pause();
}

START_TEST(masks_are_seen)
{
	int fd[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe(fd), 0);
	ready = fd[1];
	pid = fork();
	if (!pid)
		be((enum mask)_i);
	ck_assert_int_eq(read(fd[0], &c, 1), 1);
	ck_assert_int_eq(masked_any(pid), _i == ALL_OF_ALL || _i == ALL_IN_A_THREAD);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(!masked_any(pid));
	close(fd[0]);
	close(fd[1]);
}
END_TEST

Suite *masked_suite(void);
Suite *masked_suite(void)
{
	Suite *s = suite_create("masked");
	TCase *tc = tcase_create("masked");

	tcase_add_loop_test(tc, masks_are_seen, NOTHING, ALL_IN_A_THREAD + 1);
	suite_add_tcase(s, tc);
	return s;
}
