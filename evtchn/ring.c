/* SPDX-License-Identifier: MIT */
/*
 * evtchn/ring.c - how an event comes to who reads: ring, mask, sleep and poll
 *
 * As in the driver a port is masked when its event is put into the ring of its open, until its number is written; what comes
 * meanwhile waits at the port, once. The ring is larger than the open has ports, but who unmasks a port before it has read
 * its number can have it twice, and overflow the ring.
 *
 * What lasts, in this order: the event waits at the port (sim/event.c), its number is in the ring, the ring has one more, the
 * port is masked, nothing waits at the port. So a successor finds a port that is not masked and where something waits: it is the
 * last in the ring, or has still to go there. A read is answered before the ring has fewer: what a daemon was about to
 * say when it was killed is said again, and read once more. Events may come twice then, and never get lost.
 *
 * A read that finds nothing sleeps (request_sleep()): it is in a list of its open, and has no thread. Who executes it again, after a kill,
 * puts it there again. Whom to wake of those who poll is the kernel's number of the open, once: who is woken asks again.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/step.h"
#include "evtchn/impl.h"

/* The driver's, while an open has not more ports. */
#define RING_FIRST 64U

/* Read or written at a time. */
#define PORTS_AT_ONCE 1024U

struct sleeper {
	struct cds_list_head node;
	struct request *rq;
};

/* --- the ring ----------------------------------------------------------------------------------- */

static uint32_t cons_of(const struct evtchn_open *o)
{
	return (uint32_t)(o->last->ends >> 32);
}

static uint32_t prod_of(const struct evtchn_open *o)
{
	return (uint32_t)o->last->ends;
}

static void set_ends(struct evtchn_open *o, uint32_t cons, uint32_t prod)
{
	LAST(o->last->ends, (uint64_t)cons << 32 | prod);
}

static bool is_empty(const struct evtchn_open *o)
{
	return cons_of(o) == prod_of(o);
}

static size_t entry_at(uint32_t index, uint32_t size)
{
	return sizeof(struct evtchn_ring_lasting) + (index & (size - 1)) * sizeof(uint32_t);
}

static uint32_t entry(struct evtchn *ev, const struct evtchn_open *o, uint32_t index)
{
	uint32_t port;

	record_read(ev->records, o->last->ring, entry_at(index, o->size), &port, sizeof(port));
	return port;
}

static void put_entry(struct evtchn *ev, uint32_t ring, uint32_t size, uint32_t index,
		      uint32_t port)
{
	record_write(ev->records, ring, entry_at(index, size), &port, sizeof(port));
}

/* What is in the old one is in the new one, at the same indices. */
static int grow(struct evtchn *ev, struct evtchn_open *o, uint32_t size)
{
	const struct evtchn_ring_lasting head = { .size = size, .number = ev->number };
	uint32_t old = o->last->ring;
	uint32_t ring = record_new(ev->records, sizeof(head) + size * sizeof(uint32_t));

	if (!ring)
		return -ENOMEM;
	record_write(ev->records, ring, 0, &head, sizeof(head));
	for (uint32_t i = cons_of(o); i != prod_of(o); i++)
		put_entry(ev, ring, size, i, entry(ev, o, i));
	record_commit(ev->records, ring, RECORD_EVTCHN_RING);
	step(evtchn_ring_made);
	LAST(o->last->ring, ring);
	o->size = size;
	record_end(ev->records, old);
	return 0;
}

int ring_fit(struct evtchn *ev, struct evtchn_open *o, uint32_t ports)
{
	if (ports <= o->size)
		return 0;
	return grow(ev, o, o->size ? 2 * o->size : RING_FIRST);
}

void ring_reset(struct evtchn_open *o)
{
	set_ends(o, 0, 0);
	LAST(o->last->overflow, 0);
}

int ring_adopt(struct evtchn *ev, struct evtchn_open *o)
{
	uint32_t ring = o->last->ring;
	struct evtchn_ring_lasting head = { 0 };

	if (!ring)
		return o->last->ends ? -EINVAL : 0;
	if (record_kind(ev->records, ring) != RECORD_EVTCHN_RING)
		return -EINVAL;
	record_read(ev->records, ring, 0, &head, sizeof(head));
	if (head.number != ev->number || head.size < RING_FIRST || head.size & (head.size - 1) ||
	    record_bytes(ev->records, ring) <
		    entry_at(head.size - 1, head.size) + sizeof(uint32_t) ||
	    prod_of(o) - cons_of(o) > head.size)
		return -EINVAL;
	o->size = head.size;
	return 0;
}

/* --- events ------------------------------------------------------------------------------------- */

/* Ring and mask are the driver's. Return: whether it is in the ring. */
static bool append(struct evtchn *ev, struct evtchn_open *o, uint32_t port)
{
	if (prod_of(o) - cons_of(o) >= o->size) {
		LAST(o->last->overflow, 1);
		return false;
	}
	put_entry(ev, o->last->ring, o->size, prod_of(o), port);
	set_ends(o, cons_of(o), prod_of(o) + 1);
	step(evtchn_appended);
	return true;
}

void ring_deliver(struct evtchn *ev, struct evtchn_port *p, bool again)
{
	struct evtchn_open *o = p->open;
	bool was_empty = is_empty(o), added = false;

	if (!p->last->enabled || !sim_channel_pending(ev->sim, ev->domid, p->last->port))
		return;
	if (!again || was_empty || entry(ev, o, prod_of(o) - 1) != p->last->port)
		added = append(ev, o, p->last->port);
	LAST(p->last->enabled, 0);
	step(evtchn_masked);
	sim_channel_take(ev->sim, ev->domid, p->last->port);
	if (added && was_empty)
		ring_wake(ev, o);
}

/* --- reading ------------------------------------------------------------------------------------ */

/* There is something in the ring. */
static void answer_read(struct evtchn *ev, struct evtchn_open *o, struct request *rq)
{
	uint32_t port[PORTS_AT_ONCE];
	uint32_t n = prod_of(o) - cons_of(o), max = (uint32_t)(rq->out_len / sizeof(port[0]));

	if (n > max)
		n = max;
	if (n > PORTS_AT_ONCE)
		n = PORTS_AT_ONCE;
	for (uint32_t i = 0; i < n; i++)
		port[i] = entry(ev, o, cons_of(o) + i);
	request_done(rq, 0, port, n * sizeof(port[0]));
	step(evtchn_answered);
	set_ends(o, cons_of(o) + n, prod_of(o));
}

/* Return: 0, and the request sleeps; -ENOMEM. */
static int sleep_for(struct evtchn_open *o, struct request *rq)
{
	struct sleeper *s = malloc(sizeof(*s));
	struct request *kept = s ? request_sleep(rq) : NULL;

	if (!kept) {
		free(s);
		return -ENOMEM;
	}
	s->rq = kept;
	cds_list_add_tail(&s->node, &o->sleepers);
	return 0;
}

static struct request *wake_sleeper(struct sleeper *s)
{
	struct request *rq = s->rq;

	cds_list_del(&s->node);
	free(s);
	return rq;
}

void ring_wake(struct evtchn *ev, struct evtchn_open *o)
{
	struct sleeper *s, *next;

	cds_list_for_each_entry_safe(s, next, &o->sleepers, node)
	{
		if (is_empty(o))
			break;
		answer_read(ev, o, wake_sleeper(s));
	}
	if (is_empty(o) || !o->last->wake)
		return;
	ev->dev.wake(ev->dev.session, o->last->wake);
	LAST(o->last->wake, 0);
}

void ring_end_sleepers(struct evtchn_open *o, int err)
{
	struct sleeper *s, *next;

	cds_list_for_each_entry_safe(s, next, &o->sleepers, node)
	{
		request_done(wake_sleeper(s), err, NULL, 0);
	}
}

/* Under the lock. Return: 0: it has been answered, or sleeps; -errno. */
static int read_ring(struct evtchn *ev, struct evtchn_open *o, struct request *rq)
{
	if (o->last->overflow)
		return -EFBIG;
	if (is_empty(o))
		return rq->nonblock ? -EAGAIN : sleep_for(o, rq);
	answer_read(ev, o, rq);
	return 0;
}

void evtchn_read(struct device *dev, struct request *rq)
{
	struct evtchn *ev = (struct evtchn *)dev;
	struct evtchn_open *o;
	int err = -EBADF;

	if (rq->out_len < sizeof(uint32_t)) {
		request_done(rq, 0, NULL, 0);
		return;
	}
	pthread_mutex_lock(&ev->lock);
	o = evtchn_get(ev, rq->fh);
	if (o)
		err = read_ring(ev, o, rq);
	pthread_mutex_unlock(&ev->lock);
	if (err)
		request_done(rq, err, NULL, 0);
}

void evtchn_interrupted(struct device *dev, uint64_t fh, uint64_t unique)
{
	struct evtchn *ev = (struct evtchn *)dev;
	struct sleeper *s, *next;
	struct evtchn_open *o;

	pthread_mutex_lock(&ev->lock);
	o = evtchn_get(ev, fh);
	if (o) {
		cds_list_for_each_entry_safe(s, next, &o->sleepers, node)
		{
			if (s->rq->unique == unique)
				request_done(wake_sleeper(s), -EINTR, NULL, 0);
		}
	}
	pthread_mutex_unlock(&ev->lock);
}

/* --- writing, polling --------------------------------------------------------------------------- */

/* What is not a port of this open is none of its business, and no error. */
static void unmask(struct evtchn *ev, const struct evtchn_open *o, uint32_t port)
{
	struct evtchn_port *p = port <= SIM_PORT_MAX ? ev->port[port] : NULL;

	if (!p || p->open != o || p->last->enabled)
		return;
	LAST(p->last->enabled, 1);
	ring_deliver(ev, p, false);
}

void evtchn_write(struct device *dev, struct request *rq)
{
	struct evtchn *ev = (struct evtchn *)dev;
	size_t n = rq->in_len / sizeof(uint32_t);
	struct evtchn_open *o;
	uint32_t port;

	if (n > PORTS_AT_ONCE)
		n = PORTS_AT_ONCE;
	pthread_mutex_lock(&ev->lock);
	o = evtchn_get(ev, rq->fh);
	for (size_t i = 0; o && i < n; i++) {
		memcpy(&port, (const char *)rq->in + i * sizeof(port), sizeof(port));
		unmask(ev, o, port);
	}
	pthread_mutex_unlock(&ev->lock);
	request_done(rq, o ? (int)(n * sizeof(port)) : -EBADF, NULL, 0);
}

void evtchn_poll(struct device *dev, struct request *rq)
{
	struct evtchn *ev = (struct evtchn *)dev;
	int events = POLLERR;
	struct evtchn_open *o;

	pthread_mutex_lock(&ev->lock);
	o = evtchn_get(ev, rq->fh);
	if (o && rq->wake)
		LAST(o->last->wake, rq->wake);
	if (o && !o->last->overflow)
		events = POLLOUT | POLLWRNORM | (is_empty(o) ? 0 : POLLIN | POLLRDNORM);
	pthread_mutex_unlock(&ev->lock);
	request_done(rq, events, NULL, 0);
}
