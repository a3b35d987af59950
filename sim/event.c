/* SPDX-License-Identifier: MIT */
/*
 * sim/event.c - event channel ports of simulated domains
 *
 * A port is bound as long as it has references. Its owner's is one of them, so that, as in Linux, an
 * event can still be sent for whoever took a reference after the owner has closed the port.
 */
#include "sim/event.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/life.h"

/* Under the lock. Return: the port, or NULL if it is out of range or unbound. */
static struct port *bound_port(struct domain *d, uint32_t number)
{
	if (!number || number > SIM_PORT_MAX || !d->ports || !d->ports[number].refs)
		return NULL;
	return &d->ports[number];
}

static int bind_locked(struct domain *d, uint32_t number, const struct port *port)
{
	if (!d->ports)
		d->ports = calloc(SIM_PORT_MAX + 1, sizeof(*d->ports));
	if (!d->ports)
		return -ENOMEM;
	if (d->ports[number].refs)
		return -EBUSY;
	d->ports[number] = *port;
	return 0;
}

int port_bind(struct domains *ds, uint16_t domid, uint32_t number, uint16_t remote,
	      sim_event_fn *deliver, void *arg)
{
	struct port port = { .deliver = deliver, .arg = arg, .refs = 1, .remote = remote };
	struct domain *d;
	int err;

	if (!number || number > SIM_PORT_MAX)
		return -EINVAL;
	d = domain_lock_running(ds, domid);
	if (!d)
		return -ENOENT;
	err = bind_locked(d, number, &port);
	pthread_mutex_unlock(&d->lock);
	return err;
}

int port_unbind(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_lock_running(ds, domid);
	struct port *port;
	int err = -EINVAL;

	if (!d)
		return -ENOENT;
	port = bound_port(d, number);
	if (port && !port->unbound) {
		port->unbound = true;
		port->refs--;
		err = 0;
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

int port_sent(struct domains *ds, uint16_t domid, uint32_t number, uint64_t *sent)
{
	struct domain *d = domain_lock_running(ds, domid);
	struct port *port;

	if (!d)
		return -ENOENT;
	port = bound_port(d, number);
	if (port)
		*sent = port->sent;
	pthread_mutex_unlock(&d->lock);
	return port ? 0 : -EINVAL;
}

int port_get(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_lock_running(ds, domid);
	struct port *port;

	if (!d)
		return -EINVAL;
	port = bound_port(d, number);
	if (port) {
		port->refs++;
		d->port_refs++;
	}
	pthread_mutex_unlock(&d->lock);
	return port ? 0 : -EINVAL;
}

void port_put(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_get(ds, domid);
	struct port *port;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	port = bound_port(d, number);
	/* One put too many must not take the owner's reference. */
	if (port && port->refs > (port->unbound ? 0 : 1)) {
		port->refs--;
		d->port_refs--;
		domain_settle(d);
	}
	pthread_mutex_unlock(&d->lock);
}

int port_send(struct domains *ds, uint16_t domid, uint32_t number, struct sim_event *ev)
{
	struct domain *d = domain_lock_running(ds, domid);
	struct port copy = { 0 };
	struct port *port;

	if (!d)
		return -EINVAL;
	port = bound_port(d, number);
	if (port) {
		port->sent++;
		copy = *port;
	}
	pthread_mutex_unlock(&d->lock);
	if (!port)
		return -EINVAL;
	*ev = (struct sim_event){
		.sent = copy.sent, .port = number, .domid = domid, .remote = copy.remote
	};
	/* Without the lock: whoever is told may want to do something about it here. */
	if (copy.deliver)
		copy.deliver(ev, copy.arg);
	return 0;
}
