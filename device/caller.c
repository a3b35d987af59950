/* SPDX-License-Identifier: MIT */
/*
 * device/caller.c - the memory of the thread that waits for an answer
 *
 * Two ways. Direct: process_vm_readv(2) and process_vm_writev(2) on the thread id that the request
 * carries; one round trip for the ioctl whatever its size. Retry: the kernel's own copying for
 * CUSE, asked for by an answer of a special kind, two or three round trips and 128 KiB at most; for
 * callers whose thread id we cannot see (another pid namespace) or may not touch.
 *
 * Whose memory is it? A thread id is only a number, and numbers are reused. But the thread that
 * made the ioctl sits inside it, in a sleep that not even SIGKILL ends, from the moment we read the
 * request from /dev/cuse until it is answered (fs/fuse/dev.c, request_wait_answer()): while the
 * request is open, its number is its own. One thing ends that sleep without our answer: the
 * connection being aborted (root writes to /sys/class/cuse/NAME/abort, or the kernel gives it up). The
 * kernel marks the connection dead before it wakes any caller, and poll(2) on our descriptor shows
 * the mark. Therefore:
 *
 * - Each write is preceded at once by request_ops.waiting(), which asks the kernel. If the
 *   connection is dead nothing is written, ever again.
 * - Reading needs no proof by itself: what a request asks for is done to an open file whose device
 *   is dead, if the connection is. The one thing that goes further is GRANT_COPY into a grant. It
 *   writes to its caller between the last read and the copy (device/copy.c, clear_statuses()), so it
 *   asks the kernel after it has read: a connection that lives then lived all the time.
 *
 * What that leaves: the abort, the death of the caller, and a new process that gets its number, all
 * between that poll and the next system call of the same thread, process_vm_writev(), taking its
 * target. A descriptor of /proc/TID/mem, opened before the poll, would close even this; it was
 * measured and not taken: opening it costs as much as a round trip, and its writes ignore page
 * protection (FOLL_FORCE), so a read-only argument would be overwritten where the driver says
 * EFAULT. The README names this under limits.
 *
 * The caller's memory can take its time: it may be served by the caller itself (userfaultfd, a file
 * of its own by FUSE). So nothing here may be called under RCU or with a lock; the thread is counted
 * against the client (device/turns.h). If the caller is killed while we read, its session answers, so that it can
 * end, and with it the wait. Its number may then be another's, and what was read is thrown away. While we
 * write nobody else answers: a write that has begun is known to be the caller's only as long as that waits.
 */
#include "device/caller.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void caller_begin(struct caller *c, struct request *rq, enum trace_op op)
{
	trace_client(rq->tid, rq->uid);
	c->ev = trace_begin(op);
	c->ev.open_id = rq->fh;
	c->ev.index = rq->arg;
	c->failed = failure_of(WHY_UNNAMED, op, rq->tid, 0);
	c->failed.uid = rq->uid;
	c->silent = false;
	c->gone = false;
	c->rq = rq;
	/* What was copied in or made room for is what an earlier run of this request asked for. */
	c->direct = rq->tid && !rq->in_len && !rq->out_len;
	c->reached = false;
	c->too_much = false;
	c->n_in = 0;
	c->in_bytes = 0;
	c->n_out = 0;
	c->out_bytes = 0;
	c->out_stored = 0;
	c->out = NULL;
	c->why[0] = '\0';
}

bool caller_killed(struct caller *c)
{
	c->gone |= request_killed(c->rq);
	return c->gone;
}

int caller_reason(struct caller *c, int err, enum failure_reason why)
{
	if (err < 0)
		c->failed.why = why;
	return err;
}

int caller_why(struct caller *c, int err, enum failure_reason why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	c->failed.why = why;
	return err;
}

/* Append an area to a list of at most CALLER_AREAS_MAX, both lists together. */
static int add_area(struct caller *c, struct iovec *list, size_t *n, size_t *bytes, uint64_t addr,
		    size_t len)
{
	if (c->n_in + c->n_out == CALLER_AREAS_MAX || len > CALLER_BYTES_MAX - *bytes)
		return -ENOMEM;
	/* The kernel takes the address from here; it is never used as a pointer in this process. */
	list[*n].iov_base = (void *)(uintptr_t)addr;
	list[*n].iov_len = len;
	*n += 1;
	*bytes += len;
	return 0;
}

int caller_expect(struct caller *c, uint64_t addr, size_t len)
{
	int err;

	/*
	 * In direct mode it is kept too, as long as that mode may still turn out not to work; an
	 * overflow of the list counts only if it does not.
	 */
	if (c->reached)
		return 0;
	err = add_area(c, c->outv, &c->n_out, &c->out_bytes, addr, len);
	c->too_much |= err != 0;
	return c->direct ? 0 : caller_reason(c, err, WHY_TOO_MUCH_TO_COPY);
}

static int ask_kernel(struct caller *c)
{
	if (c->too_much)
		return caller_reason(c, -ENOMEM, WHY_TOO_MUCH_TO_COPY);
	request_retry(c->rq, c->in, c->n_in, c->outv, c->n_out);
	return CALLER_RETRIED;
}

void caller_wait_begin(struct caller *c)
{
	request_wait_begin(c->rq);
}

int caller_wait_end(struct caller *c)
{
	c->gone |= !request_wait_end(c->rq);
	return c->gone ? -EINTR : 0;
}

/*
 * fetch_direct() - process_vm_readv() of one or more areas
 *
 * Return: bytes read, from the first area on; -EFAULT if none, -EPERM if that is no way at all, -EINTR.
 */
static ssize_t fetch_direct(struct caller *c, const struct iovec *local, const struct iovec *remote,
			    size_t n)
{
	ssize_t k;
	int err;

	if (c->gone)
		return -EINTR;
	caller_wait_begin(c);
	k = process_vm_readv(c->rq->tid, local, n, remote, n, 0);
	err = errno;
	if (caller_wait_end(c))
		return -EINTR;
	if (k >= 0) {
		c->reached = true;
		return k;
	}
	/* ENOMEM and EINVAL stand for a range that wraps or is no user memory. */
	if (err != EPERM && err != ESRCH && err != ENOSYS)
		return -EFAULT;
	return c->reached ? -EFAULT : -EPERM;
}

/* One area of what the kernel has copied in, or a request for it. */
static int fetch_retry(struct caller *c, const struct iovec *local, uint64_t addr)
{
	size_t at = c->in_bytes;
	int err;

	err = add_area(c, c->in, &c->n_in, &c->in_bytes, addr, local->iov_len);
	if (err)
		return err;
	if (c->in_bytes > c->rq->in_len)
		return CALLER_RETRIED;
	memcpy(local->iov_base, (const unsigned char *)c->rq->in + at, local->iov_len);
	return 0;
}

/* How many whole areas @bytes cover. */
static size_t whole_areas(const struct iovec *local, size_t n, ssize_t bytes)
{
	size_t i;

	for (i = 0; i < n && bytes >= (ssize_t)local[i].iov_len; i++)
		bytes -= (ssize_t)local[i].iov_len;
	return i;
}

int caller_fetch_some(struct caller *c, const struct iovec *local, const struct iovec *remote,
		      size_t n, size_t *done)
{
	bool missing = false;
	int err;

	*done = 0;
	if (!n)
		return 0;
	if (c->direct) {
		ssize_t k = fetch_direct(c, local, remote, n);

		if (k == -EINTR)
			return -EINTR;
		if (k != -EPERM) {
			*done = whole_areas(local, n, k);
			return 0;
		}
		c->direct = false;
	}
	/* All that is missing is asked for in one retry. */
	for (size_t i = 0; i < n; i++) {
		err = fetch_retry(c, &local[i], (uintptr_t)remote[i].iov_base);
		if (err < 0)
			return caller_reason(c, err, WHY_TOO_MUCH_TO_COPY);
		missing |= err == CALLER_RETRIED;
	}
	*done = n;
	return missing ? ask_kernel(c) : 0;
}

int caller_fetch(struct caller *c, void *dst, uint64_t addr, size_t len)
{
	struct iovec local = { dst, len };
	struct iovec remote = { (void *)(uintptr_t)addr, len };
	size_t done;
	int err;

	err = caller_fetch_some(c, &local, &remote, 1, &done);
	if (err)
		return err;
	return done ? 0 : caller_reason(c, -EFAULT, WHY_CALLER_MEMORY);
}

int caller_fetch_now(struct caller *c, void *dst, uint64_t addr, size_t len)
{
	struct iovec local = { dst, len };
	struct iovec remote = { (void *)(uintptr_t)addr, len };

	return c->direct && fetch_direct(c, &local, &remote, 1) == (ssize_t)len ? 0 : -EFAULT;
}

int caller_ready(struct caller *c)
{
	if (c->direct)
		return 0;
	if (c->out_bytes > c->rq->out_len)
		return ask_kernel(c);
	if (!c->out_bytes)
		return 0;
	/* Zeroed: bytes never stored must not be ours. */
	c->out = calloc(1, c->out_bytes);
	return c->out ? 0 : caller_reason(c, -ENOMEM, WHY_NO_MEMORY);
}

static size_t store_direct(struct caller *c, const struct iovec *local, const struct iovec *remote,
			   size_t n)
{
	ssize_t k;

	/* Nothing may come between this check and the write. */
	if (c->gone || !c->rq->ops->waiting(c->rq))
		return 0;
	k = process_vm_writev(c->rq->tid, local, n, remote, n, 0);
	return whole_areas(local, n, k);
}

/*
 * store_retry() - into what the kernel will copy out
 *
 * Into every declared area that has some of it: areas may overlap, and the kernel copies them out
 * one after the other.
 *
 * Return: whether one of them holds all of it.
 */
static bool store_retry(struct caller *c, uint64_t addr, const unsigned char *src, size_t len)
{
	bool held = false;
	size_t at = 0;

	for (size_t i = 0; i < c->n_out; at += c->outv[i++].iov_len) {
		uint64_t base = (uintptr_t)c->outv[i].iov_base;
		uint64_t start = addr > base ? addr : base;
		uint64_t end = addr + len < base + c->outv[i].iov_len ? addr + len
								      : base + c->outv[i].iov_len;

		if (start >= end)
			continue;
		memcpy(c->out + at + (start - base), src + (start - addr), end - start);
		if (at + (end - base) > c->out_stored)
			c->out_stored = at + (end - base);
		held |= end - start == len;
	}
	return held;
}

size_t caller_store_some(struct caller *c, const struct iovec *local, const struct iovec *remote,
			 size_t n)
{
	size_t i;

	if (c->direct)
		return store_direct(c, local, remote, n);
	for (i = 0; i < n; i++)
		if (!store_retry(c, (uintptr_t)remote[i].iov_base, local[i].iov_base,
				 local[i].iov_len))
			break;
	return i;
}

int caller_store(struct caller *c, uint64_t addr, const void *src, size_t len)
{
	struct iovec local = { (void *)(uintptr_t)src, len };
	struct iovec remote = { (void *)(uintptr_t)addr, len };

	if (caller_store_some(c, &local, &remote, 1) == 1)
		return 0;
	return caller_reason(c, -EFAULT, WHY_CALLER_MEMORY);
}

void caller_end(struct caller *c, int result)
{
	if (result != CALLER_RETRIED) {
		request_done(c->rq, result, c->out, c->out_stored);
		c->ev.result = result;
		trace_end(&c->ev);
	}
	free(c->out);
	c->out = NULL;
}

void caller_failed(struct caller *c, int error, const char *fmt, ...)
{
	va_list ap;

	/* Nobody is there to be told, and nobody did anything wrong. */
	if (c->gone)
		return;
	c->failed.error = -error;
	if (c->silent) {
		failure_silent(&c->failed);
		return;
	}
	va_start(ap, fmt);
	failure_vreport(&c->failed, fmt, ap);
	va_end(ap);
}
