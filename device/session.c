/* SPDX-License-Identifier: MIT */
/*
 * device/session.c - a CUSE device and the requests that come through it
 *
 * libfuse's low level parses requests and forms answers; reading, writing and threads are ours:
 *
 * - Custom io, so that the descriptor of /dev/cuse is ours to keep.
 * - Threads in a blocking read(2) on the one descriptor that CUSE has (its channel cannot be
 *   cloned): device/workers.c. libfuse's own pool ends its threads by pthread_cancel(), which can
 *   take a request along, and gives no place to register with RCU; and a client can hold all of it up.
 * - Whose request gets a thread is said by device/turns.c.
 * - FUSE_INTERRUPT, by which the kernel tells that a caller was sent a signal, is looked at before libfuse sees
 *   it. The driver's ioctls do not end early by a signal, so ours do not either: it only means that from
 *   now on it is asked, every few milliseconds, whether the caller has been killed. Such a caller waits in a sleep
 *   that nothing but our answer ends, and holds all that its process holds.
 *
 * Who answers a request? Its handler; but while that waits for the client (request_wait_begin()),
 * whoever finds that the caller was killed, and in its queue it is answered the same way. One word
 * decides between them (device/answer.h). A request that was answered so is done nothing for any more, and
 * its memory stays until its thread is through with it.
 *
 * A file handle is an id of device/turns.c, never a pointer.
 */
#define FUSE_USE_VERSION 314

#include "device/session.h"

#include <cuse_lowlevel.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "client/who.h"
#include "device/node.h"
#include "device/answer.h"

/* How long a thread that has nothing to do any more may take to notice, ms. */
#define NOTICE_MS 100

/*
 * struct receiver - one thread that serves a session
 * @unique:   number of the request in @buf
 * @running:  the one in hand; @answered by this thread
 */
struct receiver {
	struct session *s;
	struct fuse_buf buf;
	uint64_t unique;
	const struct session_request *running;
	bool answered;
};

static __thread struct receiver *me;

static struct session_request *to_session_request(struct request *rq)
{
	return (struct session_request *)rq;
}

/* --- answers ------------------------------------------------------------------------------------ */

/* What is left of a request that runs is seen to by run(). */
static void answered(struct session_request *sr)
{
	if (me && me->running == sr)
		me->answered = true;
	else
		answer_put(sr);
}

/*
 * A failed answer means that the kernel no longer knows the request (aborted): there is nobody to
 * tell, and libfuse has freed the handle.
 */
static void session_done(struct request *rq, int result, const void *out, size_t len)
{
	struct session_request *sr = to_session_request(rq);

	if (is_answered(sr))
		return;
	/* An error travels as a result too, so that output can go with it. */
	fuse_reply_ioctl(sr->req, result, out, len);
	answered(sr);
}

static void session_retry(struct request *rq, const struct iovec *in, size_t n_in,
			  const struct iovec *out, size_t n_out)
{
	struct session_request *sr = to_session_request(rq);

	if (is_answered(sr))
		return;
	fuse_reply_ioctl_retry(sr->req, in, n_in, out, n_out);
	answered(sr);
}

static bool session_waiting(struct request *rq)
{
	const struct session_request *sr = to_session_request(rq);

	return !is_answered(sr) && session_alive(sr->s);
}

/* It lies on the heap already. */
static struct request *session_keep(struct request *rq)
{
	return rq;
}

static void reply_err(struct fuse_req *req, int err)
{
	fuse_reply_err(req, err);
}

static void session_wait_begin(struct request *rq)
{
	swap_state(to_session_request(rq), STATE_OURS, STATE_WAITING);
}

static bool session_wait_end(struct request *rq)
{
	return swap_state(to_session_request(rq), STATE_WAITING, STATE_OURS);
}

static bool session_killed(struct request *rq)
{
	const struct session_request *sr = to_session_request(rq);

	return __atomic_load_n(&sr->turn.signal, __ATOMIC_RELAXED) && who_killed(rq->tid);
}

static bool session_again(struct request *rq, void (*fn)(void *arg, bool stopping), void *arg)
{
	struct session_request *sr = to_session_request(rq);
	struct session *s = sr->s;

	sr->fn = fn;
	sr->arg = arg;
	__atomic_add_fetch(&sr->refs, 1, __ATOMIC_RELAXED);
	if (!turns_again(s->turns, &sr->turn)) {
		__atomic_sub_fetch(&sr->refs, 1, __ATOMIC_RELAXED);
		return false;
	}
	workers_rouse(s->workers);
	return true;
}

static const struct request_ops session_request_ops = {
	.done = session_done,
	.retry = session_retry,
	.waiting = session_waiting,
	.keep = session_keep,
	.wait_begin = session_wait_begin,
	.wait_end = session_wait_end,
	.killed = session_killed,
	.again = session_again,
};

/* --- carrying them out -------------------------------------------------------------------------- */

static void run_release(struct session_request *sr)
{
	struct session *s = sr->s;

	s->dev->release(s->dev, sr->turn.fh);
	fuse_reply_err(sr->req, 0);
	turns_close(s->turns, sr->rq.fh);
	answered(sr);
}

/*
 * A run is over; @answered by it. As a rule nobody else has the request then. But what goes on may be answered
 * before the run that it was put off by has come to its end.
 */
static void leave(struct session *s, struct session_request *sr, bool answered)
{
	bool last = answered && __atomic_load_n(&sr->refs, __ATOMIC_ACQUIRE) == 2;

	turns_leave(s->turns, &sr->turn, last);
	if (last) {
		free(sr);
		return;
	}
	if (answered)
		answer_put(sr);
	answer_put(sr);
}

static void run(struct session_request *sr)
{
	struct session *s = sr->s;
	void (*fn)(void *arg, bool stopping) = sr->fn;

	me->running = sr;
	me->answered = false;
	sr->fn = NULL;
	if (fn) {
		fn(sr->arg, false);
	} else if (sr->release) {
		run_release(sr);
	} else {
		sr->rq.fh = sr->turn.fh;
		s->dev->ioctl(s->dev, &sr->rq);
	}
	me->running = NULL;
	leave(s, sr, me->answered);
}

/* What came with it is copied: it may have to wait, and the read buffer is used again. */
static struct session_request *new_request(fuse_req_t req, uint64_t id, const void *in, size_t len)
{
	struct session_request *sr = malloc(sizeof(*sr) + len);

	if (!sr)
		return NULL;
	memset(sr, 0, sizeof(*sr));
	if (len)
		memcpy(sr->in, in, len);
	sr->rq.in = sr->in;
	sr->rq.in_len = len;
	sr->turn.bytes = len;
	sr->rq.ops = &session_request_ops;
	sr->rq.fh = id;
	sr->req = req;
	sr->s = me->s;
	sr->refs = 2;
	sr->turn.unique = me->unique;
	return sr;
}

static void on_ioctl(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi,
		     unsigned int flags, const void *in, size_t in_len, size_t out_len)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct session *s = me->s;
	struct session_request *sr = s->draining ? NULL : new_request(req, fi->fh, in, in_len);
	enum turns_answer answer;

	if (!sr) {
		fuse_reply_err(req, s->draining ? ECONNABORTED : ENOMEM);
		return;
	}
	sr->rq.arg = (uintptr_t)arg;
	sr->rq.out_len = out_len;
	sr->rq.cmd = (uint32_t)cmd;
	sr->rq.tid = ctx->pid;
	sr->rq.uid = ctx->uid;
	sr->rq.compat = flags & FUSE_IOCTL_COMPAT;
	answer = turns_enter(s->turns, fi->fh, &sr->turn);
	if (answer == TURNS_RUN) {
		run(sr);
	} else if (answer != TURNS_QUEUE) {
		fuse_reply_err(req, answer == TURNS_GONE ? EBADF : ENOMEM);
		free(sr);
	}
}

static void on_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct session *s = me->s;
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	uid_t user = ctx->uid;
	const struct opener by = {
		.tid = ctx->pid, .uid = ctx->uid, .gid = ctx->gid, .user = &user
	};
	uint64_t fh = 0;
	int err = -ECONNABORTED;

	if (!s->draining)
		err = s->dev->open(s->dev, &by, fi->flags, &fh);
	if (!err) {
		fi->fh = turns_open(s->turns, user, fh);
		err = fi->fh ? 0 : -ENOMEM;
		if (err)
			s->dev->release(s->dev, fh);
	}
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	/* The client was interrupted and has no descriptor: no release will come. */
	if (fuse_reply_open(req, fi) == -ENOENT) {
		s->dev->release(s->dev, fh);
		turns_close(s->turns, fi->fh);
	}
}

/* It may take its time, and need not be done at once: nobody has the open any more. */
static void on_release(fuse_req_t req, struct fuse_file_info *fi)
{
	struct session *s = me->s;
	struct session_request *sr;
	enum turns_answer answer;

	/* There is nothing that could fail a release: it waits for memory as long as it takes. */
	while (!(sr = new_request(req, fi->fh, NULL, 0)))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	sr->release = true;
	sr->turn.sure = true;
	answer = turns_enter(s->turns, fi->fh, &sr->turn);
	if (answer == TURNS_RUN) {
		run(sr);
	} else if (answer == TURNS_GONE) {
		fuse_reply_err(req, 0);
		free(sr);
	}
}

/* docs/gntdev-abi.md, section 1: read and write are EINVAL (CUSE would say ENOSYS without a handler). */
static void on_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)size;
	(void)off;
	(void)fi;
	fuse_reply_err(req, EINVAL);
}

static void on_write(fuse_req_t req, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)buf;
	on_read(req, size, off, fi);
}

/* No poll: the kernel then answers poll(2) itself as it does for the driver, which has none. */
static const struct cuse_lowlevel_ops session_ops = {
	.open = on_open,
	.release = on_release,
	.read = on_read,
	.write = on_write,
	.ioctl = on_ioctl,
};

static ssize_t io_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)userdata;
	return writev(fd, iov, count);
}

static const struct fuse_custom_io session_io = {
	.read = io_read,
	.writev = io_writev,
};

bool session_alive(const struct session *s)
{
	struct pollfd p = { .fd = s->fd };

	/* fuse_dev_poll(): POLLERR once the connection is dead. */
	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL));
}

int session_fd(const struct session *s)
{
	return s->fd;
}

static struct fuse_session *new_fuse_session(struct session *s)
{
	char devname[NODE_NAME_MAX + 16];
	const char *info[] = { devname };
	struct cuse_info ci = {
		.dev_info_argc = 1,
		.dev_info_argv = info,
		.flags = CUSE_UNRESTRICTED_IOCTL,
	};
	char arg0[] = "cuse_gntdev";
	char *argv[] = { arg0, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *se;

	snprintf(devname, sizeof(devname), "DEVNAME=%s", s->dev->name);
	se = cuse_lowlevel_new(&args, &ci, &session_ops, s);
	fuse_opt_free_args(&args);
	return se;
}

/* The one CUSE_INIT request: answering it makes the node. */
static int init_device(struct session *s)
{
	struct fuse_buf buf = { .mem = NULL };
	int n = fuse_session_receive_buf(s->se, &buf);

	if (n > 0)
		fuse_session_process_buf(s->se, &buf);
	free(buf.mem);
	if (n <= 0)
		return n ? n : -ENODEV;
	return session_alive(s) ? 0 : -EEXIST;
}

/* Not to standard error, where a worker would wait for whoever reads that. */
static void log_of_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	log_by((int)level, fmt, ap);
}

int session_new(struct device *dev, unsigned int workers, struct session **out, char *why,
		size_t size)
{
	struct session *s;
	int err;

	s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	s->dev = dev;
	s->reply_err = reply_err;
	s->n_workers = workers;
	s->turns = turns_new();
	s->fd = node_open_cuse(why, size);
	if (s->fd < 0) {
		err = s->fd;
		session_destroy(s);
		return err;
	}
	fuse_set_log_func(log_of_fuse);
	s->se = new_fuse_session(s);
	err = s->se && s->turns ? fuse_session_custom_io(s->se, &session_io, s->fd) : -ENOMEM;
	if (!err)
		err = init_device(s);
	if (err) {
		snprintf(why, size,
			 "the kernel refused to make /dev/%s: %s (its log, dmesg, may say more)",
			 dev->name, strerror(-err));
		session_destroy(s);
		return err;
	}
	*out = s;
	return 0;
}

/* --- threads ------------------------------------------------------------------------------------ */

static void *receiver_begin(void *arg)
{
	me = calloc(1, sizeof(*me));
	if (me)
		me->s = arg;
	return me;
}

static void receiver_end(void *own)
{
	free(me->buf.mem);
	free(own);
	me = NULL;
}

static int receiver_receive(void *own)
{
	struct receiver *r = own;
	int n = fuse_session_receive_buf(r->s->se, &r->buf);

	if (n > 0)
		return 1;
	return n == -EINTR || n == -EAGAIN ? 0 : -1;
}

/* Libfuse has no more to do for it: there is no answer to it. */
static bool take_interrupt(struct receiver *r)
{
	const struct fuse_in_header *h = r->buf.mem;
	const struct fuse_interrupt_in *in = (const void *)(h + 1);

	r->unique = h->unique;
	if (h->opcode != FUSE_INTERRUPT || r->buf.size < sizeof(*h) + sizeof(*in))
		return false;
	turns_signal(r->s->turns, in->unique);
	return true;
}

static void receiver_handle(void *own)
{
	struct receiver *r = own;

	if (!take_interrupt(r))
		fuse_session_process_buf(r->s->se, &r->buf);
	else if (r->s->workers)
		workers_rouse(r->s->workers);
}

static bool receiver_next(void *own)
{
	struct session *s = ((struct receiver *)own)->s;
	struct turn *turn = turns_next(s->turns);

	if (!turn)
		return false;
	/* What has become free can be enough for two, and this one may take long. */
	if (turns_waiting(s->turns) && turns_may_next(s->turns))
		workers_rouse(s->workers);
	run(of_turn(turn));
	return true;
}

static bool session_tick(void *arg, bool *next)
{
	struct session *s = arg;
	bool left = answer_killed(s);

	*next = turns_waiting(s->turns) && turns_may_next(s->turns);
	return left || turns_waiting(s->turns);
}

static const struct workers_ops session_workers_ops = {
	.begin = receiver_begin,
	.receive = receiver_receive,
	.handle = receiver_handle,
	.next = receiver_next,
	.tick = session_tick,
	.end = receiver_end,
};

int session_start(struct session *s)
{
	return workers_new(&session_workers_ops, s, s->n_workers, &s->workers);
}

bool session_serves(struct session *s)
{
	return workers_serve(s->workers);
}

void session_counts(const struct session *s, struct session_counts *c)
{
	*c = (struct session_counts){ .waiting = node_waiting(s->dev->name) };
	if (s->workers)
		workers_counts(s->workers, &c->workers, &c->busy);
}

/* --- the end ------------------------------------------------------------------------------------ */

static bool is_asked(const struct session *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && p.revents & POLLIN;
}

/* What clients have asked and no worker has read: refuse it, so that nobody is left waiting. */
static void drain(struct session *s)
{
	int flags = fcntl(s->fd, F_GETFL);
	int n = 0;

	s->draining = true;
	if (flags < 0 || fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) < 0 || !receiver_begin(s))
		return;
	while (n >= 0 && is_asked(s)) {
		n = receiver_receive(me);
		if (n > 0)
			receiver_handle(me);
	}
	receiver_end(me);
}

static enum session_end end_workers(struct session *s, unsigned int ms)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	workers_stop(s->workers);
	turns_shut(s->turns);
	for (unsigned int waited = 0;; waited += 2) {
		unsigned int acting = answer_all(s);

		if (!workers_join(s->workers)) {
			/* What was put off by a run that has ended since. */
			answer_all(s);
			return SESSION_ENDED;
		}
		if (!acting && waited >= NOTICE_MS)
			return SESSION_LEFT;
		if (waited >= ms)
			return SESSION_STUCK;
		nanosleep(&pause, NULL);
	}
}

enum session_end session_stop(struct session *s, unsigned int ms)
{
	enum session_end end = s->workers ? end_workers(s, ms) : SESSION_ENDED;

	drain(s);
	return end;
}

void session_destroy(struct session *s)
{
	/* fuse_session_destroy() closes the descriptor it was given. */
	if (s->se && fuse_session_fd(s->se) == s->fd)
		s->fd = -1;
	if (s->se)
		fuse_session_destroy(s->se);
	if (s->fd >= 0)
		close(s->fd);
	workers_destroy(s->workers);
	turns_destroy(s->turns);
	free(s);
}
