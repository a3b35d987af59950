/* SPDX-License-Identifier: MIT */
/*
 * window/socket.c - the window socket: answers the mmaps of preloaded clients
 *
 * What happens to a connection is in window/conn.c; here is who takes part.
 *
 * Connections are slots in an array, never freed while the server runs. What epoll reports is a slot. The event may
 * come late, when the slot is another's already, so it only says that it is time to look: what is there to be done is
 * asked of the connection's state and of its socket, under its lock, and to look once too often does nothing. Every descriptor is armed for one event (EPOLLONESHOT), so one thread at a time works for a
 * connection, and none while the device has the call.
 *
 * Clients connect at doors (window/doors.h), each user at his own. If he has all slots that he can have no more of his
 * connections are accepted: others of his wait in the queue there. The door that is everybody's is for who
 * has no other, and if all its slots are taken others wait in its queue. Who
 * has connected and said nothing for GRACE_MS loses its slot then: a preload object sends its
 * request at once. So does who has not taken its answer for as long; of the user who has most of the slots, both after
 * HASTE_MS, so that what he does costs himself first, and the queue that he has filled is soon through. If he
 * has nothing but requests whose turn has not come some of these are refused (ENOMEM).
 *
 * Requests are taken as they come, and then their users take turns.
 *
 * winsock_adopt() brings clients that did not connect. They are in the device's hands at once, and a
 * connection like any other from there on; but nothing is to be heard from them, and as long as their
 * queue takes the answer whole epoll need not know of them. Some slots are theirs alone, so they wait in no queue.
 *
 * Locks: a connection's lock, then the server's. The device is called with neither.
 */
#include "window/socket.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "report/failure.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/wake.h"
#include "client/owner.h"
#include "window/window.h"
#include "window/conn.h"
#include "window/doors.h"

/* A user with fewer places than these is not greedy. */
#define GREEDY (CONNECTED / 8)
/* So many places are taken from one that is, and so many connections accepted, before others have their turn. */
#define AT_ONCE 64
/* And after how many that came without a connection: these have all been taken long ago, as a rule. */
#define SWEEP_ADOPTED 128

static void tell_no_accept(int error)
{
	struct failure f = failure_of(WHY_NO_ACCEPT, TRACE_MMAP, 0, error);

	failure_report(&f, "cannot accept window connections: %s", strerror(error));
}

static void take_turn(struct server *sv)
{
	__atomic_store_n(&sv->turn, sv->turn + 1, __ATOMIC_RELAXED);
}

static void *server_thread(void *arg);

/* Start one more. Return: 0 or -errno. */
static int start_server(struct winsock *ws)
{
	struct server *sv;
	int err = -EAGAIN;

	pthread_mutex_lock(&ws->lock);
	if (ws->started < THREADS_MAX) {
		sv = &ws->server[ws->started];
		sv->ws = ws;
		__atomic_add_fetch(&ws->running, 1, __ATOMIC_RELAXED);
		err = -pthread_create(&sv->thread, NULL, server_thread, sv);
		if (err)
			__atomic_sub_fetch(&ws->running, 1, __ATOMIC_RELAXED);
		else
			__atomic_store_n(&ws->started, ws->started + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&ws->lock);
	return err;
}

static bool all_are_calling(struct winsock *ws)
{
	bool all;

	pthread_mutex_lock(&ws->lock);
	all = ws->started < THREADS_MAX;
	for (unsigned int i = 0; all && i < ws->started; i++)
		all = ws->server[i].calling;
	pthread_mutex_unlock(&ws->lock);
	return all;
}

/* Have the device called for whose turn it is. Return: whether there was anybody. */
static bool make_call(struct server *sv)
{
	struct winsock *ws = sv->ws;
	bool more;
	struct conn *c = winplace_next_turn(sv, &more);

	if (!c)
		return false;
	if (more)
		eventfd_write(ws->more, 1);
	if (all_are_calling(ws))
		start_server(ws);
	ws->mmap(&c->call, ws->arg);
	/* The device may be done with the call by now, and another have its place. */
	winplace_end_turn(sv);
	winplace_end_call(ws);
	return true;
}

static void conn_event(struct winsock *ws, uint64_t slot)
{
	struct conn *c = &ws->conn[slot];
	bool call = false;

	pthread_mutex_lock(&c->lock);
	if (c->state == CONN_ASKING)
		call = winconn_ask(c);
	else if (c->state == CONN_ANSWERING)
		winconn_answer(c);
	else if (c->state == CONN_LEAVING)
		winconn_leave(c, false);
	if (call)
		winplace_queue(ws, c);
	pthread_mutex_unlock(&c->lock);
}

/* --- connections ----------------------------------------------------------------------------- */

/* Who made the peer's user namespace has thousands of user ids there. */
static uid_t user_of(const struct ucred *peer)
{
	uid_t owner;

	return peer->pid && owner_read(peer->pid, &owner) == OWNER_OTHER ? owner : peer->uid;
}

/* @door: where it has connected: root can at any. */
static void conn_start(struct conn *c, int fd, const struct windoor *door)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	int err = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);

	pthread_mutex_lock(&c->lock);
	winconn_init(c, fd, false);
	c->call = (struct mmap_call){ .pid = peer.pid, .uid = peer.uid };
	c->user =
		winplace_is_own(c->ws, door) && peer.uid == door->uid ? door->user : user_of(&peer);
	if (err)
		winconn_free(c);
	/* As a rule its request is there as soon as it is. */
	else if (winconn_ask(c))
		winplace_queue(c->ws, c);
	pthread_mutex_unlock(&c->lock);
	winplace_sweep_later(c->ws);
}

/* Accept a connection. Return: the slot to be its, and *@fd; NULL if there is nothing more to do. */
static struct conn *accept_one(struct winsock *ws, struct windoor *door, int *fd)
{
	struct conn *c = NULL;
	bool may;

	pthread_mutex_lock(&ws->lock);
	*fd = -1;
	may = !ws->stopping && winplace_may(ws, door);
	if (may)
		*fd = winlisten_accept(&door->listen);
	if (*fd >= 0) {
		c = winplace_take(ws, door);
	} else if (may && errno != EAGAIN) {
		/* No descriptor: when there is one. */
		winplace_pause(ws, door);
		tell_no_accept(errno);
	} else if (door->open) {
		/* Nobody there: go on at once. No place: when there is one. */
		winplace_listen(ws, door);
	}
	pthread_mutex_unlock(&ws->lock);
	return c;
}

static int by_number(const void *a, const void *b)
{
	const uid_t x = *(const uid_t *)a, y = *(const uid_t *)b;

	return (x > y) - (x < y);
}

/* Whether a place that is taken could be had for everybody's door: not what came through one of a user's own. */
static bool is_everybodys(const struct winsock *ws, const struct conn *c)
{
	return c->state != CONN_FREE && !(c->door && winplace_is_own(ws, c->door));
}

/* The user that has most of everybody's places, if it has many. Return: whether there is one. */
static bool greediest(struct winsock *ws, uid_t *user)
{
	unsigned int n = 0, run = 0, most = 0;
	uid_t of[CONNS];

	for (struct conn *c = ws->conn; c < ws->conn + CONNS; c++) {
		pthread_mutex_lock(&c->lock);
		if (is_everybodys(ws, c))
			of[n++] = c->user;
		pthread_mutex_unlock(&c->lock);
	}
	qsort(of, n, sizeof(of[0]), by_number);
	for (unsigned int i = 0; i < n; i++) {
		run = i && of[i] == of[i - 1] ? run + 1 : 1;
		if (run > most) {
			most = run;
			*user = of[i];
		}
	}
	return most >= GREEDY;
}

/*
 * Take some of everybody's places from a user: of those first who say nothing or do not take their answers, then of
 * those whose turn has not come. Return: whether it had any to give.
 */
static bool evict_some(struct winsock *ws, uid_t user)
{
	uint64_t now = clock_coarse_ms();
	unsigned int freed = 0;

	for (int also_waiting = 0; !freed && also_waiting < 2; also_waiting++)
		for (struct conn *c = ws->conn; c < ws->conn + CONNS && freed < AT_ONCE; c++) {
			pthread_mutex_lock(&c->lock);
			if (is_everybodys(ws, c) && c->user == user)
				freed += winconn_evict(c, now, also_waiting);
			pthread_mutex_unlock(&c->lock);
		}
	return freed > 0;
}

/* No place is free. Return: whether some are now, of those that the greediest user had. */
static bool make_room(struct winsock *ws)
{
	uid_t user;

	return greediest(ws, &user) && evict_some(ws, user);
}

static bool is_full(struct winsock *ws)
{
	bool full;

	pthread_mutex_lock(&ws->lock);
	full = !ws->stopping && !winplace_may(ws, ws->door);
	pthread_mutex_unlock(&ws->lock);
	return full;
}

static void listen_again(struct winsock *ws, struct windoor *door)
{
	pthread_mutex_lock(&ws->lock);
	if (door->open)
		winplace_listen(ws, door);
	pthread_mutex_unlock(&ws->lock);
}

/* Whether somebody wants places. */
static bool is_paused(const struct windoor *door)
{
	return __atomic_load_n(&door->paused, __ATOMIC_RELAXED);
}

/*
 * So many at once, and then it is the turn of those who have a connection, and of other doors: there can be no end of clients
 * who connect.
 */
static void door_event(struct winsock *ws, struct windoor *door)
{
	unsigned int n = 0;
	struct conn *c;
	bool want;
	int fd;

	while (n < AT_ONCE && (c = accept_one(ws, door, &fd))) {
		conn_start(c, fd, door);
		n++;
	}
	if (n == AT_ONCE)
		listen_again(ws, door);
	want = winplace_is_own(ws, door) ? is_paused(door) : is_full(ws) && !make_room(ws);
	if (want)
		winplace_sweep_in(ws, HASTE_MS * 1000000L);
	else
		winplace_sweep_later(ws);
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
		c = winplace_take(ws, NULL);
		ws->calls++;
		sweep = ++ws->adopted % SWEEP_ADOPTED == 0;
	}
	pthread_mutex_unlock(&ws->lock);
	if (sweep)
		winplace_sweep_in(ws, 1);
	return c;
}

int winsock_adopt(struct winsock *ws, int fd, pid_t pid, uid_t uid, const struct window_request *rq,
		  uint64_t unique)
{
	struct conn *c = adopt_one(ws);
	enum failure_reason why;
	int error;

	if (!c) {
		close(fd);
		return -EBUSY;
	}
	pthread_mutex_lock(&c->lock);
	winconn_init(c, fd, true);
	c->call = (struct mmap_call){
		.rq = *rq, .pid = pid, .uid = uid, .unique = unique, .again = rq->again
	};
	c->user = uid;
	error = winreply_check(rq, sizeof(*rq), &why);
	if (error) {
		winreply_tell(c->call.pid, c->call.uid, error, why);
		winconn_refuse(c, error);
	}
	pthread_mutex_unlock(&c->lock);
	if (!error)
		ws->mmap(&c->call, ws->arg);
	winplace_end_call(ws);
	return 0;
}

/* Whether places are wanted by its own user, whom nobody else's can be had for. */
static bool gives_way(const struct winsock *ws, const struct conn *c)
{
	return c->state != CONN_FREE && c->door && winplace_is_own(ws, c->door) &&
	       is_paused(c->door);
}

/*
 * Look at the time limits of all; if places are wanted at those of one user first, who has most of everybody's door. At a
 * door of his own a user's connections that keep others of his out go. Return: whether to look again.
 */
static bool sweep(struct winsock *ws, bool paused)
{
	uint64_t now = clock_coarse_ms();
	bool more = paused, greedy;
	uid_t user;

	greedy = paused && greediest(ws, &user);
	if (greedy)
		evict_some(ws, user);
	for (struct conn *c = ws->conn; c < ws->conn + CONNS; c++) {
		pthread_mutex_lock(&c->lock);
		if (!gives_way(ws, c) || !winconn_evict(c, now, false))
			more |= winconn_sweep(c, now, paused && !greedy);
		pthread_mutex_unlock(&c->lock);
	}
	return more;
}

/* @all: out: it is places of all that are wanted. Return: whether some door is paused for want of places. */
static bool resume(struct winsock *ws, bool *all)
{
	bool any;

	pthread_mutex_lock(&ws->lock);
	*all = (ws->door->paused || (ws->paused && !ws->free)) && !ws->stopping;
	winplace_resume(ws);
	any = ws->paused && !ws->stopping;
	pthread_mutex_unlock(&ws->lock);
	return any;
}

static void sweep_event(struct winsock *ws)
{
	uint64_t expired;
	bool all, any, more;

	(void)!read(ws->timer, &expired, sizeof(expired));
	/*
	 * After the read, or it could take the expiry of a timer started meanwhile; before looking:
	 * who starts a connection from here on starts the timer itself.
	 */
	__atomic_store_n(&ws->sweeping, false, __ATOMIC_SEQ_CST);
	winplace_arm(ws, EPOLL_CTL_MOD, ws->timer, EPOLLIN, EVENT_SWEEP);
	any = resume(ws, &all);
	more = sweep(ws, all);
	if (any || is_full(ws))
		winplace_sweep_in(ws, HASTE_MS * 1000000L);
	else if (more)
		winplace_sweep_later(ws);
}

static void more_event(struct winsock *ws)
{
	eventfd_t n;

	eventfd_read(ws->more, &n);
	winplace_arm(ws, EPOLL_CTL_MOD, ws->more, EPOLLIN, EVENT_CALLS);
}

static void handle(struct server *sv, const struct epoll_event *ev)
{
	const uint64_t slot = ev->data.u64;

	take_turn(sv);
	if (slot < CONNS)
		conn_event(sv->ws, slot);
	else if (slot >= EVENT_DOOR)
		door_event(sv->ws, &sv->ws->door[slot - EVENT_DOOR]);
	else if (slot == EVENT_SWEEP)
		sweep_event(sv->ws);
	else if (slot == EVENT_CALLS)
		more_event(sv->ws);
	take_turn(sv);
}

/* Handle what there is; @wait: wait until there is something. Return: whether it is the end. */
static bool handle_events(struct server *sv, bool wait)
{
	struct epoll_event ev[AT_ONCE];
	int n = epoll_wait(sv->ws->epoll, ev, AT_ONCE, wait ? -1 : 0);
	bool stop = false;

	for (int i = 0; i < n; i++)
		if (ev[i].data.u64 == EVENT_STOP)
			stop = true;
		else
			handle(sv, &ev[i]);
	return stop;
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
			winconn_free(c);
		pthread_mutex_unlock(&c->lock);
	}
}

/*
 * Requests are taken before calls are made, which take longer: so it is known whose turn it is.
 */
static void *server_thread(void *arg)
{
	struct server *sv = arg;
	bool called = true;

	rcu_thread_enter();
	while (!handle_events(sv, !called))
		called = make_call(sv);
	close_asking(sv);
	rcu_thread_leave();
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
	ws->more = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ws->epoll < 0 || ws->timer < 0 || ws->stop < 0 || ws->more < 0 ||
	    epoll_ctl(ws->epoll, EPOLL_CTL_ADD, ws->stop, &stop))
		return -errno;
	err = winplace_arm(ws, EPOLL_CTL_ADD, ws->timer, EPOLLIN, EVENT_SWEEP);
	if (!err)
		err = winplace_arm(ws, EPOLL_CTL_ADD, ws->more, EPOLLIN, EVENT_CALLS);
	return err ? err
		   : winplace_arm(ws, EPOLL_CTL_ADD, ws->door->listen.fd, EPOLLIN, EVENT_DOOR);
}

static void close_events(struct winsock *ws)
{
	if (ws->epoll >= 0)
		close(ws->epoll);
	if (ws->timer >= 0)
		close(ws->timer);
	if (ws->stop >= 0)
		close(ws->stop);
	if (ws->more >= 0)
		close(ws->more);
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
	ws->epoll = ws->timer = ws->stop = ws->more = -1;
	err = winlisten_start(&ws->door->listen, path, listen_fd, why);
	if (err) {
		free(ws);
		return err;
	}
	ws->door->open = true;
	winlisten_clean(ws->door->listen.path);
	winplace_init(ws);
	err = open_events(ws);
	if (err) {
		*why = "cannot make the event queue of the window socket";
		close_events(ws);
		winlisten_close(&ws->door->listen);
		free(ws);
		return err;
	}
	*out = ws;
	return 0;
}

int winsock_start(struct winsock *ws)
{
	int err = 0;

	wake_init();
	while (!err && ws->started < THREADS)
		err = start_server(ws);
	return err;
}

void winsock_relieve(struct winsock *ws)
{
	unsigned int n = __atomic_load_n(&ws->started, __ATOMIC_ACQUIRE);

	for (unsigned int i = 0; i < n; i++) {
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

int winsock_listener(const struct winsock *ws)
{
	return ws->door->listen.fd;
}

const char *winsock_path(const struct winsock *ws)
{
	return ws->door->listen.path;
}

void winsock_stop(struct winsock *ws)
{
	pthread_mutex_lock(&ws->lock);
	if (!ws->stopping) {
		ws->stopping = true;
		windoor_close_all(ws);
	}
	while (ws->calls)
		pthread_cond_wait(&ws->idle, &ws->lock);
	pthread_mutex_unlock(&ws->lock);
}

/* Nobody is left who could work for it. */
static void destroy_conn(struct conn *c)
{
	if (c->state == CONN_CALLED)
		log_abort("an mmap call was not answered");
	if (c->state == CONN_ANSWERING && c->reply.fd >= 0)
		winconn_drop_window(c);
	if (c->state != CONN_FREE)
		winconn_free(c);
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
