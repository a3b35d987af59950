/* SPDX-License-Identifier: MIT */
/*
 * device/early.c - signals that are told of before their requests have come
 */
#include "device/early.h"

/* The kernel counts requests in steps of 2: odd numbers are those of signals. */
static uint64_t place_of(uint64_t unique)
{
	return unique / 2;
}

static uint64_t *word_of(struct early *e, uint64_t place)
{
	return &e->come[place % EARLY_NUMBERS / 64];
}

static uint64_t bit_of(uint64_t place)
{
	return 1ULL << place % 64;
}

/* Whether it is so long ago that nothing is known. */
static bool is_old(const struct early *e, uint64_t place)
{
	return e->last >= EARLY_NUMBERS && place <= e->last - EARLY_NUMBERS;
}

/* The numbers up to this one, which has come, are the latest; of those that were skipped none has. */
static void go_on_to(struct early *e, uint64_t place)
{
	uint64_t from = e->last + 1;

	if (place - e->last > EARLY_NUMBERS)
		from = place - EARLY_NUMBERS + 1;
	for (; from <= place; from++)
		*word_of(e, from) &= ~bit_of(from);
	e->last = place;
}

void early_signal(struct early *e, uint64_t unique)
{
	uint64_t place = place_of(unique);
	bool come = is_old(e, place) || (place <= e->last && *word_of(e, place) & bit_of(place));

	for (unsigned int i = 0; !come && i < e->n; i++)
		come = e->unique[i] == unique;
	if (!come && e->n < EARLY_MAX)
		e->unique[e->n++] = unique;
}

static bool take(struct early *e, uint64_t unique)
{
	for (unsigned int i = 0; i < e->n; i++) {
		if (e->unique[i] != unique)
			continue;
		e->unique[i] = e->unique[--e->n];
		return true;
	}
	return false;
}

bool early_come(struct early *e, uint64_t unique)
{
	uint64_t place = place_of(unique);

	if (place > e->last)
		go_on_to(e, place);
	if (!is_old(e, place))
		*word_of(e, place) |= bit_of(place);
	return e->n && take(e, unique);
}
