/* SPDX-License-Identifier: MIT */
/*
 * sim/life.c - how simulated domains come and go
 */
#include "sim/life.h"

#include <errno.h>
#include <stdlib.h>

#include "base/step.h"
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
	domain_die(ds, d);
	pthread_mutex_unlock(&d->lock);
	return 0;
}
