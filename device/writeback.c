/* SPDX-License-Identifier: MIT */
/*
 * device/writeback.c - what a caller gets of a batch of GRANT_COPY's segments: data and statuses
 *
 * As a rule all destinations can be written, and all statuses have been cleared: the data goes at one go,
 * and of the statuses those that are not 0. If that is cut short it is done again segment by segment, in
 * order, to know where it ends. Where nothing is to be written, as Xen has refused the grant, the
 * destination is tried: a local page that is bad comes before a grant that is bad.
 */
#include <errno.h>

#include "device/areas.h"
#include "device/segments.h"
#include "report/failure.h"

/* Xen did not copy a segment. The call goes on: the client finds that in the segment's status. */
static void tell_segment(struct copy_batch *b, uint32_t i)
{
	const struct hv_copy *op = &b->op[i];
	const struct hv_copy_ref *r = op->src_local ? &op->dst : &op->src;
	struct failure f = b->c->failed;

	f.why = WHY_GRANT;
	f.domid = r->domid;
	f.ref = r->ref;
	f.status = op->status;
	failure_report(&f, "GRANT_COPY: segment %u: grant %u of domain %u: %s (%d)", b->first + i,
		       r->ref, r->domid, hv_status_name(op->status), op->status);
}

/* Return: whether some were refused whose destination is the caller's. */
static bool take_statuses(struct copy_batch *b)
{
	bool any = false;

	for (uint32_t i = 0; i < b->good; i++) {
		b->seg[i].status = b->op[i].status;
		any |= b->seg[i].status != GNTST_okay && dest_is_local(&b->seg[i]);
	}
	return any;
}

/* Row 7 of those that were refused: the local page comes first. */
static uint32_t probe_refused(struct copy_batch *b)
{
	struct probes p;

	probes_init(&p);
	for (uint32_t i = 0; i < b->good; i++)
		if (b->seg[i].status != GNTST_okay)
			add_dest(&p, i, &b->seg[i]);
	return probes_try(&p, b->c, b->good);
}

/* Direct mode: the data; and the statuses, 0 since clear_statuses(), that are not. At one go, or false. */
static bool write_at_once(struct copy_batch *b)
{
	struct areas data, bad;

	areas_init(&data);
	areas_init(&bad);
	for (uint32_t i = 0; i < b->good; i++) {
		segment_t *s = &b->seg[i];

		if (s->status != GNTST_okay)
			areas_add(&bad, &s->status, status_addr(b, i), sizeof(s->status));
		else if (dest_is_local(s) && s->len)
			areas_add(&data, b->at[i], (uintptr_t)s->dest.virt, s->len);
	}
	return areas_store(&data, b->c) && areas_store(&bad, b->c);
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

static void add_segment(struct copy_batch *b, struct write_back *w, uint32_t i)
{
	segment_t *s = &b->seg[i];

	if (dest_is_local(s) && s->len && s->status == GNTST_okay)
		add_write(w, i, (uintptr_t)s->dest.virt, b->at[i], s->len);
	add_write(w, i, status_addr(b, i), &s->status, sizeof(s->status));
}

/* Of the segments before @end. Return: the first that cannot be written, else @end. */
static uint32_t write_one_by_one(struct copy_batch *b, uint32_t end)
{
	struct write_back w;
	size_t done;

	w.n = 0;
	for (uint32_t i = 0; i < end; i++)
		add_segment(b, &w, i);
	done = w.n ? caller_store_some(b->c, w.local, w.remote, w.n) : 0;
	return done == w.n ? end : w.which[done];
}

/*
 * Row 7, seen only now: a destination is not writable, and that ends the call there. What behind it
 * was to be written to the caller has not been; what went into grants says how it went.
 */
static int end_at(struct copy_batch *b, uint32_t failed)
{
	struct write_back w;

	w.n = 0;
	b->seg[failed].status = GNTST_bad_page;
	for (uint32_t i = failed; i < b->good; i++) {
		if (i > failed && dest_is_local(&b->seg[i]))
			b->seg[i].status = GNTST_general_error;
		add_write(&w, i, status_addr(b, i), &b->seg[i].status, sizeof(b->seg[i].status));
	}
	/* If this fails too the statuses are out of reach, and nobody can be told. */
	caller_store_some(b->c, w.local, w.remote, w.n);
	b->good = failed;
	return caller_reason(b->c, -EFAULT, WHY_CALLER_MEMORY);
}

int batch_write(struct copy_batch *b)
{
	/* Where the hypercall itself has failed that is told with the call's end. */
	bool called = b->c->failed.why != WHY_HYPERCALL;
	bool refused = take_statuses(b);
	uint32_t end = b->good;

	if (refused && called && b->c->direct)
		end = probe_refused(b);
	if (b->c->gone)
		return -EINTR;
	for (uint32_t i = 0; i < end && called; i++)
		if (b->seg[i].status != GNTST_okay)
			tell_segment(b, i);
	if (b->c->direct && end == b->good && write_at_once(b))
		return b->err;
	end = write_one_by_one(b, end);
	return end == b->good ? b->err : end_at(b, end);
}
