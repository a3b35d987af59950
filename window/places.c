/* SPDX-License-Identifier: MIT */
/*
 * window/places.c - the places of a window server's connections, and its event queue
 */
#include "window/places.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>

/* How often time limits are looked at while there are connections. */
#define SWEEP_MS 100

int winplace_arm(struct winsock *ws, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events | EPOLLONESHOT, .data.u64 = data };

	return epoll_ctl(ws->epoll, op, fd, &ev) ? -errno : 0;
}

void winplace_sweep_in(struct winsock *ws, long ns)
{
	struct itimerspec in = { .it_value.tv_nsec = ns };

	/* Or who wants one later would put this one off. */
	__atomic_store_n(&ws->sweeping, true, __ATOMIC_SEQ_CST);
	timerfd_settime(ws->timer, 0, &in, NULL);
}

void winplace_sweep_later(struct winsock *ws)
{
	if (!__atomic_exchange_n(&ws->sweeping, true, __ATOMIC_SEQ_CST))
		winplace_sweep_in(ws, SWEEP_MS * 1000000L);
}

void winplace_init(struct winsock *ws)
{
	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->idle, NULL);
	ws->free_end = &ws->free;
	ws->waiting_end = &ws->waiting;
	for (struct conn *c = ws->conn; c < ws->conn + CONNS; c++) {
		pthread_mutex_init(&c->lock, NULL);
		c->ws = ws;
		c->fd = -1;
		*ws->free_end = c;
		ws->free_end = &c->next;
	}
}

bool winplace_is_own(const struct winsock *ws, const struct windoor *d)
{
	return d != ws->door;
}

/* Of what is left a user gets one more if he has fewer than half of it beyond one half of all; who has none gets one. */
bool winplace_may(const struct winsock *ws, const struct windoor *d)
{
	unsigned int mine = 0, left = OWN_PLACES - ws->owned;

	if (!d->open || !ws->free)
		return false;
	if (!winplace_is_own(ws, d))
		return d->used < CONNECTED;
	for (unsigned int i = 1; i < DOORS; i++)
		mine += ws->door[i].user == d->user ? ws->door[i].used : 0;
	return mine ? 2 * mine + OWN_PLACES / 2 < left : left > 0;
}

void winplace_pause(struct winsock *ws, struct windoor *d)
{
	__atomic_store_n(&d->paused, true, __ATOMIC_RELAXED);
	ws->paused = true;
}

void winplace_listen(struct winsock *ws, struct windoor *d)
{
	if (ws->stopping || !winplace_may(ws, d)) {
		winplace_pause(ws, d);
		return;
	}
	__atomic_store_n(&d->paused, false, __ATOMIC_RELAXED);
	winplace_arm(ws, EPOLL_CTL_MOD, d->listen.fd, EPOLLIN,
		     EVENT_DOOR + (uint64_t)(d - ws->door));
}

void winplace_resume(struct winsock *ws)
{
	if (!ws->paused)
		return;
	ws->paused = false;
	for (struct windoor *d = ws->door; d < ws->door + DOORS; d++)
		if (d->paused)
			winplace_listen(ws, d);
}

/* @by: 1 or -1. */
static void count(struct winsock *ws, struct windoor *door, int by)
{
	ws->used += (unsigned int)by;
	if (!door)
		return;
	door->used += (unsigned int)by;
	if (winplace_is_own(ws, door))
		ws->owned += (unsigned int)by;
}

struct conn *winplace_take(struct winsock *ws, struct windoor *door)
{
	struct conn *c = ws->free;

	count(ws, door, 1);
	c->door = door;
	ws->free = c->next;
	if (!ws->free)
		ws->free_end = &ws->free;
	return c;
}

void winplace_give(struct conn *c)
{
	struct winsock *ws = c->ws;

	c->next = NULL;
	pthread_mutex_lock(&ws->lock);
	*ws->free_end = c;
	ws->free_end = &c->next;
	count(ws, c->door, -1);
	winplace_resume(ws);
	pthread_mutex_unlock(&ws->lock);
}

bool winplace_begin_call(struct winsock *ws)
{
	bool go;

	pthread_mutex_lock(&ws->lock);
	go = !ws->stopping;
	ws->calls += go;
	pthread_mutex_unlock(&ws->lock);
	return go;
}

void winplace_end_call(struct winsock *ws)
{
	pthread_mutex_lock(&ws->lock);
	if (--ws->calls == 0)
		pthread_cond_broadcast(&ws->idle);
	pthread_mutex_unlock(&ws->lock);
}

/* With the lock. There are few threads, so they are asked one by one. */
static unsigned int calls_of(const struct winsock *ws, uid_t user)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ws->started; i++)
		n += ws->server[i].calling && ws->server[i].user == user;
	return n;
}

void winplace_queue(struct winsock *ws, struct conn *c)
{
	pthread_mutex_lock(&ws->lock);
	c->next = NULL;
	c->rank = calls_of(ws, c->user);
	for (const struct conn *w = ws->waiting; w; w = w->next)
		c->rank += w->user == c->user;
	*ws->waiting_end = c;
	ws->waiting_end = &c->next;
	pthread_mutex_unlock(&ws->lock);
}

/* With the lock. @p: what points to it in the list */
static void take_out(struct winsock *ws, struct conn **p)
{
	const struct conn *c = *p;

	*p = c->next;
	if (!*p)
		ws->waiting_end = p;
	for (struct conn *w = *p; w; w = w->next)
		w->rank -= w->user == c->user;
}

/* With the lock. The first of those that fewest of their own users' go before. */
static struct conn **find_next(struct winsock *ws)
{
	struct conn **best = NULL;

	for (struct conn **p = &ws->waiting; *p; p = &(*p)->next) {
		if (best && (*p)->rank >= (*best)->rank)
			continue;
		if (calls_of(ws, (*p)->user) < CALLS_OF_USER)
			best = p;
		if (best == p && !(*p)->rank)
			break;
	}
	return best;
}

struct conn *winplace_next_turn(struct server *sv, bool *more)
{
	struct winsock *ws = sv->ws;
	struct conn **p, *c = NULL;

	pthread_mutex_lock(&ws->lock);
	p = find_next(ws);
	if (p) {
		c = *p;
		/* While it is being made it goes before its user's others: their ranks stay. */
		sv->calling = true;
		sv->user = c->user;
		*p = c->next;
		if (!*p)
			ws->waiting_end = p;
	}
	*more = c && find_next(ws);
	pthread_mutex_unlock(&ws->lock);
	return c;
}

void winplace_end_turn(struct server *sv)
{
	struct winsock *ws = sv->ws;

	pthread_mutex_lock(&ws->lock);
	sv->calling = false;
	for (struct conn *w = ws->waiting; w; w = w->next)
		w->rank -= w->rank && w->user == sv->user;
	pthread_mutex_unlock(&ws->lock);
}

bool winplace_cancel(struct winsock *ws, struct conn *c)
{
	struct conn **p = &ws->waiting;
	bool found;

	pthread_mutex_lock(&ws->lock);
	while (*p && *p != c)
		p = &(*p)->next;
	found = *p;
	if (found)
		take_out(ws, p);
	pthread_mutex_unlock(&ws->lock);
	return found;
}
