/* SPDX-License-Identifier: MIT */
/*
 * device/receiver.h - threads that receive requests of a session and see them through
 *
 * Of device/session.c, and without libfuse.
 */
#ifndef DEVICE_RECEIVER_H
#define DEVICE_RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "client/request.h"
#include "device/answer.h"
#include "device/workers.h"

/*
 * struct receiver - one thread that serves a session
 * @pipe:     it receives by
 * @slot:     for the next request, or that of the one that libfuse is taking apart; NULL: its request has it
 * @spare:    a request that is no more, for the next one; or NULL
 * @unique:   number of the request in @slot; @again: it was left by a predecessor
 * @passes:   nothing was made of it that enters (device/turns.h)
 * @running:  the one in hand; @answered by this thread
 */
struct receiver {
	struct session *s;
	int pipe;
	struct slot *slot;
	struct session_request *spare;
	uint64_t unique;
	bool again;
	bool passes;
	const struct session_request *running;
	bool answered;
};

/* The calling thread, if it is one. */
extern __thread struct receiver *receiver_me;

/* What device/workers.c calls; its argument is the session. */
extern const struct workers_ops receiver_ops;

/**
 * receiver_request() - make a request of what the calling thread has received
 * @req: libfuse's handle
 * @fh:  its open
 *
 * It takes over the thread's slot. Return: NULL if there is no memory.
 */
struct session_request *receiver_request(const struct request_ops *ops, struct fuse_req *req,
					 uint64_t fh);

/** receiver_run() - carry it out: turns_enter() or turns_next() has given it the calling thread */
void receiver_run(struct session_request *sr);

/** receiver_refuse() - answer and free one that is of no open. @err: a positive errno, or 0 */
void receiver_refuse(struct session_request *sr, int err);

/** receiver_answered() - the handler has answered: what is left of it is seen to by receiver_run(), if that still runs. Any thread */
void receiver_answered(struct session_request *sr);

/** receiver_give_up() - answer what is not carried out again (device/left.h). When the device has been adopted, before other threads */
void receiver_give_up(struct session *s);

/** receiver_note_crashes() - from now on a crash is noted in the request that it happens in. Of the process, before its threads */
void receiver_note_crashes(void);

/** receiver_drain() - refuse what clients have asked and no worker has begun, so that nobody is left waiting */
void receiver_drain(struct session *s);

#endif /* DEVICE_RECEIVER_H */
