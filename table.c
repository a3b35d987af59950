/* SPDX-License-Identifier: MIT */
/*
 * table.c - opens and maps, without a lock
 *
 * Theory
 *
 * A table is a set of opens, by id. An open owns an index space of pages (base/arena.h). A map owns a
 * range of it, and every page of the range has an entry, which is the map's address. So one walk down
 * finds a map by its index as well as by any byte.
 *
 *   table -> ids -> open -> arena -> page index -> map
 *
 * A. Progress
 *
 *   wait-free:  open_get, map_find, map_find_page, ids_get, all that read a map. They write
 *               nothing that is shared.
 *   lock-free:  everything else but open_close and table_destroy: a loop goes round again only if
 *               another thread's compare-and-swap has got that thread further. Nobody ever waits
 *               for a thread that has stalled. rcu_call() is wait-free but for waking its thread.
 *   in constant time: all of them, but for the count entries that a map of count pages needs, and
 *               the walks. open_close takes time by the highest index in use. table_destroy
 *               waits for a grace period.
 *
 * B. The life of a map
 *
 * map->state is one word: its phase (table.h) and its place, each changed by compare-and-swap of
 * the whole. The place says where a map can be found:
 *
 *   OUT -> ADDING -> LISTED -> LEAVING -> OUT
 *             \-------------------/
 *
 * Lookups return a map only in LISTED. Entries exist in ADDING, LISTED and LEAVING. Whoever takes
 * the map from LISTED to LEAVING has unlisted it: that thread alone erases the entries, gives
 * the range back and then takes it to OUT. A map is dead in OUT and FRESH, UNUSABLE or RELEASED.
 * The swap that brings both together is the last one that a map ever sees, so exactly one call
 * reports the death. LEAVING is there because of reclamation: were the map OUT as soon as it is
 * unlisted, map_release_end() could have it freed while its entries still stand, and a lookup
 * that begins after the grace period has begun would still find it.
 *
 * C. Who may free what, and when
 *
 *   map     whoever was told of its death, or made it and could not add it; by map_free(), a
 *           grace period later. Its entries are gone by then (B), so no new lookup finds it.
 *           A claimed or mapped map is not dead and needs no RCU to be kept.
 *   open    open_close(), a grace period after it has left the ids.
 *   arena   whoever takes it out of open->arena, a grace period later; else it goes with the open.
 *   node    of a radix tree: with the arena or the set of ids that it belongs to.
 *
 * A range is reused at once, without a grace period: a lookup that read the old entry finds its map
 * no longer LISTED, and between the two maps there was a time at which none was there.
 *
 * D. Why ABA does no harm
 *
 *   map->state    place only goes forward, and so does the phase but in map_renew(). What is decided by the word
 *                 is decided by all of it, so whether it was the same in between does not matter. A refused map is
 *                 OUT and FRESH as before, and may have been seen by open_close(): so it must not be added again.
 *   ids           slots are owned by whoever popped or removed them; their generation goes up.
 *
 * E. open_close() against map_add()
 *
 *   map_add:     write the entries (the first page's last)        (a1)
 *                is the open closing?                             (a2)
 *                ADDING -> LISTED                                 (a3)
 *   open_close:  the open is closing                              (c1)
 *                read every entry; LISTED or ADDING -> LEAVING    (c2)
 *
 * a1, a2, c1 and c2 (arena, end and words) are sequentially consistent. If a2 comes before c1,
 * then a1 comes before c2, and c2 finds the map: either before a3, which then fails, or after it,
 * and the map is unlisted like any other. If a2 comes after c1, map_add withdraws the map without
 * ever having listed it. So a refused map was never findable, hence never claimed, and goes back to
 * the caller as it was: the check must come before a3, or a map that somebody else has claimed
 * meanwhile would have to be refused. An arena that map_add makes after c2 goes with the open.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/ids.h"
#include "base/radix.h"
#include "base/rcu.h"
#include "table.h"

/* map->state: the phase in the low bits, the place above. */
#define PHASE_MASK  7ULL
#define PLACE_SHIFT 3

enum map_place {
	PLACE_OUT,
	PLACE_ADDING,
	PLACE_LISTED,
	PLACE_LEAVING,
};

/*
 * struct map_box - a map as this file sees it
 * @arena: where its range and entries are, from ADDING to LEAVING
 * @next:  open_close()'s list of maps that it has to report; then
 * @last:  of map_free_after()
 *
 * The four words make that struct map begins at a multiple of 16, so that what a lookup reads of
 * it rarely spans two cache lines.
 */
struct map_box {
	struct rcu_head rcu;
	struct arena *arena;
	union {
		struct map_box *next;
		void (*last)(struct map *m);
	};
	struct map map;
};

static_assert(offsetof(struct map_box, map) % 16 == 0, "what a lookup reads lies together");

struct gnt_open {
	struct rcu_head rcu;
	uint64_t id;
	void *user;
	uint64_t closing;
	uint64_t arena; /* home of its struct arena */
};

struct table {
	struct ids *opens;
};

/* --- the life of a map ---------------------------------------------------------------------- */

static enum map_phase state_phase(uint64_t state)
{
	return (enum map_phase)(state & PHASE_MASK);
}

static enum map_place state_place(uint64_t state)
{
	return (enum map_place)(state >> PLACE_SHIFT);
}

static uint64_t state_word(enum map_phase phase, enum map_place place)
{
	return (uint64_t)place << PLACE_SHIFT | phase;
}

static enum map_end state_end(uint64_t state)
{
	if (state_place(state) != PLACE_OUT)
		return MAP_LIVES;
	switch (state_phase(state)) {
	case MAP_FRESH:
	case MAP_UNUSABLE:
	case MAP_RELEASED:
		return MAP_DEAD;
	default:
		return MAP_LIVES;
	}
}

/* Go from one phase to another, wherever the map is. Return: MAP_LOST if it is in another phase. */
static enum map_end phase_change(struct map *m, enum map_phase from, enum map_phase to)
{
	uint64_t old = word_load(&m->state);
	uint64_t now;

	do {
		if (state_phase(old) != from)
			return MAP_LOST;
		now = state_word(to, state_place(old));
	} while (!word_cas(&m->state, &old, now));
	return state_end(now);
}

/* Go from one place to another, in whatever phase. Return: MAP_LOST if it is in another place. */
static enum map_end place_change(struct map *m, enum map_place from, enum map_place to)
{
	uint64_t old = word_load(&m->state);
	uint64_t now;

	do {
		if (state_place(old) != from)
			return MAP_LOST;
		now = state_word(state_phase(old), to);
	} while (!word_cas(&m->state, &old, now));
	return state_end(now);
}

enum map_phase map_phase(const struct map *m)
{
	return state_phase(word_load(&m->state));
}

enum map_phase map_look(const struct map *m, bool *listed)
{
	uint64_t state = word_load(&m->state);

	*listed = state_place(state) == PLACE_LISTED;
	return state_phase(state);
}

bool map_is_listed(const struct map *m)
{
	return state_place(word_load(&m->state)) == PLACE_LISTED;
}

int map_claim(struct map *m)
{
	uint64_t old = state_word(MAP_FRESH, PLACE_LISTED);

	return word_cas(&m->state, &old, state_word(MAP_MAPPING, PLACE_LISTED)) ? 0 : -EINVAL;
}

enum map_end map_settle(struct map *m, bool ok)
{
	return phase_change(m, MAP_MAPPING, ok ? MAP_MAPPED : MAP_UNUSABLE);
}

bool map_release_begin(struct map *m)
{
	return phase_change(m, MAP_MAPPED, MAP_RELEASING) != MAP_LOST;
}

enum map_end map_release_end(struct map *m)
{
	return phase_change(m, MAP_RELEASING, MAP_RELEASED);
}

enum map_end map_renew(struct map *m)
{
	return phase_change(m, MAP_RELEASING, MAP_FRESH);
}

struct map *map_new(uint32_t count)
{
	struct map_box *box;

	if (count == 0 || count > ARENA_LIMIT)
		return NULL;
	box = malloc(sizeof(*box) + count * sizeof(box->map.refs[0]));
	if (!box)
		return NULL;
	*box = (struct map_box){ .map.count = count };
	return &box->map;
}

static struct map_box *map_box(struct map *m)
{
	return caa_container_of(m, struct map_box, map);
}

static void map_free_rcu(struct rcu_head *head)
{
	struct map_box *box = caa_container_of(head, struct map_box, rcu);

	rcu_grace_period_over();
	if (box->last)
		box->last(&box->map);
	RCU_FREE(box);
}

void map_free_after(struct map *m, void (*last)(struct map *m))
{
	map_box(m)->last = last;
	rcu_call(&map_box(m)->rcu, map_free_rcu);
}

void map_free(struct map *m)
{
	map_free_after(m, NULL);
}

/* --- maps in opens -------------------------------------------------------------------------- */

/* Entries, range and place of a map that has become the caller's to take out. */
static void map_withdraw(struct gnt_open *o, struct map *m)
{
	struct arena *a = map_box(m)->arena;

	arena_fill(a, m->first, m->count, 0);
	arena_give(a, m->first, m->count);
	arena_drop(&o->arena, a);
}

/* See E above: between the entries and LISTED comes the look at closing. */
static bool map_publish(struct gnt_open *o, struct map *m)
{
	struct arena *a = map_box(m)->arena;
	uint64_t word = (uint64_t)(uintptr_t)m;

	word_store(&m->state, state_word(MAP_FRESH, PLACE_ADDING));
	arena_fill(a, m->first + 1, m->count - 1, word);
	arena_set_first(a, m->first, word);
	return !word_load(&o->closing) && place_change(m, PLACE_ADDING, PLACE_LISTED) != MAP_LOST;
}

int map_place(struct gnt_open *o, struct map *m)
{
	struct arena *a = arena_get(&o->arena);
	int err;

	if (!a)
		return -ENOMEM;
	err = arena_take(a, m->count, &m->first);
	if (err) {
		arena_drop(&o->arena, a);
		return err;
	}
	m->open_id = o->id;
	map_box(m)->arena = a;
	return 0;
}

int map_list(struct gnt_open *o, struct map *m)
{
	if (map_publish(o, m))
		return 0;
	map_withdraw(o, m);
	word_store(&m->state, state_word(MAP_FRESH, PLACE_OUT));
	return -EBADF;
}

int map_add(struct gnt_open *o, struct map *m)
{
	int err = map_place(o, m);

	return err ? err : map_list(o, m);
}

struct map *map_find_page(struct gnt_open *o, uint64_t page)
{
	struct arena *a = arena_at(&o->arena);
	struct map *m = a ? (struct map *)(uintptr_t)arena_entry(a, page) : NULL;

	return m && map_is_listed(m) ? m : NULL;
}

struct map *map_find(struct gnt_open *o, uint64_t first, uint32_t count)
{
	struct map *m = map_find_page(o, first);

	return m && m->first == first && (count == 0 || m->count == count) ? m : NULL;
}

enum map_end map_unlist(struct gnt_open *o, struct map *m)
{
	if (place_change(m, PLACE_LISTED, PLACE_LEAVING) == MAP_LOST)
		return MAP_LOST;
	map_withdraw(o, m);
	return place_change(m, PLACE_LEAVING, PLACE_OUT);
}

/*
 * Return: the first map, in whatever place, that has a page at *@page or above and below @end, and in
 * *@page the one behind it; NULL if there is none, or if *@work nodes have been looked at.
 *
 * All of a map's range is stepped over at once. No other map can begin in it that was there before: its
 * entry stands, so its range has not been given back.
 */
static struct map *arena_next_map(struct arena *a, uint64_t *page, uint64_t end, uint64_t *work)
{
	struct map *m = (struct map *)(uintptr_t)arena_next(a, page, end, work);

	if (m)
		*page = m->first + m->count;
	return m;
}

bool map_next(struct gnt_open *o, uint64_t *page, uint64_t *work, struct map **next)
{
	struct arena *a = arena_at(&o->arena);
	uint64_t end = a ? arena_end(a) : 0;

	do {
		*next = a ? arena_next_map(a, page, end, work) : NULL;
		*work -= *next && *work;
	} while (*next && !map_is_listed(*next));
	return *next || (a && *page < end);
}

void open_for_each_map(struct gnt_open *o, void (*fn)(struct map *m, void *arg), void *arg)
{
	uint64_t page = 0, work = UINT64_MAX;
	struct map *m;

	while (map_next(o, &page, &work, &m) && m)
		fn(m, arg);
}

/* --- opens ---------------------------------------------------------------------------------- */

static void open_free_rcu(struct rcu_head *head)
{
	struct gnt_open *o = caa_container_of(head, struct gnt_open, rcu);
	struct arena *a = arena_at(&o->arena);

	rcu_grace_period_over();
	if (a)
		arena_free(a);
	RCU_FREE(o);
}

uint64_t open_new(struct table *t, void *user)
{
	struct gnt_open *o = calloc(1, sizeof(*o));
	uint64_t id;

	if (!o)
		return 0;
	id = ids_reserve(t->opens);
	if (!id) {
		free(o);
		return 0;
	}
	o->id = id;
	o->user = user;
	ids_publish(t->opens, id, o);
	return id;
}

struct gnt_open *open_get(struct table *t, uint64_t id)
{
	return ids_get(t->opens, id);
}

uint64_t open_id(const struct gnt_open *o)
{
	return o->id;
}

void *open_user(const struct gnt_open *o)
{
	return o->user;
}

/* Unlist or refuse all maps of a closing open. Return: those that are dead, as a list. */
static struct map_box *open_unlist_all(struct gnt_open *o)
{
	struct arena *a = arena_at(&o->arena);
	uint64_t end = a ? arena_end(a) : 0;
	struct map_box *dead = NULL;
	uint64_t key = 0, work = UINT64_MAX;
	struct map *m;

	while (a && (m = arena_next_map(a, &key, end, &work))) {
		place_change(m, PLACE_ADDING, PLACE_LEAVING);
		if (map_unlist(o, m) == MAP_DEAD) {
			map_box(m)->next = dead;
			dead = map_box(m);
		}
	}
	return dead;
}

int open_retire(struct table *t, uint64_t id, void (*dead)(struct map *m, void *arg), void *arg,
		void **user)
{
	struct gnt_open *o = ids_retire(t->opens, id);
	struct map_box *list;

	if (!o)
		return -ENOENT;
	if (user)
		*user = o->user;
	word_store_sc(&o->closing, 1);
	rcu_read_enter();
	list = open_unlist_all(o);
	rcu_read_leave();
	rcu_call(&o->rcu, open_free_rcu);
	while (list) {
		struct map *m = &list->map;

		list = list->next;
		dead(m, arg);
	}
	return 0;
}

void open_forget(struct table *t, uint64_t id)
{
	ids_free(t->opens, id);
}

int open_close(struct table *t, uint64_t id, void (*dead)(struct map *m, void *arg), void *arg,
	       void **user)
{
	int err = open_retire(t, id, dead, arg, user);

	if (!err)
		open_forget(t, id);
	return err;
}

/* --- a former table's ----------------------------------------------------------------------- */

void table_restoring(struct table *t, uint64_t most)
{
	ids_restoring(t->opens, most);
}

int open_restore(struct table *t, uint64_t id, void *user)
{
	struct gnt_open *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	o->id = id;
	o->user = user;
	err = ids_restore(t->opens, id, o);
	if (err)
		free(o);
	return err;
}

/* Under RCU. */
static int restore_listed(struct gnt_open *o, struct map *m)
{
	struct arena *a = o ? arena_get(&o->arena) : NULL;
	int err;

	if (!a)
		return o ? -ENOMEM : -ENOENT;
	err = arena_take_at(a, m->first, m->count);
	if (err) {
		arena_drop(&o->arena, a);
		return err;
	}
	map_box(m)->arena = a;
	arena_fill(a, m->first, m->count, (uint64_t)(uintptr_t)m);
	return 0;
}

int map_restore(struct table *t, struct map *m, enum map_phase phase, bool listed)
{
	struct gnt_open *o;
	int err = 0;

	rcu_read_enter();
	o = open_get(t, m->open_id);
	if (listed)
		err = restore_listed(o, m);
	else if (!o)
		err = ids_restore(t->opens, m->open_id, NULL);
	/* A later open has that place. */
	if (!listed && err == -EEXIST)
		err = 0;
	rcu_read_leave();
	if (!err)
		word_store(&m->state, state_word(phase, listed ? PLACE_LISTED : PLACE_OUT));
	return err;
}

int table_restored(struct table *t)
{
	uint64_t cursor = 0, work = UINT64_MAX;
	struct gnt_open *o;
	int err = 0;

	rcu_read_enter();
	while (!err && open_next(t, &cursor, &work, &o) && o)
		err = arena_at(&o->arena) ? arena_taken(arena_at(&o->arena)) : 0;
	rcu_read_leave();
	ids_restored(t->opens);
	return err;
}

bool open_next(struct table *t, uint64_t *cursor, uint64_t *work, struct gnt_open **next)
{
	uint64_t id;
	void *obj;
	bool more = ids_next(t->opens, cursor, work, &id, &obj);

	*next = obj;
	return more;
}

void table_for_each_open(struct table *t, void (*fn)(struct gnt_open *o, void *arg), void *arg)
{
	uint64_t cursor = 0, work = UINT64_MAX;
	struct gnt_open *o;

	while (open_next(t, &cursor, &work, &o) && o)
		fn(o, arg);
}

/* --- tables --------------------------------------------------------------------------------- */

void table_last(struct table *t, uint64_t *generations)
{
	ids_last(t->opens, generations);
}

struct table *table_new(void)
{
	struct table *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	t->opens = ids_new();
	if (!t->opens) {
		free(t);
		return NULL;
	}
	/* Now, and not in somebody's ioctl. */
	rcu_start();
	return t;
}

void table_destroy(struct table *t)
{
	rcu_wait_for_calls();
	ids_destroy(t->opens);
	free(t);
}
