/* SPDX-License-Identifier: MIT */
/*
 * device/session.h - a CUSE device and the threads that serve it
 *
 * The only module that knows libfuse.
 */
#ifndef DEVICE_SESSION_H
#define DEVICE_SESSION_H

#include <stdbool.h>

#include "client/request.h"

struct session;

/**
 * session_check_name() - whether a device of this name can be made at all
 * @name: such as "xen/gntdev"
 * @why:  a buffer of @size bytes for a message that says what is in the way and what to do
 *
 * Return: 0; -EEXIST if somebody has the name; -EINVAL if it is none.
 */
int session_check_name(const char *name, char *why, size_t size);

/**
 * session_new() - make the device node
 * @dev:     what to serve; lives longer than the session
 * @workers: threads to begin with, 1 to SESSION_WORKERS_MAX
 * @why:     a buffer of @size bytes for a message on failure: what was wrong, what to do
 *
 * When this returns 0 the node exists; clients that open it wait until session_start().
 *
 * Return: 0 and *@out; -errno.
 */
int session_new(struct device *dev, unsigned int workers, struct session **out, char *why,
		size_t size);

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

/* A session never has more workers than this, whatever its clients do. */
#define SESSION_WORKERS_MAX 64

/**
 * struct session_counts - how busy it is
 * @workers: threads; @busy of them have a request in hand
 * @waiting: requests that the kernel has queued or a worker has in hand; -1: it does not say
 */
struct session_counts {
	unsigned int workers;
	unsigned int busy;
	long waiting;
};

/** session_counts() - for statistics. Any thread, while the session is neither started nor destroyed */
void session_counts(const struct session *s, struct session_counts *c);

/**
 * session_relieve() - see that clients who hold up workers hold up nobody else
 *
 * A client can hold up a worker for as long as it likes, by an argument in memory that it serves itself
 * (userfaultfd, a file of its own by FUSE). If all workers have been in one request since the last
 * call another one is started; and as long as any worker is held up no caller's memory is touched
 * directly: the kernel copies, in the caller's own context (request.hands_off). By one thread, at
 * regular intervals.
 *
 * Return: false if all are held up and there can be no more: the device is dead to everybody.
 */
bool session_relieve(struct session *s);

/**
 * session_stop() - no new work; returns when the workers have ended
 * @ms: how long they may take for what they have
 *
 * Requests that a worker has are answered by it. What the kernel has still queued is read and
 * refused with ECONNABORTED, as the kernel itself will from session_destroy() on. Requests that
 * wait elsewhere (request_ops.keep) may still be answered until session_destroy().
 *
 * Return: false if a client still holds up a worker then (see session_relieve()):
 * that thread may go on at any time, so nothing that it uses may be freed.
 */
bool session_stop(struct session *s, unsigned int ms);

/** session_destroy() - remove the node, free everything; every request has been answered */
void session_destroy(struct session *s);

#endif /* DEVICE_SESSION_H */
