/* SPDX-License-Identifier: MIT */
/*
 * sim/event.c - event channel ports of simulated domains
 *
 * A port is bound as long as it has references. Its owner's is one of them, so that, as in Linux, an
 * event can still be sent for whoever took a reference after the owner has closed the port.
 *
 * What lasts is how many events were sent, and one word, so that a port is bound or not:
 *
 *   bit 63: bound | 62: the owner's reference is gone | 0..15: remote
 *
 * References are taken again by whoever had them (ds->adopting). An event counts before it is delivered: a kill in
 * between loses what the thread would have told, as it loses the thread.
 */
#include "sim/event.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/life.h"

#define PORT_BOUND  (1ULL << 63)
#define PORT_CLOSED (1ULL << 62)
#define PORT_REMOTE 0xffffULL

static uint64_t word_of(const struct domain *d, uint32_t number)
{
	return d->kept_port[number].word;
}

/* Under the lock. Return: whether it is in range and bound. */
static bool is_bound(const struct domain *d, uint32_t number)
{
	return number && number <= SIM_PORT_MAX && d->ports && (word_of(d, number) & PORT_BOUND);
}

static int make_ports(struct domain *d)
{
	if (d->ports)
		return 0;
	if (kept_make(d->kept_port, KEPT_PORTS_BYTES))
		return -ENOMEM;
	d->ports = calloc(SIM_PORT_MAX + 1, sizeof(*d->ports));
	if (!d->ports)
		return -ENOMEM;
	KEEP(d->kept->ports, true);
	return 0;
}

static int bind_locked(struct domain *d, uint32_t number, uint16_t remote, const struct port *port)
{
	int err = make_ports(d);

	if (err)
		return err;
	if (is_bound(d, number))
		return -EBUSY;
	d->ports[number] = *port;
	KEEP(d->kept_port[number].sent, 0);
	KEEP(d->kept_port[number].word, PORT_BOUND | remote);
	return 0;
}

int port_bind(struct domains *ds, uint16_t domid, uint32_t number, uint16_t remote,
	      sim_event_fn *deliver, void *arg)
{
	struct port port = { .deliver = deliver, .arg = arg };
	struct domain *d;
	int err;

	if (!number || number > SIM_PORT_MAX)
		return -EINVAL;
	d = domain_lock_running(ds, domid);
	if (!d)
		return -ENOENT;
	err = bind_locked(d, number, remote, &port);
	pthread_mutex_unlock(&d->lock);
	return err;
}

int port_deliver(struct domains *ds, uint16_t domid, uint32_t number, sim_event_fn *deliver,
		 void *arg)
{
	struct domain *d = domain_lock_running(ds, domid);
	bool bound;

	if (!d)
		return -ENOENT;
	bound = is_bound(d, number);
	if (bound) {
		d->ports[number].deliver = deliver;
		d->ports[number].arg = arg;
	}
	pthread_mutex_unlock(&d->lock);
	return bound ? 0 : -EINVAL;
}

int port_unbind(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_lock_running(ds, domid);
	int err = -EINVAL;

	if (!d)
		return -ENOENT;
	if (is_bound(d, number) && !(word_of(d, number) & PORT_CLOSED)) {
		KEEP(d->kept_port[number].word,
		     d->ports[number].refs ? word_of(d, number) | PORT_CLOSED : 0);
		err = 0;
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

int port_sent(struct domains *ds, uint16_t domid, uint32_t number, uint64_t *sent)
{
	struct domain *d = domain_lock_running(ds, domid);
	bool bound;

	if (!d)
		return -ENOENT;
	bound = is_bound(d, number);
	if (bound)
		*sent = d->kept_port[number].sent;
	pthread_mutex_unlock(&d->lock);
	return bound ? 0 : -EINVAL;
}

/* At adoption also a dying domain's: a reference on its port may be what it waits for. Return: locked, or NULL. */
static struct domain *lock_for_get(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_lock_running(ds, domid);

	if (d || !ds->adopting)
		return d;
	d = domain_get(ds, domid);
	if (d)
		pthread_mutex_lock(&d->lock);
	return d;
}

int port_get(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = lock_for_get(ds, domid);
	bool bound;

	if (!d)
		return -EINVAL;
	bound = is_bound(d, number);
	if (bound) {
		d->ports[number].refs++;
		d->port_refs++;
	}
	pthread_mutex_unlock(&d->lock);
	return bound ? 0 : -EINVAL;
}

/* The last reference but the owner's, which is gone as well. */
static void settle_port(struct domain *d, uint32_t number)
{
	if (!d->ports[number].refs && (word_of(d, number) & PORT_CLOSED))
		KEEP(d->kept_port[number].word, 0);
}

void port_put(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_get(ds, domid);

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	/* One put too many must not take the owner's reference. */
	if (is_bound(d, number) && d->ports[number].refs) {
		d->ports[number].refs--;
		d->port_refs--;
		if (!ds->adopting)
			settle_port(d, number);
		domain_settle(ds, d);
	}
	pthread_mutex_unlock(&d->lock);
}

int port_send(struct domains *ds, uint16_t domid, uint32_t number, struct sim_event *ev)
{
	struct domain *d = domain_lock_running(ds, domid);
	struct port copy = { 0 };
	bool bound;

	if (!d)
		return -EINVAL;
	bound = is_bound(d, number);
	if (bound) {
		KEEP(d->kept_port[number].sent, d->kept_port[number].sent + 1);
		*ev = (struct sim_event){ .sent = d->kept_port[number].sent,
					  .port = number,
					  .domid = domid,
					  .remote = word_of(d, number) & PORT_REMOTE };
		copy = d->ports[number];
	}
	pthread_mutex_unlock(&d->lock);
	if (!bound)
		return -EINVAL;
	/* Without the lock: whoever is told may want to do something about it here. */
	if (copy.deliver)
		copy.deliver(ev, copy.arg);
	return 0;
}

int ports_init(struct domain *d)
{
	for (uint32_t i = 0; i <= SIM_PORT_MAX; i++) {
		uint64_t word = word_of(d, i);

		if (word && (!i || !(word & PORT_BOUND) ||
			     (word & ~(PORT_BOUND | PORT_CLOSED | PORT_REMOTE))))
			return -EINVAL;
	}
	d->ports = calloc(SIM_PORT_MAX + 1, sizeof(*d->ports));
	return d->ports ? 0 : -ENOMEM;
}

void ports_adopted(struct domain *d)
{
	for (uint32_t i = 1; d->ports && i <= SIM_PORT_MAX; i++)
		settle_port(d, i);
}
