/* SPDX-License-Identifier: MIT */
/*
 * base/helper.c - a thread that does what may last for ever, and can be left behind with it
 */
#include "base/helper.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/rcu.h"

/**
 * struct helper - one of them, and its caller's
 * @task: what it does, or is to do; NULL: nothing
 * @end:  there will be no more, and nobody knows it any longer: it frees itself
 */
struct helper {
	pthread_mutex_t lock;
	pthread_cond_t asked;
	pthread_cond_t answered;
	struct helper_task *task;
	bool end;
};

void helper_put(struct helper_task *t)
{
	if (!__atomic_sub_fetch(&t->users, 1, __ATOMIC_ACQ_REL))
		t->free(t);
}

static void helper_free(struct helper *h)
{
	pthread_cond_destroy(&h->answered);
	pthread_cond_destroy(&h->asked);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static void *work(void *arg)
{
	struct helper *h = arg;
	struct helper_task *t;

	rcu_thread_enter();
	pthread_mutex_lock(&h->lock);
	while (h->task || !h->end) {
		t = h->task;
		if (!t) {
			pthread_cond_wait(&h->asked, &h->lock);
			continue;
		}
		pthread_mutex_unlock(&h->lock);
		t->run(t);
		helper_put(t);
		pthread_mutex_lock(&h->lock);
		h->task = NULL;
		pthread_cond_signal(&h->answered);
	}
	pthread_mutex_unlock(&h->lock);
	rcu_thread_leave();
	helper_free(h);
	return NULL;
}

static struct helper *helper_new(void)
{
	struct helper *h = calloc(1, sizeof(*h));
	pthread_condattr_t clock;
	pthread_t thread;

	if (!h)
		return NULL;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->asked, NULL);
	pthread_cond_init(&h->answered, &clock);
	pthread_condattr_destroy(&clock);
	if (pthread_create(&thread, NULL, work, h)) {
		helper_free(h);
		return NULL;
	}
	pthread_detach(thread);
	return h;
}

/* With the helper's lock. Wait for an answer until @ms, of clock_ms(). */
static void wait_until(struct helper *h, uint64_t ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000),
			      .tv_nsec = (long)(ms % 1000) * 1000000 };

	pthread_cond_timedwait(&h->answered, &h->lock, &t);
}

/* With the helper's lock. Return: whether it has been done. */
static bool wait_for(struct helper *h, struct helper_task *t, unsigned int still, unsigned int most)
{
	uint64_t now = clock_ms(), end = now + most, until = now + still;
	unsigned int seen = 0, progress;

	while (h->task) {
		wait_until(h, until < end ? until : end);
		now = clock_ms();
		progress = __atomic_load_n(&t->progress, __ATOMIC_RELAXED);
		if (h->task && (now >= end || (now >= until && progress == seen)))
			return false;
		if (progress != seen)
			until = now + still;
		seen = progress;
	}
	return true;
}

int helper_run(struct helper **hp, struct helper_task *t, unsigned int still, unsigned int most)
{
	struct helper *h = *hp ? *hp : helper_new();
	bool done;

	t->progress = 0;
	t->users = h ? 2 : 1;
	if (!h)
		return -EAGAIN;
	pthread_mutex_lock(&h->lock);
	h->task = t;
	pthread_cond_signal(&h->asked);
	done = wait_for(h, t, still, most);
	h->end = !done;
	pthread_mutex_unlock(&h->lock);
	*hp = done ? h : NULL;
	return done ? 0 : -ETIMEDOUT;
}

void helper_end(struct helper **hp)
{
	struct helper *h = *hp;

	if (!h)
		return;
	*hp = NULL;
	pthread_mutex_lock(&h->lock);
	h->end = true;
	pthread_cond_signal(&h->asked);
	pthread_mutex_unlock(&h->lock);
}
