/* SPDX-License-Identifier: MIT */
/*
 * device/adopt.c - opens and maps of a predecessor
 *
 * First all that was noted is put where it was, and nothing is done about it: so what cannot be is found before anything is
 * changed. Then the hypervisor layer is told which grants are ours, those of maps that were being released last, as what they had
 * may belong to others by now; it unmaps what nobody has named. Then what was half done is done to its end.
 *
 * A request that is given up (device/left.h) is not executed again, so it finds no mark: a map that it made is unlisted by it here,
 * an open that it made or was to release is over. Whoever asked for it is told that it failed, after this.
 *
 * What can be in a record, and what it means, is said in device/lasting.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/rcu.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "device/lasting.h"
#include "device/mapping.h"
#include "device/marks.h"
#include "report/trace.h"
#include "window/window.h"

/**
 * struct item - a map about which something is to be done
 * @m:    NULL: no map, but an open that is over, with the record @open
 * @mp:   what is mapped for it; NULL: nothing, and it is dead
 * @sent: of one that is mapped: its client has got it for sure
 */
struct item {
	struct map *m;
	struct mapping *mp;
	bool sent;
	uint32_t open;
};

struct adoption {
	struct gntdev *gd;
	struct gntdev_adoption *a;
	struct item *item;
	size_t n;
	size_t max;
};

static int wrong(struct adoption *ad, int err, const char *why)
{
	ad->a->why = why;
	return err;
}

static struct item *new_item(struct adoption *ad)
{
	if (ad->n == ad->max) {
		size_t max = ad->max ? 2 * ad->max : 256;
		struct item *more = reallocarray(ad->item, max, sizeof(*more));

		if (!more)
			return NULL;
		ad->item = more;
		ad->max = max;
	}
	ad->item[ad->n] = (struct item){ 0 };
	return &ad->item[ad->n++];
}

/* Have a request that is in hand find what it has done. Return: 0; 1: it is in hand; -ENOMEM. */
static int mark(struct adoption *ad, uint64_t unique, uint32_t record)
{
	int err;

	if (!unique || !ad->a->in_hand(ad->a->arg, unique))
		return 0;
	err = marks_add(ad->gd->marks, unique, record);
	return err ? err : 1;
}

/* --- opens -------------------------------------------------------------------------------------- */

/* Times are this process's clock, which may be behind. */
static uint64_t past(uint64_t time)
{
	uint64_t now = trace_now();

	return time < now ? time : now;
}

/* Nobody has it: its open(2) fails, or its release would have to be carried out by another way. */
static int drop_open(struct adoption *ad, uint32_t record)
{
	struct item *it = new_item(ad);

	if (!it)
		return -ENOMEM;
	it->open = record;
	return 0;
}

static bool is_over(struct adoption *ad, const struct lasting_open *head)
{
	return ad->a->given_up(ad->a->arg, head->maker, 0) ||
	       ad->a->given_up(ad->a->arg, 0, head->id);
}

static int adopt_open(struct adoption *ad, uint32_t record)
{
	struct gntdev *gd = ad->gd;
	struct gntdev_open *go = calloc(1, sizeof(*go));
	const struct lasting_open *head;
	int err;

	if (!go)
		return -ENOMEM;
	head = lasting_open_read(gd->records, record, &go->who, &go->token, &go->opened);
	if (!head) {
		free(go);
		return wrong(ad, -EINVAL, "the record of an open cannot be");
	}
	if (is_over(ad, head)) {
		free(go);
		return drop_open(ad, record);
	}
	go->opened = past(go->opened);
	go->record = record;
	go->asked = head->flags & LASTING_ASKED;
	go->uses_windows = head->flags & LASTING_WINDOWS;
	err = enforce_restore_open(gd, go);
	if (!err)
		err = open_restore(gd->table, head->id, go);
	if (err) {
		if (go->user)
			quota_close(gd->quota, go->user);
		free(go);
		return err;
	}
	err = mark(ad, head->maker, record);
	return err < 0 ? err : ad->a->opened(ad->a->arg, gntdev_user(&go->who), head->id);
}

/* --- maps --------------------------------------------------------------------------------------- */

static enum map_phase table_phase(uint32_t phase)
{
	switch (phase) {
	case LASTING_MAPPED:
		return MAP_MAPPED;
	case LASTING_UNUSABLE:
		return MAP_UNUSABLE;
	case LASTING_RELEASING:
		return MAP_RELEASING;
	case LASTING_RELEASED:
		return MAP_RELEASED;
	default:
		return MAP_FRESH;
	}
}

/* What was mapped for a map: a mapping, and its window's if it has one. */
static int adopt_mapping(struct adoption *ad, struct lasting_map *head, struct map *m,
			 struct item *it, uid_t uid)
{
	struct mapping *mp = mapping_new(ad->gd, m);
	int err = 0;

	if (!mp)
		return -ENOMEM;
	lasting_map_grants(m, mp->g);
	mp->ev = mapping_event(TRACE_MMAP, m);
	mp->ev.tid = m->holder;
	mp->ev.uid = uid;
	/* The end of a window whose map is being released is not to be reported once more. */
	if (head->phase == LASTING_MAPPED)
		err = window_join(ad->gd->windows, m->window, &mp->user, &it->sent);
	it->mp = mp;
	if (!err && head->phase == LASTING_MAPPED)
		mapping_show(mp);
	if (!err)
		return 0;
	mapping_free(mp);
	it->mp = NULL;
	if (err != -ENOENT)
		return err;
	/* It was being undone: see device/mapping.c. */
	lasting_map_phase(m, LASTING_FRESH);
	return 0;
}

static void as_fresh(struct map *m)
{
	m->readonly = false;
	m->vaddr = 0;
	m->holder = 0;
}

/* Its open, if that is not closed. Its fields need no RCU: nobody else is there yet. */
static struct gntdev_open *open_of(struct gntdev *gd, uint64_t id)
{
	struct gnt_open *o;
	struct gntdev_open *go;

	rcu_read_enter();
	o = open_get(gd->table, id);
	go = o ? open_user(o) : NULL;
	rcu_read_leave();
	return go;
}

/* All but its place in the table. */
static int fill_map(struct adoption *ad, struct lasting_map *head, struct map *m, struct item *it)
{
	struct gntdev_open *go = open_of(ad->gd, head->open_id);
	struct lasting_shown shown;
	int err;

	lasting_map_read(ad->gd->records, m->record, m, &shown);
	m->born = past(m->born);
	err = enforce_restore_map(ad->gd, go, m, shown.uid, shown.owner);
	if (err)
		return err;
	if (!grant_notify_restore(ad->gd, m, go && !go->who.uid ? go->who.pid : 0))
		return wrong(ad, -EINVAL, "the notification of a map cannot be");
	if (head->phase == LASTING_MAPPED || head->phase == LASTING_RELEASING)
		err = adopt_mapping(ad, head, m, it, shown.uid);
	if (head->phase == LASTING_FRESH)
		as_fresh(m);
	if (m->told > ad->gd->told)
		ad->gd->told = m->told;
	return err;
}

static int put_back(struct adoption *ad, struct lasting_map *head, uint32_t record)
{
	bool listed = !head->ender && open_of(ad->gd, head->open_id);
	struct map *m = map_new(head->count);
	struct item *it = m ? new_item(ad) : NULL;
	int err;

	if (!it) {
		free(m);
		return -ENOMEM;
	}
	m->record = record;
	it->m = m;
	err = fill_map(ad, head, m, it);
	if (err)
		return err;
	err = map_restore(ad->gd->table, m, table_phase(head->phase), listed);
	if (err)
		return err == -ENOMEM ? err : wrong(ad, -EINVAL, "the place of a map cannot be");
	/* Nothing is to be done about it. */
	if (!it->mp && listed)
		ad->n--;
	return 0;
}

/* What requests in hand have to do with a map. Return: 0 or -ENOMEM; *@ender, *@claim: whether they are in hand. */
static int mark_map(struct adoption *ad, const struct lasting_map *head, uint32_t record,
		    int *ender, int *claim)
{
	int maker = head->ender ? 0 : mark(ad, head->maker, record);

	*ender = mark(ad, head->ender, record);
	*claim = mark(ad, head->claim, record);
	return maker < 0 || *ender < 0 || *claim < 0 ? -ENOMEM : 0;
}

static int adopt_map(struct adoption *ad, uint32_t record)
{
	struct lasting_map *head = lasting_map_head(ad->gd->records, record);
	uint32_t answered;
	int ender, claim;

	if (!head || head->count > GNTDEV_LIMIT_MAX)
		return wrong(ad, -EINVAL, "the record of a map cannot be");
	if (!head->ender && ad->a->given_up(ad->a->arg, head->maker, 0))
		head->ender = head->maker;
	if (mark_map(ad, head, record, &ender, &claim))
		return -ENOMEM;
	answered = ender ? 0 : LASTING_ANSWERED;
	if (head->over & LASTING_FINISHED) {
		lasting_map_over(ad->gd->records, record, LASTING_FREED | answered);
		return 0;
	}
	head->over = head->ender ? answered : 0;
	/* It fails once more, and its client is told then. */
	if (head->phase == LASTING_UNUSABLE && claim)
		head->phase = LASTING_FRESH;
	return put_back(ad, head, record);
}

/* --- in order ----------------------------------------------------------------------------------- */

static int for_each(struct adoption *ad, enum record_kind kind,
		    int (*fn)(struct adoption *ad, uint32_t record))
{
	uint32_t cursor = 0, record;
	int err = 0;

	while (!err && (record = record_next(ad->gd->records, kind, &cursor)))
		err = fn(ad, record);
	return err;
}

/* Of all that are @leaving, or all that are not. */
static int name_grants(struct adoption *ad, bool leaving)
{
	struct hypervisor *hv = ad->gd->hv;

	for (size_t i = 0; i < ad->n; i++) {
		const struct item *it = &ad->item[i];
		struct hv_place at;
		int lost;

		if (!it->mp || (map_phase(it->m) == MAP_RELEASING) != leaving)
			continue;
		at = mapping_place(it->m);
		lost = hv->ops->adopt(hv, it->mp->g, it->m->count, &at, leaving);
		if (lost < 0)
			return wrong(ad, lost, "what was noted of a map's grants cannot be");
		if (lost && !leaving)
			log_err("%d of %u grants that a client has mapped are not mapped any more",
				lost, it->m->count);
	}
	return 0;
}

static void end_open(struct gntdev *gd, uint32_t record)
{
	const struct lasting_open *head = record_head(gd->records, record);

	gd->hv->ops->open_gone(gd->hv, head->id);
	record_end(gd->records, record);
}

static void go_on(struct adoption *ad)
{
	for (size_t i = 0; i < ad->n; i++) {
		const struct item *it = &ad->item[i];

		if (!it->m)
			end_open(ad->gd, it->open);
		else if (!it->mp)
			grant_finish(ad->gd, it->m);
		else if (map_phase(it->m) == MAP_RELEASING)
			mapping_end(it->mp, true);
		else if (!it->sent)
			mapping_unsure(it->mp);
	}
}

static int adopt(struct adoption *ad)
{
	struct gntdev *gd = ad->gd;
	int err;

	table_restoring(gd->table, records_most(gd->records));
	err = for_each(ad, RECORD_OPEN, adopt_open);
	if (err == -EINVAL || err == -EEXIST)
		err = wrong(ad, -EINVAL, "the record of an open cannot be");
	if (!err)
		err = for_each(ad, RECORD_MAP, adopt_map);
	if (!err)
		err = table_restored(gd->table);
	if (!err)
		err = name_grants(ad, false);
	if (!err)
		err = name_grants(ad, true);
	if (!err) {
		err = gd->hv->ops->adopted(gd->hv);
		if (err)
			wrong(ad, err, "what nobody had noted cannot be unmapped");
	}
	return err;
}

int gntdev_adopt(struct gntdev *gd, struct gntdev_adoption *a)
{
	struct adoption ad = { .gd = gd, .a = a };
	int err;

	a->why = "out of memory";
	gd->marks = marks_new();
	err = gd->marks ? adopt(&ad) : -ENOMEM;
	if (!err) {
		marks_made(gd->marks);
		go_on(&ad);
	}
	free(ad.item);
	return err;
}
