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

/** domain_settle() - under the lock: whatever a dying domain waits for may have gone */
void domain_settle(struct domain *d);

/** domains_fini() - free all domains */
void domains_fini(struct domains *ds);

#endif /* SIM_LIFE_H */
