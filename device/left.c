/* SPDX-License-Identifier: MIT */
/*
 * device/left.c - requests that a predecessor had in hand, to be carried out again
 */
#include "device/left.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Whoever has not ended after so long waits for its client. */
#define PATIENCE_MS 10

static size_t count(struct slots *slots)
{
	uint32_t cursor = 0;
	size_t n = 0;

	while (slots_next(slots, &cursor))
		n++;
	return n;
}

/*
 * A signal need not be passed on: all of these requests are taken for such whose callers were sent one, as
 * those are that the predecessor had been told of.
 */
static void add(struct left *l, struct slots *slots, struct slot *slot)
{
	struct fuse_in_header h;

	memcpy(&h, slot_request(slots, slot, 0), sizeof(h));
	if (h.opcode == FUSE_INTERRUPT) {
		slot_free(slots, slot);
		return;
	}
	l->slot[l->n] = slot;
	l->unique[l->n++] = h.unique;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int left_new(struct left *l, struct slots *slots)
{
	size_t n = count(slots);
	struct slot *slot;
	uint32_t cursor = 0;

	*l = (struct left){ .n = 0 };
	l->slot = calloc(n + 1, sizeof(*l->slot));
	l->unique = calloc(n + 1, sizeof(*l->unique));
	pthread_mutex_init(&l->lock, NULL);
	if (!l->slot || !l->unique)
		return -ENOMEM;
	while ((slot = slots_next(slots, &cursor)))
		add(l, slots, slot);
	qsort(l->unique, l->n, sizeof(*l->unique), by_number);
	return 0;
}

void left_free(struct left *l)
{
	free(l->slot);
	free(l->unique);
	pthread_mutex_destroy(&l->lock);
}

size_t left_waiting(const struct left *l)
{
	return l->n - __atomic_load_n(&l->next, __ATOMIC_RELAXED);
}

/* Locked. */
static bool may(const struct left *l)
{
	return l->next < l->n && (!l->begun || clock_ms() - l->since >= PATIENCE_MS);
}

bool left_may(struct left *l)
{
	bool it_may;

	if (!left_waiting(l))
		return false;
	pthread_mutex_lock(&l->lock);
	it_may = may(l);
	pthread_mutex_unlock(&l->lock);
	return it_may;
}

struct slot *left_begin(struct left *l)
{
	struct slot *slot = NULL;

	if (!left_waiting(l))
		return NULL;
	pthread_mutex_lock(&l->lock);
	if (may(l)) {
		slot = l->slot[l->next];
		__atomic_store_n(&l->next, l->next + 1, __ATOMIC_RELAXED);
		l->begun++;
		l->since = clock_ms();
	}
	pthread_mutex_unlock(&l->lock);
	return slot;
}

void left_end(struct left *l)
{
	pthread_mutex_lock(&l->lock);
	l->begun--;
	pthread_mutex_unlock(&l->lock);
}
