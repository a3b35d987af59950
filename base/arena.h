/* SPDX-License-Identifier: MIT */
/*
 * base/arena.h - an index space from 0 up, in which ranges are taken and given back, without a lock
 *
 * Each index in use has an entry: a word that is the user's, even and not 0 once it is filled in. A range
 * that was given back is a hole of its size, which the next range of that size gets. When no range is in use
 * any more the arena is left for a fresh one, in which indexes start at 0 again.
 *
 * An arena is reached through its home: a word of the user's with the arena's address, 0 at first. Threads: any that
 * is registered with RCU; all but arena_free() under RCU. An arena that leaves its home stays for a grace period.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/radix.h"
#include "base/rcu.h"

/* Indexes are below this. */
#define ARENA_LIMIT (1ULL << 26)

/**
 * struct arena - private to base/arena.c but for what is inline below
 * @live:  ranges in use, and whether the arena is dead
 * @end:   everything from here up is free
 * @slots: index -> entry, or link of a free range
 * @holes: size -> stack of free ranges of that size
 */
struct arena {
	struct rcu_head rcu;
	uint64_t live;
	uint64_t end;
	struct radix slots;
	struct radix holes;
};

/** arena_at() - the arena at a home, held by nobody. Wait-free. Return: NULL if there is none */
static inline struct arena *arena_at(const uint64_t *home)
{
	return (struct arena *)(uintptr_t)word_load(home);
}

/**
 * arena_get() - an arena that stays at its home until arena_drop()
 *
 * For each range in use there is one arena_get(). Lock-free. Return: NULL if there is no memory.
 */
struct arena *arena_get(uint64_t *home);

/** arena_drop() - undo arena_get(): the range has been given back, or was never taken. Lock-free */
void arena_drop(uint64_t *home, struct arena *a);

/** arena_free() - of an arena that nobody can see; not under RCU */
void arena_free(struct arena *a);

/**
 * arena_take() - take a range of @count indexes
 * @a:     from arena_get()
 * @first: out
 *
 * Lock-free; in constant time but for the @count words that may have to be made. Return: 0; -ENOMEM, also
 * when it would pass ARENA_LIMIT.
 */
int arena_take(struct arena *a, uint64_t count, uint64_t *first);

/**
 * arena_take_at() - take that range, in an arena that nobody else uses yet
 *
 * Return: 0, its entries being 0; -EINVAL beyond ARENA_LIMIT; -EEXIST: some of it is taken; -ENOMEM.
 */
int arena_take_at(struct arena *a, uint64_t first, uint64_t count);

/**
 * arena_taken() - after the last arena_take_at(), all being filled in, no two alike: what lies in between is holes, unless it
 * is very large
 *
 * Others may use it from now on. Return: 0; -ENOMEM.
 */
int arena_taken(struct arena *a);

/** arena_give() - give a range back, whose entries are 0 again; others may take it at once. Lock-free */
void arena_give(struct arena *a, uint64_t first, uint64_t count);

/** arena_fill() - set all entries of a range that is the caller's */
void arena_fill(struct arena *a, uint64_t first, uint64_t count, uint64_t word);

/** arena_set_first() - set the first entry of a range that is the caller's, sequentially consistent */
void arena_set_first(struct arena *a, uint64_t first, uint64_t word);

/** arena_entry() - the entry of any index, wait-free. Return: 0 if there is none */
static inline uint64_t arena_entry(struct arena *a, uint64_t index)
{
	const uint64_t *slot = radix_find(&a->slots, index);
	uint64_t word = slot ? word_load(slot) : 0;

	return radix_is_link(word) ? 0 : word;
}

/** arena_end() - all indexes in use are below. Wait-free */
static inline uint64_t arena_end(const struct arena *a)
{
	return word_load(&a->end);
}

/**
 * arena_next() - the next entry
 * @index: where to look first; left at the entry, else at @end or wherever @work has come to 0
 * @end:   where to stop, at most arena_end()
 * @work:  nodes that may be looked at; counted down for each that holds nothing up to its end
 *
 * Wait-free. Return: the entry, or 0.
 */
uint64_t arena_next(struct arena *a, uint64_t *index, uint64_t end, uint64_t *work);

#endif /* BASE_ARENA_H */
