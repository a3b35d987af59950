/* SPDX-License-Identifier: MIT */
/*
 * sim/maptrack.c - the handles of the simulator's mapping domain
 *
 * What a slot maps is one word, so that reading it, checking it and ending it is one
 * compare-and-swap, and of two racing unmaps of a handle one wins:
 *
 *   bit 63: live | 62: readonly | 40..50: generation | 24..39: domid | 0..23: ref
 *
 * Free slots form a stack of numbers whose head carries a tag: a pop that was overtaken by other
 * pops and pushes of the same slot fails its compare-and-swap and begins again.
 *
 * The words last, the stack does not: a slot is free if its word is not live. The generation lasts in either case, so
 * that a handle that was unmapped before the daemon was killed is a bad handle afterwards, too.
 */
#include "sim/maptrack.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "hypercall.h"

#define TRACK_LIVE	(1ULL << 63)
#define TRACK_READONLY	(1ULL << 62)
#define TRACK_GEN_SHIFT 40
#define TRACK_DOM_SHIFT 24
#define GEN_BITS	11
#define GEN_MASK	((1U << GEN_BITS) - 1)
#define SLOT_MASK	((1U << MAPTRACK_SLOT_BITS) - 1)

/* Words made at a time: 8 pages. */
#define TRACKS_STEP 4096U

static_assert(TRACK_DOM_SHIFT == MAPTRACK_REF_BITS && TRACK_DOM_SHIFT + 16 == TRACK_GEN_SHIFT &&
		      TRACK_GEN_SHIFT + GEN_BITS <= 62,
	      "fields of a track word do not overlap");
static_assert(MAPTRACK_SLOT_BITS + GEN_BITS < 32, "no handle is MAPTRACK_NONE");

static uint32_t slot_of(uint32_t handle)
{
	return handle & SLOT_MASK;
}

static uint32_t generation_of(uint64_t track)
{
	return (uint32_t)(track >> TRACK_GEN_SHIFT) & GEN_MASK;
}

static uint64_t track_word(uint32_t generation, uint16_t domid, uint32_t ref)
{
	return (uint64_t)(generation & GEN_MASK) << TRACK_GEN_SHIFT |
	       (uint64_t)domid << TRACK_DOM_SHIFT | ref;
}

int maptrack_init(struct maptrack *mt, struct kept *kept)
{
	*mt = (struct maptrack){ .kept = kept,
				 .track = kept->track,
				 .max = kept->head->sizes.track_max };
	pthread_mutex_init(&mt->grow, NULL);
	/* Zero pages until they are used. */
	mt->next = mmap(NULL, mt->max * sizeof(*mt->next), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mt->next != MAP_FAILED)
		return 0;
	mt->next = NULL;
	return -ENOMEM;
}

void maptrack_fini(struct maptrack *mt)
{
	if (mt->next)
		munmap(mt->next, mt->max * sizeof(*mt->next));
	pthread_mutex_destroy(&mt->grow);
	maptrack_adopted(mt);
}

static uint64_t head_word(uint64_t old, uint32_t slot_plus_1)
{
	return ((old >> 32) + 1) << 32 | slot_plus_1;
}

static void push(struct maptrack *mt, uint32_t slot)
{
	uint64_t old = __atomic_load_n(&mt->head, __ATOMIC_RELAXED);

	do
		__atomic_store_n(&mt->next[slot], (uint32_t)old, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&mt->head, &old, head_word(old, slot + 1), false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* Return: a slot, or MAPTRACK_NONE if none has been given back. */
static uint32_t pop(struct maptrack *mt)
{
	uint64_t old = __atomic_load_n(&mt->head, __ATOMIC_ACQUIRE);
	uint32_t next;

	do {
		if (!(uint32_t)old)
			return MAPTRACK_NONE;
		next = __atomic_load_n(&mt->next[(uint32_t)old - 1], __ATOMIC_RELAXED);
	} while (!__atomic_compare_exchange_n(&mt->head, &old, head_word(old, next), false,
					      __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
	return (uint32_t)old - 1;
}

static uint64_t made(const struct maptrack *mt)
{
	return __atomic_load_n(&mt->kept->head->tracks_made, __ATOMIC_ACQUIRE);
}

/* Have memory for the words up to @slot's. */
static int make_words(struct maptrack *mt, uint32_t slot)
{
	uint64_t from, to;
	int err = 0;

	pthread_mutex_lock(&mt->grow);
	from = made(mt);
	to = from + TRACKS_STEP < mt->max ? from + TRACKS_STEP : mt->max;
	if (slot >= from)
		err = kept_make(mt->track + from, (to - from) * sizeof(*mt->track));
	if (slot >= from && !err)
		KEEP(mt->kept->head->tracks_made, to);
	pthread_mutex_unlock(&mt->grow);
	return err;
}

/* Return: a slot that was never used, or MAPTRACK_NONE. */
static uint32_t extend(struct maptrack *mt)
{
	uint32_t slot = __atomic_load_n(&mt->used, __ATOMIC_RELAXED);

	do {
		if (slot == mt->max || (slot >= made(mt) && make_words(mt, slot)))
			return MAPTRACK_NONE;
	} while (!__atomic_compare_exchange_n(&mt->used, &slot, slot + 1, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return slot;
}

uint32_t maptrack_get(struct maptrack *mt)
{
	uint32_t slot = pop(mt);

	if (slot == MAPTRACK_NONE)
		slot = extend(mt);
	if (slot == MAPTRACK_NONE)
		return MAPTRACK_NONE;
	return generation_of(__atomic_load_n(&mt->track[slot], __ATOMIC_RELAXED))
		       << MAPTRACK_SLOT_BITS |
	       slot;
}

void maptrack_publish(struct maptrack *mt, uint32_t handle, uint16_t domid, uint32_t ref,
		      bool readonly)
{
	uint64_t track = track_word(handle >> MAPTRACK_SLOT_BITS, domid, ref) | TRACK_LIVE;

	if (readonly)
		track |= TRACK_READONLY;
	__atomic_add_fetch(&mt->live, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&mt->track[slot_of(handle)], track, __ATOMIC_RELEASE);
}

int16_t maptrack_take(struct maptrack *mt, uint32_t handle, uint16_t domid, uint32_t ref,
		      bool *readonly)
{
	uint32_t generation = handle >> MAPTRACK_SLOT_BITS;
	uint32_t slot = slot_of(handle);
	uint64_t track;

	if (slot >= __atomic_load_n(&mt->used, __ATOMIC_RELAXED))
		return GNTST_bad_handle;
	track = __atomic_load_n(&mt->track[slot], __ATOMIC_ACQUIRE);
	if (!(track & TRACK_LIVE) || generation_of(track) != generation)
		return GNTST_bad_handle;
	if ((track & ~(TRACK_LIVE | TRACK_READONLY)) != track_word(generation, domid, ref))
		return GNTST_general_error;
	if (!__atomic_compare_exchange_n(&mt->track[slot], &track, track_word(generation + 1, 0, 0),
					 false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return GNTST_bad_handle;
	*readonly = track & TRACK_READONLY;
	return GNTST_okay;
}

void maptrack_put(struct maptrack *mt, uint32_t handle)
{
	__atomic_sub_fetch(&mt->live, 1, __ATOMIC_RELAXED);
	push(mt, slot_of(handle));
}

void maptrack_cancel(struct maptrack *mt, uint32_t handle)
{
	push(mt, slot_of(handle));
}

uint64_t maptrack_live(const struct maptrack *mt)
{
	return __atomic_load_n(&mt->live, __ATOMIC_RELAXED);
}

/* --- adoption ----------------------------------------------------------------------------------- */

static int map_of(uint64_t track, uint32_t slot, struct maptrack_map *map)
{
	*map = (struct maptrack_map){
		.handle = generation_of(track) << MAPTRACK_SLOT_BITS | slot,
		.ref = track & ((1U << MAPTRACK_REF_BITS) - 1),
		.domid = (uint16_t)(track >> TRACK_DOM_SHIFT),
		.readonly = track & TRACK_READONLY,
	};
	/* Nothing else may be in it. */
	track &= ~(TRACK_LIVE | TRACK_READONLY);
	return track == track_word(generation_of(track), map->domid, map->ref) ? 0 : -EINVAL;
}

int maptrack_walk(struct maptrack *mt, int (*fn)(const struct maptrack_map *map, void *arg),
		  void *arg)
{
	struct maptrack_map map;
	int err = 0;

	for (uint32_t slot = 0; slot < made(mt) && !err; slot++) {
		err = map_of(mt->track[slot], slot, &map);
		if (!err && (mt->track[slot] & TRACK_LIVE))
			err = fn(&map, arg);
		else if (!err && (map.domid || map.ref || map.readonly))
			err = -EINVAL;
	}
	return err;
}

int maptrack_adopt(struct maptrack *mt)
{
	mt->used = (uint32_t)made(mt);
	while (mt->used && !mt->track[mt->used - 1])
		mt->used--;
	mt->named = calloc(mt->used + 1UL, sizeof(*mt->named));
	if (!mt->named)
		return -ENOMEM;
	for (uint32_t slot = mt->used; slot-- > 0;)
		if (mt->track[slot] & TRACK_LIVE)
			mt->live++;
		else
			push(mt, slot);
	return 0;
}

bool maptrack_name(struct maptrack *mt, const struct maptrack_map *map)
{
	uint32_t slot = slot_of(map->handle);
	uint64_t track =
		track_word(map->handle >> MAPTRACK_SLOT_BITS, map->domid, map->ref) | TRACK_LIVE;

	if (map->readonly)
		track |= TRACK_READONLY;
	if (slot >= mt->used || map->handle >> MAPTRACK_SLOT_BITS > GEN_MASK ||
	    mt->track[slot] != track || mt->named[slot])
		return false;
	mt->named[slot] = 1;
	return true;
}

bool maptrack_named(const struct maptrack *mt, uint32_t handle)
{
	return mt->named[slot_of(handle)];
}

void maptrack_adopted(struct maptrack *mt)
{
	free(mt->named);
	mt->named = NULL;
}
