/* SPDX-License-Identifier: MIT */
/*
 * window/socket.c - the window socket: answers the mmaps of preloaded clients
 *
 * A connection goes through these states, each with an end that does not depend on the client:
 *
 *   ASKING     until its request has come, at most WINSOCK_TIMEOUT_MS
 *   CALLED     the device has the call: no time limit, the device answers each
 *   ANSWERING  messages are being sent, as fast as the client takes them
 *   LEAVING    all was sent; until the client has taken it or gone, but if slots are wanted together
 *              with ANSWERING at most WINSOCK_TIMEOUT_MS
 *
 * LEAVING is there for window_delivered(): a rescan must not take a window for abandoned whose
 * descriptor is on its way in the socket. Whether it has arrived is asked of the kernel: SIOCOUTQ
 * counts what the peer has not received. (An end of file says less: a client can shut down its
 * sending side.) If its slot is wanted before that the connection is closed, but not reported as
 * delivered: the client may still take the descriptor from its queue, at any time later. The window
 * ends when the client's socket is closed, like any other; only a rescan will not judge it.
 *
 * Connections are slots in an array, never freed while the server runs. What epoll reports is slot
 * and generation, so an event that comes late, when its slot is another's already, is seen as such.
 * Every descriptor is armed for one event (EPOLLONESHOT), so one thread at a time works for a
 * connection, and none while the device has the call.
 *
 * If all slots are taken no more connections are accepted: others wait in the socket's queue. Who
 * has connected and said nothing for GRACE_MS loses its slot then: a preload object sends its
 * request at once.
 *
 * winsock_adopt() brings clients that did not connect. They are in the device's hands at once, and a
 * connection like any other from there on; but nothing is to be heard from them, and as long as their
 * queue takes the answer whole epoll need not know of them.
 *
 * Locks: a connection's lock, then the server's. The device is called with neither.
 */
#include "window/socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "report/failure.h"
#include "base/log.h"
#include "table.h"
#include "base/wake.h"
#include "window/window.h"
#include "window/listen.h"
#include "window/reply.h"

#define CONNS	 512
#define THREADS	 2
#define GRACE_MS 100
/* How often time limits are looked at while there are connections. */
#define SWEEP_MS 100
/* And after how many that came without a connection: these have all been taken long ago, as a rule. */
#define SWEEP_ADOPTED 128

/* What epoll reports beside connections, in the place of a slot. */
enum {
	EVENT_LISTEN = CONNS,
	EVENT_SWEEP,
	EVENT_STOP,
};

enum conn_state {
	CONN_FREE,
	CONN_ASKING,
	CONN_CALLED,
	CONN_ANSWERING,
	CONN_LEAVING,
};

/**
 * struct conn - a connection
 * @lock:      protects the rest, but for @call while the state is CONN_CALLED: it is the device's
 * @next:      on the list of free slots (the server's lock)
 * @gen:       generation of the slot
 * @since:     when it connected, or was answered; ms
 * @window:    id of the window, once there is one
 * @reply:     what is sent of it
 * @adopted:   its socket came from the client (winsock_adopt())
 * @polled:    epoll knows it: not so for adopted ones whose answer fits the socket's queue
 */
struct conn {
	pthread_mutex_t lock;
	struct winsock *ws;
	struct conn *next;
	enum conn_state state;
	uint32_t gen;
	int fd;
	uint64_t since;
	struct mmap_call call;
	uint64_t window;
	struct winreply reply;
	bool adopted;
	bool polled;
};

/**
 * struct server - one of its threads
 * @turn: odd while it works for a connection (atomic), changed each time; not in the device's hands
 * @seen: what winsock_relieve() saw last
 */
struct server {
	struct winsock *ws;
	pthread_t thread;
	unsigned int turn;
	unsigned int seen;
};

/**
 * struct winsock - a server
 * @lock:     protects what follows
 * @free, @free_end: slots, the longest free first; @used: how many are not
 * @paused:   not listening for want of a slot or descriptor
 * @stopping: take no more connections and calls
 * @calls:    threads that are in @mmap; @idle is signalled when there are none
 * @adopted:  how many winsock_adopt() has served
 * @sweeping: the timer is running (atomic)
 * @running:  threads that have not ended (atomic)
 */
struct winsock {
	struct windows *windows;
	void (*mmap)(struct mmap_call *mc, void *arg);
	void *arg;
	struct winlisten listen;
	int epoll;
	int timer;
	int stop;
	unsigned int started;
	unsigned int running;
	struct server server[THREADS];
	bool sweeping;

	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct conn *free;
	struct conn **free_end;
	unsigned int used;
	bool paused;
	bool stopping;
	unsigned int calls;
	unsigned int adopted;

	struct conn conn[CONNS];
};

static void tell_no_accept(int error)
{
	struct failure f = failure_of(FAILURE_SYSTEM, TRACE_MMAP, 0, error);

	failure_report(&f, "cannot accept window connections: %s", strerror(error));
}

/* A clock that is read without a system call everywhere, also under Xen; it lags by a tick. */
static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int arm(struct winsock *ws, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events | EPOLLONESHOT, .data.u64 = data };

	return epoll_ctl(ws->epoll, op, fd, &ev) ? -errno : 0;
}

static int arm_conn(struct conn *c, uint32_t events)
{
	int op = c->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	c->polled = true;
	return arm(c->ws, op, c->fd, events, (uint64_t)c->gen << 32 | (uint64_t)(c - c->ws->conn));
}

static void sweep_in(struct winsock *ws, long ns)
{
	struct itimerspec in = { .it_value.tv_nsec = ns };

	timerfd_settime(ws->timer, 0, &in, NULL);
}

static void sweep_later(struct winsock *ws)
{
	if (!__atomic_exchange_n(&ws->sweeping, true, __ATOMIC_SEQ_CST))
		sweep_in(ws, SWEEP_MS * 1000000L);
}

/* Called with the server's lock. */
static void resume(struct winsock *ws)
{
	if (!ws->paused || ws->stopping)
		return;
	ws->paused = false;
	arm(ws, EPOLL_CTL_MOD, ws->listen.fd, EPOLLIN, EVENT_LISTEN);
}

/* --- the end of a connection (all called with its lock) ------------------------------------- */

static void conn_free(struct conn *c)
{
	struct winsock *ws = c->ws;

	/* If the client has a copy of the descriptor closing ours does not make epoll forget it. */
	if (c->adopted && c->polled)
		epoll_ctl(ws->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	winreply_free(&c->reply);
	c->fd = -1;
	c->state = CONN_FREE;
	c->gen++;
	c->next = NULL;
	pthread_mutex_lock(&ws->lock);
	*ws->free_end = c;
	ws->free_end = &c->next;
	ws->used--;
	resume(ws);
	pthread_mutex_unlock(&ws->lock);
}

/* LEAVING: end the connection if all has arrived, or if @evict. */
static void conn_leave(struct conn *c, bool evict)
{
	int unread = 1;

	if (!ioctl(c->fd, SIOCOUTQ, &unread) && !unread)
		window_delivered(c->ws->windows, c->window, c->call.pid);
	else if (!evict)
		return;
	conn_free(c);
}

/* No message of the answer has been sent: the window ends here. */
static void drop_window(struct conn *c)
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
		drop_window(c);
		conn_free(c);
	} else {
		/* What was sent may still be on its way out of a queue that is being closed. */
		c->state = CONN_LEAVING;
		conn_leave(c, now_ms() - c->since >= WINSOCK_TIMEOUT_MS);
	}
}

/* --- answers (all called with the connection's lock) ----------------------------------------- */

/* ANSWERING: send what the client's queue takes. */
static void conn_answer(struct conn *c)
{
	int err = winreply_send(&c->reply, c->fd);

	if (!err) {
		c->state = CONN_LEAVING;
		/* An adopted one is about to be received: the sweep sees to it. */
		if (c->polled)
			err = arm_conn(c, EPOLLIN);
	} else if (err == -EAGAIN) {
		err = arm_conn(c, EPOLLOUT);
	}
	if (err)
		conn_fail(c);
}

/* The message waits in the client's queue, if the client is still there: nothing to wait for. */
static void conn_refuse(struct conn *c, int error)
{
	winreply_refuse(c->fd, error);
	conn_free(c);
}

/* Return: the connection of a call that is being answered, locked. */
static struct conn *answer(struct mmap_call *mc)
{
	struct conn *c = (struct conn *)((char *)mc - offsetof(struct conn, call));

	pthread_mutex_lock(&c->lock);
	if (c->state != CONN_CALLED) {
		log_err("an mmap call was answered twice");
		abort();
	}
	return c;
}

void mmap_call_refuse(struct mmap_call *mc, int error)
{
	struct conn *c = answer(mc);

	conn_refuse(c, error);
	pthread_mutex_unlock(&c->lock);
}

void mmap_call_grant(struct mmap_call *mc, int fd, uint64_t window, const struct hv_grant *g,
		     size_t n, enum hv_pages kind)
{
	struct conn *c = answer(mc);

	c->window = window;
	c->since = now_ms();
	if (!winreply_new(&c->reply, fd, g, n, kind)) {
		c->state = CONN_ANSWERING;
		sweep_later(c->ws);
		conn_answer(c);
	} else {
		drop_window(c);
		conn_refuse(c, ENOMEM);
	}
	pthread_mutex_unlock(&c->lock);
}

/* --- requests -------------------------------------------------------------------------------- */

/* Return: whether the device may be called now. */
static bool begin_call(struct winsock *ws)
{
	bool go;

	pthread_mutex_lock(&ws->lock);
	go = !ws->stopping;
	ws->calls += go;
	pthread_mutex_unlock(&ws->lock);
	return go;
}

static void end_call(struct winsock *ws)
{
	pthread_mutex_lock(&ws->lock);
	if (--ws->calls == 0)
		pthread_cond_broadcast(&ws->idle);
	pthread_mutex_unlock(&ws->lock);
}

/*
 * ASKING: take the request. There is no room for control data: the kernel closes descriptors that
 * come with it. Called with the lock. Return: whether the device is to be called.
 */
static bool conn_ask(struct conn *c)
{
	/* One byte more, so that a longer request shows. */
	union {
		struct window_request rq;
		char buf[sizeof(struct window_request) + 1];
	} in;
	struct iovec iov = { .iov_base = &in, .iov_len = sizeof(in.buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT);
	const char *why = "it sent descriptors";
	int error;

	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !arm_conn(c, EPOLLIN))
		return false;
	if (n <= 0) {
		conn_free(c);
		return false;
	}
	error = (msg.msg_flags & MSG_CTRUNC) ? EINVAL : winreply_check(&in.rq, (size_t)n, &why);
	if (error)
		winreply_tell(c->call.pid, c->call.uid, error, why);
	else if (!begin_call(c->ws))
		error = ENODEV;
	if (error) {
		conn_refuse(c, error);
		return false;
	}
	c->call.rq = in.rq;
	c->state = CONN_CALLED;
	return true;
}

static void take_turn(struct server *sv)
{
	__atomic_store_n(&sv->turn, sv->turn + 1, __ATOMIC_RELAXED);
}

static void conn_event(struct server *sv, uint32_t slot, uint32_t gen)
{
	struct winsock *ws = sv->ws;
	struct conn *c = &ws->conn[slot];
	bool call = false;

	pthread_mutex_lock(&c->lock);
	if (c->gen == gen) {
		if (c->state == CONN_ASKING)
			call = conn_ask(c);
		else if (c->state == CONN_ANSWERING)
			conn_answer(c);
		else if (c->state == CONN_LEAVING)
			conn_leave(c, false);
	}
	pthread_mutex_unlock(&c->lock);
	if (call) {
		take_turn(sv);
		ws->mmap(&c->call, ws->arg);
		take_turn(sv);
		end_call(ws);
	}
}

/* --- connections ----------------------------------------------------------------------------- */

/* With its lock. */
static void conn_init(struct conn *c, int fd, bool adopted)
{
	c->fd = fd;
	c->state = adopted ? CONN_CALLED : CONN_ASKING;
	c->since = now_ms();
	c->reply.fd = -1;
	c->adopted = adopted;
	c->polled = false;
}

static void conn_start(struct conn *c, int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	int err = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);

	pthread_mutex_lock(&c->lock);
	conn_init(c, fd, false);
	c->call = (struct mmap_call){ .pid = peer.pid, .uid = peer.uid };
	if (err || arm_conn(c, EPOLLIN))
		conn_free(c);
	pthread_mutex_unlock(&c->lock);
	sweep_later(c->ws);
}

/* With the server's lock, while there is one. */
static struct conn *take_free(struct winsock *ws)
{
	struct conn *c = ws->free;

	ws->used++;
	ws->free = c->next;
	if (!ws->free)
		ws->free_end = &ws->free;
	return c;
}

/* Accept a connection. Return: the slot to be its, and *@fd; NULL if there is nothing more to do. */
static struct conn *accept_one(struct winsock *ws, int *fd)
{
	struct conn *c = NULL;

	pthread_mutex_lock(&ws->lock);
	*fd = -1;
	if (!ws->stopping && ws->free)
		*fd = winlisten_accept(&ws->listen);
	if (*fd >= 0) {
		c = take_free(ws);
	} else {
		/* Nobody there: go on at once. No slot, no descriptor: when there is one. */
		ws->paused = true;
		if (ws->free && errno == EAGAIN)
			resume(ws);
		else if (ws->free && !ws->stopping)
			tell_no_accept(errno);
	}
	pthread_mutex_unlock(&ws->lock);
	return c;
}

static void listen_event(struct winsock *ws)
{
	struct conn *c;
	int fd;

	while ((c = accept_one(ws, &fd)))
		conn_start(c, fd);
	sweep_later(ws);
}

/*
 * A place for a client that has not connected, and leave to call the device; NULL. Nothing but the
 * sweep gives these places back, and a busy client takes all of them before it is due: every so many
 * bring it about.
 */
static struct conn *adopt_one(struct winsock *ws)
{
	struct conn *c = NULL;
	bool sweep = false;

	pthread_mutex_lock(&ws->lock);
	if (!ws->stopping && ws->free) {
		c = take_free(ws);
		ws->calls++;
		sweep = ++ws->adopted % SWEEP_ADOPTED == 0;
	}
	pthread_mutex_unlock(&ws->lock);
	if (sweep)
		sweep_in(ws, 1);
	return c;
}

int winsock_adopt(struct winsock *ws, int fd, pid_t pid, uid_t uid, const struct window_request *rq)
{
	struct conn *c = adopt_one(ws);
	const char *why;
	int error;

	if (!c) {
		close(fd);
		return -EBUSY;
	}
	pthread_mutex_lock(&c->lock);
	conn_init(c, fd, true);
	c->call = (struct mmap_call){ .rq = *rq, .pid = pid, .uid = uid };
	error = winreply_check(rq, sizeof(*rq), &why);
	if (error) {
		winreply_tell(c->call.pid, c->call.uid, error, why);
		conn_refuse(c, error);
	}
	pthread_mutex_unlock(&c->lock);
	if (!error)
		ws->mmap(&c->call, ws->arg);
	end_call(ws);
	return 0;
}

/* Called with its lock. Return: whether it has a time limit. */
static bool sweep_conn(struct conn *c, uint64_t now, bool paused)
{
	/* Less than nothing if it began after the sweep. */
	int64_t age = (int64_t)(now - c->since);

	if (c->state == CONN_ASKING && age >= (paused ? GRACE_MS : WINSOCK_TIMEOUT_MS))
		conn_free(c);
	else if (c->state == CONN_ANSWERING && age >= WINSOCK_TIMEOUT_MS)
		conn_fail(c);
	else if (c->state == CONN_LEAVING)
		conn_leave(c, paused && age >= WINSOCK_TIMEOUT_MS);
	return c->state != CONN_FREE && c->state != CONN_CALLED;
}

static void sweep_event(struct winsock *ws)
{
	uint64_t now = now_ms();
	uint64_t expired;
	bool paused, more = false;

	(void)!read(ws->timer, &expired, sizeof(expired));
	/*
	 * After the read, or it could take the expiry of a timer started meanwhile; before looking:
	 * who starts a connection from here on starts the timer itself.
	 */
	__atomic_store_n(&ws->sweeping, false, __ATOMIC_SEQ_CST);
	arm(ws, EPOLL_CTL_MOD, ws->timer, EPOLLIN, EVENT_SWEEP);
	pthread_mutex_lock(&ws->lock);
	paused = ws->paused && !ws->stopping;
	if (ws->free)
		resume(ws);
	pthread_mutex_unlock(&ws->lock);
	for (struct conn *c = ws->conn; c < ws->conn + CONNS; c++) {
		pthread_mutex_lock(&c->lock);
		more |= sweep_conn(c, now, paused);
		pthread_mutex_unlock(&c->lock);
	}
	if (more || paused)
		sweep_later(ws);
}

static void handle(struct server *sv, const struct epoll_event *ev)
{
	uint32_t slot = (uint32_t)ev->data.u64;

	take_turn(sv);
	if (slot < CONNS)
		conn_event(sv, slot, (uint32_t)(ev->data.u64 >> 32));
	else if (slot == EVENT_LISTEN)
		listen_event(sv->ws);
	else if (slot == EVENT_SWEEP)
		sweep_event(sv->ws);
	take_turn(sv);
}

/*
 * The last thread to end closes connections whose clients may have sent what nobody has read: that
 * may take its time, and here it can be cut short.
 */
static void close_asking(struct server *sv)
{
	struct winsock *ws = sv->ws;

	if (__atomic_sub_fetch(&ws->running, 1, __ATOMIC_ACQ_REL))
		return;
	for (struct conn *c = ws->conn; c < ws->conn + CONNS; c++) {
		pthread_mutex_lock(&c->lock);
		if (c->state == CONN_ASKING)
			conn_free(c);
		pthread_mutex_unlock(&c->lock);
	}
}

static void *server_thread(void *arg)
{
	struct server *sv = arg;
	struct epoll_event ev = { .data.u64 = 0 };

	table_thread_enter();
	do
		if (epoll_wait(sv->ws->epoll, &ev, 1, -1) == 1)
			handle(sv, &ev);
		else
			ev.data.u64 = 0;
	while ((uint32_t)ev.data.u64 != EVENT_STOP);
	close_asking(sv);
	table_thread_leave();
	return NULL;
}

/* --- the server ------------------------------------------------------------------------------ */

static int open_events(struct winsock *ws)
{
	struct epoll_event stop = { .events = EPOLLIN, .data.u64 = EVENT_STOP };
	int err;

	ws->epoll = epoll_create1(EPOLL_CLOEXEC);
	ws->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ws->stop = eventfd(0, EFD_CLOEXEC);
	if (ws->epoll < 0 || ws->timer < 0 || ws->stop < 0 ||
	    epoll_ctl(ws->epoll, EPOLL_CTL_ADD, ws->stop, &stop))
		return -errno;
	err = arm(ws, EPOLL_CTL_ADD, ws->timer, EPOLLIN, EVENT_SWEEP);
	return err ? err : arm(ws, EPOLL_CTL_ADD, ws->listen.fd, EPOLLIN, EVENT_LISTEN);
}

static void close_events(struct winsock *ws)
{
	if (ws->epoll >= 0)
		close(ws->epoll);
	if (ws->timer >= 0)
		close(ws->timer);
	if (ws->stop >= 0)
		close(ws->stop);
}

static void init_conns(struct winsock *ws)
{
	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->idle, NULL);
	ws->free_end = &ws->free;
	for (struct conn *c = ws->conn; c < ws->conn + CONNS; c++) {
		pthread_mutex_init(&c->lock, NULL);
		c->ws = ws;
		c->fd = -1;
		*ws->free_end = c;
		ws->free_end = &c->next;
	}
}

int winsock_new(const char *path, int listen_fd, struct windows *windows,
		void (*mmap)(struct mmap_call *mc, void *arg), void *arg, struct winsock **out,
		const char **why)
{
	struct winsock *ws = calloc(1, sizeof(*ws));
	int err;

	*why = "no memory";
	if (!ws)
		return -ENOMEM;
	ws->windows = windows;
	ws->mmap = mmap;
	ws->arg = arg;
	ws->epoll = ws->timer = ws->stop = -1;
	err = winlisten_start(&ws->listen, path, listen_fd, why);
	if (err) {
		free(ws);
		return err;
	}
	init_conns(ws);
	err = open_events(ws);
	if (err) {
		*why = "cannot make the event queue of the window socket";
		close_events(ws);
		winlisten_close(&ws->listen);
		free(ws);
		return err;
	}
	*out = ws;
	return 0;
}

int winsock_start(struct winsock *ws)
{
	wake_init();
	for (; ws->started < THREADS; ws->started++) {
		struct server *sv = &ws->server[ws->started];
		int err;

		sv->ws = ws;
		__atomic_add_fetch(&ws->running, 1, __ATOMIC_RELAXED);
		err = pthread_create(&sv->thread, NULL, server_thread, sv);
		if (err) {
			__atomic_sub_fetch(&ws->running, 1, __ATOMIC_RELAXED);
			return -err;
		}
	}
	return 0;
}

void winsock_relieve(struct winsock *ws)
{
	for (unsigned int i = 0; i < ws->started; i++) {
		struct server *sv = &ws->server[i];
		unsigned int turn = __atomic_load_n(&sv->turn, __ATOMIC_RELAXED);

		if ((turn & 1) && turn == sv->seen)
			wake_thread(sv->thread);
		sv->seen = turn;
	}
}

void winsock_slots(struct winsock *ws, unsigned int *slots, unsigned int *used)
{
	pthread_mutex_lock(&ws->lock);
	*used = ws->used;
	pthread_mutex_unlock(&ws->lock);
	*slots = CONNS;
}

const char *winsock_path(const struct winsock *ws)
{
	return ws->listen.path;
}

void winsock_stop(struct winsock *ws)
{
	pthread_mutex_lock(&ws->lock);
	if (!ws->stopping) {
		ws->stopping = true;
		epoll_ctl(ws->epoll, EPOLL_CTL_DEL, ws->listen.fd, NULL);
		winlisten_close(&ws->listen);
	}
	while (ws->calls)
		pthread_cond_wait(&ws->idle, &ws->lock);
	pthread_mutex_unlock(&ws->lock);
}

/* Nobody is left who could work for it. */
static void destroy_conn(struct conn *c)
{
	if (c->state == CONN_CALLED) {
		log_err("an mmap call was not answered");
		abort();
	}
	if (c->state == CONN_ANSWERING && c->reply.fd >= 0)
		drop_window(c);
	if (c->state != CONN_FREE)
		conn_free(c);
	pthread_mutex_destroy(&c->lock);
}

/* However long a client wants it to last. */
static void join_server(struct server *sv)
{
	struct timespec until;

	do {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 100000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		wake_thread(sv->thread);
	} while (pthread_timedjoin_np(sv->thread, NULL, &until));
}

void winsock_destroy(struct winsock *ws)
{
	winsock_stop(ws);
	eventfd_write(ws->stop, 1);
	while (ws->started)
		join_server(&ws->server[--ws->started]);
	for (struct conn *c = ws->conn; c < ws->conn + CONNS; c++)
		destroy_conn(c);
	close_events(ws);
	pthread_cond_destroy(&ws->idle);
	pthread_mutex_destroy(&ws->lock);
	free(ws);
}
