/* SPDX-License-Identifier: MIT */
/*
 * window/places.h - the places of a window server's connections: window/socket.c's and window/conn.c's own
 */
#ifndef WINDOW_PLACES_H
#define WINDOW_PLACES_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "window/listen.h"
#include "window/reply.h"
#include "window/socket.h"

/* Sockets where clients connect (window/doors.h); the first is everybody's. */
#define DOORS 257
/* Places for connections in all that come through users' own. */
#define OWN_PLACES 1024U

/*
 * Places in all, and those that clients can have who connect to everybody's socket; other places are for those who have one of their
 * own (OWN_PLACES), and the rest is left to winsock_adopt().
 */
#define CONNS	  3200
#define CONNECTED 2048
#define GRACE_MS  100
#define HASTE_MS  20

/*
 * Threads: so many from the start, and more while all have a call in the device's hands, which can take its time.
 * They stay. Calls of one user that go on at a time: others find threads besides.
 */
#define THREADS	      2
#define THREADS_MAX   16
#define CALLS_OF_USER (THREADS_MAX - 4)

/* What epoll reports beside connections, in the place of a slot. */
enum {
	EVENT_SWEEP = CONNS,
	EVENT_CALLS,
	EVENT_STOP,
	EVENT_DOOR, /* and so many of these */
};

static_assert(CONNS >= CONNECTED + OWN_PLACES + 128, "some are left");

enum conn_state {
	CONN_FREE,
	CONN_ASKING,
	CONN_CALLED,
	CONN_ANSWERING,
	CONN_LEAVING,
};

/**
 * struct windoor - a listening socket; with the server's lock
 * @open:   there is one
 * @uid:    whose it is, but for the first; @user: whom he counts against
 * @paused: no connection is accepted, for want of a place or descriptor (atomic)
 * @used:   connections that came through it
 * @asked:  when somebody was told of it last, ms
 */
struct windoor {
	struct winlisten listen;
	bool open;
	bool paused;
	uid_t uid;
	uid_t user;
	unsigned int used;
	uint64_t asked;
};

/**
 * struct conn - a connection
 * @lock:      protects the rest, but for @call while the state is CONN_CALLED: it is the device's
 * @next:      on the list of free slots, or of calls that wait (the server's lock)
 * @rank:      of a call that waits: how many of its user's go before it (the server's lock)
 * @since:     when it connected, or was answered; ms
 * @user:      whom it counts against: who made its client's user namespace, if that is not the daemon's
 * @door:      where it has connected; NULL: nowhere
 * @window:    id of the window, once there is one
 * @reply:     what is sent of it
 * @adopted:   its socket came from the client (winsock_adopt())
 * @polled:    epoll knows it: not so before there is anything to wait for
 */
struct conn {
	pthread_mutex_t lock;
	struct winsock *ws;
	struct conn *next;
	unsigned int rank;
	enum conn_state state;
	int fd;
	uint64_t since;
	uid_t user;
	struct windoor *door;
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
 * @calling: it is in the device's hands, with a call of @user (the server's lock)
 */
struct server {
	struct winsock *ws;
	pthread_t thread;
	unsigned int turn;
	unsigned int seen;
	bool calling;
	uid_t user;
};

/**
 * struct winsock - a server
 * @lock:     protects what follows
 * @free, @free_end: slots, the longest free first; @used: how many are not; @owned: of these, whose clients
 *            have come through a door of their own
 * @door:     where clients connect; @paused: some of them may be
 * @stopping: take no more connections and calls
 * @calls:    calls that @mmap has, or is to have; @idle is signalled when there are none
 * @more:     an eventfd: some thread is to look for a call that waits
 * @waiting, @waiting_end: connections whose calls the device does not have yet, as they came
 * @adopted:  how many winsock_adopt() has served
 * @sweeping: the timer is running (atomic)
 * @started:  threads that there are (atomic)
 * @running:  threads that have not ended (atomic)
 */
struct winsock {
	struct windows *windows;
	void (*mmap)(struct mmap_call *mc, void *arg);
	void *arg;
	int epoll;
	int timer;
	int stop;
	int more;
	unsigned int started;
	unsigned int running;
	struct server server[THREADS_MAX];
	bool sweeping;

	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct conn *free;
	struct conn **free_end;
	unsigned int used;
	unsigned int owned;
	struct windoor door[DOORS];
	bool paused;
	bool stopping;
	unsigned int calls;
	struct conn *waiting;
	struct conn **waiting_end;
	unsigned int adopted;

	struct conn conn[CONNS];
};

/** winplace_arm() - have epoll report one event of a descriptor. @op: EPOLL_CTL_*. Return: 0 or -errno */
int winplace_arm(struct winsock *ws, int op, int fd, uint32_t events, uint64_t data);

/** winplace_sweep_in() - have the time limits looked at in @ns nanoseconds */
void winplace_sweep_in(struct winsock *ws, long ns);

/** winplace_sweep_later() - have them looked at in SWEEP_MS, unless they are anyway */
void winplace_sweep_later(struct winsock *ws);

/** winplace_init() - make all places, free. The rest of @ws is zero */
void winplace_init(struct winsock *ws);

/** winplace_take() - take a free place: there is one. @door: where its client has connected, or NULL. With the server's lock */
struct conn *winplace_take(struct winsock *ws, struct windoor *door);

/** winplace_is_own() - Return: whether a door is some user's own */
bool winplace_is_own(const struct winsock *ws, const struct windoor *d);

/** winplace_may() - Return: whether one more connection may come through a door. With the server's lock */
bool winplace_may(const struct winsock *ws, const struct windoor *d);

/** winplace_resume() - have those doors listen where that was stopped, and there is a place. With the server's lock */
void winplace_resume(struct winsock *ws);

/** winplace_pause() - no connection is accepted at a door for now. With the server's lock */
void winplace_pause(struct winsock *ws, struct windoor *d);

/** winplace_listen() - have a door listen, or note that it may not now. With the server's lock */
void winplace_listen(struct winsock *ws, struct windoor *d);

/** winplace_give() - give a place back. With its lock, not the server's */
void winplace_give(struct conn *c);

/** winplace_begin_call() - Return: whether the device may be called now; then winplace_end_call() is due */
bool winplace_begin_call(struct winsock *ws);
void winplace_end_call(struct winsock *ws);

/** winplace_queue() - a call is to be made by some thread of the server */
void winplace_queue(struct winsock *ws, struct conn *c);

/**
 * winplace_next_turn() - this thread can make a call
 * @more: out: there are others that may be made now
 *
 * Users take turns. Return: whose call is to be made, or NULL; then winplace_end_turn() is due.
 */
struct conn *winplace_next_turn(struct server *sv, bool *more);
void winplace_end_turn(struct server *sv);

/** winplace_cancel() - Return: whether a call was still waiting, and does so no more */
bool winplace_cancel(struct winsock *ws, struct conn *c);

#endif /* WINDOW_PLACES_H */
