/* SPDX-License-Identifier: MIT */
/*
 * device/copy.c - GRANT_COPY
 *
 * The driver pins the caller's pages and has Xen copy between them and the grants. A daemon cannot
 * pin another process's pages for Xen, so a local side goes through a page of the daemon's: read
 * from the caller before the hypercall, or written to the caller after it.
 *
 * Segments are taken in order and in batches: read a batch, check each segment as the driver does,
 * carry out those before the first bad one, write their data and statuses, stop at the bad one with
 * its errno. So a status is written for a segment exactly when its copy was tried, also if the call
 * as a whole fails (the driver's statuses lie then: gntdev-abi.md, section 9).
 *
 * Segments may depend on each other: one may read what an earlier one wrote. Between grants the
 * hypervisor's order takes care of that. A local source that overlaps an earlier local destination
 * begins a new batch; where the kernel copies for us, and there is one batch only, it is copied
 * over within our pages.
 *
 * A segment whose grant is paged out (GNTST_eagain) is tried again on the defer thread: the whole
 * call waits, but only that. It is finished on a thread of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/dispatch.h"
#include "base/defer.h"
#include "base/rcu.h"
#include "device/enforce.h"
#include "device/gntdev.h"

/* Segments in one batch; all of a call's, where the kernel copies for us. */
#define BATCH 64

typedef struct ioctl_gntdev_grant_copy_segment segment_t;

/*
 * struct copy_job - a GRANT_COPY under way
 * @call:    the request and its caller; kept once the job outlives its handler
 * @first:   index of the first segment of this batch
 * @n:       segments in this batch
 * @good:    how many of them, from the first, are to be carried out
 * @err:     what ends the call at segment @good, or 0
 * @in_turn: some segment of the batch reads what an earlier one writes
 * @refused: that is the policy, for what is in @refusal
 * @bounce:  a page for each segment of the batch
 */
struct copy_job {
	struct defer_item retry;
	struct gntdev *gd;
	struct ioctl_call *call;
	uint64_t segments;
	uint32_t count;
	uint32_t first;
	uint32_t n;
	uint32_t good;
	unsigned int tries;
	int err;
	bool in_turn;
	bool refused;
	struct refusal refusal;
	unsigned char (*bounce)[ABI_PAGE_SIZE];
	segment_t seg[CALLER_AREAS_MAX];
	struct hv_copy op[CALLER_AREAS_MAX];
};

static bool source_is_local(const segment_t *s)
{
	return !(s->flags & GNTCOPY_source_gref);
}

static bool dest_is_local(const segment_t *s)
{
	return !(s->flags & GNTCOPY_dest_gref);
}

static uint64_t segment_addr(const struct copy_job *j, uint32_t i)
{
	return j->segments + ((uint64_t)j->first + i) * sizeof(segment_t);
}

static uint64_t status_addr(const struct copy_job *j, uint32_t i)
{
	return segment_addr(j, i) + offsetof(segment_t, status);
}

/* Rows 4 and 5 of section 9. */
static int check_segment(const segment_t *s)
{
	if (source_is_local(s) && dest_is_local(s))
		return -EINVAL;
	if (!source_is_local(s) && s->source.foreign.offset + s->len > ABI_PAGE_SIZE)
		return -EINVAL;
	if (!dest_is_local(s) && s->dest.foreign.offset + s->len > ABI_PAGE_SIZE)
		return -EINVAL;
	return 0;
}

static void prepare_op(struct copy_job *j, uint32_t i)
{
	const segment_t *s = &j->seg[i];
	struct hv_copy *op = &j->op[i];

	memset(op, 0, sizeof(*op));
	op->len = s->len;
	/* Nothing to copy is nothing to ask Xen for, whatever the reference. */
	op->status = s->len ? HV_PENDING : GNTST_okay;
	if (source_is_local(s))
		op->src_local = j->bounce[i];
	else
		op->src = (struct hv_copy_ref){ s->source.foreign.ref, s->source.foreign.domid,
						s->source.foreign.offset };
	if (dest_is_local(s))
		op->dst_local = j->bounce[i];
	else
		op->dst = (struct hv_copy_ref){ s->dest.foreign.ref, s->dest.foreign.domid,
						s->dest.foreign.offset };
}

/*
 * gather() - list the local buffers to be read before the hypercall
 * @which: out: the segment each belongs to
 *
 * Sources; and, where the kernel copies for us, destinations too (see store_as_it_was()).
 */
static size_t gather(struct copy_job *j, struct iovec *local, struct iovec *remote, uint32_t *which)
{
	size_t n = 0;

	for (uint32_t i = 0; i < j->good; i++) {
		const segment_t *s = &j->seg[i];
		const void *virt = source_is_local(s) ? s->source.virt : s->dest.virt;

		if (!s->len || (!source_is_local(s) && (j->call->c.direct || !dest_is_local(s))))
			continue;
		local[n] = (struct iovec){ j->bounce[i], s->len };
		remote[n] = (struct iovec){ (void *)(uintptr_t)virt, s->len };
		which[n++] = i;
	}
	return n;
}

static int fetch_locals(struct copy_job *j)
{
	struct iovec local[CALLER_AREAS_MAX], remote[CALLER_AREAS_MAX];
	uint32_t which[CALLER_AREAS_MAX];
	size_t n = gather(j, local, remote, which), done;
	int err;

	if (!n)
		return 0;
	err = caller_fetch_some(&j->call->c, local, remote, n, &done);
	if (err)
		return err;
	if (done < n) {
		/* Row 7: this segment ends the call. */
		j->good = which[done];
		j->err = -EFAULT;
	}
	return 0;
}

/* The local buffer of a segment, [*start, *end); the destination if both are asked for. */
static void local_range(const segment_t *s, uint64_t *start, uint64_t *end)
{
	*start = (uintptr_t)(source_is_local(s) ? s->source.virt : s->dest.virt);
	*end = *start + s->len;
}

/* Bytes that two local buffers share, and where they begin in each. */
static uint64_t overlap(const segment_t *a, const segment_t *b, uint64_t *in_a, uint64_t *in_b)
{
	uint64_t a_start, a_end, b_start, b_end, start, end;

	local_range(a, &a_start, &a_end);
	local_range(b, &b_start, &b_end);
	start = a_start > b_start ? a_start : b_start;
	end = a_end < b_end ? a_end : b_end;
	if (start >= end)
		return 0;
	*in_a = start - a_start;
	*in_b = start - b_start;
	return end - start;
}

/* Whether a segment reads what an earlier one of the batch writes into the caller's memory. */
static bool reads_earlier(const struct copy_job *j, uint32_t i)
{
	uint64_t in_a, in_b;

	if (!source_is_local(&j->seg[i]))
		return false;
	for (uint32_t k = 0; k < i; k++)
		if (dest_is_local(&j->seg[k]) && overlap(&j->seg[k], &j->seg[i], &in_a, &in_b))
			return true;
	return false;
}

/*
 * begins_batch() - whether a segment cannot be in one batch with those before it
 *
 * It must not be carried out if one of them turns out not to be writable into the caller's memory,
 * which shows after the hypercall; and it must not read what one of them has yet to write there.
 */
static bool begins_batch(const struct copy_job *j, uint32_t i)
{
	if (reads_earlier(j, i))
		return true;
	for (uint32_t k = 0; k < i; k++)
		if (dest_is_local(&j->seg[k]) && !dest_is_local(&j->seg[i]))
			return true;
	return false;
}

/* Bring a source up to what the earlier segments have made of the caller's memory. */
static void refresh(struct copy_job *j, uint32_t i)
{
	uint64_t from, to, n;

	for (uint32_t k = 0; k < i; k++) {
		if (!dest_is_local(&j->seg[k]) || j->op[k].status != GNTST_okay)
			continue;
		n = overlap(&j->seg[k], &j->seg[i], &from, &to);
		if (n)
			memcpy(j->bounce[i] + to, j->bounce[k] + from, n);
	}
}

/* Retry mode: say where everything will be written, before anything is asked for. */
static int declare_dests(struct copy_job *j)
{
	int err = 0;

	for (uint32_t i = 0; i < j->good && !err; i++)
		if (dest_is_local(&j->seg[i]) && j->seg[i].len)
			err = caller_expect(&j->call->c, (uintptr_t)j->seg[i].dest.virt,
					    j->seg[i].len);
	return err;
}

/* Read the segments of the next batch; those before the first unreadable one. */
static int fetch_segments(struct copy_job *j)
{
	struct iovec local[CALLER_AREAS_MAX], remote[CALLER_AREAS_MAX];
	uint32_t left;
	size_t done;
	int err;

	j->first += j->n;
	left = j->count - j->first;
	/* Where the kernel copies for us there is one batch. */
	j->n = left < BATCH || !j->call->c.direct ? left : BATCH;
	if (j->n > CALLER_AREAS_MAX) {
		j->n = 0;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < j->n; i++) {
		local[i] = (struct iovec){ &j->seg[i], sizeof(segment_t) };
		remote[i].iov_base = (void *)(uintptr_t)segment_addr(j, i);
		remote[i].iov_len = sizeof(segment_t);
	}
	if (!j->call->c.direct)
		return caller_fetch(&j->call->c, j->seg, j->segments, j->n * sizeof(segment_t));
	err = caller_fetch_some(&j->call->c, local, remote, j->n, &done);
	if (!err && done < j->n) {
		j->n = (uint32_t)done;
		j->err = -EFAULT;
	}
	return err;
}

/*
 * Retry mode: the kernel will write everything that was declared, so what is not copied must be what
 * was there.
 */
static void store_as_it_was(struct copy_job *j)
{
	caller_store(&j->call->c, j->segments, j->seg, j->n * sizeof(segment_t));
	for (uint32_t i = 0; i < j->good; i++)
		if (dest_is_local(&j->seg[i]) && j->seg[i].len)
			caller_store(&j->call->c, (uintptr_t)j->seg[i].dest.virt, j->bounce[i],
				     j->seg[i].len);
}

/*
 * clear_statuses() - row 6: 0 into the status of each segment about to be copied
 *
 * A segment whose status cannot be written is not copied. This is also what makes sure, after all
 * was read and before anything is copied into a grant, that what was read was the caller's (device/caller.c).
 */
static void clear_statuses(struct copy_job *j)
{
	struct iovec local[CALLER_AREAS_MAX], remote[CALLER_AREAS_MAX];
	static const int16_t okay;
	size_t done;

	for (uint32_t i = 0; i < j->good; i++) {
		local[i] = (struct iovec){ (void *)(uintptr_t)&okay, sizeof(okay) };
		remote[i].iov_base = (void *)(uintptr_t)status_addr(j, i);
		remote[i].iov_len = sizeof(okay);
	}
	done = j->good ? caller_store_some(&j->call->c, local, remote, j->good) : 0;
	if (done < j->good) {
		j->good = (uint32_t)done;
		j->err = -EFAULT;
	}
}

/* List the grants that the batch uses. @which: out: the segment each belongs to */
static size_t list_grants(const struct copy_job *j, struct enforce_copy *c, uint32_t *which)
{
	size_t n = 0;

	for (uint32_t i = 0; i < j->good; i++) {
		const segment_t *s = &j->seg[i];

		which[n] = i;
		if (!source_is_local(s))
			c[n++] = (struct enforce_copy){ s->source.foreign.ref,
							s->source.foreign.domid, false };
		which[n] = i;
		if (!dest_is_local(s))
			c[n++] = (struct enforce_copy){ s->dest.foreign.ref, s->dest.foreign.domid,
							true };
	}
	return n;
}

/* The policy's word for each segment of the batch: the first that it refuses ends the call there. */
static void check_policy(struct copy_job *j)
{
	struct enforce_copy c[2 * CALLER_AREAS_MAX];
	uint32_t which[2 * CALLER_AREAS_MAX];
	struct gnt_open *o;
	size_t n = 0, done = 0;

	rcu_read_enter();
	o = open_get(j->gd->table, j->call->c.rq->fh);
	if (enforce_any(j->gd)) {
		n = list_grants(j, c, which);
		done = o ? enforce_copies(j->gd, open_user(o), c, n, &j->refusal) : 0;
	}
	rcu_read_leave();
	j->refused = done < n;
	if (!j->refused)
		return;
	j->good = which[done];
	j->err = o ? -EPERM : -EBADF;
}

/* The call's first grant, for who traces it. */
static void trace_first(struct copy_job *j)
{
	const segment_t *s = &j->seg[0];

	if (j->first || !j->n || (source_is_local(s) && dest_is_local(s)))
		return;
	j->call->c.ev.domid = source_is_local(s) ? s->dest.foreign.domid : s->source.foreign.domid;
	j->call->c.ev.ref = source_is_local(s) ? s->dest.foreign.ref : s->source.foreign.ref;
}

/* Read and check a batch. Return: 0 with j->good and j->err, -errno, CALLER_RETRIED. */
static int read_batch(struct copy_job *j)
{
	int err;

	j->err = 0;
	j->in_turn = false;
	err = fetch_segments(j);
	if (err)
		return err;
	trace_first(j);
	for (j->good = 0; j->good < j->n; j->good++) {
		err = check_segment(&j->seg[j->good]);
		if (err) {
			j->err = err;
			break;
		}
		if (j->call->c.direct && begins_batch(j, j->good)) {
			j->n = j->good;
			break;
		}
		j->in_turn |= reads_earlier(j, j->good);
	}
	check_policy(j);
	err = declare_dests(j);
	if (!err)
		err = fetch_locals(j);
	if (!err)
		err = caller_ready(&j->call->c);
	if (err)
		return err;
	for (uint32_t i = 0; i < j->good; i++)
		prepare_op(j, i);
	if (!j->call->c.direct)
		store_as_it_was(j);
	else
		clear_statuses(j);
	return 0;
}

/* What goes back for a batch: for each segment its data, if any, and its status behind it. */
struct write_back {
	size_t n;
	struct iovec local[2 * CALLER_AREAS_MAX];
	struct iovec remote[2 * CALLER_AREAS_MAX];
	uint32_t which[2 * CALLER_AREAS_MAX];
};

static void add_write(struct write_back *w, uint32_t which, uint64_t addr, void *src, size_t len)
{
	w->local[w->n] = (struct iovec){ src, len };
	w->remote[w->n] = (struct iovec){ (void *)(uintptr_t)addr, len };
	w->which[w->n++] = which;
}

/* Xen did not copy a segment. The call goes on: the client finds that in the segment's status. */
static void tell_segment(struct copy_job *j, uint32_t i)
{
	const struct hv_copy *op = &j->op[i];
	const struct hv_copy_ref *r = op->src_local ? &op->dst : &op->src;
	struct failure f = j->call->c.failed;

	f.kind = FAILURE_GRANT;
	f.domid = r->domid;
	f.ref = r->ref;
	f.status = op->status;
	failure_report(&f, "GRANT_COPY: segment %u: grant %u of domain %u: %s (%d)", j->first + i,
		       r->ref, r->domid, hv_status_name(op->status), op->status);
}

static void add_segment(struct copy_job *j, struct write_back *w, uint32_t i)
{
	segment_t *s = &j->seg[i];

	s->status = j->op[i].status;
	/* Where the hypercall itself has failed that is told with the call's end. */
	if (s->status != GNTST_okay && j->call->c.failed.kind != FAILURE_SYSTEM)
		tell_segment(j, i);
	if (dest_is_local(s) && s->len && s->status == GNTST_okay)
		add_write(w, i, (uintptr_t)s->dest.virt, j->bounce[i], s->len);
	add_write(w, i, status_addr(j, i), &s->status, sizeof(s->status));
}

/*
 * Row 7, seen only now: a destination is not writable, and that ends the call there. The rest of the
 * batch reads from grants and writes to the caller: it has not been written either.
 */
static int end_at(struct copy_job *j, uint32_t failed)
{
	struct write_back w = { .n = 0 };

	for (uint32_t i = failed; i < j->good; i++) {
		j->seg[i].status = i == failed ? GNTST_bad_page : GNTST_general_error;
		add_write(&w, i, status_addr(j, i), &j->seg[i].status, sizeof(j->seg[i].status));
	}
	/* If this fails too the statuses are out of reach, and nobody can be told. */
	caller_store_some(&j->call->c, w.local, w.remote, w.n);
	j->good = failed;
	return -EFAULT;
}

static int write_batch(struct copy_job *j)
{
	struct write_back w = { .n = 0 };
	size_t done;

	for (uint32_t i = 0; i < j->good; i++)
		add_segment(j, &w, i);
	done = caller_store_some(&j->call->c, w.local, w.remote, w.n);
	return done == w.n ? j->err : end_at(j, w.which[done]);
}

static bool again(struct copy_job *j)
{
	bool any = false;

	for (uint32_t i = 0; i < j->good; i++) {
		if (j->op[i].status != GNTST_eagain)
			continue;
		j->op[i].status = HV_PENDING;
		any = true;
	}
	return any;
}

/* Tried often enough: the driver reports such a page as bad. */
static void give_up(struct copy_job *j)
{
	for (uint32_t i = 0; i < j->good; i++)
		if (j->op[i].status == GNTST_eagain || j->op[i].status == HV_PENDING)
			j->op[i].status = GNTST_bad_page;
}

/* Say, of a call that has failed, where and why; free all but the call, which is to be ended. */
static struct ioctl_call *job_free(struct copy_job *j, int result)
{
	struct ioctl_call *call = j->call;
	struct caller *c = &call->c;

	c->ev.count = j->count;
	if (result == -EPERM && j->refused)
		enforce_failed(j->gd, c, &j->refusal);
	if (result < 0 && j->count)
		caller_why(c, 0, "segment %u of %u ends the call%s%s", j->first + j->good, j->count,
			   j->refused ? ": " : "", j->refused ? j->refusal.text : "");
	free(j->bounce);
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
	return defer_after(j->gd->defer, &j->retry, j->tries);
}

/*
 * carry_out() - in one hypercall; or one by one, where the kernel copies for us and the order matters
 *
 * If the hypercall itself fails the call ends with this batch; what was not copied is still pending.
 */
static void carry_out(struct copy_job *j)
{
	struct hypervisor *hv = j->gd->hv;
	uint32_t step = j->in_turn ? 1 : j->good, i;
	int err = 0;

	for (i = 0; i < j->good && !err; i += step) {
		if (j->in_turn && source_is_local(&j->seg[i]))
			refresh(j, i);
		err = hv->ops->copy(hv, &j->op[i], step);
	}
	if (!err)
		return;
	j->call->c.failed.kind = FAILURE_SYSTEM;
	for (i -= step; i < j->good; i++)
		if (j->op[i].status == HV_PENDING)
			j->op[i].status = GNTST_general_error;
	j->err = err;
}

/* Carry out what is pending of this batch. Return: false if the job waits. */
static bool copy_batch(struct copy_job *j, bool may_wait)
{
	carry_out(j);
	if (!again(j))
		return true;
	if (may_wait && wait_for_page(j))
		return false;
	give_up(j);
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

	while (!err && (copied || j->first + j->n < j->count)) {
		if (!copied) {
			j->tries = 0;
			err = __atomic_load_n(&j->gd->ending, __ATOMIC_RELAXED) ? -ECONNABORTED
										: read_batch(j);
			if (err)
				break;
			if (!copy_batch(j, true))
				return IOCTL_KEPT;
		}
		copied = false;
		err = write_batch(j);
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
	j->good = 0;
	job_end(j, -ENOMEM);
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

static struct copy_job *job_new(struct gntdev *gd, struct ioctl_call *call)
{
	struct copy_job *j = malloc(sizeof(*j));

	if (!j)
		return NULL;
	j->retry.fn = job_again;
	j->gd = gd;
	j->call = call;
	j->refused = false;
	j->bounce = NULL;
	j->first = j->n = j->good = 0;
	j->count = 0;
	return j;
}

/* Rows 1 and 2. */
static int job_start(struct copy_job *j, const struct ioctl_gntdev_grant_copy *op)
{
	size_t pages = j->call->c.direct ? BATCH : CALLER_AREAS_MAX;
	int err;

	if (!op->count)
		return 0;
	j->count = op->count;
	j->segments = (uintptr_t)op->segments;
	/* In retry mode all statuses go out with the one answer; declared before the buffers. */
	err = caller_expect(&j->call->c, j->segments, sizeof(segment_t) * (uint64_t)op->count);
	if (err)
		return err;
	if (op->count < pages)
		pages = op->count;
	j->bounce = aligned_alloc(ABI_PAGE_SIZE, pages * ABI_PAGE_SIZE);
	return j->bounce ? 0 : -ENOMEM;
}

int ioctl_copy(struct device *dev, struct ioctl_call *call, void *arg)
{
	struct copy_job *j = job_new((struct gntdev *)dev, call);
	int err;

	if (!j)
		return -ENOMEM;
	err = job_start(j, arg);
	if (!err)
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
