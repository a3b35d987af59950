/* SPDX-License-Identifier: MIT */
/*
 * machine/pages.c - pages that a domain of the simulated machine grants
 *
 * A page is a frame of the domain, granted at once. It has users: the list that it was allocated into,
 * until it is taken out of that, and each window that shows it. When the last one goes, the page's
 * notification fires and the grant ends: now, or, if another domain has it mapped, when that unmaps
 * it (sim_revoke_later()); the frame goes with the grant. The page ceases to count towards the limit when
 * its users have gone, as with the driver.
 *
 * All that is known of a page is in its record (machine/lasting.h), which lasts from the grant to its end. A grant that no record
 * names was made, or is to end, by a daemon that was killed: its successor ends it.
 */
#include "machine/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/step.h"

static void drop_event(struct pages *ps, uint64_t notify)
{
	if (ALLOC_NOTIFY_ACTION(notify) & UNMAP_NOTIFY_SEND_EVENT)
		sim_port_put(ps->sim, ps->domid, ALLOC_NOTIFY_PORT(notify));
}

/* It is not done again by a successor, unless the daemon is killed just before this. */
static void note_done(struct page *p, uint32_t action)
{
	__atomic_fetch_and(&p->last->notify, ~(uint64_t)action, __ATOMIC_RELEASE);
}

static void notify(struct pages *ps, struct page *p)
{
	const uint64_t what = p->last->notify;
	const uint8_t zero = 0;
	int err;

	if (ALLOC_NOTIFY_ACTION(what) & UNMAP_NOTIFY_CLEAR_BYTE) {
		sim_frame_write(ps->sim, p->last->frame, ALLOC_NOTIFY_BYTE(what), &zero,
				sizeof(zero));
		note_done(p, UNMAP_NOTIFY_CLEAR_BYTE);
	}
	if (ALLOC_NOTIFY_ACTION(what) & UNMAP_NOTIFY_SEND_EVENT) {
		err = sim_port_send(ps->sim, ps->domid, ALLOC_NOTIFY_PORT(what));
		if (err)
			log_warn("%s: notification on event channel %u was not sent: %s", ps->name,
				 ALLOC_NOTIFY_PORT(what), strerror(-err));
		note_done(p, UNMAP_NOTIFY_SEND_EVENT);
	}
	drop_event(ps, what);
}

/* It is no open's any more. */
static void store_unlisted(struct page *p)
{
	__atomic_store_n(&p->last->state, 0, __ATOMIC_RELEASE);
}

/*
 * An event is sent once more if the daemon is killed before the record has ended; a grant without a record ends by
 * pages_drop_unknown().
 */
void page_end(struct pages *ps, struct page *p)
{
	const uint32_t ref = p->last->ref;

	notify(ps, p);
	step(page_notified);
	record_end(ps->records, p->record);
	step(page_ended);
	sim_revoke_later(ps->sim, ps->domid, ref, true);
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
	store_unlisted(p);
	step(page_unlisted);
	page_put(ps, p);
}

struct page *page_after(const struct page_list *list, const struct page *p)
{
	const struct cds_list_head *at = p ? p->node.next : list->head.next;

	return at == &list->head ? NULL : cds_list_entry(at, struct page, node);
}

struct page *pages_find(const struct page_list *list, uint64_t index, uint64_t count)
{
	struct page *p = page_after(list, NULL), *first;

	while (p && p->last->index != index)
		p = page_after(list, p);
	first = p;
	for (uint64_t i = 0; i < count; i++, p = page_after(list, p))
		if (!p || p->last->index != index + i * ABI_PAGE_SIZE)
			return NULL;
	return count ? first : NULL;
}

void pages_unlist(struct pages *ps, const struct page_list *list, struct page *first,
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

static struct page *page_new(struct pages *ps, uint32_t record)
{
	struct page *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->record = record;
	p->last = record_head(ps->records, record);
	return p;
}

/* A page whose record is not in use yet, or NULL. */
static struct page *page_with_record(struct pages *ps)
{
	uint32_t record = record_new(ps->records, sizeof(struct alloc_page_lasting));
	struct page *p = record ? page_new(ps, record) : NULL;

	if (!p)
		record_end(ps->records, record);
	return p;
}

/* A frame of ours becomes a granted page of the list. */
static int page_add(struct pages *ps, struct page_list *list,
		    const struct ioctl_gntalloc_alloc_gref *op, uint32_t i, uint32_t frame)
{
	struct page *p = page_with_record(ps);
	uint32_t ref;
	int err;

	if (!p)
		return -ENOMEM;
	err = sim_grant(ps->sim, ps->domid, op->domid, frame, !(op->flags & GNTALLOC_FLAG_WRITABLE),
			&ref);
	if (err) {
		record_end(ps->records, p->record);
		free(p);
		return err;
	}
	step(page_granted);
	*p->last = (struct alloc_page_lasting){ .serial = list->serial,
						.index = op->index + i * ABI_PAGE_SIZE,
						.frame = frame,
						.ref = ref,
						.state = ALLOC_LISTED,
						.domid = ps->domid,
						.number = ps->number };
	record_commit(ps->records, p->record, RECORD_ALLOC_PAGE);
	step(page_recorded);
	p->users = 1;
	cds_list_add_tail(&p->node, &list->head);
	return 0;
}

/* With the frames in hand, and promised: all or none. */
static int grant_frames(struct pages *ps, struct page_list *list,
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

int pages_add(struct pages *ps, struct page_list *list, const struct ioctl_gntalloc_alloc_gref *op,
	      uint32_t *refs)
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
	step(page_frames);
	err = grant_frames(ps, list, op, refs);
	if (err)
		return err;
	/* What were frames become refs. */
	p = pages_find(list, op->index, op->count);
	for (uint32_t i = 0; i < op->count; i++, p = page_after(list, p))
		refs[i] = p->last->ref;
	return 0;
}

/* The new port is referenced before the old one is dropped: it may be the same. */
int page_notify(struct pages *ps, struct page *p, const struct ioctl_gntalloc_unmap_notify *op)
{
	uint64_t was;

	if (op->action & ~(uint32_t)(UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT))
		return -EINVAL;
	if (op->action & UNMAP_NOTIFY_SEND_EVENT &&
	    sim_port_get(ps->sim, ps->domid, op->event_channel_port))
		return -EINVAL;
	was = p->last->notify;
	__atomic_store_n(
		&p->last->notify,
		ALLOC_NOTIFY(op->action, op->index & (ABI_PAGE_SIZE - 1), op->event_channel_port),
		__ATOMIC_RELEASE);
	drop_event(ps, was);
	return 0;
}

/* --- adoption ----------------------------------------------------------------------------------- */

/* Return: whether the domain has granted it. */
static bool is_granted(const struct pages *ps, const struct alloc_page_lasting *last)
{
	uint32_t ref = last->ref - 1;
	struct sim_granted g;

	return last->ref && sim_grant_next(ps->sim, ps->domid, &ref, &g) && ref == last->ref &&
	       !g.ending && g.frame == last->frame;
}

/* Nobody but us has references yet: one that cannot be had was not there. */
static void take_port(struct pages *ps, struct page *p)
{
	uint64_t what = p->last->notify;

	if (!(ALLOC_NOTIFY_ACTION(what) & UNMAP_NOTIFY_SEND_EVENT) ||
	    !sim_port_get(ps->sim, ps->domid, ALLOC_NOTIFY_PORT(what)))
		return;
	log_warn("%s: event channel %u of a notification is not there any more", ps->name,
		 ALLOC_NOTIFY_PORT(what));
	p->last->notify = ALLOC_NOTIFY(ALLOC_NOTIFY_ACTION(what) & UNMAP_NOTIFY_CLEAR_BYTE,
				       ALLOC_NOTIFY_BYTE(what), 0);
}

static int drop_lost(struct pages *ps, uint32_t record)
{
	const struct alloc_page_lasting *last = record_head(ps->records, record);

	log_warn("%s: reference %u is granted no more: domain %u has gone", ps->name, last->ref,
		 ps->domid);
	record_end(ps->records, record);
	return 0;
}

int page_adopt(struct pages *ps, uint32_t record, bool open, struct page **out)
{
	const struct alloc_page_lasting *last = record_head(ps->records, record);
	struct page *p;

	*out = NULL;
	if (last->domid != ps->domid || last->state > ALLOC_LISTED || last->index % ABI_PAGE_SIZE ||
	    ALLOC_NOTIFY_BYTE(last->notify) >= ABI_PAGE_SIZE)
		return -EINVAL;
	if (!is_granted(ps, last))
		return ps->lost ? drop_lost(ps, record) : -EINVAL;
	p = page_new(ps, record);
	if (!p)
		return -ENOMEM;
	ps->count++;
	take_port(ps, p);
	if (!open)
		store_unlisted(p);
	p->users = open && last->state & ALLOC_LISTED;
	*out = p;
	return 0;
}

/* Numbers that are known, sorted: of references, or of frames. */
struct known {
	uint32_t *number;
	size_t n;
};

static int know(struct known *k, uint32_t number)
{
	uint32_t *more = k->number;

	/* Room for 1, 2, 4, 8... */
	if (!(k->n & (k->n - 1)))
		more = realloc(k->number, (k->n ? 2 * k->n : 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	k->number = more;
	k->number[k->n++] = number;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void sort(struct known *k)
{
	if (k->n)
		qsort(k->number, k->n, sizeof(*k->number), compare);
}

static bool is_known(const struct known *k, uint32_t number)
{
	return k->n && bsearch(&number, k->number, k->n, sizeof(number), compare);
}

/* References that a page of the domain has, of whatever device. */
static int know_refs(const struct pages *ps, struct known *k)
{
	uint32_t cursor = 0, record;
	int err = 0;

	while (!err && (record = record_next(ps->records, RECORD_ALLOC_PAGE, &cursor))) {
		const struct alloc_page_lasting *last = record_head(ps->records, record);

		if (last->domid == ps->domid)
			err = know(k, last->ref);
	}
	sort(k);
	return err;
}

/* The grants that are none of them end. Frames that are granted, also if that is to end, are known. */
static int drop_grants(const struct pages *ps, const struct known *refs, struct known *frames)
{
	uint32_t ref = UINT32_MAX;
	struct sim_granted g;
	int err = 0;

	while (!err && sim_grant_next(ps->sim, ps->domid, &ref, &g))
		if (g.ending || is_known(refs, ref) ||
		    sim_revoke_later(ps->sim, ps->domid, ref, true) == 1)
			err = know(frames, g.frame);
	sort(frames);
	return err;
}

static void drop_frames(const struct pages *ps, const struct known *frames)
{
	uint32_t f = 0;

	while ((f = sim_frame_next(ps->sim, ps->domid, f + 1)))
		if (!is_known(frames, f))
			sim_frames_free(ps->sim, ps->domid, &f, 1);
}

int pages_drop_unknown(struct pages *ps)
{
	struct known refs = { 0 }, frames = { 0 };
	int err = know_refs(ps, &refs);

	if (!err)
		err = drop_grants(ps, &refs, &frames);
	if (!err)
		drop_frames(ps, &frames);
	free(refs.number);
	free(frames.number);
	return err;
}
