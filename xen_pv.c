/* SPDX-License-Identifier: MIT */
/*
 * xen_pv.c - windows in a PV dom0
 *
 * The page tables of a PV domain hold machine frames, so the client's own have to, and nobody can
 * map for it. Two things come together:
 *
 *  - The daemon has the grant mapped "for devices" (GNTMAP_device_map, no address): Xen counts it
 *    as mapped and holds the page, the granter sees it in use, and there is no page table entry that
 *    could go wrong. A mapping in the daemon's page tables could only be undone from there: if the
 *    daemon were killed, the grants would be mapped until the next boot. This one can be undone by
 *    its handle, from any process.
 *  - The client maps the frame, as it would a foreign page, through a descriptor of privcmd that is
 *    restricted to the granter's domain. Its page table entry holds a reference of its own on the page.
 *
 * The frame number comes from the granter's grant entry: for a PV granter that is the machine frame,
 * for others a guest frame, which is what Xen wants of a foreign mapping of such a domain. The
 * granter can change its entry at any time. That misleads the client to another page of the same
 * domain, never to one of somebody else's: Xen checks whose a frame is.
 *
 * What the client gets is more than its grants: with the descriptor it can map any page of that domain,
 * and write to it unless it asked for a read-only window. So only those get one who are
 * trusted with the whole domain (--pv-trust).
 */
#include "xen_layer.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE_BYTES 4096

/* Entries in a frame of a grant table. */
#define PER_FRAME_V1 (PAGE_BYTES / sizeof(struct grant_entry_v1))
#define PER_FRAME_V2 (PAGE_BYTES / sizeof(union grant_entry_v2))

/* No machine has pages beyond: 52 bits of address. */
#define FRAME_MAX ((1ULL << 40) - 1)

static int pv_init(struct xen *x, int dirfd, const char **why)
{
	(void)x;
	(void)dirfd;
	(void)why;
	return 0;
}

static void pv_fini(struct xen *x)
{
	(void)x;
}

static int pv_window_get(struct xen *x, const struct hv_grant *g, size_t n,
			 const struct hv_place *at, struct xen_window **out)
{
	(void)at;
	for (size_t i = 1; i < n; i++)
		if (g[i].domid != g[0].domid)
			return -EXDEV;
	*out = xen_window_alloc(x, n);
	return *out ? 0 : -ENOMEM;
}

/* What Xen would not unmap stays in its slots: the keeper tries again when the daemon has ended. */
static void pv_window_put(struct xen *x, struct xen_window *w)
{
	size_t kept = 0;

	if (!w->lost) {
		xen_window_free(x, w);
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		if (xen_slot(x, w, i)->state == SLOT_NONE)
			slots_put(x->slots, 1, &w->slot[i]);
		else
			kept++;
	__atomic_fetch_add(&x->quarantined, kept, __ATOMIC_RELAXED);
	free(w);
}

/* The version of a domain's grant table: 1 or 2, or -errno. */
static int table_version(struct xen *x, uint16_t domid)
{
	struct journal_batch *b = privcmd_batch_get(x->pc);
	int ret;

	b->version = (struct gnttab_get_version){ .dom = domid };
	ret = privcmd_grant(x->pc, GNTTABOP_get_version, b, 1);
	if (!ret)
		ret = b->version.version == 1 || b->version.version == 2 ? (int)b->version.version
									 : -EIO;
	privcmd_batch_put(x->pc, b);
	return ret;
}

/**
 * struct reader - reads entries of a grant table
 * @table: one frame of it, number @frame; NULL: none yet
 */
struct reader {
	struct privcmd *pc;
	const volatile void *table;
	uint32_t frame;
	uint32_t per_frame;
	uint16_t domid;
};

/* Return: the frame that is granted by @ref, or 0 with errno. */
static uint64_t read_entry(struct reader *r, uint32_t ref)
{
	const volatile struct grant_entry_v1 *v1;
	const volatile union grant_entry_v2 *v2;

	if (!r->table || r->frame != ref / r->per_frame) {
		if (r->table)
			privcmd_table_put(r->table);
		r->frame = ref / r->per_frame;
		r->table = privcmd_table(r->pc, r->domid, r->frame);
		if (!r->table)
			return 0;
	}
	v1 = r->table;
	v2 = r->table;
	errno = EINVAL;
	return r->per_frame == PER_FRAME_V1 ? v1[ref % r->per_frame].frame
					    : v2[ref % r->per_frame].full_page.frame;
}

/* The frames for the client. */
static int pv_mapped(struct xen *x, struct hv_grant *g, size_t n)
{
	int version = table_version(x, g[0].domid), err = 0;
	struct reader r = { .pc = x->pc, .domid = g[0].domid };

	if (version < 0)
		return version;
	r.per_frame = version == 1 ? PER_FRAME_V1 : PER_FRAME_V2;
	for (size_t i = 0; i < n && !err; i++) {
		g[i].page = read_entry(&r, g[i].ref);
		if (!g[i].page)
			err = -errno;
		else if (g[i].page > FRAME_MAX)
			err = -EINVAL;
	}
	if (r.table)
		privcmd_table_put(r.table);
	return err;
}

static int pv_window_open(struct xen *x, int dirfd, const char *name, const struct hv_grant *g,
			  const struct hv_place *at)
{
	return privcmd_node(x->pc, dirfd, name, at->readonly, g[0].domid);
}

static void pv_open_gone(struct xen *x, uint64_t open_id)
{
	(void)x;
	(void)open_id;
}

static void pv_tend(struct xen *x)
{
	(void)x;
}

const struct xen_mode xen_pv = {
	.name = "xen-pv",
	.pages = HV_PAGES_FRAMES,
	.translated = false,
	.init = pv_init,
	.fini = pv_fini,
	.window_get = pv_window_get,
	.mapped = pv_mapped,
	.window_put = pv_window_put,
	.window_open = pv_window_open,
	.open_gone = pv_open_gone,
	.tend = pv_tend,
};
