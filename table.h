/* SPDX-License-Identifier: MIT */
/*
 * table.h - opens and maps: who reserved which index, and what became of it
 *
 * A table holds opens (one per open file of a device); an open holds maps (one per successful
 * MAP_GRANT_REF). The table never calls anybody: every function that ends a map's life says so in
 * its result, and the caller does what has to be done outside (unmap, notify, free).
 *
 * Threads: every function may be called by any thread that is registered with RCU (see
 * rcu_thread_enter()), at any time, without a lock. A pointer that was found under RCU (base/rcu.h) must
 * not be kept after rcu_read_leave() unless the function that gave it says that it may be.
 *
 * table.c tells how it works and what is guaranteed.
 *
 * It knows no CUSE, no hypervisor and no client, and may include base/ alone: so it builds and is tested alone.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ids.h"

struct table;
struct gnt_open;
struct quota_user;
struct records;

/* One page of a MAP_GRANT_REF, as the client gave it: the layout is that of the ioctl. */
struct table_ref {
	uint32_t domid;
	uint32_t ref;
};

/*
 * The life of a map, in one word that only compare-and-swap changes:
 *
 *   phase:  FRESH -> MAPPING -> MAPPED -> RELEASING -> RELEASED
 *                       \-> UNUSABLE          \-> FRESH, if it was in vain (map_renew())
 *   listed: from map_add() until map_unlist(), whatever the phase.
 *
 * A map is dead when it is not listed and its phase is FRESH, UNUSABLE or RELEASED. Exactly one
 * call (of map_unlist(), map_settle(), map_release_end(), map_renew()) reports the death, and its caller must
 * end with map_free().
 */
enum map_phase {
	MAP_FRESH,     /* reserved: has an index, nothing is mapped */
	MAP_MAPPING,   /* one mmap is having the hypervisor map the grants */
	MAP_MAPPED,    /* the grants are mapped, a window shows them */
	MAP_UNUSABLE,  /* the one mmap failed: it can only be unmapped now */
	MAP_RELEASING, /* the last window user has gone, grants are being unmapped */
	MAP_RELEASED,  /* all given back */
};

/*
 * struct map - one successful MAP_GRANT_REF
 *
 * `first`, `open_id`, `count` and `refs` are constant once map_add() has published the map. From
 * `readonly` on the fields belong to table.c's callers: `notify` is a word of their own making,
 * changed by compare-and-swap only; the rest is written before the map is listed, by the thread that owns the phase
 * MAPPING, before map_settle(), and by the one that owns RELEASING.
 */
struct map {
	uint64_t state;	  /* private to table.c; read it through map_phase(), map_is_listed() */
	uint64_t first;	  /* first page index; the client's index is first << 12 */
	uint64_t open_id; /* id of the open that reserved it; the open may be gone */
	uint32_t count;	  /* pages, 1 or more */
	bool readonly;	  /* decided at the one mmap */
	uint64_t notify;  /* unmap notification, packed by its user */
	uint64_t window;  /* id of the window that shows it */
	uint64_t vaddr;	  /* where the client said it would map the window; 0 unknown */
	uint64_t told;	  /* order in which maps were made, and then said their `vaddr` */
	uint64_t born;	  /* trace_now() of its MAP_GRANT_REF */
	pid_t holder;	  /* who mmapped it; 0 not visible */
	uint32_t record;  /* what outlives the daemon of it, see device/lasting.h */
	struct records *records;    /* where that is */
	struct quota_user *account; /* whose quota it counts against, see policy/quota.h */
	struct table_ref refs[];
};

/* What map_unlist(), map_settle() and map_release_end() found. */
enum map_end {
	MAP_LOST,  /* somebody else did it first: hands off */
	MAP_LIVES, /* done, and the map lives on */
	MAP_DEAD,  /* done, and the map is dead: finish it, then map_free() */
};

/**
 * table_new() - make an empty table
 *
 * Return: the table, or NULL when there is no memory.
 */
struct table *table_new(void);

/**
 * table_last() - have the ids of opens never repeat soon, also not those of a predecessor's table
 * @generations: a word that lasts, see ids_last()
 *
 * Before there is an open. A close that is carried out again by a successor must not meet another open.
 */
void table_last(struct table *t, uint64_t *generations);

/** table_restoring() - before the first open_restore(): how many opens there can have been at a time */
void table_restoring(struct table *t, uint64_t most);

/**
 * table_destroy() - free a table
 * @t: the table; every open must have been closed
 *
 * Waits for a grace period and for all deferred frees; not under RCU.
 */
void table_destroy(struct table *t);

/**
 * open_new() - make an open
 * @t:    the table
 * @user: the caller's word for it, given back by open_user(); not touched
 *
 * Return: the open's id (never 0; holds a generation, so the id of a closed open is not found
 * again), or 0 when there is no memory.
 */
uint64_t open_new(struct table *t, void *user);

/**
 * open_restore() - make an open that a former table had
 * @id: its id there
 *
 * For a table that nobody else uses yet, as map_restore(); then table_restored(). Return: 0; -EINVAL: it is no id; -EEXIST; -ENOMEM.
 */
int open_restore(struct table *t, uint64_t id, void *user);

/**
 * map_restore() - put a map where it was in a former table
 * @t: the table
 * @m: from map_new(); `open_id`, `first` and refs filled in
 * @phase: in which it was
 * @listed: it is an open's; else it was unlisted, or its open is closed
 *
 * The map may be dead by that: it is the caller's then, as if it had been reported. Return: 0; -EINVAL: there can be no such map;
 * -EEXIST: another one has some of its pages; -ENOENT: there is no such open; -ENOMEM.
 */
int map_restore(struct table *t, struct map *m, enum map_phase phase, bool listed);

/**
 * table_restored() - all has been restored: the table goes on where the former one has ended
 *
 * But for the order in which holes are used, and that indexes are given anew only behind all that are in use. Return: 0; -ENOMEM.
 */
int table_restored(struct table *t);

/**
 * open_get() - find an open by id, in constant time
 *
 * Under RCU. Return: the open, or NULL if there is none of that id and generation.
 */
struct gnt_open *open_get(struct table *t, uint64_t id);
uint64_t open_id(const struct gnt_open *o);
void *open_user(const struct gnt_open *o);

/**
 * open_close() - take an open and all its maps out of the table
 * @t:    the table
 * @id:   the open's id
 * @dead: called for each map that is dead now, as if by map_unlist() == MAP_DEAD; not under RCU
 * @arg:  for @dead
 *
 * Maps being mapped or mapped live on until whoever holds them reports their end. A map_add() that
 * races with this either fails or its map is unlisted here: none is left behind.
 *
 * Return: the open's @user through @user if not NULL; 0, or -ENOENT when there is no such open
 * (also for the second of two racing calls). Not under RCU.
 */
int open_close(struct table *t, uint64_t id, void (*dead)(struct map *m, void *arg), void *arg,
	       void **user);

/**
 * open_retire(), open_forget() - open_close() in two halves
 *
 * For who keeps opens where they outlive the table: until open_forget(), which is due if open_retire() has returned 0, no other
 * open gets the place of this one.
 */
int open_retire(struct table *t, uint64_t id, void (*dead)(struct map *m, void *arg), void *arg,
		void **user);
void open_forget(struct table *t, uint64_t id);

/**
 * table_for_each_open() - walk all opens
 *
 * Under RCU. Opens that come or go meanwhile may be missed.
 */
void table_for_each_open(struct table *t, void (*fn)(struct gnt_open *o, void *arg), void *arg);

/**
 * open_for_each_map() - walk the listed maps of an open
 *
 * Under RCU. Maps that come or go meanwhile may be missed.
 */
void open_for_each_map(struct gnt_open *o, void (*fn)(struct map *m, void *arg), void *arg);

/**
 * open_next(), map_next() - the same in steps, with pauses in which the caller leaves RCU
 * @cursor, @page: 0 at first, then as the last call left it
 * @work: how much more may be done: about one for each open, for each map and for each 64 pages without
 *        a map; counted down
 * @next: out: the next one; NULL if there is none, or if @work has come to 0
 *
 * Under RCU. What is there from the walk's beginning to its end is met exactly once; if @o was closed
 * in a pause the caller notices by open_get(). Return: false at the end of the walk.
 */
bool open_next(struct table *t, uint64_t *cursor, uint64_t *work, struct gnt_open **next);
bool map_next(struct gnt_open *o, uint64_t *page, uint64_t *work, struct map **next);

/**
 * map_new() - make a map of @count pages, not yet in any table
 * @count: pages, 1 or more
 *
 * Return: the map, refs to be filled in by the caller, or NULL when there is no memory, or @count
 * is 0 or more than the 2^26 pages that one open can have.
 */
struct map *map_new(uint32_t count);

/**
 * map_add() - reserve an index range and publish the map
 * @o: the open
 * @m: from map_new(); refs filled in
 *
 * Under RCU. Constant time (for a given count). A hole of exactly @m->count pages that map_unlist()
 * left is used first, else the range follows the highest one. The first map of an open, and the
 * first after all have been unlisted, is at 0.
 *
 * Return: 0, with m->first set; -ENOMEM, also beyond page 2^26 of the index space; -EBADF if the
 * open is being closed. On failure the map is still the caller's; after -EBADF it can only be
 * freed, by map_free().
 */
int map_add(struct gnt_open *o, struct map *m);

/**
 * map_place(), map_list() - map_add() in two halves, for who has to note the index before others can find it
 *
 * Both under RCU, the same section. map_place() sets m->first; nothing is found there before map_list(), which must follow.
 * Return: map_place(): 0, -ENOMEM; map_list(): 0, -EBADF: as of map_add().
 */
int map_place(struct gnt_open *o, struct map *m);
int map_list(struct gnt_open *o, struct map *m);

/**
 * map_find() - find a listed map by its exact index
 * @o:     the open
 * @first: its first page index
 * @count: its pages, or 0 for any
 *
 * Under RCU, wait-free, constant time. Return: the map or NULL.
 */
struct map *map_find(struct gnt_open *o, uint64_t first, uint32_t count);

/**
 * map_find_page() - find the listed map that covers a page index
 *
 * Under RCU, wait-free, constant time. Return: the map or NULL.
 */
struct map *map_find_page(struct gnt_open *o, uint64_t page);

/**
 * map_unlist() - take a map out of its open: UNMAP_GRANT_REF
 *
 * Under RCU. The index range can be reused from here on. Return: MAP_LOST if another call has
 * unlisted it, else MAP_LIVES or MAP_DEAD. A dead map stays valid until map_free().
 */
enum map_end map_unlist(struct gnt_open *o, struct map *m);

/**
 * map_claim() - begin the one mmap: FRESH -> MAPPING
 *
 * Under RCU. On success the caller may keep @m past rcu_read_leave(), until it calls map_settle().
 *
 * Return: 0; -EINVAL if the map is not listed or was ever claimed before.
 */
int map_claim(struct map *m);

/**
 * map_settle() - end what map_claim() began: MAPPING -> MAPPED or UNUSABLE
 * @ok: whether the grants are mapped
 *
 * By the claimer. After settling as MAPPED the map stays valid until map_release_end().
 *
 * Return: MAP_LIVES, or MAP_DEAD (only with @ok false); MAP_LOST if the map is not MAPPING.
 */
enum map_end map_settle(struct map *m, bool ok);

/**
 * map_release_begin() - the last user of the window has gone: MAPPED -> RELEASING
 *
 * Return: true for exactly one caller, who must unmap the grants and call map_release_end().
 */
bool map_release_begin(struct map *m);

/**
 * map_release_end() - the grants are unmapped: RELEASING -> RELEASED
 *
 * Return: MAP_LIVES (still listed) or MAP_DEAD; MAP_LOST if the map is not RELEASING.
 */
enum map_end map_release_end(struct map *m);

/**
 * map_renew() - the grants are unmapped as if there had been no mmap: RELEASING -> FRESH
 *
 * By who would call map_release_end(). Return: as that: MAP_DEAD if it is not listed.
 */
enum map_end map_renew(struct map *m);

/**
 * map_free() - free a map after a grace period
 *
 * For a map that was reported dead, or that map_add() refused, or was never added.
 */
void map_free(struct map *m);

/** map_free_after() - the same; just before, @last is called, on the thread of base/rcu.h. Nobody can have found @m any more */
void map_free_after(struct map *m, void (*last)(struct map *m));

/**
 * map_look() - phase and place at one moment
 * @listed: out
 *
 * Neither ever goes back, but by map_renew(): who reads the fields of a map between two calls that say the same has
 * read what belongs together.
 */
enum map_phase map_look(const struct map *m, bool *listed);
enum map_phase map_phase(const struct map *m);
bool map_is_listed(const struct map *m);

#endif /* TABLE_H */
