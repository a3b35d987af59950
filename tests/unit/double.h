/* SPDX-License-Identifier: MIT */
/*
 * double.h - stands in for the kernel and libfuse: sends ioctls to a device, counts the answers
 *
 * double_ioctl() does what fs/fuse/ioctl.c does: it calls the device, and as long as the answer
 * is a retry it copies the areas asked for out of the caller's memory (ours) and calls again.
 * Every single request must be answered exactly once: a second answer, or none at all, fails the
 * test that runs.
 */
#ifndef DOUBLE_H
#define DOUBLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/request.h"

enum double_mode {
	DOUBLE_DIRECT, /* the daemon sees the caller's thread id */
	DOUBLE_RETRY,  /* it does not: the kernel copies */
};

/**
 * struct double_result - how an ioctl went
 * @result:  0 or more, or -errno
 * @trips:   requests it took: round trips
 * @answers: answers to them
 */
struct double_result {
	int result;
	unsigned int trips;
	unsigned int answers;
};

/* Set to have request_ops.waiting() say that the connection was aborted. */
extern bool double_aborted;

/* Set to be called, once, when the daemon asks whether the caller waits, to write to it. */
extern void (*double_before_write)(void);

/* Set to have requests come from a thread that the daemon may not touch. */
extern bool double_no_access;

/* Set to have them come from this thread, whose memory is like ours. 0: the calling one. */
extern pid_t double_tid;

/* Whose requests they are: root's, unless this is set. */
extern uid_t double_uid;

/* Set to N to have a caller killed, and answered, while it is waited for the Nth time from now on. */
extern unsigned int double_killed_at;

/* Set to have request_killed() say so. */
extern bool double_killed;

/* Set to be called after each round trip that is to be followed by another, before the kernel copies. */
extern void (*double_between_trips)(void);

/* The number of the last request, and what it has left in its progress word. */
extern uint64_t double_unique, double_progress;

/* Set to the number of a former request to have requests be that one, executed again, with double_progress. */
extern uint64_t double_again;

/* All requests ever sent, and all answers: equal whenever nothing is pending. */
extern unsigned int double_requests, double_answers;

struct double_result double_ioctl_full(struct device *dev, uint64_t fh, uint32_t cmd, uint64_t arg,
				       enum double_mode mode, bool compat);

/* The same, the result alone. */
int double_ioctl(struct device *dev, uint64_t fh, uint32_t cmd, const void *arg,
		 enum double_mode mode);

#endif /* DOUBLE_H */
