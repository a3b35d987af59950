/* SPDX-License-Identifier: MIT */
/*
 * sim/event.c - event channel ports of simulated domains: references, and what is sent
 *
 * A port is bound as long as it has references. Its owner's is one of them, so that, as in Linux, an
 * event can still be sent for whoever took a reference after the owner has closed the port.
 *
 * What lasts is how many events were sent, and one word (sim/port.h), so that a port is bound or not, and an event waits
 * or does not. How ports come to be bound to each other is in sim/channel.c.
 *
 * An event that is sent waits at the other end (PORT_PENDING) until the domain there has taken it; the domain is told by a
 * call. References are taken again by whoever had them (ds->adopting). An event counts before it is delivered: a kill in
 * between loses what the thread would have told, as it loses the thread; what waits is found by who adopts the port.
 */
#include "sim/event.h"

#include <errno.h>
#include <stdlib.h>

#include "base/step.h"
#include "sim/life.h"
#include "sim/port.h"

/* Under the lock. Return: whether it is in range and bound. */
static bool is_bound(const struct domain *d, uint32_t number)
{
	return port_word(d, number) & PORT_BOUND;
}

int ports_make(struct domain *d)
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

uint32_t port_free(const struct domain *d)
{
	for (uint32_t i = 1; i <= SIM_PORT_MAX; i++)
		if (!d->kept_port[i].word)
			return i;
	return 0;
}

static int bind_locked(struct domain *d, uint32_t number, uint16_t remote, const struct port *port)
{
	int err = ports_make(d);

	if (err)
		return err;
	if (is_bound(d, number))
		return -EBUSY;
	d->ports[number] = *port;
	KEEP(d->kept_port[number].sent, 0);
	port_store(d, number, port_make(PORT_PLAIN, remote, 0));
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

/* Nobody but its owner has a reference, who gives it up: or may have, before they are taken again. */
int port_unbind(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_get(ds, domid);
	struct port_ends e;
	int err = -EINVAL;

	if (!d)
		return -ENOENT;
	ports_lock(ds, d, number, &e);
	if (d->kept->state != SIM_DOMAIN_RUNNING) {
		err = -ENOENT;
	} else if (e.word && !(e.word & PORT_CLOSED)) {
		if (d->ports[number].refs || ds->adopting)
			port_store(d, number, e.word | PORT_CLOSED);
		else
			port_close(&e);
		err = 0;
	}
	ports_unlock(&e);
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

/* Under both locks: whether the last reference but the owner's, which is gone as well, is. */
static void settle_port(const struct port_ends *e)
{
	if (e->word & PORT_CLOSED && !e->d->ports[e->number].refs)
		port_close(e);
}

void port_put(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_get(ds, domid);
	struct port_ends e;

	if (!d)
		return;
	ports_lock(ds, d, number, &e);
	/* One put too many must not take the owner's reference. */
	if (e.word && d->ports[number].refs) {
		d->ports[number].refs--;
		d->port_refs--;
		if (!ds->adopting)
			settle_port(&e);
		domain_settle(ds, d);
	}
	ports_unlock(&e);
	domains_tell(ds);
}

/* What waits there is one event, however often it was sent. Nobody holds a lock. */
static void raise_at(struct domain *d, uint32_t number, uint16_t from, uint32_t from_port)
{
	sim_pending_fn *pending = NULL;
	void *arg = NULL;
	uint64_t word;

	pthread_mutex_lock(&d->lock);
	word = port_word(d, number);
	/* It may have another end by now. */
	if (port_kind(word) == PORT_INTERDOMAIN && port_remote(word) == from &&
	    port_peer(word) == from_port) {
		port_store(d, number, word | PORT_PENDING);
		pending = d->pending;
		arg = d->pending_arg;
	}
	pthread_mutex_unlock(&d->lock);
	step(sim_event_waits);
	if (pending)
		pending(number, arg);
}

int port_send(struct domains *ds, uint16_t domid, uint32_t number, struct sim_event *ev)
{
	struct domain *d = domain_lock_running(ds, domid);
	struct domain *peer = NULL;
	struct port copy = { 0 };
	uint64_t word;

	if (!d)
		return -EINVAL;
	word = port_word(d, number);
	if (word && port_kind(word) != PORT_VIRQ_BOUND) {
		KEEP(d->kept_port[number].sent, d->kept_port[number].sent + 1);
		*ev = (struct sim_event){ .sent = d->kept_port[number].sent,
					  .port = number,
					  .domid = domid,
					  .remote = port_remote(word) };
		copy = d->ports[number];
	}
	pthread_mutex_unlock(&d->lock);
	if (!word || port_kind(word) == PORT_VIRQ_BOUND)
		return -EINVAL;
	/* Without the lock: whoever is told may want to do something about it here. */
	if (copy.deliver)
		copy.deliver(ev, copy.arg);
	if (port_kind(word) == PORT_INTERDOMAIN)
		peer = domain_get(ds, port_remote(word));
	if (peer)
		raise_at(peer, port_peer(word), domid, number);
	return 0;
}

static bool can_be(uint32_t number, uint64_t word)
{
	if (!number || !(word & PORT_BOUND) || word & ~PORT_WORD)
		return false;
	return port_kind(word) != PORT_INTERDOMAIN ||
	       (port_remote(word) <= SIM_DOMID_MAX && port_peer(word) &&
		port_peer(word) <= SIM_PORT_MAX);
}

int ports_init(struct domain *d)
{
	for (uint32_t i = 0; i <= SIM_PORT_MAX; i++)
		if (d->kept_port[i].word && !can_be(i, d->kept_port[i].word))
			return -EINVAL;
	d->ports = calloc(SIM_PORT_MAX + 1, sizeof(*d->ports));
	return d->ports ? 0 : -ENOMEM;
}

void ports_adopted(struct domains *ds, struct domain *d)
{
	for (uint32_t i = 1; d->ports && i <= SIM_PORT_MAX; i++) {
		struct port_ends e;

		ports_lock(ds, d, i, &e);
		if (e.word)
			settle_port(&e);
		ports_unlock(&e);
	}
}
