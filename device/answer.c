/* SPDX-License-Identifier: MIT */
/*
 * device/answer.c - requests that are answered by others than their handlers
 *
 * A caller that was killed sleeps in the kernel until its request is answered, and holds all that its
 * process holds; at the end of the daemon all callers have to be let go, whatever their requests wait
 * for. A request in a queue (device/turns.c) is answered without having been carried out. One whose
 * handler waits for the client (request_wait_begin()) is answered if its state can be taken from
 * STATE_WAITING to STATE_ANSWERED: from there on the handler's own answer is wanted by nobody, and it
 * touches the client's memory no more. What is being acted upon is left alone.
 *
 * What sleeps (request_sleep()) is the device's: that is told of callers that are interrupted, by the request's number, and answers
 * itself, unless somebody else just has. The kernel tells of the first signal alone, and that may be one that ends no
 * call: so such a caller is looked at as long as its request sleeps.
 */
#include "device/answer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/step.h"
#include "client/pending.h"
#include "client/who.h"

/* How many callers that were sent a signal are looked at in one go. */
#define LOOK_AT 8

ssize_t answer_slot(struct session *s, struct slot *slot, const struct iovec *iov, int n)
{
	ssize_t sent;

	channel_done(&s->ch, slot, iov, n);
	if (slot->ends && s->dev->ended)
		s->dev->ended(s->dev, slot->ends);
	sent = channel_send(&s->ch, slot);
	step(answer_written);
	return sent;
}

void answer_free(struct session_request *sr)
{
	slot_free(sr->s->ch.slots, sr->slot);
	free(sr);
}

void answer_put(struct session_request *sr)
{
	if (__atomic_sub_fetch(&sr->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (!sr->dropped)
		turns_forget(sr->s->turns, &sr->turn);
	answer_free(sr);
}

/*
 * struct outside - requests that are answered from outside
 * @all: of whatever caller
 */
struct outside {
	bool all;
	struct session_request *first;
};

/*
 * struct looks - requests whose callers are to be looked at, by their numbers: with no lock held, so each may be
 * answered meanwhile
 */
struct looks {
	unsigned int n;
	uint64_t unique[LOOK_AT];
	uint64_t fh[LOOK_AT];
	pid_t tid[LOOK_AT];
	bool sleeps[LOOK_AT];
};

/* What goes on (@fn) or ends an open is not cut short. */
static void note(struct turn *turn, void *arg)
{
	const struct session_request *sr = of_turn(turn);
	struct looks *l = arg;

	if (sr->fn || sr->release)
		return;
	l->unique[l->n] = turn->unique;
	l->fh[l->n] = turn->fh;
	l->sleeps[l->n] = __atomic_load_n(&sr->sleeps, __ATOMIC_ACQUIRE);
	l->tid[l->n++] = sr->rq.tid;
}

static bool collect(struct turn *turn, void *arg)
{
	struct session_request *sr = of_turn(turn);
	struct outside *out = arg;

	if (!out->all && sr->fn)
		return false;
	/* The run that it was put off by is about to end, and needs it. */
	if (turn->queued && turn->runs)
		return false;
	if (!turn->queued && !swap_state(sr, STATE_WAITING, STATE_ANSWERED))
		return false;
	sr->dropped = turn->queued;
	sr->next = out->first;
	out->first = sr;
	return turn->queued;
}

static void answer_collected(struct outside *out, int err)
{
	struct session_request *next;

	for (struct session_request *sr = out->first; sr; sr = next) {
		next = sr->next;
		if (!sr->dropped) {
			sr->s->reply_err(sr, err);
			answer_put(sr);
		} else if (sr->fn) {
			sr->fn(sr->arg, true);
			answer_put(sr);
		} else {
			sr->s->reply_err(sr, sr->release ? 0 : err);
			answer_free(sr);
		}
	}
}

bool answer_killed(struct session *s)
{
	struct outside out = { .all = false };
	struct looks l = { .n = 0 };
	unsigned int left = turns_signalled(s->turns, LOOK_AT, note, &l);

	for (unsigned int i = 0; i < l.n; i++) {
		if (!l.sleeps[i] && who_killed(l.tid[i]))
			turns_take(s->turns, l.unique[i], collect, &out);
		else if (l.sleeps[i] && pending_interrupts(l.tid[i]))
			s->dev->interrupted(s->dev, l.fh[i], l.unique[i]);
	}
	answer_collected(&out, EINTR);
	return left > 0;
}

static bool count_acting(struct turn *turn, void *arg)
{
	*(unsigned int *)arg += turn->runs && !is_answered(of_turn(turn));
	return false;
}

unsigned int answer_all(struct session *s)
{
	struct outside out = { .all = true };
	unsigned int acting = 0;

	turns_for_each(s->turns, collect, &out);
	answer_collected(&out, ECONNABORTED);
	turns_for_each(s->turns, count_acting, &acting);
	return acting;
}
