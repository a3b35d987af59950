/* SPDX-License-Identifier: MIT */
/*
 * device/copy.c - GRANT_COPY
 *
 * Segments are taken in order and in batches (device/segments.c): read a batch, carry out those before the
 * first bad one, write their data and statuses, stop at the bad one with its errno.
 *
 * A segment whose grant is paged out (GNTST_eagain) is tried again on the defer thread: the whole
 * call waits, but only that. It is finished on a thread of its own.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/defer.h"
#include "base/rcu.h"
#include "device/dispatch.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "device/segments.h"

/*
 * struct copy_job - a GRANT_COPY under way
 * @call:  the request and its caller; kept once the job outlives its handler
 * @b:     the batch at hand; not started while the count is 0
 * @tries: of this batch
 */
struct copy_job {
	struct defer_item retry;
	struct gntdev *gd;
	struct ioctl_call *call;
	unsigned int tries;
	struct copy_batch b;
};

/* Say, of a call that has failed, where and why; free all but the call, which is to be ended. */
static struct ioctl_call *job_free(struct copy_job *j, int result)
{
	struct ioctl_call *call = j->call;
	struct copy_batch *b = &j->b;
	struct caller *c = &call->c;

	c->ev.count = b->count;
	if (result == -EPERM && b->refused)
		enforce_failed(j->gd, c, &b->refusal);
	if (result < 0)
		caller_why(c, 0, c->failed.why, "segment %u of %u ends the call%s%s",
			   b->first + b->good, b->count, b->refused ? ": " : "",
			   b->refused ? b->refusal.text : "");
	batch_end(b);
	free(j);
	return call;
}

static void job_end(struct copy_job *j, int result)
{
	ioctl_end(&gntdev_ioctls, job_free(j, result), result);
}

/*
 * wait_for_page() - have this batch tried again later
 *
 * Return: false if that cannot be.
 */
static bool wait_for_page(struct copy_job *j)
{
	struct ioctl_call *kept;

	if (++j->tries >= GNTDEV_EAGAIN_TRIES)
		return false;
	kept = ioctl_keep(j->call);
	if (!kept)
		return false;
	j->call = kept;
	j->b.c = &kept->c;
	/* Nobody waits with pages that others want. */
	return batch_give_back(&j->b) && defer_after(j->gd->defer, &j->retry, j->tries);
}

/* Carry out what is pending of this batch. Return: false if the job waits. */
static bool copy_batch(struct copy_job *j, bool may_wait)
{
	batch_copy(&j->b);
	if (!batch_again(&j->b))
		return true;
	if (may_wait && wait_for_page(j))
		return false;
	batch_give_up(&j->b);
	return true;
}

/*
 * job_run() - go on with the job until it ends or waits
 * @copied: the batch at hand has been carried out
 *
 * Return: what ends the call; IOCTL_KEPT: it waits, and others have it.
 */
static int job_run(struct copy_job *j, bool copied)
{
	int err = 0;

	while (!err && (copied || j->b.first + j->b.n < j->b.count)) {
		if (!copied) {
			j->tries = 0;
			if (__atomic_load_n(&j->gd->ending, __ATOMIC_RELAXED))
				err = caller_reason(&j->call->c, -ECONNABORTED, WHY_ENDING);
			else
				err = batch_read(&j->b);
			if (err)
				break;
			if (!copy_batch(j, true))
				return IOCTL_KEPT;
		}
		copied = false;
		err = batch_write(&j->b);
	}
	return err;
}

static void *job_thread(void *arg)
{
	struct copy_job *j = arg;
	struct gntdev *gd = j->gd;

	rcu_thread_enter();
	trace_client(j->call->c.ev.tid, j->call->c.ev.uid);
	job_end(j, job_run(j, true));
	rcu_thread_leave();
	__atomic_fetch_sub(&gd->copies, 1, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * On the defer thread: only the hypercall. What follows touches the client's memory, which may take
 * for ever (userfaultfd), and this thread is everybody's.
 */
static void job_again(struct defer_item *item, bool stopping)
{
	struct copy_job *j = (struct copy_job *)item;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	trace_client(j->call->c.ev.tid, j->call->c.ev.uid);
	if (!copy_batch(j, !stopping))
		return;
	__atomic_fetch_add(&j->gd->copies, 1, __ATOMIC_RELAXED);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, job_thread, j);
	pthread_attr_destroy(&attr);
	if (!err)
		return;
	__atomic_fetch_sub(&j->gd->copies, 1, __ATOMIC_RELAXED);
	/* Nothing of the rest is done, as little as there is no thread for it. */
	j->b.good = 0;
	job_end(j, caller_reason(&j->call->c, -ENOMEM, WHY_NO_MEMORY));
}

bool gntdev_copies_wait(struct gntdev *gd, unsigned int ms)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	for (unsigned int waited = 0; __atomic_load_n(&gd->copies, __ATOMIC_ACQUIRE); waited += 2) {
		if (waited >= ms)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static_assert(offsetof(struct copy_job, retry) == 0, "job_again() relies on it");

/* Row 2. In retry mode all statuses go out with the one answer; declared before the buffers. */
static int job_new(struct gntdev *gd, struct ioctl_call *call,
		   const struct ioctl_gntdev_grant_copy *op, struct copy_job **out)
{
	uint64_t segments = (uintptr_t)op->segments;
	struct copy_job *j;
	int err;

	err = caller_expect(&call->c, segments, sizeof(segment_t) * (uint64_t)op->count);
	if (err)
		return err;
	j = malloc(sizeof(*j));
	if (!j)
		return caller_reason(&call->c, -ENOMEM, WHY_NO_MEMORY);
	j->retry.fn = job_again;
	j->gd = gd;
	j->call = call;
	err = batch_start(&j->b, gd, &call->c, segments, op->count);
	if (err)
		free(j);
	else
		*out = j;
	return err;
}

int ioctl_copy(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntdev_grant_copy *op = arg;
	struct copy_job *j;
	int err;

	/* QEMU's feature test. */
	if (!op->count)
		return 0;
	call->c.ev.count = op->count;
	err = job_new((struct gntdev *)dev, call, op, &j);
	if (err)
		return err;
	err = job_run(j, false);
	if (err == IOCTL_KEPT)
		return err;
	call = job_free(j, err);
	if (!call->kept)
		return err;
	/* Kept in vain: the daemon is ending, and takes no more of what waits. */
	ioctl_end(&gntdev_ioctls, call, err);
	return IOCTL_KEPT;
}
