/* SPDX-License-Identifier: MIT */
/*
 * xen/adopt.c - what a predecessor has left: its windows, mapped or not
 *
 * The journal has all windows and what is to be undone for each of their pages (xen/journal.h). So a successor begins with
 * the same windows, and those that a map needs are named to it one after the other (hypercall.h, adopt()). What has
 * not been named in the end is undone.
 *
 * A page of a named window is in one of two states, and it is certain in which: a grant is mapped, or (PVH) its frame is
 * away. For all frames of a window were given back before the first grant was mapped, and what an unmap has come to is in
 * the batch that it was made with. Of a window that nobody names, or whose unmapping had begun, that is not so: the
 * predecessor may have been killed while it gave frames back or got them again. Therefore all that are said to be away are given
 * back first, once more.
 *
 * A map whose unmapping had begun may be noted as mapped still, though its window has got another user meanwhile. So these
 * are named after all others, and what somebody has named already is not theirs.
 */
#include "xen/layer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "xen/undo.h"

static void count(uint64_t *what, int64_t by)
{
	__atomic_fetch_add(what, (uint64_t)by, __ATOMIC_RELAXED);
}

static size_t mapped_in(const struct xen *x, const struct xen_window *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += xen_slot(x, w, i)->state == SLOT_MAPPED;
	return n;
}

/* --- windows and pins --------------------------------------------------------------------------- */

static int adopt_window(struct xen *x, uint32_t first, uint8_t *claimed)
{
	const struct journal_window *kept = &x->journal->window[first];
	const uint32_t n = kept->n;
	struct xen_window *w;
	int err;

	if (n >= x->journal->slots)
		return -EINVAL;
	w = calloc(1, sizeof(*w) + n * sizeof(w->slot[0]));
	if (!w)
		return -ENOMEM;
	w->n = n;
	err = journal_window_slots(x->journal, first, w->slot, claimed);
	if (err) {
		free(w);
		return err;
	}
	w->open_id = kept->open_id;
	w->pin = kept->pin;
	w->domid = kept->domid;
	w->closed = kept->closed;
	w->orphan = true;
	x->of_slot[first] = w;
	count(&x->handles, (int64_t)mapped_in(x, w));
	x->mode->window_adopt(x, w);
	return 0;
}

/* They stay as they are, for somebody else. */
static void drop_windows(struct xen *x)
{
	for (uint32_t first = 1; first < x->journal->slots; first++) {
		free(x->of_slot[first]);
		x->of_slot[first] = NULL;
	}
}

int xen_adopt_windows(struct xen *x)
{
	struct journal *j = x->journal;
	uint8_t *claimed = calloc(JOURNAL_SLOTS, 1);
	int err = claimed ? 0 : -ENOMEM;

	for (size_t i = 0; i < JOURNAL_BATCHES; i++)
		journal_harvest(j, &j->batch[i], x->mode->translated);
	for (uint32_t first = 1; !err && first < j->slots; first++)
		if (j->window[first].n)
			err = adopt_window(x, first, claimed);
	if (!err)
		err = journal_slots_adopt(x->slots, claimed);
	if (err)
		drop_windows(x);
	free(claimed);
	return err;
}

/* The pins of all windows, and of the batches. Return: how many; NULL ids: there is no memory. */
static size_t collect_pins(const struct xen *x, uint32_t **ids)
{
	size_t n = 0;

	*ids = malloc((x->journal->slots + 1) * sizeof(**ids));
	if (!*ids)
		return 0;
	(*ids)[n++] = x->journal->pin;
	for (uint32_t first = 1; x->mode->translated && first < x->journal->slots; first++)
		if (x->of_slot[first])
			(*ids)[n++] = x->of_slot[first]->pin;
	return n;
}

int xen_adopt_pins(struct xen *x, const int *fds, const char **why)
{
	uint32_t *ids;
	size_t n = collect_pins(x, &ids);
	int err;

	x->journal_pin = x->journal->pin;
	err = pins_adopt(fds, ids, n, &x->pins, why);
	free(ids);
	return err;
}

/* --- hypercall.h -------------------------------------------------------------------------------- */

/* Whether these grants had this window. */
static bool is_of(const struct xen_window *w, const struct hv_grant *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (g[i].slot != w->slot[i])
			return false;
	return true;
}

/* Return: the window of a map, NULL if it has none (any more). */
static struct xen_window *find_window(const struct xen *x, const struct hv_grant *g, size_t n,
				      const struct hv_place *at)
{
	struct xen_window *w;

	if (!g[0].slot || g[0].slot >= x->journal->slots)
		return NULL;
	w = x->of_slot[g[0].slot];
	if (!w || !w->orphan || w->n != n || w->open_id != at->open_id || !is_of(w, g, n))
		return NULL;
	return w;
}

/* Be sure that those that are said to be away are. */
static void settle_doubts(struct xen *x, const struct xen_window *w)
{
	struct journal_batch *b = privcmd_batch_get(x->pc);

	if (x->mode->translated)
		undo_all_doubts(privcmd_fd(x->pc), b, x->journal, w->slot, w->n);
	privcmd_batch_put(x->pc, b);
}

int xen_adopt(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at,
	      bool leaving)
{
	struct xen *x = (struct xen *)hv;
	struct xen_window *w = find_window(x, g, n, at);
	int missing = 0;

	if (w)
		w->orphan = false;
	if (w && leaving)
		settle_doubts(x, w);
	for (size_t i = 0; i < n; i++) {
		const struct journal_slot *slot = w ? xen_slot(x, w, i) : NULL;

		g[i].page = i;
		if (!w)
			g[i].slot = 0;
		if (g[i].status != GNTST_okay)
			continue;
		if (slot && slot->state == SLOT_MAPPED && slot->handle == g[i].handle)
			continue;
		g[i].status = GNTST_bad_handle;
		missing++;
	}
	return missing;
}

/* Unmap what is mapped there, and have its pages back. */
static void undo(struct xen *x, struct xen_window *w)
{
	size_t mapped = mapped_in(x, w);
	struct journal_batch *b;

	w->orphan = false;
	w->closed = true;
	settle_doubts(x, w);
	if (!x->mode->translated) {
		b = privcmd_batch_get(x->pc);
		w->lost = undo_all(privcmd_fd(x->pc), b, false, x->journal, w->slot, w->n);
		privcmd_batch_put(x->pc, b);
		count(&x->handles, (int64_t)mapped_in(x, w) - (int64_t)mapped);
	}
	/* A closed one of a PVH dom0 is taken apart by that, with all that is mapped. */
	x->mode->window_put(x, w);
}

int xen_adopted(struct hypervisor *hv)
{
	struct xen *x = (struct xen *)hv;
	const uint32_t slots = x->journal->slots;
	size_t n = 0;

	for (uint32_t first = 1; first < slots; first++) {
		struct xen_window *w = x->of_slot[first];

		if (!w || !w->orphan)
			continue;
		n++;
		undo(x, w);
	}
	xen_ports_adopted(x->ports, x->lent);
	x->adopting = false;
	if (n)
		log_debug("%zu windows of the predecessor were of no use any more", n);
	return 0;
}
