/* SPDX-License-Identifier: MIT */
/*
 * machine/adopt.c - the device xen/gntalloc takes over what a predecessor had
 *
 * From records come opens and pages, from windows those who still use a page. By one thread, before anybody else has
 * the device.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "machine/gntalloc.h"
#include "machine/impl.h"

/* --- opens ---------------------------------------------------------------------------------------- */

static int adopt_open(struct gntalloc *ga, uint32_t record)
{
	struct alloc_open *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	o->record = record;
	o->last = record_head(ga->pages.records, record);
	CDS_INIT_LIST_HEAD(&o->pages.head);
	o->pages.serial = o->last->serial;
	o->token.may_read = o->last->may & ALLOC_MAY_READ;
	o->token.may_write = o->last->may & ALLOC_MAY_WRITE;
	memcpy(o->token.secret, o->last->secret, sizeof(o->token.secret));
	err = o->last->next % ABI_PAGE_SIZE ? -EINVAL : ids_restore(ga->opens, o->last->fh, o);
	if (err)
		free(o);
	return err == -EEXIST ? -EINVAL : err;
}

/* Several devices share the records. */
static int adopt_opens(struct gntalloc *ga, const struct gntalloc_adoption *a)
{
	uint32_t cursor = 0, record;
	int err = 0;

	ids_restoring(ga->opens, records_most(ga->pages.records));
	while (!err && (record = record_next(ga->pages.records, RECORD_ALLOC_OPEN, &cursor))) {
		const struct alloc_open_lasting *last = record_head(ga->pages.records, record);

		if (last->number != ga->pages.number)
			continue;
		if (a->given_up(a->arg, last->maker, 0) || a->given_up(a->arg, 0, last->fh)) {
			/* Its pages are no open's now. */
			record_end(ga->pages.records, record);
			continue;
		}
		err = adopt_open(ga, record);
		if (!err)
			err = a->opened(a->arg, last->user, last->fh);
	}
	ids_restored(ga->opens);
	return err;
}

/* --- pages ---------------------------------------------------------------------------------------- */

/* What is looked for among the opens. */
struct wanted {
	uint64_t serial;
	struct alloc_open *open;
};

static void match_serial(uint64_t id, void *obj, void *arg)
{
	struct alloc_open *o = obj;
	struct wanted *wanted = arg;

	(void)id;
	if (o->pages.serial == wanted->serial)
		wanted->open = o;
}

static struct page_list *list_of(struct gntalloc *ga, uint64_t serial)
{
	struct wanted wanted = { .serial = serial };

	rcu_read_enter();
	ids_for_each(ga->opens, match_serial, &wanted);
	rcu_read_leave();
	return wanted.open ? &wanted.open->pages : NULL;
}

/* Those that are in no list are loose until it is known who else uses them. */
static int adopt_pages(struct gntalloc *ga)
{
	uint32_t cursor = 0, record;
	int err = 0;

	while (!err && (record = record_next(ga->pages.records, RECORD_ALLOC_PAGE, &cursor))) {
		const struct alloc_page_lasting *last = record_head(ga->pages.records, record);
		struct page *p;

		if (last->number != ga->pages.number)
			continue;
		err = page_adopt(&ga->pages, record, list_of(ga, last->serial), &p);
		if (p && !p->users)
			cds_list_add(&p->node, &ga->loose);
	}
	return err;
}

/* --- windows -------------------------------------------------------------------------------------- */

static size_t join_list(const struct cds_list_head *head, const struct window_left *left,
			struct page **page)
{
	size_t n = 0;
	struct page *p;

	cds_list_for_each_entry(p, head, node)
		if (p->last->serial == left->open_id && p->last->index >= left->index &&
		    (p->last->index - left->index) >> ABI_PAGE_SHIFT < left->count &&
		    n < left->count)
			page[n++] = p;
	return n;
}

/* The pages that are still there: the end of the window may have been half reported. */
static void find_pages(struct gntalloc *ga, const struct window_left *left,
		       struct alloc_window *win)
{
	const struct page_list *list = list_of(ga, left->open_id);

	if (list)
		win->n = join_list(&list->head, left, win->page);
	win->n += join_list(&ga->loose, left, win->page + win->n);
	for (size_t i = 0; i < win->n; i++)
		win->page[i]->users++;
}

static int adopt_window(struct gntalloc *ga, const struct window_left *left)
{
	/* Once for each list that they can be in. */
	struct alloc_window *win =
		calloc(1, sizeof(*win) + 2UL * left->count * sizeof(win->page[0]));
	int err;

	if (!win)
		return -ENOMEM;
	win->user.gone = alloc_window_gone;
	win->ga = ga;
	win->serial = left->open_id;
	win->readonly = left->readonly;
	find_pages(ga, left, win);
	cds_list_add(&win->node, &ga->shown);
	err = window_join(ga->windows, left->id, &win->user, NULL);
	if (err) {
		for (size_t i = 0; i < win->n; i++)
			win->page[i]->users--;
		cds_list_del(&win->node);
		free(win);
	}
	return err == -ENOENT ? 0 : err;
}

static int adopt_windows(struct gntalloc *ga)
{
	struct window_left left;
	uint64_t cursor = 0;
	int err = 0;

	while (!err && windows_left(ga->windows, WINDOW_OF_GNTALLOC, &cursor, &left))
		if (left.open_id >> ALLOC_SERIAL_BITS == ga->pages.number)
			err = adopt_window(ga, &left);
	return err;
}

/* --- the whole ------------------------------------------------------------------------------------ */

/* Whoever uses a page has said so. */
static void end_unused(struct gntalloc *ga)
{
	struct page *p, *next;

	cds_list_for_each_entry_safe(p, next, &ga->loose, node)
	{
		cds_list_del(&p->node);
		if (!p->users)
			page_end(&ga->pages, p);
	}
}

int gntalloc_adopt(struct gntalloc *ga, const struct gntalloc_adoption *a)
{
	int err = adopt_opens(ga, a);

	if (!err)
		err = adopt_pages(ga);
	if (!err)
		err = adopt_windows(ga);
	if (err)
		return err;
	end_unused(ga);
	return pages_drop_unknown(&ga->pages);
}

static void leave_page(struct page *p)
{
	if (!--p->users)
		free(p);
}

static void leave_open(uint64_t id, void *obj, void *arg)
{
	struct alloc_open *o = obj;
	struct page *p, *next;

	(void)id;
	(void)arg;
	cds_list_for_each_entry_safe(p, next, &o->pages.head, node) leave_page(p);
	free(o);
}

/* After an adoption that failed. */
static void leave_loose(struct gntalloc *ga)
{
	struct page *p, *next;

	cds_list_for_each_entry_safe(p, next, &ga->loose, node) if (!p->users) free(p);
}

void gntalloc_leave(struct gntalloc *ga)
{
	struct alloc_window *win, *next;

	leave_loose(ga);
	rcu_read_enter();
	ids_for_each(ga->opens, leave_open, NULL);
	rcu_read_leave();
	cds_list_for_each_entry_safe(win, next, &ga->shown, node)
	{
		for (size_t i = 0; i < win->n; i++)
			leave_page(win->page[i]);
		free(win);
	}
	gntalloc_destroy(ga);
}
