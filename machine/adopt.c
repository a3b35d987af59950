/* SPDX-License-Identifier: MIT */
/*
 * machine/adopt.c - the device xen/gntalloc takes over what a predecessor had
 *
 * From records come opens and pages, from windows those who still use a page. They come in no order: sorted once, each is found
 * in few steps, however many a client has made. By one thread, before anybody else has the device.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "machine/gntalloc.h"
#include "machine/impl.h"

/**
 * struct adoption - what has been found
 * @open: @n_open opens, by their serials; @page: @n_page pages, by the serials of their opens and their indexes
 */
struct adoption {
	struct gntalloc *ga;
	const struct gntalloc_adoption *a;
	struct alloc_open **open;
	size_t n_open;
	struct page **page;
	size_t n_page;
};

/* Room for one more pointer: 1, 2, 4, 8... Return: NULL: no memory; the array is as it was. */
static void *grow(void *array, size_t n)
{
	return n & (n - 1) ? array : reallocarray(array, n ? 2 * n : 1, sizeof(void *));
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* --- opens ---------------------------------------------------------------------------------------- */

static int list_open(struct adoption *ad, struct alloc_open *o)
{
	void *more = grow(ad->open, ad->n_open);

	if (!more)
		return -ENOMEM;
	ad->open = more;
	ad->open[ad->n_open++] = o;
	return 0;
}

/* From here on it is the device's, as others are that clients have. */
static int restore_open(struct adoption *ad, struct alloc_open *o)
{
	struct gntalloc *ga = ad->ga;
	int err;

	if (o->last->next % ABI_PAGE_SIZE)
		return -EINVAL;
	o->user = quota_open(ga->quota, o->last->user, QUOTA_NO_OWNER, NULL, NULL);
	if (!o->user)
		return -ENOMEM;
	err = ids_restore(ga->opens, o->last->fh, o);
	if (err)
		quota_close(ga->quota, o->user);
	return err == -EEXIST ? -EINVAL : err;
}

static int adopt_open(struct adoption *ad, uint32_t record)
{
	struct alloc_open *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	o->record = record;
	o->last = record_head(ad->ga->pages.records, record);
	CDS_INIT_LIST_HEAD(&o->pages.head);
	o->pages.serial = o->last->serial;
	o->token.may_read = o->last->may & ALLOC_MAY_READ;
	o->token.may_write = o->last->may & ALLOC_MAY_WRITE;
	memcpy(o->token.secret, o->last->secret, sizeof(o->token.secret));
	err = restore_open(ad, o);
	if (err) {
		free(o);
		return err;
	}
	err = list_open(ad, o);
	return err ? err : ad->a->opened(ad->a->arg, o->last->user, o->last->fh);
}

static int by_serial(const void *a, const void *b)
{
	const struct alloc_open *const *x = a, *const *y = b;

	return compare((*x)->pages.serial, (*y)->pages.serial);
}

/* Several devices share the records. */
static int adopt_opens(struct adoption *ad)
{
	struct gntalloc *ga = ad->ga;
	const struct gntalloc_adoption *a = ad->a;
	uint32_t cursor = 0, record;
	int err = 0;

	ids_restoring(ga->opens, records_most(ga->pages.records));
	while (!err && (record = record_next(ga->pages.records, RECORD_ALLOC_OPEN, &cursor))) {
		const struct alloc_open_lasting *last = record_head(ga->pages.records, record);

		if (last->number != ga->pages.number)
			continue;
		if (a->given_up(a->arg, last->maker, 0) || a->given_up(a->arg, 0, last->fh))
			/* Its pages are no open's now. */
			record_end(ga->pages.records, record);
		else
			err = adopt_open(ad, record);
	}
	ids_restored(ga->opens);
	if (ad->n_open)
		qsort(ad->open, ad->n_open, sizeof(*ad->open), by_serial);
	return err;
}

static struct alloc_open *find_open(const struct adoption *ad, uint64_t serial)
{
	const struct alloc_open key = { .pages.serial = serial }, *const at = &key;
	struct alloc_open **found =
		ad->n_open ? bsearch(&at, ad->open, ad->n_open, sizeof(*ad->open), by_serial)
			   : NULL;

	return found ? *found : NULL;
}

/* --- pages ---------------------------------------------------------------------------------------- */

static int by_index(const void *a, const void *b)
{
	const struct alloc_page_lasting *x = (*(const struct page *const *)a)->last;
	const struct alloc_page_lasting *y = (*(const struct page *const *)b)->last;
	int serials = compare(x->serial, y->serial);

	return serials ? serials : compare(x->index, y->index);
}

static int adopt_page(struct adoption *ad, uint32_t record, const struct alloc_page_lasting *last)
{
	void *more = grow(ad->page, ad->n_page);
	struct page *p;
	int err;

	if (!more)
		return -ENOMEM;
	ad->page = more;
	err = page_adopt(&ad->ga->pages, record, find_open(ad, last->serial), &p);
	if (p)
		ad->page[ad->n_page++] = p;
	return err;
}

/* Those that are in no list are loose until it is known who else uses them. */
static void list_pages(struct adoption *ad)
{
	if (ad->n_page)
		qsort(ad->page, ad->n_page, sizeof(*ad->page), by_index);
	for (size_t i = 0; i < ad->n_page; i++) {
		struct page *p = ad->page[i];

		if (p->users)
			cds_list_add_tail(&p->node, &find_open(ad, p->last->serial)->pages.head);
		else
			cds_list_add(&p->node, &ad->ga->loose);
	}
}

/* What has been found is listed, also if something cannot be. */
static int adopt_pages(struct adoption *ad)
{
	struct records *records = ad->ga->pages.records;
	uint32_t cursor = 0, record;
	int err = 0;

	while (!err && (record = record_next(records, RECORD_ALLOC_PAGE, &cursor))) {
		const struct alloc_page_lasting *last = record_head(records, record);

		if (last->number == ad->ga->pages.number)
			err = adopt_page(ad, record, last);
	}
	list_pages(ad);
	return err;
}

/* --- windows -------------------------------------------------------------------------------------- */

/* The first page that is not before it. */
static size_t first_page(const struct adoption *ad, uint64_t serial, uint64_t index)
{
	size_t from = 0, to = ad->n_page;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		const struct alloc_page_lasting *last = ad->page[mid]->last;
		int serials = compare(last->serial, serial);

		if (serials < 0 || (!serials && last->index < index))
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* The pages that are still there: the end of the window may have been half reported. Return: how many, from @first on. */
static size_t find_pages(const struct adoption *ad, const struct window_left *left, size_t *first)
{
	size_t n = 0;

	*first = first_page(ad, left->open_id, left->index);
	while (n < left->count && *first + n < ad->n_page) {
		const struct alloc_page_lasting *last = ad->page[*first + n]->last;

		if (last->serial != left->open_id ||
		    (last->index - left->index) >> ABI_PAGE_SHIFT >= left->count)
			break;
		n++;
	}
	return n;
}

static int adopt_window(struct adoption *ad, const struct window_left *left)
{
	struct gntalloc *ga = ad->ga;
	size_t first, n = find_pages(ad, left, &first);
	struct alloc_window *win = calloc(1, sizeof(*win) + n * sizeof(win->page[0]));
	int err;

	if (!win)
		return -ENOMEM;
	win->user.gone = alloc_window_gone;
	win->ga = ga;
	win->serial = left->open_id;
	win->readonly = left->readonly;
	err = window_join(ga->windows, left->id, &win->user, NULL);
	if (err) {
		free(win);
		return err == -ENOENT ? 0 : err;
	}
	for (win->n = 0; win->n < n; win->n++) {
		win->page[win->n] = ad->page[first + win->n];
		win->page[win->n]->users++;
	}
	cds_list_add(&win->node, &ga->shown);
	return 0;
}

static int adopt_windows(struct adoption *ad)
{
	struct gntalloc *ga = ad->ga;
	struct window_left left;
	uint64_t cursor = 0;
	int err = 0;

	while (!err && windows_left(ga->windows, WINDOW_OF_GNTALLOC, &cursor, &left))
		if (left.open_id >> ALLOC_SERIAL_BITS == ga->pages.number)
			err = adopt_window(ad, &left);
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
	struct adoption ad = { .ga = ga, .a = a };
	int err = adopt_opens(&ad);

	if (!err)
		err = adopt_pages(&ad);
	if (!err)
		err = adopt_windows(&ad);
	free(ad.open);
	free(ad.page);
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
	struct gntalloc *ga = arg;
	struct alloc_open *o = obj;
	struct page *p, *next;

	(void)id;
	cds_list_for_each_entry_safe(p, next, &o->pages.head, node) leave_page(p);
	quota_close(ga->quota, o->user);
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
	ids_for_each(ga->opens, leave_open, ga);
	rcu_read_leave();
	cds_list_for_each_entry_safe(win, next, &ga->shown, node)
	{
		for (size_t i = 0; i < win->n; i++)
			leave_page(win->page[i]);
		free(win);
	}
	gntalloc_destroy(ga);
}
