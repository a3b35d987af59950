/* SPDX-License-Identifier: MIT */
/*
 * base/defer.c - do it later, on a thread of its own
 *
 * A list sorted by due time under a mutex: only requests that met GNTST_eagain come here, and such as are asked for again before
 * the end of the first try is seen, so it is short and never on the path of others.
 */
#include "base/defer.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/rcu.h"

struct defer {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	struct defer_item *first; /* by due time */
	bool stopping;
};

/* Wait until the first item is due, or until something changes. Called locked. */
static void wait_for_first(struct defer *d)
{
	struct timespec t;

	if (!d->first) {
		pthread_cond_wait(&d->wake, &d->lock);
		return;
	}
	t.tv_sec = (time_t)(d->first->due_ns / 1000000000U);
	t.tv_nsec = (long)(d->first->due_ns % 1000000000U);
	pthread_cond_timedwait(&d->wake, &d->lock, &t);
}

static void *defer_thread(void *arg)
{
	struct defer *d = arg;
	struct defer_item *item;

	rcu_thread_enter();
	pthread_mutex_lock(&d->lock);
	for (;;) {
		item = d->first;
		if (!item && d->stopping)
			break;
		if (!item || (!d->stopping && item->due_ns > clock_ns())) {
			wait_for_first(d);
			continue;
		}
		d->first = item->next;
		bool stopping = d->stopping;
		pthread_mutex_unlock(&d->lock);
		item->fn(item, stopping);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	rcu_thread_leave();
	return NULL;
}

struct defer *defer_new(void)
{
	struct defer *d = calloc(1, sizeof(*d));
	pthread_condattr_t attr;

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&d->thread, NULL, defer_thread, d)) {
		defer_destroy(d);
		return NULL;
	}
	return d;
}

bool defer_after(struct defer *d, struct defer_item *item, unsigned int ms)
{
	struct defer_item **at;
	bool taken;

	item->due_ns = clock_ns() + (uint64_t)ms * 1000000U;
	pthread_mutex_lock(&d->lock);
	taken = !d->stopping;
	if (taken) {
		for (at = &d->first; *at && (*at)->due_ns <= item->due_ns; at = &(*at)->next)
			;
		item->next = *at;
		*at = item;
		pthread_cond_signal(&d->wake);
	}
	pthread_mutex_unlock(&d->lock);
	return taken;
}

void defer_stop(struct defer *d)
{
	pthread_mutex_lock(&d->lock);
	d->stopping = true;
	pthread_cond_signal(&d->wake);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
}

void defer_destroy(struct defer *d)
{
	pthread_cond_destroy(&d->wake);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
