/* SPDX-License-Identifier: MIT */
/*
 * sim/impl.h - the machine and its parts, for the files that are the face of it
 */
#ifndef SIM_IMPL_H
#define SIM_IMPL_H

#include "hypercall.h"
#include "sim/domain.h"
#include "sim/fault.h"
#include "sim/kept.h"
#include "sim/machine.h"
#include "sim/maptrack.h"
#include "sim/sim.h"

/**
 * struct sim - a machine
 * @kept: what lasts of it, but for the file of its memory
 */
struct sim {
	struct hypervisor hv;
	struct kept kept;
	struct machine machine;
	struct maptrack maptrack;
	struct domains domains;
	struct faults faults;
	uint16_t self;
	sim_event_fn *event;
	void *event_arg;
};

/* sim/sim.c */
extern const struct hypervisor_ops sim_ops;

/** sim_fini() - free the machine's parts; @leave: but not what lasts */
void sim_fini(struct sim *sim, bool leave);

#endif /* SIM_IMPL_H */
