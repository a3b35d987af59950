/* SPDX-License-Identifier: MIT */
/*
 * control/control.c - the control socket and the metrics socket
 *
 * All connections are polled by one thread and have their turns one after the other; a turn is one step
 * of one answer (control/conn.h). So whoever asks for much, or reads slowly, or says nothing, costs the
 * others at most such a step.
 */
#include "control/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/peer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/wake.h"
#include "window/listen.h"

#define STALL_MS  30000
#define SILENT_MS (5 * 60 * 1000)
#define HTTP_MS	  5000

/* Workers come first: their clients wait. */
#define NICE 5

/* When there are no descriptors left. */
#define ACCEPT_PAUSE_MS 100

/* Connections accepted in one turn of a socket. */
#define ACCEPT_AT_ONCE 16

#define CONNS (CONTROL_CONNS + CONTROL_HTTP_CONNS)

/**
 * struct door - a listening socket and the places of those that come through it
 * @paused: when to listen again, ms; 0: it listens
 */
struct door {
	struct winlisten listen;
	enum control_kind kind;
	struct control_conn *conn;
	unsigned int n_conns;
	uint64_t paused;
};

struct control {
	struct control_limits limits;
	struct control_view view;
	gid_t group;
	pthread_t thread;
	int stop;
	struct door door[2];
	struct control_conn conn[CONNS];
};

/* --- who comes in ------------------------------------------------------------------------------- */

static struct control_conn *free_place(struct door *d)
{
	for (unsigned int i = 0; i < d->n_conns; i++)
		if (d->conn[i].fd < 0)
			return &d->conn[i];
	return NULL;
}

/* Told at once, as far as the socket takes it, and closed. */
static void turn_away(struct control *c, struct door *d, int fd, int err, const char *text)
{
	struct control_conn tmp;

	if (control_conn_start(&tmp, fd, d->kind, &c->view, &c->limits, 0))
		return;
	control_conn_refuse(&tmp, err, text);
	control_conn_turn(&tmp, POLLOUT, 0);
	if (tmp.fd >= 0)
		control_conn_close(&tmp);
}

static void let_in(struct control *c, struct door *d, int fd)
{
	struct control_conn *place = free_place(d);

	if (!control_peer_may(fd, c->group))
		turn_away(c, d, fd, -EPERM,
			  "only root and members of group " CONTROL_GROUP " may ask");
	else if (!place)
		turn_away(c, d, fd, -EBUSY, "there are too many connections: try again");
	else
		control_conn_start(place, fd, d->kind, &c->view, &c->limits, clock_ms());
}

static void answer_door(struct control *c, struct door *d)
{
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		int fd = winlisten_accept(&d->listen);

		if (fd < 0) {
			/* Whoever waits would be reported again at once. */
			if (errno != EAGAIN)
				d->paused = clock_ms() + ACCEPT_PAUSE_MS;
			return;
		}
		let_in(c, d, fd);
	}
}

/* --- the thread --------------------------------------------------------------------------------- */

/* Fill in what to wait for: the stop signal, the doors, the connections. Return: ms, -1 for ever. */
static int prepare(struct control *c, struct pollfd *p)
{
	uint64_t now = clock_ms(), wait = UINT64_MAX, w;

	*p++ = (struct pollfd){ .fd = c->stop, .events = POLLIN };
	for (int i = 0; i < 2; i++) {
		struct door *d = &c->door[i];

		if (d->paused && now >= d->paused)
			d->paused = 0;
		if (d->paused && d->paused - now < wait)
			wait = d->paused - now;
		*p++ = (struct pollfd){ .fd = d->paused ? -1 : d->listen.fd, .events = POLLIN };
	}
	for (int i = 0; i < CONNS; i++) {
		struct control_conn *conn = &c->conn[i];

		*p++ = (struct pollfd){ .fd = conn->fd };
		if (conn->fd < 0)
			continue;
		p[-1].events = control_conn_events(conn);
		w = control_conn_wait(conn, now);
		wait = w < wait ? w : wait;
	}
	return wait > INT32_MAX ? -1 : (int)wait;
}

static void *serve(void *arg)
{
	struct control *c = arg;
	struct pollfd p[1 + 2 + CONNS];

	rcu_thread_enter();
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	for (;;) {
		poll(p, sizeof(p) / sizeof(p[0]), prepare(c, p));
		if (p[0].revents)
			break;
		for (int i = 0; i < CONNS; i++)
			if (c->conn[i].fd >= 0)
				control_conn_turn(&c->conn[i], p[3 + i].revents, clock_ms());
		for (int i = 0; i < 2; i++)
			if (p[1 + i].revents)
				answer_door(c, &c->door[i]);
	}
	rcu_thread_leave();
	return NULL;
}

/* --- the whole ---------------------------------------------------------------------------------- */

void control_config_init(struct control_config *cc)
{
	*cc = (struct control_config){
		.group = CONTROL_GROUP,
		.limits = { .stall = STALL_MS, .silent = SILENT_MS, .http = HTTP_MS },
	};
}

/* A service may not be allowed to give its sockets to a group. Then root can ask. */
static int open_door(struct control *c, struct door *d, const char *path, char *why, size_t size)
{
	const char *text;
	int err = winlisten_start_private(&d->listen, path, c->group, &text);

	if (err == -EPERM && c->group != (gid_t)-1) {
		log_warn("%s cannot be given to group " CONTROL_GROUP
			 " (the daemon is not a member of it): only root can ask",
			 path);
		err = winlisten_start_private(&d->listen, path, (gid_t)-1, &text);
	}
	if (err)
		snprintf(why, size, "control socket %s: %s (%s)", path, text, strerror(-err));
	return err;
}

static void furnish(struct control *c)
{
	c->door[0].kind = CONTROL_LINES;
	c->door[0].conn = c->conn;
	c->door[0].n_conns = CONTROL_CONNS;
	c->door[1].kind = CONTROL_HTTP;
	c->door[1].conn = c->conn + CONTROL_CONNS;
	c->door[1].n_conns = CONTROL_HTTP_CONNS;
	for (int i = 0; i < CONNS; i++)
		c->conn[i].fd = -1;
}

static int start_thread(struct control *c, char *why, size_t size)
{
	int err;

	c->stop = eventfd(0, EFD_CLOEXEC);
	err = c->stop < 0 ? errno : pthread_create(&c->thread, NULL, serve, c);
	if (err)
		snprintf(why, size, "the control thread cannot be started: %s", strerror(err));
	if (err && c->stop >= 0)
		close(c->stop);
	return -err;
}

int control_start(const struct control_config *cc, struct control **out, char *why, size_t size)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (!c) {
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	wake_init();
	c->limits = cc->limits;
	c->view = cc->view;
	c->group = control_group(cc->group);
	furnish(c);
	err = open_door(c, &c->door[0], cc->path, why, size);
	if (err)
		goto no_control;
	err = open_door(c, &c->door[1], cc->metrics, why, size);
	if (err)
		goto no_metrics;
	err = start_thread(c, why, size);
	if (err)
		goto no_thread;
	*out = c;
	return 0;

no_thread:
	winlisten_close(&c->door[1].listen);
no_metrics:
	winlisten_close(&c->door[0].listen);
no_control:
	free(c);
	return err;
}

void control_stop(struct control *c)
{
	if (!c)
		return;
	eventfd_write(c->stop, 1);
	pthread_join(c->thread, NULL);
	for (int i = 0; i < CONNS; i++)
		if (c->conn[i].fd >= 0)
			control_conn_close(&c->conn[i]);
	for (int i = 0; i < 2; i++)
		winlisten_close(&c->door[i].listen);
	close(c->stop);
	free(c);
}
