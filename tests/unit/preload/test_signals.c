/* SPDX-License-Identifier: MIT */
/*
 * preload/test_signals.c - mmap with signals, cancellation and other threads
 */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/preload/daemon.h"

static volatile sig_atomic_t handled;
static int calls_when_handled;
static char *mapped_in_handler;

static void on_signal(int sig)
{
	(void)sig;
	calls_when_handled = calls.n;
	daemon_.before = NULL;
	mapped_in_handler = preload_mmap(NULL, 3 * PAGE, RW, MAP_SHARED, device, 0);
	handled++;
}

static void send_signal(void)
{
	kill(getpid(), SIGUSR1);
}

START_TEST(signals_wait_for_the_end)
{
	const struct sigaction action = { .sa_handler = on_signal };
	int n;
	char *p;

	p = map(3 * PAGE, RW, MAP_SHARED);
	n = calls.n;
	munmap(p, 3 * PAGE);
	sigaction(SIGUSR1, &action, NULL);
	daemon_.before = send_signal;
	p = map(3 * PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(calls_when_handled, n);
	/* And in the handler it worked as well. */
	ck_assert_ptr_ne(mapped_in_handler, MAP_FAILED);
	ck_assert_ptr_ne(mapped_in_handler, p);
	ck_assert_int_eq(windows(), 2);
	munmap(p, 3 * PAGE);
	munmap(mapped_in_handler, 3 * PAGE);
}
END_TEST

static pthread_t to_cancel;
static char *mapped_when_cancelled;

static void cancel(void)
{
	pthread_cancel(to_cancel);
}

static atomic_bool cancelled;

/* For good: AddressSanitizer cannot tear down a thread that left its frames in this way. */
static void stay_cancelled(void *arg)
{
	(void)arg;
	cancelled = true;
	for (;;)
		pause();
}

static void *map_and_wait(void *type)
{
	pthread_setcanceltype(type ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, NULL);
	pthread_cleanup_push(stay_cancelled, NULL);
	mapped_when_cancelled = preload_mmap(NULL, 3 * PAGE, RW, MAP_SHARED, device, 0);
	pause();
	pthread_cleanup_pop(0);
	return NULL;
}

/* _i: whether cancellation strikes at any instruction. */
START_TEST(cancellation_waits_for_the_end)
{
	const int fds = descriptors();

	daemon_.before = cancel;
	ck_assert_int_eq(pthread_create(&to_cancel, NULL, map_and_wait, _i ? "any" : NULL), 0);
	while (!cancelled)
		usleep(1000);
	ck_assert_int_eq(descriptors(), fds);
	ck_assert_int_eq(windows(), 1);
	if (!_i)
		assert_pages(mapped_when_cancelled, one_piece_pages, 3);
}
END_TEST

static void *map_often(void *arg)
{
	for (int i = 0; i < 50; i++) {
		char *p = preload_mmap(NULL, 3 * PAGE, RW, MAP_SHARED, device, 0);

		if (p == MAP_FAILED || memcmp(p + PAGE, &one_piece_pages[1], 4) != 0)
			return "failed";
		munmap(p, 3 * PAGE);
	}
	return arg;
}

START_TEST(threads_map_at_once)
{
	const int fds = descriptors();
	pthread_t thread[8];
	void *failed;

	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, map_often, NULL), 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(thread[i], &failed);
		ck_assert_ptr_null(failed);
	}
	ck_assert_int_eq(daemon_.asked, 400);
	ck_assert_int_eq(descriptors(), fds);
	ck_assert_int_eq(windows(), 0);
}
END_TEST

static void add_case(Suite *s, const char *name, void (*before)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, before, tear_down);
	tcase_add_test(tc, signals_wait_for_the_end);
	tcase_add_loop_test(tc, cancellation_waits_for_the_end, 0, 2);
	tcase_add_test(tc, threads_map_at_once);
	suite_add_tcase(s, tc);
}

Suite *signals_suite(void);

Suite *signals_suite(void)
{
	Suite *s = suite_create("preload_signals");

	add_case(s, "threads", set_up);
	add_case(s, "threads by ioctl", set_up_by_ioctl);
	return s;
}
