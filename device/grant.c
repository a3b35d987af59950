/* SPDX-License-Identifier: MIT */
/*
 * device/grant.c - mmap: how a mapping comes to be; device/mapping.c is what becomes of it
 *
 *     mmap request --> claim the map --> hypervisor maps --> window --> client
 *     last user of the window gone --> clear byte --> hypervisor unmaps --> [event]
 *
 * The map's state word (table.h) says who may act. map_claim() gives the map to one mmap, for ever:
 * the driver allows one attempt. From there to map_settle() that mmap owns m->readonly and its mapping;
 * while the map is MAPPED nobody changes them; map_release_begin() then gives them to the one
 * releaser.
 *
 * While the grants of a map are mapped there is exactly one struct mapping, which is also the
 * window's object: the window directory reports the end of the window with it.
 *
 * A grant whose page the granter has paged out (GNTST_eagain) is tried again, with growing pauses,
 * on the defer thread: meanwhile only that client waits. So is a map for which there is too little of
 * something that others have just given up.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/defer.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/step.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "device/lasting.h"
#include "device/mapping.h"
#include "device/marks.h"
#include "report/failure.h"
#include "report/trace.h"
#include "window/window.h"

/* How often a map is tried again after 1, 2, ... ms: four fifths of a second in all, for watchers of busy machines. */
#define SHORT_TRIES 40

/* Every mmap ends here, or in mmap_call_grant(). @ev: what is traced of it. */
static void refuse_mmap(struct mmap_call *mc, struct trace_event *ev, int err)
{
	mmap_call_refuse(mc, -err);
	ev->result = err;
	trace_end(ev);
}

/* It cannot be mapped any more; the map may be gone then. */
static void unusable(struct gntdev *gd, struct map *m, const struct mmap_call *mc)
{
	lasting_map_unusable(m, mc->unique);
	if (map_settle(m, false) == MAP_DEAD)
		grant_finish(gd, m);
}

/* The one attempt has failed: nothing stays mapped (docs/gntdev-abi.md, section 4, as PV). */
static void fail(struct mapping *mp, int err)
{
	struct gntdev *gd = mp->gd;
	struct map *m = mp->map;
	struct mmap_call *mc = mp->mc;
	struct trace_event ev = mp->ev;

	mapping_unmap(mp);
	mapping_free(mp);
	unusable(gd, m, mc);
	refuse_mmap(mc, &ev, err);
}

static struct failure mmap_failure(enum failure_reason why, const struct mmap_call *mc, int err)
{
	struct failure f = failure_of(why, TRACE_MMAP, mc->pid, err);

	f.uid = mc->uid;
	return f;
}

static void tell_no_window(const struct mmap_call *mc, uint32_t count, int err)
{
	bool descriptors = err == -EMFILE || err == -ENFILE;
	struct failure f = mmap_failure(descriptors ? WHY_NO_DESCRIPTORS : WHY_NO_WINDOW, mc, err);

	failure_report(&f, "mmap: no window for %u grants: %s", count, strerror(-err));
}

/* All grants are mapped: show them. */
static void succeed(struct mapping *mp)
{
	struct gntdev *gd = mp->gd;
	struct map *m = mp->map;
	struct mmap_call *mc = mp->mc;
	struct hv_place at = mapping_place(m);
	struct trace_event ev = mp->ev;
	int fd;

	step(map_called);
	/* First: from window_make() on, the window's end may be reported at any moment. */
	map_settle(m, true);
	mapping_show(mp);
	fd = window_make(gd->windows, gd->hv, WINDOW_OF_GNTDEV, mp->g, m->count, &at, &mp->user,
			 &m->window);
	if (fd >= 0) {
		lasting_map_mapped(m, mp->g, mc->unique);
		mmap_call_grant(mc, fd, m->window, mp->g, m->count, gd->hv->pages);
		step(map_answered);
		trace_end(&ev);
		return;
	}
	tell_no_window(mc, m->count, fd);
	lasting_map_unusable(m, mc->unique);
	mapping_release(mp, false);
	refuse_mmap(mc, &ev, fd);
}

static const struct hv_grant *first_failed(const struct mapping *mp)
{
	for (uint32_t i = 0; i < mp->map->count; i++)
		if (mp->g[i].status != GNTST_okay)
			return &mp->g[i];
	return NULL;
}

/* Whether Xen may say so for want of something: pins of one grant, handles. Of a grant that is bad it does, too. */
static bool is_short(int status)
{
	return status == GNTST_general_error || status == GNTST_no_space;
}

/* Set what is worth another try back to pending. */
static void set_pending(struct mapping *mp)
{
	for (uint32_t i = 0; i < mp->map->count; i++)
		if (mp->g[i].status == GNTST_eagain || is_short(mp->g[i].status))
			mp->g[i].status = HV_PENDING;
}

/*
 * try_later() - whether it makes sense to try again, and if so have that done
 * @err: of the hypercall; 0: see @bad, the first grant that was not mapped
 *
 * A page that is paged out comes back, if it does, within half a minute. What there is too little of is
 * worth a wait, a short one, if mappings have been given up whose grants are still mapped: a window's end
 * is noticed some milliseconds later.
 */
static bool try_later(struct mapping *mp, int err, const struct hv_grant *bad)
{
	unsigned int ms;

	if (!err && bad->status == GNTST_eagain) {
		ms = ++mp->tries;
		if (ms >= GNTDEV_EAGAIN_TRIES)
			return false;
	} else if (err ? err == -ENOMEM || err == -EDQUOT : is_short(bad->status)) {
		ms = ++mp->waits;
		if (ms > SHORT_TRIES || !windows_end_since(mp->gd->windows, mp->ends))
			return false;
	} else {
		return false;
	}
	return defer_after(mp->gd->defer, &mp->retry, ms);
}

static void refused(struct mapping *mp, const struct hv_grant *bad)
{
	struct failure f = mmap_failure(WHY_GRANT, mp->mc, EINVAL);

	f.domid = bad->domid;
	f.ref = bad->ref;
	f.status = bad->status;
	mp->ev.domid = bad->domid;
	mp->ev.ref = bad->ref;
	mp->ev.status = bad->status;
	failure_report(&f,
		       "mmap of index 0x%" PRIx64 ": grant %u of domain %u cannot be mapped%s: %s",
		       mp->map->first << ABI_PAGE_SHIFT, bad->ref, bad->domid,
		       mp->map->readonly ? " read-only" : "", hv_status_name(bad->status));
}

static int too_many_frames(const struct mapping *mp)
{
	struct failure f = mmap_failure(WHY_LIMIT, mp->mc, ENOSPC);
	struct refusal r;
	int err = enforce_frames(mp->gd, NULL, mp->map->count, &r);

	f.rule = r.rule;
	failure_report(&f, "mmap: %s", r.text);
	return err;
}

/* The hypercall itself has failed, or the grants cannot be in one window. Return: what the client gets. */
static int not_called(const struct mapping *mp, int err)
{
	struct failure f = mmap_failure(WHY_HYPERCALL, mp->mc, err);

	f.domid = mp->g[0].domid;
	if (err == -EDQUOT)
		return too_many_frames(mp);
	if (err == -ENOSPC) {
		f.why = WHY_NO_WINDOW;
		f.error = ENOMEM;
		failure_report(&f,
			       "mmap: no window for %u grants: the file system for windows is full",
			       mp->map->count);
		return -ENOMEM;
	}
	if (err != -EXDEV) {
		failure_report(&f, "mmap: the map hypercall failed: %s", strerror(-err));
		return err;
	}
	f.why = WHY_SEVERAL_DOMAINS;
	f.error = EINVAL;
	failure_report(&f,
		       "mmap of index 0x%" PRIx64
		       ": grants of several domains cannot be in one window in a PV dom0",
		       mp->map->first << ABI_PAGE_SHIFT);
	return -EINVAL;
}

static void map_grants(struct mapping *mp)
{
	struct hv_place at = mapping_place(mp->map);
	const struct hv_grant *bad;
	int err;

	mp->ends = windows_ended(mp->gd->windows);
	err = mp->gd->hv->ops->map(mp->gd->hv, mp->g, mp->map->count, &at);
	bad = first_failed(mp);
	if (!err && !bad) {
		succeed(mp);
	} else if (!try_later(mp, err, bad)) {
		if (err) {
			err = not_called(mp, err);
		} else {
			refused(mp, bad);
			err = -EINVAL;
		}
		fail(mp, err);
	}
}

static void map_again(struct defer_item *item, bool stopping)
{
	struct mapping *mp = (struct mapping *)((char *)item - offsetof(struct mapping, retry));

	trace_client(mp->ev.tid, mp->ev.uid);
	if (stopping) {
		fail(mp, -EINVAL);
		return;
	}
	set_pending(mp);
	map_grants(mp);
}

static struct mapping *mapping_for(struct gntdev *gd, struct map *m, struct mmap_call *mc,
				   uint64_t start)
{
	struct mapping *mp = mapping_new(gd, m);

	if (!mp)
		return NULL;
	mp->retry.fn = map_again;
	mp->mc = mc;
	mp->ev = mapping_event(TRACE_MMAP, m);
	mp->ev.start = start;
	return mp;
}

/*
 * check_open() - the open that a request proves to hold, and for what it may be mmapped
 *
 * Under RCU. Return: 0 with *@out; -errno with *@why.
 */
static int check_open(struct gntdev *gd, const struct window_request *rq, struct gnt_open **out,
		      enum failure_reason *why)
{
	struct gnt_open *o = open_get(gd->table, rq->open_id);
	struct gntdev_open *go = o ? open_user(o) : NULL;

	*why = go ? WHY_WRONG_TOKEN : WHY_NOT_OPEN;
	if (!go || !token_check(&go->token, rq))
		return -ENODEV;
	__atomic_store_n(&go->uses_windows, true, __ATOMIC_RELAXED);
	lasting_open_flag(gd->records, go->record, LASTING_WINDOWS);
	*out = o;
	*why = WHY_ACCESS;
	return token_access(&go->token, rq);
}

/*
 * claim() - checks 1 to 3 of docs/gntdev-abi.md, section 4, the policy's, and take the map for this mmap
 * @why: out: which of them it does not pass
 * @r: why, after -EPERM, which is the policy's alone
 *
 * Under RCU; the map may be kept afterwards.
 */
static int claim(struct gntdev *gd, const struct mmap_call *mc, struct map **out,
		 enum failure_reason *why, struct refusal *r)
{
	const struct window_request *rq = &mc->rq;
	uint64_t pages = rq->length >> ABI_PAGE_SHIFT;
	struct gnt_open *o;
	struct map *m;
	int err;

	err = check_open(gd, rq, &o, why);
	if (err)
		return err;
	*why = WHY_PRIVATE;
	if (rq->prot & PROT_WRITE && !mmap_is_shared(rq->flags))
		return -EINVAL;
	*why = WHY_MMAP_NO_MAP;
	m = pages <= UINT32_MAX ? map_find(o, rq->offset >> ABI_PAGE_SHIFT, (uint32_t)pages) : NULL;
	if (!m)
		return -EINVAL;
	if (enforce_mmap(gd, open_user(o), m, rq->prot & PROT_WRITE, mc->uid, r)) {
		*why = r->why;
		return -EPERM;
	}
	*why = WHY_MMAPPED_BEFORE;
	if (map_claim(m))
		return -EINVAL;
	__atomic_store_n(&m->readonly, !(rq->prot & PROT_WRITE), __ATOMIC_RELAXED);
	__atomic_store_n(&m->told, __atomic_add_fetch(&gd->told, 1, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&m->holder, mc->pid, __ATOMIC_RELAXED);
	__atomic_store_n(&m->vaddr, rq->vaddr, __ATOMIC_RELEASE);
	*out = m;
	return 0;
}

/* @r: after -EPERM. */
static void not_claimed(struct gntdev *gd, struct mmap_call *mc, struct trace_event *ev, int err,
			enum failure_reason why, const struct refusal *r)
{
	const char *text = err == -EPERM ? r->text : failure_reason_cause(why);
	struct failure f = mmap_failure(why, mc, err);

	f.stranger = err == -ENODEV;
	if (err == -EPERM) {
		f.domid = r->domid;
		f.ref = r->ref;
		f.rule = r->rule;
	}
	if (err == -EPERM && enforce_told(gd, r))
		failure_silent(&f);
	else
		failure_report(&f, "mmap(offset 0x%" PRIx64 ", length 0x%" PRIx64 "): %s (%s)",
			       mc->rq.offset, mc->rq.length, text, strerrorname_np(-err));
	refuse_mmap(mc, ev, err);
}

/*
 * The client asks again, as it has got no answer: what it has not got is undone. Whether it has is seen from its window, not
 * believed. Return: false: it may have it.
 */
static bool undo_unanswered(struct gntdev *gd, const struct mmap_call *mc)
{
	enum failure_reason why;
	struct gnt_open *o;
	struct map *m = NULL;
	uint32_t record = 0;

	rcu_read_enter();
	if (!check_open(gd, &mc->rq, &o, &why))
		m = map_find(o, mc->rq.offset >> ABI_PAGE_SHIFT, 0);
	if (m)
		record = m->record;
	rcu_read_leave();
	return !record || mapping_settle(gd, record, false);
}

void gntdev_mmap_sent(struct gntdev *gd, uint64_t unique)
{
	uint32_t record = marks_find(gd->marks, unique);
	const struct lasting_map *head;

	if (!record || record_kind(gd->records, record) != RECORD_MAP)
		return;
	head = record_head(gd->records, record);
	/* Of several messages some may be missing: the client asks again then. */
	if (head->claim == unique && head->count <= WINDOW_PIECES_PER_MESSAGE)
		mapping_settle(gd, record, true);
}

static void carry_out(struct gntdev *gd, struct mmap_call *mc)
{
	struct trace_event ev;
	struct mapping *mp;
	enum failure_reason why;
	struct refusal r = { .rule = "" };
	struct map *m;
	int err;

	trace_client(mc->pid, mc->uid);
	ev = trace_begin(TRACE_MMAP);
	ev.open_id = mc->rq.open_id;
	ev.index = mc->rq.offset;
	ev.count = (uint32_t)(mc->rq.length >> ABI_PAGE_SHIFT);
	rcu_read_enter();
	err = claim(gd, mc, &m, &why, &r);
	rcu_read_leave();
	if (err) {
		not_claimed(gd, mc, &ev, err, why, &r);
		return;
	}
	mp = mapping_for(gd, m, mc, ev.start);
	if (mp) {
		map_grants(mp);
		return;
	}
	tell_no_window(mc, m->count, -ENOMEM);
	unusable(gd, m, mc);
	refuse_mmap(mc, &ev, -ENOMEM);
}

/* How often it is looked whether a window has ended that its client says to have let go of, after 1, 2, ... ms: 5 s in all. */
#define EARLY_TRIES 100

/* An mmap that was asked for again before the end of the first one's window was seen. */
struct early {
	struct defer_item item;
	struct gntdev *gd;
	struct mmap_call *mc;
	unsigned int tries;
};

static void early_again(struct defer_item *item, bool stopping)
{
	struct early *e = (struct early *)((char *)item - offsetof(struct early, item));
	/* The end waits for calls before it stops this thread. */
	bool ending = stopping || __atomic_load_n(&e->gd->ending, __ATOMIC_RELAXED);

	if (!ending && !undo_unanswered(e->gd, e->mc) && e->tries < EARLY_TRIES &&
	    defer_after(e->gd->defer, &e->item, ++e->tries))
		return;
	/* If it is held all the same the map is mapped, and the mmap refused. */
	carry_out(e->gd, e->mc);
	free(e);
}

/* Return: whether it is carried out later. */
static bool put_off(struct gntdev *gd, struct mmap_call *mc)
{
	struct early *e = calloc(1, sizeof(*e));

	if (!e)
		return false;
	*e = (struct early){ .item = { .fn = early_again }, .gd = gd, .mc = mc, .tries = 1 };
	if (defer_after(gd->defer, &e->item, e->tries))
		return true;
	free(e);
	return false;
}

void gntdev_mmap(struct mmap_call *mc, void *arg)
{
	struct gntdev *gd = arg;

	if (!mc->again || undo_unanswered(gd, mc) || !put_off(gd, mc))
		carry_out(gd, mc);
}
