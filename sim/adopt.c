/* SPDX-License-Identifier: MIT */
/*
 * sim/adopt.c - make a machine whole that a killed daemon has left
 *
 * First everything is checked, and nothing that lasts is changed; then each part finishes what was begun. That can be
 * interrupted as well, anywhere, and is done once more then: each step is one that the predecessor could have done.
 */
#include "sim/adopt.h"

#include <errno.h>

#include "sim/channel.h"
#include "sim/event.h"
#include "sim/grant.h"
#include "sim/life.h"

/* What only some domids have is told by what was kept of them. */
static int check_domain(struct domains *ds, uint16_t domid)
{
	const struct kept_domain *k = &ds->kept->domain[domid];

	if (k->state > SIM_DOMAIN_DYING || k->ports > 1 || k->zero ||
	    k->table_frames > ds->table_max)
		return -EINVAL;
	if (k->state == SIM_DOMAIN_ABSENT)
		return domid == ds->mapper ? -EINVAL : 0;
	return k->table_frames ? 0 : -EINVAL;
}

/* What was kept of a domain can be: what was not is made for it. */
static int check_tables(struct domains *ds, uint16_t domid)
{
	const struct kept_domain *k = &ds->kept->domain[domid];
	struct domain *d;
	int err;

	if (k->state == SIM_DOMAIN_ABSENT)
		return 0;
	d = domain_make(ds, domid);
	if (!d)
		return -ENOMEM;
	err = grant_table_adopt(ds, d);
	if (!err && k->ports)
		err = ports_init(d);
	return err;
}

static int each_domid(struct domains *ds, int (*fn)(struct domains *ds, uint16_t domid))
{
	int err = 0;

	for (unsigned int i = 0; i <= SIM_DOMID_MAX && !err; i++)
		err = fn(ds, (uint16_t)i);
	return err;
}

static void each_domain(struct domains *ds, void (*fn)(struct domains *ds, struct domain *d))
{
	for (unsigned int i = 0; i <= SIM_DOMID_MAX; i++)
		if (ds->domain[i])
			fn(ds, ds->domain[i]);
}

static int repin(const struct maptrack_map *map, void *arg)
{
	struct domains *ds = arg;
	struct domain *d = domain_get(ds, map->domid);

	return d ? grant_repin(ds, d, map->ref, map->readonly) : -EINVAL;
}

static int check(struct domains *ds, struct maptrack *mt, const char **why)
{
	int err = each_domid(ds, check_domain);

	*why = "a simulated domain that was left is damaged";
	if (!err)
		err = each_domid(ds, check_tables);
	if (err)
		return err;
	*why = "who owned the simulated machine's frames is damaged";
	err = machine_check(ds->machine);
	if (err)
		return err;
	*why = "a handle of the simulated hypervisor maps what cannot be";
	return maptrack_walk(mt, repin, ds);
}

/* A domain that had gone, but had not been wiped. */
static int wipe_absent(struct domains *ds, uint16_t domid)
{
	const struct kept_domain *k = &ds->kept->domain[domid];
	struct domain *d;

	if (k->state != SIM_DOMAIN_ABSENT || (!k->table_frames && !k->ports))
		return 0;
	d = domain_make(ds, domid);
	if (!d)
		return -ENOMEM;
	domain_wipe(ds, d);
	return 0;
}

static void die_again(struct domains *ds, struct domain *d)
{
	if (d->kept->state != SIM_DOMAIN_DYING)
		return;
	channels_end(ds, d);
	domain_die(ds, d);
}

int adopt_machine(struct domains *ds, struct maptrack *mt, const char **why)
{
	int err;

	ds->adopting = true;
	err = check(ds, mt, why);
	if (err)
		return err;
	*why = "no memory for the simulated hypervisor";
	err = maptrack_adopt(mt);
	if (!err)
		err = each_domid(ds, wipe_absent);
	if (err)
		return err;
	machine_forget(ds->machine);
	each_domain(ds, grant_reget_frames);
	machine_recount(ds->machine);
	each_domain(ds, grant_recount);
	each_domain(ds, channels_mend);
	each_domain(ds, die_again);
	return 0;
}

static void finish(struct domains *ds, struct domain *d)
{
	ports_adopted(ds, d);
	pthread_mutex_lock(&d->lock);
	domain_settle(ds, d);
	pthread_mutex_unlock(&d->lock);
}

void adopt_finish(struct domains *ds)
{
	ds->adopting = false;
	each_domain(ds, finish);
	/* The predecessor may not have come to it. Once too often does no harm. */
	__atomic_store_n(&ds->gone, true, __ATOMIC_RELAXED);
	domains_tell(ds);
}
