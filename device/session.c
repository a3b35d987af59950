/* SPDX-License-Identifier: MIT */
/*
 * device/session.c - a CUSE device and the requests that come through it
 *
 * libfuse's low level parses requests and forms answers; reading, writing and threads are ours:
 *
 * - Custom io, so that the descriptor of /dev/cuse is ours to keep, and requests and answers outlive us:
 *   device/channel.c receives and answers, from slots in lasting memory. What a predecessor had in hand is carried out
 *   again, or given up if daemons have died of it: device/left.c.
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
 * A file handle is the device's, which a successor knows as well.
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
#include <unistd.h>

#include "base/log.h"
#include "client/who.h"
#include "device/answer.h"
#include "device/node.h"
#include "device/receiver.h"
#include "report/failure.h"
#include "state/state.h"

/* That of the request which this thread has libfuse take apart, or answer. */
static __thread struct slot *answering;

static struct session_request *to_session_request(struct request *rq)
{
	return (struct session_request *)rq;
}

/* --- answers ------------------------------------------------------------------------------------ */

/* What libfuse writes is the answer to the request in @slot now. Return: what it was before. */
static struct slot *answer_in(struct slot *slot)
{
	struct slot *before = answering;

	answering = slot;
	return before;
}

/*
 * A failed answer means that the kernel no longer knows the request (aborted): there is nobody to
 * tell, and libfuse has freed the handle.
 */
static void reply(const struct session_request *sr, int result, const void *out, size_t len)
{
	if (sr->rq.kind == REQUEST_IOCTL)
		/* An error travels as a result too, so that output can go with it. */
		fuse_reply_ioctl(sr->req, result, out, len);
	else if (result < 0)
		fuse_reply_err(sr->req, -result);
	else if (sr->rq.kind == REQUEST_READ)
		fuse_reply_buf(sr->req, out, len);
	else if (sr->rq.kind == REQUEST_WRITE)
		fuse_reply_write(sr->req, (size_t)result);
	else
		fuse_reply_poll(sr->req, (unsigned int)result);
}

static void session_done(struct request *rq, int result, const void *out, size_t len)
{
	struct session_request *sr = to_session_request(rq);
	struct slot *before;

	if (is_answered(sr))
		return;
	before = answer_in(sr->slot);
	reply(sr, result, out, len);
	answering = before;
	receiver_answered(sr);
}

static void session_retry(struct request *rq, const struct iovec *in, size_t n_in,
			  const struct iovec *out, size_t n_out)
{
	struct session_request *sr = to_session_request(rq);
	struct slot *before;

	if (is_answered(sr))
		return;
	before = answer_in(sr->slot);
	fuse_reply_ioctl_retry(sr->req, in, n_in, out, n_out);
	answering = before;
	receiver_answered(sr);
}

static bool session_waiting(struct request *rq)
{
	const struct session_request *sr = to_session_request(rq);

	return !is_answered(sr) && session_alive(sr->s);
}

/* It lies on the heap, and has its slot. */
static struct request *session_keep(struct request *rq)
{
	slot_run(to_session_request(rq)->slot, false);
	return rq;
}

static void reply_err(struct session_request *sr, int err)
{
	struct slot *before = answer_in(sr->slot);

	fuse_reply_err(sr->req, err);
	answering = before;
}

static void process(struct session *s, struct slot *slot)
{
	const struct fuse_buf buf = { .mem = slot_request(s->ch.slots, slot, 0),
				      .size = slot->request_len };

	answer_in(slot);
	fuse_session_process_buf(s->se, &buf);
	answering = NULL;
}

static void session_wait_begin(struct request *rq)
{
	struct session_request *sr = to_session_request(rq);

	slot_run(sr->slot, false);
	swap_state(sr, STATE_OURS, STATE_WAITING);
}

static bool session_wait_end(struct request *rq)
{
	struct session_request *sr = to_session_request(rq);
	bool ours = swap_state(sr, STATE_WAITING, STATE_OURS);

	if (ours)
		slot_run(sr->slot, true);
	return ours;
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

/* A signal may have come before. */
static struct request *session_sleep(struct request *rq)
{
	struct session_request *sr = to_session_request(rq);

	slot_run(sr->slot, false);
	__atomic_store_n(&sr->sleeps, true, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&sr->turn.signal, __ATOMIC_SEQ_CST))
		workers_rouse(sr->s->workers);
	return rq;
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
	.sleep = session_sleep,
};

/* --- libfuse's calls ---------------------------------------------------------------------------- */

/* Its user has too many in hand. */
static void tell_full(const struct session *s, const struct request *rq)
{
	struct failure f = failure_of(WHY_TOO_MANY_REQUESTS, TRACE_OTHER_IOCTL, rq->tid, ENOMEM);

	f.uid = rq->uid;
	failure_report(&f, "%s: %s: %s (ENOMEM)", s->dev->name,
		       rq->kind == REQUEST_IOCTL ? "an ioctl" : "read, write or poll",
		       failure_reason_cause(f.why));
}

/* Make a request of what this thread has received. Return: NULL: it has been refused. */
static struct session_request *new_request(fuse_req_t req, const struct fuse_file_info *fi,
					   enum request_kind kind)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct session *s = receiver_me->s;
	struct session_request *sr =
		s->draining ? NULL : receiver_request(&session_request_ops, req, fi->fh);

	if (!sr) {
		fuse_reply_err(req, s->draining ? ECONNABORTED : ENOMEM);
		return NULL;
	}
	/* Short or long: an area is an area. */
	sr->turn.bytes = sr->slot->areas[0] ? SLOT_AREA_BYTES : 0;
	sr->rq.kind = kind;
	sr->rq.tid = ctx->pid;
	sr->rq.uid = ctx->uid;
	return sr;
}

static void enter(struct session_request *sr)
{
	enum turns_answer answer = turns_enter(sr->s->turns, sr->rq.fh, &sr->turn);

	if (answer == TURNS_RUN) {
		receiver_run(sr);
	} else if (answer != TURNS_QUEUE) {
		if (answer == TURNS_FULL)
			tell_full(sr->s, &sr->rq);
		receiver_refuse(sr, answer == TURNS_GONE ? EBADF : ENOMEM);
	}
}

static void on_ioctl(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi,
		     unsigned int flags, const void *in, size_t in_len, size_t out_len)
{
	struct session_request *sr = new_request(req, fi, REQUEST_IOCTL);

	if (!sr)
		return;
	sr->rq.arg = (uintptr_t)arg;
	/* It lies in the slot, as long as that is the request's. */
	sr->rq.in = in;
	sr->rq.in_len = in_len;
	sr->rq.out_len = out_len;
	sr->rq.cmd = (uint32_t)cmd;
	sr->rq.compat = flags & FUSE_IOCTL_COMPAT;
	enter(sr);
}

static void on_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct session *s = receiver_me->s;
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	uid_t user = ctx->uid;
	const struct opener by = {
		.tid = ctx->pid,
		.uid = ctx->uid,
		.gid = ctx->gid,
		.unique = receiver_me->unique,
		.again = receiver_me->again,
		.user = &user,
	};
	uint64_t fh = 0;
	int err = -ECONNABORTED;

	if (!s->draining)
		err = s->dev->open(s->dev, &by, fi->flags, &fh);
	if (!err) {
		err = turns_open(s->turns, user, fh);
		if (err)
			s->dev->release(s->dev, fh);
	}
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fi->fh = fh;
	/* The client was interrupted and has no descriptor: no release will come. */
	if (fuse_reply_open(req, fi) == -ENOENT) {
		turns_close(s->turns, fh);
		s->dev->release(s->dev, fh);
	}
}

/* It may take its time, and need not be done at once: nobody has the open any more. */
static void on_release(fuse_req_t req, struct fuse_file_info *fi)
{
	struct session *s = receiver_me->s;
	struct session_request *sr;
	enum turns_answer answer;

	/* There is nothing that could fail a release: it waits for memory as long as it takes. */
	while (!(sr = receiver_request(&session_request_ops, req, fi->fh)))
		channel_wait_for_memory(&s->ch);
	sr->release = true;
	sr->turn.sure = true;
	answer = turns_enter(s->turns, fi->fh, &sr->turn);
	if (answer == TURNS_RUN) {
		receiver_run(sr);
	} else if (answer == TURNS_GONE) {
		receiver_refuse(sr, 0);
	}
}

static void on_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct session_request *sr = new_request(req, fi, REQUEST_READ);

	(void)off;
	if (!sr)
		return;
	sr->rq.out_len = size;
	sr->rq.nonblock = fi->flags & O_NONBLOCK;
	enter(sr);
}

static void on_write(fuse_req_t req, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct session_request *sr = new_request(req, fi, REQUEST_WRITE);

	(void)off;
	if (!sr)
		return;
	sr->rq.in = buf;
	sr->rq.in_len = size;
	enter(sr);
}

/* What libfuse makes of the kernel's number is not needed: whom to wake has to outlast it. */
static void on_poll(fuse_req_t req, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	struct session_request *sr = new_request(req, fi, REQUEST_POLL);
	struct {
		struct fuse_in_header h;
		struct fuse_poll_in in;
	} asked;

	if (sr && ph) {
		memcpy(&asked, slot_request(sr->s->ch.slots, sr->slot, 0), sizeof(asked));
		sr->rq.wake = asked.in.kh;
	}
	if (ph)
		fuse_pollhandle_destroy(ph);
	if (sr)
		enter(sr);
}

/* docs/gntdev-abi.md, section 1: read and write are EINVAL (CUSE would say ENOSYS without a handler). */
static void no_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)size;
	(void)off;
	(void)fi;
	fuse_reply_err(req, EINVAL);
}

static void no_write(fuse_req_t req, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)buf;
	no_read(req, size, off, fi);
}

/* What a client could write at once is not more than a pipe takes. */
static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	const struct session *s = userdata;

	conn->max_write = s->dev->write_max ? (unsigned int)s->dev->write_max : SLOT_PAGE;
}

/* No poll: the kernel then answers poll(2) itself as it does for the driver, which has none. */
static const struct cuse_lowlevel_ops session_ops = {
	.init = on_init,
	.open = on_open,
	.release = on_release,
	.read = no_read,
	.write = no_write,
	.ioctl = on_ioctl,
};

static const struct cuse_lowlevel_ops session_stream_ops = {
	.init = on_init,
	.open = on_open,
	.release = on_release,
	.read = on_read,
	.write = on_write,
	.ioctl = on_ioctl,
	.poll = on_poll,
};

/* libfuse wants one, and does not use it: requests are received by device/channel.c. */
static ssize_t io_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

/* Only that of the CUSE_INIT request has no slot. */
static ssize_t io_writev(int fd, struct iovec *iov, int n, void *userdata)
{
	ssize_t sent;

	if (!answering)
		return writev(fd, iov, n);
	sent = answer_slot(userdata, answering, iov, n);
	if (sent < 0)
		errno = (int)-sent;
	return sent < 0 ? -1 : sent;
}

static const struct fuse_custom_io session_io = {
	.read = io_read,
	.writev = io_writev,
};

bool session_alive(const struct session *s)
{
	struct pollfd p = { .fd = s->ch.fd };

	/* fuse_dev_poll(): POLLERR once the connection is dead. */
	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL));
}

int session_fd(const struct session *s)
{
	return s->ch.fd;
}

/* For device.wake: to whoever polls, or has, the kernel says what is there now. It knows when nobody does. */
static void session_wake(void *session, uint64_t whom)
{
	const struct session *s = session;
	const struct {
		struct fuse_out_header h;
		struct fuse_notify_poll_wakeup_out out;
	} wake = { .h = { .len = sizeof(wake), .error = FUSE_NOTIFY_POLL }, .out = { .kh = whom } };

	if (write(s->ch.fd, &wake, sizeof(wake)) < 0 && errno != ENODEV)
		log_err("/dev/%s: cannot wake who polls: %s", s->dev->name, strerror(errno));
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
	se = cuse_lowlevel_new(&args, &ci, s->dev->read ? &session_stream_ops : &session_ops, s);
	fuse_opt_free_args(&args);
	return se;
}

/* What the kernel says first. Return: 0 or -errno */
static int receive_init(const struct session *s, struct state_init *init)
{
	/* It gives nothing to who could not take any other request. */
	unsigned char buf[FUSE_MIN_READ_BUFFER];
	ssize_t n = read(s->ch.fd, buf, sizeof(buf));

	if (n < 0)
		return -errno;
	if (!n || n > STATE_INIT_BYTES)
		return -EPROTO;
	memcpy(init->bytes, buf, (size_t)n);
	__atomic_store_n(&init->len, (uint32_t)n, __ATOMIC_RELEASE);
	return 0;
}

/*
 * The one CUSE_INIT request: answering it makes the node. To a second answer the kernel says that it knows no such request. A
 * predecessor that has left anything has received it.
 */
static int init_device(struct session *s, struct state_init *init, bool adopting)
{
	int err = init->len ? 0 : adopting ? -EINVAL : receive_init(s, init);
	struct fuse_buf buf = { .mem = init->bytes, .size = init->len };

	if (err)
		return err;
	if (init->len > STATE_INIT_BYTES)
		return -EINVAL;
	fuse_session_process_buf(s->se, &buf);
	return session_alive(s) ? 0 : -EEXIST;
}

/* Not to standard error, where a worker would wait for whoever reads that. */
static void log_of_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	log_by((int)level, fmt, ap);
}

/* With a channel: make the node, or say again what was said when it was made. */
static int begin(struct session *s, const struct session_config *c, bool adopting)
{
	struct state_init own = { 0 };
	int err = -ENOMEM;

	fuse_set_log_func(log_of_fuse);
	s->se = new_fuse_session(s);
	s->turns = turns_new();
	if (s->se && s->turns)
		err = fuse_session_custom_io(s->se, &session_io, s->ch.fd);
	return err ? err : init_device(s, c->state ? &c->state->init[c->number] : &own, adopting);
}

static int make(struct session *s, const struct session_config *c, char *why, size_t size)
{
	int err;

	s->ch.fd = node_open_cuse(why, size);
	if (s->ch.fd < 0)
		return s->ch.fd;
	err = channel_new(&s->ch);
	if (err) {
		snprintf(why, size, "no place for requests of /dev/%s: %s", c->dev->name,
			 strerror(-err));
		return err;
	}
	err = begin(s, c, false);
	if (err)
		snprintf(why, size,
			 "the kernel refused to make /dev/%s: %s (its log, dmesg, may say more)",
			 c->dev->name, strerror(-err));
	return err;
}

static int adopt(struct session *s, const struct session_config *c, int err, char *why, size_t size)
{
	if (!err)
		err = left_new(&s->left, s->ch.slots);
	if (!err)
		err = begin(s, c, true);
	if (err)
		snprintf(why, size, "cannot go on with /dev/%s where the last daemon ended: %s",
			 c->dev->name,
			 err == -EINVAL ? "what it has left of requests is damaged"
					: strerror(-err));
	return err;
}

int session_new(const struct session_config *c, struct session **out, char *why, size_t size)
{
	struct session *s = calloc(1, sizeof(*s));
	int err = -ENOENT;

	if (!s) {
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	s->dev = c->dev;
	s->dev->session = s;
	s->dev->wake = session_wake;
	s->reply_err = reply_err;
	s->process = process;
	s->n_workers = c->workers;
	s->state = c->state;
	s->ch.fd = -1;
	s->ch.name = c->dev->name;
	s->ch.number = c->number;
	s->ch.lent = c->lent;
	if (c->lent)
		err = channel_adopt(&s->ch);
	if (err == -ENOENT)
		err = make(s, c, why, size);
	else
		err = adopt(s, c, err, why, size);
	if (err)
		session_destroy(s);
	else
		*out = s;
	return err;
}

size_t session_in_hand(const struct session *s, const uint64_t **unique)
{
	*unique = s->left.unique;
	return s->left.n;
}

bool session_given_up(const struct session *s, uint64_t unique, uint64_t fh)
{
	return left_given_up(&s->left, unique, fh);
}

int session_opened(struct session *s, uid_t user, uint64_t fh)
{
	return turns_open(s->turns, user, fh);
}

/* --- threads ------------------------------------------------------------------------------------ */

int session_start(struct session *s)
{
	receiver_give_up(s);
	receiver_note_crashes();
	return workers_new(&receiver_ops, s, s->n_workers, &s->workers);
}

bool session_serves(struct session *s)
{
	return workers_serve(s->workers);
}

void session_counts(const struct session *s, struct session_counts *c)
{
	*c = (struct session_counts){ .waiting = node_waiting(s->dev->name),
				      .memory_waits =
					      __atomic_load_n(&s->ch.waits, __ATOMIC_RELAXED) };
	if (s->workers)
		workers_counts(s->workers, &c->workers, &c->busy);
}

/* --- the end: device/stop.c ---------------------------------------------------------------------- */

void session_destroy(struct session *s)
{
	/* fuse_session_destroy() closes the descriptor it was given. */
	if (s->se && fuse_session_fd(s->se) == s->ch.fd)
		s->ch.fd = -1;
	if (s->se)
		fuse_session_destroy(s->se);
	workers_destroy(s->workers);
	left_free(&s->left);
	channel_close(&s->ch);
	turns_destroy(s->turns);
	free(s);
}
