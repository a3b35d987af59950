/* SPDX-License-Identifier: MIT */
/*
 * platform.c - what the daemon stands on: the real Xen, or the simulated machine
 */
#include "platform.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/why.h"
#include "hypercall.h"
#include "report/hvwatch.h"
#include "sim/sim.h"
#include "state/lent.h"
#include "xen/xen.h"

bool platform_choose(struct platform *p, const struct platform_config *c, bool granters,
		     const struct why *why)
{
	const char *not = xen_platform();

	p->xen = c->xen || (!c->sim && hv_platform_is_xen());
	if (p->xen && not )
		return because(why, "%s%s%s", c->xen ? "--xen: " : "", not,
			       c->xen ? "" : "; --sim is for the simulated hypervisor");
	if (p->xen && (granters || c->n_ports || c->n_faults))
		return because(why,
			       "--granter, --evtchn, --sim-port and --fault are for the simulated "
			       "hypervisor, and this machine runs under Xen: give --sim, too");
	if (!p->xen && !c->sim)
		log_info("no Xen here: using the simulated hypervisor (--sim)");
	return true;
}

bool platform_mount(struct platform *p, const char *path, bool left, const struct why *why)
{
	int err = p->xen && !left ? xen_mount(path) : 0;

	if (err)
		return because(why, "cannot mount a tmpfs for windows at %s: %s%s", path,
			       strerror(-err), err == -EPERM ? " (CAP_SYS_ADMIN is needed)" : "");
	if (p->xen)
		snprintf(p->mounted, sizeof(p->mounted), "%s", path);
	return true;
}

static void log_event(const struct sim_event *ev, void *arg)
{
	(void)arg;
	log_debug("sim: event %" PRIu64 " on port %u of domain %u, to domain %u", ev->sent,
		  ev->port, ev->domid, ev->remote);
}

static bool add_ports(struct platform *p, const struct platform_config *c, const struct why *why)
{
	for (unsigned int i = 0; i < c->n_ports; i++) {
		const struct platform_port *port = &c->port[i];
		int err = sim_port_bind(p->sim, 0, port->port, port->remote, NULL, NULL);

		if (err)
			return because(why, "--sim-port=%u:%u: %s", port->port, port->remote,
				       strerror(-err));
	}
	return true;
}

static bool add_faults(struct platform *p, const struct platform_config *c, const struct why *why)
{
	const char *text;

	for (unsigned int i = 0; i < c->n_faults; i++)
		if (sim_fault_add(p->sim, c->fault[i], &text))
			return because(why, "--fault=%s: %s", c->fault[i], text);
	return true;
}

static bool watch(struct platform *p, const struct why *why)
{
	struct hypervisor *hv = hvwatch_new(p->hv);

	if (!hv)
		return because(why, "out of memory");
	p->hv = hv;
	return true;
}

static bool keep_sim(struct platform *p, struct lent *lent, const struct why *why)
{
	struct sim_kept k = sim_kept(p->sim);
	int err = lent_give(lent, "sim", k.state);

	if (!err)
		err = lent_give(lent, "machine", k.memory);
	return !err || because(why, "keeper: %s", strerror(-err));
}

static bool start_sim(struct platform *p, const struct platform_config *c, int dirfd,
		      struct lent *lent, const struct why *why)
{
	struct sim_config sc = {
		.dirfd = dirfd,
		.memory_pages = c->sim_pages,
		.event = log_event,
	};
	struct sim_kept left;
	const char *text;
	int err;

	if (lent_adopting(lent)) {
		left = (struct sim_kept){ lent_take(lent, "sim"), lent_take(lent, "machine") };
		sc.left = &left;
	}
	err = sim_new(&sc, &p->sim, &text);
	if (err)
		return because(why, "the simulated hypervisor cannot start: %s (%s)", text,
			       strerror(-err));
	p->hv = sim_hypervisor(p->sim);
	if (!watch(p, why))
		return false;
	/* A machine that was left has them. */
	return sc.left || (keep_sim(p, lent, why) && add_ports(p, c, why) && add_faults(p, c, why));
}

static bool start_xen(struct platform *p, int dirfd, struct lent *lent, const struct why *why)
{
	const char *text;
	int err = xen_new(dirfd, lent, &p->hv, &text);

	if (err)
		return because(why, "%s: %s", text, strerror(-err));
	return watch(p, why);
}

bool platform_start(struct platform *p, const struct platform_config *c, int dirfd,
		    struct lent *lent, const struct why *why)
{
	return p->xen ? start_xen(p, dirfd, lent, why) : start_sim(p, c, dirfd, lent, why);
}

static void report_sim(const struct platform *p, uint64_t opens, uint64_t maps, uint64_t windows)
{
	struct sim_counts n;

	sim_counts(p->sim, &n);
	log_info("held: opens=%" PRIu64 " maps=%" PRIu64 " windows=%" PRIu64 " handles=%" PRIu64
		 " pins=%" PRIu64 " grants=%" PRIu64 " frames=%" PRIu64 " ports=%" PRIu64,
		 opens, maps, windows, n.handles, n.pins, n.grants, n.frames, n.port_refs);
}

static void report_xen(const struct platform *p, uint64_t opens, uint64_t maps, uint64_t windows)
{
	struct hv_counts n;

	p->hv->ops->counts(p->hv, &n);
	log_info("held: opens=%" PRIu64 " maps=%" PRIu64 " windows=%" PRIu64 " handles=%" PRIu64
		 " ports=%" PRIu64 " away=%" PRIu64 " quarantined=%" PRIu64,
		 opens, maps, windows, n.handles, n.ports, n.away, n.quarantined);
}

void platform_report(const struct platform *p, uint64_t opens, uint64_t maps, uint64_t windows)
{
	if (p->xen)
		report_xen(p, opens, maps, windows);
	else
		report_sim(p, opens, maps, windows);
}

void platform_power_off(struct platform *p)
{
	if (p->sim)
		sim_power_off(p->sim);
}

int platform_check_empty(const struct platform *p)
{
	struct hv_counts n = { 0 };

	if (p->hv)
		p->hv->ops->counts(p->hv, &n);
	if (!n.handles && !n.ports)
		return 0;
	log_err("%" PRIu64 " grants and %" PRIu64 " event channels were still held at the end",
		n.handles, n.ports);
	return -EBUSY;
}

void platform_leave(const struct platform *p)
{
	if (*p->mounted)
		xen_unmount(p->mounted);
}

void platform_stop(struct platform *p)
{
	if (p->hv)
		p->hv->ops->destroy(p->hv);
	platform_leave(p);
}
