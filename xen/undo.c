/* SPDX-License-Identifier: MIT */
/*
 * xen/undo.c - unmap grants and get frames back, slot by slot
 */
#include "xen/undo.h"

#include <string.h>

#include "hypercall.h"
#include "xen/privcmd.h"

#define PAGE_SHIFT 12
/* Slots looked at together. */
#define CHUNK 4096U

static void fill_unmap(const struct journal *j, struct journal_batch *b, bool translated,
		       struct journal_slot *const *slot, size_t n)
{
	memset(b->unmap, 0, n * sizeof(b->unmap[0]));
	for (size_t i = 0; i < n; i++) {
		if (translated)
			b->unmap[i].host_addr = slot[i]->addr;
		else
			b->unmap[i].dev_bus_addr = slot[i]->addr;
		b->unmap[i].handle = slot[i]->handle;
		b->unmap[i].status = JOURNAL_PENDING;
		b->slot[i] = (uint32_t)(slot[i] - j->slot);
	}
}

int undo_unmap(int fd, struct journal *j, struct journal_batch *b, bool translated,
	       struct journal_slot *const *slot, size_t n, int16_t *status)
{
	long err;

	fill_unmap(j, b, translated, slot, n);
	__atomic_store_n(&b->unmapping, (uint32_t)n, __ATOMIC_RELEASE);
	err = privcmd_call(fd, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref,
			   (uintptr_t)b->unmap, n);
	for (size_t i = 0; i < n; i++)
		status[i] = hv_status_check(b->unmap[i].status);
	journal_harvest(j, b, translated);
	return err < 0 ? (int)err : 0;
}

size_t undo_restore(int fd, struct journal_batch *b, struct journal_slot *const *slot, size_t n)
{
	struct xen_memory_reservation *r = &b->memory.reservation;
	long done;

	for (size_t i = 0; i < n; i++)
		b->memory.pfn[i] = slot[i]->addr >> PAGE_SHIFT;
	memset(r, 0, sizeof(*r));
	set_xen_guest_handle(r->extent_start, b->memory.pfn);
	r->nr_extents = n;
	r->domid = DOMID_SELF;
	done = privcmd_call(fd, __HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)r, 0);
	for (long i = 0; i < done && i < (long)n; i++)
		slot_set(slot[i], SLOT_NONE);
	return done < 0 ? 0 : (size_t)done;
}

void undo_doubt(int fd, struct journal_batch *b, struct journal_slot *const *slot, size_t n)
{
	struct xen_memory_reservation *r = &b->memory.reservation;
	long done;

	for (size_t i = 0; i < n; i++)
		b->memory.pfn[i] = slot[i]->addr >> PAGE_SHIFT;
	for (size_t i = 0; i < n; i++) {
		memset(r, 0, sizeof(*r));
		set_xen_guest_handle(r->extent_start, b->memory.pfn + i);
		r->nr_extents = n - i;
		r->domid = DOMID_SELF;
		done = privcmd_call(fd, __HYPERVISOR_memory_op, XENMEM_decrease_reservation,
				    (uintptr_t)r, 0);
		/* It ended at a page that has none: go on behind that. */
		if (done > 0)
			i += (size_t)done;
	}
}

/* The next slots in one state. Return: how many. */
static size_t collect(struct journal *j, const uint32_t *slot, size_t n, size_t *next,
		      enum slot_state state, struct journal_slot **out)
{
	size_t found = 0;

	for (; *next < n && found < JOURNAL_OPS; ++*next)
		if (j->slot[slot[*next]].state == state)
			out[found++] = &j->slot[slot[*next]];
	return found;
}

size_t undo_all(int fd, struct journal_batch *b, bool translated, struct journal *j,
		const uint32_t *slot, size_t n)
{
	struct journal_slot *some[JOURNAL_OPS];
	int16_t status[JOURNAL_OPS];
	size_t next, k, left = 0;

	for (next = 0; (k = collect(j, slot, n, &next, SLOT_MAPPED, some));) {
		undo_unmap(fd, j, b, translated, some, k, status);
		for (size_t i = 0; i < k; i++)
			if (status[i] == GNTST_bad_handle)
				slot_set(some[i], translated ? SLOT_AWAY : SLOT_NONE);
	}
	for (next = 0; (k = collect(j, slot, n, &next, SLOT_AWAY, some));)
		undo_restore(fd, b, some, k);
	for (size_t i = 0; i < n; i++)
		left += j->slot[slot[i]].state != SLOT_NONE;
	return left;
}

void undo_all_doubts(int fd, struct journal_batch *b, struct journal *j, const uint32_t *slot,
		     size_t n)
{
	struct journal_slot *some[JOURNAL_OPS];
	size_t next, k;

	for (next = 0; (k = collect(j, slot, n, &next, SLOT_AWAY, some));)
		undo_doubt(fd, b, some, k);
}

size_t undo_journal(int fd, struct journal *j)
{
	bool translated = j->translated != 0;
	uint32_t slot[CHUNK];
	size_t left = 0;

	for (size_t i = 0; i < JOURNAL_BATCHES; i++)
		journal_harvest(j, &j->batch[i], translated);
	for (uint32_t first = 0; first < j->slots; first += CHUNK) {
		for (uint32_t i = 0; i < CHUNK; i++)
			slot[i] = first + i;
		if (translated)
			undo_all_doubts(fd, &j->batch[0], j, slot, CHUNK);
		left += undo_all(fd, &j->batch[0], translated, j, slot, CHUNK);
	}
	return left;
}
