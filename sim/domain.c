/* SPDX-License-Identifier: MIT */
/*
 * sim/domain.c - simulated domains: which there are
 */
#include "sim/domain.h"

void domains_init(struct domains *ds, struct kept *kept, struct machine *machine)
{
	*ds = (struct domains){ .kept = kept,
				.machine = machine,
				.table_max = kept->head->sizes.table_max,
				.mapper = kept->head->sizes.self };
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
	if (d->kept->state == SIM_DOMAIN_RUNNING)
		return d;
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

enum sim_domain_state domain_state(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_get(ds, domid);
	enum sim_domain_state state;

	if (!d)
		return SIM_DOMAIN_ABSENT;
	pthread_mutex_lock(&d->lock);
	state = (enum sim_domain_state)d->kept->state;
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
		counts->domains += d->kept->state != SIM_DOMAIN_ABSENT;
		counts->dying += d->kept->state == SIM_DOMAIN_DYING;
		counts->grants += d->grants;
		counts->pins += d->pins;
		counts->port_refs += d->port_refs;
		pthread_mutex_unlock(&d->lock);
	}
}
