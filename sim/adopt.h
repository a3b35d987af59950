/* SPDX-License-Identifier: MIT */
/*
 * sim/adopt.h - make a machine whole that a killed daemon has left
 *
 * By one thread, while nothing else runs.
 */
#ifndef SIM_ADOPT_H
#define SIM_ADOPT_H

#include "sim/domain.h"
#include "sim/maptrack.h"

/**
 * adopt_machine() - hold what was left to what can be, finish what was begun, and compute what was not kept
 * @ds: as after domains_init(), with @ds->machine as after machine_init()
 * @mt: as after maptrack_init()
 * @why: out: on failure
 *
 * From here on the machine can be used; ds->adopting is set until adopt_finish(). Return: 0; -EINVAL: it is damaged, and
 * nothing that lasts was changed; -ENOMEM.
 */
int adopt_machine(struct domains *ds, struct maptrack *mt, const char **why);

/** adopt_finish() - whoever had references on ports has them again: what nobody has is gone */
void adopt_finish(struct domains *ds);

#endif /* SIM_ADOPT_H */
