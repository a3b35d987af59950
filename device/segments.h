/* SPDX-License-Identifier: MIT */
/*
 * device/segments.h - a batch of GRANT_COPY's segments
 *
 * For one call at a time, on one thread at a time, registered with RCU, not under RCU: batch_start(), then as
 * long as nothing ends the call batch_read(), batch_copy(), batch_write(); then batch_end(). Only
 * batch_copy(), batch_again() and batch_give_up() leave the caller's memory alone.
 *
 * device/segments.c reads and carries out, device/writeback.c tells the caller how that went.
 *
 * Rows are those of docs/gntdev-abi.md, section 9.
 */
#ifndef DEVICE_SEGMENTS_H
#define DEVICE_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/ioctl.h"
#include "device/areas.h"
#include "device/caller.h"
#include "device/enforce.h"
#include "hypercall.h"

struct gntdev;

/* Segments in one batch, but where the kernel copies for us: there all of a call's. */
#define COPY_BATCH 64

typedef struct ioctl_gntdev_grant_copy_segment segment_t;

/**
 * struct copy_batch - segments under way
 * @c:        the caller; replaced when the call is kept
 * @segments: where all @count of the call are, in the caller
 * @first:    index of the first segment of this batch
 * @n:        segments in this batch
 * @good:     how many of them, from the first, are to be carried out
 * @err:      what ends the call at segment @good, or 0
 * @in_turn:  some segment of the batch reads what an earlier one writes
 * @mixed:    some segment writes into a grant behind one that writes to the caller
 * @refused:  that is the policy, for what is in @refusal
 * @bounce:   a page for each segment of the batch
 * @lent:     these are the hypervisor's
 * @at:       where in them the local buffer of each segment is
 */
struct copy_batch {
	struct gntdev *gd;
	struct caller *c;
	uint64_t segments;
	uint32_t count;
	uint32_t first;
	uint32_t n;
	uint32_t good;
	int err;
	bool in_turn;
	bool mixed;
	bool refused;
	bool lent;
	struct refusal refusal;
	unsigned char *bounce;
	unsigned char *at[CALLER_AREAS_MAX];
	segment_t seg[CALLER_AREAS_MAX];
	struct hv_copy op[CALLER_AREAS_MAX];
};

/** batch_start() - before the first batch. @count: not 0. Return: 0; -ENOMEM. batch_end() must follow */
int batch_start(struct copy_batch *b, struct gntdev *gd, struct caller *c, uint64_t segments,
		uint32_t count);

/**
 * batch_read() - read and check the next batch, up to the first segment that cannot be carried out
 *
 * Return: 0 with @good and @err; -errno or CALLER_RETRIED: the call ends, nothing of the batch is done.
 */
int batch_read(struct copy_batch *b);

/**
 * batch_copy() - carry out what is pending: in one hypercall; or one by one, where the kernel copies for
 * us and the order matters
 *
 * If the hypercall itself fails the call ends with this batch.
 */
void batch_copy(struct copy_batch *b);

/** batch_again() - make pending again what met a page that is paged out. Return: whether there is any */
bool batch_again(struct copy_batch *b);

/** batch_give_up() - that was tried often enough: the driver reports such a page as bad */
void batch_give_up(struct copy_batch *b);

/** batch_write() - give the caller its data and statuses. Return: 0, or what ends the call */
int batch_write(struct copy_batch *b);

/**
 * batch_give_back() - go on without the hypervisor's pages, between batch_copy() and the next
 *
 * Return: false if there is no memory: they are kept.
 */
bool batch_give_back(struct copy_batch *b);

/** batch_end() - free what batch_start() got */
void batch_end(struct copy_batch *b);

/* --- for device/segments.c and device/writeback.c ---------------------------------------------------- */

static inline bool source_is_local(const segment_t *s)
{
	return !(s->flags & GNTCOPY_source_gref);
}

static inline bool dest_is_local(const segment_t *s)
{
	return !(s->flags & GNTCOPY_dest_gref);
}

static inline uint64_t segment_addr(const struct copy_batch *b, uint32_t i)
{
	return b->segments + ((uint64_t)b->first + i) * sizeof(segment_t);
}

static inline uint64_t status_addr(const struct copy_batch *b, uint32_t i)
{
	return segment_addr(b, i) + offsetof(segment_t, status);
}

/* Have it tried whether a segment's destination, if it is the caller's, can be written. */
static inline void add_dest(struct probes *p, uint32_t which, const segment_t *s)
{
	if (dest_is_local(s) && s->len)
		probes_add(p, which, (uintptr_t)s->dest.virt, s->len);
}

#endif /* DEVICE_SEGMENTS_H */
