/* SPDX-License-Identifier: MIT */
/*
 * device/channel.h - requests from the kernel, and answers to it, such that none is lost if the daemon is killed
 *
 * A request comes by splice(2) through a pipe: between the kernel's queue and the pipe nothing looks at signals, and the pipe,
 * like the slot behind it (state/slot.h), outlives the daemon. An answer goes into the slot first, and then out by one
 * write(2) from one page, or by a pipe: a kill can cut short what lies in several pages.
 *
 * read(2) has a hole there: the kernel takes the request off its queue, and if the reader is killed before its memory can
 * be written to the caller gets EIO. So has writev(2).
 */
#ifndef DEVICE_CHANNEL_H
#define DEVICE_CHANNEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "device/workers.h"
#include "state/slot.h"

struct lent;

/* One for each worker, one for who has none (at the end), and the first for long answers. */
#define CHANNEL_PIPES (WORKERS_MAX + 2)

/**
 * struct channel_pipe - a pipe
 * @used: some thread receives by it
 */
struct channel_pipe {
	int r;
	int w;
	bool used;
};

/**
 * struct channel - what a session receives by
 * @fd:     of /dev/cuse
 * @name:   of the device
 * @number: of the session, in @lent's names
 * @lent:   or NULL
 * @lock:   for the pipes
 * @waits:  how often a thread has waited for memory (atomic); it was told at @told, CLOCK_MONOTONIC ms, 0: never
 * @n:      pipes that there are
 */
struct channel {
	int fd;
	const char *name;
	unsigned int number;
	struct lent *lent;
	struct slots *slots;
	pthread_mutex_t lock;
	uint64_t waits;
	uint64_t told;
	unsigned int n;
	struct channel_pipe pipe[CHANNEL_PIPES];
};

/**
 * channel_new() - make one
 * @ch: with fd, name, number and lent filled in; the descriptor is the channel's from now on, also on failure
 *
 * Return: 0 or -errno.
 */
int channel_new(struct channel *ch);

/**
 * channel_adopt() - that of a predecessor, whose threads have all ended
 * @ch: with name, number and lent filled in
 *
 * Requests that it had begun to receive are in their slots afterwards, and the answers that it was about to send have been
 * sent: what is not idle is to be carried out again. Return: 0; -ENOENT: there is none; -EINVAL: it is damaged; -errno.
 */
int channel_adopt(struct channel *ch);

/** channel_close() - our side of it. @ch: also after a failure, or one all zero */
void channel_close(struct channel *ch);

/**
 * channel_wait_for_memory() - it is short: wait a moment, count that, and tell it now and then
 *
 * For who has received what cannot be given up. Any thread.
 */
void channel_wait_for_memory(struct channel *ch);

/** channel_pipe_take() - a pipe for a thread to receive by, a new one if need be. Return: its number, or -errno */
int channel_pipe_take(struct channel *ch);

/** channel_pipe_give() - it is empty, and the thread needs it no more */
void channel_pipe_give(struct channel *ch, int pipe);

/**
 * channel_receive() - wait for a request
 * @pipe: the thread's
 * @slot: where it is to go, empty
 *
 * Return: its length; -EINTR, -EAGAIN, -ENOENT, -ENOMEM: none this time; -ENODEV: there will be no more; -errno: a fault of ours, or of
 * the kernel's, with which nothing can go on: what was received, if something was, is in the pipe or in the slot.
 */
ssize_t channel_receive(struct channel *ch, int pipe, struct slot *slot);

/**
 * channel_done() - put an answer to the request in a slot there
 * @iov: @n pieces of it
 *
 * From here on the answer lasts, and the request will not be carried out again. Any thread, once.
 */
void channel_done(struct channel *ch, struct slot *slot, const struct iovec *iov, int n);

/**
 * channel_send() - send that answer
 *
 * Any thread. Return: bytes; -ENOENT: the kernel does not know the request (any more); -errno.
 */
ssize_t channel_send(struct channel *ch, struct slot *slot);

#endif /* DEVICE_CHANNEL_H */
