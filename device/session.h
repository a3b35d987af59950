/* SPDX-License-Identifier: MIT */
/*
 * device/session.h - a CUSE device and the threads that serve it
 *
 * The only module that knows libfuse.
 */
#ifndef DEVICE_SESSION_H
#define DEVICE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/request.h"

struct lent;
struct session;
struct state_header;

/**
 * struct session_config - what to serve
 * @dev:     lives longer than the session
 * @workers: threads to begin with, 1 to SESSION_WORKERS_MAX
 * @lent:    what outlives the daemon, or NULL: nothing does
 * @number:  which session it is, in @lent's names and in @state
 * @state:   with @lent: keeps what the kernel has said first, and counts
 */
struct session_config {
	struct device *dev;
	unsigned int workers;
	struct lent *lent;
	unsigned int number;
	struct state_header *state;
};

/**
 * session_new() - make the device node, or adopt it with the requests that a predecessor had in hand
 * @why: a buffer of @size bytes for a message on failure: what was wrong, what to do
 *
 * Its name should have been looked at before (device/node.h), unless it is adopted. When this returns 0 the node exists; clients that
 * open it wait until session_start().
 *
 * Of the requests of a predecessor those that had been carried out are answered here. The others are executed again
 * from session_start() on: before that the device has to be as it was left. To find out what is half done it asks session_in_hand(),
 * and tells by session_opened() which opens there are.
 *
 * Return: 0 and *@out; -EINVAL: what the predecessor left is damaged; -errno.
 */
int session_new(const struct session_config *c, struct session **out, char *why, size_t size);

/**
 * session_in_hand() - the requests that will be executed again
 * @unique: out: their numbers (struct request), sorted
 *
 * Until session_start(). Return: how many.
 */
size_t session_in_hand(const struct session *s, const uint64_t **unique);

/**
 * session_given_up() - whether a request of the predecessor is not carried out again, as daemons have died of it, and fails
 * @unique: its number; 0: one that releases the open @fh
 *
 * What it has made is nobody's, and to be undone; the open that it was to release is closed. Until session_start().
 */
bool session_given_up(const struct session *s, uint64_t unique, uint64_t fh);

/**
 * session_opened() - an open was adopted
 * @user: whom it counts against
 * @fh:   what device.open gave
 *
 * Before session_start(). Return: 0 or -ENOMEM.
 */
int session_opened(struct session *s, uid_t user, uint64_t fh);

/**
 * session_start() - start the workers
 *
 * Return: 0 or -errno.
 */
int session_start(struct session *s);

/**
 * session_alive() - whether the kernel still has the connection
 *
 * Return: false once it was aborted: no client can be served any more.
 */
bool session_alive(const struct session *s);

/** session_fd() - a descriptor on which poll(2) shows POLLERR when the connection is aborted */
int session_fd(const struct session *s);

/* As many can be asked for. There are more while clients hold some up: see device/workers.h, device/turns.h. */
#define SESSION_WORKERS_MAX 64

/**
 * struct session_counts - how busy it is
 * @workers: threads; @busy of them have a request in hand
 * @waiting: requests that are not answered, in the kernel's queue or anywhere here; -1: it does not say
 * @memory_waits: how often a thread has waited for memory to receive or answer one, for a millisecond each
 */
struct session_counts {
	unsigned int workers;
	unsigned int busy;
	long waiting;
	uint64_t memory_waits;
};

/** session_counts() - for statistics. Any thread, while the session is neither started nor destroyed */
void session_counts(const struct session *s, struct session_counts *c);

/**
 * session_serves() - whether clients are served, for a watchdog
 *
 * To be called at regular intervals, by one thread. Return: false if since the last call there was no thread to
 * receive a request. No client can bring that about.
 */
bool session_serves(struct session *s);

/* How a session has ended. */
enum session_end {
	SESSION_ENDED, /* all its threads have */
	SESSION_LEFT,  /* some wait for clients, with nothing to do once that is over */
	SESSION_STUCK, /* some have still requests to finish, and may go on at any time */
};

/**
 * session_stop() - no new work; returns when the workers have ended
 * @ms: how long they may take for what they have
 *
 * Requests that a worker has are answered by it, but for those that wait for their clients: these are
 * answered with ECONNABORTED at once, as are all that are queued, here or by the kernel, and as the kernel itself will
 * from session_destroy() on. Requests that wait elsewhere (request_ops.keep) may still be answered until
 * session_destroy().
 *
 * Return: if it is not SESSION_ENDED nothing that a worker uses may be freed.
 */
enum session_end session_stop(struct session *s, unsigned int ms);

/**
 * session_leave() - no new work, and what is in hand is left to a successor
 * @ms: how long workers may take for what they have
 *
 * What waits in the kernel's queue stays there, what waits here stays in its slot, and is not answered. Instead of session_stop() and
 * session_destroy(): a worker may still be at work when this returns, so the process has to end, by _exit(2).
 */
void session_leave(struct session *s, unsigned int ms);

/** session_destroy() - remove the node, free everything; every request has been answered */
void session_destroy(struct session *s);

#endif /* DEVICE_SESSION_H */
