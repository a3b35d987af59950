/* SPDX-License-Identifier: MIT */
/*
 * window/list.c - the windows that there are: found by name or file, walked, taken out
 */
#include "window/impl.h"

#include "base/step.h"

struct window *window_get(const struct windows *w, const struct window_name *name)
{
	struct window *win = name->life == w->life ? ids_get(w->ids, name->id) : NULL;

	return win && win->name.index == name->index && win->name.count == name->count ? win : NULL;
}

struct window *window_of_file(const struct windows *w, const struct procmaps_file *file,
			      struct window_name *name)
{
	struct window *win;

	if (file->dev != w->dev || !window_name_parse(file->name, name))
		return NULL;
	win = window_get(w, name);
	if (!win || !window_is(win, WINDOW_LIVE) || win->last->ino != file->ino)
		return NULL;
	return win;
}

void window_end(struct windows *w, struct window *win, uint64_t id)
{
	struct window_queue *q = &w->ended[win->last->open_id % WINDOW_QUEUES];

	window_set(win, WINDOW_ENDED);
	step(window_ended);
	if (w->adopting || !ids_retire(w->ids, id))
		return;
	win->next = NULL;
	if (q->first)
		q->last->next = win;
	else
		q->first = win;
	q->last = win;
	w->n_ended++;
}

struct window *window_next_ended(struct windows *w)
{
	struct window_queue *q = &w->ended[w->turn];
	struct window *win;

	if (!w->n_ended)
		return NULL;
	while (!q->first) {
		w->turn = (w->turn + 1) % WINDOW_QUEUES;
		q = &w->ended[w->turn];
	}
	win = q->first;
	q->first = win->next;
	w->turn = (w->turn + 1) % WINDOW_QUEUES;
	w->n_ended--;
	return win;
}

/* Whether it is one to be told of; the rest of @win is constant then. */
static bool is_listed(const struct window *win)
{
	return window_is(win, WINDOW_LIVE) && window_kind(win) == WINDOW_OF_GNTDEV;
}

static struct window_info info_of(const struct window *win)
{
	const struct window_lasting *l = win->last;
	bool delivered = window_is(win, WINDOW_DELIVERED);

	return (struct window_info){ .id = l->id,
				     .index = win->name.index,
				     .open_id = l->open_id,
				     .made = win->made,
				     .count = l->count,
				     .domid = l->domid,
				     .readonly = window_is(win, WINDOW_READONLY),
				     .delivered = delivered,
				     .client = delivered ? l->client : 0 };
}

bool windows_next(const struct windows *w, uint64_t *cursor, uint64_t *work,
		  struct window_info *info)
{
	const struct window *win;
	uint64_t id;
	void *obj;
	bool more;

	do {
		more = ids_next(w->ids, cursor, work, &id, &obj);
		win = obj;
	} while (win && !is_listed(win));
	*info = win ? info_of(win) : (struct window_info){ 0 };
	return more;
}

uint64_t windows_of_file(const struct windows *w, const struct procmaps_file *file)
{
	struct window_name name;
	const struct window *win = window_of_file(w, file, &name);

	return win && window_kind(win) == WINDOW_OF_GNTDEV ? name.id : 0;
}
