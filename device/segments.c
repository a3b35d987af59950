/* SPDX-License-Identifier: MIT */
/*
 * device/segments.c - a batch of GRANT_COPY's segments
 *
 * The driver pins the caller's pages and has Xen copy between them and the grants. A daemon cannot
 * pin another process's pages for Xen, so a local side goes through memory of the daemon's: read
 * from the caller before the hypercall, or written to the caller after it.
 *
 * What costs is not the copying but the number of areas in a read or write of the caller's memory, and the
 * number of hypercalls. So the segments are read at one go, buffers that follow each other in the caller
 * do so here and are one area, all statuses are cleared by one write, and only those that are not 0 then
 * are written again. Memory that the hypervisor lends (pages_get()) spares another copy of the data.
 * If any of that is cut short it is done again area by area, which tells exactly where it ends.
 *
 * Each segment is checked as the driver does, and the first that cannot be carried out ends the call with its
 * errno: those before it are carried out, those behind it are not looked at. A status is written for a
 * segment exactly when its copy was tried, also if the call as a whole fails (the driver's statuses
 * lie then: docs/gntdev-abi.md, section 9). That asks for two things which the driver gets from pinning:
 *
 * - A segment that writes into a grant must not be carried out if the destination of one before it cannot be
 *   written. That would show after the hypercall only, so these are tried before it, by a byte that is
 *   written as it was read (probe_dests()).
 * - A local page that is bad comes before a grant that is bad: device/writeback.c.
 *
 * Segments may depend on each other: one may read what an earlier one wrote. Between grants the
 * hypervisor's order takes care of that. A local source that overlaps an earlier local destination
 * begins a new batch; where the kernel copies for us, and there is one batch only, it is copied
 * over within our pages.
 */
#include "device/segments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "device/areas.h"
#include "device/gntdev.h"

static_assert(COPY_BATCH <= HV_COPY_PAGES, "a page of what is lent for each segment");
static_assert(COPY_BATCH <= AREAS_MAX, "an area, a page of either end, for each segment");

/* The call ends with this, unless a segment before ends it otherwise. */
static void end_with(struct copy_batch *b, int err, enum failure_reason why)
{
	b->err = caller_reason(b->c, err, why);
}

/* Rows 4 and 5 of docs/gntdev-abi.md, section 9. Return: whether this segment is one to be copied. */
static bool check_segment(struct copy_batch *b, const segment_t *s)
{
	bool local = source_is_local(s) && dest_is_local(s);
	bool crosses = (!source_is_local(s) && s->source.foreign.offset + s->len > ABI_PAGE_SIZE) ||
		       (!dest_is_local(s) && s->dest.foreign.offset + s->len > ABI_PAGE_SIZE);

	if (local)
		end_with(b, -EINVAL, WHY_COPY_NO_GRANT);
	else if (crosses)
		end_with(b, -EINVAL, WHY_COPY_CROSSES);
	return !local && !crosses;
}

static void prepare_op(struct copy_batch *b, uint32_t i)
{
	const segment_t *s = &b->seg[i];
	struct hv_copy *op = &b->op[i];

	memset(op, 0, sizeof(*op));
	op->len = s->len;
	/* Nothing to copy is nothing to ask Xen for, whatever the reference. */
	op->status = s->len ? HV_PENDING : GNTST_okay;
	if (source_is_local(s))
		op->src_local = b->at[i];
	else
		op->src = (struct hv_copy_ref){ s->source.foreign.ref, s->source.foreign.domid,
						s->source.foreign.offset };
	if (dest_is_local(s))
		op->dst_local = b->at[i];
	else
		op->dst = (struct hv_copy_ref){ s->dest.foreign.ref, s->dest.foreign.domid,
						s->dest.foreign.offset };
}

/*
 * place() - give the local buffer of each segment a place in our pages
 *
 * None crosses a page there, for Xen's sake. Buffers that follow each other in the caller do so here, as
 * far as that allows.
 */
static void place(struct copy_batch *b)
{
	size_t at = 0;
	uint64_t end = 0;

	for (uint32_t i = 0; i < b->good; i++) {
		const segment_t *s = &b->seg[i];
		uint64_t virt = (uintptr_t)(source_is_local(s) ? s->source.virt : s->dest.virt);

		if (!source_is_local(s) && !dest_is_local(s))
			continue;
		if (virt != end || at % ABI_PAGE_SIZE + s->len > ABI_PAGE_SIZE)
			at = (at + ABI_PAGE_SIZE - 1) & ~(ABI_PAGE_SIZE - 1);
		b->at[i] = b->bounce + at;
		at += s->len;
		end = virt + s->len;
	}
}

/* Direct mode: all sources at one go. Return: whether that was all. */
static bool fetch_sources(struct copy_batch *b)
{
	struct areas a;

	areas_init(&a);
	for (uint32_t i = 0; i < b->good; i++)
		if (source_is_local(&b->seg[i]) && b->seg[i].len)
			areas_add(&a, b->at[i], (uintptr_t)b->seg[i].source.virt, b->seg[i].len);
	return areas_fetch(&a, b->c);
}

/*
 * gather() - list the local buffers to be read before the hypercall
 * @which: out: the segment each belongs to
 *
 * Sources; and, where the kernel copies for us, destinations too (see store_as_it_was()).
 */
static size_t gather(struct copy_batch *b, struct iovec *local, struct iovec *remote,
		     uint32_t *which)
{
	size_t n = 0;

	for (uint32_t i = 0; i < b->good; i++) {
		const segment_t *s = &b->seg[i];
		const void *virt = source_is_local(s) ? s->source.virt : s->dest.virt;

		if (!s->len || (!source_is_local(s) && (b->c->direct || !dest_is_local(s))))
			continue;
		local[n] = (struct iovec){ b->at[i], s->len };
		remote[n] = (struct iovec){ (void *)(uintptr_t)virt, s->len };
		which[n++] = i;
	}
	return n;
}

static int fetch_locals(struct copy_batch *b)
{
	struct iovec local[CALLER_AREAS_MAX], remote[CALLER_AREAS_MAX];
	uint32_t which[CALLER_AREAS_MAX];
	size_t n, done;
	int err;

	if (b->c->direct && fetch_sources(b))
		return 0;
	n = gather(b, local, remote, which);
	err = caller_fetch_some(b->c, local, remote, n, &done);
	if (err)
		return err;
	if (done < n) {
		/* Row 7: this segment ends the call. */
		b->good = which[done];
		end_with(b, -EFAULT, WHY_CALLER_MEMORY);
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
static bool reads_earlier(const struct copy_batch *b, uint32_t i)
{
	uint64_t in_a, in_b;

	if (!source_is_local(&b->seg[i]))
		return false;
	for (uint32_t k = 0; k < i; k++)
		if (dest_is_local(&b->seg[k]) && overlap(&b->seg[k], &b->seg[i], &in_a, &in_b))
			return true;
	return false;
}

/* Whether a segment writes into a grant behind one that writes to the caller. */
static bool is_mixed(const struct copy_batch *b, uint32_t i)
{
	if (dest_is_local(&b->seg[i]))
		return false;
	for (uint32_t k = 0; k < i; k++)
		if (dest_is_local(&b->seg[k]))
			return true;
	return false;
}

/* Bring a source up to what the earlier segments have made of the caller's memory. */
static void refresh(struct copy_batch *b, uint32_t i)
{
	uint64_t from, to, n;

	for (uint32_t k = 0; k < i; k++) {
		if (!dest_is_local(&b->seg[k]) || b->op[k].status != GNTST_okay)
			continue;
		n = overlap(&b->seg[k], &b->seg[i], &from, &to);
		if (n)
			memcpy(b->at[i] + to, b->at[k] + from, n);
	}
}

/* Retry mode: say where everything will be written, before anything is asked for. */
static int declare_dests(struct copy_batch *b)
{
	int err = 0;

	for (uint32_t i = 0; i < b->good && !err; i++)
		if (dest_is_local(&b->seg[i]) && b->seg[i].len)
			err = caller_expect(b->c, (uintptr_t)b->seg[i].dest.virt, b->seg[i].len);
	return err;
}

/* Read the segments of the next batch; those before the first unreadable one. */
static int fetch_segments(struct copy_batch *b)
{
	struct iovec local[CALLER_AREAS_MAX], remote[CALLER_AREAS_MAX];
	uint32_t left;
	size_t done;
	int err;

	b->first += b->n;
	left = b->count - b->first;
	/* Where the kernel copies for us there is one batch. */
	b->n = left < COPY_BATCH || !b->c->direct ? left : COPY_BATCH;
	if (b->n > CALLER_AREAS_MAX) {
		b->n = 0;
		return caller_reason(b->c, -ENOMEM, WHY_TOO_MUCH_TO_COPY);
	}
	err = caller_fetch(b->c, b->seg, segment_addr(b, 0), b->n * sizeof(segment_t));
	if (!err || !b->c->direct)
		return err;
	for (uint32_t i = 0; i < b->n; i++) {
		local[i] = (struct iovec){ &b->seg[i], sizeof(segment_t) };
		remote[i].iov_base = (void *)(uintptr_t)segment_addr(b, i);
		remote[i].iov_len = sizeof(segment_t);
	}
	err = caller_fetch_some(b->c, local, remote, b->n, &done);
	if (!err && done < b->n) {
		b->n = (uint32_t)done;
		end_with(b, -EFAULT, WHY_CALLER_MEMORY);
	}
	return err;
}

/*
 * Retry mode: the kernel will write everything that was declared, so what is not copied must be what
 * was there.
 */
static void store_as_it_was(struct copy_batch *b)
{
	caller_store(b->c, b->segments, b->seg, b->n * sizeof(segment_t));
	for (uint32_t i = 0; i < b->good; i++)
		if (dest_is_local(&b->seg[i]) && b->seg[i].len)
			caller_store(b->c, (uintptr_t)b->seg[i].dest.virt, b->at[i], b->seg[i].len);
}

/* What lies between the statuses is written as it was read. Return: whether all was written. */
static bool clear_at_once(struct copy_batch *b)
{
	for (uint32_t i = 0; i < b->good; i++)
		b->seg[i].status = GNTST_okay;
	return caller_store(b->c, status_addr(b, 0), &b->seg[0].status,
			    (b->good - 1) * sizeof(segment_t) + sizeof(b->seg[0].status)) == 0;
}

/*
 * clear_statuses() - row 6: 0 into the status of each segment about to be copied
 *
 * A segment whose status cannot be written is not copied. This is also what makes sure, after all
 * was read and before anything is copied into a grant, that what was read was the caller's (device/caller.c).
 */
static void clear_statuses(struct copy_batch *b)
{
	struct iovec local[CALLER_AREAS_MAX], remote[CALLER_AREAS_MAX];
	static const int16_t okay;
	size_t done;

	if (!b->good || clear_at_once(b))
		return;
	for (uint32_t i = 0; i < b->good; i++) {
		local[i] = (struct iovec){ (void *)(uintptr_t)&okay, sizeof(okay) };
		remote[i].iov_base = (void *)(uintptr_t)status_addr(b, i);
		remote[i].iov_len = sizeof(okay);
	}
	done = caller_store_some(b->c, local, remote, b->good);
	if (done < b->good) {
		b->good = (uint32_t)done;
		end_with(b, -EFAULT, WHY_CALLER_MEMORY);
	}
}

/* Those before the last segment that writes into a grant. The first that is bad ends the call: row 7. */
static void probe_dests(struct copy_batch *b)
{
	uint32_t until = b->good, bad;
	struct probes p;

	probes_init(&p);
	while (until && dest_is_local(&b->seg[until - 1]))
		until--;
	for (uint32_t i = 0; i < until; i++)
		add_dest(&p, i, &b->seg[i]);
	bad = probes_try(&p, b->c, b->good);
	if (bad == b->good)
		return;
	b->good = bad;
	end_with(b, -EFAULT, WHY_CALLER_MEMORY);
	b->seg[bad].status = GNTST_bad_page;
	caller_store(b->c, status_addr(b, bad), &b->seg[bad].status, sizeof(b->seg[bad].status));
}

/* List the grants that the batch uses. @which: out: the segment each belongs to */
static size_t list_grants(const struct copy_batch *b, struct enforce_copy *c, uint32_t *which)
{
	size_t n = 0;

	for (uint32_t i = 0; i < b->good; i++) {
		const segment_t *s = &b->seg[i];

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
static void check_policy(struct copy_batch *b)
{
	struct enforce_copy c[2 * CALLER_AREAS_MAX];
	uint32_t which[2 * CALLER_AREAS_MAX];
	struct gnt_open *o;
	size_t n = 0, done = 0;

	rcu_read_enter();
	o = open_get(b->gd->table, b->c->rq->fh);
	if (enforce_any(b->gd)) {
		n = list_grants(b, c, which);
		done = o ? enforce_copies(b->gd, open_user(o), c, n, &b->refusal) : 0;
	}
	rcu_read_leave();
	b->refused = done < n;
	if (!b->refused)
		return;
	b->good = which[done];
	if (o)
		end_with(b, -EPERM, b->refusal.why);
	else
		end_with(b, -EBADF, WHY_CLOSED);
}

/* The call's first grant, for who traces it. */
static void trace_first(struct copy_batch *b)
{
	const segment_t *s = &b->seg[0];

	if (b->first || !b->n || (source_is_local(s) && dest_is_local(s)))
		return;
	b->c->ev.domid = source_is_local(s) ? s->dest.foreign.domid : s->source.foreign.domid;
	b->c->ev.ref = source_is_local(s) ? s->dest.foreign.ref : s->source.foreign.ref;
}

/* Check the segments that were read: rows 4 and 5. The batch ends before one that cannot be in it. */
static void check_batch(struct copy_batch *b)
{
	b->in_turn = false;
	b->mixed = false;
	for (b->good = 0; b->good < b->n; b->good++) {
		bool reads = reads_earlier(b, b->good);

		if (!check_segment(b, &b->seg[b->good]))
			return;
		if (b->c->direct && reads) {
			b->n = b->good;
			return;
		}
		b->in_turn |= reads;
		b->mixed |= is_mixed(b, b->good);
	}
}

int batch_read(struct copy_batch *b)
{
	int err;

	b->err = 0;
	err = fetch_segments(b);
	if (err)
		return err;
	trace_first(b);
	check_batch(b);
	check_policy(b);
	place(b);
	err = declare_dests(b);
	if (!err)
		err = fetch_locals(b);
	if (!err)
		err = caller_ready(b->c);
	if (err)
		return err;
	if (b->c->direct) {
		if (b->mixed)
			probe_dests(b);
		clear_statuses(b);
	} else {
		store_as_it_was(b);
	}
	if (b->c->gone)
		return -EINTR;
	for (uint32_t i = 0; i < b->good; i++)
		prepare_op(b, i);
	return 0;
}

/*
 * batch_copy() - in one hypercall; or one by one, where the kernel copies for us and the order matters
 *
 * If the hypercall itself fails the call ends with this batch; what was not copied is still pending.
 */
void batch_copy(struct copy_batch *b)
{
	struct hypervisor *hv = b->gd->hv;
	uint32_t step = b->in_turn ? 1 : b->good, i;
	int err = 0;

	for (i = 0; i < b->good && !err; i += step) {
		if (b->in_turn && source_is_local(&b->seg[i]))
			refresh(b, i);
		err = hv->ops->copy(hv, &b->op[i], step);
	}
	if (!err)
		return;
	for (i -= step; i < b->good; i++)
		if (b->op[i].status == HV_PENDING)
			b->op[i].status = GNTST_general_error;
	end_with(b, err, WHY_HYPERCALL);
}

bool batch_again(struct copy_batch *b)
{
	bool any = false;

	for (uint32_t i = 0; i < b->good; i++) {
		if (b->op[i].status != GNTST_eagain)
			continue;
		b->op[i].status = HV_PENDING;
		any = true;
	}
	return any;
}

void batch_give_up(struct copy_batch *b)
{
	for (uint32_t i = 0; i < b->good; i++)
		if (b->op[i].status == GNTST_eagain || b->op[i].status == HV_PENDING)
			b->op[i].status = GNTST_bad_page;
}

int batch_start(struct copy_batch *b, struct gntdev *gd, struct caller *c, uint64_t segments,
		uint32_t count)
{
	size_t pages = c->direct ? COPY_BATCH : CALLER_AREAS_MAX;

	b->gd = gd;
	b->c = c;
	b->segments = segments;
	b->count = count;
	b->first = b->n = b->good = 0;
	b->refused = false;
	b->bounce = NULL;
	if (c->direct && gd->hv->ops->pages_get)
		b->bounce = gd->hv->ops->pages_get(gd->hv);
	b->lent = b->bounce != NULL;
	if (!b->lent)
		b->bounce = aligned_alloc(ABI_PAGE_SIZE,
					  (count < pages ? count : pages) * ABI_PAGE_SIZE);
	return b->bounce ? 0 : caller_reason(c, -ENOMEM, WHY_NO_MEMORY);
}

void batch_end(struct copy_batch *b)
{
	if (b->lent)
		b->gd->hv->ops->pages_put(b->gd->hv, b->bounce);
	else
		free(b->bounce);
}

/* Where something of the lent pages is in memory of our own. */
static void *moved(const struct copy_batch *b, const void *at, unsigned char *own)
{
	return at ? own + ((const unsigned char *)at - b->bounce) : NULL;
}

bool batch_give_back(struct copy_batch *b)
{
	unsigned char *own;

	if (!b->lent)
		return true;
	own = aligned_alloc(ABI_PAGE_SIZE, COPY_BATCH * ABI_PAGE_SIZE);
	if (!own)
		return false;
	memcpy(own, b->bounce, COPY_BATCH * ABI_PAGE_SIZE);
	for (uint32_t i = 0; i < b->good; i++) {
		if (source_is_local(&b->seg[i]) || dest_is_local(&b->seg[i]))
			b->at[i] = moved(b, b->at[i], own);
		b->op[i].src_local = moved(b, b->op[i].src_local, own);
		b->op[i].dst_local = moved(b, b->op[i].dst_local, own);
	}
	b->gd->hv->ops->pages_put(b->gd->hv, b->bounce);
	b->bounce = own;
	b->lent = false;
	return true;
}
