/* SPDX-License-Identifier: MIT */
/*
 * window/list.c - the windows that clients hold, one after the other
 */
#include "window/impl.h"

#include "table.h"

/* Whether it is one to be told of; the rest of @win is constant then. */
static bool is_listed(const struct window *win)
{
	return __atomic_load_n(&win->live, __ATOMIC_ACQUIRE) && win->kind == WINDOW_OF_GNTDEV;
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
	*info = win ? win->info : (struct window_info){ 0 };
	if (win) {
		info->id = id;
		info->delivered = __atomic_load_n(&win->delivered, __ATOMIC_ACQUIRE);
		info->client = info->delivered ? win->client : 0;
	}
	return more;
}

uint64_t windows_of_file(const struct windows *w, const struct procmaps_file *file)
{
	struct window_name name;
	const struct window *win = window_of_file(w, file, &name);

	return win && win->kind == WINDOW_OF_GNTDEV ? name.id : 0;
}
