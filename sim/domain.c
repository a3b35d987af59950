/* SPDX-License-Identifier: MIT */
/*
 * sim/domain.c - simulated domains: how they come and go
 */
#include "sim/domain.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/grant.h"

void domains_init(struct domains *ds, struct machine *machine, uint32_t table_max, uint16_t mapper)
{
	*ds = (struct domains){ .machine = machine, .table_max = table_max, .mapper = mapper };
}

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

struct domain *domain_get(struct domains *ds, uint16_t domid)
{
	if (domid > SIM_DOMID_MAX)
		return NULL;
	return __atomic_load_n(&ds->domain[domid], __ATOMIC_ACQUIRE);
}

struct domain *domain_lock_running(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_get(ds, domid);

	if (!d)
		return NULL;
	pthread_mutex_lock(&d->lock);
	if (d->state == SIM_DOMAIN_RUNNING)
		return d;
	pthread_mutex_unlock(&d->lock);
	return NULL;
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

enum sim_domain_state domain_state(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_get(ds, domid);
	enum sim_domain_state state;

	if (!d)
		return SIM_DOMAIN_ABSENT;
	pthread_mutex_lock(&d->lock);
	state = d->state;
	pthread_mutex_unlock(&d->lock);
	return state;
}

void domains_count(struct domains *ds, struct sim_counts *counts)
{
	for (unsigned int i = 0; i <= SIM_DOMID_MAX; i++) {
		struct domain *d = domain_get(ds, (uint16_t)i);

		if (!d)
			continue;
		pthread_mutex_lock(&d->lock);
		counts->domains += d->state != SIM_DOMAIN_ABSENT;
		counts->dying += d->state == SIM_DOMAIN_DYING;
		counts->grants += d->grants;
		counts->pins += d->pins;
		counts->port_refs += d->port_refs;
		pthread_mutex_unlock(&d->lock);
	}
}
