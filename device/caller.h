/* SPDX-License-Identifier: MIT */
/*
 * device/caller.h - the memory of the thread that waits for an answer
 *
 * A handler is written once, straight down: say what will be written (caller_expect), read
 * (caller_fetch), check, caller_ready(), act, write (caller_store), caller_end(). Where the
 * caller's memory can be reached directly, each step happens at once and the ioctl costs one round
 * trip. Where it cannot, the kernel copies for us, and the same handler runs from its top several
 * times: each time with more areas copied in, until nothing is missing and it gets past
 * caller_ready(). So: no side effect before caller_ready(), no caller_fetch() or caller_expect()
 * after it.
 *
 * device/caller.c tells why a write is safe.
 */
#ifndef DEVICE_CALLER_H
#define DEVICE_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "report/failure.h"
#include "client/request.h"
#include "report/trace.h"

/*
 * No errno, and no result: the kernel has been asked to copy and to call again; this run is over. A handler
 * passes it up like an error, to caller_end().
 */
#define CALLER_RETRIED 0x40000001

/* What the kernel copies in one retry: areas in both directions together, bytes in each. */
#define CALLER_AREAS_MAX 256
#define CALLER_BYTES_MAX (32UL * 4096)

/**
 * struct caller - how one run of one handler reaches its caller
 * @rq:       the request; may be replaced by request_keep()'s copy
 * @direct:   memory is read and written by process_vm_readv(2) and process_vm_writev(2)
 * @why:      what was wrong with the request, for the log: set by caller_why()
 * @ev:       what is traced of it: handlers add their arguments
 * @failed:   what is told if it fails: handlers add what they know
 * @rule:     room for failed.rule
 * @silent:   the client has been told before
 * @gone:     the caller was killed, and may have been answered: its memory is not touched any more
 *
 * The rest is private, and of use in retry mode only.
 */
struct caller {
	struct request *rq;
	bool direct;
	bool silent;
	bool gone;
	char why[192];
	struct trace_event ev;
	struct failure failed;
	char rule[FAILURE_RULE_SIZE];
	bool reached;	    /* direct mode has worked once: no way back to retry mode */
	bool too_much;	    /* an area did not fit: no retry is possible */
	size_t n_in;	    /* areas asked for in this run */
	size_t in_bytes;    /* their bytes */
	size_t n_out;	    /* areas declared in this run */
	size_t out_bytes;   /* their bytes */
	size_t out_stored;  /* end of what was stored, bytes from the start of `out` */
	unsigned char *out; /* what the kernel will copy out */
	struct iovec in[CALLER_AREAS_MAX];
	struct iovec outv[CALLER_AREAS_MAX];
};

/**
 * caller_begin() - start a run
 * @op: what it is
 *
 * On the thread that was handed @rq.
 */
void caller_begin(struct caller *c, struct request *rq, enum trace_op op);

/**
 * caller_reason() - say why the request fails, where the reason's own text is enough
 * @err: -errno; anything else is no failure
 *
 * What fails in here (the caller's memory) has said so itself. Return: @err.
 */
int caller_reason(struct caller *c, int err, enum failure_reason why);

/**
 * caller_why() - say why the request fails, and for the log in words
 *
 * Return: @err.
 */
int caller_why(struct caller *c, int err, enum failure_reason why, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * caller_killed() - whether nobody wants the answer any more: request_killed()
 *
 * Return: true: the handler ends, with -EINTR, which is no news then.
 */
bool caller_killed(struct caller *c);

/**
 * caller_expect() - declare that @len bytes at @addr will be written
 * @addr: address in the caller
 *
 * Return: 0; -ENOMEM if the kernel cannot copy that much in retry mode.
 */
int caller_expect(struct caller *c, uint64_t addr, size_t len);

/**
 * caller_wait_begin(), caller_wait_end() - what comes between can wait for the client
 *
 * See request_wait_begin(); for what is looked up of a caller in /proc. What is here does it by itself.
 *
 * Return: 0; -EINTR: the caller was killed meanwhile. The handler ends, with that.
 */
void caller_wait_begin(struct caller *c);
int caller_wait_end(struct caller *c);

/**
 * caller_fetch() - read the caller's memory
 * @dst:  of @len bytes
 * @addr: address in the caller
 *
 * Return: 0; -EFAULT if not all of it is readable; -ENOMEM as above; -EINTR as above; CALLER_RETRIED.
 */
int caller_fetch(struct caller *c, void *dst, uint64_t addr, size_t len);

/**
 * caller_fetch_now() - read the caller's memory directly, or not at all
 *
 * For what makes no sense by way of the kernel. Return: 0; -EFAULT if that is no way to reach it, or not all of it is readable.
 */
int caller_fetch_now(struct caller *c, void *dst, uint64_t addr, size_t len);

/**
 * caller_fetch_some() - read several areas, stop at the first that is not readable
 * @local, @remote: @n areas of equal lengths in pairs, @n at most CALLER_AREAS_MAX
 * @done: out: how many were read
 *
 * Return: 0 with *@done, -ENOMEM, -EINTR, CALLER_RETRIED.
 */
int caller_fetch_some(struct caller *c, const struct iovec *local, const struct iovec *remote,
		      size_t n, size_t *done);

/**
 * caller_ready() - all is fetched and declared: may the handler act?
 *
 * Return: 0: the handler acts now; CALLER_RETRIED; -ENOMEM.
 */
int caller_ready(struct caller *c);

/**
 * caller_store() - write the caller's memory
 * @addr: address in the caller, inside an area declared with caller_expect()
 *
 * Any thread, as long as the request is not answered.
 * Return: 0; -EFAULT if not all of it is writable, or if the caller is not certainly there any
 * more. (In retry mode the kernel writes after the answer, and a fault is the caller's alone.)
 */
int caller_store(struct caller *c, uint64_t addr, const void *src, size_t len);

/**
 * caller_store_some() - write several areas, stop at the first that is not writable
 * @local, @remote: @n areas of equal lengths in pairs, none empty, @n at most 2 * CALLER_AREAS_MAX
 *
 * As caller_store(). Return: how many were written whole.
 */
size_t caller_store_some(struct caller *c, const struct iovec *local, const struct iovec *remote,
			 size_t n);

/**
 * caller_end() - answer, and trace that
 * @result: 0 or more, -errno, or CALLER_RETRIED (then there is nothing left to answer)
 *
 * What was stored goes out also with an error, as it does in direct mode. The request is not to be
 * looked at any more.
 */
void caller_end(struct caller *c, int result);

/**
 * caller_failed() - tell that the request has failed, after caller_end()
 * @error: -errno
 * @fmt:   the line, see failure_report()
 */
void caller_failed(struct caller *c, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* DEVICE_CALLER_H */
