/* SPDX-License-Identifier: MIT */
/*
 * sim/grant.h - grant tables: the granter's side and the hypervisor's
 *
 * Functions that take a struct domain are called under its lock; the others lock it themselves.
 */
#ifndef SIM_GRANT_H
#define SIM_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/domain.h"

/** grant_table_init() - an empty table of one frame. Return: 0 or -ENOMEM. */
int grant_table_init(struct domains *ds, struct domain *d);

/** grant_table_fini() - free what does not last of it */
void grant_table_fini(struct domain *d);

/* As the functions of sim/sim.h of these names. */
int grant_add(struct domains *ds, uint16_t domid, uint16_t mapper, uint32_t frame, bool readonly,
	      uint32_t *ref);
int grant_add_reserved(struct domains *ds, uint16_t domid, uint32_t ref, uint16_t mapper,
		       uint32_t frame, bool readonly);
int grant_revoke(struct domains *ds, uint16_t domid, uint32_t ref);
int grant_revoke_later(struct domains *ds, uint16_t domid, uint32_t ref, bool free_frame);
struct grant_entry_v1 *grant_entry(struct domains *ds, uint16_t domid, uint32_t ref);

/* As the function of sim/sim.h of this name. */
bool grant_next(struct domains *ds, uint16_t domid, uint32_t *ref, struct sim_granted *g);

/** grant_revoke_all() - end all grants of a dying domain as soon as they are not mapped */
void grant_revoke_all(struct domains *ds, struct domain *d);

/**
 * grant_pin() - use a grant: what Xen does when it is mapped, or copied from or to
 * @d:        the granter, running
 * @readonly: for reading only
 * @copy:     for a copy, not a mapping
 * @frame:    out: the frame
 *
 * Return: GNTST_okay; GNTST_bad_gntref; GNTST_general_error; GNTST_bad_page.
 */
int16_t grant_pin(struct domains *ds, struct domain *d, uint32_t ref, bool readonly, bool copy,
		  uint32_t *frame);

/**
 * grant_unpin() - undo one grant_pin()
 * @d: the granter, running or dying
 */
void grant_unpin(struct domains *ds, struct domain *d, uint32_t ref, bool readonly);

/*
 * Adoption, in this order; nothing else runs. The first two are for all domains and change nothing that lasts.
 */

/** grant_table_adopt() - a table that a predecessor has left. Return: 0; -EINVAL: damaged; -ENOMEM */
int grant_table_adopt(struct domains *ds, struct domain *d);

/** grant_repin() - a live handle maps this reference. Return: 0; -EINVAL: that cannot be */
int grant_repin(struct domains *ds, struct domain *d, uint32_t ref, bool readonly);

/** grant_frame() - the frame that a live handle's grant shows */
uint32_t grant_frame(struct domain *d, uint32_t ref);

/** grant_reget_frames() - after machine_forget(): pinned frames are referenced */
void grant_reget_frames(struct domains *ds, struct domain *d);

/** grant_recount() - after machine_recount(): finish what was begun, count what is there */
void grant_recount(struct domains *ds, struct domain *d);

#endif /* SIM_GRANT_H */
