/* SPDX-License-Identifier: MIT */
/*
 * base/ids.h - objects by ids that are reused, but never repeat soon
 *
 * An id is a slot and a generation, so looking up a stale one gives NULL. The set knows nothing of
 * what it holds, and frees none of it.
 *
 * Threads: any, at any time, without a lock. Only the objects need RCU, not the set.
 */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <stdbool.h>
#include <stdint.h>

struct ids;

/**
 * ids_new() - make an empty set
 *
 * Return: the set, or NULL when there is no memory.
 */
struct ids *ids_new(void);

/**
 * ids_destroy() - free a set
 * @s: the set, or NULL; nobody may be using it. The objects in it are the caller's.
 */
void ids_destroy(struct ids *s);

/**
 * ids_add() - give an object an id
 * @s:   the set
 * @obj: not NULL, at an even address
 *
 * Lock-free. The object can be found, by its id, before this returns.
 *
 * Return: the id, never 0; 0 when there is no memory.
 */
uint64_t ids_add(struct ids *s, void *obj);

/**
 * ids_reserve() - the first half of ids_add(), for an object that has to know its id
 *
 * Return: an id under which nothing is found before ids_publish(); 0 when there is no memory.
 */
uint64_t ids_reserve(struct ids *s);

/**
 * ids_publish() - the second half of ids_add()
 * @s:   the set
 * @id:  from ids_reserve()
 * @obj: not NULL, at an even address
 */
void ids_publish(struct ids *s, uint64_t id, void *obj);

/**
 * ids_restoring() - before the first ids_restore(): how many objects the former set can have had at a time
 *
 * An id beyond that is none, and what it would cost to have its slot is not spent. Without it only IDS_MAX bounds that.
 */
void ids_restoring(struct ids *s, uint64_t most);

/**
 * ids_restore() - an id that a former set of these has given
 * @id:  its
 * @obj: what has this id from now on; NULL: it is not to be given again
 *
 * For a set that nobody else uses yet. Return: 0; -EINVAL: it is no id that can have been given; -EEXIST: its slot has an object, or is known to have
 * had a later id; -ENOMEM.
 */
int ids_restore(struct ids *s, uint64_t id, void *obj);

/** ids_restored() - after the last ids_restore(): the slots in between are free. The set can be used by others from now on */
void ids_restored(struct ids *s);

/**
 * ids_get() - find an object
 *
 * Under RCU, wait-free, constant time. Return: the object, or NULL if no object has this id now.
 */
void *ids_get(struct ids *s, uint64_t id);

/**
 * ids_remove() - take an object out of the set
 *
 * Lock-free. The object may still be seen by readers for one grace period.
 *
 * Return: the object to exactly one caller, NULL to all others.
 */
void *ids_remove(struct ids *s, uint64_t id);

/**
 * ids_last() - have the ids of a set never repeat soon, also not those of a successor's set
 * @s:           empty
 * @generations: a word in memory that lasts, 0 at first; at a successor as the predecessor left it. It is a multiple of
 *               65536, and changed as seldom
 */
void ids_last(struct ids *s, uint64_t *generations);

/**
 * ids_retire() - the first half of ids_remove(): it is not found any more, and its slot stays taken
 *
 * For who keeps ids where they outlive the set: a slot is to have one object there at a time. Return: as ids_remove().
 * ids_free() is due then.
 */
void *ids_retire(struct ids *s, uint64_t id);
void ids_free(struct ids *s, uint64_t id);

/**
 * ids_for_each() - walk all objects
 *
 * Under RCU. Objects that come or go meanwhile may be missed.
 */
void ids_for_each(struct ids *s, void (*fn)(uint64_t id, void *obj, void *arg), void *arg);

/**
 * ids_next() - the same in steps, with pauses in which the caller leaves RCU
 * @cursor: 0 at first, then as the last call left it
 * @work:   how many more places may be looked at; counted down
 * @obj:    out: the next object, NULL if there is none or @work has come to 0; its id in *@id
 *
 * Under RCU. Return: false at the end of the walk.
 */
bool ids_next(struct ids *s, uint64_t *cursor, uint64_t *work, uint64_t *id, void **obj);

#endif /* BASE_IDS_H */
