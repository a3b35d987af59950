/* SPDX-License-Identifier: MIT */
/*
 * base/ids.c - objects by slot and generation, without a lock
 *
 * Slot s has two words in a radix tree, at the keys 2s and 2s + 1: the object (while the slot is
 * free: a link of the stack of free slots), and generation << 1 | in use. An id is
 * generation << 28 | s + 1. As a slot changes hands its second word changes before and after the
 * first: a reader that finds it the same before and after has read the object that belongs to it.
 * A generation comes back after 2^36 removals from one slot.
 *
 * What lasts of a set are its objects' ids, which their owners keep, and a number that no generation has reached. It is
 * raised before one does, by so much that this is seldom; a successor's slots begin with it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/ids.h"
#include "base/radix.h"

struct ids {
	uint64_t end;  /* slots from here on have never been used */
	uint64_t free; /* stack of free slots, by their first key */
	struct radix words;
	uint64_t first;	 /* generation that slots begin with */
	uint64_t *above; /* what lasts: all generations are below it; NULL: nothing does */
	uint64_t most;	 /* slots that a former set can have used; 0: it is not known */
};

#define GENERATIONS_AT_ONCE 65536U

#define IDS_SLOT_BITS 28
#define IDS_SLOT_MASK ((1ULL << IDS_SLOT_BITS) - 1)
#define IDS_GEN_MASK  (UINT64_MAX >> IDS_SLOT_BITS)
#define IDS_MAX	      (1ULL << 26)

static_assert(2 * IDS_MAX <= RADIX_STACK_KEYS && IDS_MAX < IDS_SLOT_MASK, "slots fit");
static_assert(RADIX_SMALL % 2 == 0 && RADIX_FAN % 2 == 0, "a slot's words lie in a row");

static uint64_t id_of(uint64_t slot, uint64_t use)
{
	return (use >> 1) << IDS_SLOT_BITS | (slot + 1);
}

static uint64_t id_gen(uint64_t id)
{
	return id >> IDS_SLOT_BITS;
}

/* Return: the two words of an id's slot; NULL if there never was one. */
static uint64_t *id_words(struct ids *s, uint64_t id)
{
	uint64_t slot1 = id & IDS_SLOT_MASK;

	return slot1 ? radix_find(&s->words, 2 * (slot1 - 1)) : NULL;
}

/* Have it last that a generation may be in use. Before it is. */
static void note_generation(struct ids *s, uint64_t gen)
{
	uint64_t above;

	if (!s->above)
		return;
	above = word_load(s->above);
	while (gen >= above &&
	       !word_cas(s->above, &above, (gen / GENERATIONS_AT_ONCE + 1) * GENERATIONS_AT_ONCE))
		;
}

struct ids *ids_new(void)
{
	return calloc(1, sizeof(struct ids));
}

void ids_destroy(struct ids *s)
{
	if (!s)
		return;
	radix_destroy(&s->words);
	free(s);
}

/* Return: the first key of a slot that is the caller's now; RADIX_STACK_NONE: no memory. */
static uint64_t slot_take(struct ids *s)
{
	uint64_t key = radix_pop(&s->words, &s->free);
	uint64_t end;

	if (key != RADIX_STACK_NONE)
		return key;
	end = word_load(&s->end);
	do {
		if (end == IDS_MAX || !radix_make(&s->words, 2 * end))
			return RADIX_STACK_NONE;
	} while (!word_cas(&s->end, &end, end + 1));
	word_store(radix_find(&s->words, 2 * end + 1), s->first << 1);
	return 2 * end;
}

uint64_t ids_reserve(struct ids *s)
{
	uint64_t key = slot_take(s);

	if (key == RADIX_STACK_NONE)
		return 0;
	return id_of(key / 2, word_load(radix_find(&s->words, key) + 1));
}

void ids_publish(struct ids *s, uint64_t id, void *obj)
{
	uint64_t *word = id_words(s, id);

	word_store(&word[0], (uint64_t)(uintptr_t)obj);
	word_store(&word[1], id_gen(id) << 1 | 1);
}

uint64_t ids_add(struct ids *s, void *obj)
{
	uint64_t id = ids_reserve(s);

	if (id)
		ids_publish(s, id, obj);
	return id;
}

void *ids_get(struct ids *s, uint64_t id)
{
	uint64_t *word = id_words(s, id);
	uint64_t use = id_gen(id) << 1 | 1;
	uint64_t obj;

	if (!word || word_load(&word[1]) != use)
		return NULL;
	obj = word_load(&word[0]);
	return word_load(&word[1]) == use ? (void *)(uintptr_t)obj : NULL;
}

void *ids_retire(struct ids *s, uint64_t id)
{
	uint64_t *word = id_words(s, id);
	uint64_t use = id_gen(id) << 1 | 1;
	uint64_t next = ((id_gen(id) + 1) & IDS_GEN_MASK) << 1;

	note_generation(s, next >> 1);
	if (!word || !word_cas(&word[1], &use, next))
		return NULL;
	return (void *)(uintptr_t)word_load(&word[0]);
}

void ids_free(struct ids *s, uint64_t id)
{
	radix_push(&s->words, &s->free, 2 * ((id & IDS_SLOT_MASK) - 1));
}

void *ids_remove(struct ids *s, uint64_t id)
{
	void *obj = ids_retire(s, id);

	if (obj)
		ids_free(s, id);
	return obj;
}

void ids_last(struct ids *s, uint64_t *generations)
{
	s->above = generations;
	s->first = word_load(generations);
	note_generation(s, s->first);
}

void ids_restoring(struct ids *s, uint64_t most)
{
	s->most = most;
}

/* Whether the former set can have given it. */
static bool can_be(const struct ids *s, uint64_t id)
{
	uint64_t slot1 = id & IDS_SLOT_MASK;

	if (!slot1 || slot1 > IDS_MAX || (s->most && slot1 > s->most))
		return false;
	return !s->first || id_gen(id) < s->first;
}

/* Of all slots below @end that there never were. Return: 0 or -ENOMEM. */
static int make_slots(struct ids *s, uint64_t end)
{
	for (uint64_t slot = word_load(&s->end); slot < end; slot++) {
		if (!radix_make(&s->words, 2 * slot))
			return -ENOMEM;
		word_store(radix_find(&s->words, 2 * slot + 1), s->first << 1);
		word_store(&s->end, slot + 1);
	}
	return 0;
}

int ids_restore(struct ids *s, uint64_t id, void *obj)
{
	uint64_t slot1 = id & IDS_SLOT_MASK, next;
	uint64_t *word;
	int err;

	if (!can_be(s, id))
		return -EINVAL;
	err = make_slots(s, slot1);
	if (err)
		return err;
	word = id_words(s, id);
	if (word_load(&word[1]) & 1)
		return -EEXIST;
	next = (id_gen(id) + 1) & IDS_GEN_MASK;
	note_generation(s, next);
	if (obj)
		ids_publish(s, id, obj);
	else if (word_load(&word[1]) < next << 1)
		word_store(&word[1], next << 1);
	return 0;
}

void ids_restored(struct ids *s)
{
	for (uint64_t slot = word_load(&s->end); slot-- > 0;)
		if (!(word_load(radix_find(&s->words, 2 * slot + 1)) & 1))
			radix_push(&s->words, &s->free, 2 * slot);
}

bool ids_next(struct ids *s, uint64_t *cursor, uint64_t *work, uint64_t *id, void **obj)
{
	uint64_t end = word_load(&s->end);

	for (*obj = NULL; *cursor < end && *work && !*obj; ++*cursor, --*work) {
		uint64_t *word = radix_find(&s->words, 2 * *cursor);

		*id = id_of(*cursor, word_load(&word[1]));
		*obj = ids_get(s, *id);
	}
	return *obj || *cursor < end;
}

void ids_for_each(struct ids *s, void (*fn)(uint64_t id, void *obj, void *arg), void *arg)
{
	uint64_t cursor = 0, work = UINT64_MAX, id;
	void *obj;

	while (ids_next(s, &cursor, &work, &id, &obj) && obj)
		fn(id, obj, arg);
}
