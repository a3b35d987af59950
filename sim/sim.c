/* SPDX-License-Identifier: MIT */
/*
 * sim/sim.c - a simulated hypervisor
 *
 * The machine's memory is one file in the window directory (sim/machine.c); a domain's frames are
 * pages of it, and a window is an opening of it. A client that maps a granted page maps the very
 * page of the file that the granter wrote: nothing is copied, both see every write at once.
 *
 *   sim/sim.c        the interface of hypercall.h, and the order of Xen's checks
 *   sim/make.c       a machine is made, adopted, left
 *   sim/domain.c     domains: added, removed, dying
 *   sim/grant.c      grant tables: grant, revoke; pin and unpin
 *   sim/maptrack.c   handles of what the daemon's domain has mapped
 *   sim/event.c      event channel ports; sim/channel.c: channels between domains
 *   sim/machine.c    frames: who owns which page of the file
 *   sim/fault.c      faults on demand
 *   sim/kept.c       what lasts when the daemon is killed
 *   sim/adopt.c      and how a successor makes a machine of it
 *
 * Where this is not Xen:
 *
 * - Grants are checked as Xen does it for a PV or PVH domain that maps with GNTMAP_host_map alone, as
 *   gntdev does. There is no IOMMU, no paging, no XSM; device maps, sub-page and transitive grants
 *   do not exist, and the table is of version 1.
 * - A frame number is a page of the machine, there is no p2m. An entry that names a frame that is
 *   not the granter's gives GNTST_bad_page, as a frame that is missing does in Xen.
 * - A dying domain is gone for whoever asks (GNTST_bad_domain); in Xen a map may get as far as
 *   pinning a page of it and fails there (GNTST_general_error).
 * - A handle has a generation: one that was unmapped is a bad handle also when its slot is in use
 *   again. Xen would unmap whatever has the slot. A handle that maps another grant than the
 *   caller says is refused with GNTST_general_error, as Xen refuses if the address does not fit.
 * - It is no protection. A client's descriptor is one of the whole machine: clients can
 *   harm each other and the simulated domains, as the user whose machine this is sees fit.
 *
 * Different domains are independent of each other; one lock per domain is held for the time it takes
 * to check and pin one grant.
 *
 * What lasts. Xen and its guests do not die with a daemon, so neither does this machine: what they would know lies in
 * memory (sim/kept.h) and a file that outlive it, and a successor adopts both (sim_new() with config->left). Kept is
 * what nothing else tells: a word for each handle, the entries of grant tables and what the hypervisor knows of each, a word
 * for each frame, which domains there are, which ports are bound and what was sent on them, faults that wait.
 * Not kept is what can be computed from that, and it is: pins are what live handles map; references of frames are
 * pins; what is free is what is not in use. Locks, lists and counts are in the daemon's own memory. A reference on a port
 * belongs to whoever took it, and is taken again.
 *
 * The daemon can be killed between any two stores. Each operation therefore has one that makes it, and is in order
 * before and after:
 *
 *   map        the handle's word. Before it the frame is stored that it pins: it means nothing without a handle. The
 *              entry says "reading" and "writing" before that, and no more once it is seen that nothing maps it
 *   unmap      the handle's word is taken by compare-and-swap. All that follows (the pin, the entry, the frame, a grant
 *              that waited for it) is what adoption does with a grant that no handle maps
 *   copy       keeps nothing: its pins go with the daemon
 *   grant, revoke, revoke_later   see sim/grant.c
 *   frames     given: one word says that those just marked are the domain's (sim/machine.c). Given up: a bit in the
 *              frame's word; it is wiped, then free, and adoption goes on there
 *   domain     added: its state, with its table ready. Removed: its state; adoption removes what it still has. Gone: its
 *              state; adoption wipes what is left of its tables
 *   port       bound, closed, unbound, pending: one word. What two ports have of each other: see sim/channel.c
 *
 * What a successor finds is held to what can be before anything is changed. A handle that nobody names (hv->ops->adopt())
 * was mapped for a request whose daemon did not get as far as to note it: it is unmapped.
 */
#include "sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/step.h"
#include "sim/adopt.h"
#include "sim/channel.h"
#include "sim/domain.h"
#include "sim/event.h"
#include "sim/fault.h"
#include "sim/grant.h"
#include "sim/life.h"
#include "sim/machine.h"
#include "sim/impl.h"
#include "sim/maptrack.h"

#define PAGE_BYTES 4096

static struct sim *sim_of(struct hypervisor *hv)
{
	return (struct sim *)hv;
}

/* --- map and unmap ------------------------------------------------------------------------------ */

/* With a handle in hand. The granter is locked. */
static int16_t map_locked(struct sim *sim, struct domain *d, struct hv_grant *g, uint32_t handle,
			  bool readonly)
{
	uint32_t frame;
	int16_t status = grant_pin(&sim->domains, d, g->ref, readonly, false, &frame);

	if (status != GNTST_okay)
		return status;
	maptrack_publish(&sim->maptrack, handle, g->domid, g->ref, readonly);
	step(sim_mapped);
	g->handle = handle;
	g->page = frame;
	return GNTST_okay;
}

/* Xen's order: the domain, a handle, then all that concerns the grant. */
static int16_t map_one(struct sim *sim, struct hv_grant *g, bool readonly)
{
	struct fault_target target = { .ref = g->ref, .domid = g->domid };
	int16_t status = faults_operation(&sim->faults, FAULT_map, &target, 1);
	uint32_t handle = MAPTRACK_NONE;
	struct domain *d;

	if (status != GNTST_okay)
		return status;
	d = domain_lock_running(&sim->domains, g->domid);
	if (!d)
		return GNTST_bad_domain;
	handle = maptrack_get(&sim->maptrack);
	if (handle == MAPTRACK_NONE)
		status = GNTST_no_space;
	else
		status = map_locked(sim, d, g, handle, readonly);
	pthread_mutex_unlock(&d->lock);
	if (status != GNTST_okay && handle != MAPTRACK_NONE)
		maptrack_cancel(&sim->maptrack, handle);
	return status;
}

static int sim_map(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at)
{
	struct sim *sim = sim_of(hv);
	int err = faults_call(&sim->faults, FAULT_map, 0);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		if (g[i].status == HV_PENDING)
			g[i].status = map_one(sim, &g[i], at->readonly);
	return 0;
}

static int16_t end_mapping(struct sim *sim, uint32_t handle, uint16_t domid, uint32_t ref)
{
	struct domain *d;
	bool readonly;
	int16_t status = maptrack_take(&sim->maptrack, handle, domid, ref, &readonly);

	if (status != GNTST_okay)
		return status;
	step(sim_untracked);
	/* It was mapped until now, so the domain is there, running or dying. */
	d = domain_get(&sim->domains, domid);
	pthread_mutex_lock(&d->lock);
	grant_unpin(&sim->domains, d, ref, readonly);
	domain_settle(&sim->domains, d);
	pthread_mutex_unlock(&d->lock);
	domains_tell(&sim->domains);
	maptrack_put(&sim->maptrack, handle);
	return GNTST_okay;
}

static int16_t unmap_one(struct sim *sim, const struct hv_grant *g)
{
	struct fault_target target = { .ref = g->ref, .domid = g->domid };
	int16_t status = faults_operation(&sim->faults, FAULT_unmap, &target, 1);

	if (status != GNTST_okay)
		return status;
	return end_mapping(sim, g->handle, g->domid, g->ref);
}

static int sim_unmap(struct hypervisor *hv, struct hv_grant *g, size_t n)
{
	struct sim *sim = sim_of(hv);
	int err = faults_call(&sim->faults, FAULT_unmap, 0);
	int failed = 0;

	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (g[i].status != GNTST_okay)
			continue;
		g[i].status = unmap_one(sim, &g[i]);
		if (g[i].status == GNTST_okay)
			g[i].status = HV_PENDING;
		else
			failed++;
	}
	return failed;
}

/* --- copy ----------------------------------------------------------------------------------------- */

/**
 * struct copy_side - one side of a copy
 * @ref:     the grant; NULL: the daemon's own memory
 * @memory:  the daemon's own memory
 * @frame:   the granted frame, once it is claimed
 * @claimed: it has a pin to be undone
 */
struct copy_side {
	const struct hv_copy_ref *ref;
	uint8_t *memory;
	uint32_t frame;
	uint16_t domid;
	bool readonly;
	bool claimed;
};

/* For copies, unlike for maps, a domain may call itself DOMID_SELF. */
static uint16_t copy_domid(const struct sim *sim, uint16_t domid)
{
	return domid == DOMID_SELF ? sim->self : domid;
}

static int16_t copy_find_domain(struct sim *sim, struct copy_side *side)
{
	struct domain *d;

	if (!side->ref)
		return GNTST_okay;
	side->domid = copy_domid(sim, side->ref->domid);
	d = domain_lock_running(&sim->domains, side->domid);
	if (!d)
		return GNTST_bad_domain;
	pthread_mutex_unlock(&d->lock);
	return GNTST_okay;
}

static int16_t copy_claim(struct sim *sim, struct copy_side *side)
{
	struct domain *d;
	uint32_t frame;
	int16_t status;

	if (!side->ref)
		return GNTST_okay;
	d = domain_lock_running(&sim->domains, side->domid);
	if (!d)
		return GNTST_bad_domain;
	status = grant_pin(&sim->domains, d, side->ref->ref, side->readonly, true, &frame);
	pthread_mutex_unlock(&d->lock);
	if (status != GNTST_okay)
		return status;
	side->claimed = true;
	side->frame = frame;
	return GNTST_okay;
}

static void copy_release(struct sim *sim, const struct copy_side *side)
{
	struct domain *d;

	if (!side->claimed)
		return;
	d = domain_get(&sim->domains, side->domid);
	pthread_mutex_lock(&d->lock);
	grant_unpin(&sim->domains, d, side->ref->ref, side->readonly);
	domain_settle(&sim->domains, d);
	pthread_mutex_unlock(&d->lock);
	domains_tell(&sim->domains);
}

static bool in_page(const struct copy_side *side, uint16_t len)
{
	return (side->ref ? side->ref->offset : 0) + len <= PAGE_BYTES;
}

/* Return: false if a client has cut the machine's file short. */
static bool copy_bytes(struct sim *sim, const struct copy_side *src, const struct copy_side *dst,
		       uint16_t len)
{
	uint8_t bytes[PAGE_BYTES];

	if (!src->ref)
		memcpy(bytes, src->memory, len);
	else if (!machine_read(&sim->machine, src->frame, src->ref->offset, bytes, len))
		return false;
	if (dst->ref)
		return machine_write(&sim->machine, dst->frame, dst->ref->offset, bytes, len);
	memcpy(dst->memory, bytes, len);
	return true;
}

/* Xen's order: both domains, the source, the destination, and only then the bounds. */
static int16_t copy_sides(struct sim *sim, struct copy_side *src, struct copy_side *dst,
			  uint16_t len)
{
	int16_t status = copy_find_domain(sim, src);

	if (status == GNTST_okay)
		status = copy_find_domain(sim, dst);
	if (status == GNTST_okay)
		status = copy_claim(sim, src);
	if (status == GNTST_okay)
		status = copy_claim(sim, dst);
	if (status != GNTST_okay)
		return status;
	if (!in_page(src, len) || !in_page(dst, len))
		return GNTST_bad_copy_arg;
	return copy_bytes(sim, src, dst, len) ? GNTST_okay : GNTST_bad_page;
}

static int16_t copy_one(struct sim *sim, const struct hv_copy *c)
{
	struct copy_side src = { .readonly = true, .memory = (uint8_t *)(uintptr_t)c->src_local };
	struct copy_side dst = { .memory = c->dst_local };
	struct fault_target target[2];
	size_t n = 0;
	int16_t status;

	if (!c->src_local) {
		src.ref = &c->src;
		target[n++] = (struct fault_target){ .ref = c->src.ref, .domid = c->src.domid };
	}
	if (!c->dst_local) {
		dst.ref = &c->dst;
		target[n++] = (struct fault_target){ .ref = c->dst.ref, .domid = c->dst.domid };
	}
	status = faults_operation(&sim->faults, FAULT_copy, target, n);
	/* Xen looks at nothing if there is nothing to copy. */
	if (status != GNTST_okay || !c->len)
		return status;
	status = copy_sides(sim, &src, &dst, c->len);
	copy_release(sim, &dst);
	copy_release(sim, &src);
	return status;
}

static int sim_copy(struct hypervisor *hv, struct hv_copy *c, size_t n)
{
	struct sim *sim = sim_of(hv);
	int err = faults_call(&sim->faults, FAULT_copy, 0);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		if (c[i].status == HV_PENDING)
			c[i].status = copy_one(sim, &c[i]);
	return 0;
}

/* --- pages, ports, the rest of the interface --------------------------------------------------- */

static void sim_clear_byte(struct hypervisor *hv, const struct hv_grant *g, unsigned int offset)
{
	const uint8_t zero = 0;

	machine_write(&sim_of(hv)->machine, g->page, offset, &zero, sizeof(zero));
}

static int sim_window_open(struct hypervisor *hv, int dirfd, const char *name,
			   const struct hv_grant *g, size_t n, const struct hv_place *at)
{
	struct sim *sim = sim_of(hv);
	int err = faults_call(&sim->faults, FAULT_window, 0);

	/* Every window shows the whole machine; the client is told which pages to map. */
	(void)g;
	(void)n;
	return err ? err : machine_window(&sim->machine, dirfd, name, at->readonly);
}

static int sim_hv_port_get(struct hypervisor *hv, uint32_t port, pid_t tid)
{
	(void)tid;
	return sim_port_get(sim_of(hv), sim_of(hv)->self, port);
}

static void sim_hv_port_put(struct hypervisor *hv, uint32_t port)
{
	sim_port_put(sim_of(hv), sim_of(hv)->self, port);
}

static int sim_hv_port_send(struct hypervisor *hv, uint32_t port)
{
	return sim_port_send(sim_of(hv), sim_of(hv)->self, port);
}

static void sim_hv_counts(struct hypervisor *hv, struct hv_counts *c)
{
	struct sim *sim = sim_of(hv);
	struct domain *self = domain_get(&sim->domains, sim->self);

	c->handles = maptrack_live(&sim->maptrack);
	c->handle_max = sim->maptrack.max;
	pthread_mutex_lock(&self->lock);
	c->ports = self->port_refs;
	pthread_mutex_unlock(&self->lock);
}

/* --- a machine that was left -------------------------------------------------------------------- */

static int sim_adopt(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at,
		     bool leaving)
{
	struct sim *sim = sim_of(hv);
	int missing = 0;

	/* A handle is never of another mapping soon: it has a generation. */
	(void)leaving;
	for (size_t i = 0; i < n; i++) {
		const struct maptrack_map map = { .handle = g[i].handle,
						  .ref = g[i].ref,
						  .domid = g[i].domid,
						  .readonly = at->readonly };

		if (g[i].status != GNTST_okay)
			continue;
		if (maptrack_name(&sim->maptrack, &map)) {
			g[i].page = grant_frame(domain_get(&sim->domains, g[i].domid), g[i].ref);
		} else {
			g[i].status = GNTST_bad_handle;
			missing++;
		}
	}
	return missing;
}

static int end_unnamed(const struct maptrack_map *map, void *arg)
{
	struct sim *sim = arg;

	if (!maptrack_named(&sim->maptrack, map->handle))
		end_mapping(sim, map->handle, map->domid, map->ref);
	return 0;
}

static int sim_adopted(struct hypervisor *hv)
{
	struct sim *sim = sim_of(hv);
	int err;

	if (!sim->domains.adopting)
		return 0;
	err = maptrack_walk(&sim->maptrack, end_unnamed, sim);
	maptrack_adopted(&sim->maptrack);
	adopt_finish(&sim->domains);
	return err;
}

static void sim_destroy(struct hypervisor *hv)
{
	sim_fini(sim_of(hv), false);
	free(sim_of(hv));
}

/* Every window is a link to the one file: nothing is kept for an open. */
static void sim_open_gone(struct hypervisor *hv, uint64_t open_id)
{
	(void)hv;
	(void)open_id;
}

static const char *sim_tend(struct hypervisor *hv)
{
	(void)hv;
	return NULL;
}

const struct hypervisor_ops sim_ops = {
	.map = sim_map,
	.unmap = sim_unmap,
	.copy = sim_copy,
	.clear_byte = sim_clear_byte,
	.window_open = sim_window_open,
	.open_gone = sim_open_gone,
	.tend = sim_tend,
	.port_get = sim_hv_port_get,
	.port_put = sim_hv_port_put,
	.port_send = sim_hv_port_send,
	.counts = sim_hv_counts,
	.adopt = sim_adopt,
	.adopted = sim_adopted,
	.destroy = sim_destroy,
};

/* --- domains, memory, grants, ports and faults, for sim/sim.h --------------------------------- */

int sim_domain_add(struct sim *sim, uint16_t domid)
{
	return domain_add(&sim->domains, domid);
}

int sim_domain_remove(struct sim *sim, uint16_t domid)
{
	return domain_remove(&sim->domains, domid);
}

enum sim_domain_state sim_domain_state(struct sim *sim, uint16_t domid)
{
	return domain_state(&sim->domains, domid);
}

int sim_frames_alloc(struct sim *sim, uint16_t domid, size_t n, uint32_t *frames)
{
	struct domain *d;
	int err;

	if (!n)
		return -EINVAL;
	d = domain_lock_running(&sim->domains, domid);
	if (!d)
		return -ENOENT;
	/* Under the lock, so that a domain that is being removed gets no more. */
	err = machine_alloc(&sim->machine, domid, n, frames);
	pthread_mutex_unlock(&d->lock);
	return err;
}

int sim_frames_free(struct sim *sim, uint16_t domid, const uint32_t *frames, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n; i++)
		if (machine_free(&sim->machine, domid, frames[i]))
			err = -EINVAL;
	return err;
}

int sim_frame_write(struct sim *sim, uint32_t frame, uint32_t offset, const void *buf, size_t len)
{
	if (frame >= sim->machine.pages || offset > PAGE_BYTES || len > PAGE_BYTES - offset)
		return -EINVAL;
	return machine_write(&sim->machine, frame, offset, buf, len) ? 0 : -EIO;
}

uint32_t sim_frame_next(struct sim *sim, uint16_t domid, uint32_t frame)
{
	return machine_next(&sim->machine, domid, frame);
}

void *sim_frame_memory(struct sim *sim, uint32_t frame)
{
	return frame < sim->machine.pages ? machine_at(&sim->machine, frame) : NULL;
}

int sim_grant(struct sim *sim, uint16_t domid, uint16_t mapper, uint32_t frame, bool readonly,
	      uint32_t *ref)
{
	return grant_add(&sim->domains, domid, mapper, frame, readonly, ref);
}

int sim_grant_reserved(struct sim *sim, uint16_t domid, uint32_t ref, uint16_t mapper,
		       uint32_t frame, bool readonly)
{
	return grant_add_reserved(&sim->domains, domid, ref, mapper, frame, readonly);
}

int sim_revoke(struct sim *sim, uint16_t domid, uint32_t ref)
{
	return grant_revoke(&sim->domains, domid, ref);
}

int sim_revoke_later(struct sim *sim, uint16_t domid, uint32_t ref, bool free_frame)
{
	return grant_revoke_later(&sim->domains, domid, ref, free_frame);
}

bool sim_grant_next(struct sim *sim, uint16_t domid, uint32_t *ref, struct sim_granted *g)
{
	return grant_next(&sim->domains, domid, ref, g);
}

struct grant_entry_v1 *sim_grant_entry(struct sim *sim, uint16_t domid, uint32_t ref)
{
	return grant_entry(&sim->domains, domid, ref);
}

int sim_port_bind(struct sim *sim, uint16_t domid, uint32_t port, uint16_t remote,
		  sim_event_fn *deliver, void *arg)
{
	return port_bind(&sim->domains, domid, port, remote, deliver, arg);
}

int sim_port_deliver(struct sim *sim, uint16_t domid, uint32_t port, sim_event_fn *deliver,
		     void *arg)
{
	return port_deliver(&sim->domains, domid, port, deliver, arg);
}

int sim_port_unbind(struct sim *sim, uint16_t domid, uint32_t port)
{
	return port_unbind(&sim->domains, domid, port);
}

int sim_port_sent(struct sim *sim, uint16_t domid, uint32_t port, uint64_t *sent)
{
	return port_sent(&sim->domains, domid, port, sent);
}

int sim_port_get(struct sim *sim, uint16_t domid, uint32_t port)
{
	return port_get(&sim->domains, domid, port);
}

void sim_port_put(struct sim *sim, uint16_t domid, uint32_t port)
{
	port_put(&sim->domains, domid, port);
}

int sim_port_send(struct sim *sim, uint16_t domid, uint32_t port)
{
	struct sim_event ev;
	int err = faults_call(&sim->faults, FAULT_send, port);

	if (!err)
		err = port_send(&sim->domains, domid, port, &ev);
	if (!err && sim->event)
		sim->event(&ev, sim->event_arg);
	return err;
}

int sim_channel_unbound(struct sim *sim, uint16_t domid, uint16_t remote)
{
	return channel_unbound(&sim->domains, domid, remote);
}

int sim_channel_interdomain(struct sim *sim, uint16_t domid, uint16_t remote, uint32_t port)
{
	return channel_interdomain(&sim->domains, domid, remote, port);
}

int sim_channel_virq(struct sim *sim, uint16_t domid, uint32_t virq)
{
	return channel_virq(&sim->domains, domid, virq);
}

void sim_channel_handler(struct sim *sim, uint16_t domid, sim_pending_fn *fn, void *arg)
{
	channel_handler(&sim->domains, domid, fn, arg);
}

bool sim_channel_pending(struct sim *sim, uint16_t domid, uint32_t port)
{
	return channel_pending(&sim->domains, domid, port);
}

void sim_channel_take(struct sim *sim, uint16_t domid, uint32_t port)
{
	channel_take(&sim->domains, domid, port);
}

bool sim_channel_next(struct sim *sim, uint16_t domid, uint32_t *port)
{
	return channel_next(&sim->domains, domid, port);
}

int sim_fault_add(struct sim *sim, const char *spec, const char **why)
{
	return faults_add(&sim->faults, spec, why);
}

void sim_fault_clear(struct sim *sim)
{
	faults_clear(&sim->faults);
}

unsigned int sim_fault_pending(struct sim *sim)
{
	return faults_pending(&sim->faults);
}

unsigned int sim_fault_waiting(struct sim *sim)
{
	return faults_waiting(&sim->faults);
}

unsigned int sim_fault_release(struct sim *sim)
{
	return faults_release(&sim->faults);
}

void sim_fault_end(struct sim *sim)
{
	faults_end(&sim->faults);
}

void sim_fault_for_each(struct sim *sim, void (*fn)(const char *spec, void *arg), void *arg)
{
	faults_for_each(&sim->faults, fn, arg);
}

void sim_counts(struct sim *sim, struct sim_counts *counts)
{
	*counts = (struct sim_counts){
		.frames = machine_in_use(&sim->machine),
		.handles = maptrack_live(&sim->maptrack),
	};
	domains_count(&sim->domains, counts);
}
