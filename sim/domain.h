/* SPDX-License-Identifier: MIT */
/*
 * sim/domain.h - simulated domains: their grant tables and their event channel ports
 *
 * Any thread may call anything but domains_init(). Each domain has one lock, for its state, its
 * grant table and its ports. It is never held while anything else is waited for, except the lock of
 * the machine's frames, and that of the domain at the other end of an event channel, which has a higher domid.
 */
#ifndef SIM_DOMAIN_H
#define SIM_DOMAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/kept.h"
#include "sim/sim.h"
#include "sim/machine.h"

struct grant_uses;

/**
 * struct port - of an event channel port of a domain, what does not last: the rest is a struct kept_port
 * @refs: taken by port_get()
 */
struct port {
	sim_event_fn *deliver;
	void *arg;
	uint32_t refs;
};

/**
 * struct domain - a domid; never freed before domains_fini(), so pointers to it stay valid
 * @kept:      what lasts: its state
 * @table:     its grant table, which lasts, @kept->table_frames of them made
 * @uses:      of each of these frames, what does not; @n_uses of them made
 * @free_ref:  first of the free references, 0 for none (0 is a reserved one)
 * @grants:    in use
 * @pins:      of its grants, by mappings and by copies
 * @kept_port: SIM_PORT_MAX + 1 of them, which last, made with the first that is bound
 * @ports:     of each of these, what does not; NULL as long as they have not been made
 * @port_refs: taken by port_get(), and one while it is being removed
 * @pending:   whom to call when an event waits at a port of it
 */
struct domain {
	pthread_mutex_t lock;
	struct kept_domain *kept;
	uint16_t domid;
	struct kept_table *table;
	struct grant_uses **uses;
	uint32_t n_uses;
	uint32_t free_ref;
	uint64_t grants;
	uint64_t pins;
	struct kept_port *kept_port;
	struct port *ports;
	uint64_t port_refs;
	sim_pending_fn *pending;
	void *pending_arg;
};

/**
 * struct domains - all domids
 * @kept:      what lasts of them
 * @machine:   their memory
 * @table_max: frames that a grant table can grow to
 * @mapper:    the domain that maps and copies: the daemon's
 * @adopting:  whoever had references on ports before the daemon was killed takes them again
 * @gone:      a domain has gone, and nobody was told (atomic)
 */
struct domains {
	struct kept *kept;
	struct machine *machine;
	uint32_t table_max;
	uint16_t mapper;
	bool adopting;
	bool gone;
	struct domain *domain[SIM_DOMID_MAX + 1];
};

void domains_init(struct domains *ds, struct kept *kept, struct machine *machine);

/* As the function of sim/sim.h of this name. */
enum sim_domain_state domain_state(struct domains *ds, uint16_t domid);

/** domain_get() - Return: the domid's domain, whatever its state, or NULL if it never was one */
struct domain *domain_get(struct domains *ds, uint16_t domid);

/**
 * domain_lock_running() - lock a domain if it is running
 *
 * Return: the domain, locked; NULL if the domid is out of range or the domain is not running.
 */
struct domain *domain_lock_running(struct domains *ds, uint16_t domid);

/* Adds what domains hold to the counts; handles and frames are not known here. */
void domains_count(struct domains *ds, struct sim_counts *counts);

#endif /* SIM_DOMAIN_H */
