/* SPDX-License-Identifier: MIT */
/*
 * base/ids.c - objects by slot and generation, without a lock
 *
 * Slot s has two words in a radix tree, at the keys 2s and 2s + 1: the object (while the slot is
 * free: a link of the stack of free slots), and generation << 1 | in use. An id is
 * generation << 28 | s + 1. As a slot changes hands its second word changes before and after the
 * first: a reader that finds it the same before and after has read the object that belongs to it.
 * A generation comes back after 2^36 removals from one slot.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/ids.h"
#include "base/radix.h"

struct ids {
	uint64_t end;  /* slots from here on have never been used */
	uint64_t free; /* stack of free slots, by their first key */
	struct radix words;
};

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

void *ids_remove(struct ids *s, uint64_t id)
{
	uint64_t *word = id_words(s, id);
	uint64_t use = id_gen(id) << 1 | 1;
	uint64_t next = ((id_gen(id) + 1) & IDS_GEN_MASK) << 1;
	uint64_t obj;

	if (!word || !word_cas(&word[1], &use, next))
		return NULL;
	obj = word_load(&word[0]);
	radix_push(&s->words, &s->free, 2 * ((id & IDS_SLOT_MASK) - 1));
	return (void *)(uintptr_t)obj;
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
