/* SPDX-License-Identifier: MIT */
/*
 * xen/undo.h - unmap grants and get frames back, slot by slot
 *
 * Used by the daemon, and by the keeper when the daemon has died. So it works on slots of the
 * journal and nothing else, and knows the device by its descriptor.
 */
#ifndef XEN_UNDO_H
#define XEN_UNDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xen/journal.h"

/**
 * undo_unmap() - unmap the grants of some slots
 * @fd:         of privcmd
 * @j:          whose slots they are
 * @b:          a batch of it to work with
 * @translated: a PVH dom0
 * @slot:       @n slots, at most JOURNAL_OPS, all SLOT_MAPPED. Those unmapped are SLOT_AWAY
 *              afterwards (PVH), or SLOT_NONE (PV)
 * @status:     out: GNTST_* of each; GNTST_general_error if Xen has not come to it
 *
 * Return: 0, or -errno of the hypercall: then too some may have been unmapped.
 */
int undo_unmap(int fd, struct journal *j, struct journal_batch *b, bool translated,
	       struct journal_slot *const *slot, size_t n, int16_t *status);

/**
 * undo_restore() - put frames of our own under some pages
 * @slot: @n slots, at most JOURNAL_OPS, all SLOT_AWAY. Those restored are SLOT_NONE afterwards
 *
 * Return: how many were restored, from the first. Xen may have no frame to give.
 */
size_t undo_restore(int fd, struct journal_batch *b, struct journal_slot *const *slot, size_t n);

/**
 * undo_doubt() - have no frames under some pages
 * @slot: @n slots, at most JOURNAL_OPS, all SLOT_AWAY
 *
 * A process that dies in the middle of giving frames back, or of getting them, cannot say for which
 * pages that was done: SLOT_AWAY is set before, and taken away after. A page that has its frame must
 * not get another (the first would be lost), so take them all away first; Xen leaves a page
 * alone that has none of its own.
 */
void undo_doubt(int fd, struct journal_batch *b, struct journal_slot *const *slot, size_t n);

/**
 * undo_all() - one attempt to undo whatever is left of some slots
 *
 * As the two above, for any number of slots in any state. A handle that Xen does not know has been
 * unmapped before. Return: how many slots are not SLOT_NONE.
 */
size_t undo_all(int fd, struct journal_batch *b, bool translated, struct journal *j,
		const uint32_t *slot, size_t n);

/**
 * undo_journal() - one attempt to undo all that a dead daemon has left
 *
 * By whoever takes its place, alone. Return: how many slots are left.
 */
size_t undo_journal(int fd, struct journal *j);

/** undo_all_doubts() - undo_doubt() for those of any number of slots that are SLOT_AWAY */
void undo_all_doubts(int fd, struct journal_batch *b, struct journal *j, const uint32_t *slot,
		     size_t n);

#endif /* XEN_UNDO_H */
