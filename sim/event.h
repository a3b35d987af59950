/* SPDX-License-Identifier: MIT */
/*
 * sim/event.h - event channel ports of simulated domains
 *
 * As the functions of sim/sim.h of these names, and with their contracts.
 */
#ifndef SIM_EVENT_H
#define SIM_EVENT_H

#include "sim/domain.h"

int port_bind(struct domains *ds, uint16_t domid, uint32_t port, uint16_t remote,
	      sim_event_fn *deliver, void *arg);
int port_unbind(struct domains *ds, uint16_t domid, uint32_t port);
int port_sent(struct domains *ds, uint16_t domid, uint32_t port, uint64_t *sent);
int port_get(struct domains *ds, uint16_t domid, uint32_t port);
void port_put(struct domains *ds, uint16_t domid, uint32_t port);

/** port_deliver() - the callback does not last: it is told again. Return: 0; -ENOENT; -EINVAL if the port is not bound */
int port_deliver(struct domains *ds, uint16_t domid, uint32_t port, sim_event_fn *deliver,
		 void *arg);

/** ports_init() - ports that a predecessor has left. Return: 0; -EINVAL: damaged; -ENOMEM */
int ports_init(struct domain *d);

/** ports_adopted() - what nobody has taken again is unbound, if its owner has closed it. Nobody holds a lock */
void ports_adopted(struct domains *ds, struct domain *d);

/**
 * port_send() - send an event
 * @ev: out: what was sent
 *
 * Delivers it; dropped if nothing is at the other end. Return: 0; -EINVAL if the port is not bound, or to a VIRQ.
 */
int port_send(struct domains *ds, uint16_t domid, uint32_t port, struct sim_event *ev);

#endif /* SIM_EVENT_H */
