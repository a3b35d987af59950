/* SPDX-License-Identifier: MIT */
/*
 * sim/grant.c - grant tables: the granter's side and the hypervisor's
 *
 * Each reference has two records, as in Xen. The entry is shared: the granter writes it to grant
 * and clears it to revoke, the hypervisor sets GTF_reading and GTF_writing in it while the grant
 * is used. A guest can write its entries at any time, in any way, so whatever is read from one is
 * checked, and flags change by compare-and-swap. The other record is the hypervisor's own: which
 * frame is pinned, how often for reading and for writing. The granter's own book-keeping (which
 * references are free, which grants are to end) lies in that record too.
 *
 * A pinned grant is judged by the hypervisor's record alone: the granter may clear the entry under
 * a mapping, and neither the mapping nor another one of the same grant is the worse for it. There is
 * one mapping domain, so unlike Xen there is no need to compare who pinned it first.
 */
#include "sim/grant.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* Where Xen refuses: its counters have 8 bits and it stops when the highest one is set. */
#define PIN_OVERFLOW 0x80

/* How often Xen tries again if the granter changes the entry under its hands. */
#define UNSTABLE_RETRIES 4

union entry {
	struct grant_entry_v1 v1;
	uint32_t head; /* flags and domid, as one word to swap */
};

union head {
	struct {
		uint16_t flags;
		uint16_t domid;
	};
	uint32_t word;
};

static_assert(offsetof(struct grant_entry_v1, flags) == offsetof(union head, flags) &&
		      offsetof(struct grant_entry_v1, domid) == offsetof(union head, domid),
	      "the head of an entry is its flags and its domid");

/**
 * struct active - what the hypervisor, and the granter's kernel, know of a reference
 * @readers, @writers: pins; a writable mapping counts in @writers alone
 * @frame:   pinned, while there are pins
 * @granted: the frame that sim_grant() was given
 * @next:    the next free reference, if this one is free
 * @used:    granted through sim_grant() and not yet revoked
 * @ending:  to be revoked when the last pin goes
 * @free_frame: then free @granted, too
 */
struct active {
	uint32_t frame;
	uint32_t granted;
	uint32_t next;
	uint8_t readers;
	uint8_t writers;
	bool used;
	bool ending;
	bool free_frame;
};

struct table_frame {
	union entry entry[SIM_GRANTS_PER_FRAME];
	struct active active[SIM_GRANTS_PER_FRAME];
};

static uint32_t nr_refs(const struct domain *d)
{
	return d->table_frames * SIM_GRANTS_PER_FRAME;
}

static union entry *entry_of(struct domain *d, uint32_t ref)
{
	return &d->table[ref / SIM_GRANTS_PER_FRAME]->entry[ref % SIM_GRANTS_PER_FRAME];
}

static struct active *active_of(struct domain *d, uint32_t ref)
{
	return &d->table[ref / SIM_GRANTS_PER_FRAME]->active[ref % SIM_GRANTS_PER_FRAME];
}

static bool pinned(const struct active *act)
{
	return act->readers || act->writers;
}

/* --- the granter ------------------------------------------------------------------------------ */

static void free_ref(struct domain *d, uint32_t ref)
{
	active_of(d, ref)->used = false;
	d->grants--;
	if (ref < GNTTAB_NR_RESERVED_ENTRIES)
		return;
	active_of(d, ref)->next = d->free_ref;
	d->free_ref = ref;
}

/* Add a frame to the table; its lowest reference becomes the first free one. */
static int grow(struct domain *d, uint32_t table_max)
{
	uint32_t first = nr_refs(d), ref;
	struct table_frame *tf;

	if (d->table_frames == table_max)
		return -ENOSPC;
	tf = calloc(1, sizeof(*tf));
	if (!tf)
		return -ENOMEM;
	d->table[d->table_frames++] = tf;
	if (first < GNTTAB_NR_RESERVED_ENTRIES)
		first = GNTTAB_NR_RESERVED_ENTRIES;
	for (ref = nr_refs(d) - 1; ref >= first; ref--) {
		active_of(d, ref)->next = d->free_ref;
		d->free_ref = ref;
	}
	return 0;
}

int grant_table_init(struct domain *d, uint32_t table_max)
{
	int err;

	d->table = calloc(table_max, sizeof(struct table_frame *));
	if (!d->table)
		return -ENOMEM;
	err = grow(d, table_max);
	if (err)
		grant_table_fini(d);
	return err;
}

void grant_table_fini(struct domain *d)
{
	while (d->table_frames)
		free(d->table[--d->table_frames]);
	free(d->table);
	d->table = NULL;
	d->free_ref = 0;
	d->grants = 0;
}

static void write_entry(struct domain *d, uint32_t ref, uint16_t mapper, uint32_t frame,
			bool readonly)
{
	union head head = { .flags = GTF_permit_access, .domid = mapper };
	union entry *e = entry_of(d, ref);
	struct active *act = active_of(d, ref);

	if (readonly)
		head.flags |= GTF_readonly;
	act->used = true;
	act->ending = false;
	act->free_frame = false;
	act->granted = frame;
	d->grants++;
	__atomic_store_n(&e->v1.frame, frame, __ATOMIC_RELAXED);
	/* The flags make it valid: after the rest. */
	__atomic_store_n(&e->head, head.word, __ATOMIC_RELEASE);
}

static int grant_locked(struct domains *ds, struct domain *d, uint16_t mapper, uint32_t frame,
			bool readonly, uint32_t *ref)
{
	int err;

	if (!machine_owns(ds->machine, d->domid, frame))
		return -EINVAL;
	if (!d->free_ref) {
		err = grow(d, ds->table_max);
		if (err)
			return err;
	}
	*ref = d->free_ref;
	d->free_ref = active_of(d, *ref)->next;
	write_entry(d, *ref, mapper, frame, readonly);
	return 0;
}

int grant_add(struct domains *ds, uint16_t domid, uint16_t mapper, uint32_t frame, bool readonly,
	      uint32_t *ref)
{
	struct domain *d = domain_lock_running(ds, domid);
	int err;

	if (!d)
		return -ENOENT;
	err = grant_locked(ds, d, mapper, frame, readonly, ref);
	pthread_mutex_unlock(&d->lock);
	return err;
}

int grant_add_reserved(struct domains *ds, uint16_t domid, uint32_t ref, uint16_t mapper,
		       uint32_t frame, bool readonly)
{
	struct domain *d;
	int err = 0;

	if (ref >= GNTTAB_NR_RESERVED_ENTRIES)
		return -EINVAL;
	d = domain_lock_running(ds, domid);
	if (!d)
		return -ENOENT;
	if (active_of(d, ref)->used)
		err = -EBUSY;
	else if (!machine_owns(ds->machine, domid, frame))
		err = -EINVAL;
	else
		write_entry(d, ref, mapper, frame, readonly);
	pthread_mutex_unlock(&d->lock);
	return err;
}

/* As a guest does it: clear the flags, unless the hypervisor says that the grant is used. */
static int clear_entry(union entry *e)
{
	uint16_t flags = __atomic_load_n(&e->v1.flags, __ATOMIC_RELAXED);

	do {
		if (flags & (GTF_reading | GTF_writing))
			return -EBUSY;
	} while (!__atomic_compare_exchange_n(&e->v1.flags, &flags, 0, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return 0;
}

static void end_grant(struct domains *ds, struct domain *d, uint32_t ref)
{
	struct active *act = active_of(d, ref);

	if (act->free_frame)
		machine_free(ds->machine, d->domid, act->granted);
	free_ref(d, ref);
}

int grant_revoke(struct domains *ds, uint16_t domid, uint32_t ref)
{
	struct domain *d = domain_lock_running(ds, domid);
	int err = -ENOENT;

	if (!d)
		return -ENOENT;
	if (ref < nr_refs(d) && active_of(d, ref)->used) {
		/* What the hypervisor knows counts, should the entry have been scribbled on. */
		err = pinned(active_of(d, ref)) ? -EBUSY : clear_entry(entry_of(d, ref));
		if (!err)
			end_grant(ds, d, ref);
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

/* Return: 0: ended; 1: will end with the last pin. */
static int revoke_later(struct domains *ds, struct domain *d, uint32_t ref, bool free_frame)
{
	struct active *act = active_of(d, ref);

	act->free_frame = free_frame;
	if (pinned(act)) {
		act->ending = true;
		return 1;
	}
	__atomic_store_n(&entry_of(d, ref)->v1.flags, 0, __ATOMIC_RELEASE);
	end_grant(ds, d, ref);
	return 0;
}

int grant_revoke_later(struct domains *ds, uint16_t domid, uint32_t ref, bool free_frame)
{
	struct domain *d = domain_lock_running(ds, domid);
	int ret = -ENOENT;

	if (!d)
		return -ENOENT;
	if (ref < nr_refs(d) && active_of(d, ref)->used && !active_of(d, ref)->ending)
		ret = revoke_later(ds, d, ref, free_frame);
	pthread_mutex_unlock(&d->lock);
	return ret;
}

void grant_revoke_all(struct domains *ds, struct domain *d)
{
	for (uint32_t ref = 0; ref < nr_refs(d); ref++)
		if (active_of(d, ref)->used)
			revoke_later(ds, d, ref, false);
}

struct grant_entry_v1 *grant_entry(struct domains *ds, uint16_t domid, uint32_t ref)
{
	struct domain *d = domain_lock_running(ds, domid);
	struct grant_entry_v1 *e = NULL;

	if (!d)
		return NULL;
	if (ref < nr_refs(d))
		e = &entry_of(d, ref)->v1;
	pthread_mutex_unlock(&d->lock);
	return e;
}

/* --- the hypervisor --------------------------------------------------------------------------- */

/* Whether an entry as it stands allows the use. Only the first pin asks what kind it is. */
static bool permits(const struct domains *ds, const struct active *act, union head head,
		    bool readonly, bool copy)
{
	/* A grant of a part of a page can be copied, but not mapped. */
	uint16_t mask = copy ? GTF_type_mask : GTF_type_mask | GTF_sub_page;

	if (!pinned(act) && ((head.flags & mask) != GTF_permit_access || head.domid != ds->mapper))
		return false;
	return readonly || !(head.flags & GTF_readonly);
}

/* Tell the granter, in its entry, that the grant is used. */
static int16_t set_status(const struct domains *ds, union entry *e, const struct active *act,
			  bool readonly, bool copy)
{
	uint16_t use = readonly ? GTF_reading : GTF_reading | GTF_writing;
	union head old = { .word = __atomic_load_n(&e->head, __ATOMIC_ACQUIRE) };
	union head new;
	int retries = 0;

	for (;;) {
		if (!permits(ds, act, old, readonly, copy))
			return GNTST_general_error;
		new = old;
		new.flags |= use;
		if (__atomic_compare_exchange_n(&e->head, &old.word, new.word, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return GNTST_okay;
		if (retries++ == UNSTABLE_RETRIES)
			return GNTST_general_error;
	}
}

/* Take back from the entry what the pins that are left do not need. */
static void reduce_status(union entry *e, const struct active *act, bool readonly)
{
	uint16_t clear = 0;

	if (!pinned(act))
		clear |= GTF_reading;
	if (!readonly && !act->writers)
		clear |= GTF_writing;
	if (clear)
		__atomic_and_fetch(&e->v1.flags, (uint16_t)~clear, __ATOMIC_ACQ_REL);
}

/* The first pin of a grant fixes its frame: that of the entry, if it is the granter's. */
static bool pin_frame(struct domains *ds, struct domain *d, union entry *e, struct active *act)
{
	uint32_t frame = __atomic_load_n(&e->v1.frame, __ATOMIC_RELAXED);

	if (!machine_get(ds->machine, d->domid, frame))
		return false;
	act->frame = frame;
	return true;
}

int16_t grant_pin(struct domains *ds, struct domain *d, uint32_t ref, bool readonly, bool copy,
		  uint32_t *frame)
{
	struct active *act;
	union entry *e;
	uint8_t *count;
	int16_t status;

	if (ref >= nr_refs(d))
		return GNTST_bad_gntref;
	e = entry_of(d, ref);
	act = active_of(d, ref);
	count = readonly ? &act->readers : &act->writers;
	if (*count & PIN_OVERFLOW)
		return GNTST_general_error;
	if (!pinned(act) || (!readonly && !act->writers)) {
		status = set_status(ds, e, act, readonly, copy);
		if (status != GNTST_okay)
			return status;
	}
	if (!pinned(act) && !pin_frame(ds, d, e, act)) {
		reduce_status(e, act, readonly);
		return GNTST_bad_page;
	}
	++*count;
	d->pins++;
	*frame = act->frame;
	return GNTST_okay;
}

void grant_unpin(struct domains *ds, struct domain *d, uint32_t ref, bool readonly)
{
	struct active *act = active_of(d, ref);
	union entry *e = entry_of(d, ref);

	--*(readonly ? &act->readers : &act->writers);
	d->pins--;
	reduce_status(e, act, readonly);
	if (pinned(act))
		return;
	machine_put(ds->machine, act->frame);
	if (act->ending)
		revoke_later(ds, d, ref, act->free_frame);
}
