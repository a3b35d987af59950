/* SPDX-License-Identifier: MIT */
/*
 * device/test_stream.c - reads that sleep, writes, polls
 *
 * The kernel is ours (fake_cuse.h), and so is whether a caller has a signal. The device answers a read with what was written, byte by
 * byte, and has one that finds nothing sleep.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/pending.h"
#include "device/session.h"
#include "tests/unit/device/fake_cuse.h"

#define PATIENCE_MS 30000
#define SLEEPERS    8

static struct {
	pthread_mutex_t lock;
	struct session *session;
	char bytes[64];
	size_t n;
	struct request *sleeper[SLEEPERS];
	uint64_t wake;
	bool signal;
	unsigned int interrupts;
} f;

bool pending_interrupts(pid_t tid)
{
	ck_assert_int_eq(tid, getpid());
	return __atomic_load_n(&f.signal, __ATOMIC_RELAXED);
}

/* --- the device --------------------------------------------------------------------------------- */

static int device_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	(void)dev;
	(void)by;
	(void)flags;
	*fh = 5;
	return 0;
}

static void device_release(struct device *dev, uint64_t fh)
{
	(void)dev;
	(void)fh;
}

/* Locked. */
static void answer(struct request *rq)
{
	size_t n = rq->out_len < f.n ? rq->out_len : f.n;

	request_done(rq, 0, f.bytes, n);
	f.n -= n;
	memmove(f.bytes, f.bytes + n, f.n);
}

static void device_read(struct device *dev, struct request *rq)
{
	unsigned int i = 0;

	(void)dev;
	pthread_mutex_lock(&f.lock);
	if (f.n) {
		answer(rq);
	} else if (rq->nonblock) {
		request_done(rq, -EAGAIN, NULL, 0);
	} else {
		while (f.sleeper[i])
			i++;
		f.sleeper[i] = request_sleep(rq);
	}
	pthread_mutex_unlock(&f.lock);
}

static void device_write(struct device *dev, struct request *rq)
{
	size_t n = rq->in_len < 7 ? rq->in_len : 7;

	pthread_mutex_lock(&f.lock);
	memcpy(f.bytes + f.n, rq->in, n);
	f.n += n;
	for (unsigned int i = 0; i < SLEEPERS && f.n; i++) {
		if (!f.sleeper[i])
			continue;
		answer(f.sleeper[i]);
		f.sleeper[i] = NULL;
	}
	if (f.wake && f.n)
		dev->wake(dev->session, f.wake);
	f.wake = 0;
	pthread_mutex_unlock(&f.lock);
	request_done(rq, (int)n, NULL, 0);
}

static void device_poll(struct device *dev, struct request *rq)
{
	(void)dev;
	pthread_mutex_lock(&f.lock);
	if (rq->wake)
		f.wake = rq->wake;
	pthread_mutex_unlock(&f.lock);
	request_done(rq, f.n ? POLLIN | POLLOUT : POLLOUT, NULL, 0);
}

static void device_interrupted(struct device *dev, uint64_t fh, uint64_t unique)
{
	(void)dev;
	ck_assert_uint_eq(fh, 5);
	pthread_mutex_lock(&f.lock);
	f.interrupts++;
	for (unsigned int i = 0; i < SLEEPERS; i++) {
		if (f.sleeper[i] && f.sleeper[i]->unique == unique) {
			request_done(f.sleeper[i], -EINTR, NULL, 0);
			f.sleeper[i] = NULL;
		}
	}
	pthread_mutex_unlock(&f.lock);
}

static struct device device = {
	.name = "made/up",
	.open = device_open,
	.read = device_read,
	.write = device_write,
	.poll = device_poll,
	.interrupted = device_interrupted,
	.release = device_release,
};

/* --- tests -------------------------------------------------------------------------------------- */

static uint64_t fh;

static const struct fake_answer *wait_for(uint64_t unique)
{
	const struct fake_answer *a = fake_answer(unique, PATIENCE_MS);

	ck_assert_ptr_nonnull(a);
	ck_assert_uint_eq(a->times, 1);
	return a;
}

static void setup(void)
{
	const struct session_config c = { .dev = &device, .workers = 2 };
	char why[200];

	pthread_mutex_init(&f.lock, NULL);
	fake_cuse_begin();
	ck_assert_int_eq(session_new(&c, &f.session, why, sizeof(why)), 0);
	ck_assert_int_eq(session_start(f.session), 0);
	fh = wait_for(fake_open())->fh;
}

static void teardown(void)
{
	wait_for(fake_release(fh));
	ck_assert_int_eq(session_stop(f.session, 10000), SESSION_ENDED);
	fake_cuse_end();
	session_destroy(f.session);
}

static void sleepers_become(unsigned int wanted)
{
	unsigned int n = ~0U;

	for (unsigned int ms = 0; ms < PATIENCE_MS && n != wanted; ms++) {
		usleep(1000);
		n = 0;
		pthread_mutex_lock(&f.lock);
		for (unsigned int i = 0; i < SLEEPERS; i++)
			n += f.sleeper[i] != NULL;
		pthread_mutex_unlock(&f.lock);
	}
	ck_assert_uint_eq(n, wanted);
}

START_TEST(reads_and_writes)
{
	const struct fake_answer *a = wait_for(fake_write(fh, 3));

	ck_assert_int_eq(a->result, 3);
	ck_assert_int_eq(wait_for(fake_write(fh, 100))->result, 7);
	a = wait_for(fake_read(fh, 8, 0));
	ck_assert_uint_eq(a->bytes, sizeof(struct fuse_out_header) + 8);
	ck_assert_int_eq(a->result, 0x5a5a5a5a);
	ck_assert_uint_eq(wait_for(fake_read(fh, 64, 0))->bytes,
			  sizeof(struct fuse_out_header) + 2);
	a = wait_for(fake_read(fh, 64, O_NONBLOCK));
	ck_assert_int_eq(a->error, -EAGAIN);
}
END_TEST

/* More of them than an open has threads: none has one. */
START_TEST(sleepers_have_no_threads)
{
	struct session_counts n;
	uint64_t unique[SLEEPERS];

	for (unsigned int i = 0; i < SLEEPERS; i++)
		unique[i] = fake_read(fh, 1, 0);
	sleepers_become(SLEEPERS);
	session_counts(f.session, &n);
	ck_assert_uint_eq(n.workers, 2);
	ck_assert_int_eq(wait_for(fake_write(fh, 7))->result, 7);
	ck_assert_int_eq(wait_for(fake_write(fh, 1))->result, 1);
	for (unsigned int i = 0; i < SLEEPERS; i++)
		ck_assert_uint_eq(wait_for(unique[i])->bytes, sizeof(struct fuse_out_header) + 1);
}
END_TEST

/* A signal is looked at as long as it sleeps, also one that came before the read. */
START_TEST(interrupts)
{
	uint64_t first = fake_read(fh, 1, 0), second;

	sleepers_become(1);
	fake_interrupt(first);
	usleep(100000);
	ck_assert_ptr_null(fake_answer(first, 0));
	ck_assert_uint_eq(f.interrupts, 0);
	__atomic_store_n(&f.signal, true, __ATOMIC_RELAXED);
	ck_assert_int_eq(wait_for(first)->error, -EINTR);
	second = cuse.sent * 2 + 4;
	fake_interrupt(second);
	usleep(100000);
	ck_assert_uint_eq(fake_read(fh, 1, 0), second);
	ck_assert_int_eq(wait_for(second)->error, -EINTR);
	ck_assert_uint_ge(f.interrupts, 2);
	/* Others sleep. */
	first = fake_read(fh, 1, 0);
	sleepers_become(1);
	wait_for(fake_write(fh, 1));
	ck_assert_int_eq(wait_for(first)->error, 0);
}
END_TEST

START_TEST(polls)
{
	ck_assert_int_eq(wait_for(fake_poll(fh, 0))->result, POLLOUT);
	wait_for(fake_write(fh, 1));
	ck_assert_uint_eq(cuse.wakes, 0);
	ck_assert_int_eq(wait_for(fake_poll(fh, 17))->result, POLLIN | POLLOUT);
	wait_for(fake_write(fh, 1));
	ck_assert_uint_eq(cuse.wakes, 1);
	ck_assert_uint_eq(cuse.woken, 17);
}
END_TEST

Suite *stream_suite(void);
Suite *stream_suite(void)
{
	Suite *s = suite_create("stream");
	TCase *tc = tcase_create("stream");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reads_and_writes);
	tcase_add_test(tc, sleepers_have_no_threads);
	tcase_add_test(tc, interrupts);
	tcase_add_test(tc, polls);
	suite_add_tcase(s, tc);
	return s;
}
