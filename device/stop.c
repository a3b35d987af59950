/* SPDX-License-Identifier: MIT */
/*
 * device/stop.c - a session comes to its end: everybody is answered, or all is left to a successor
 */
#include "device/session.h"

#include <time.h>

#include "device/answer.h"
#include "device/receiver.h"

/* How long a thread that has nothing to do any more may take to notice, ms. */
#define NOTICE_MS 100

static enum session_end end_workers(struct session *s, unsigned int ms)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	workers_stop(s->workers);
	turns_shut(s->turns);
	for (unsigned int waited = 0;; waited += 2) {
		unsigned int acting = answer_all(s);

		if (!workers_join(s->workers)) {
			/* What was put off by a run that has ended since. */
			answer_all(s);
			return SESSION_ENDED;
		}
		if (!acting && waited >= NOTICE_MS)
			return SESSION_LEFT;
		if (waited >= ms)
			return SESSION_STUCK;
		nanosleep(&pause, NULL);
	}
}

enum session_end session_stop(struct session *s, unsigned int ms)
{
	enum session_end end = s->workers ? end_workers(s, ms) : SESSION_ENDED;

	receiver_drain(s);
	return end;
}

/* Who leaves them on purpose has not died of them. */
static void count_anew(struct session *s)
{
	struct slot *slot;
	uint32_t cursor = 0;

	while ((slot = slots_next(s->ch.slots, &cursor))) {
		__atomic_store_n(&slot->tries, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&slot->crashes, 0, __ATOMIC_RELAXED);
	}
}

void session_leave(struct session *s, unsigned int ms)
{
	if (s->workers)
		workers_stop(s->workers);
	for (unsigned int waited = 0; s->workers && workers_join(s->workers) && waited < ms;
	     waited += 2)
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	count_anew(s);
}
