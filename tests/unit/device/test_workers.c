/* SPDX-License-Identifier: MIT */
/*
 * device/test_workers.c - threads that take requests, of which some are always free to
 *
 * A request is a byte in a pipe: 'h' hangs until it is let go, 's' is served, 'e' is the last of all.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "device/workers.h"

#define USUAL 2

static struct {
	struct workers *workers;
	int pipe[2];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool let_go;
	unsigned int hanging, served, waiting, threads;
} f = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static __thread char request;

static void change(unsigned int *what, int by)
{
	pthread_mutex_lock(&f.lock);
	*what += (unsigned int)by;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
}

/* Generous: it is for hangs. */
static void wait_until(const unsigned int *what, unsigned int is)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	pthread_mutex_lock(&f.lock);
	while (*what != is && !err)
		err = pthread_cond_timedwait(&f.changed, &f.lock, &until);
	ck_assert_uint_eq(*what, is);
	pthread_mutex_unlock(&f.lock);
}

static void *begin(void *arg)
{
	change(&f.threads, 1);
	return arg;
}

static int receive(void *own)
{
	ssize_t n = read(f.pipe[0], &request, 1);

	(void)own;
	return n == 1 ? 1 : n < 0 && errno == EINTR ? 0 : -1;
}

static void handle(void *own)
{
	(void)own;
	if (request == 's') {
		change(&f.served, 1);
		return;
	}
	change(&f.hanging, 1);
	pthread_mutex_lock(&f.lock);
	while (!f.let_go)
		pthread_cond_wait(&f.changed, &f.lock);
	pthread_mutex_unlock(&f.lock);
	change(&f.hanging, -1);
}

static bool next(void *own)
{
	bool one;

	(void)own;
	pthread_mutex_lock(&f.lock);
	one = f.waiting > 0;
	f.waiting -= one;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
	return one;
}

static bool tick(void *arg, bool *more)
{
	(void)arg;
	pthread_mutex_lock(&f.lock);
	*more = f.waiting > 0;
	pthread_mutex_unlock(&f.lock);
	return false;
}

static void end(void *own)
{
	(void)own;
	change(&f.threads, -1);
}

static const struct workers_ops ops = {
	.begin = begin,
	.receive = receive,
	.handle = handle,
	.next = next,
	.tick = tick,
	.end = end,
};

static void start(void)
{
	ck_assert_int_eq(pipe(f.pipe), 0);
	ck_assert_int_eq(workers_new(&ops, &f, USUAL, &f.workers), 0);
	wait_until(&f.threads, USUAL);
}

static void ask(char what)
{
	ck_assert_int_eq(write(f.pipe[1], &what, 1), 1);
}

static void let_go(void)
{
	pthread_mutex_lock(&f.lock);
	f.let_go = true;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
	wait_until(&f.hanging, 0);
}

static void stop(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	workers_stop(f.workers);
	while (workers_join(f.workers))
		nanosleep(&pause, NULL);
	wait_until(&f.threads, 0);
	workers_destroy(f.workers);
	workers_destroy(NULL);
}

START_TEST(served)
{
	unsigned int n, busy;

	start();
	for (int i = 0; i < 100; i++)
		ask('s');
	wait_until(&f.served, 100);
	ck_assert(workers_serve(f.workers));
	workers_counts(f.workers, &n, &busy);
	ck_assert_uint_ge(n, USUAL);
	stop();
}
END_TEST

/* However many hang, the next one is served; and no more threads are made than that takes. */
START_TEST(some_hang)
{
	unsigned int n, busy;

	start();
	for (unsigned int i = 1; i <= 50; i++) {
		ask('h');
		ask('s');
		wait_until(&f.served, i);
	}
	wait_until(&f.hanging, 50);
	ck_assert(workers_serve(f.workers));
	workers_counts(f.workers, &n, &busy);
	ck_assert_uint_ge(busy, 50);
	ck_assert_uint_le(n, 50 + 64 + USUAL);
	let_go();
	ask('s');
	wait_until(&f.served, 51);
	stop();
}
END_TEST

START_TEST(all_at_once)
{
	start();
	for (int i = 0; i < 128; i++)
		ask('h');
	ask('s');
	wait_until(&f.served, 1);
	wait_until(&f.hanging, 128);
	let_go();
	stop();
}
END_TEST

/* There is an end to it; whoever watches over the process is told. */
START_TEST(too_many_hang)
{
	start();
	for (int i = 0; i < WORKERS_MAX + 1; i++)
		ask('h');
	wait_until(&f.hanging, WORKERS_MAX);
	workers_serve(f.workers);
	ck_assert(!workers_serve(f.workers));
	let_go();
	ask('s');
	wait_until(&f.served, 1);
	ck_assert(workers_serve(f.workers));
	stop();
}
END_TEST

/* One that waits for a thread gets one though all others wait for requests, or hang. */
START_TEST(next_is_run)
{
	start();
	change(&f.waiting, 1);
	workers_rouse(f.workers);
	wait_until(&f.waiting, 0);
	ask('h');
	ask('h');
	wait_until(&f.hanging, 2);
	change(&f.waiting, 3);
	workers_rouse(f.workers);
	wait_until(&f.waiting, 0);
	let_go();
	stop();
}
END_TEST

/* Threads that are not needed any more go aside, and come back: none is made anew. */
START_TEST(put_aside)
{
	unsigned int n = WORKERS_MAX, busy, most;

	start();
	for (int i = 0; i < 20; i++)
		ask('h');
	wait_until(&f.hanging, 20);
	let_go();
	for (int i = 0; i < 3000 && n > USUAL; i++) {
		const struct timespec pause = { .tv_nsec = 10000000 };

		ask('s');
		nanosleep(&pause, NULL);
		workers_counts(f.workers, &n, &busy);
	}
	ck_assert_uint_eq(n, USUAL);
	most = f.threads;
	pthread_mutex_lock(&f.lock);
	f.let_go = false;
	pthread_mutex_unlock(&f.lock);
	for (int i = 0; i < 10; i++)
		ask('h');
	wait_until(&f.hanging, 10);
	ck_assert_uint_eq(f.threads, most);
	let_go();
	stop();
}
END_TEST

START_TEST(no_more_requests)
{
	start();
	close(f.pipe[1]);
	wait_until(&f.threads, 0);
	stop();
}
END_TEST

Suite *workers_suite(void);

Suite *workers_suite(void)
{
	Suite *s = suite_create("workers");
	TCase *tc = tcase_create("workers");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, served);
	tcase_add_test(tc, some_hang);
	tcase_add_test(tc, all_at_once);
	tcase_add_test(tc, too_many_hang);
	tcase_add_test(tc, next_is_run);
	tcase_add_test(tc, put_aside);
	tcase_add_test(tc, no_more_requests);
	suite_add_tcase(s, tc);
	return s;
}
