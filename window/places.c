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

bool winplace_is_free(const struct winsock *ws)
{
	return ws->free && ws->connected < CONNECTED;
}

void winplace_resume(struct winsock *ws)
{
	if (!ws->paused || ws->stopping || !winplace_is_free(ws))
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

struct conn *winplace_take(struct winsock *ws, bool connected)
{
	struct conn *c = ws->free;

	ws->used++;
	ws->connected += connected;
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
	ws->connected -= !c->adopted;
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
static bool may_call(const struct winsock *ws, const struct conn *c)
{
	unsigned int of_user = 0;

	for (unsigned int i = 0; i < ws->started; i++)
		of_user += ws->server[i].calling && ws->server[i].user == c->user;
	return of_user < CALLS_OF_USER;
}

/* With the lock. */
static void begin_turn(struct server *sv, const struct conn *c)
{
	sv->calling = true;
	sv->user = c->user;
}

bool winplace_begin_turn(struct server *sv, struct conn *c)
{
	struct winsock *ws = sv->ws;
	bool may;

	pthread_mutex_lock(&ws->lock);
	may = may_call(ws, c);
	if (may) {
		begin_turn(sv, c);
	} else {
		c->next = NULL;
		*ws->waiting_end = c;
		ws->waiting_end = &c->next;
	}
	pthread_mutex_unlock(&ws->lock);
	return may;
}

struct conn *winplace_next_turn(struct server *sv)
{
	struct winsock *ws = sv->ws;
	struct conn **p = &ws->waiting, *c;

	pthread_mutex_lock(&ws->lock);
	sv->calling = false;
	while (*p && !may_call(ws, *p))
		p = &(*p)->next;
	c = *p;
	if (c) {
		*p = c->next;
		if (!*p)
			ws->waiting_end = p;
		begin_turn(sv, c);
	}
	pthread_mutex_unlock(&ws->lock);
	return c;
}
