/* SPDX-License-Identifier: MIT */
/*
 * device/copy.c - GRANT_COPY
 *
 * Segments are taken in order and in batches (device/segments.c): read a batch, carry out those before the
 * first bad one, write their data and statuses, stop at the bad one with its errno.
 *
 * A segment whose grant is paged out (GNTST_eagain) is tried again on the defer thread: the whole
 * call waits, but only that. It goes on on a thread that counts against its client, as it began.
 *
 * A call may have any number of segments, and the driver carries out all of them whatever happens to its
 * caller. Here it ends between two batches if the caller has been killed: it could not end before, and has no
 * use for the rest.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/defer.h"
#include "base/step.h"
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

/* The daemon goes down. */
static int ended(struct copy_job *j)
{
	return caller_reason(&j->call->c, -ECONNABORTED, WHY_ENDING);
}

static int next_batch(struct copy_job *j)
{
	if (__atomic_load_n(&j->gd->ending, __ATOMIC_RELAXED))
		return ended(j);
	return caller_killed(&j->call->c) ? -EINTR : batch_read(&j->b);
}

/*
 * Executed again, the call goes on behind this batch: what was copied into a grant may have been changed by its owner since.
 * The batch at hand may be copied twice, with the same statuses; where the kernel copies for us there is no other.
 */
static void note_progress(struct copy_job *j)
{
	if (j->call->c.direct)
		__atomic_store_n(j->call->c.rq->progress, j->b.first + j->b.n, __ATOMIC_RELEASE);
	step(copy_noted);
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
			err = next_batch(j);
			if (err)
				break;
			if (!copy_batch(j, true))
				return IOCTL_KEPT;
		}
		copied = false;
		err = batch_write(&j->b);
		step(copy_written);
		if (!err)
			note_progress(j);
	}
	return err;
}

/* Go on on a thread of the client's. */
static void job_continue(void *arg, bool stopping)
{
	struct copy_job *j = arg;
	int err;

	trace_client(j->call->c.ev.tid, j->call->c.ev.uid);
	err = stopping ? ended(j) : job_run(j, true);
	if (err != IOCTL_KEPT)
		job_end(j, err);
}

/*
 * On the defer thread: only the hypercall. What follows touches the client's memory, which may take
 * for ever (userfaultfd), and this thread is everybody's.
 */
static void job_again(struct defer_item *item, bool stopping)
{
	struct copy_job *j = (struct copy_job *)item;

	trace_client(j->call->c.ev.tid, j->call->c.ev.uid);
	if (caller_killed(&j->call->c)) {
		job_end(j, -EINTR);
		return;
	}
	if (copy_batch(j, !stopping) && !request_again(j->call->c.rq, job_continue, j))
		job_end(j, ended(j));
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
	if (!j) {
		caller_reason(&call->c, -ENOMEM, WHY_NO_MEMORY);
		return -ENOMEM;
	}
	j->retry.fn = job_again;
	j->gd = gd;
	j->call = call;
	err = batch_start(&j->b, gd, &call->c, segments, op->count);
	if (!err && call->c.rq->again && *call->c.rq->progress <= op->count)
		j->b.first = (uint32_t)*call->c.rq->progress;
	if (err)
		free(j);
	else
		*out = j;
	return err;
}

int ioctl_copy(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntdev_grant_copy *op = arg;
	struct copy_job *j = NULL;
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
