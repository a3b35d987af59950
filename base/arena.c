/* SPDX-License-Identifier: MIT */
/*
 * base/arena.c - an index space, without a lock
 *
 * Theory
 *
 * A range is taken from the stack of holes of its size, else from the end. It is reused at once, without a
 * grace period: who looks an index up has to be able to tell that what the entry leads to is out of date.
 *
 * A. The first index is 0 again
 *
 * A hole stays as it is until a range of its size is wanted. So that indexes start at 0 again after
 * everything was given back, the thread that takes live from 1 to 0 looks whether the arena is as
 * good as new, and if not takes live to DEAD instead. Nobody can enter a dead arena; whoever meets
 * one takes it out of its home, and the next who wants a range makes a new one. Both decisions are one swap:
 * had somebody come, and maybe gone, since the arena was looked at, live would have changed.
 * An arena whose tree has grown is retired as well, so that a home without ranges is small again.
 *
 * B. Why ABA does no harm
 *
 *   end     a value that comes back means the same: a range that ends at it is the last one.
 *           The range belongs to the thread that swaps, so nobody else can give it back.
 *   stacks  tags, see base/radix.h.
 *   live    every newcomer counts up the upper half: A depends on it.
 *   home    an address cannot come back while somebody under RCU compares with it.
 *
 * C. Bounds
 *
 * Holes are neither merged nor split, so somebody who keeps some range and never asks for the same size
 * twice moves the end up; ARENA_LIMIT bounds what that costs (8 bytes for each index ever used), until all
 * has been given back.
 */
#include "base/arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <urcu/compiler.h> /* caa_container_of() */

/* An arena whose tree is higher than this (some 4096 entries) is not kept when it is empty. */
#define KEEP_HEIGHT 2

/* arena->live: ranges in use in the lower half, newcomers so far in the upper half. */
#define LIVE_COUNT    UINT32_MAX
#define LIVE_NEWCOMER (1 + (1ULL << 32))

static_assert(ARENA_LIMIT <= RADIX_STACK_KEYS, "every index can be on a stack");

/* --- arenas --------------------------------------------------------------------------------- */

void arena_free(struct arena *a)
{
	radix_destroy(&a->slots);
	radix_destroy(&a->holes);
	RCU_FREE(a);
}

static void arena_free_rcu(struct rcu_head *head)
{
	rcu_grace_period_over();
	arena_free(caa_container_of(head, struct arena, rcu));
}

/* Take a dead arena out of its home, unless somebody has done so. */
static void arena_retire(uint64_t *home, struct arena *a)
{
	uint64_t old = (uint64_t)(uintptr_t)a;

	if (word_cas(home, &old, 0))
		rcu_call(&a->rcu, arena_free_rcu);
}

/* Return: false if the arena is dead. */
static bool arena_hold(struct arena *a)
{
	uint64_t live = word_load(&a->live);

	do {
		if ((live & LIVE_COUNT) == LIVE_COUNT)
			return false;
	} while (!word_cas(&a->live, &live, live + LIVE_NEWCOMER));
	return true;
}

/* Return: a new arena, at home and held; or NULL: no memory, or (*@lost) somebody else made one. */
static struct arena *arena_install(uint64_t *home, bool *lost)
{
	struct arena *a = calloc(1, sizeof(*a));
	uint64_t none = 0;

	*lost = false;
	if (!a)
		return NULL;
	a->live = LIVE_NEWCOMER;
	if (word_cas(home, &none, (uint64_t)(uintptr_t)a))
		return a;
	*lost = true;
	free(a);
	return NULL;
}

struct arena *arena_get(uint64_t *home)
{
	for (;;) {
		struct arena *a = arena_at(home);
		bool lost;

		if (!a) {
			a = arena_install(home, &lost);
			if (a || !lost)
				return a;
		} else if (arena_hold(a)) {
			return a;
		} else {
			arena_retire(home, a);
		}
	}
}

static bool arena_is_pristine(struct arena *a)
{
	return arena_end(a) == 0 && radix_height(&a->slots) <= KEEP_HEIGHT;
}

void arena_drop(uint64_t *home, struct arena *a)
{
	uint64_t live = word_load(&a->live);
	bool dies;

	do {
		dies = (live & LIVE_COUNT) == 1 && !arena_is_pristine(a);
	} while (!word_cas(&a->live, &live, dies ? live | LIVE_COUNT : live - 1));
	if (dies)
		arena_retire(home, a);
}

/* --- ranges --------------------------------------------------------------------------------- */

/* Make the words that a range needs while it is in use, and when it is given back. */
static int prepare(struct arena *a, uint64_t first, uint64_t count)
{
	for (uint64_t index = first; index < first + count; index += radix_run(index)) {
		if (!radix_make(&a->slots, index))
			return -ENOMEM;
	}
	return 0;
}

/*
 * Nothing has to be undone on failure: words that were made before the range is taken will be used
 * by the next one.
 */
int arena_take(struct arena *a, uint64_t count, uint64_t *first)
{
	uint64_t *hole = radix_make(&a->holes, count);
	uint64_t end;

	if (!hole)
		return -ENOMEM;
	*first = radix_pop(&a->slots, hole);
	if (*first != RADIX_STACK_NONE)
		return 0;
	end = arena_end(a);
	do {
		if (end + count > ARENA_LIMIT || prepare(a, end, count) != 0)
			return -ENOMEM;
	} while (!word_cas(&a->end, &end, end + count));
	*first = end;
	return 0;
}

int arena_take_at(struct arena *a, uint64_t first, uint64_t count)
{
	uint64_t end = arena_end(a), index = first, work = UINT64_MAX;

	if (!count || count > ARENA_LIMIT || first > ARENA_LIMIT - count)
		return -EINVAL;
	if (first < end && arena_next(a, &index, end < first + count ? end : first + count, &work))
		return -EEXIST;
	if (!radix_make(&a->holes, count) || prepare(a, first, count))
		return -ENOMEM;
	if (first + count > end)
		a->end = first + count;
	return 0;
}

/* A hole that is larger is not used: a map that is taken for what it is not shall not cost the memory of all before it. */
#define HOLE_MOST (1U << 20)

/* The range at @from: as far as the entries are the same. */
static uint64_t range_end(struct arena *a, uint64_t from)
{
	uint64_t word = arena_entry(a, from), end = from;

	while (end < arena_end(a) && arena_entry(a, end) == word)
		end++;
	return end;
}

/* @size: of the range behind it. Holes of that size are of use rather than one of all, if it goes up. */
static int make_holes(struct arena *a, uint64_t from, uint64_t to, uint64_t size)
{
	uint64_t *hole;

	if (from == to || to - from > HOLE_MOST)
		return 0;
	if (prepare(a, from, to - from))
		return -ENOMEM;
	if ((to - from) % size)
		size = to - from;
	hole = radix_make(&a->holes, size);
	if (!hole)
		return -ENOMEM;
	for (; to > from; to -= size)
		radix_push(&a->slots, hole, to - size);
	return 0;
}

int arena_taken(struct arena *a)
{
	uint64_t end = arena_end(a), from = 0, at = 0, behind, work = UINT64_MAX;
	int err = 0;

	while (!err && arena_next(a, &at, end, &work)) {
		behind = range_end(a, at);
		err = make_holes(a, from, at, behind - at);
		from = at = behind;
	}
	return err;
}

void arena_give(struct arena *a, uint64_t first, uint64_t count)
{
	uint64_t end = first + count;

	if (!word_cas(&a->end, &end, first))
		radix_push(&a->slots, radix_find(&a->holes, count), first);
}

/* --- entries -------------------------------------------------------------------------------- */

void arena_fill(struct arena *a, uint64_t first, uint64_t count, uint64_t word)
{
	uint64_t index = first;

	while (index < first + count) {
		uint64_t *entry = radix_find(&a->slots, index);
		uint64_t n = radix_run(index);

		for (; n && index < first + count; n--, index++)
			word_store(entry++, word);
	}
}

void arena_set_first(struct arena *a, uint64_t first, uint64_t word)
{
	word_store_sc(radix_find(&a->slots, first), word);
}

uint64_t arena_next(struct arena *a, uint64_t *index, uint64_t end, uint64_t *work)
{
	for (; *index < end && *work; --*work) {
		uint64_t *entry = radix_find(&a->slots, *index);
		uint64_t n = radix_run(*index);

		for (; entry && n && *index < end; n--, entry++, ++*index) {
			uint64_t word = word_load(entry);

			if (word && !radix_is_link(word))
				return word;
		}
		*index += entry ? 0 : n;
	}
	return 0;
}
