/* SPDX-License-Identifier: MIT */
/*
 * sim/channel.h - event channels between simulated domains
 *
 * As the functions of sim/sim.h of these names, and with their contracts.
 */
#ifndef SIM_CHANNEL_H
#define SIM_CHANNEL_H

#include "sim/domain.h"

int channel_unbound(struct domains *ds, uint16_t domid, uint16_t remote);
int channel_interdomain(struct domains *ds, uint16_t domid, uint16_t remote, uint32_t port);
int channel_virq(struct domains *ds, uint16_t domid, uint32_t virq);
void channel_handler(struct domains *ds, uint16_t domid, sim_pending_fn *fn, void *arg);
bool channel_pending(struct domains *ds, uint16_t domid, uint32_t port);
void channel_take(struct domains *ds, uint16_t domid, uint32_t port);
bool channel_next(struct domains *ds, uint16_t domid, uint32_t *port);

/** channel_raise_virq() - Xen has something to tell a domain; nobody listens: nothing is done. Nobody holds a lock */
void channel_raise_virq(struct domains *ds, uint16_t domid, uint32_t virq);

/** channels_end() - a dying domain's ports part from their other ends, and are unbound but for references. Once more does no harm */
void channels_end(struct domains *ds, struct domain *d);

/** channels_mend() - at adoption, before anything else runs: what was half bound is bound, and whose other end has gone is unbound */
void channels_mend(struct domains *ds, struct domain *d);

#endif /* SIM_CHANNEL_H */
