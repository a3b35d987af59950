/* SPDX-License-Identifier: MIT */
/*
 * evtchn/adopt.c - the device xen/evtchn takes over what a predecessor had
 *
 * From records come opens, with their rings, and ports; the machine says which of these are bound, and where an event waits. By
 * one thread, before anybody else has the device.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/rcu.h"
#include "evtchn/evtchn.h"
#include "evtchn/impl.h"

/* --- opens ---------------------------------------------------------------------------------------- */

static int adopt_open(struct evtchn *ev, uint32_t record)
{
	struct evtchn_open *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	o->record = record;
	o->last = record_head(ev->records, record);
	CDS_INIT_LIST_HEAD(&o->ports);
	CDS_INIT_LIST_HEAD(&o->sleepers);
	err = ring_adopt(ev, o);
	if (!err && (o->last->overflow > 1 || o->last->restricted >= DOMID_FIRST_RESERVED))
		err = -EINVAL;
	if (!err) {
		o->user = quota_open(ev->quota, o->last->user, QUOTA_NO_OWNER, NULL, NULL);
		err = o->user ? ids_restore(ev->opens, o->last->fh, o) : -ENOMEM;
	}
	if (!err)
		return 0;
	if (o->user)
		quota_close(ev->quota, o->user);
	free(o);
	return err == -EEXIST ? -EINVAL : err;
}

/* Several devices share the records. */
static int adopt_opens(struct evtchn *ev, const struct evtchn_adoption *a)
{
	uint32_t cursor = 0, record;
	int err = 0;

	ids_restoring(ev->opens, records_most(ev->records));
	while (!err && (record = record_next(ev->records, RECORD_EVTCHN_OPEN, &cursor))) {
		const struct evtchn_open_lasting *last = record_head(ev->records, record);

		if (last->number != ev->number)
			continue;
		if (a->given_up(a->arg, last->maker, 0) || a->given_up(a->arg, 0, last->fh)) {
			/* Its ports are no open's now. */
			record_end(ev->records, record);
			continue;
		}
		err = adopt_open(ev, record);
		if (!err)
			err = a->opened(a->arg, last->user, last->fh);
	}
	ids_restored(ev->opens);
	return err;
}

/**
 * struct rings - those that opens have, sorted
 */
struct rings {
	size_t n;
	uint32_t *ring;
};

static int by_number(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void count_open(uint64_t id, void *obj, void *arg)
{
	(void)id;
	(void)obj;
	++*(size_t *)arg;
}

static void note_ring(uint64_t id, void *obj, void *arg)
{
	const struct evtchn_open *o = obj;
	struct rings *r = arg;

	(void)id;
	r->ring[r->n++] = o->last->ring;
}

/* Return: 0 or -ENOMEM. */
static int note_rings(struct evtchn *ev, struct rings *r)
{
	size_t n = 0;

	rcu_read_enter();
	ids_for_each(ev->opens, count_open, &n);
	*r = (struct rings){ .ring = calloc(n + 1, sizeof(*r->ring)) };
	if (r->ring)
		ids_for_each(ev->opens, note_ring, r);
	rcu_read_leave();
	if (!r->ring)
		return -ENOMEM;
	qsort(r->ring, r->n, sizeof(*r->ring), by_number);
	return 0;
}

/* A ring that was replaced, or was to replace one; or its open has gone. Return: 0 or -ENOMEM. */
static int end_other_rings(struct evtchn *ev)
{
	uint32_t cursor = 0, ring;
	struct rings r;
	int err = note_rings(ev, &r);

	while (!err && (ring = record_next(ev->records, RECORD_EVTCHN_RING, &cursor))) {
		struct evtchn_ring_lasting head;

		record_read(ev->records, ring, 0, &head, sizeof(head));
		if (head.number == ev->number &&
		    !bsearch(&ring, r.ring, r.n, sizeof(ring), by_number))
			record_end(ev->records, ring);
	}
	free(r.ring);
	return err;
}

/* --- ports ---------------------------------------------------------------------------------------- */

static int adopt_port(struct evtchn *ev, struct evtchn_open *o, uint32_t record)
{
	struct evtchn_port_lasting *last = record_head(ev->records, record);
	struct evtchn_port *p;

	if (ev->port[last->port] || !o->size)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct evtchn_port){ .last = last, .record = record, .open = o };
	ev->port[last->port] = p;
	cds_list_add_tail(&p->node, &o->ports);
	o->n_ports++;
	return 0;
}

static bool is_bound(struct evtchn *ev, uint32_t port)
{
	uint32_t at = port - 1;

	return sim_channel_next(ev->sim, ev->domid, &at) && at == port;
}

/* A port of an open that was closed, or of a domain that has died, is nobody's; nor is one that nobody is told of. */
static int adopt_ports(struct evtchn *ev, const struct evtchn_adoption *a)
{
	uint32_t cursor = 0, record;
	int err = 0;

	while (!err && (record = record_next(ev->records, RECORD_EVTCHN_PORT, &cursor))) {
		const struct evtchn_port_lasting *last = record_head(ev->records, record);
		struct evtchn_open *o;

		if (last->number != ev->number)
			continue;
		if (!last->port || last->port > SIM_PORT_MAX || last->enabled > 1)
			return -EINVAL;
		o = evtchn_get(ev, last->fh);
		if (o && is_bound(ev, last->port) && !a->given_up(a->arg, last->maker, 0))
			err = adopt_port(ev, o, record);
		else
			record_end(ev->records, record);
	}
	return err;
}

/* Bound, or to be closed, by a request that did not get further. */
static void close_unknown(struct evtchn *ev)
{
	uint32_t port = 0;

	while (sim_channel_next(ev->sim, ev->domid, &port))
		if (!ev->port[port])
			sim_port_unbind(ev->sim, ev->domid, port);
}

/* --- the whole ------------------------------------------------------------------------------------ */

/* What was on its way. */
static void deliver_all(struct evtchn *ev)
{
	for (uint32_t i = 1; i <= SIM_PORT_MAX; i++)
		if (ev->port[i])
			ring_deliver(ev, ev->port[i], true);
}

static void wake(uint64_t id, void *obj, void *arg)
{
	(void)id;
	ring_wake(arg, obj);
}

int evtchn_adopt(struct evtchn *ev, const struct evtchn_adoption *a)
{
	int err = adopt_opens(ev, a);

	if (!err)
		err = adopt_ports(ev, a);
	if (!err)
		err = end_other_rings(ev);
	if (err)
		return err;
	close_unknown(ev);
	pthread_mutex_lock(&ev->lock);
	deliver_all(ev);
	rcu_read_enter();
	ids_for_each(ev->opens, wake, ev);
	rcu_read_leave();
	pthread_mutex_unlock(&ev->lock);
	return 0;
}

static void leave_open(uint64_t id, void *obj, void *arg)
{
	struct evtchn_open *o = obj;
	struct evtchn *ev = arg;
	struct evtchn_port *p, *next;

	(void)id;
	cds_list_for_each_entry_safe(p, next, &o->ports, node) free(p);
	quota_close(ev->quota, o->user);
	free(o);
}

void evtchn_leave(struct evtchn *ev)
{
	rcu_read_enter();
	ids_for_each(ev->opens, leave_open, ev);
	rcu_read_leave();
	evtchn_destroy(ev);
}
