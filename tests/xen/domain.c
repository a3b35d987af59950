/* SPDX-License-Identifier: MIT */
/*
 * domain.c - a paused PV domain, by raw hypercalls
 *
 * libxenctrl would do it in fewer lines, but has another ABI in each release of Xen; libxencall and
 * libxenforeignmemory have not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The name is that of Xen's headers. */
#define __XEN_TOOLS__ 1 /* NOLINT(bugprone-reserved-identifier) */
#include "domain.h"
#include <xen/domctl.h>
#include <xen/event_channel.h>

/* More than the domain's memory: a little for what Xen itself takes of it. */
#define SLACK_KB 2048

static int domctl(struct domain *d, struct xen_domctl *in)
{
	struct xen_domctl *op = xencall_alloc_buffer(d->call, sizeof(*op));
	int err;

	if (!op)
		return -1;
	in->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
	*op = *in;
	/* A long one, as destroydomain is, wants to be called again. */
	do {
		err = xencall1(d->call, __HYPERVISOR_domctl, (uintptr_t)op);
	} while (err && errno == EAGAIN);
	*in = *op;
	xencall_free_buffer(d->call, op);
	return err;
}

/* Xen chooses the number. The vcpu never runs; without one, no event can be sent to the domain. */
static int create(struct domain *d, uint32_t grant_frames)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_createdomain };

	op.u.createdomain.max_vcpus = 1;
	op.u.createdomain.max_evtchn_port = 1023;
	op.u.createdomain.max_grant_frames = (int32_t)grant_frames;
	op.u.createdomain.max_maptrack_frames = 1;
	op.u.createdomain.grant_opts = XEN_DOMCTL_GRANT_version(1);
	if (domctl(d, &op))
		return -1;
	d->domid = op.domain;

	op = (struct xen_domctl){ .cmd = XEN_DOMCTL_max_vcpus, .domain = d->domid };
	op.u.max_vcpus.max = 1;
	if (domctl(d, &op))
		return -1;

	op = (struct xen_domctl){ .cmd = XEN_DOMCTL_max_mem, .domain = d->domid };
	op.u.max_mem.max_memkb = d->n * (DOMAIN_PAGE / 1024) + SLACK_KB;
	return domctl(d, &op);
}

static int get_memory(struct domain *d)
{
	struct xen_memory_reservation *r = xencall_alloc_buffer(d->call, sizeof(*r));
	xen_pfn_t *frame = xencall_alloc_buffer(d->call, d->n * sizeof(*frame));
	int got = -1;

	if (r && frame) {
		memset(r, 0, sizeof(*r));
		r->nr_extents = d->n;
		r->domid = d->domid;
		set_xen_guest_handle(r->extent_start, frame);
		got = xencall2(d->call, __HYPERVISOR_memory_op, XENMEM_increase_reservation,
			       (uintptr_t)r);
		memcpy(d->frame, frame, d->n * sizeof(*frame));
	}
	xencall_free_buffer(d->call, frame);
	xencall_free_buffer(d->call, r);
	if (got < 0)
		return -1;
	if ((uint32_t)got < d->n) {
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

static int map_memory(struct domain *d)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_getdomaininfo, .domain = d->domid };
	int *err = calloc(d->n, sizeof(*err)), bad = 0;
	xen_pfn_t shared;

	if (!err)
		return -1;
	d->mem = xenforeignmemory_map(d->fmem, d->domid, PROT_READ | PROT_WRITE, d->n, d->frame,
				      err);
	for (uint32_t i = 0; i < d->n; i++)
		bad |= err[i];
	free(err);
	if (!d->mem || bad || domctl(d, &op))
		return -1;
	shared = op.u.getdomaininfo.shared_info_frame;
	d->shared =
		xenforeignmemory_map(d->fmem, d->domid, PROT_READ | PROT_WRITE, 1, &shared, NULL);
	return d->shared ? 0 : -1;
}

static int map_table(struct domain *d, uint32_t grant_frames)
{
	void *addr = NULL;

	d->table = xenforeignmemory_map_resource(d->fmem, d->domid, XENMEM_resource_grant_table,
						 XENMEM_resource_grant_table_id_shared, 0,
						 grant_frames, &addr, PROT_READ | PROT_WRITE, 0);
	d->entry = addr;
	return d->table ? 0 : -1;
}

/* Also of a domain that was made in part only. */
void domain_unmap(struct domain *d)
{
	if (d->table)
		xenforeignmemory_unmap_resource(d->fmem, d->table);
	if (d->shared)
		xenforeignmemory_unmap(d->fmem, (void *)d->shared, 1);
	if (d->mem)
		xenforeignmemory_unmap(d->fmem, d->mem, d->n);
	d->table = NULL;
	d->shared = NULL;
	d->mem = NULL;
}

static struct domain *failed(struct domain *d, const char *what)
{
	fprintf(stderr, "domain: %s: %s\n", what, strerror(errno));
	domain_destroy(d);
	return NULL;
}

struct domain *domain_new(uint32_t pages, uint32_t grant_frames)
{
	struct domain *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->n = pages;
	d->grants = grant_frames * DOMAIN_FRAME_GRANTS;
	d->domid = DOMID_INVALID;
	d->frame = calloc(pages, sizeof(*d->frame));
	d->call = xencall_open(NULL, 0);
	d->fmem = xenforeignmemory_open(NULL, 0);
	if (!d->frame || !d->call || !d->fmem)
		return failed(d, "no way to the hypervisor");
	if (create(d, grant_frames))
		return failed(d, "cannot be made");
	if (get_memory(d))
		return failed(d, "gets no memory");
	if (map_memory(d))
		return failed(d, "its memory cannot be mapped");
	if (map_table(d, grant_frames))
		return failed(d, "its grant table cannot be mapped");
	return d;
}

int domain_kill(struct domain *d)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_destroydomain, .domain = d->domid };

	return domctl(d, &op);
}

bool domain_exists(struct domain *d)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_getdomaininfo, .domain = d->domid };

	/* Xen answers for the next domain if there is none of that number. */
	return !domctl(d, &op) && op.domain == d->domid;
}

int domain_destroy(struct domain *d)
{
	int err = 0;

	domain_unmap(d);
	/* It is gone already if it was killed, and nobody else has its memory. */
	if (d->domid != DOMID_INVALID && domain_kill(d) && errno != ESRCH)
		err = -1;
	if (d->fmem)
		xenforeignmemory_close(d->fmem);
	if (d->call)
		xencall_close(d->call);
	free(d->frame);
	free(d);
	return err;
}

void domain_grant(struct domain *d, uint32_t ref, uint32_t page, uint16_t flags)
{
	volatile grant_entry_v1_t *e = &d->entry[ref];

	e->frame = (uint32_t)d->frame[page];
	e->domid = 0;
	/* The flags make it valid: last. */
	__atomic_store_n(&e->flags, GTF_permit_access | flags, __ATOMIC_SEQ_CST);
}

uint16_t domain_revoke(struct domain *d, uint32_t ref)
{
	return __atomic_exchange_n(&d->entry[ref].flags, 0, __ATOMIC_SEQ_CST);
}

uint16_t domain_pinned(const struct domain *d, uint32_t ref)
{
	return d->entry[ref].flags & (GTF_reading | GTF_writing);
}

int domain_port(struct domain *d)
{
	struct evtchn_alloc_unbound *op = xencall_alloc_buffer(d->call, sizeof(*op));
	int port = -1;

	if (!op)
		return -1;
	*op = (struct evtchn_alloc_unbound){ .dom = d->domid, .remote_dom = 0 };
	if (!xencall2(d->call, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound,
		      (uintptr_t)op))
		port = (int)op->port;
	xencall_free_buffer(d->call, op);
	return port;
}

bool domain_event(struct domain *d, uint32_t port)
{
	const uint32_t bits = 8 * sizeof(d->shared->evtchn_pending[0]);
	xen_ulong_t mask = (xen_ulong_t)1 << port % bits;

	return __atomic_fetch_and(&d->shared->evtchn_pending[port / bits], ~mask,
				  __ATOMIC_SEQ_CST) &
	       mask;
}

bool dom0_is_pv(void)
{
	char type[8] = "";
	FILE *f = fopen("/sys/hypervisor/guest_type", "r");

	if (f) {
		if (!fgets(type, sizeof(type), f))
			type[0] = '\0';
		fclose(f);
	}
	return !strcmp(type, "PV\n");
}
