/* SPDX-License-Identifier: MIT */
/*
 * machine/pages.c - pages that a domain of the simulated machine grants
 *
 * A page is a frame of the domain, granted at once. It has users: the list that it was allocated into,
 * until it is taken out of that, and each window that shows it. When the last one goes, the page's
 * notification fires and the grant ends: now, or, if another domain has it mapped, when that unmaps
 * it (sim_revoke_later()); the frame goes with the grant. The page ceases to count towards the limit when
 * its users have gone, as with the driver.
 */
#include "machine/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void drop_event(struct pages *ps, struct page *p)
{
	if (p->action & UNMAP_NOTIFY_SEND_EVENT)
		sim_port_put(ps->sim, ps->domid, p->port);
}

static void notify(struct pages *ps, struct page *p)
{
	const uint8_t zero = 0;
	int err;

	if (p->action & UNMAP_NOTIFY_CLEAR_BYTE)
		sim_frame_write(ps->sim, p->frame, p->byte, &zero, sizeof(zero));
	if (p->action & UNMAP_NOTIFY_SEND_EVENT) {
		err = sim_port_send(ps->sim, ps->domid, p->port);
		if (err)
			log_warn("%s: notification on event channel %u was not sent: %s", ps->name,
				 p->port, strerror(-err));
	}
	drop_event(ps, p);
}

/* The last user has gone. */
static void page_end(struct pages *ps, struct page *p)
{
	notify(ps, p);
	sim_revoke_later(ps->sim, ps->domid, p->ref, true);
	ps->count--;
	free(p);
}

void page_put(struct pages *ps, struct page *p)
{
	if (!--p->users)
		page_end(ps, p);
}

/* Its list lets go of it. */
static void page_unlist(struct pages *ps, struct page *p)
{
	cds_list_del(&p->node);
	page_put(ps, p);
}

struct page *page_after(const struct cds_list_head *list, const struct page *p)
{
	const struct cds_list_head *at = p ? p->node.next : list->next;

	return at == list ? NULL : cds_list_entry(at, struct page, node);
}

struct page *pages_find(const struct cds_list_head *list, uint64_t index, uint64_t count)
{
	struct page *p = page_after(list, NULL), *first;

	while (p && p->index != index)
		p = page_after(list, p);
	first = p;
	for (uint64_t i = 0; i < count; i++, p = page_after(list, p))
		if (!p || p->index != index + i * ABI_PAGE_SIZE)
			return NULL;
	return count ? first : NULL;
}

void pages_unlist(struct pages *ps, const struct cds_list_head *list, struct page *first,
		  uint64_t count)
{
	struct page *next;

	for (; first && count; count--, first = next) {
		next = page_after(list, first);
		page_unlist(ps, first);
	}
}

bool pages_promise(struct pages *ps, uint32_t n)
{
	if (ps->count > ps->limit || n > ps->limit - ps->count)
		return false;
	ps->count += n;
	return true;
}

/* A frame of ours becomes a granted page of the list. */
static int page_add(struct pages *ps, struct cds_list_head *list,
		    const struct ioctl_gntalloc_alloc_gref *op, uint32_t i, uint32_t frame)
{
	struct page *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	err = sim_grant(ps->sim, ps->domid, op->domid, frame, !(op->flags & GNTALLOC_FLAG_WRITABLE),
			&p->ref);
	if (err) {
		free(p);
		return err;
	}
	p->index = op->index + i * ABI_PAGE_SIZE;
	p->users = 1;
	p->frame = frame;
	cds_list_add_tail(&p->node, list);
	return 0;
}

/* With the frames in hand, and promised: all or none. */
static int grant_frames(struct pages *ps, struct cds_list_head *list,
			const struct ioctl_gntalloc_alloc_gref *op, const uint32_t *frame)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < op->count && !err; i++)
		err = page_add(ps, list, op, i, frame[i]);
	if (!err)
		return 0;
	i--;
	sim_frames_free(ps->sim, ps->domid, frame + i, op->count - i);
	ps->count -= op->count - i;
	if (i)
		pages_unlist(ps, list, pages_find(list, op->index, i), i);
	return err;
}

int pages_add(struct pages *ps, struct cds_list_head *list,
	      const struct ioctl_gntalloc_alloc_gref *op, uint32_t *refs)
{
	struct page *p;
	int err;

	if (!op->count)
		return 0;
	err = sim_frames_alloc(ps->sim, ps->domid, op->count, refs);
	if (err) {
		ps->count -= op->count;
		return err;
	}
	err = grant_frames(ps, list, op, refs);
	if (err)
		return err;
	/* What were frames become refs. */
	p = pages_find(list, op->index, op->count);
	for (uint32_t i = 0; i < op->count; i++, p = page_after(list, p))
		refs[i] = p->ref;
	return 0;
}

/* The new port is referenced before the old one is dropped: it may be the same. */
int page_notify(struct pages *ps, struct page *p, const struct ioctl_gntalloc_unmap_notify *op)
{
	if (op->action & ~(uint32_t)(UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT))
		return -EINVAL;
	if (op->action & UNMAP_NOTIFY_SEND_EVENT &&
	    sim_port_get(ps->sim, ps->domid, op->event_channel_port))
		return -EINVAL;
	drop_event(ps, p);
	p->action = op->action;
	p->byte = op->index & (ABI_PAGE_SIZE - 1);
	p->port = op->event_channel_port;
	return 0;
}
