/* SPDX-License-Identifier: MIT */
/*
 * xen/journal.h - what is mapped, in memory that outlives the daemon
 *
 * A killed daemon leaves grants mapped that nobody knows of: their granters can never take the
 * pages back, and in a PVH dom0 pages of the kernel's that show a guest's memory. So all that is
 * needed to undo them lies in memory shared with the keeper (keeper/raw.h), which outlives it:
 *
 *  - a slot for each page: its address, its handle, and how far it has come;
 *  - the batches: arrays of operations that the hypercalls work on. Xen itself writes each handle
 *    and status there, so that no kill falls between a mapping and its record, nor between an
 *    unmapping and its record: a handle that is unmapped twice may be somebody else's by then.
 *
 * The batches are locked and pinned: Xen reads and writes them through the daemon's page tables, and
 * a page that is not there at that moment would mean a grant mapped and its handle lost (-EFAULT).
 */
#ifndef XEN_JOURNAL_H
#define XEN_JOURNAL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/xen.h"

/* Operations in one hypercall. */
#define JOURNAL_OPS 512
/* Hypercalls under way at once; more wait. */
#define JOURNAL_BATCHES 16
/* Pages that can be mapped at once, four times what Xen gives a domain by default. */
#define JOURNAL_SLOTS (1U << 20)

/**
 * enum slot_state - what is to be undone for a page
 * @SLOT_NONE:   nothing: it is ordinary memory, or no page at all
 * @SLOT_AWAY:   its frame has been given back to Xen, or is about to be
 * @SLOT_MAPPED: a grant is mapped; in a PVH dom0 its frame is away, too
 */
enum slot_state {
	SLOT_NONE,
	SLOT_AWAY,
	SLOT_MAPPED,
};

/**
 * struct journal_slot - one page
 * @addr:   PVH: its guest-physical address; PV: the bus address that Xen gave for the grant
 * @handle: of the grant, if SLOT_MAPPED
 * @state:  enum slot_state; written last
 */
struct journal_slot {
	uint64_t addr;
	uint32_t handle;
	uint32_t state;
};
static_assert(sizeof(struct journal_slot) == 16, "65,536 slots are a MiB");

/**
 * struct journal_window - what stands behind the grants of one map: some slots, in the order of its pages
 * @open_id: whose it is
 * @n:       slots, the first of which has this one's number; 0: there is no such window. Stored last
 * @pin:     PVH: of its pages, see xen/pin.h
 * @domid:   whose grants it shows; DOMID_INVALID: several domains'
 * @closed:  its open has gone: it is of no use to anybody afterwards
 *
 * For a successor; the keeper goes by the slots alone.
 */
struct journal_window {
	uint64_t open_id;
	uint32_t n;
	uint32_t pin;
	uint16_t domid;
	uint16_t closed;
	uint32_t zero;
};
static_assert(sizeof(struct journal_window) == 24, "the same for every program of this version");

/**
 * struct journal_batch - the operations of one hypercall
 * @mapping:   how many of @map may have been carried out and are not in slots yet (or 0)
 * @unmapping: how many of @unmap; one of the two is 0
 * @slot:      of each of them
 */
struct journal_batch {
	uint32_t mapping;
	uint32_t unmapping;
	uint32_t padding[14];
	uint32_t slot[JOURNAL_OPS];
	union {
		struct gnttab_map_grant_ref map[JOURNAL_OPS];
		struct gnttab_unmap_grant_ref unmap[JOURNAL_OPS];
		struct gnttab_copy copy[JOURNAL_OPS];
		struct gnttab_get_version version;
		struct evtchn_send send;
		struct evtchn_status port;
		struct {
			struct xen_memory_reservation reservation;
			xen_pfn_t pfn[JOURNAL_OPS];
		} memory;
		struct {
			char path[64];
			struct xen_hypfs_direntry entry;
			char content[64];
		} hypfs;
	};
} __attribute__((aligned(4096)));

/**
 * struct journal - all of it
 * @slots:  how many of @slot, @next and @window have been made; those above are not to be touched
 * @translated: a PVH dom0's
 * @pin:    of the batches
 * @slot:   the first is nobody's
 * @next:   of a window's slots: the next one
 * @window: at the number of its first slot
 */
struct journal {
	struct journal_batch batch[JOURNAL_BATCHES];
	struct {
		uint32_t slots;
		uint32_t translated;
		uint32_t pin;
	} __attribute__((aligned(4096)));
	struct journal_slot slot[JOURNAL_SLOTS] __attribute__((aligned(4096)));
	uint32_t next[JOURNAL_SLOTS] __attribute__((aligned(4096)));
	struct journal_window window[JOURNAL_SLOTS] __attribute__((aligned(4096)));
};

/* The status of an operation that Xen has not come to: no status of Xen's is positive. */
#define JOURNAL_PENDING 1

/**
 * journal_new() - make an empty journal
 * @translated: a PVH dom0's
 * @fd:         out: its memory, for whoever keeps it; the caller's
 *
 * Return: the journal, or NULL with errno.
 */
struct journal *journal_new(bool translated, int *fd);

/**
 * journal_adopt() - that of a predecessor
 * @fd: stays the caller's
 *
 * Return: NULL with errno; EINVAL: it is none.
 */
struct journal *journal_adopt(int fd);

/**
 * journal_lock() - have the batches resident in this process's page tables
 *
 * Once in each process that makes hypercalls with them. Return: 0 or -errno.
 */
int journal_lock(struct journal *j);

void journal_free(struct journal *j);

/**
 * journal_harvest() - enter what a map or unmap hypercall has done into the slots
 * @b:          b->mapping or b->unmapping operations have been tried, or not
 * @translated: a PVH dom0: slots have their addresses already
 */
void journal_harvest(struct journal *j, struct journal_batch *b, bool translated);

/** journal_held() - how much is to be undone: pages, and operations that may have been carried out */
size_t journal_held(const struct journal *j);

/**
 * journal_window_note() - a window lasts from now on
 * @slot: its @w->n slots
 * @w:    what is to be known of it
 */
void journal_window_note(struct journal *j, const uint32_t *slot, const struct journal_window *w);

/** journal_window_forget() - it does not; nothing is to be undone for its slots any more */
void journal_window_forget(struct journal *j, uint32_t first);

/**
 * journal_window_slots() - the slots of a window that a predecessor has noted
 * @first:   its number
 * @slot:    out: room for its n slots
 * @claimed: a byte for each slot of the journal: not 0 if it belongs to a window. Set here for those of this one
 *
 * Return: 0; -EINVAL: there are not so many, or one of them is another window's.
 */
int journal_window_slots(struct journal *j, uint32_t first, uint32_t *slot, uint8_t *claimed);

/* --- slots: used by the daemon alone ----------------------------------------------------------- */

/* Which slots are free; the memory of those never used is not there yet. */
struct journal_slots;

/** journal_slots_new() - manage the slots of a journal. Return: NULL if there is no memory. */
struct journal_slots *journal_slots_new(struct journal *j);

void journal_slots_free(struct journal_slots *s);

/**
 * journal_slots_adopt() - what a predecessor has made
 * @claimed: a byte for each slot of the journal, not 0 for those that are in use
 *
 * Before anything is taken. Return: 0; -EINVAL: there is something to be undone for one that is nobody's.
 */
int journal_slots_adopt(struct journal_slots *s, const uint8_t *claimed);

/**
 * journal_slots_get() - take @n slots, state SLOT_NONE
 *
 * Any thread. Return: 0 with their numbers in @slot; -ENOMEM if there are not so many.
 */
int journal_slots_get(struct journal_slots *s, size_t n, uint32_t *slot);

/** journal_slots_put() - give slots back; nothing is to be undone for them any more. Any thread. */
void journal_slots_put(struct journal_slots *s, size_t n, const uint32_t *slot);

/** slot_set() - change what is to be undone. The holder of the slot. */
static inline void slot_set(struct journal_slot *slot, enum slot_state state)
{
	__atomic_store_n(&slot->state, state, __ATOMIC_RELEASE);
}

#endif /* XEN_JOURNAL_H */
