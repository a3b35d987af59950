/* SPDX-License-Identifier: MIT */
/*
 * window/doors.c - where clients of a window server connect
 */
#include "window/doors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/owner.h"

static void close_door(struct winsock *ws, struct windoor *d)
{
	epoll_ctl(ws->epoll, EPOLL_CTL_DEL, d->listen.fd, NULL);
	winlisten_close(&d->listen);
	d->open = false;
	d->paused = false;
}

void windoor_close_all(struct winsock *ws)
{
	for (struct windoor *d = ws->door; d < ws->door + DOORS; d++)
		if (d->open)
			close_door(ws, d);
}

/* --- users' own ------------------------------------------------------------------------------------- */

static struct windoor *find_door(struct winsock *ws, uid_t uid)
{
	for (struct windoor *d = ws->door + 1; d < ws->door + DOORS; d++)
		if (d->open && d->uid == uid)
			return d;
	return NULL;
}

/* Whether it may become another's: the places that came through it count until they are given back. */
static bool is_idle(const struct windoor *d, uint64_t now)
{
	return !d->used && (!d->open || now - d->asked > DOOR_IDLE_MS);
}

/* A place for one more. Return: NULL if there is none for this user. */
static struct windoor *place_for(struct winsock *ws, uid_t user, uint64_t now)
{
	struct windoor *best = NULL;
	unsigned int his = 0;

	for (struct windoor *d = ws->door + 1; d < ws->door + DOORS; d++) {
		his += d->open && d->user == user;
		if (is_idle(d, now) &&
		    (!best || (best->open && (!d->open || d->asked < best->asked))))
			best = d;
	}
	return his < DOORS_OF_USER ? best : NULL;
}

/* Return: 0 or -errno. */
static int open_door(struct winsock *ws, struct windoor *d, uid_t uid, uid_t user)
{
	char path[sizeof(d->listen.path)];
	struct winlisten l;
	const char *why;
	int err;

	if (snprintf(path, sizeof(path), "%s.%u", ws->door->listen.path, (unsigned int)uid) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	err = winlisten_start_user(&l, path, uid, &why);
	if (err)
		return err;
	if (d->open)
		close_door(ws, d);
	*d = (struct windoor){ .listen = l, .open = true, .uid = uid, .user = user };
	err = winplace_arm(ws, EPOLL_CTL_ADD, l.fd, EPOLLIN, EVENT_DOOR + (uint64_t)(d - ws->door));
	if (err)
		close_door(ws, d);
	return err;
}

/* Whom a thread counts against. Return: whether that is known: else he could be many. */
static bool find_user(uid_t uid, pid_t tid, uid_t *user)
{
	enum owner_ns ns = tid ? owner_read(tid, user) : OWNER_UNKNOWN;

	if (ns == OWNER_OURS)
		*user = uid;
	return ns != OWNER_UNKNOWN;
}

/* With the lock. Return: NULL if there can be none. */
static struct windoor *make_door(struct winsock *ws, uid_t uid, uid_t user)
{
	struct windoor *d = ws->stopping ? NULL : place_for(ws, user, clock_coarse_ms());
	int err = d ? open_door(ws, d, uid, user) : 0;

	if (err)
		log_debug("user %u gets no window socket: %s", (unsigned int)uid, strerror(-err));
	return err ? NULL : d;
}

void winsock_path_for(struct winsock *ws, uid_t uid, pid_t tid, char path[WINSOCK_PATH])
{
	struct windoor *d;
	uid_t user;
	bool known;

	pthread_mutex_lock(&ws->lock);
	d = find_door(ws, uid);
	if (!d) {
		/* It may take its time, and somebody else may do the same. */
		pthread_mutex_unlock(&ws->lock);
		known = find_user(uid, tid, &user);
		pthread_mutex_lock(&ws->lock);
		d = find_door(ws, uid);
		d = d || !known ? d : make_door(ws, uid, user);
	}
	d = d ? d : ws->door;
	d->asked = clock_coarse_ms();
	memcpy(path, d->listen.path, WINSOCK_PATH);
	pthread_mutex_unlock(&ws->lock);
}
