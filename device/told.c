/* SPDX-License-Identifier: MIT */
/*
 * device/told.c - where clients say that their windows are
 */
#include "device/told.h"

#include <stddef.h>
#include <sys/random.h>

#define PAGE_SHIFT 12

/* The least n such that it has at most 2^n pages. */
static unsigned int size_of(uint32_t count)
{
	return count > 1 ? 32U - (unsigned int)__builtin_clz(count - 1) : 0;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 29;
}

static uint32_t bucket_of(const struct told *t, uint64_t open_id, unsigned int size, uint64_t block)
{
	return (uint32_t)(mix(mix(mix(t->secret ^ open_id) ^ block) ^ size) >> 20) % TOLD_BUCKETS;
}

void told_init(struct told *t)
{
	/* Without it all works: a client could only make itself, and few others, slower. */
	if (getrandom(&t->secret, sizeof(t->secret), GRND_NONBLOCK) != sizeof(t->secret))
		t->secret = (uintptr_t)t;
	for (unsigned int i = 0; i < TOLD_LOCKS; i++)
		pthread_mutex_init(&t->lock[i], NULL);
}

static pthread_mutex_t *lock_of(struct told *t, const struct told_window *w)
{
	return &t->lock[w->bucket % TOLD_LOCKS];
}

void told_put(struct told *t, struct told_window *w)
{
	unsigned int size = size_of(w->count);

	w->bucket = bucket_of(t, w->open_id, size, w->vaddr >> PAGE_SHIFT >> size);
	pthread_mutex_lock(lock_of(t, w));
	w->before = &t->bucket[w->bucket];
	w->next = *w->before;
	if (w->next)
		w->next->before = &w->next;
	__atomic_store_n(w->before, w, __ATOMIC_RELEASE);
	pthread_mutex_unlock(lock_of(t, w));
	__atomic_fetch_or(&t->sizes, 1U << size, __ATOMIC_RELEASE);
}

void told_drop(struct told *t, struct told_window *w)
{
	pthread_mutex_lock(lock_of(t, w));
	if (w->next)
		w->next->before = w->before;
	__atomic_store_n(w->before, w->next, __ATOMIC_RELEASE);
	pthread_mutex_unlock(lock_of(t, w));
}

static struct told_window *load(struct told_window *const *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static bool covers(const struct told_window *w, uint64_t open_id, uint64_t vaddr)
{
	return w->open_id == open_id && vaddr >= w->vaddr &&
	       (vaddr - w->vaddr) >> PAGE_SHIFT < w->count;
}

/* In a bucket, or @last, whichever is later. */
static const struct told_window *last_in(struct told_window *const *bucket, uint64_t open_id,
					 uint64_t vaddr, const struct told_window *last)
{
	for (const struct told_window *w = load(bucket); w; w = load(&w->next))
		if (covers(w, open_id, vaddr) && (!last || w->order > last->order))
			last = w;
	return last;
}

const struct told_window *told_find(struct told *t, uint64_t open_id, uint64_t vaddr)
{
	uint32_t sizes = __atomic_load_n(&t->sizes, __ATOMIC_ACQUIRE);
	const struct told_window *last = NULL;

	for (; sizes; sizes &= sizes - 1) {
		unsigned int size = (unsigned int)__builtin_ctz(sizes);
		uint64_t block = vaddr >> PAGE_SHIFT >> size;

		last = last_in(&t->bucket[bucket_of(t, open_id, size, block)], open_id, vaddr,
			       last);
		if (block)
			last = last_in(&t->bucket[bucket_of(t, open_id, size, block - 1)], open_id,
				       vaddr, last);
	}
	return last;
}
