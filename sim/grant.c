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
 *
 * Both records last when the daemon is killed, but for the pins: they are counted from the handles (sim/maptrack.c). So
 * @frame of struct kept_grant is stored before the handle is, and means nothing as long as no handle maps the reference;
 * and GTF_reading and GTF_writing are taken back from entries for which there is none. How a grant comes and goes:
 *
 *   granted: @granted; CHANGING; the entry's frame; its flags, which make it; USED
 *   revoked: CHANGING; the flags are cleared, which ends it; FREE
 *   later:   ENDING or ENDING_WITH_FRAME, which ends it, once nothing maps it; the flags are cleared; the frame is
 *            freed; FREE
 *
 * CHANGING is therefore USED if the entry has flags, and FREE if it has none; and ENDING without a pin goes on where it
 * stopped: the frame cannot have been given to the domain again, as that takes its lock.
 */
#include "sim/grant.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/step.h"

/* Where Xen refuses: its counters have 8 bits and it stops when the highest one is set. */
#define PIN_OVERFLOW 0x80

/* How often Xen tries again if the granter changes the entry under its hands. */
#define UNSTABLE_RETRIES 4

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

/* Of a reference. Numbers that last. */
enum grant_state {
	GRANT_FREE = 0,
	GRANT_USED = 1,
	GRANT_CHANGING = 2,
	GRANT_ENDING = 3,
	GRANT_ENDING_WITH_FRAME = 4,
	GRANT_STATES
};

/**
 * struct grant_use - what does not last of a reference
 * @next:    the next free reference, if this one is free
 * @readers, @writers: pins; a writable mapping counts in @writers alone
 */
struct grant_use {
	uint32_t next;
	uint8_t readers;
	uint8_t writers;
};

struct grant_uses {
	struct grant_use use[SIM_GRANTS_PER_FRAME];
};

static uint32_t nr_refs(const struct domain *d)
{
	return d->kept->table_frames * SIM_GRANTS_PER_FRAME;
}

static union kept_entry *entry_of(struct domain *d, uint32_t ref)
{
	return &d->table[ref / SIM_GRANTS_PER_FRAME].entry[ref % SIM_GRANTS_PER_FRAME];
}

static struct kept_grant *grant_of(struct domain *d, uint32_t ref)
{
	return &d->table[ref / SIM_GRANTS_PER_FRAME].grant[ref % SIM_GRANTS_PER_FRAME];
}

static struct grant_use *use_of(struct domain *d, uint32_t ref)
{
	return &d->uses[ref / SIM_GRANTS_PER_FRAME]->use[ref % SIM_GRANTS_PER_FRAME];
}

static bool pinned(const struct grant_use *use)
{
	return use->readers || use->writers;
}

static bool in_use(struct domain *d, uint32_t ref)
{
	return ref < nr_refs(d) && grant_of(d, ref)->state != GRANT_FREE;
}

static bool is_ending(struct domain *d, uint32_t ref)
{
	return grant_of(d, ref)->state >= GRANT_ENDING;
}

/* --- the granter ------------------------------------------------------------------------------ */

static void push_free(struct domain *d, uint32_t ref)
{
	if (ref < GNTTAB_NR_RESERVED_ENTRIES)
		return;
	use_of(d, ref)->next = d->free_ref;
	d->free_ref = ref;
}

static void free_ref(struct domain *d, uint32_t ref)
{
	KEEP(grant_of(d, ref)->state, GRANT_FREE);
	d->grants--;
	push_free(d, ref);
}

/* What does not last of the next frame of the table. */
static int make_uses(struct domain *d)
{
	struct grant_uses *more = calloc(1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	d->uses[d->n_uses++] = more;
	return 0;
}

/* Add a frame to the table; its lowest reference becomes the first free one. */
static int grow(struct domain *d, uint32_t table_max)
{
	const uint32_t frame = d->kept->table_frames, first = nr_refs(d);

	if (frame == table_max)
		return -ENOSPC;
	/* It reads as zero. */
	if (kept_make(&d->table[frame], sizeof(*d->table)) || make_uses(d))
		return -ENOMEM;
	KEEP(d->kept->table_frames, frame + 1);
	for (uint32_t ref = nr_refs(d); ref-- > first;)
		push_free(d, ref);
	return 0;
}

static int alloc_uses(struct domains *ds, struct domain *d)
{
	d->uses = calloc(ds->table_max, sizeof(*d->uses));
	return d->uses ? 0 : -ENOMEM;
}

int grant_table_init(struct domains *ds, struct domain *d)
{
	int err = alloc_uses(ds, d);

	return err ? err : grow(d, ds->table_max);
}

void grant_table_fini(struct domain *d)
{
	while (d->n_uses)
		free(d->uses[--d->n_uses]);
	free(d->uses);
	d->uses = NULL;
	d->free_ref = 0;
	d->grants = 0;
}

static void write_entry(struct domain *d, uint32_t ref, uint16_t mapper, uint32_t frame,
			bool readonly)
{
	union head head = { .flags = GTF_permit_access, .domid = mapper };
	union kept_entry *e = entry_of(d, ref);
	struct kept_grant *kg = grant_of(d, ref);

	if (readonly)
		head.flags |= GTF_readonly;
	KEEP(e->head, 0);
	KEEP(kg->granted, frame);
	KEEP(kg->state, GRANT_CHANGING);
	step(sim_grant_begun);
	KEEP(e->v1.frame, frame);
	/* The flags make it valid: after the rest. */
	KEEP(e->head, head.word);
	step(sim_granted);
	KEEP(kg->state, GRANT_USED);
	d->grants++;
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
	d->free_ref = use_of(d, *ref)->next;
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
	if (in_use(d, ref))
		err = -EBUSY;
	else if (!machine_owns(ds->machine, domid, frame))
		err = -EINVAL;
	else
		write_entry(d, ref, mapper, frame, readonly);
	pthread_mutex_unlock(&d->lock);
	return err;
}

/* As a guest does it: clear the flags, unless the hypervisor says that the grant is used. */
static int clear_entry(union kept_entry *e)
{
	uint16_t flags = __atomic_load_n(&e->v1.flags, __ATOMIC_RELAXED);

	do {
		if (flags & (GTF_reading | GTF_writing))
			return -EBUSY;
	} while (!__atomic_compare_exchange_n(&e->v1.flags, &flags, 0, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return 0;
}

/* It is ending, and not mapped: clear its entry, and what there is. */
static void end_grant(struct domains *ds, struct domain *d, uint32_t ref)
{
	const struct kept_grant *kg = grant_of(d, ref);

	KEEP(entry_of(d, ref)->v1.flags, 0);
	if (kg->state == GRANT_ENDING_WITH_FRAME)
		machine_free(ds->machine, d->domid, kg->granted);
	step(sim_grant_ended);
	free_ref(d, ref);
}

/* What the hypervisor knows counts, should the entry have been scribbled on. */
static int revoke_now(struct domain *d, uint32_t ref)
{
	int err;

	if (pinned(use_of(d, ref)))
		return -EBUSY;
	KEEP(grant_of(d, ref)->state, GRANT_CHANGING);
	err = clear_entry(entry_of(d, ref));
	if (err)
		KEEP(grant_of(d, ref)->state, GRANT_USED);
	else
		free_ref(d, ref);
	return err;
}

int grant_revoke(struct domains *ds, uint16_t domid, uint32_t ref)
{
	struct domain *d = domain_lock_running(ds, domid);
	int err = -ENOENT;

	if (!d)
		return -ENOENT;
	if (in_use(d, ref))
		err = revoke_now(d, ref);
	pthread_mutex_unlock(&d->lock);
	return err;
}

/* Return: 0: ended; 1: will end with the last pin. */
static int revoke_later(struct domains *ds, struct domain *d, uint32_t ref, bool free_frame)
{
	KEEP(grant_of(d, ref)->state, free_frame ? GRANT_ENDING_WITH_FRAME : GRANT_ENDING);
	step(sim_grant_ending);
	if (pinned(use_of(d, ref)))
		return 1;
	end_grant(ds, d, ref);
	return 0;
}

int grant_revoke_later(struct domains *ds, uint16_t domid, uint32_t ref, bool free_frame)
{
	struct domain *d = domain_lock_running(ds, domid);
	int ret = -ENOENT;

	if (!d)
		return -ENOENT;
	if (in_use(d, ref) && !is_ending(d, ref))
		ret = revoke_later(ds, d, ref, free_frame);
	pthread_mutex_unlock(&d->lock);
	return ret;
}

void grant_revoke_all(struct domains *ds, struct domain *d)
{
	for (uint32_t ref = 0; ref < nr_refs(d); ref++)
		if (in_use(d, ref))
			revoke_later(ds, d, ref, false);
}

bool grant_next(struct domains *ds, uint16_t domid, uint32_t *ref, struct sim_granted *g)
{
	struct domain *d = domain_lock_running(ds, domid);
	bool found = false;

	if (!d)
		return false;
	while (!found && ++*ref < nr_refs(d))
		found = in_use(d, *ref);
	if (found)
		*g = (struct sim_granted){ .frame = grant_of(d, *ref)->granted,
					   .ending = is_ending(d, *ref) };
	pthread_mutex_unlock(&d->lock);
	return found;
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
static bool permits(const struct domains *ds, const struct grant_use *use, union head head,
		    bool readonly, bool copy)
{
	/* A grant of a part of a page can be copied, but not mapped. */
	uint16_t mask = copy ? GTF_type_mask : GTF_type_mask | GTF_sub_page;

	if (!pinned(use) && ((head.flags & mask) != GTF_permit_access || head.domid != ds->mapper))
		return false;
	return readonly || !(head.flags & GTF_readonly);
}

/* Tell the granter, in its entry, that the grant is used. */
static int16_t set_status(const struct domains *ds, union kept_entry *e,
			  const struct grant_use *use, bool readonly, bool copy)
{
	uint16_t bits = readonly ? GTF_reading : GTF_reading | GTF_writing;
	union head old = { .word = __atomic_load_n(&e->head, __ATOMIC_ACQUIRE) };
	union head new;
	int retries = 0;

	for (;;) {
		if (!permits(ds, use, old, readonly, copy))
			return GNTST_general_error;
		new = old;
		new.flags |= bits;
		if (__atomic_compare_exchange_n(&e->head, &old.word, new.word, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return GNTST_okay;
		if (retries++ == UNSTABLE_RETRIES)
			return GNTST_general_error;
	}
}

/* Take back from the entry what the pins that are left do not need. */
static void reduce_status(union kept_entry *e, const struct grant_use *use, bool readonly)
{
	uint16_t clear = 0;

	if (!pinned(use))
		clear |= GTF_reading;
	if (!readonly && !use->writers)
		clear |= GTF_writing;
	if (clear)
		__atomic_and_fetch(&e->v1.flags, (uint16_t)~clear, __ATOMIC_ACQ_REL);
}

/* The first pin of a grant fixes its frame: that of the entry, if it is the granter's. */
static bool pin_frame(struct domains *ds, struct domain *d, uint32_t ref)
{
	uint32_t frame = __atomic_load_n(&entry_of(d, ref)->v1.frame, __ATOMIC_RELAXED);

	if (!machine_get(ds->machine, d->domid, frame))
		return false;
	KEEP(grant_of(d, ref)->frame, frame);
	return true;
}

int16_t grant_pin(struct domains *ds, struct domain *d, uint32_t ref, bool readonly, bool copy,
		  uint32_t *frame)
{
	struct grant_use *use;
	union kept_entry *e;
	uint8_t *count;
	int16_t status;

	if (ref >= nr_refs(d))
		return GNTST_bad_gntref;
	e = entry_of(d, ref);
	use = use_of(d, ref);
	count = readonly ? &use->readers : &use->writers;
	if (*count & PIN_OVERFLOW)
		return GNTST_general_error;
	if (!pinned(use) || (!readonly && !use->writers)) {
		status = set_status(ds, e, use, readonly, copy);
		if (status != GNTST_okay)
			return status;
	}
	if (!pinned(use) && !pin_frame(ds, d, ref)) {
		reduce_status(e, use, readonly);
		return GNTST_bad_page;
	}
	++*count;
	d->pins++;
	*frame = grant_of(d, ref)->frame;
	return GNTST_okay;
}

void grant_unpin(struct domains *ds, struct domain *d, uint32_t ref, bool readonly)
{
	struct grant_use *use = use_of(d, ref);

	--*(readonly ? &use->readers : &use->writers);
	d->pins--;
	reduce_status(entry_of(d, ref), use, readonly);
	if (pinned(use))
		return;
	machine_put(ds->machine, grant_of(d, ref)->frame);
	if (is_ending(d, ref))
		end_grant(ds, d, ref);
}

/* --- adoption: nothing else runs ---------------------------------------------------------------- */

int grant_table_adopt(struct domains *ds, struct domain *d)
{
	int err = alloc_uses(ds, d);

	while (d->n_uses < d->kept->table_frames && !err)
		err = make_uses(d);
	for (uint32_t ref = 0; ref < nr_refs(d) && !err; ref++)
		if (grant_of(d, ref)->state >= GRANT_STATES ||
		    (in_use(d, ref) && grant_of(d, ref)->granted >= ds->machine->pages))
			err = -EINVAL;
	return err;
}

int grant_repin(struct domains *ds, struct domain *d, uint32_t ref, bool readonly)
{
	struct grant_use *use;

	if (ref >= nr_refs(d) || !machine_was_owned(ds->machine, d->domid, grant_of(d, ref)->frame))
		return -EINVAL;
	use = use_of(d, ref);
	if ((readonly ? use->readers : use->writers) & PIN_OVERFLOW)
		return -EINVAL;
	++*(readonly ? &use->readers : &use->writers);
	d->pins++;
	return 0;
}

uint32_t grant_frame(struct domain *d, uint32_t ref)
{
	return grant_of(d, ref)->frame;
}

void grant_reget_frames(struct domains *ds, struct domain *d)
{
	for (uint32_t ref = 0; ref < nr_refs(d); ref++)
		if (pinned(use_of(d, ref)))
			machine_reget(ds->machine, grant_of(d, ref)->frame);
}

/* Finish what a kill has interrupted. */
static void settle_grant(struct domains *ds, struct domain *d, uint32_t ref)
{
	struct kept_grant *kg = grant_of(d, ref);
	union kept_entry *e = entry_of(d, ref);

	if (e->v1.flags & (GTF_reading | GTF_writing))
		reduce_status(e, use_of(d, ref), false);
	if (kg->state == GRANT_CHANGING)
		KEEP(kg->state, e->v1.flags ? GRANT_USED : GRANT_FREE);
	if (kg->state == GRANT_FREE) {
		push_free(d, ref);
		return;
	}
	d->grants++;
	if (is_ending(d, ref) && !pinned(use_of(d, ref)))
		end_grant(ds, d, ref);
}

void grant_recount(struct domains *ds, struct domain *d)
{
	/* The lowest free one is the first. */
	for (uint32_t ref = nr_refs(d); ref-- > 0;)
		settle_grant(ds, d, ref);
}
