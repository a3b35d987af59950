/* SPDX-License-Identifier: MIT */
/*
 * sim/channel.c - event channels between simulated domains
 *
 * The other end is looked at under both domains' locks, which are taken in the order of their domids. Xen's checks, in
 * Xen's order.
 *
 * What is stored in which order: of two ports that are bound to each other the newer one first, and of two that part the
 * one that stays. So a kill in between leaves in both cases a port that is bound to one that is not bound to it: adoption
 * binds that, and whoever was closing closes again. A port that nobody has noted as its own is closed by whoever adopts the
 * domain's device.
 */
#include "sim/channel.h"

#include <errno.h>

#include "base/step.h"
#include "sim/port.h"

/* --- both ends ---------------------------------------------------------------------------------- */

static struct domain *peer_domain(struct domains *ds, uint64_t word)
{
	return port_kind(word) == PORT_INTERDOMAIN ? domain_get(ds, port_remote(word)) : NULL;
}

/* Lock both in their order; @peer: or NULL, or the same. */
static void lock_both(struct domain *d, struct domain *peer)
{
	if (peer && peer->domid < d->domid)
		pthread_mutex_lock(&peer->lock);
	pthread_mutex_lock(&d->lock);
	if (peer && peer->domid > d->domid)
		pthread_mutex_lock(&peer->lock);
}

void ports_unlock(const struct port_ends *e)
{
	if (e->peer && e->peer != e->d)
		pthread_mutex_unlock(&e->peer->lock);
	pthread_mutex_unlock(&e->d->lock);
}

void ports_lock(struct domains *ds, struct domain *d, uint32_t number, struct port_ends *e)
{
	*e = (struct port_ends){ .d = d, .number = number };
	for (;;) {
		struct domain *peer;

		lock_both(d, e->peer);
		e->word = port_word(d, number);
		peer = peer_domain(ds, e->word);
		if (peer == e->peer)
			return;
		/* It was not known whom to lock. */
		ports_unlock(e);
		e->peer = peer;
	}
}

static bool leads_back(const struct port_ends *e, uint64_t word)
{
	return port_kind(word) == PORT_INTERDOMAIN && port_remote(word) == e->d->domid &&
	       port_peer(word) == e->number;
}

void ports_part(const struct port_ends *e)
{
	uint64_t word = e->peer ? port_word(e->peer, port_peer(e->word)) : 0;

	if (e->peer && leads_back(e, word))
		port_store(e->peer, port_peer(e->word),
			   port_make(PORT_UNBOUND, e->d->domid, 0) |
				   (word & (PORT_CLOSED | PORT_PENDING)));
	step(sim_channel_parted);
}

void port_close(const struct port_ends *e)
{
	ports_part(e);
	port_store(e->d, e->number, 0);
}

/* --- binding ------------------------------------------------------------------------------------ */

/* Under the lock. Return: a port that is bound from now on; -ENOMEM, -ENOSPC. */
static int take_port(struct domain *d, uint64_t word)
{
	int err = ports_make(d);
	uint32_t number = err ? 0 : port_free(d);

	if (!number)
		return err ? err : -ENOSPC;
	d->ports[number] = (struct port){ 0 };
	KEEP(d->kept_port[number].sent, 0);
	port_store(d, number, word);
	return (int)number;
}

int channel_unbound(struct domains *ds, uint16_t domid, uint16_t remote)
{
	struct domain *d = domain_lock_running(ds, domid);
	int port;

	if (!d)
		return -ENOENT;
	port = take_port(d, port_make(PORT_UNBOUND, remote == DOMID_SELF ? domid : remote, 0));
	pthread_mutex_unlock(&d->lock);
	return port;
}

static bool has_free_port(struct domain *d)
{
	return !ports_make(d) && port_free(d);
}

/* Under both locks. */
static int bind_to(struct domain *d, struct domain *peer, uint32_t number)
{
	uint64_t word;
	int port;

	if (d->kept->state != SIM_DOMAIN_RUNNING)
		return -ENOENT;
	if (peer->kept->state != SIM_DOMAIN_RUNNING)
		return -ESRCH;
	if (!has_free_port(d))
		return -ENOSPC;
	word = port_word(peer, number);
	if (port_kind(word) != PORT_UNBOUND || port_remote(word) != d->domid)
		return -EINVAL;
	/* Something may have been sent while there was nobody to take it. */
	port = take_port(d, port_make(PORT_INTERDOMAIN, peer->domid, number) | PORT_PENDING);
	if (port < 0)
		return port;
	step(sim_channel_half);
	port_store(peer, number,
		   port_make(PORT_INTERDOMAIN, d->domid, (uint32_t)port) |
			   (word & (PORT_CLOSED | PORT_PENDING)));
	return port;
}

int channel_interdomain(struct domains *ds, uint16_t domid, uint16_t remote, uint32_t number)
{
	struct port_ends e = { .d = domain_get(ds, domid),
			       .peer = domain_get(ds, remote == DOMID_SELF ? domid : remote) };
	int port;

	if (!e.d)
		return -ENOENT;
	if (!e.peer)
		return -ESRCH;
	lock_both(e.d, e.peer);
	port = bind_to(e.d, e.peer, number);
	ports_unlock(&e);
	return port;
}

/* Under the lock. Return: 0: none. */
static uint32_t find_virq(const struct domain *d, uint32_t virq)
{
	for (uint32_t i = 1; d->ports && i <= SIM_PORT_MAX; i++) {
		uint64_t word = port_word(d, i);

		if (port_kind(word) == PORT_VIRQ_BOUND && port_virq(word) == virq)
			return i;
	}
	return 0;
}

int channel_virq(struct domains *ds, uint16_t domid, uint32_t virq)
{
	struct domain *d;
	int port = -EEXIST;

	if (virq >= SIM_VIRQS)
		return -EINVAL;
	d = domain_lock_running(ds, domid);
	if (!d)
		return -ENOENT;
	if (!find_virq(d, virq))
		port = take_port(d, port_make(PORT_VIRQ_BOUND, domid, 0) |
					    (uint64_t)virq << PORT_VIRQ_SHIFT);
	pthread_mutex_unlock(&d->lock);
	return port;
}

/* --- what waits --------------------------------------------------------------------------------- */

void channel_handler(struct domains *ds, uint16_t domid, sim_pending_fn *fn, void *arg)
{
	struct domain *d = domain_get(ds, domid);

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->pending = fn;
	d->pending_arg = arg;
	pthread_mutex_unlock(&d->lock);
}

void channel_raise_virq(struct domains *ds, uint16_t domid, uint32_t virq)
{
	struct domain *d = domain_lock_running(ds, domid);
	sim_pending_fn *pending;
	uint32_t number;
	void *arg;

	if (!d)
		return;
	number = find_virq(d, virq);
	if (number)
		port_store(d, number, port_word(d, number) | PORT_PENDING);
	pending = d->pending;
	arg = d->pending_arg;
	pthread_mutex_unlock(&d->lock);
	if (number && pending)
		pending(number, arg);
}

bool channel_pending(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_get(ds, domid);
	bool pending;

	if (!d)
		return false;
	pthread_mutex_lock(&d->lock);
	pending = port_word(d, number) & PORT_PENDING;
	pthread_mutex_unlock(&d->lock);
	return pending;
}

void channel_take(struct domains *ds, uint16_t domid, uint32_t number)
{
	struct domain *d = domain_get(ds, domid);
	uint64_t word;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	word = port_word(d, number);
	if (word & PORT_PENDING)
		port_store(d, number, word & ~PORT_PENDING);
	pthread_mutex_unlock(&d->lock);
}

bool channel_next(struct domains *ds, uint16_t domid, uint32_t *number)
{
	struct domain *d = domain_lock_running(ds, domid);
	bool found = false;

	if (!d)
		return false;
	while (!found && ++*number <= SIM_PORT_MAX) {
		uint64_t word = port_word(d, *number);

		found = word && port_kind(word) != PORT_PLAIN && !(word & PORT_CLOSED);
	}
	pthread_mutex_unlock(&d->lock);
	return found;
}

/* --- the end of a domain, and adoption ------------------------------------------------------------ */

/* Nobody can bind to what a dying domain has. */
static void end_port(struct domains *ds, const struct port_ends *e)
{
	ports_part(e);
	port_store(e->d, e->number,
		   e->d->ports[e->number].refs || ds->adopting
			   ? port_make(PORT_UNBOUND, port_remote(e->word), 0) | PORT_CLOSED
			   : 0);
}

void channels_end(struct domains *ds, struct domain *d)
{
	for (uint32_t i = 1; i <= SIM_PORT_MAX; i++) {
		struct port_ends e;

		ports_lock(ds, d, i, &e);
		if (e.word)
			end_port(ds, &e);
		ports_unlock(&e);
	}
}

static void mend(const struct port_ends *e)
{
	uint64_t word = e->peer && e->peer->kept->state == SIM_DOMAIN_RUNNING
				? port_word(e->peer, port_peer(e->word))
				: 0;

	if (leads_back(e, word))
		return;
	if (port_kind(word) == PORT_UNBOUND && port_remote(word) == e->d->domid)
		port_store(e->peer, port_peer(e->word),
			   port_make(PORT_INTERDOMAIN, e->d->domid, e->number) |
				   (word & (PORT_CLOSED | PORT_PENDING)));
	else
		port_store(e->d, e->number,
			   port_make(PORT_UNBOUND, port_remote(e->word), 0) |
				   (e->word & (PORT_CLOSED | PORT_PENDING)));
}

void channels_mend(struct domains *ds, struct domain *d)
{
	for (uint32_t i = 1; d->ports && i <= SIM_PORT_MAX; i++) {
		struct port_ends e;

		ports_lock(ds, d, i, &e);
		if (port_kind(e.word) == PORT_INTERDOMAIN)
			mend(&e);
		ports_unlock(&e);
	}
}
