/* SPDX-License-Identifier: MIT */
/*
 * sim/make.c - a machine is made, adopted from a predecessor, left to a successor
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim/adopt.h"
#include "sim/impl.h"
#include "sim/life.h"
#include "sim/sim.h"

void sim_fini(struct sim *sim, bool leave)
{
	domains_fini(&sim->domains);
	faults_fini(&sim->faults);
	maptrack_fini(&sim->maptrack);
	machine_fini(&sim->machine, leave);
	kept_close(&sim->kept);
}

void sim_leave(struct sim *sim)
{
	sim_fini(sim, true);
	free(sim);
}

static const char *config_error(const struct sim_config *c)
{
	if (c->memory_pages < 2 || c->memory_pages > UINT32_MAX)
		return "the machine's memory must be at least 2 pages and below 2^32";
	if (c->maptrack_max > SIM_MAPTRACK_MAX)
		return "too many handles for the simulated hypervisor";
	if (c->grant_frames_max > SIM_GRANT_FRAMES_MAX)
		return "too many grant table frames for the simulated hypervisor";
	if (c->self > SIM_DOMID_MAX)
		return "the daemon's domain has a domid that no domain can have";
	return NULL;
}

static int init_kept(struct sim *sim, const struct sim_config *c, const char **why)
{
	const struct kept_sizes sizes = {
		.pages = c->memory_pages,
		.track_max = c->maptrack_max ? c->maptrack_max : SIM_MAPTRACK_DEFAULT,
		.table_max = c->grant_frames_max ? c->grant_frames_max : SIM_GRANT_FRAMES_DEFAULT,
		.self = c->self,
	};
	int err;

	if (c->left && c->left->memory >= 0)
		return kept_adopt(c->left->state, &sim->kept, why);
	if (c->left) {
		*why = "the simulated machine's memory was not kept";
		close(c->left->state);
		return -EINVAL;
	}
	err = kept_new(&sizes, &sim->kept);
	*why = "no memory for the simulated hypervisor";
	return err;
}

/* With all parts made, but nothing in them. */
static int begin(struct sim *sim, bool left, const char **why)
{
	int err;

	if (!left)
		return domain_add(&sim->domains, sim->self);
	*why = "a fault that was left is damaged";
	err = faults_adopt(&sim->faults);
	return err ? err : adopt_machine(&sim->domains, &sim->maptrack, why);
}

static int init_parts(struct sim *sim, const struct sim_config *c, const char **why)
{
	int err = machine_init(&sim->machine, c->dirfd, &sim->kept, c->left ? c->left->memory : -1,
			       why);

	if (err) {
		kept_close(&sim->kept);
		return err;
	}
	*why = "no memory for the simulated hypervisor";
	err = maptrack_init(&sim->maptrack, &sim->kept);
	faults_init(&sim->faults, sim->kept.fault);
	domains_init(&sim->domains, &sim->kept, &sim->machine);
	sim->self = sim->kept.head->sizes.self;
	if (!err)
		err = begin(sim, c->left, why);
	/* What was left stays, for whoever can do more with it. */
	if (err)
		sim_fini(sim, c->left);
	return err;
}

static struct sim *sim_alloc(const struct sim_config *config)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return NULL;
	sim->hv = (struct hypervisor){ .ops = &sim_ops, .name = "sim", .pages = HV_PAGES_FILE };
	sim->event = config->event;
	sim->event_arg = config->event_arg;
	return sim;
}

int sim_new(const struct sim_config *config, struct sim **out, const char **why)
{
	struct sim *sim;
	int err;

	*why = config->left ? NULL : config_error(config);
	if (*why)
		return -EINVAL;
	sim = sim_alloc(config);
	*why = "no memory for the simulated hypervisor";
	if (!sim) {
		if (config->left)
			close(config->left->state);
		err = -ENOMEM;
	} else {
		err = init_kept(sim, config, why);
	}
	if (!err) {
		err = init_parts(sim, config, why);
	} else if (config->left) {
		close(config->left->memory);
	}
	if (err)
		free(sim);
	else
		*out = sim;
	return err;
}

struct sim_kept sim_kept(const struct sim *sim)
{
	return (struct sim_kept){ .state = sim->kept.mem.fd, .memory = sim->machine.fd };
}

void sim_power_off(struct sim *sim)
{
	machine_off(&sim->machine);
}

struct hypervisor *sim_hypervisor(struct sim *sim)
{
	return &sim->hv;
}
