/* SPDX-License-Identifier: MIT */
/*
 * sim/life.c - how simulated domains come and go
 */
#include "sim/life.h"

#include <errno.h>
#include <stdlib.h>

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

/* Return: the domid's domain, made if there is none yet; NULL: no memory. */
static struct domain *domain_make(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_get(ds, domid), *other = NULL;

	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->domid = domid;
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
	if (d->state == SIM_DOMAIN_ABSENT) {
		err = grant_table_init(d, ds->table_max);
		if (!err)
			d->state = SIM_DOMAIN_RUNNING;
	} else {
		err = d->state == SIM_DOMAIN_DYING ? -EBUSY : -EEXIST;
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

void domain_settle(struct domain *d)
{
	if (d->state != SIM_DOMAIN_DYING || d->pins || d->port_refs)
		return;
	grant_table_fini(d);
	free(d->ports);
	d->ports = NULL;
	d->state = SIM_DOMAIN_ABSENT;
}

int domain_remove(struct domains *ds, uint16_t domid)
{
	struct domain *d;

	if (domid == ds->mapper)
		return -EBUSY;
	d = domain_lock_running(ds, domid);
	if (!d)
		return -ENOENT;
	d->state = SIM_DOMAIN_DYING;
	machine_free_all(ds->machine, domid);
	grant_revoke_all(ds, d);
	domain_settle(d);
	pthread_mutex_unlock(&d->lock);
	return 0;
}
