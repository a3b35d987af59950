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

/* Whoever has not ended after so long waits for its client; if a thread of ours is still at it, it takes long. */
#define PATIENCE_MS	 10
#define PATIENCE_LONG_MS 200

static size_t count(struct slots *slots)
{
	uint32_t cursor = 0;
	size_t n = 0;

	while (slots_next(slots, &cursor))
		n++;
	return n;
}

static const struct fuse_in_header *head_of(struct slots *slots, struct slot *slot)
{
	return slot_request(slots, slot, 0);
}

/* Suspects are put before the others, in no order. */
static void add_request(struct left *l, struct slot *slot)
{
	l->unique[l->n] = head_of(l->slots, slot)->unique;
	l->slot[l->n++] = slot;
	if (!slot_deaths(slot))
		return;
	l->slot[l->n - 1] = l->slot[l->suspects];
	l->slot[l->suspects++] = slot;
}

/*
 * A signal need not be passed on: all of these requests are taken for such whose callers were sent one, as
 * those are that the predecessor had been told of.
 */
static void add(struct left *l, struct slot *slot)
{
	slot_died(slot);
	if (head_of(l->slots, slot)->opcode == FUSE_INTERRUPT)
		slot_free(l->slots, slot);
	else if (slot->crashes >= LEFT_CRASHES || slot_deaths(slot) >= LEFT_DEATHS)
		l->given_up[l->n_given_up++] = slot;
	else
		add_request(l, slot);
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

	*l = (struct left){ .slots = slots };
	l->slot = calloc(n + 1, sizeof(*l->slot));
	l->unique = calloc(n + 1, sizeof(*l->unique));
	l->given_up = calloc(n + 1, sizeof(*l->given_up));
	pthread_mutex_init(&l->lock, NULL);
	if (!l->slot || !l->unique || !l->given_up)
		return -ENOMEM;
	while ((slot = slots_next(slots, &cursor)))
		add(l, slot);
	qsort(l->unique, l->n, sizeof(*l->unique), by_number);
	return 0;
}

void left_free(struct left *l)
{
	free(l->slot);
	free(l->unique);
	free(l->given_up);
	pthread_mutex_destroy(&l->lock);
}

size_t left_waiting(const struct left *l)
{
	return l->n - __atomic_load_n(&l->next, __ATOMIC_RELAXED);
}

/* Locked. Whether the last one that was begun is to be waited for. */
static bool is_waited_for(const struct left *l)
{
	return l->last &&
	       clock_ms() - l->since < (slot_runs(l->last) ? PATIENCE_LONG_MS : PATIENCE_MS);
}

/* Locked. */
static bool may(const struct left *l)
{
	return l->next < l->n && !is_waited_for(l);
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
		l->last = slot;
		l->since = clock_ms();
	}
	pthread_mutex_unlock(&l->lock);
	return slot;
}

void left_end(struct left *l, const struct slot *slot)
{
	pthread_mutex_lock(&l->lock);
	if (l->last == slot)
		l->last = NULL;
	pthread_mutex_unlock(&l->lock);
}

bool left_settles(struct left *l)
{
	bool settled = __atomic_load_n(&l->settled, __ATOMIC_RELAXED);

	if (settled)
		return false;
	pthread_mutex_lock(&l->lock);
	settled = l->next >= l->suspects && (l->next > l->suspects || !is_waited_for(l));
	__atomic_store_n(&l->settled, settled, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&l->lock);
	return !settled;
}

static bool closes(const struct left *l, struct slot *slot, uint64_t fh)
{
	const struct fuse_in_header *h = head_of(l->slots, slot);
	const struct fuse_release_in *in = (const void *)(h + 1);

	return h->opcode == FUSE_RELEASE && slot->request_len >= sizeof(*h) + sizeof(*in) &&
	       in->fh == fh;
}

bool left_given_up(const struct left *l, uint64_t unique, uint64_t fh)
{
	bool found = false;

	for (size_t i = 0; i < l->n_given_up && !found; i++)
		found = unique ? head_of(l->slots, l->given_up[i])->unique == unique
			       : closes(l, l->given_up[i], fh);
	return found;
}
