/* SPDX-License-Identifier: MIT */
/*
 * xen/layer.h - what the parts of the Xen layer share
 *
 *   xen/xen.c    grant operations in batches
 *   xen/event.c  event channels
 *   xen/copy.c   GNTTABOP_copy, through pages of our own
 *   xen/pvh.c    windows in an auto-translated dom0
 *   xen/pv.c     windows in a PV dom0
 *   xen/adopt.c  what a predecessor has left
 *   xen/start.c  how it begins
 */
#ifndef XEN_LAYER_H
#define XEN_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu/list.h>

#include "hypercall.h"
#include "xen/journal.h"
#include "xen/pin.h"
#include "xen/privcmd.h"

struct bounce;
struct lent;
struct ports;
struct pv;
struct pvh;
struct xen;

/**
 * struct xen_window - what stands behind the grants of one map
 * @slot:    a slot of the journal for each of its @n pages
 * @lost:    how many grants Xen would not unmap
 *
 * The rest is xen/pvh.c's:
 * @node:    with the others of its open, if @listed, or in quarantine
 * @idle:    in the order in which they became idle, while nobody uses it; @fit: with others of its use
 * @idle_since: when that was, ticks
 * @open_id: whose it is
 * @domid:   whose grants it has shown; DOMID_INVALID: several domains'
 * @closed:  that open has gone: the window is of no use to anybody afterwards
 * @pin:     its pages'
 * @orphan:  a predecessor has left it, and nobody has named it yet
 */
struct xen_window {
	struct cds_list_head node;
	struct cds_list_head idle;
	struct cds_list_head fit;
	uint64_t open_id;
	size_t n;
	size_t lost;
	uint64_t idle_since;
	uint32_t pin;
	uint16_t domid;
	bool listed;
	bool closed;
	bool orphan;
	uint32_t slot[];
};

/**
 * struct xen_mode - what differs between a PV and an auto-translated dom0
 * @translated:  addresses are guest-physical; the mapped page appears there
 * @window_get:  before the first map(): slots, and what else is needed
 * @mapped:      all grants are mapped: fill in their pages
 * @window_put:  nothing of it is mapped any more, but for @lost grants
 * @window_adopt: a predecessor has left it
 * @window_open: as in hypercall.h
 */
struct xen_mode {
	const char *name;
	enum hv_pages pages;
	bool translated;
	int (*init)(struct xen *x, int dirfd, const char **why);
	void (*fini)(struct xen *x);
	int (*window_get)(struct xen *x, const struct hv_grant *g, size_t n,
			  const struct hv_place *at, struct xen_window **out);
	int (*mapped)(struct xen *x, struct hv_grant *g, size_t n);
	void (*window_put)(struct xen *x, struct xen_window *w);
	void (*window_adopt)(struct xen *x, struct xen_window *w);
	int (*window_open)(struct xen *x, int dirfd, const char *name, const struct hv_grant *g,
			   const struct hv_place *at);
	void (*open_gone)(struct xen *x, uint64_t open_id);
	void (*tend)(struct xen *x);
};

extern const struct xen_mode xen_pv;
extern const struct xen_mode xen_pvh;

/* In xen/xen.c. */
extern const struct hypervisor_ops xen_ops;

/**
 * struct xen - the layer
 * @hv:          first, so that a struct hypervisor leads back here
 * @of_slot:     the window whose first slot this is
 * @journal_fd:  the journal's memory
 * @lent:        who keeps what lasts, or NULL
 * @adopting:    until xen_adopted()
 * @journal_pin: the batches are pinned, too
 * @handle_max:  how many Xen gives this domain; 0: not known
 * @away_max:    of limit_away() (atomic)
 * @handles, @port_refs, @away, @quarantined: see struct hv_counts (atomic)
 */
struct xen {
	struct hypervisor hv;
	const struct xen_mode *mode;
	struct journal *journal;
	int journal_fd;
	struct lent *lent;
	bool adopting;
	struct journal_slots *slots;
	struct privcmd *pc;
	struct pins *pins;
	struct bounce *bounce;
	struct ports *ports;
	struct pv *pv;
	struct pvh *pvh;
	struct xen_window **of_slot;
	uint32_t journal_pin;
	uint64_t handle_max;
	uint64_t handles;
	uint64_t port_refs;
	uint64_t away;
	uint64_t away_max;
	uint64_t quarantined;
};

/** xen_start() - xen_new(), for a mode */
int xen_start(const struct xen_mode *mode, int dirfd, struct lent *lent, struct hypervisor **out,
	      const char **why);

/**
 * xen_window_alloc() - a window with slots
 *
 * Return: the window, to be freed by xen_window_free(); NULL if there is no memory.
 */
struct xen_window *xen_window_alloc(struct xen *x, size_t n);

/** xen_window_keep() - what is known of a window now is there for a successor; before anything is to be undone for it */
void xen_window_keep(struct xen *x, const struct xen_window *w);

/** xen_window_forget() - nothing is to be undone for it any more; before its pages are let go of */
void xen_window_forget(struct xen *x, const struct xen_window *w);

/** xen_window_free() - give back the slots of a window, and the window */
void xen_window_free(struct xen *x, struct xen_window *w);

/** xen_slot() - a slot of a window */
static inline struct journal_slot *xen_slot(const struct xen *x, const struct xen_window *w,
					    size_t i)
{
	return &x->journal->slot[w->slot[i]];
}

/** xen_window_of() - the window behind some grants, the first of an array */
static inline struct xen_window *xen_window_of(const struct xen *x, const struct hv_grant *g)
{
	return g->slot ? x->of_slot[g->slot] : NULL;
}

/* --- xen/adopt.c ------------------------------------------------------------------------------ */

/**
 * xen_adopt_windows() - take over the windows in the journal of a predecessor
 *
 * Before anything is mapped; x->mode is ready. What is half done in batches is entered. All windows are orphans
 * then. Return: 0; -EINVAL: the journal is damaged; -ENOMEM.
 */
int xen_adopt_windows(struct xen *x);

/**
 * xen_adopt_pins() - and the pins of their pages
 * @fds: the predecessor's rings; ours from now on, also on failure
 *
 * After xen_adopt_windows(). Return: 0 or -errno, with @why.
 */
int xen_adopt_pins(struct xen *x, const int *fds, const char **why);

/* As in hypercall.h. */
int xen_adopt(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at,
	      bool leaving);
int xen_adopted(struct hypervisor *hv);

/* --- xen/event.c ------------------------------------------------------------------------------ */

/** ports_new() - no port is referred to. Return: NULL if there is no memory. */
struct ports *ports_new(void);

void ports_free(struct ports *ps);

/** xen_ports_adopted() - all that are referred to are there: the keeper lets go of other ports' files, which would keep them bound */
void xen_ports_adopted(struct ports *ps, struct lent *lent);

/* As in hypercall.h. */
int xen_port_get(struct hypervisor *hv, uint32_t number, pid_t tid);
void xen_port_put(struct hypervisor *hv, uint32_t number);
int xen_port_send(struct hypervisor *hv, uint32_t number);

/* --- xen/copy.c ------------------------------------------------------------------------------- */

/* This domain is dom0: nobody else may make hypercalls through privcmd (xen_platform()). */
static inline bool xen_is_own(uint16_t domid)
{
	return domid == 0 || domid == DOMID_SELF;
}

/** bounce_new() - get the pages that copies go through. Return: 0, or -errno with @why. */
int bounce_new(struct bounce **out, const char **why);

void bounce_free(struct bounce *bo);

/** xen_copy() - as in hypercall.h */
int xen_copy(struct hypervisor *hv, struct hv_copy *c, size_t n);

/** xen_pages_get(), xen_pages_put() - as in hypercall.h */
void *xen_pages_get(struct hypervisor *hv);
void xen_pages_put(struct hypervisor *hv, void *pages);

/** xen_clear_byte() - as in hypercall.h */
void xen_clear_byte(struct hypervisor *hv, const struct hv_grant *g, unsigned int offset);

#endif /* XEN_LAYER_H */
