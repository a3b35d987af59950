/* SPDX-License-Identifier: MIT */
/*
 * device/dispatch.c - the ioctls of a device: one table, one runner
 *
 * What happens to a request, and in this order, which is that of the kernel's drivers:
 *
 *  1. decode. The command word is matched whole, size field and all; 32-bit callers have no ioctls
 *     (docs/gntdev-abi.md, sections 1 and 2). What is not in the table is ENOTTY.
 *  2. row->first() refuses what is refused whatever the argument is. The fixed part of the argument is read: EFAULT.
 *  3. row->more() looks at it, where something is to be refused before the variable part behind it is
 *     touched, and says how long that is: EINVAL, ENOSPC, ENOMEM. It is read: EFAULT.
 *  4. the handler acts, on arguments that lie in our memory and cannot change any more.
 *  5. both parts are written back, as far as the row says so: EFAULT, and row->undo() takes back what
 *     the client cannot be told.
 *  6. the one answer goes out; then it is traced, and a failure is told.
 *
 * The memory is reached in one of two ways (device/caller.c), and handlers know of neither. Where the
 * kernel copies, 2 to 3 run again for each round trip, from the top: so row->more() must not act, and what
 * it has made is dropped each time.
 *
 * Exactly one answer: each run leaves by end_call(), with three exceptions that have answered
 * otherwise or will: CALLER_RETRIED (the answer was "call again"), IOCTL_KEPT (ioctl_end() comes later, from
 * any thread, and leaves there), and a command word that is not in the table (no_such_ioctl()).
 *
 * GRANT_COPY's memory is not all known from its argument: its handler reads on (IOCTL_READS_ON), and
 * writes as it goes.
 */
#include "device/dispatch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What is said in words where the handler has not: what stands behind its reason. */
static const char *reason(const struct caller *c)
{
	return c->why[0] ? c->why : failure_reason_cause(c->failed.why);
}

static const char *device_prefix(const struct ioctl_table *t, const struct device *dev)
{
	return t->named ? dev->name : "";
}

/* Step 6. The request is not to be looked at any more once it is answered. */
static void end_call(const struct ioctl_table *t, struct ioctl_call *call, int result)
{
	const struct ioctl_row *row = call->row;
	struct caller *c = &call->c;
	uint64_t arg = c->rq->arg;

	if (call->object)
		row->drop(call);
	caller_end(c, result);
	if (result < 0 && !(row->flags & IOCTL_UNTOLD))
		caller_failed(c, result, "%s%s%s(0x%" PRIx64 "): %s (%s)",
			      device_prefix(t, call->dev), t->named ? ": " : "", row->name, arg,
			      reason(c), strerrorname_np(-result));
}

/* Step 2. Where there is none the kernel's drivers read nothing. */
static int read_fixed(struct ioctl_call *call)
{
	size_t size = _IOC_SIZE(call->row->cmd);
	struct caller *c = &call->c;
	int err = 0;

	if (!size)
		return 0;
	if (call->row->flags & IOCTL_DIRECT)
		return caller_fetch_now(c, call->arg, c->rq->arg, size) ? -EOPNOTSUPP : 0;
	if (call->row->flags & IOCTL_BACK)
		err = caller_expect(c, c->rq->arg, size);
	return err ? err : caller_fetch(c, call->arg, c->rq->arg, size);
}

/* Step 3. */
static int read_more(struct ioctl_call *call)
{
	uint64_t addr = call->c.rq->arg + _IOC_SIZE(call->row->cmd);
	const struct ioctl_row *row = call->row;
	int err = row->more(call->dev, call, call->arg);

	if (!err && row->flags & IOCTL_MORE_BACK && call->more.iov_len)
		err = caller_expect(&call->c, addr, call->more.iov_len);
	if (!err && row->flags & IOCTL_MORE_IN && call->more.iov_len)
		err = caller_fetch(&call->c, call->more.iov_base, addr, call->more.iov_len);
	return err;
}

static int read_argument(struct ioctl_call *call)
{
	int err = read_fixed(call);

	if (!err && call->row->more)
		err = read_more(call);
	if (!err && !(call->row->flags & IOCTL_READS_ON))
		err = caller_ready(&call->c);
	return err;
}

/* Step 5. No lock is held: the client's memory may take its time (userfaultfd). */
static int write_back(struct ioctl_call *call)
{
	size_t size = _IOC_SIZE(call->row->cmd);
	const struct ioctl_row *row = call->row;
	uint64_t addr = call->c.rq->arg;
	int err = 0;

	if (row->flags & IOCTL_BACK)
		err = caller_store(&call->c, addr, call->arg, size);
	if (!err && row->flags & IOCTL_MORE_BACK && call->more.iov_len)
		err = caller_store(&call->c, addr + size, call->more.iov_base, call->more.iov_len);
	if (err && row->undo)
		row->undo(call->dev, call, call->arg);
	return err;
}

static void run(const struct ioctl_table *t, const struct ioctl_row *row, struct device *dev,
		struct request *rq)
{
	struct ioctl_call call;
	int err;

	call.row = row;
	call.dev = dev;
	call.more = (struct iovec){ 0 };
	call.object = NULL;
	call.note = 0;
	call.kept = false;
	call.result = 0;
	caller_begin(&call.c, rq, row->op);
	err = row->first ? row->first(dev, &call) : 0;
	if (!err)
		err = row->fn ? read_argument(&call) : -ENOTTY;
	if (!err)
		err = row->fn(dev, &call, call.arg);
	/* Kept: it is somebody else's now, and may have ended. */
	if (err == IOCTL_KEPT)
		return;
	if (!err)
		err = write_back(&call);
	end_call(t, &call, err ? err : call.result);
}

static void no_such_ioctl(const struct ioctl_table *t, const struct device *dev, struct request *rq)
{
	const char *prefix = device_prefix(t, dev), *colon = t->named ? ": " : "";
	uint32_t cmd = rq->cmd;
	bool compat = rq->compat;
	struct caller c;

	caller_begin(&c, rq, TRACE_OTHER_IOCTL);
	caller_end(&c, -ENOTTY);
	c.failed.why = compat ? WHY_32_BIT : WHY_NO_SUCH_IOCTL;
	if (compat)
		caller_failed(&c, -ENOTTY,
			      "%s%sioctl 0x%08x from a 32-bit program: the driver has none "
			      "(ENOTTY)",
			      prefix, colon, cmd);
	else
		caller_failed(&c, -ENOTTY, "%s%sioctl 0x%08x: not one of this device (ENOTTY)",
			      prefix, colon, cmd);
}

void ioctl_dispatch(const struct ioctl_table *t, struct device *dev, struct request *rq)
{
	for (size_t i = 0; !rq->compat && i < t->n; i++) {
		if (t->row[i].cmd == rq->cmd) {
			run(t, &t->row[i], dev, rq);
			return;
		}
	}
	no_such_ioctl(t, dev, rq);
}

struct ioctl_call *ioctl_keep(struct ioctl_call *call)
{
	struct ioctl_call *copy;
	struct request *kept;

	if (call->kept)
		return call;
	copy = malloc(sizeof(*copy));
	kept = copy ? call->c.rq->ops->keep(call->c.rq) : NULL;
	if (!kept) {
		free(copy);
		return NULL;
	}
	*copy = *call;
	copy->c.rq = kept;
	copy->kept = true;
	return copy;
}

void ioctl_end(const struct ioctl_table *t, struct ioctl_call *call, int result)
{
	end_call(t, call, result);
	free(call);
}
