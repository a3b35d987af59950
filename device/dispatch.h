/* SPDX-License-Identifier: MIT */
/*
 * device/dispatch.h - the ioctls of a device: one table, one runner
 *
 * A device says in a table what its ioctls are: the number, which carries the size of the argument,
 * what comes in, what goes back, and the handler. All else is the runner's (device/dispatch.c). A new
 * ioctl is a row and a handler.
 */
#ifndef DEVICE_DISPATCH_H
#define DEVICE_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "client/request.h"
#include "device/caller.h"
#include "report/trace.h"

/* The longest argument, without its variable part: struct window_token. */
#define IOCTL_ARG_MAX 160

/* No errno, and no result: the handler has kept the call (ioctl_keep()), and ioctl_end() will answer it. */
#define IOCTL_KEPT 0x40000002

/**
 * struct ioctl_call - one run of one ioctl
 * @c:      the caller's memory, what is traced, what is told
 * @row:    which ioctl
 * @more:   the variable part, which lies behind the fixed one in the caller: memory of the handler's,
 *          set by row->more(); { NULL, 0 }: there is none
 * @object: what row->more() has made and row->drop() frees
 * @note:   the handler's own, for row->undo()
 * @result: of an ioctl that succeeds: 0, or what the handler has set, above 0
 * @kept:   it outlives its handler
 */
struct ioctl_call {
	struct caller c;
	const struct ioctl_row *row;
	struct device *dev;
	struct iovec more;
	void *object;
	uint64_t note;
	int result;
	bool kept;
	_Alignas(8) unsigned char arg[IOCTL_ARG_MAX];
};

enum ioctl_flags {
	IOCTL_BACK = 1,	     /* the fixed part is written back */
	IOCTL_MORE_IN = 2,   /* the variable part is read */
	IOCTL_MORE_BACK = 4, /* the variable part is written back, behind the fixed one */
	IOCTL_READS_ON = 8,  /* the handler reads and declares memory, and calls caller_ready() */
	IOCTL_DIRECT = 16,   /* where the kernel would have to copy: EOPNOTSUPP */
	IOCTL_UNTOLD = 32,   /* failures are no news: counted and traced, not told */
};

/**
 * struct ioctl_row - an ioctl
 * @cmd:   the whole command word; its size field is that of the argument's fixed part
 * @op:    what it is counted and traced as
 * @name:  for messages
 * @flags: enum ioctl_flags
 * @fn:    the handler. @arg: the fixed part, as read; what it is afterwards is written back. Return: 0, -errno,
 *         IOCTL_KEPT, or CALLER_RETRIED from caller.h. NULL: it is known that this one is not there,
 *         ENOTTY
 * @first: or NULL. Checks that come before the argument is read. Return: 0 or -errno
 * @more:  or NULL. Checks of the fixed part that come before the variable part is touched, and where
 *         that is kept (call->more). Return: 0 or -errno
 * @undo:  or NULL. The handler has succeeded but the client cannot be told
 * @drop:  or NULL. Called in the end if call->object is set, whatever happened
 */
struct ioctl_row {
	uint32_t cmd;
	enum trace_op op;
	const char *name;
	unsigned int flags;
	int (*fn)(struct device *dev, struct ioctl_call *call, void *arg);
	int (*first)(struct device *dev, struct ioctl_call *call);
	int (*more)(struct device *dev, struct ioctl_call *call, void *arg);
	void (*undo)(struct device *dev, struct ioctl_call *call, void *arg);
	void (*drop)(struct ioctl_call *call);
};

/* The number of a row whose argument fits: anything else does not compile. */
#define IOCTL_CMD(cmd) ((cmd) + 0 * sizeof(char[_IOC_SIZE(cmd) <= IOCTL_ARG_MAX ? 1 : -1]))

/**
 * struct ioctl_table - all of a device's
 * @named: messages begin with the device's name
 */
struct ioctl_table {
	const struct ioctl_row *row;
	size_t n;
	bool named;
};

/**
 * ioctl_dispatch() - carry out a request, or refuse it
 *
 * @rq is answered when this returns, or kept: then by ioctl_end(). For struct device's ioctl: worker
 * threads, registered with RCU, not under RCU.
 */
void ioctl_dispatch(const struct ioctl_table *t, struct device *dev, struct request *rq);

/**
 * ioctl_keep() - have a call outlive its handler, which then returns IOCTL_KEPT
 *
 * After caller_ready(). The former @call, and its request, are not to be looked at any more.
 *
 * Return: the call, whose ioctl_end() must follow, on any thread; @call if it was kept before; NULL: no
 * memory, all is as it was.
 */
struct ioctl_call *ioctl_keep(struct ioctl_call *call);

/**
 * ioctl_end() - answer a call that was kept, and free it
 * @result: 0 or -errno
 */
void ioctl_end(const struct ioctl_table *t, struct ioctl_call *call, int result);

#endif /* DEVICE_DISPATCH_H */
