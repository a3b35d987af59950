/* SPDX-License-Identifier: MIT */
/*
 * xen/copy.c - GNTTABOP_copy, through pages of our own
 *
 * Xen copies between a grant and a frame of the caller's, and wants the frame's number. For memory of
 * a process nobody tells a PV dom0's userspace that (pagemap has pseudo-physical numbers), and in
 * any dom0 a page may move. So the local side is a grant, too: pages that the kernel's xen-gntalloc
 * has made, granted by this domain to itself. They stay where they are, and copying between grants
 * never maps anything, so that it is safe in a PVH dom0 as well (where mapping one's own
 * grant is not).
 *
 * GRANT_COPY reads and writes its caller's memory straight to and from these pages: they are lent to it in
 * sets, as long as there are any. That may take as long as a client likes, so one set is never lent:
 * it serves everybody else for the moment that a hypercall takes, by another copy.
 */
#include "xen/layer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xengnttab.h>

#include "base/log.h"

#define PAGE_BYTES 4096

/* Operations in one hypercall, a page each; and how many sets of pages, of which one is never lent. */
#define SET_PAGES HV_COPY_PAGES
#define SETS	  4
#define OWN_SET	  0

/**
 * struct bounce - the pages
 * @sets: one after the other
 * @free: a bit for each set that nobody has
 */
struct bounce {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	xengntshr_handle *xgs;
	unsigned char *pages;
	uint32_t ref[SETS * SET_PAGES];
	uint32_t free;
};

int bounce_new(struct bounce **out, const char **why)
{
	struct bounce *bo = calloc(1, sizeof(*bo));

	*why = "no memory";
	if (!bo)
		return -ENOMEM;
	pthread_mutex_init(&bo->lock, NULL);
	pthread_cond_init(&bo->freed, NULL);
	bo->free = (1U << SETS) - 1;
	*out = bo;
	*why = "cannot open /dev/xen/gntalloc, needed for GRANT_COPY (modprobe xen-gntalloc)";
	bo->xgs = xengntshr_open(NULL, 0);
	if (!bo->xgs)
		return errno ? -errno : -ENOENT;
	*why = "cannot get pages from /dev/xen/gntalloc, needed for GRANT_COPY (256 of its limit, "
	       "see /sys/module/xen_gntalloc/parameters/limit)";
	bo->pages = xengntshr_share_pages(bo->xgs, 0, SETS * SET_PAGES, bo->ref, 1);
	return bo->pages ? 0 : -errno;
}

void bounce_free(struct bounce *bo)
{
	if (!bo)
		return;
	if (bo->pages)
		xengntshr_unshare(bo->xgs, bo->pages, SETS * SET_PAGES);
	if (bo->xgs)
		xengntshr_close(bo->xgs);
	pthread_cond_destroy(&bo->freed);
	pthread_mutex_destroy(&bo->lock);
	free(bo);
}

static void own_set_get(struct bounce *bo)
{
	pthread_mutex_lock(&bo->lock);
	while (!(bo->free & 1U << OWN_SET))
		pthread_cond_wait(&bo->freed, &bo->lock);
	bo->free &= ~(1U << OWN_SET);
	pthread_mutex_unlock(&bo->lock);
}

void *xen_pages_get(struct hypervisor *hv)
{
	struct bounce *bo = ((struct xen *)hv)->bounce;
	unsigned int set;
	uint32_t free;
	void *pages = NULL;

	pthread_mutex_lock(&bo->lock);
	free = bo->free & ~(1U << OWN_SET);
	if (free) {
		set = (unsigned int)__builtin_ctz(free);
		bo->free &= ~(1U << set);
		pages = bo->pages + (size_t)set * SET_PAGES * PAGE_BYTES;
	}
	pthread_mutex_unlock(&bo->lock);
	return pages;
}

static void set_put(struct bounce *bo, unsigned int set)
{
	pthread_mutex_lock(&bo->lock);
	bo->free |= 1U << set;
	pthread_cond_signal(&bo->freed);
	pthread_mutex_unlock(&bo->lock);
}

void xen_pages_put(struct hypervisor *hv, void *pages)
{
	struct bounce *bo = ((struct xen *)hv)->bounce;

	set_put(bo,
		(unsigned int)(((unsigned char *)pages - bo->pages) / (SET_PAGES * PAGE_BYTES)));
}

static bool is_lent(const struct bounce *bo, const void *p)
{
	const unsigned char *at = p;

	return at >= bo->pages && at < bo->pages + (size_t)SETS * SET_PAGES * PAGE_BYTES;
}

/* One side of a copy: a grant of somebody's, or memory of ours: lent, or page @k of our own set. */
static struct gnttab_copy_ptr side(const struct bounce *bo, unsigned int k, const void *local,
				   const struct hv_copy_ref *r)
{
	struct gnttab_copy_ptr ptr = { .domid = DOMID_SELF };

	if (local && is_lent(bo, local)) {
		size_t at = (size_t)((const unsigned char *)local - bo->pages);

		ptr.u.ref = bo->ref[at / PAGE_BYTES];
		ptr.offset = at % PAGE_BYTES;
	} else if (local) {
		ptr.u.ref = bo->ref[OWN_SET * SET_PAGES + k];
	} else {
		ptr.u.ref = r->ref;
		ptr.domid = r->domid;
		ptr.offset = r->offset;
	}
	return ptr;
}

/* Other clients' data passes through these pages: no client may copy from or to them. */
static bool bounce_has(const struct bounce *bo, uint16_t domid, uint32_t ref)
{
	if (!xen_is_own(domid))
		return false;
	for (unsigned int i = 0; i < SETS * SET_PAGES; i++)
		if (bo->ref[i] == ref)
			return true;
	return false;
}

/* Whether an operation names a page that copies go through. */
static bool names_ours(const struct bounce *bo, const struct hv_copy *c)
{
	return (!c->src_local && bounce_has(bo, c->src.domid, c->src.ref)) ||
	       (!c->dst_local && bounce_has(bo, c->dst.domid, c->dst.ref));
}

/* Whether memory of ours lies in one page, as far as it is used where it is. */
static bool local_fits(const struct bounce *bo, const void *local, uint16_t len)
{
	return !is_lent(bo, local) || (uintptr_t)local % PAGE_BYTES + len <= PAGE_BYTES;
}

/* Whether an operation stays within a page on each side. */
static bool fits(const struct bounce *bo, const struct hv_copy *c)
{
	return (c->src_local ? local_fits(bo, c->src_local, c->len)
			     : c->src.offset + c->len <= PAGE_BYTES) &&
	       (c->dst_local ? local_fits(bo, c->dst_local, c->len)
			     : c->dst.offset + c->len <= PAGE_BYTES) &&
	       c->len <= PAGE_BYTES;
}

/* Whether it needs a page of our own set. */
static bool is_foreign_memory(const struct bounce *bo, const struct hv_copy *c)
{
	return (c->src_local && !is_lent(bo, c->src_local)) ||
	       (c->dst_local && !is_lent(bo, c->dst_local));
}

static unsigned char *own_page(const struct bounce *bo, uint32_t k)
{
	return bo->pages + (size_t)(OWN_SET * SET_PAGES + k) * PAGE_BYTES;
}

/*
 * prepare() - fill a batch with the next operations that are pending
 * @next:  where to look on; moved on
 *
 * Return: how many.
 */
static uint32_t prepare(struct bounce *bo, struct journal_batch *b, struct hv_copy *c, size_t n,
			size_t *next, struct hv_copy **which)
{
	uint32_t k = 0;

	for (; *next < n && k < SET_PAGES; ++*next) {
		struct hv_copy *one = &c[*next];

		if (one->status != HV_PENDING)
			continue;
		if (!fits(bo, one) || names_ours(bo, one)) {
			one->status = fits(bo, one) ? GNTST_bad_gntref : GNTST_bad_copy_arg;
			continue;
		}
		if (one->src_local && !is_lent(bo, one->src_local))
			memcpy(own_page(bo, k), one->src_local, one->len);
		b->copy[k] = (struct gnttab_copy){
			.source = side(bo, k, one->src_local, &one->src),
			.dest = side(bo, k, one->dst_local, &one->dst),
			.len = one->len,
			.flags = GNTCOPY_source_gref | GNTCOPY_dest_gref,
			.status = JOURNAL_PENDING,
		};
		which[k++] = one;
	}
	return k;
}

/* If the hypercall failed, what it had not come to stays pending. */
static void take_results(struct bounce *bo, const struct journal_batch *b, struct hv_copy **which,
			 uint32_t n, bool whole)
{
	for (uint32_t k = 0; k < n; k++) {
		struct hv_copy *one = which[k];

		if (b->copy[k].status == JOURNAL_PENDING && !whole)
			continue;
		one->status = hv_status_check(b->copy[k].status);
		if (one->status == GNTST_okay && one->dst_local && !is_lent(bo, one->dst_local))
			memcpy(one->dst_local, own_page(bo, k), one->len);
	}
}

int xen_copy(struct hypervisor *hv, struct hv_copy *c, size_t n)
{
	struct xen *x = (struct xen *)hv;
	struct bounce *bo = x->bounce;
	struct journal_batch *b;
	struct hv_copy *which[SET_PAGES];
	bool own = false;
	size_t next = 0;
	uint32_t k;
	int err = 0;

	for (size_t i = 0; i < n && !own; i++)
		own = is_foreign_memory(bo, &c[i]);
	if (own)
		own_set_get(bo);
	b = privcmd_batch_get(x->pc);
	while (!err && (k = prepare(bo, b, c, n, &next, which))) {
		err = privcmd_grant(x->pc, GNTTABOP_copy, b, k);
		take_results(bo, b, which, k, !err);
	}
	privcmd_batch_put(x->pc, b);
	if (own)
		set_put(bo, OWN_SET);
	return err;
}

/*
 * By a copy rather than through the window: the client may have cut its window's file, and in a PV
 * dom0 the daemon has no mapping. Xen allows it as long as the grant is mapped, also if the granter
 * has ended it meanwhile.
 */
void xen_clear_byte(struct hypervisor *hv, const struct hv_grant *g, unsigned int offset)
{
	static const unsigned char zero;
	struct hv_copy c = {
		.src_local = &zero,
		.dst = { .ref = g->ref, .domid = g->domid, .offset = (uint16_t)offset },
		.len = 1,
		.status = HV_PENDING,
	};
	int err = xen_copy(hv, &c, 1);

	if (err)
		log_warn("clearing a byte of grant %u of domain %u failed: %s", g->ref, g->domid,
			 strerror(-err));
	/* A granter that is gone looks at nothing any more, and it has had many such bytes, maybe. */
	else if (c.status != GNTST_okay && c.status != GNTST_bad_domain)
		log_warn("clearing a byte of grant %u of domain %u failed: %s", g->ref, g->domid,
			 hv_status_name(c.status));
}
