/* SPDX-License-Identifier: MIT */
/*
 * device/open.c - opens of xen/gntdev: open(2), the last close, and what is told to those who gave up in between
 */
#include "device/open.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/rcu.h"
#include "base/step.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "device/lasting.h"
#include "device/marks.h"
#include "report/failure.h"
#include "report/trace.h"

static struct gntdev *to_gntdev(struct device *dev)
{
	return (struct gntdev *)dev;
}

/*
 * told_about_preload() - whether this thread has been told, and remember that it has
 *
 * By hash: two threads that share a place may be told more than once. Those that are not visible (0) are
 * many.
 */
static bool told_about_preload(struct gntdev *gd, pid_t tid)
{
	int32_t *at = &gd->window_miss[((uint32_t)tid * 2654435761U) >> 24];

	return tid && __atomic_exchange_n(at, tid, __ATOMIC_RELAXED) == tid;
}

bool open_gave_up(const struct gntdev_open *go, enum failure_reason *why)
{
	*why = __atomic_load_n(&go->asked, __ATOMIC_RELAXED) ? WHY_PRELOAD_FAILED : WHY_NO_PRELOAD;
	return !__atomic_load_n(&go->uses_windows, __ATOMIC_RELAXED);
}

void open_tell_preload(struct gntdev *gd, enum failure_reason why, pid_t tid, uid_t uid)
{
	struct failure f = failure_of(why, TRACE_MMAP, tid, ENODEV);

	f.uid = uid;
	if (told_about_preload(gd, tid))
		failure_silent(&f);
	else if (why == WHY_NO_PRELOAD)
		failure_report(&f, "it mapped grants and gave up without mmap. The kernel has no "
				   "mmap for CUSE devices (ENODEV): start the client as "
				   "\"gntdev-run PROGRAM ARGS\"");
	else
		failure_report(&f,
			       "it mapped grants, its preload object asked how to get a window, "
			       "and then for none");
}

/* One that nobody knows of. */
static void drop_open(struct gntdev *gd, struct gntdev_open *go)
{
	if (go->user)
		quota_close(gd->quota, go->user);
	free(go);
}

static void tell_refused_open(struct gntdev *gd, const struct gntdev_open *go,
			      const struct refusal *r)
{
	struct failure f = failure_of(r->why, TRACE_OPEN, r->pid, ENOSPC);

	f.uid = go->who.uid;
	f.rule = r->rule;
	if (enforce_told(gd, r))
		failure_silent(&f);
	else
		failure_report(&f, "open of %s: %s (ENOSPC)", gd->dev.name, r->text);
}

static void no_map(struct map *m, void *arg)
{
	(void)m;
	(void)arg;
}

/* Nobody knows its id before this returns. */
static int list_open(struct gntdev *gd, struct gntdev_open *go, uint64_t unique, uint64_t *fh)
{
	*fh = open_new(gd->table, go);
	if (!*fh)
		return -ENOMEM;
	go->record = lasting_open_new(gd->records, *fh, unique, go->opened, &go->who, &go->token);
	if (go->record)
		return 0;
	open_close(gd->table, *fh, no_map, NULL, NULL);
	/* Whoever walks the table may have seen it. */
	rcu_wait_for_readers();
	return -ENOMEM;
}

uid_t gntdev_user(const struct who *w)
{
	return w->ns == OWNER_OTHER ? w->owner : w->uid;
}

/* The open that this request made when it was executed before. */
static bool opened_before(struct gntdev *gd, const struct opener *by, uint64_t *fh)
{
	uint32_t record = by->again ? marks_find(gd->marks, by->unique) : 0;
	const struct lasting_open *head;
	const struct gntdev_open *go = NULL;
	struct gnt_open *o;

	if (!record || record_kind(gd->records, record) != RECORD_OPEN)
		return false;
	head = record_head(gd->records, record);
	if (head->maker != by->unique)
		return false;
	*fh = head->id;
	rcu_read_enter();
	o = open_get(gd->table, *fh);
	go = o ? open_user(o) : NULL;
	if (go && by->user)
		*by->user = gntdev_user(&go->who);
	rcu_read_leave();
	return go != NULL;
}

int gntdev_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	struct gntdev *gd = to_gntdev(dev);
	struct gntdev_open *go;
	struct trace_event ev;
	struct refusal r;
	int err;

	if (opened_before(gd, by, fh))
		return 0;
	trace_client(by->tid, by->uid);
	ev = trace_begin(TRACE_OPEN);
	go = calloc(1, sizeof(*go));
	if (!go)
		return -ENOMEM;
	who_read(&go->who, by);
	if (by->user)
		*by->user = gntdev_user(&go->who);
	go->opened = trace_now();
	err = enforce_open(gd, go, &r);
	if (err == -ENOSPC)
		tell_refused_open(gd, go, &r);
	if (!err)
		err = token_new(&go->token, flags);
	if (!err)
		err = list_open(gd, go, by->unique, fh);
	if (err)
		drop_open(gd, go);
	else
		log_debug("client %d opened %s as %016" PRIx64, (int)by->tid, dev->name, *fh);
	ev.open_id = err ? 0 : *fh;
	ev.result = err;
	trace_end(&ev);
	return err;
}

/**
 * struct closing - an open whose maps end
 * @fresh: how many were never mmapped
 */
struct closing {
	struct gntdev *gd;
	unsigned int fresh;
};

static void finish_dead(struct map *m, void *arg)
{
	struct closing *c = arg;

	c->fresh += map_phase(m) == MAP_FRESH;
	grant_finish(c->gd, m);
}

void gntdev_release(struct device *dev, uint64_t fh)
{
	struct gntdev *gd = to_gntdev(dev);
	struct closing closing = { .gd = gd };
	enum failure_reason why;
	struct trace_event ev;
	struct gntdev_open *go;
	void *user;

	/* Whoever closes it: the kernel does not say. */
	trace_client(0, (uid_t)-1);
	ev = trace_begin(TRACE_RELEASE);
	ev.open_id = fh;
	if (open_retire(gd->table, fh, finish_dead, &closing, &user))
		return;
	go = user;
	step(open_emptied);
	record_end(gd->records, go->record);
	step(open_closed);
	open_forget(gd->table, fh);
	gd->hv->ops->open_gone(gd->hv, fh);
	ev.tid = go->who.pid;
	ev.uid = go->who.uid;
	trace_end(&ev);
	log_debug("open %016" PRIx64 " of %s released", fh, dev->name);
	if (closing.fresh && open_gave_up(go, &why) &&
	    !__atomic_load_n(&gd->ending, __ATOMIC_RELAXED))
		open_tell_preload(gd, why, go->who.pid, go->who.uid);
	quota_close(gd->quota, go->user);
	/* Readers reach it through the open, under RCU; open_close() has not waited for them. */
	rcu_free_later(&go->rcu);
}

/* The ids of a handful of opens at a time, so that no memory is needed to close them. */
struct id_batch {
	uint64_t id[64];
	size_t n;
};

static void collect_id(struct gnt_open *o, void *arg)
{
	struct id_batch *b = arg;

	if (b->n < sizeof(b->id) / sizeof(b->id[0]))
		b->id[b->n++] = open_id(o);
}

void gntdev_close_all(struct gntdev *gd)
{
	struct id_batch b;

	do {
		b.n = 0;
		rcu_read_enter();
		table_for_each_open(gd->table, collect_id, &b);
		rcu_read_leave();
		for (size_t i = 0; i < b.n; i++)
			gntdev_release(&gd->dev, b.id[i]);
	} while (b.n);
}
