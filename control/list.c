/* SPDX-License-Identifier: MIT */
/*
 * control/list.c - list: opens and their maps
 *
 * The walk goes in steps. A step copies some maps under RCU, leaves RCU, and then writes their lines into
 * the connection's buffer. Where the walk stands is numbers only (an open's id, a page), so nothing is held
 * between steps and no one waits for a reader.
 *
 * The read sides have to be short, some microseconds: while what is to be freed waits for one, every other
 * reader's end of a read side is a system call (liburcu wakes whoever waits), and those are the ioctls. To write
 * the lines under RCU made MAP_GRANT_REF slower by a sixth.
 */
#include "control/list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "device/gntdev.h"
#include "table.h"
#include "report/trace.h"
#include "window/window.h"

/* Maps that one step copies, and how much it looks at. */
#define STEP_MAPS 32
#define STEP_WORK 64
/* Steps before it is another connection's turn. */
#define STEPS 16
/* So many references of a map take as much time as a map. */
#define REFS_WORK 64

static const char *const phase_names[] = {
	[MAP_FRESH] = "fresh",	     [MAP_MAPPING] = "mapping",	    [MAP_MAPPED] = "mapped",
	[MAP_UNUSABLE] = "unusable", [MAP_RELEASING] = "releasing", [MAP_RELEASED] = "released",
};

static json_int_t age_ms(uint64_t born)
{
	uint64_t now = trace_now();

	return now > born ? (json_int_t)((now - born) / 1000000) : 0;
}

/* --- opens -------------------------------------------------------------------------------------- */

void control_open_look(struct gnt_open *o, struct control_open *co)
{
	const struct gntdev_open *go = open_user(o);

	co->id = open_id(o);
	co->opened = go->opened;
	co->who = go->who;
	co->maps = __atomic_load_n(&go->held.maps, __ATOMIC_RELAXED);
	co->pages = __atomic_load_n(&go->held.pages, __ATOMIC_RELAXED);
	co->windows = __atomic_load_n(&go->uses_windows, __ATOMIC_RELAXED);
}

void control_open_line(struct control_out *out, const struct control_open *co)
{
	const struct who *w = &co->who;
	char id[20];
	json_t *json;

	snprintf(id, sizeof(id), "%" PRIx64, co->id);
	json = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:b}", "id", id, "pid", (int)w->pid,
			 "uid", (json_int_t)w->uid, "gid", (json_int_t)w->gid, "age_ms",
			 age_ms(co->opened), "maps", (json_int_t)co->maps, "pages",
			 (json_int_t)co->pages, "windows", (int)co->windows);
	if (json) {
		control_set_text(json, "command", w->comm);
		control_set_text(json, "unit", w->unit);
		control_set_text(json, "cgroup", w->cgroup);
	}
	control_out_json(out, "open", json);
}

/* --- maps --------------------------------------------------------------------------------------- */

/* A map's different domains, in the order in which they come. */
static void look_domids(const struct map *m, struct control_map *cm)
{
	unsigned int k = 0;

	cm->n_domids = 0;
	for (uint32_t i = 0; i < m->count && cm->n_domids < CONTROL_DOMIDS; i++) {
		uint16_t d = (uint16_t)m->refs[i].domid;

		if (cm->n_domids && d == cm->domid[k])
			continue;
		for (k = 0; k < cm->n_domids && cm->domid[k] != d; k++)
			;
		if (k == cm->n_domids)
			cm->domid[cm->n_domids++] = d;
	}
}

/* Its fields as they were at one moment: phases only go forward, so this ends. */
bool control_map_look(const struct map *m, struct control_map *cm)
{
	enum map_phase before;
	bool listed;

	do {
		before = map_look(m, &listed);
		cm->readonly = __atomic_load_n(&m->readonly, __ATOMIC_ACQUIRE);
		cm->holder = __atomic_load_n(&m->holder, __ATOMIC_ACQUIRE);
		cm->window = __atomic_load_n(&m->window, __ATOMIC_ACQUIRE);
		cm->phase = map_look(m, &listed);
	} while (cm->phase != before);
	cm->open_id = m->open_id;
	cm->index = m->first << ABI_PAGE_SHIFT;
	cm->pages = m->count;
	cm->born = m->born;
	cm->detached = false;
	cm->mapped = cm->phase == MAP_MAPPED || cm->phase == MAP_RELEASING;
	look_domids(m, cm);
	return listed;
}

static json_t *domids_json(const struct control_map *cm)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < cm->n_domids; i++)
		json_array_append_new(all, json_integer(cm->domid[i]));
	return all;
}

json_t *control_map_json(const struct control_map *cm)
{
	char open[20], id[40];
	json_t *json;

	snprintf(open, sizeof(open), "%" PRIx64, cm->open_id);
	snprintf(id, sizeof(id), "%" PRIx64 ":%" PRIx64, cm->open_id, cm->index);
	json = json_pack(
		"{s:s, s:s, s:I, s:I, s:i, s:s, s:o, s:I}", "open", open, "id", id, "index",
		(json_int_t)cm->index, "pages", (json_int_t)cm->pages, "domid", (int)cm->domid[0],
		"state", cm->detached ? "detached" : phase_names[cm->phase], "readonly",
		cm->mapped ? json_boolean(cm->readonly) : json_null(), "age_ms", age_ms(cm->born));
	if (cm->mapped)
		json_object_set_new(json, "holder", json_integer(cm->holder));
	if (cm->n_domids > 1)
		json_object_set_new(json, "domids", domids_json(cm));
	return json;
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
		.domid = { info->domid },
		.n_domids = 1,
		.readonly = info->readonly,
		.detached = true,
		.mapped = true,
	};
	return true;
}

/* --- the walk ----------------------------------------------------------------------------------- */

/**
 * struct batch - what one step has copied
 * @has_open: the maps are of this one, whose line comes first
 */
struct batch {
	bool has_open;
	struct control_open open;
	unsigned int n;
	struct control_map map[STEP_MAPS];
};

/**
 * struct list - where it stands
 * @want_*, @pid, @uid, @domid, @unit: the filter
 * @maps:     maps are wanted, too
 * @cursor:   of the walk through opens, then of that through windows
 * @open_id:  the open whose maps are walked, 0: none
 * @page:     the cursor of that
 * @shown:    its line has been written, or is in the batch
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
	struct batch batch;
};

static bool wants_open(const struct list *l, struct gnt_open *o)
{
	const struct who *w = &((const struct gntdev_open *)open_user(o))->who;

	return (!l->want_pid || (uint64_t)w->pid == l->pid) && (!l->want_uid || w->uid == l->uid) &&
	       (!l->want_unit || !strcmp(w->unit, l->unit));
}

static bool has_domid(const struct map *m, uint64_t domid)
{
	for (uint32_t i = 0; i < m->count; i++)
		if ((uint16_t)m->refs[i].domid == domid)
			return true;
	return false;
}

static void take_open(struct list *l, struct gnt_open *o)
{
	if (l->shown)
		return;
	control_open_look(o, &l->batch.open);
	l->batch.has_open = true;
	l->shown = true;
}

/* Each of these does a bit of the walk, under RCU. Return: false at its end. */
static bool next_open(struct list *l, uint64_t *work)
{
	struct gnt_open *o;
	bool more = open_next(l->gd->table, &l->cursor, work, &o);

	if (!o || !wants_open(l, o))
		return more;
	l->shown = false;
	l->page = 0;
	if (!l->want_domid)
		take_open(l, o);
	if (l->maps || l->want_domid)
		l->open_id = open_id(o);
	return true;
}

/* The open may have been closed, and its id is not used again. */
static void next_map(struct list *l, uint64_t *work)
{
	struct gnt_open *o = open_get(l->gd->table, l->open_id);
	struct batch *b = &l->batch;
	struct map *m = NULL;
	uint64_t cost;

	if (!o || !map_next(o, &l->page, work, &m)) {
		l->open_id = 0;
		return;
	}
	if (!m)
		return;
	/* To look through its references takes time, too. */
	cost = m->count / REFS_WORK;
	*work -= cost < *work ? cost : *work;
	if ((l->want_domid && !has_domid(m, l->domid)) || !control_map_look(m, &b->map[b->n]))
		return;
	take_open(l, o);
	if (l->maps)
		b->n++;
	else
		l->open_id = 0;
}

static bool next_detached(struct list *l, uint64_t *work)
{
	struct batch *b = &l->batch;
	struct control_map *cm = &b->map[b->n];
	struct window_info info;
	struct gnt_open *o;
	bool more = windows_next(l->gd->windows, &l->cursor, work, &info);

	if (!info.id || !control_detached(l->gd, &info, cm))
		return more;
	o = open_get(l->gd->table, info.open_id);
	/* Of an open that is gone nobody knows whose it was. */
	if (o ? !wants_open(l, o) : l->want_pid || l->want_uid || l->want_unit)
		return more;
	b->n += !l->want_domid || info.domid == l->domid;
	return more;
}

/* Under RCU. Return: whether the walk goes on. */
static bool fill_batch(struct list *l)
{
	uint64_t work = STEP_WORK;

	l->batch.has_open = false;
	l->batch.n = 0;
	while (work && l->batch.n < STEP_MAPS) {
		if (l->open_id) {
			next_map(l, &work);
		} else if (l->batch.has_open || (!l->detached && l->batch.n)) {
			/* The next open has a batch of its own. */
			return true;
		} else if (!l->detached) {
			l->detached = !next_open(l, &work);
			l->cursor = l->detached ? 0 : l->cursor;
		} else if (!l->maps || !next_detached(l, &work)) {
			return false;
		}
	}
	return true;
}

static void write_batch(struct list *l, struct control_out *out)
{
	const struct batch *b = &l->batch;

	if (b->has_open)
		control_open_line(out, &b->open);
	for (unsigned int i = 0; i < b->n; i++) {
		control_out_json(out, "map", control_map_json(&b->map[i]));
		l->n_pages += b->map[i].pages;
	}
	l->n_opens += b->has_open;
	l->n_maps += b->n;
}

static void write_end(const struct list *l, struct control_out *out)
{
	control_out_json(out, "end",
			 json_pack("{s:I, s:I, s:I}", "opens", (json_int_t)l->n_opens, "maps",
				   (json_int_t)l->n_maps, "pages", (json_int_t)l->n_pages));
}

static bool list_more(struct control_answer *a, struct control_out *out)
{
	struct list *l = (struct list *)a;
	size_t start = out->end;
	bool more = true;

	for (int i = 0; i < STEPS && more && out->end - start < CONTROL_OUT_STEP / 2; i++) {
		rcu_read_enter();
		more = fill_batch(l);
		rcu_read_leave();
		write_batch(l, out);
	}
	if (!more)
		write_end(l, out);
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
