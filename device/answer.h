/* SPDX-License-Identifier: MIT */
/*
 * device/answer.h - who answers a request of a session
 *
 * What device/session.c knows of its requests and device/answer.c, too. libfuse's types are names here: only
 * device/session.c knows more of them.
 */
#ifndef DEVICE_ANSWER_H
#define DEVICE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "client/request.h"
#include "device/channel.h"
#include "device/left.h"
#include "device/turns.h"
#include "device/workers.h"

struct fuse_req;
struct fuse_session;
struct session_request;
struct state_header;

/*
 * struct session - a device, its connection, its threads
 * @reply_err: libfuse's answer without data: a positive errno, or 0
 * @process:   have libfuse take a request apart, and call what it asks for
 * @left:      what a predecessor had in hand
 * @state:     with a keeper
 */
struct session {
	void (*reply_err)(struct session_request *sr, int err);
	void (*process)(struct session *s, struct slot *slot);
	struct device *dev;
	struct fuse_session *se;
	struct channel ch;
	struct left left;
	struct state_header *state;
	bool draining;
	unsigned int n_workers;
	struct turns *turns;
	struct workers *workers;
};

/* Who may answer. */
enum answer_state {
	STATE_OURS,	/* the handler */
	STATE_WAITING,	/* whoever finds that the caller was killed */
	STATE_ANSWERED, /* it has been: nobody */
};

/*
 * struct session_request - a request as the device sees it, and libfuse's handle for its answer
 * @slot:    where it lasts
 * @refs:    one until it is answered, one for each run that it has or will have
 * @state:   enum answer_state
 * @release: no request of a client's, but the end of an open
 * @sleeps:  see request_sleep() (atomic)
 * @dropped: device/turns.c knows it no more
 * @fn:      what to go on with
 * @next:    of those that are to be answered from outside
 */
struct session_request {
	struct request rq;
	struct turn turn;
	struct fuse_req *req;
	struct session *s;
	struct slot *slot;
	unsigned int refs;
	int state;
	bool release;
	bool sleeps;
	bool dropped;
	void (*fn)(void *arg, bool stopping);
	void *arg;
	struct session_request *next;
};

static inline struct session_request *of_turn(struct turn *turn)
{
	return (struct session_request *)((char *)turn - offsetof(struct session_request, turn));
}

/* Whether somebody else has answered: what the handler says now is wanted by nobody. */
static inline bool is_answered(const struct session_request *sr)
{
	return __atomic_load_n(&sr->state, __ATOMIC_ACQUIRE) == STATE_ANSWERED;
}

static inline bool swap_state(struct session_request *sr, int from, int to)
{
	return __atomic_compare_exchange_n(&sr->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/**
 * answer_slot() - answer the request in a slot, and have the device forget what it has ended
 *
 * Any thread, once. Return: as channel_send().
 */
ssize_t answer_slot(struct session *s, struct slot *slot, const struct iovec *iov, int n);

/**
 * answer_free() - free a request, and give back its slot
 */
void answer_free(struct session_request *sr);

/**
 * answer_put() - give up one reference to a request; the last one frees it
 */
void answer_put(struct session_request *sr);

/**
 * answer_killed() - let callers go that were killed
 * @s: the session
 *
 * A few at a time, since each is looked at in /proc. Return: whether there are more to be looked at, now or later.
 */
bool answer_killed(struct session *s);

/**
 * answer_all() - let all callers go whose requests wait, or wait for their client: ECONNABORTED
 *
 * At the end of a session. Return: how many requests are being acted upon.
 */
unsigned int answer_all(struct session *s);

#endif /* DEVICE_ANSWER_H */
