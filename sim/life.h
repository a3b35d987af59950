/* SPDX-License-Identifier: MIT */
/*
 * sim/life.h - how simulated domains come and go
 *
 * Any thread, but for domains_fini().
 */
#ifndef SIM_LIFE_H
#define SIM_LIFE_H

#include "sim/domain.h"

/* As the functions of sim/sim.h of these names. */
int domain_add(struct domains *ds, uint16_t domid);
int domain_remove(struct domains *ds, uint16_t domid);

/** domain_make() - Return: the domid's domain, made if there is none yet, with nothing of what lasts changed; NULL: no memory */
struct domain *domain_make(struct domains *ds, uint16_t domid);

/** domain_settle() - under the lock: whatever a dying domain waits for may have gone */
void domain_settle(struct domains *ds, struct domain *d);

/** domains_tell() - a domain may have gone: the daemon's is told by VIRQ_DOM_EXC. Nobody holds a lock */
void domains_tell(struct domains *ds);

/** domain_die() - under the lock: end what a dying domain has, as far as it is not mapped; once more does no harm */
void domain_die(struct domains *ds, struct domain *d);

/** domain_wipe() - under the lock, or at adoption: an absent domain has no tables, nor what was kept of them */
void domain_wipe(struct domains *ds, struct domain *d);

/** domains_fini() - free all domains */
void domains_fini(struct domains *ds);

#endif /* SIM_LIFE_H */
