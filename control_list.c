/* SPDX-License-Identifier: MIT */
/*
 * control_list.c - list: opens and their maps
 *
 * The walk goes in steps. A step is one read side of RCU that looks at some hundred places of the table
 * and writes what it finds into the connection's buffer; then RCU is left, and the connection
 * is sent what there is. Where the walk stands is numbers only (an open's id, a page), so nothing is
 * held between steps and no one waits for a reader.
 *
 * A map's line is made by hand: there can be hundreds of thousands, they have nothing in them but
 * numbers and fixed words, and jansson's objects would take several times as long (bench_control).
 */
#include "control_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gntdev.h"
#include "table.h"
#include "trace.h"
#include "window.h"

/* What one step looks at; the step's time is a fraction of a millisecond. */
#define STEP_WORK 256
/* So many references of a map take as much time as a map. */
#define REFS_WORK 512

/* Domains of a map that are told; a map of more is that of no honest client. */
#define DOMIDS_MAX 16

static const char *const phase_names[] = {
	[MAP_FRESH] = "fresh",	     [MAP_MAPPING] = "mapping",	    [MAP_MAPPED] = "mapped",
	[MAP_UNUSABLE] = "unusable", [MAP_RELEASING] = "releasing", [MAP_RELEASED] = "released",
};

static unsigned long long age_ms(uint64_t born)
{
	uint64_t now = trace_now();

	return now > born ? (now - born) / 1000000 : 0;
}

/* --- opens -------------------------------------------------------------------------------------- */

struct use {
	uint64_t maps;
	uint64_t pages;
};

static void add_use(struct map *m, void *arg)
{
	struct use *use = arg;

	use->maps++;
	use->pages += m->count;
}

static void set_text(json_t *o, const char *name, const char *s)
{
	if (*s)
		json_object_set_new(o, name, control_text(s));
}

void control_open_line(struct control_out *out, struct gnt_open *o)
{
	const struct gntdev_open *go = open_user(o);
	const struct who *w = &go->who;
	struct use use = { 0 };
	char id[20];
	json_t *json;

	open_for_each_map(o, add_use, &use);
	snprintf(id, sizeof(id), "%" PRIx64, open_id(o));
	json = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:b}", "id", id, "pid", (int)w->pid,
			 "uid", (json_int_t)w->uid, "gid", (json_int_t)w->gid, "age_ms",
			 (json_int_t)age_ms(go->opened), "maps", (json_int_t)use.maps, "pages",
			 (json_int_t)use.pages, "windows",
			 (int)__atomic_load_n(&go->uses_windows, __ATOMIC_RELAXED));
	if (json) {
		set_text(json, "command", w->comm);
		set_text(json, "unit", w->unit);
		set_text(json, "cgroup", w->cgroup);
	}
	control_out_json(out, "open", json);
}

/* --- maps --------------------------------------------------------------------------------------- */

/* Its fields as they were at one moment: phases only go forward, so this ends. */
bool control_map_look(const struct map *m, struct control_map *cm)
{
	enum map_phase before;
	bool listed;

	do {
		before = map_look(m, &listed);
		cm->readonly = __atomic_load_n(&m->readonly, __ATOMIC_RELAXED);
		cm->holder = __atomic_load_n(&m->holder, __ATOMIC_RELAXED);
		cm->window = __atomic_load_n(&m->window, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		cm->phase = map_look(m, &listed);
	} while (cm->phase != before);
	cm->open_id = m->open_id;
	cm->index = m->first << ABI_PAGE_SHIFT;
	cm->pages = m->count;
	cm->born = m->born;
	cm->detached = false;
	cm->mapped = cm->phase == MAP_MAPPED || cm->phase == MAP_RELEASING;
	cm->domid = (uint16_t)m->refs[0].domid;
	cm->refs = m->refs;
	return listed;
}

/* A map's different domains, in the order in which they come; @max at most. */
static unsigned int domids_of(const struct control_map *cm, uint16_t *domid, unsigned int max)
{
	unsigned int n = 0, k = 0;

	for (uint32_t i = 0; i < cm->pages && n < max; i++) {
		uint16_t d = (uint16_t)cm->refs[i].domid;

		if (n && d == domid[k])
			continue;
		for (k = 0; k < n && domid[k] != d; k++)
			;
		if (k == n)
			domid[n++] = d;
	}
	return n;
}

static void write_domids(struct control_out *out, const struct control_map *cm)
{
	uint16_t domid[DOMIDS_MAX];
	unsigned int n = cm->pages > 1 && cm->refs ? domids_of(cm, domid, DOMIDS_MAX) : 0;

	for (unsigned int i = 0; n > 1 && i < n; i++)
		control_out_printf(out, "%s%u%s", i ? "," : ",\"domids\":[", domid[i],
				   i == n - 1 ? "]" : "");
}

void control_map_begin(struct control_out *out, const struct control_map *cm)
{
	const char *readonly = !cm->mapped ? "null" : cm->readonly ? "true" : "false";

	control_out_printf(out,
			   "%s\"map\":{\"open\":\"%" PRIx64 "\",\"id\":\"%" PRIx64 ":%" PRIx64
			   "\",\"index\":%" PRIu64 ",\"pages\":%u,\"domid\":%u,\"state\":\"%s\","
			   "\"readonly\":%s,\"age_ms\":%llu",
			   out->head, cm->open_id, cm->open_id, cm->index, cm->index, cm->pages,
			   cm->domid, cm->detached ? "detached" : phase_names[cm->phase], readonly,
			   age_ms(cm->born));
	if (cm->mapped)
		control_out_printf(out, ",\"holder\":%d", (int)cm->holder);
	write_domids(out, cm);
}

static bool has_domid(const struct control_map *cm, uint64_t domid)
{
	if (!cm->refs)
		return cm->domid == domid;
	for (uint32_t i = 0; i < cm->pages; i++)
		if ((uint16_t)cm->refs[i].domid == domid)
			return true;
	return false;
}

/*
 * Whether a window's map is none of those that are listed: UNMAP_GRANT_REF or close has ended it.
 * Under RCU.
 */
bool control_detached(struct gntdev *gd, const struct window_info *info, struct control_map *cm)
{
	struct gnt_open *o = open_get(gd->table, info->open_id);
	struct map *m = o ? map_find(o, info->index >> ABI_PAGE_SHIFT, info->count) : NULL;

	if (m && __atomic_load_n(&m->window, __ATOMIC_RELAXED) == info->id)
		return false;
	*cm = (struct control_map){
		.open_id = info->open_id,
		.index = info->index,
		.window = info->id,
		.born = info->made,
		.pages = info->count,
		.phase = MAP_MAPPED,
		.holder = info->client,
		.domid = info->domid,
		.readonly = info->readonly,
		.detached = true,
		.mapped = true,
	};
	return true;
}

/* --- the walk ----------------------------------------------------------------------------------- */

/**
 * struct list - where it stands
 * @want_*, @pid, @uid, @domid, @unit: the filter
 * @maps:     maps are wanted, too
 * @cursor:   of the walk through opens, then of that through windows
 * @open_id:  the open whose maps are walked, 0: none
 * @page:     the cursor of that
 * @shown:    its line has been written
 * @detached: all opens have been walked
 * @n_opens, @n_maps, @n_pages: what has been shown
 */
struct list {
	struct control_answer answer;
	struct gntdev *gd;
	bool want_pid, want_uid, want_domid, want_unit;
	bool maps;
	uint64_t pid, uid, domid;
	char unit[WHO_UNIT_SIZE];
	uint64_t cursor;
	uint64_t open_id;
	uint64_t page;
	bool shown;
	bool detached;
	uint64_t n_opens, n_maps, n_pages;
};

static bool wants_open(const struct list *l, struct gnt_open *o)
{
	const struct who *w = &((const struct gntdev_open *)open_user(o))->who;

	return (!l->want_pid || (uint64_t)w->pid == l->pid) && (!l->want_uid || w->uid == l->uid) &&
	       (!l->want_unit || !strcmp(w->unit, l->unit));
}

static void show_open(struct list *l, struct gnt_open *o, struct control_out *out)
{
	if (l->shown)
		return;
	control_open_line(out, o);
	l->shown = true;
	l->n_opens++;
}

static void show_map(struct list *l, const struct control_map *cm, struct control_out *out)
{
	control_map_begin(out, cm);
	control_out_printf(out, "}}\n");
	l->n_maps++;
	l->n_pages += cm->pages;
}

/* Each of these does one step of the walk, under RCU. Return: false at its end. */
static bool next_open(struct list *l, struct control_out *out, uint64_t *work)
{
	struct gnt_open *o;
	bool more = open_next(l->gd->table, &l->cursor, work, &o);

	if (!o || !wants_open(l, o))
		return more;
	l->shown = false;
	l->page = 0;
	if (!l->want_domid)
		show_open(l, o, out);
	if (l->maps || l->want_domid)
		l->open_id = open_id(o);
	return true;
}

/* The open may have been closed, and its id is not used again. */
static void next_map(struct list *l, struct control_out *out, uint64_t *work)
{
	struct gnt_open *o = open_get(l->gd->table, l->open_id);
	struct control_map cm;
	struct map *m = NULL;

	if (!o || !map_next(o, &l->page, work, &m)) {
		l->open_id = 0;
		return;
	}
	if (!m || !control_map_look(m, &cm))
		return;
	/* To look through its references takes time, too. */
	*work -= cm.pages / REFS_WORK < *work ? cm.pages / REFS_WORK : *work;
	if (l->want_domid && !has_domid(&cm, l->domid))
		return;
	show_open(l, o, out);
	if (l->maps)
		show_map(l, &cm, out);
	else
		l->open_id = 0;
}

static bool next_detached(struct list *l, struct control_out *out, uint64_t *work)
{
	struct window_info info;
	struct control_map cm;
	struct gnt_open *o;
	bool more = windows_next(l->gd->windows, &l->cursor, work, &info);

	if (!info.id || !control_detached(l->gd, &info, &cm))
		return more;
	o = open_get(l->gd->table, info.open_id);
	/* Of an open that is gone nobody knows whose it was. */
	if (o ? !wants_open(l, o) : l->want_pid || l->want_uid || l->want_unit)
		return more;
	if (!l->want_domid || has_domid(&cm, l->domid))
		show_map(l, &cm, out);
	return more;
}

/* Return: whether the walk goes on. */
static bool walk(struct list *l, struct control_out *out)
{
	uint64_t work = STEP_WORK;

	while (work && control_out_room(out) >= CONTROL_OUT_RECORD) {
		if (l->open_id) {
			next_map(l, out, &work);
		} else if (!l->detached) {
			l->detached = !next_open(l, out, &work);
			if (l->detached)
				l->cursor = 0;
		} else if (!l->maps || !next_detached(l, out, &work)) {
			return false;
		}
	}
	return true;
}

static bool list_more(struct control_answer *a, struct control_out *out)
{
	struct list *l = (struct list *)a;
	bool more;

	table_read_lock();
	more = walk(l, out);
	table_read_unlock();
	if (!more)
		control_out_json(out, "end",
				 json_pack("{s:I, s:I, s:I}", "opens", (json_int_t)l->n_opens,
					   "maps", (json_int_t)l->n_maps, "pages",
					   (json_int_t)l->n_pages));
	return more;
}

static void list_free(struct control_answer *a)
{
	free(a);
}

int control_ask_list(struct control_request *rq, struct control_out *out,
		     struct control_answer **answer)
{
	struct list *l = calloc(1, sizeof(*l));

	(void)out;
	if (!l)
		return -ENOMEM;
	*l = (struct list){ .answer = { .more = list_more, .free = list_free },
			    .gd = rq->view->gd,
			    .maps = true };
	if (!control_number(rq, "pid", INT32_MAX, &l->pid, &l->want_pid) ||
	    !control_number(rq, "uid", UINT32_MAX, &l->uid, &l->want_uid) ||
	    !control_number(rq, "domid", UINT16_MAX, &l->domid, &l->want_domid) ||
	    !control_string(rq, "unit", l->unit, sizeof(l->unit), &l->want_unit) ||
	    !control_flag(rq, "maps", &l->maps) || !control_done(rq)) {
		free(l);
		return -EINVAL;
	}
	*answer = &l->answer;
	return 0;
}
