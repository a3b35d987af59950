/* SPDX-License-Identifier: MIT */
/*
 * hypercall.h - the hypervisor layer: who carries out grant operations
 *
 * One struct of functions, two who fill it in: Xen through privcmd (xen/xen.c) and the simulator
 * (sim/sim.c). Everything above speaks only this; nothing below knows a client.
 *
 * Rules for all functions:
 *
 * - Operations come in arrays of any length; the implementation cuts them into hypercalls as it
 *   sees fit. As in Xen, each operation carries its own status (GNTST_*, from <xen/grant_table.h>), later
 *   operations run although earlier ones failed, and nothing is undone.
 * - A negative return value is -errno of the hypercall itself. Then no operation of the array has
 *   taken effect, unless the function says otherwise.
 * - GNTST_eagain is reported, never waited for: whoever asked decides when to try again, so nobody
 *   else waits.
 * - Any thread may call any function at any time, under RCU or not; none of them blocks except for
 *   the hypercall itself (and the delays that a user asked the simulator for).
 * - What Xen or a guest can have written is checked here, not by the caller: a status out of range
 *   is reported as GNTST_general_error.
 *
 * It may include abi/ alone.
 */
#ifndef HYPERCALL_H
#define HYPERCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/xen.h"

struct hypervisor;

/**
 * struct hv_grant - one grant to map, mapped, or to unmap
 * @domid:  in: the granter (16 bits, as Xen has it: callers have already truncated)
 * @ref:    in: the grant reference in the granter's table
 * @status: out of map and unmap: GNTST_*; HV_PENDING before
 * @handle: out of map, if status is GNTST_okay: Xen's handle. In: for unmap
 * @page:   out of map: what the window shows for it. hv->pages says whose number that is:
 *          HV_PAGES_FILE: page index in the window file (the simulator: any order, so a map may be
 *          several pieces; auto-translated Xen: the page whose frame the grant replaces);
 *          HV_PAGES_FRAMES: a frame number for privcmd (PV).
 * @slot:   the implementation's own, from map() to unmap(); 0 before
 */
struct hv_grant {
	uint64_t page;
	uint32_t ref;
	uint32_t handle;
	uint16_t domid;
	int16_t status;
	uint32_t slot;
};

/* No Xen status is positive: marks an operation that has not been carried out. */
#define HV_PENDING 1

enum hv_pages {
	HV_PAGES_FILE,
	HV_PAGES_FRAMES,
};

/**
 * struct hv_place - where a client sees the grants of one map
 * @open_id:  the open it belongs to: an implementation may keep one window file for each
 * @first:    first page index of the map in that open (page i of the map is @first + i)
 * @readonly: the client asked for no write: GNTMAP_readonly, and a window that cannot write
 */
struct hv_place {
	uint64_t open_id;
	uint64_t first;
	bool readonly;
};

/**
 * struct hv_copy - one GNTTABOP_copy: at most one page, within a page on each side
 * @src_local, @dst_local: the daemon's own memory, or NULL: the side is the grant below
 * @src, @dst: the grant, and the byte offset in its page
 * @len:    bytes; offset + len <= 4096 on each granted side (else GNTST_bad_copy_arg)
 * @status: out: GNTST_*
 */
struct hv_copy {
	const void *src_local;
	void *dst_local;
	struct hv_copy_ref {
		uint32_t ref;
		uint16_t domid;
		uint16_t offset;
	} src, dst;
	uint16_t len;
	int16_t status;
};

/**
 * struct hv_counts - what is held right now, for tests, statistics and the shutdown check
 * @handles:     live handles (Xen: of this daemon)
 * @handle_max:  how many the hypervisor would give (0: unknown)
 * @ports:       references held by port_get()
 * @away:        pages of the daemon's domain whose frames are given back to Xen: those that show
 *               a grant, and those that wait for one
 * @quarantined: of these, pages that got no frame back, or whose grant Xen would not unmap: they are
 *               kept from everybody, and it is tried again
 */
struct hv_counts {
	uint64_t handles;
	uint64_t handle_max;
	uint64_t ports;
	uint64_t away;
	uint64_t quarantined;
};

/* Pages that pages_get() lends at a time. */
#define HV_COPY_PAGES 64

struct hypervisor_ops {
	/**
	 * map() - map grants
	 * @g: operations; status of each must be HV_PENDING, others are skipped (so a retry
	 *     passes the same array with the failed ones set back to HV_PENDING)
	 * @n: number of operations, 1 or more
	 * @at: where they will be seen
	 *
	 * A map is one array, from its first map() to its unmap(): the same one is passed to a
	 * retry, to window_open() and to unmap(), as a whole. After map() has returned 0, unmap()
	 * must follow some time, also if no grant of the array could be mapped.
	 *
	 * Return: 0 with a status in each; -ENOMEM; -EDQUOT: limit_away() does not allow it;
	 * -ENOSPC: the file system for windows is full; -EFAULT and the like from the hypercall;
	 * -EXDEV if grants of several domains cannot be in one window (HV_PAGES_FRAMES).
	 */
	int (*map)(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at);

	/**
	 * unmap() - unmap what map() mapped
	 * @g: operations whose status is GNTST_okay (others are skipped); afterwards HV_PENDING
	 *     where unmapped, the failing status otherwise: that grant counts as lost, and the
	 *     caller logs it
	 *
	 * Return: the number that failed, or -errno.
	 */
	int (*unmap)(struct hypervisor *hv, struct hv_grant *g, size_t n);

	/**
	 * copy() - GNTTABOP_copy, in order
	 * @c: operations; those whose status is not HV_PENDING are skipped
	 *
	 * Return: 0 with a status in each; -errno: those still HV_PENDING were not copied.
	 */
	int (*copy)(struct hypervisor *hv, struct hv_copy *c, size_t n);

	/**
	 * pages_get() - HV_COPY_PAGES pages, one after the other, that copy() copies from and to as
	 * they are: other memory of the daemon's is copied once more
	 *
	 * What they hold is nobody's business: they are lent to one call after the other. Never waits.
	 * Return: NULL: there are none to be had, any memory will do. The function itself may be NULL,
	 * too.
	 */
	void *(*pages_get)(struct hypervisor *hv);
	void (*pages_put)(struct hypervisor *hv, void *pages);

	/**
	 * clear_byte() - zero one byte of a page that is mapped writable
	 * @g: a grant with status GNTST_okay
	 * @offset: byte in the page, below 4096
	 */
	void (*clear_byte)(struct hypervisor *hv, const struct hv_grant *g, unsigned int offset);

	/**
	 * window_open() - a descriptor through which a client maps these grants
	 * @dirfd: the window directory; an entry @name is made there, opened, and removed again,
	 *         so that a watch on the directory tells by that name when the last descriptor
	 *         and the last mapping of this opening have gone
	 * @name:  unique
	 * @g, @n: the grants, all GNTST_okay
	 * @at:    if @at->readonly, the descriptor cannot be used to write, nor a mapping made from it
	 *
	 * The descriptor is an open file description of its own, close-on-exec.
	 * Return: the descriptor, or -errno.
	 */
	int (*window_open)(struct hypervisor *hv, int dirfd, const char *name,
			   const struct hv_grant *g, size_t n, const struct hv_place *at);

	/**
	 * port_get() - take a reference on an event channel port of this domain
	 * @tid: whose it is, as far as its open files may be looked at; else 0
	 *
	 * May block (not under RCU). Return: 0; -EINVAL if the port is out of range, unbound or not
	 * a user's; -ENOMEM; -ENOSPC: too many of the caller's files would have to outlive the daemon. On a real Xen a port whose owner is unknown is not held: port_send()
	 * fails if it has gone.
	 */
	int (*port_get)(struct hypervisor *hv, uint32_t port, pid_t tid);
	void (*port_put)(struct hypervisor *hv, uint32_t port);

	/** port_send() - EVTCHNOP_send. Return: 0 or -errno. */
	int (*port_send)(struct hypervisor *hv, uint32_t port);

	void (*counts)(struct hypervisor *hv, struct hv_counts *c);

	/**
	 * limit_away() - how many pages of the daemon's domain may be away at once, see hv_counts; 0: any number
	 *
	 * What is away already stays so. NULL where none ever is.
	 */
	void (*limit_away)(struct hypervisor *hv, uint64_t pages);

	/** open_gone() - nothing new will be mapped for this open (see hv_place); its maps may last */
	void (*open_gone)(struct hypervisor *hv, uint64_t open_id);

	/**
	 * tend() - called about twice a second, by one thread
	 *
	 * Return: NULL, or why this cannot go on: the daemon is to end, in order.
	 */
	const char *(*tend)(struct hypervisor *hv);

	/**
	 * adopt() - take over the grants that a predecessor had mapped for one map
	 * @g:	     as they were after its map(): domid, ref, slot, handle, and status: those that are not GNTST_okay
	 *	     were not mapped, and are none of this. Out: @page as of map(); status: GNTST_okay: it is mapped, and
	 *	     this one's from now on; GNTST_bad_handle: it is not mapped
	 * @at:	     as it was mapped
	 * @leaving: the predecessor had begun to unmap them: some may be unmapped already, and what they had (handle,
	 *	     slot) may have been given to others, which are adopted before those that leave. What is still mapped is
	 *	     told from that by handle, granter and reference, not by the handle alone
	 *
	 * For each map that has grants mapped, in an implementation that has just been made and has mapped nothing; first for
	 * all that do not leave, then for the others. unmap() must follow some time as after map(), also if nothing was found
	 * to be mapped. Return: how many of them are not mapped; -ENOMEM; -EINVAL: @slot or @n cannot be.
	 */
	int (*adopt)(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at,
		     bool leaving);

	/**
	 * adopted() - that was all: what the predecessor had mapped and nobody has named is unmapped now
	 *
	 * It was mapped when the predecessor was killed before it had noted so, or in half-made maps. After this everything
	 * is as if there had been no predecessor. Return: 0; -errno: it is still mapped.
	 */
	int (*adopted)(struct hypervisor *hv);

	/** destroy() - free everything. All grants have been unmapped. */
	void (*destroy)(struct hypervisor *hv);
};

/**
 * struct hypervisor - embedded at the head of each implementation's own state
 * @name:  for messages: "sim", "xen-pv", "xen-pvh"
 * @pages: what hv_grant.page means to the client
 */
struct hypervisor {
	const struct hypervisor_ops *ops;
	const char *name;
	enum hv_pages pages;
};

/**
 * hv_status_name() - a GNTST status as a word, for messages
 *
 * Return: such as "bad_gntref"; "unknown" for a value Xen does not have. Never NULL.
 */
const char *hv_status_name(int status);

/**
 * hv_status_check() - hold a status that Xen reported to the values Xen has
 *
 * Return: @status, or GNTST_general_error.
 */
int16_t hv_status_check(int status);

/**
 * hv_platform_is_xen() - whether this machine runs under Xen
 *
 * Return: true if /sys/hypervisor/type says "xen".
 */
bool hv_platform_is_xen(void);

#endif /* HYPERCALL_H */
