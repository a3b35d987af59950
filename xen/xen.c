/* SPDX-License-Identifier: MIT */
/*
 * xen/xen.c - the hypervisor layer of a real Xen: grant operations in batches
 *
 * Three things have to be right whatever happens.
 *
 * A handle is never lost. Xen hands them out in the operations of the map hypercall, and a grant
 * whose handle nobody has stays mapped for ever. The operations lie in the journal, which outlives
 * the daemon; that says how many of them count before the hypercall is made, and the handles go from
 * there into slots, which the keeper finds (xen/journal.h, keeper/raw.h). A hypercall that fails midway has
 * set the status of those operations that it carried out, and they are unmapped.
 *
 * A page that shows a guest's memory does not come back to the kernel: xen/pvh.c.
 *
 * Nothing of what Xen or a guest writes is believed before it was looked at: statuses out of range are
 * general errors, frame numbers only reach clients that may have any page of that guest (xen/pv.c).
 */
#include "xen/xen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "xen/undo.h"
#include "xen/layer.h"

static struct xen *xen_of(struct hypervisor *hv)
{
	return (struct xen *)hv;
}

static void count(uint64_t *what, int64_t by)
{
	__atomic_fetch_add(what, (uint64_t)by, __ATOMIC_RELAXED);
}

/* --- windows ------------------------------------------------------------------------------------ */

struct xen_window *xen_window_alloc(struct xen *x, size_t n)
{
	struct xen_window *w = calloc(1, sizeof(*w) + n * sizeof(w->slot[0]));

	if (!w)
		return NULL;
	w->n = n;
	if (journal_slots_get(x->slots, n, w->slot)) {
		free(w);
		return NULL;
	}
	x->of_slot[w->slot[0]] = w;
	return w;
}

void xen_window_keep(struct xen *x, const struct xen_window *w)
{
	const struct journal_window kept = { .open_id = w->open_id,
					     .n = (uint32_t)w->n,
					     .pin = w->pin,
					     .domid = w->domid,
					     .closed = w->closed };

	journal_window_note(x->journal, w->slot, &kept);
}

void xen_window_forget(struct xen *x, const struct xen_window *w)
{
	journal_window_forget(x->journal, w->slot[0]);
}

void xen_window_free(struct xen *x, struct xen_window *w)
{
	xen_window_forget(x, w);
	journal_slots_put(x->slots, w->n, w->slot);
	free(w);
}

/* --- map ---------------------------------------------------------------------------------------- */

/*
 * prepare() - fill a batch with the next grants that are pending
 *
 * This domain's own grants are never mapped. In a PVH dom0 Xen would take the page away from where it
 * was, under the kernel's feet, and not bring it back; in a PV dom0 a client would get a descriptor
 * for all of this domain's memory.
 *
 * @next:  where to look on; moved on
 * @index: out: which grant each operation is for
 *
 * Return: how many.
 */
static uint32_t prepare(struct xen *x, struct journal_batch *b, struct hv_grant *g, size_t n,
			size_t *next, bool readonly, uint32_t *index)
{
	const uint32_t flags = (x->mode->translated ? GNTMAP_host_map : GNTMAP_device_map) |
			       (readonly ? GNTMAP_readonly : 0);
	uint32_t k = 0;

	for (; *next < n && k < JOURNAL_OPS; ++*next) {
		struct hv_grant *one = &g[*next];

		if (one->status != HV_PENDING)
			continue;
		if (xen_is_own(one->domid)) {
			one->status = GNTST_bad_domain;
			continue;
		}
		b->map[k] = (struct gnttab_map_grant_ref){
			.host_addr = x->mode->translated ? x->journal->slot[one->slot].addr : 0,
			.flags = flags,
			.ref = one->ref,
			.dom = one->domid,
			.status = JOURNAL_PENDING,
		};
		b->slot[k] = one->slot;
		index[k++] = (uint32_t)*next;
	}
	return k;
}

static void take_result(struct xen *x, struct hv_grant *g, const struct gnttab_map_grant_ref *op,
			bool whole)
{
	/* Not come to, because the hypercall failed: stays pending. */
	if (op->status == JOURNAL_PENDING && !whole)
		return;
	g->status = hv_status_check(op->status);
	if (g->status != GNTST_okay)
		return;
	g->handle = op->handle;
	count(&x->handles, 1);
}

static int map_batches(struct xen *x, struct hv_grant *g, size_t n, bool readonly)
{
	struct journal_batch *b = privcmd_batch_get(x->pc);
	uint32_t index[JOURNAL_OPS], k;
	size_t next = 0;
	int err = 0;

	while (!err && (k = prepare(x, b, g, n, &next, readonly, index))) {
		__atomic_store_n(&b->mapping, k, __ATOMIC_RELEASE);
		err = privcmd_grant(x->pc, GNTTABOP_map_grant_ref, b, k);
		journal_harvest(x->journal, b, x->mode->translated);
		for (uint32_t i = 0; i < k; i++)
			take_result(x, &g[index[i]], &b->map[i], !err);
	}
	privcmd_batch_put(x->pc, b);
	return err;
}

static bool all_mapped(const struct hv_grant *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (g[i].status != GNTST_okay)
			return false;
	return true;
}

static int xen_unmap(struct hypervisor *hv, struct hv_grant *g, size_t n);

static int xen_map(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at)
{
	struct xen *x = xen_of(hv);
	struct xen_window *w;
	int err;

	if (!g[0].slot) {
		err = x->mode->window_get(x, g, n, at, &w);
		if (err)
			return err;
		for (size_t i = 0; i < n; i++)
			g[i].slot = w->slot[i];
	}
	err = map_batches(x, g, n, at->readonly);
	if (!err && all_mapped(g, n))
		err = x->mode->mapped(x, g, n);
	if (err) {
		if (xen_unmap(hv, g, n))
			log_err("grants of domain %u could not be unmapped after a failed map",
				g[0].domid);
		for (size_t i = 0; i < n; i++)
			g[i].status = HV_PENDING;
	}
	return err;
}

/* --- unmap -------------------------------------------------------------------------------------- */

/* Return: how many of these grants could not be unmapped. */
static size_t unmap_batch(struct xen *x, struct journal_batch *b, struct hv_grant **g, size_t n)
{
	struct journal_slot *slot[JOURNAL_OPS];
	int16_t status[JOURNAL_OPS];
	size_t failed = 0;
	int err;

	for (size_t i = 0; i < n; i++)
		slot[i] = &x->journal->slot[g[i]->slot];
	err = undo_unmap(privcmd_fd(x->pc), x->journal, b, x->mode->translated, slot, n, status);
	if (err)
		log_err("the unmap hypercall failed: %s", strerror(-err));
	for (size_t i = 0; i < n; i++) {
		failed += status[i] != GNTST_okay;
		if (status[i] == GNTST_okay)
			g[i]->status = HV_PENDING;
		else
			g[i]->status = status[i];
	}
	count(&x->handles, (int64_t)failed - (int64_t)n);
	return failed;
}

static int xen_unmap(struct hypervisor *hv, struct hv_grant *g, size_t n)
{
	struct xen *x = xen_of(hv);
	struct xen_window *w = xen_window_of(x, g);
	struct hv_grant *some[JOURNAL_OPS];
	struct journal_batch *b;
	size_t k = 0, failed = 0;

	if (!w)
		return 0;
	b = privcmd_batch_get(x->pc);
	for (size_t i = 0; i < n; i++) {
		if (g[i].status == GNTST_okay)
			some[k++] = &g[i];
		if (k && (k == JOURNAL_OPS || i + 1 == n)) {
			failed += unmap_batch(x, b, some, k);
			k = 0;
		}
	}
	privcmd_batch_put(x->pc, b);
	for (size_t i = 0; i < n; i++)
		g[i].slot = 0;
	w->lost = failed;
	x->mode->window_put(x, w);
	return (int)failed;
}

/* --- the rest of the interface ------------------------------------------------------------------ */

static int xen_window_open(struct hypervisor *hv, int dirfd, const char *name,
			   const struct hv_grant *g, size_t n, const struct hv_place *at)
{
	struct xen *x = xen_of(hv);

	(void)n;
	return x->mode->window_open(x, dirfd, name, g, at);
}

static void xen_counts(struct hypervisor *hv, struct hv_counts *c)
{
	struct xen *x = xen_of(hv);

	*c = (struct hv_counts){
		.handles = __atomic_load_n(&x->handles, __ATOMIC_RELAXED),
		.handle_max = x->handle_max,
		.ports = __atomic_load_n(&x->port_refs, __ATOMIC_RELAXED),
		.away = __atomic_load_n(&x->away, __ATOMIC_RELAXED),
		.quarantined = __atomic_load_n(&x->quarantined, __ATOMIC_RELAXED),
	};
}

static void xen_limit_away(struct hypervisor *hv, uint64_t pages)
{
	__atomic_store_n(&xen_of(hv)->away_max, pages, __ATOMIC_RELAXED);
}

static void xen_open_gone(struct hypervisor *hv, uint64_t open_id)
{
	struct xen *x = xen_of(hv);

	x->mode->open_gone(x, open_id);
}

static const char *xen_tend(struct hypervisor *hv)
{
	struct xen *x = xen_of(hv);

	x->mode->tend(x);
	return NULL;
}

static void xen_destroy(struct hypervisor *hv)
{
	struct xen *x = xen_of(hv);

	x->mode->fini(x);
	bounce_free(x->bounce);
	ports_free(x->ports);
	pins_free(x->pins);
	privcmd_close(x->pc);
	journal_slots_free(x->slots);
	journal_free(x->journal);
	if (x->journal_fd >= 0)
		close(x->journal_fd);
	if (x->of_slot)
		munmap(x->of_slot, JOURNAL_SLOTS * sizeof(struct xen_window *));
	free(x);
}

const struct hypervisor_ops xen_ops = {
	.map = xen_map,
	.unmap = xen_unmap,
	.adopt = xen_adopt,
	.adopted = xen_adopted,
	.copy = xen_copy,
	.pages_get = xen_pages_get,
	.pages_put = xen_pages_put,
	.clear_byte = xen_clear_byte,
	.window_open = xen_window_open,
	.port_get = xen_port_get,
	.port_put = xen_port_put,
	.port_send = xen_port_send,
	.counts = xen_counts,
	.limit_away = xen_limit_away,
	.open_gone = xen_open_gone,
	.tend = xen_tend,
	.destroy = xen_destroy,
};
