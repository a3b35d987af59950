/* SPDX-License-Identifier: MIT */
/*
 * control/show.c - show: one open, or one map, with its references and holders
 *
 * First who holds windows is looked for (control/holders.h), then the open, its maps and those that are
 * detached are walked as list does it, one map in a read side of RCU.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "control/holders.h"
#include "control/list.h"
#include "device/gntdev.h"
#include "table.h"
#include "report/trace.h"
#include "window/window.h"

/* How much is looked at in one read side of RCU. */
#define STEP_WORK 64
/* Read sides before it is another connection's turn. */
#define STEPS 64

/* Holders whose windows are looked for in one turn. */
#define STEP_HELD 1024

#define REFS_MAX    1024
#define HOLDERS_MAX 256

/* A map with that many references and holders is not longer. */
#define MAP_BYTES (64UL * 1024)

enum stage {
	STAGE_HOLDERS,
	STAGE_OPEN,
	STAGE_MAPS,
	STAGE_DETACHED,
	STAGE_END,
};

/* A window that a process holds. */
struct held {
	uint64_t window;
	const struct control_holder *by;
};

/**
 * struct show - where it stands
 * @holders:   NULL: they are not known yet, or at all
 * @held:      which windows they hold, @n_held, once @looked is all of them
 * @n_holders: how many have been told
 * @until:     when to go on without them, trace_now()
 * @cursor:    of the walk of this stage
 * @has_open, @open, @has_map, @map, @refs: what was copied to be told; @n_refs: 0: they are not known
 */
struct show {
	struct control_answer answer;
	struct gntdev *gd;
	uint64_t open_id;
	uint64_t index;
	bool want_index;
	enum stage stage;
	struct control_holders *holders;
	struct held *held;
	size_t n_held;
	size_t looked;
	unsigned int n_holders;
	uint64_t until;
	uint64_t cursor;
	bool has_open;
	struct control_open open;
	bool has_map;
	struct control_map map;
	int n_refs;
	uint32_t refs[REFS_MAX];
};

/* --- a map -------------------------------------------------------------------------------------- */

static json_t *refs_json(const struct show *s)
{
	json_t *all = json_array();

	for (int i = 0; i < s->n_refs; i++)
		json_array_append_new(all, json_integer(s->refs[i]));
	return all;
}

static uint64_t window_of(struct show *s, const struct control_holder *h)
{
	uint64_t window;

	rcu_read_enter();
	window = windows_of_file(s->gd->windows, &h->file);
	rcu_read_leave();
	return window;
}

/* A process that has a window both open and mapped is told once. */
static json_t *holders_of(struct show *s, uint64_t window)
{
	json_t *all = json_array();
	pid_t last = 0;

	for (size_t i = 0; i < s->n_held && s->n_holders < HOLDERS_MAX; i++) {
		const struct control_holder *h = s->held[i].by;

		if (s->held[i].window != window || h->pid == last)
			continue;
		last = h->pid;
		json_array_append_new(all, json_pack("{s:i, s:o}", "pid", (int)last, "command",
						     control_text(h->comm)));
		s->n_holders++;
	}
	return all;
}

static void tell_map(struct show *s, struct control_out *out)
{
	json_t *map = control_map_json(&s->map);

	if (s->n_refs)
		json_object_set_new(map, "refs", refs_json(s));
	if (s->map.mapped && s->holders)
		json_object_set_new(map, "holders", holders_of(s, s->map.window));
	control_out_json(out, "map", map);
}

static void look_refs(struct show *s, const struct map *m)
{
	for (s->n_refs = 0; s->n_refs < REFS_MAX && (uint32_t)s->n_refs < m->count; s->n_refs++)
		s->refs[s->n_refs] = m->refs[s->n_refs].ref;
}

/* --- stages: each returns whether it goes on; under RCU, but for the first ------------------------- */

static void forget_holders(struct show *s)
{
	control_holders_put(s->holders);
	s->holders = NULL;
}

/* Once, and not for each map: there can be very many, and it takes its time. */
static bool look_held(struct show *s)
{
	const struct control_holder *h;
	size_t n, end;

	h = control_holders_list(s->holders, &n);
	if (!s->held)
		s->held = malloc((n + 1) * sizeof(*s->held));
	if (!s->held) {
		forget_holders(s);
		return false;
	}
	for (end = s->looked + STEP_HELD; s->looked < n && s->looked < end; s->looked++) {
		const uint64_t window = window_of(s, &h[s->looked]);

		if (window)
			s->held[s->n_held++] = (struct held){ window, &h[s->looked] };
	}
	return s->looked < n;
}

static bool look_holders(struct show *s)
{
	if (!s->holders)
		s->holders = control_holders_start();
	s->answer.waiting = !s->holders || !control_holders_done(s->holders);
	if (!s->answer.waiting)
		return look_held(s);
	if (trace_now() < s->until)
		return true;
	s->answer.waiting = false;
	forget_holders(s);
	return false;
}

static bool look_open(struct show *s)
{
	struct gnt_open *o = open_get(s->gd->table, s->open_id);

	s->has_open = o != NULL;
	if (o)
		control_open_look(o, &s->open);
	return false;
}

static bool look_map(struct show *s, uint64_t *work)
{
	struct gnt_open *o = open_get(s->gd->table, s->open_id);
	struct map *m = NULL;
	bool more = false;

	if (o && s->want_index)
		m = map_find(o, s->index >> ABI_PAGE_SHIFT, 0);
	else if (o)
		more = map_next(o, &s->cursor, work, &m);
	s->has_map = m && control_map_look(m, &s->map);
	if (s->has_map)
		look_refs(s, m);
	return more;
}

/* Return: whether a window is of a map that is shown, and detached. */
static bool is_shown(const struct show *s, const struct window_info *info, struct control_map *cm)
{
	return info->id && info->open_id == s->open_id &&
	       (!s->want_index || info->index == s->index) && control_detached(s->gd, info, cm);
}

static bool look_detached(struct show *s, uint64_t *work)
{
	struct window_info info;
	bool more = windows_next(s->gd->windows, &s->cursor, work, &info);

	s->has_map = is_shown(s, &info, &s->map);
	s->n_refs = 0;
	return more;
}

static bool look(struct show *s)
{
	uint64_t work = STEP_WORK;

	s->has_open = false;
	s->has_map = false;
	switch (s->stage) {
	case STAGE_OPEN:
		return look_open(s);
	case STAGE_MAPS:
		return look_map(s, &work);
	case STAGE_DETACHED:
		return look_detached(s, &work);
	default:
		return false;
	}
}

/* One read side, and what it has found. */
static void go_on(struct show *s, struct control_out *out)
{
	bool more;

	rcu_read_enter();
	more = look(s);
	rcu_read_leave();
	if (s->has_open)
		control_open_line(out, &s->open);
	if (s->has_map)
		tell_map(s, out);
	if (more)
		return;
	s->stage++;
	s->cursor = 0;
}

static bool show_more(struct control_answer *a, struct control_out *out)
{
	struct show *s = (struct show *)a;
	size_t start = out->end;

	if (s->stage == STAGE_HOLDERS && look_holders(s))
		return true;
	if (s->stage == STAGE_HOLDERS)
		s->stage++;
	for (int i = 0;
	     i < STEPS && s->stage != STAGE_END && out->end - start + MAP_BYTES <= CONTROL_OUT_STEP;
	     i++)
		go_on(s, out);
	if (s->stage == STAGE_END)
		control_out_json(out, "end", json_object());
	return s->stage != STAGE_END;
}

static void show_free(struct control_answer *a)
{
	struct show *s = (struct show *)a;

	forget_holders(s);
	free(s->held);
	free(s);
}

/* --- the request -------------------------------------------------------------------------------- */

/* Whether there is anything to be shown. */
static bool is_there(const struct show *s)
{
	uint64_t cursor = 0, work;
	struct window_info info;
	struct control_map cm;
	struct gnt_open *o;
	bool there, more = true;

	rcu_read_enter();
	o = open_get(s->gd->table, s->open_id);
	there = o && (!s->want_index || map_find(o, s->index >> ABI_PAGE_SHIFT, 0));
	rcu_read_leave();
	while (!there && more) {
		work = STEP_WORK;
		rcu_read_enter();
		do {
			more = windows_next(s->gd->windows, &cursor, &work, &info);
			there = is_shown(s, &info, &cm);
		} while (more && work && !there);
		rcu_read_leave();
	}
	return there;
}

/* Ids are told in hexadecimal. */
static bool parse_id(const char *text, uint64_t *id)
{
	size_t n = strlen(text);

	*id = strtoull(text, NULL, 16);
	return n && n <= 16 && strspn(text, "0123456789abcdef") == n;
}

static int parse(struct control_request *rq, struct show *s)
{
	char id[20] = "";
	bool has;

	if (!control_string(rq, "open", id, sizeof(id), &has) ||
	    !control_number(rq, "index", INT64_MAX, &s->index, &s->want_index) || !control_done(rq))
		return -EINVAL;
	if (!parse_id(id, &s->open_id))
		return control_refuse(rq, -EINVAL,
				      "show: \"open\" is not an id as list tells them, such as "
				      "\"100000001\"");
	if (is_there(s) && !(s->want_index && s->index % ABI_PAGE_SIZE))
		return 0;
	if (s->want_index)
		return control_refuse(rq, -ENOENT, "show: there is no map %s:%" PRIx64, id,
				      s->index);
	return control_refuse(rq, -ENOENT, "show: there is no open %s", id);
}

int control_ask_show(struct control_request *rq, struct control_out *out,
		     struct control_answer **answer)
{
	struct show *s = calloc(1, sizeof(*s));
	int err;

	(void)out;
	if (!s)
		return -ENOMEM;
	s->answer = (struct control_answer){ .more = show_more, .free = show_free };
	s->gd = rq->view->gd;
	s->until = trace_now() + rq->view->patience * 1000000ULL;
	err = parse(rq, s);
	if (err)
		free(s);
	else
		*answer = &s->answer;
	return err;
}
