/* SPDX-License-Identifier: MIT */
/*
 * xen/pv.c - windows in a PV dom0
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
 * also to write if it asked for a read-only window (by opening the node again, if it is root), and do
 * what a device model does to an HVM domain (IOCTL_PRIVCMD_DM_OP). So only those get one who are
 * trusted with the whole domain (pv_descriptor in the policy).
 *
 * If the daemon ends while a client has a window, the grant is unmapped but the client's own mapping
 * stays, and the granter is told that its page is free.
 */
#include "xen/layer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define PAGE_BYTES 4096

/* Entries in a frame of a grant table. */
#define PER_FRAME_V1 (PAGE_BYTES / sizeof(struct grant_entry_v1))
#define PER_FRAME_V2 (PAGE_BYTES / sizeof(union grant_entry_v2))

/* No machine has pages beyond: 52 bits of address. */
#define FRAME_MAX ((1ULL << 40) - 1)

/**
 * struct table - a frame of a grant table, mapped
 * @at:   NULL: a free place
 */
struct table {
	const volatile void *at;
	uint32_t frame;
	uint16_t domid;
	uint16_t version;
};

/**
 * struct pv - the tables that were read last
 *
 * For half a second: longer, and they would keep a domain that has ended from vanishing, its number may
 * come to mean another domain, or it may have changed to another version.
 *
 * Each frame of a table has one place, those of a domain lie side by side: references that are scattered
 * over the largest table that Xen gives a domain by default (64 frames) find all of it here.
 */
#define TABLES	       256
#define FRAMES_PER_DOM 64
struct pv {
	pthread_mutex_t lock;
	struct table table[TABLES];
};

static void drop_table(struct table *t)
{
	if (t->at)
		privcmd_table_put(t->at);
	t->at = NULL;
}

static int pv_init(struct xen *x, int dirfd, const char **why)
{
	(void)dirfd;
	*why = "no memory";
	x->pv = calloc(1, sizeof(*x->pv));
	if (!x->pv)
		return -ENOMEM;
	pthread_mutex_init(&x->pv->lock, NULL);
	return 0;
}

static void pv_fini(struct xen *x)
{
	if (!x->pv)
		return;
	for (unsigned int i = 0; i < TABLES; i++)
		drop_table(&x->pv->table[i]);
	pthread_mutex_destroy(&x->pv->lock);
	free(x->pv);
}

static void pv_tend(struct xen *x)
{
	pthread_mutex_lock(&x->pv->lock);
	for (unsigned int i = 0; i < TABLES; i++)
		drop_table(&x->pv->table[i]);
	pthread_mutex_unlock(&x->pv->lock);
}

static int pv_window_get(struct xen *x, const struct hv_grant *g, size_t n,
			 const struct hv_place *at, struct xen_window **out)
{
	for (size_t i = 1; i < n; i++)
		if (g[i].domid != g[0].domid)
			return -EXDEV;
	*out = xen_window_alloc(x, n);
	if (!*out)
		return -ENOMEM;
	(*out)->open_id = at->open_id;
	(*out)->domid = g[0].domid;
	xen_window_keep(x, *out);
	return 0;
}

/* What Xen would not unmap stays in its slots: a successor tries again, or the keeper when the daemon has ended. */
static void pv_window_put(struct xen *x, struct xen_window *w)
{
	size_t kept = 0;

	if (!w->lost) {
		xen_window_free(x, w);
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		kept += xen_slot(x, w, i)->state != SLOT_NONE;
	__atomic_fetch_add(&x->quarantined, kept, __ATOMIC_RELAXED);
	free(w);
}

static void pv_window_adopt(struct xen *x, struct xen_window *w)
{
	(void)x;
	(void)w;
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

static uint32_t frame_of(uint32_t ref, int version)
{
	return (uint32_t)(ref / (version == 1 ? PER_FRAME_V1 : PER_FRAME_V2));
}

static struct table *place_of(struct pv *p, uint16_t domid, uint32_t frame)
{
	return &p->table[(domid * FRAMES_PER_DOM + frame) % TABLES];
}

/* With the lock. Return: the table that has the entry of @ref, NULL if it was not read lately. */
static struct table *find_table(struct pv *p, uint16_t domid, uint32_t ref)
{
	for (int version = 1; version <= 2; version++) {
		const uint32_t frame = frame_of(ref, version);
		struct table *t = place_of(p, domid, frame);

		if (t->at && t->domid == domid && t->version == version && t->frame == frame)
			return t;
	}
	return NULL;
}

/* With the lock. Return: the table that has the entry of @ref, or NULL with errno. */
static struct table *get_table(struct xen *x, uint16_t domid, uint32_t ref)
{
	struct table *t = find_table(x->pv, domid, ref);
	int version;

	if (t)
		return t;
	version = table_version(x, domid);
	if (version < 0) {
		errno = -version;
		return NULL;
	}
	t = place_of(x->pv, domid, frame_of(ref, version));
	drop_table(t);
	t->domid = domid;
	t->version = (uint16_t)version;
	t->frame = frame_of(ref, version);
	t->at = privcmd_table(x->pc, domid, t->frame);
	return t->at ? t : NULL;
}

/* Return: the frame that is granted by @ref. It is the guest's to write: anything. */
static uint64_t read_entry(const struct table *t, uint32_t ref)
{
	const volatile struct grant_entry_v1 *v1 = t->at;
	const volatile union grant_entry_v2 *v2 = t->at;

	return t->version == 1 ? v1[ref % PER_FRAME_V1].frame
			       : v2[ref % PER_FRAME_V2].full_page.frame;
}

/* The frames for the client. */
static int pv_mapped(struct xen *x, struct hv_grant *g, size_t n)
{
	struct table *t;
	int err = 0;

	pthread_mutex_lock(&x->pv->lock);
	for (size_t i = 0; i < n && !err; i++) {
		t = get_table(x, g[i].domid, g[i].ref);
		if (!t) {
			err = -errno;
			break;
		}
		g[i].page = read_entry(t, g[i].ref);
		if (!g[i].page || g[i].page > FRAME_MAX)
			err = -EINVAL;
	}
	pthread_mutex_unlock(&x->pv->lock);
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

const struct xen_mode xen_pv = {
	.name = "xen-pv",
	.pages = HV_PAGES_FRAMES,
	.translated = false,
	.init = pv_init,
	.fini = pv_fini,
	.window_get = pv_window_get,
	.mapped = pv_mapped,
	.window_put = pv_window_put,
	.window_adopt = pv_window_adopt,
	.window_open = pv_window_open,
	.open_gone = pv_open_gone,
	.tend = pv_tend,
};
