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

	timerfd_settime(ws->timer, 0, &in, NULL);
}

void winplace_sweep_later(struct winsock *ws)
{
	if (!__atomic_exchange_n(&ws->sweeping, true, __ATOMIC_SEQ_CST))
		winplace_sweep_in(ws, SWEEP_MS * 1000000L);
}

void winplace_resume(struct winsock *ws)
{
	if (!ws->paused || ws->stopping)
		return;
	ws->paused = false;
	winplace_arm(ws, EPOLL_CTL_MOD, ws->listen.fd, EPOLLIN, EVENT_LISTEN);
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

struct conn *winplace_take(struct winsock *ws)
{
	struct conn *c = ws->free;

	ws->used++;
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
	ws->used--;
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

/* With the lock. */
static bool may_call(const struct winsock *ws, const struct conn *c)
{
	return ws->calls_of[c->call.uid % USERS] < CALLS_OF_USER;
}

/* With the lock. */
static void count_call(struct winsock *ws, const struct conn *c)
{
	ws->calls_of[c->call.uid % USERS]++;
	ws->calling++;
}

bool winplace_begin_turn(struct winsock *ws, struct conn *c)
{
	bool may;

	pthread_mutex_lock(&ws->lock);
	may = may_call(ws, c);
	if (may) {
		count_call(ws, c);
	} else {
		c->next = NULL;
		*ws->waiting_end = c;
		ws->waiting_end = &c->next;
	}
	pthread_mutex_unlock(&ws->lock);
	return may;
}

struct conn *winplace_next_turn(struct winsock *ws, uid_t uid)
{
	struct conn **p = &ws->waiting, *c;

	pthread_mutex_lock(&ws->lock);
	ws->calls_of[uid % USERS]--;
	ws->calling--;
	while (*p && !may_call(ws, *p))
		p = &(*p)->next;
	c = *p;
	if (c) {
		*p = c->next;
		if (!*p)
			ws->waiting_end = p;
		count_call(ws, c);
	}
	pthread_mutex_unlock(&ws->lock);
	return c;
}
