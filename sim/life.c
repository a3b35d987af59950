/* SPDX-License-Identifier: MIT */
/*
 * sim/life.c - how simulated domains come and go
 */
#include "sim/life.h"

#include <errno.h>
#include <stdlib.h>

#include "base/step.h"
#include "sim/channel.h"
#include "sim/grant.h"

void domains_fini(struct domains *ds)
{
	for (unsigned int i = 0; i <= SIM_DOMID_MAX; i++) {
		struct domain *d = ds->domain[i];

		if (!d)
			continue;
		grant_table_fini(d);
		free(d->ports);
		pthread_mutex_destroy(&d->lock);
		free(d);
	}
}

struct domain *domain_make(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_get(ds, domid), *other = NULL;

	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->domid = domid;
	d->kept = &ds->kept->domain[domid];
	d->table = kept_tables(ds->kept, domid);
	d->kept_port = kept_ports(ds->kept, domid);
	pthread_mutex_init(&d->lock, NULL);
	if (__atomic_compare_exchange_n(&ds->domain[domid], &other, d, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return d;
	pthread_mutex_destroy(&d->lock);
	free(d);
	return other;
}

int domain_add(struct domains *ds, uint16_t domid)
{
	struct domain *d;
	int err;

	if (domid > SIM_DOMID_MAX)
		return -EINVAL;
	d = domain_make(ds, domid);
	if (!d)
		return -ENOMEM;
	pthread_mutex_lock(&d->lock);
	if (d->kept->state == SIM_DOMAIN_ABSENT) {
		err = grant_table_init(ds, d);
		if (!err)
			KEEP(d->kept->state, SIM_DOMAIN_RUNNING);
		else
			domain_wipe(ds, d);
	} else {
		err = d->kept->state == SIM_DOMAIN_DYING ? -EBUSY : -EEXIST;
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

void domain_wipe(struct domains *ds, struct domain *d)
{
	grant_table_fini(d);
	free(d->ports);
	d->ports = NULL;
	if (d->kept->table_frames)
		kept_wipe(ds->kept, d->table, d->kept->table_frames * sizeof(*d->table));
	if (d->kept->ports)
		kept_wipe(ds->kept, d->kept_port, KEPT_PORTS_BYTES);
	KEEP(d->kept->table_frames, 0);
	KEEP(d->kept->ports, false);
}

void domain_settle(struct domains *ds, struct domain *d)
{
	if (d->kept->state != SIM_DOMAIN_DYING || d->pins || d->port_refs || ds->adopting)
		return;
	KEEP(d->kept->state, SIM_DOMAIN_ABSENT);
	step(sim_domain_gone);
	domain_wipe(ds, d);
	__atomic_store_n(&ds->gone, true, __ATOMIC_RELAXED);
}

void domains_tell(struct domains *ds)
{
	if (__atomic_load_n(&ds->gone, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&ds->gone, false, __ATOMIC_RELAXED))
		channel_raise_virq(ds, ds->mapper, VIRQ_DOM_EXC);
}

void domain_die(struct domains *ds, struct domain *d)
{
	machine_free_all(ds->machine, d->domid);
	grant_revoke_all(ds, d);
	domain_settle(ds, d);
}

int domain_remove(struct domains *ds, uint16_t domid)
{
	struct domain *d;

	if (domid == ds->mapper)
		return -EBUSY;
	d = domain_lock_running(ds, domid);
	if (!d)
		return -ENOENT;
	KEEP(d->kept->state, SIM_DOMAIN_DYING);
	step(sim_domain_dying);
	/* It is not gone before its ports are. */
	d->port_refs++;
	pthread_mutex_unlock(&d->lock);
	channels_end(ds, d);
	pthread_mutex_lock(&d->lock);
	d->port_refs--;
	domain_die(ds, d);
	pthread_mutex_unlock(&d->lock);
	/* Once as it dies, and once more when it has gone. */
	channel_raise_virq(ds, ds->mapper, VIRQ_DOM_EXC);
	domains_tell(ds);
	return 0;
}
