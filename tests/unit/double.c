/* SPDX-License-Identifier: MIT */
/*
 * double.c - stands in for the kernel and libfuse
 */
#include "tests/unit/double.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/rcu.h"

#define AREAS_MAX 256
#define BYTES_MAX (32 * 4096)

bool double_aborted, double_no_access, double_killed;
unsigned int double_killed_at;
pid_t double_tid;
uid_t double_uid;
unsigned int double_requests, double_answers;
uint64_t double_unique, double_again, double_progress;
void (*double_between_trips)(void), (*double_before_write)(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;

/* What is shared by a request and the copies that request_ops.keep makes of it. */
struct exchange {
	unsigned int answers;
	bool retry;
	int result;
	uint64_t progress, ends;
	size_t n_in, n_out, out_len;
	struct iovec iov[AREAS_MAX];
	unsigned char out[BYTES_MAX];
};

struct double_request {
	struct request rq;
	struct exchange *x;
	bool heap;
	bool outside; /* it has been answered while it waited for its caller */
};

static void one_answer(struct double_request *dr)
{
	ck_assert_uint_eq(++dr->x->answers, 1);
	__atomic_fetch_add(&double_answers, 1, __ATOMIC_RELAXED);
	if (dr->heap)
		free(dr);
	pthread_cond_broadcast(&answered);
}

/*
 * The caller was killed while it was waited for, and answered by somebody else. (Here the answer is given out
 * when the handler has ended: the memory that it looked at is the test's.)
 */
static void finish_outside(struct double_request *dr)
{
	pthread_mutex_lock(&lock);
	dr->x->result = -EINTR;
	one_answer(dr);
	pthread_mutex_unlock(&lock);
}

static void on_done(struct request *rq, int result, const void *out, size_t len)
{
	struct double_request *dr = (struct double_request *)rq;

	if (dr->outside) {
		finish_outside(dr);
		return;
	}
	pthread_mutex_lock(&lock);
	ck_assert_uint_le(len, rq->out_len);
	ck_assert_int_ge(result, -4095);
	dr->x->result = result;
	dr->x->out_len = len;
	if (len)
		memcpy(dr->x->out, out, len);
	one_answer(dr);
	pthread_mutex_unlock(&lock);
}

static void on_retry(struct request *rq, const struct iovec *in, size_t n_in,
		     const struct iovec *out, size_t n_out)
{
	struct double_request *dr = (struct double_request *)rq;

	pthread_mutex_lock(&lock);
	/* fuse_do_ioctl() answers ENOMEM to more; the daemon is to know that itself. */
	ck_assert_uint_le(n_in + n_out, AREAS_MAX);
	dr->x->retry = true;
	dr->x->n_in = n_in;
	dr->x->n_out = n_out;
	memcpy(dr->x->iov, in, n_in * sizeof(*in));
	memcpy(dr->x->iov + n_in, out, n_out * sizeof(*out));
	one_answer(dr);
	pthread_mutex_unlock(&lock);
}

static bool on_waiting(struct request *rq)
{
	void (*hook)(void) = double_before_write;

	ck_assert(!((struct double_request *)rq)->outside);
	double_before_write = NULL;
	if (hook)
		hook();
	return !double_aborted;
}

static bool on_wait_end(struct request *rq)
{
	struct double_request *dr = (struct double_request *)rq;

	ck_assert(!dr->outside);
	dr->outside = double_killed_at && !--double_killed_at;
	return !dr->outside;
}

static bool on_killed(struct request *rq)
{
	(void)rq;
	return double_killed;
}

struct again {
	void (*fn)(void *arg, bool stopping);
	void *arg;
};

static void *again_thread(void *arg)
{
	struct again a = *(struct again *)arg;

	free(arg);
	rcu_thread_enter();
	a.fn(a.arg, false);
	rcu_thread_leave();
	return NULL;
}

static bool on_again(struct request *rq, void (*fn)(void *arg, bool stopping), void *arg)
{
	struct again *a = malloc(sizeof(*a));
	pthread_t thread;

	ck_assert_ptr_nonnull(a);
	ck_assert(((struct double_request *)rq)->heap);
	*a = (struct again){ fn, arg };
	ck_assert_int_eq(pthread_create(&thread, NULL, again_thread, a), 0);
	pthread_detach(thread);
	return true;
}

static struct request *on_keep(struct request *rq)
{
	struct double_request *dr = (struct double_request *)rq, *copy;

	if (dr->heap)
		return rq;
	copy = malloc(sizeof(*copy));
	ck_assert_ptr_nonnull(copy);
	*copy = *dr;
	copy->heap = true;
	copy->rq.in = NULL;
	copy->rq.in_len = 0;
	/* Whoever still uses the original is caught by the sanitizer or by this. */
	memset(&dr->rq, 0xa5, sizeof(dr->rq));
	return &copy->rq;
}

static const struct request_ops ops = {
	.done = on_done,
	.retry = on_retry,
	.waiting = on_waiting,
	.keep = on_keep,
	.wait_end = on_wait_end,
	.killed = on_killed,
	.again = on_again,
};

static size_t total(const struct iovec *iov, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* copy_from_user() and copy_to_user() of a list of areas. */
static bool copy_areas(const struct iovec *iov, size_t n, void *buf, size_t len, bool to_user)
{
	struct iovec local = { buf, len };
	ssize_t k;

	if (!len)
		return true;
	k = to_user ? process_vm_writev(getpid(), &local, 1, iov, n, 0)
		    : process_vm_readv(getpid(), &local, 1, iov, n, 0);
	return k == (ssize_t)len;
}

static void wait_for_answer(struct exchange *x)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 50;
	pthread_mutex_lock(&lock);
	while (!x->answers && !err)
		err = pthread_cond_timedwait(&answered, &lock, &until);
	pthread_mutex_unlock(&lock);
	ck_assert_msg(x->answers == 1, "a request was never answered");
}

static void number(struct request *rq, struct exchange *x)
{
	unsigned int n = __atomic_add_fetch(&double_requests, 1, __ATOMIC_RELAXED);

	rq->again = double_again != 0;
	rq->unique = rq->again ? double_again : 2 * (uint64_t)n;
	__atomic_store_n(&double_unique, rq->unique, __ATOMIC_RELAXED);
	x->progress = rq->again ? double_progress : 0;
	x->ends = 0;
	rq->progress = &x->progress;
	rq->ends = &x->ends;
}

/* One request. Return: whether another is to follow. */
static bool one_trip(struct device *dev, struct exchange *x, struct double_request dr,
		     struct double_result *r, const unsigned char *in)
{
	number(&dr.rq, x);
	dr.rq.in = in;
	dr.rq.in_len = total(x->iov, x->n_in);
	dr.rq.out_len = total(x->iov + x->n_in, x->n_out);
	x->answers = 0;
	x->retry = false;
	dr.x = x;
	r->trips++;
	dev->ioctl(dev, &dr.rq);
	wait_for_answer(x);
	__atomic_store_n(&double_progress, x->progress, __ATOMIC_RELAXED);
	if (x->ends && dev->ended)
		dev->ended(dev, x->ends);
	r->answers += x->answers;
	return x->retry;
}

struct double_result double_ioctl_full(struct device *dev, uint64_t fh, uint32_t cmd, uint64_t arg,
				       enum double_mode mode, bool compat)
{
	struct double_result r = { 0 };
	struct exchange *x = calloc(1, sizeof(*x));
	unsigned char *in = malloc(BYTES_MAX);
	struct double_request dr = {
		.rq = { .ops = &ops,
			.fh = fh,
			.arg = arg,
			.cmd = cmd,
			.uid = double_uid,
			.compat = compat },
	};

	if (mode == DOUBLE_DIRECT)
		/* No such thread: process_vm_readv(2) fails as for one without permission. */
		dr.rq.tid = double_no_access ? INT_MAX : double_tid ? double_tid : gettid();
	while (one_trip(dev, x, dr, &r, in)) {
		ck_assert_uint_lt(r.trips, 10);
		if (double_between_trips)
			double_between_trips();
		if (total(x->iov, x->n_in) > BYTES_MAX ||
		    total(x->iov + x->n_in, x->n_out) > BYTES_MAX) {
			x->result = -ENOMEM;
			break;
		}
		if (!copy_areas(x->iov, x->n_in, in, total(x->iov, x->n_in), false)) {
			x->result = -EFAULT;
			break;
		}
	}
	r.result = x->result;
	if (!x->retry && !copy_areas(x->iov + x->n_in, x->n_out, x->out, x->out_len, true))
		r.result = -EFAULT;
	ck_assert_uint_eq(r.trips, r.answers);
	free(in);
	free(x);
	return r;
}

int double_ioctl(struct device *dev, uint64_t fh, uint32_t cmd, const void *arg,
		 enum double_mode mode)
{
	return double_ioctl_full(dev, fh, cmd, (uintptr_t)arg, mode, false).result;
}
