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
 *
 * The room client/ is one request, and what can be known of who made it: user, unit, what is mapped where. It
 * promises to policy/, report/, window/ and device/ that what it tells of a process is true, or said to be
 * unknown: never a guess. It may include abi/ and base/.
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
	/* See request_wait_begin(), request_wait_end() and request_killed(); all NULL where nobody is
	 * killed. */
	void (*wait_begin)(struct request *rq);
	bool (*wait_end)(struct request *rq);
	bool (*killed)(struct request *rq);
	/* See request_again(); of use after keep. */
	bool (*again)(struct request *rq, void (*fn)(void *arg, bool stopping), void *arg);
	/* See request_sleep(). NULL where no request sleeps. */
	struct request *(*sleep)(struct request *rq);
};

/*
 * A request outlives the daemon that has it in hand: the successor executes it again, from the beginning. So whoever makes
 * something lasting for a request marks it with the request's number, and looks for that mark when it is executed again.
 * As long as it is not answered nobody reuses what has been marked: that is what @ends is for.
 *
 * A request that is executed again runs as all do, on some thread, beside others that are new.
 */

/* What is asked for: the call of struct device that carries it out. */
enum request_kind {
	REQUEST_IOCTL,
	REQUEST_READ,
	REQUEST_WRITE,
	REQUEST_POLL,
};

/**
 * struct request - an ioctl, read, write or poll
 * @ops:     transport
 * @fh:      what open gave
 * @unique:  the kernel's number of this request, never 0, and of no other request of this device
 * @progress: a word that lasts as long as the request: 0 at first, and as the handler left it when it is executed again
 * @ends:    the same, for what is to be given to device.ended once the answer is lasting; 0: nothing
 * @arg:     third argument of ioctl(2), an address in the caller
 * @in:      caller memory that the kernel copied in for a request_retry(), or what is written, @in_len bytes
 * @out_len: bytes that request_done() may return for a request_retry(), or to a read
 * @wake:    of a poll: what device.wake is to be called with, once, when the answer would be another; 0: nobody waits
 * @cmd:     second argument of ioctl(2)
 * @kind:    what is asked for
 * @tid:     the calling thread in our pid namespace; 0 if it is not visible there
 * @uid:     its file system user id
 * @compat:  a 32-bit caller
 * @nonblock: of a read: the descriptor has O_NONBLOCK
 * @again:   it may have been executed before, wholly or in part
 * @answered: one answer has gone out
 */
struct request {
	const struct request_ops *ops;
	uint64_t fh;
	uint64_t arg;
	uint64_t unique;
	uint64_t *progress;
	uint64_t *ends;
	const void *in;
	size_t in_len;
	size_t out_len;
	uint64_t wake;
	uint32_t cmd;
	enum request_kind kind;
	pid_t tid;
	uid_t uid;
	bool compat;
	bool nonblock;
	bool again;
	bool answered;
};

/**
 * struct opener - who opens a device
 * @tid: the thread in our pid namespace, 0 if it is not visible there; while its open is not answered
 *       it cannot have been reused, except by a thread that was killed meanwhile
 * @uid, @gid: its file system ids
 * @unique, @again: as of struct request
 * @user: out: whom the open counts against, @uid if device.open does not set it; or NULL
 */
struct opener {
	pid_t tid;
	uid_t uid;
	gid_t gid;
	uint64_t unique;
	bool again;
	uid_t *user;
};

/**
 * struct device - what a session serves
 * @name: as in DEVNAME, such as "xen/gntdev"
 * @open: a client opens it, with the access mode of open(2)'s @flags. Return: 0 and *@fh, which no other open has, nor
 *        will have later: what is done again must not meet another; -errno
 * @ioctl, @read, @write, @poll: must see to exactly one answer. A device without @read has no read, write and poll: EINVAL, and
 *        what the kernel says itself of a poll
 * @write_max: bytes that a write brings at the most; others follow in a write of their own, if the first is answered in full
 * @interrupted: the caller of a request that sleeps (request_sleep()) was sent a signal: it is answered, unless it has been
 * @release: the last descriptor of an open has gone; also of one that is not known (any more)
 * @ended: the answer to a request that has set *@ends is lasting: it will not be executed again. Or NULL. Any thread
 *
 * All are called on worker threads, which are registered with RCU, not under RCU. A request may take
 * its time: see device/workers.h. But @open may not, as it counts against nobody yet. @interrupted is called on another thread.
 *
 * @wake: set by the session, with @session: poll(2) of an open is to ask again. Any thread, while the session is there; waits for nobody
 */
struct device {
	const char *name;
	int (*open)(struct device *dev, const struct opener *by, int flags, uint64_t *fh);
	void (*ioctl)(struct device *dev, struct request *rq);
	void (*read)(struct device *dev, struct request *rq);
	void (*write)(struct device *dev, struct request *rq);
	void (*poll)(struct device *dev, struct request *rq);
	size_t write_max;
	void (*interrupted)(struct device *dev, uint64_t fh, uint64_t unique);
	void (*release)(struct device *dev, uint64_t fh);
	void (*ended)(struct device *dev, uint64_t what);
	void (*wake)(void *session, uint64_t whom);
	void *session;
};

/**
 * request_done() - answer a request
 * @result: 0 or more, or a negative errno between -4095 and -1; of a write the bytes taken, of a poll the events
 * @out:    bytes for the out areas of the request_retry() that led here, @len at most out_len;
 *          NULL and 0 in direct mode. Of a read what is read
 */
void request_done(struct request *rq, int result, const void *out, size_t len);

/**
 * request_retry() - answer a request with "call again, with this memory"
 */
void request_retry(struct request *rq, const struct iovec *in, size_t n_in, const struct iovec *out,
		   size_t n_out);

/*
 * What a client controls can make us wait for as long as it likes: its memory, which it may serve
 * itself (userfaultfd, a file of its own by FUSE), and the lock on its address space, which its /proc files
 * take. So this is done by nobody but the thread that has the request, which is counted against its client
 * (device/turns.h), and between the two calls below. If the caller is killed meanwhile it is
 * answered from outside, so that it can end, and with it what the thread waits for.
 *
 * Nothing may be done for the request in between that others could see.
 */

/** request_wait_begin() - what follows may take as long as the client likes */
void request_wait_begin(struct request *rq);

/**
 * request_wait_end() - and is over
 *
 * Return: false if the request has been answered: the handler ends without doing anything. It calls
 * request_done() as always, which then answers nobody.
 */
bool request_wait_end(struct request *rq);

/**
 * request_killed() - whether nobody wants the answer any more
 *
 * For long work to ask now and then. Costs nothing as long as the caller gets no signals.
 */
bool request_killed(struct request *rq);

/**
 * request_again() - have a request that was kept go on
 * @rq: from request_ops.keep; it has no thread now
 * @fn: called on a thread that counts against the client, as for a new request. With @stopping, when the daemon
 *      goes down: it may wait for nothing then, and answers
 *
 * Any thread. Return: false if the daemon is going down: the caller must end the matter itself.
 */
bool request_again(struct request *rq, void (*fn)(void *arg, bool stopping), void *arg);

/**
 * request_sleep() - the request waits for something that may never come, and its caller may be interrupted
 *
 * The handler returns, and has no thread; whoever has what is waited for answers, on any thread. If the caller gets a signal that
 * it handles, or that ends it, device.interrupted is called: also while the handler has not yet returned, so what that looks
 * for is to be there before that lock is released under which this is called.
 *
 * Return: the request, which is not to be looked at by its former address any more; NULL: no memory, and it is not answered.
 */
struct request *request_sleep(struct request *rq);

#endif /* CLIENT_REQUEST_H */
