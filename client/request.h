/* SPDX-License-Identifier: MIT */
/*
 * client/request.h - one request of one client, without the transport
 *
 * The session (device/session.c, the only file that knows libfuse) turns what it reads from /dev/cuse into
 * a struct request and hands it to a device; the device answers through request_*(). Tests put
 * counting doubles in the place of the session.
 *
 * The rule that everything hangs on: EXACTLY ONE ANSWER per request, by request_done() or
 * request_retry(), from any thread, at once or later. A client whose request is not answered
 * cannot even be killed; two answers would answer somebody else. request_done() and
 * request_retry() abort the process on a second answer: that is a bug of ours, never input.
 */
#ifndef CLIENT_REQUEST_H
#define CLIENT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct request;

/* The transport: filled in by the session, or by a test double. */
struct request_ops {
	/* Answer with @result (0 or more, or -errno) and @len bytes of output (retry mode only). */
	void (*done)(struct request *rq, int result, const void *out, size_t len);
	/* Have the kernel call again with these areas of the caller's memory copied in, and room
	 * for those copied out. At most 256 areas, 128 KiB each way. */
	void (*retry)(struct request *rq, const struct iovec *in, size_t n_in,
		      const struct iovec *out, size_t n_out);
	/* Whether the caller certainly still waits for this answer: false once the connection
	 * was aborted. */
	bool (*waiting)(struct request *rq);
	/* Copy the request to the heap so that it can be answered after the handler has
	 * returned; the original may not be used any more. NULL: no memory (not answered). */
	struct request *(*keep)(struct request *rq);
};

/**
 * struct request - an ioctl
 * @ops:     transport
 * @fh:      what open gave
 * @arg:     third argument of ioctl(2), an address in the caller
 * @in:      caller memory that the kernel copied in for a request_retry(), @in_len bytes
 * @out_len: bytes that request_done() may return for a request_retry()
 * @cmd:     second argument of ioctl(2)
 * @tid:     the calling thread in our pid namespace; 0 if it is not visible there
 * @uid:     its file system user id
 * @compat:  a 32-bit caller
 * @hands_off: do not touch the caller's memory, have the kernel copy
 * @answered: one answer has gone out
 */
struct request {
	const struct request_ops *ops;
	uint64_t fh;
	uint64_t arg;
	const void *in;
	size_t in_len;
	size_t out_len;
	uint32_t cmd;
	pid_t tid;
	uid_t uid;
	bool compat;
	bool hands_off;
	bool answered;
};

/**
 * struct opener - who opens a device
 * @tid: the thread in our pid namespace, 0 if it is not visible there; while its open is not answered
 *       it cannot have been reused, except by a thread that was killed meanwhile
 * @uid, @gid: its file system ids
 */
struct opener {
	pid_t tid;
	uid_t uid;
	gid_t gid;
};

/**
 * struct device - what a session serves
 * @name: as in DEVNAME, such as "xen/gntdev"
 * @open: a client opens it, with the access mode of open(2)'s @flags. Return: 0 and *@fh; -errno
 * @ioctl: must see to exactly one answer
 * @release: the last descriptor of an open has gone
 *
 * All are called on worker threads, which are registered with RCU, not under RCU.
 */
struct device {
	const char *name;
	int (*open)(struct device *dev, const struct opener *by, int flags, uint64_t *fh);
	void (*ioctl)(struct device *dev, struct request *rq);
	void (*release)(struct device *dev, uint64_t fh);
};

/**
 * request_done() - answer a request
 * @result: 0 or more, or a negative errno between -4095 and -1
 * @out:    bytes for the out areas of the request_retry() that led here, @len at most out_len;
 *          NULL and 0 in direct mode
 */
void request_done(struct request *rq, int result, const void *out, size_t len);

/**
 * request_retry() - answer a request with "call again, with this memory"
 */
void request_retry(struct request *rq, const struct iovec *in, size_t n_in, const struct iovec *out,
		   size_t n_out);

#endif /* CLIENT_REQUEST_H */
