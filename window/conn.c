/* SPDX-License-Identifier: MIT */
/*
 * window/conn.c - one connection of a window server
 *
 * A connection goes through these states, each with an end that does not depend on the client:
 *
 *   ASKING     until its request has come, at most WINSOCK_TIMEOUT_MS; if slots are wanted as LEAVING
 *   CALLED     the device has the call: no time limit, the device answers each
 *   ANSWERING  messages are being sent, as fast as the client takes them
 *   LEAVING    all was sent; until the client has taken it or gone, but if slots are wanted
 *              at most GRACE_MS, and HASTE_MS for a user who has more of them than all others
 *
 * LEAVING is there for window_delivered(): a rescan must not take a window for abandoned whose
 * descriptor is on its way in the socket. Whether it has arrived is asked of the kernel: SIOCOUTQ
 * counts what the peer has not received. (An end of file says less: a client can shut down its
 * sending side.) If its slot is wanted before that the connection is closed, but not reported as
 * delivered: the client may still take the descriptor from its queue, at any time later. The window
 * ends when the client's socket is closed, like any other; only a rescan will not judge it.
 */
#include "window/conn.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wake.h"
#include "window/window.h"

int winconn_arm(struct conn *c, uint32_t events)
{
	int op = c->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	c->polled = true;
	return winplace_arm(c->ws, op, c->fd, events, (uint64_t)(c - c->ws->conn));
}

void winconn_init(struct conn *c, int fd, bool adopted)
{
	c->fd = fd;
	c->state = adopted ? CONN_CALLED : CONN_ASKING;
	c->since = clock_coarse_ms();
	c->reply.fd = -1;
	c->adopted = adopted;
	c->polled = false;
}

/* --- the end of a connection (all called with its lock) ------------------------------------- */

/*
 * What the client has sent and nobody has read goes with it: there may be descriptors in it whose end takes as
 * long as the client likes (a TCP socket that lingers), until a signal comes. It is closed by whoever has to, also by
 * threads that winsock_relieve() does not know.
 */
static void close_socket(const struct conn *c)
{
	if (!c->adopted)
		wake_often(true);
	close(c->fd);
	if (!c->adopted)
		wake_often(false);
}

void winconn_free(struct conn *c)
{
	struct winsock *ws = c->ws;

	/* If the client has a copy of the descriptor closing ours does not make epoll forget it. */
	if (c->adopted && c->polled)
		epoll_ctl(ws->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	close_socket(c);
	winreply_free(&c->reply);
	c->fd = -1;
	c->state = CONN_FREE;
	winplace_give(c);
}

void winconn_leave(struct conn *c, bool evict)
{
	int unread = 1;

	if (!ioctl(c->fd, SIOCOUTQ, &unread) && !unread)
		window_delivered(c->ws->windows, c->window, c->call.pid);
	else if (!evict)
		return;
	winconn_free(c);
}

void winconn_drop_window(struct conn *c)
{
	close(c->reply.fd);
	c->reply.fd = -1;
	/* Nobody has it: as if it had been delivered to us. */
	window_delivered(c->ws->windows, c->window, getpid());
}

/* The answer cannot be sent, or not all of it. */
static void conn_fail(struct conn *c)
{
	if (c->reply.fd >= 0) {
		winconn_drop_window(c);
		winconn_free(c);
	} else {
		/* What was sent may still be on its way out of a queue that is being closed. */
		c->state = CONN_LEAVING;
		winconn_leave(c, clock_coarse_ms() - c->since >= WINSOCK_TIMEOUT_MS);
	}
}

/* --- answers (all called with the connection's lock) ----------------------------------------- */

void winconn_answer(struct conn *c)
{
	int err;

	if (c->reply.fd >= 0)
		window_sending(c->ws->windows, c->window, c->call.pid);
	err = winreply_send(&c->reply, c->fd);
	if (!err) {
		window_sent(c->ws->windows, c->window);
		c->state = CONN_LEAVING;
		/* An adopted one is about to be received: the sweep sees to it. */
		if (c->polled || !c->adopted)
			err = winconn_arm(c, EPOLLIN);
	} else if (err == -EAGAIN) {
		err = winconn_arm(c, EPOLLOUT);
	}
	if (err)
		conn_fail(c);
}

/* The message waits in the client's queue, if the client is still there: nothing to wait for. */
void winconn_refuse(struct conn *c, int error)
{
	winreply_refuse(c->fd, error);
	winconn_free(c);
}

/* Return: the connection of a call that is being answered, locked. */
static struct conn *answer(struct mmap_call *mc)
{
	struct conn *c = (struct conn *)((char *)mc - offsetof(struct conn, call));

	pthread_mutex_lock(&c->lock);
	if (c->state != CONN_CALLED)
		log_abort("an mmap call was answered twice");
	return c;
}

void mmap_call_refuse(struct mmap_call *mc, int error)
{
	struct conn *c = answer(mc);

	winconn_refuse(c, error);
	pthread_mutex_unlock(&c->lock);
}

void mmap_call_grant(struct mmap_call *mc, int fd, uint64_t window, const struct hv_grant *g,
		     size_t n, enum hv_pages kind)
{
	struct conn *c = answer(mc);

	c->window = window;
	c->since = clock_coarse_ms();
	if (!winreply_new(&c->reply, fd, g, n, kind)) {
		c->state = CONN_ANSWERING;
		winplace_sweep_later(c->ws);
		winconn_answer(c);
	} else {
		winconn_drop_window(c);
		winconn_refuse(c, ENOMEM);
	}
	pthread_mutex_unlock(&c->lock);
}

/* --- requests and time limits ------------------------------------------------------------------- */

/*
 * There is no room for control data: the kernel closes descriptors that come with it, see close_socket(). To look
 * first costs less than to be interrupted each time.
 */
static ssize_t receive(const struct conn *c, struct msghdr *msg)
{
	ssize_t n = recvmsg(c->fd, msg, MSG_DONTWAIT | MSG_PEEK);
	bool more = n >= 0 && msg->msg_flags & MSG_CTRUNC;

	if (n < 0)
		return n;
	if (more)
		wake_often(true);
	n = recvmsg(c->fd, msg, MSG_DONTWAIT);
	if (more)
		wake_often(false);
	return n;
}

bool winconn_ask(struct conn *c)
{
	/* One byte more, so that a longer request shows. */
	union {
		struct window_request rq;
		char buf[sizeof(struct window_request) + 1];
	} in;
	struct iovec iov = { .iov_base = &in, .iov_len = sizeof(in.buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = receive(c, &msg);
	enum failure_reason why = WHY_WINDOW_REQUEST;
	int error;

	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !winconn_arm(c, EPOLLIN))
		return false;
	if (n <= 0) {
		winconn_free(c);
		return false;
	}
	error = (msg.msg_flags & MSG_CTRUNC) ? EINVAL : winreply_check(&in.rq, (size_t)n, &why);
	if (error)
		winreply_tell(c->call.pid, c->call.uid, error, why);
	else if (!winplace_begin_call(c->ws))
		error = ENODEV;
	if (error) {
		winconn_refuse(c, error);
		return false;
	}
	c->call.rq = in.rq;
	c->call.again = in.rq.again;
	c->state = CONN_CALLED;
	return true;
}

/* ASKING for that long, and not only because nobody had the time to take its request. */
static bool is_silent(const struct conn *c, int64_t age, int64_t limit)
{
	char byte;

	return c->state == CONN_ASKING && age >= limit &&
	       recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

bool winconn_sweep(struct conn *c, uint64_t now, bool paused)
{
	/* Less than nothing if it began after the sweep. */
	int64_t age = (int64_t)(now - c->since);

	if (is_silent(c, age, paused ? GRACE_MS : WINSOCK_TIMEOUT_MS))
		winconn_free(c);
	else if (c->state == CONN_ANSWERING && age >= WINSOCK_TIMEOUT_MS)
		conn_fail(c);
	else if (c->state == CONN_LEAVING)
		winconn_leave(c, paused && age >= GRACE_MS);
	return c->state != CONN_FREE && c->state != CONN_CALLED;
}

static void refuse_waiting(struct conn *c)
{
	winplace_end_call(c->ws);
	winreply_tell(c->call.pid, c->call.uid, ENOMEM, WHY_NO_PLACE);
	winconn_refuse(c, ENOMEM);
}

bool winconn_evict(struct conn *c, uint64_t now, bool waiting)
{
	int64_t age = (int64_t)(now - c->since);

	if (is_silent(c, age, HASTE_MS))
		winconn_free(c);
	else if (c->state == CONN_ANSWERING && age >= GRACE_MS)
		conn_fail(c);
	else if (waiting && c->state == CONN_CALLED && winplace_cancel(c->ws, c))
		refuse_waiting(c);
	/* Also what was ANSWERING just now. */
	if (c->state == CONN_LEAVING)
		winconn_leave(c, age >= HASTE_MS);
	return c->state == CONN_FREE;
}
