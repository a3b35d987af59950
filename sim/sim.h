/* SPDX-License-Identifier: MIT */
/*
 * sim/sim.h - a simulated hypervisor: Xen back ends run on a machine that has no Xen
 *
 * sim_new() makes a machine with one running domain, the daemon's own (domain 0 unless told
 * otherwise). Others are added with sim_domain_add(), given frames, and grant them. The daemon's
 * domain maps, copies and unmaps them through the interface of hypercall.h, and gets the statuses
 * that Xen gives, checked in Xen's order.
 *
 * sim/sim.c tells how it works and where it differs from Xen.
 *
 * Unless a function says otherwise: any thread may call it at any time; domids are those of
 * guests, 0 to SIM_DOMID_MAX; refs, frames and pages are numbers, not bytes; -EINVAL answers an
 * argument out of range and -ENOENT a domain that is not running.
 *
 * The room sim/ promises what hypercall.h says, and to tests that they see Xen's statuses in Xen's order. It
 * may include abi/, base/ and hypercall.h.
 *
 * This header is the face of the room: sim/domain.h includes it for its types, and sim/sim.c makes its
 * functions of those of the room's parts.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypercall.h"

/* Xen's DOMID_FIRST_RESERVED is the first domid that no guest can have. */
#define SIM_DOMID_MAX (DOMID_FIRST_RESERVED - 1)

/* Xen's defaults, and how far they can be raised here. */
#define SIM_MAPTRACK_DEFAULT	 262144U
#define SIM_MAPTRACK_MAX	 (1U << 20)
#define SIM_GRANT_FRAMES_DEFAULT 64U
#define SIM_GRANT_FRAMES_MAX	 (1U << 15)

/* Grants in one frame of a grant table (version 1). */
#define SIM_GRANTS_PER_FRAME (4096 / sizeof(struct grant_entry_v1))

/* Ports of a domain: 1 to this, as with Xen's 2-level event channels. */
#define SIM_PORT_MAX 4095U

/* Xen's NR_VIRQS: those that there are, 0 to this less 1. */
#define SIM_VIRQS 24U

struct sim;

/**
 * struct sim_event - one event on its way
 * @domid:  the sender
 * @port:   the sender's port
 * @remote: the domain at the other end
 * @sent:   how many have gone out of this port since it was bound, this one included
 */
struct sim_event {
	uint64_t sent;
	uint32_t port;
	uint16_t domid;
	uint16_t remote;
};

typedef void sim_event_fn(const struct sim_event *ev, void *arg);

/* An event waits at a port, which may have been closed since: on the thread that has sent it, with no lock of the room held. */
typedef void sim_pending_fn(uint32_t port, void *arg);

/**
 * struct sim_kept - what a machine is when its daemon has ended
 * @state:  memory of its own: domains, grants, handles, frames, ports, faults
 * @memory: the file that is the machine's memory
 */
struct sim_kept {
	int state;
	int memory;
};

/**
 * struct sim_config - the machine to simulate
 * @dirfd:            the window directory; the machine's memory is the file "machine" in it. Not
 *                    needed any more after sim_new()
 * @left:             NULL: a machine that is just switched on. Else one that a predecessor has left: the
 *                    descriptors are the machine's, also on failure, and the four numbers that
 *                    follow are those that it was made with, whatever they are here
 * @memory_pages:     the machine's memory, pages of 4096 bytes, at least 2 and below 2^32
 * @maptrack_max:     how many grants the daemon's domain can have mapped (0: Xen's default)
 * @grant_frames_max: to how many frames a grant table can grow (0: Xen's default)
 * @self:             the daemon's domain
 * @event:            called for every event sent, for a log; may be NULL
 * @event_arg:        for @event
 */
struct sim_config {
	int dirfd;
	const struct sim_kept *left;
	uint64_t memory_pages;
	uint32_t maptrack_max;
	uint32_t grant_frames_max;
	uint16_t self;
	sim_event_fn *event;
	void *event_arg;
};

/**
 * sim_new() - make a machine
 * @out: out: the machine; freed by sim_hypervisor(sim)->ops->destroy()
 * @why: out: on failure, a message for the user
 *
 * A file "machine" that a killed daemon has left behind is replaced, unless it is adopted. With config->left the machine is as it
 * was, but that nobody has a reference on a port, and no port calls anybody: references are taken again, sim_port_deliver()
 * called, and the handles that are known told to hv->ops->adopt(), before hv->ops->adopted().
 * Return: 0; -EINVAL for a configuration out of range, or if what was left cannot be: then nothing was changed; -ENOMEM;
 * -errno of the file operations.
 */
int sim_new(const struct sim_config *config, struct sim **out, const char **why);

/** sim_kept() - what is to be kept for a successor; the descriptors stay the machine's */
struct sim_kept sim_kept(const struct sim *sim);

/** sim_leave() - instead of destroy(): free all that is the daemon's, and leave the machine as it is */
void sim_leave(struct sim *sim);

/** sim_hypervisor() - the machine as the rest of the daemon sees it */
struct hypervisor *sim_hypervisor(struct sim *sim);

/**
 * sim_power_off() - the machine is about to go: leave its memory as it is
 *
 * Frames freed from here on are not wiped, so that clients that outlive the machine still see what
 * was in the pages that they have mapped. Nobody gets memory any more.
 */
void sim_power_off(struct sim *sim);

enum sim_domain_state {
	SIM_DOMAIN_ABSENT,
	SIM_DOMAIN_RUNNING,
	SIM_DOMAIN_DYING, /* removed, but something of it is still mapped or referenced */
};

/**
 * sim_domain_add() - start a domain, with no memory and an empty grant table
 *
 * Return: 0; -EEXIST if it is running; -EBUSY if it is still dying; -EINVAL; -ENOMEM.
 */
int sim_domain_add(struct sim *sim, uint16_t domid);

/**
 * sim_domain_remove() - destroy a domain
 *
 * Its frames are free at once, except those that are mapped: these, and the domain as a dying
 * one, live until the last mapping and the last reference to one of its ports have gone. Nobody
 * can map anything of a dying domain, nor copy from or to it.
 *
 * Return: 0; -ENOENT; -EBUSY for the daemon's own domain.
 */
int sim_domain_remove(struct sim *sim, uint16_t domid);

enum sim_domain_state sim_domain_state(struct sim *sim, uint16_t domid);

/**
 * sim_frames_alloc() - give a domain memory
 * @n:      frames, 1 or more
 * @frames: out: their numbers: @n in a row where the machine has such a run. They read as zero
 *
 * The memory is really allocated here: nothing that touches it later can fail.
 * Return: 0; -ENOENT; -EINVAL; -ENOMEM if the machine or the file system has not so much left.
 */
int sim_frames_alloc(struct sim *sim, uint16_t domid, size_t n, uint32_t *frames);

/**
 * sim_frames_free() - take memory from a domain
 *
 * A frame that is mapped goes when its last mapping has gone. Grants of it are not revoked: to map
 * one fails with GNTST_bad_page.
 *
 * Return: 0; -EINVAL if one of them is not the domain's; the others are freed all the same.
 */
int sim_frames_free(struct sim *sim, uint16_t domid, const uint32_t *frames, size_t n);

/**
 * sim_frame_memory() - a frame's 4096 bytes
 *
 * Return: NULL if the machine has no such frame. To touch one that nobody owns may raise SIGBUS.
 */
void *sim_frame_memory(struct sim *sim, uint32_t frame);

/** sim_frame_next() - the first frame from @frame on that a domain owns. Return: 0: there is none */
uint32_t sim_frame_next(struct sim *sim, uint16_t domid, uint32_t frame);

/** sim_frame_write() - write some bytes of a frame, @offset and @len within it. Return: 0; -EINVAL; -EIO. */
int sim_frame_write(struct sim *sim, uint32_t frame, uint32_t offset, const void *buf, size_t len);

/**
 * sim_grant() - grant a frame
 * @domid:    the granter
 * @mapper:   who may map it; need not exist
 * @frame:    one of the granter's
 * @readonly: not to be written through
 * @ref:      out: the grant reference; never one of the GNTTAB_NR_RESERVED_ENTRIES first
 *
 * Return: 0; -ENOENT; -EINVAL if the frame is not the granter's; -ENOSPC if its table is full and
 * cannot grow; -ENOMEM.
 */
int sim_grant(struct sim *sim, uint16_t domid, uint16_t mapper, uint32_t frame, bool readonly,
	      uint32_t *ref);

/**
 * sim_grant_reserved() - grant a frame by one of the reserved references (xenstore, console)
 * @ref: below GNTTAB_NR_RESERVED_ENTRIES
 *
 * Return: as sim_grant(); -EBUSY if it is in use.
 */
int sim_grant_reserved(struct sim *sim, uint16_t domid, uint32_t ref, uint16_t mapper,
		       uint32_t frame, bool readonly);

/**
 * sim_revoke() - end a grant
 *
 * Return: 0; -EBUSY while it is mapped (refused: nothing changes); -ENOENT if there is none.
 */
int sim_revoke(struct sim *sim, uint16_t domid, uint32_t ref);

/**
 * sim_revoke_later() - end a grant as soon as it is not mapped
 * @free_frame: free the frame that was granted, too
 *
 * The reference stays in use until then. As with a real guest, that is advice to nobody: the grant
 * can be mapped again meanwhile.
 *
 * Return: 0 if that is now; 1 if later; -ENOENT if there is none or it is ending already.
 */
int sim_revoke_later(struct sim *sim, uint16_t domid, uint32_t ref, bool free_frame);

/**
 * struct sim_granted - a grant
 * @frame:  what was granted
 * @ending: it is to end as soon as it is not mapped
 */
struct sim_granted {
	uint32_t frame;
	bool ending;
};

/**
 * sim_grant_next() - walk the grants of a domain that are in use
 * @ref: in: the one before, UINT32_MAX at first; out: the next one
 * @g:   out
 *
 * Return: false at the end.
 */
bool sim_grant_next(struct sim *sim, uint16_t domid, uint32_t *ref, struct sim_granted *g);

/**
 * sim_grant_entry() - the entry of the granter's table, as the granter sees it
 *
 * A guest may write here whatever and whenever it likes, and so may a test.
 * Return: NULL if the table is not that large. Valid until the domain is gone.
 */
struct grant_entry_v1 *sim_grant_entry(struct sim *sim, uint16_t domid, uint32_t ref);

/**
 * sim_port_bind() - bind a port of a domain to a remote domain
 * @remote:  the domain at the other end; need not exist
 * @deliver: called for each event, on the thread that sends it; may be NULL
 * @arg:     for @deliver
 *
 * Return: 0; -ENOENT; -EINVAL; -EBUSY if it is bound; -ENOMEM.
 */
int sim_port_bind(struct sim *sim, uint16_t domid, uint32_t port, uint16_t remote,
		  sim_event_fn *deliver, void *arg);

/** sim_port_deliver() - have a port that was left bound call @deliver. Return: 0; -ENOENT; -EINVAL if it is not bound */
int sim_port_deliver(struct sim *sim, uint16_t domid, uint32_t port, sim_event_fn *deliver,
		     void *arg);

/**
 * sim_channel_unbound() - EVTCHNOP_alloc_unbound: a port that a remote domain may bind to
 * @remote: need not exist; DOMID_SELF: @domid
 *
 * Return: the port; -ENOENT; -ENOSPC; -ENOMEM.
 */
int sim_channel_unbound(struct sim *sim, uint16_t domid, uint16_t remote);

/**
 * sim_channel_interdomain() - EVTCHNOP_bind_interdomain: bind to an unbound port of another domain
 * @remote: DOMID_SELF: @domid
 * @port:   of @remote
 *
 * An event waits at the new port at once. Return: that port; -ENOENT; then in Xen's order -ESRCH if @remote is not running,
 * -ENOSPC, -EINVAL if its port is not unbound for us; -ENOMEM.
 */
int sim_channel_interdomain(struct sim *sim, uint16_t domid, uint16_t remote, uint32_t port);

/**
 * sim_channel_virq() - EVTCHNOP_bind_virq, of the first vCPU
 *
 * Of all VIRQs one is raised: VIRQ_DOM_EXC, for the daemon's domain, when a domain begins to die and when it has gone.
 * Return: the port; -EINVAL; -ENOENT; -EEXIST if the domain has it bound; -ENOSPC; -ENOMEM.
 */
int sim_channel_virq(struct sim *sim, uint16_t domid, uint32_t virq);

/** sim_channel_handler() - whom to call when an event waits at a port of a domain; NULL: nobody. One at a time */
void sim_channel_handler(struct sim *sim, uint16_t domid, sim_pending_fn *fn, void *arg);

/** sim_channel_pending() - whether an event waits at a port; sim_channel_take(): it does no longer. Both lasting */
bool sim_channel_pending(struct sim *sim, uint16_t domid, uint32_t port);
void sim_channel_take(struct sim *sim, uint16_t domid, uint32_t port);

/**
 * sim_channel_next() - walk the ports of a running domain that were bound by these functions and not closed
 * @port: in: the one before, 0 at first; out: the next one
 *
 * Return: false at the end.
 */
bool sim_channel_next(struct sim *sim, uint16_t domid, uint32_t *port);

/**
 * sim_port_unbind() - the owner closes its port
 *
 * What was at the other end is unbound from then on, and may be bound to again.
 *
 * References keep it bound, as in Linux. A call of @deliver that has begun may still be running
 * when this returns. Return: 0; -EINVAL if it is not bound or has been unbound already.
 */
int sim_port_unbind(struct sim *sim, uint16_t domid, uint32_t port);

/** sim_port_sent() - events sent since the port was bound. Return: 0, or -EINVAL if unbound. */
int sim_port_sent(struct sim *sim, uint16_t domid, uint32_t port, uint64_t *sent);

/* As the operations of hypercall.h, for any domain. sim_port_send() is subject to faults. */
int sim_port_get(struct sim *sim, uint16_t domid, uint32_t port);
void sim_port_put(struct sim *sim, uint16_t domid, uint32_t port);
int sim_port_send(struct sim *sim, uint16_t domid, uint32_t port);

/**
 * sim_fault_add() - have operations fail, or take long
 * @spec: OP:KEY=VALUE,... as sim/fault.h tells, such as "map:nth=3,status=eagain,count=5"
 * @why:  out: on failure, what is wrong and where; valid until the thread's next call
 *
 * Return: 0; -EINVAL; -ENOSPC: FAULT_MAX of them wait already; -ENOMEM.
 */
int sim_fault_add(struct sim *sim, const char *spec, const char **why);

/** sim_fault_clear() - forget all faults */
void sim_fault_clear(struct sim *sim);

/** sim_fault_pending() - faults that have not yet happened as often as they are to */
unsigned int sim_fault_pending(struct sim *sim);

/** sim_fault_waiting() - operations that wait now because a fault says so */
unsigned int sim_fault_waiting(struct sim *sim);

/** sim_fault_release() - let them go on now; the faults stay. Return: how many waited */
unsigned int sim_fault_release(struct sim *sim);

/** sim_fault_end() - as the daemon ends: no operation waits any more; other faults still happen */
void sim_fault_end(struct sim *sim);

/** sim_fault_for_each() - as they were described, those that are pending. @fn must not call these functions */
void sim_fault_for_each(struct sim *sim, void (*fn)(const char *spec, void *arg), void *arg);

/**
 * struct sim_counts - what is held right now, exact when nothing is under way
 * @domains:   running or dying, the daemon's own included
 * @dying:     of these, dying
 * @frames:    not free
 * @grants:    in use, those that are to end later included
 * @pins:      grants mapped or in a copy, once for each mapping
 * @handles:   live
 * @port_refs: taken by port_get(), over all domains
 */
struct sim_counts {
	uint64_t domains;
	uint64_t dying;
	uint64_t frames;
	uint64_t grants;
	uint64_t pins;
	uint64_t handles;
	uint64_t port_refs;
};

void sim_counts(struct sim *sim, struct sim_counts *counts);

#endif /* SIM_SIM_H */
