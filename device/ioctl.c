/* SPDX-License-Identifier: MIT */
/*
 * device/ioctl.c - the ioctls of xen/gntdev
 *
 * The table of them is near the end; device/dispatch.c runs it. Every handler follows the order of checks
 * and the errno of docs/gntdev-abi.md, section by section. What clients leave uninitialised is ignored, as
 * the driver ignores it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/caller.h"
#include "device/dispatch.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "device/lasting.h"
#include "device/marks.h"
#include "device/open.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/step.h"
#include "report/trace.h"
#include "window/window.h"
#include "device/winioctl.h"

/* How often a MAP_GRANT_REF that meets a limit is tried again: a fifth of a second in all. */
#define LIMIT_TRIES 20

static_assert(sizeof(struct table_ref) == sizeof(struct ioctl_gntdev_grant_ref),
	      "refs are read from the client straight into the map");

static struct gntdev *to_gntdev(struct device *dev)
{
	return (struct gntdev *)dev;
}

/* Under RCU. A session hands us only ids that gntdev_open() gave. */
static struct gnt_open *get_open(struct gntdev *gd, const struct request *rq)
{
	return open_get(gd->table, rq->fh);
}

/* Section 3, rows 2 and 3. The first ref has come with the header. */
static int map_header(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntdev_map_grant_ref *op = arg;
	struct gntdev *gd = to_gntdev(dev);
	struct map *m;

	call->c.ev.count = op->count;
	call->c.ev.domid = (uint16_t)op->refs[0].domid;
	call->c.ev.ref = op->refs[0].ref;
	if (!op->count || op->count > gd->limit)
		return caller_why(&call->c, -EINVAL, WHY_MAP_COUNT, "count %u is not 1 to %u",
				  op->count, gd->limit);
	m = map_new(op->count);
	if (!m)
		return caller_reason(&call->c, -ENOMEM, WHY_NO_MEMORY);
	m->born = trace_now();
	memcpy(&m->refs[0], &op->refs[0], sizeof(m->refs[0]));
	call->object = m;
	call->more = (struct iovec){ &m->refs[1], (op->count - 1) * sizeof(m->refs[0]) };
	return 0;
}

/* It was not listed. */
static void map_drop(struct ioctl_call *call)
{
	map_free(call->object);
}

/*
 * Publish the map, which is counted; from here on others may find it, and unmap and free it. Under RCU.
 *
 * It lasts before anybody can find it: see device/lasting.c.
 */
static int publish(struct gntdev *gd, struct gnt_open *o, struct map *m, uint64_t unique,
		   uint64_t *first)
{
	const struct gntdev_open *go = open_user(o);
	int err;

	m->open_id = open_id(o);
	err = lasting_map_new(gd->records, m, unique, go->who.uid, enforce_owner(&go->who));
	if (!err)
		err = map_place(o, m);
	if (err)
		return err;
	*first = m->first;
	lasting_map_placed(m);
	return map_list(o, m);
}

static int list_map(struct gntdev *gd, const struct request *rq, struct map *m, uint64_t *first,
		    struct refusal *r)
{
	struct gnt_open *o;
	int err;

	rcu_read_enter();
	o = get_open(gd, rq);
	err = o ? enforce_map(gd, open_user(o), m, r) : -EBADF;
	if (!err) {
		err = publish(gd, o, m, rq->unique, first);
		if (err) {
			lasting_map_drop(m);
			enforce_release(gd, m);
		}
	}
	rcu_read_leave();
	step(map_listed);
	return err;
}

/*
 * What a window holds is given back some milliseconds after its end, so who unmaps and maps again may meet his limit although
 * what is missing is on its way. Then it is tried again, after 1, 2, ... ms, on a thread that counts against him.
 */
static int list_in_time(struct gntdev *gd, const struct request *rq, struct map *m, uint64_t *first,
			struct refusal *r)
{
	struct timespec pause = { .tv_nsec = 0 };
	uint64_t ended;
	int err;

	for (unsigned int tries = 0;; tries++) {
		ended = windows_ended(gd->windows);
		err = list_map(gd, rq, m, first, r);
		if (err != -ENOSPC || tries == LIMIT_TRIES ||
		    !windows_end_since(gd->windows, ended))
			return err;
		pause.tv_nsec += 1000000;
		nanosleep(&pause, NULL);
	}
}

/* Unlist a map, unless another request does. Under RCU. */
static enum map_end unlist(const struct request *rq, struct gnt_open *o, struct map *m)
{
	enum map_end end;

	if (!lasting_map_end(m, rq->unique))
		return MAP_LOST;
	*rq->ends = lasting_what(m->record, rq->unique);
	end = map_unlist(o, m);
	step(map_unlisted);
	return end;
}

/*
 * Row 5: the client never learnt the index, so the slot goes again, if it is still that one: what was
 * told of it tells it from one that got its place meanwhile.
 */
static void map_undo(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntdev_map_grant_ref *op = arg;
	struct gntdev *gd = to_gntdev(dev);
	enum map_end end = MAP_LOST;
	struct gnt_open *o;
	struct map *found = NULL;

	rcu_read_enter();
	o = get_open(gd, call->c.rq);
	if (o)
		found = map_find(o, op->index >> ABI_PAGE_SHIFT, op->count);
	if (found && __atomic_load_n(&found->told, __ATOMIC_RELAXED) == call->note)
		end = unlist(call->c.rq, o, found);
	rcu_read_leave();
	if (end == MAP_DEAD)
		grant_finish(gd, found);
}

/*
 * What this request made when it was executed before, if nobody has unmapped it since. Return: whether it did.
 *
 * Under RCU: a record that has no ender then stays. Looked at in this order: one that is another map's by now has another
 * maker.
 */
static bool find_made(struct gntdev *gd, struct ioctl_call *call,
		      struct ioctl_gntdev_map_grant_ref *op)
{
	const struct request *rq = call->c.rq;
	uint32_t record = rq->again ? marks_find(gd->marks, rq->unique) : 0;
	struct lasting_shown shown;
	const struct lasting_map *head;

	if (!record || record_kind(gd->records, record) != RECORD_MAP)
		return false;
	head = record_head(gd->records, record);
	if (__atomic_load_n(&head->ender, __ATOMIC_ACQUIRE) || head->maker != rq->unique)
		return false;
	record_read(gd->records, record, sizeof(*head), &shown, sizeof(shown));
	call->note = shown.told;
	op->index = (uint64_t)head->first << ABI_PAGE_SHIFT;
	call->c.ev.index = op->index;
	return true;
}

static bool made_before(struct gntdev *gd, struct ioctl_call *call,
			struct ioctl_gntdev_map_grant_ref *op)
{
	bool made;

	rcu_read_enter();
	made = find_made(gd, call, op);
	rcu_read_leave();
	return made;
}

static int ioctl_map(struct device *dev, struct ioctl_call *call, void *arg)
{
	struct ioctl_gntdev_map_grant_ref *op = arg;
	struct gntdev *gd = to_gntdev(dev);
	struct map *m = call->object;
	uint64_t first = 0;
	struct refusal r;
	int err;

	if (made_before(gd, call, op))
		return 0;
	call->note = __atomic_add_fetch(&gd->told, 1, __ATOMIC_RELAXED);
	m->told = call->note;
	err = list_in_time(gd, call->c.rq, m, &first, &r);
	if (err == -EPERM || err == -ENOSPC)
		enforce_failed(gd, &call->c, &r);
	else if (err)
		caller_reason(&call->c, err, err == -EBADF ? WHY_CLOSED : WHY_NO_MEMORY);
	if (err)
		return err;
	call->object = NULL;
	op->index = first << ABI_PAGE_SHIFT;
	call->c.ev.index = op->index;
	return 0;
}

/* Whether this request unmapped something when it was executed before. */
static bool unmapped_before(struct gntdev *gd, const struct request *rq)
{
	uint32_t record = rq->again ? marks_find(gd->marks, rq->unique) : 0;
	const struct lasting_map *head;

	if (!record || record_kind(gd->records, record) != RECORD_MAP)
		return false;
	head = record_head(gd->records, record);
	if (__atomic_load_n(&head->ender, __ATOMIC_RELAXED) != rq->unique)
		return false;
	*rq->ends = lasting_what(record, rq->unique);
	return true;
}

/* Section 6. The low 12 bits of the index are ignored, count 0 matches any. */
static int ioctl_unmap(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntdev_unmap_grant_ref *op = arg;
	struct gntdev *gd = to_gntdev(dev);
	struct caller *c = &call->c;
	struct gnt_open *o;
	struct map *m = NULL;
	enum map_end end;
	enum failure_reason why;
	bool without;

	c->ev.index = op->index;
	c->ev.count = op->count;
	if (unmapped_before(gd, c->rq))
		return 0;
	rcu_read_enter();
	o = get_open(gd, c->rq);
	if (o)
		m = map_find(o, op->index >> ABI_PAGE_SHIFT, op->count);
	without = m && map_phase(m) == MAP_FRESH && open_gave_up(open_user(o), &why);
	if (m) {
		c->ev.domid = (uint16_t)m->refs[0].domid;
		c->ev.ref = m->refs[0].ref;
	}
	end = m ? unlist(c->rq, o, m) : MAP_LOST;
	rcu_read_leave();
	if (end != MAP_LOST && without)
		open_tell_preload(gd, why, c->rq->tid, c->rq->uid);
	if (end == MAP_DEAD)
		grant_finish(gd, m);
	if (end == MAP_LOST)
		return caller_why(c, -ENOENT, WHY_UNMAP_NO_MAP,
				  "no map of %u pages at index 0x%" PRIx64, op->count,
				  (uint64_t)op->index);
	return 0;
}

/*
 * What the preload object said about where it would map the windows of an open. The last to have said
 * that it would be at an address is there: the end of an earlier one may not have been noticed yet.
 */
static bool look_up_told(struct gntdev *gd, const struct request *rq, uint64_t vaddr,
			 struct told_window *told)
{
	const struct told_window *found;

	rcu_read_enter();
	found = told_find(&gd->told_at, rq->fh, vaddr);
	if (found)
		*told = *found;
	rcu_read_leave();
	return found != NULL;
}

/* Where the daemon cannot see the client's mappings that must do. */
static int offset_as_told(struct gntdev *gd, const struct request *rq,
			  struct ioctl_gntdev_get_offset_for_vaddr *op)
{
	struct told_window told;

	if (!look_up_told(gd, rq, op->vaddr, &told))
		return -EINVAL;
	op->offset = told.index;
	op->count = told.count;
	return 0;
}

/*
 * Most windows are where and as they were said to be, all of them: to look for just that is much faster than to read what the
 * caller has mapped. What was said is only where to look: the kernel tells what is there.
 */
static int find_window(struct gntdev *gd, const struct request *rq, uint64_t vaddr,
		       struct window_name *name)
{
	struct told_window told;

	if (look_up_told(gd, rq, vaddr, &told) &&
	    !window_find_exact(gd->windows, rq->tid, told.vaddr, told.count, WINDOW_OF_GNTDEV,
			       name))
		return 0;
	return window_find(gd->windows, rq->tid, vaddr, WINDOW_OF_GNTDEV, name);
}

/* Section 7: about the caller's address space, whichever open the mapping was made through. */
static int ioctl_get_offset(struct device *dev, struct ioctl_call *call, void *arg)
{
	struct ioctl_gntdev_get_offset_for_vaddr *op = arg;
	struct gntdev *gd = to_gntdev(dev);
	struct caller *c = &call->c;
	struct window_name name;
	int err;

	c->ev.index = op->vaddr;
	caller_wait_begin(c);
	err = find_window(gd, c->rq, op->vaddr, &name);
	if (caller_wait_end(c))
		return -EINTR;
	if (!err) {
		op->offset = name.index;
		op->count = name.count;
	} else if (err == -EPERM) {
		err = offset_as_told(gd, c->rq, op);
	}
	if (err)
		return caller_why(c, err, WHY_NO_MAPPING_THERE,
				  "no mapping of this device ends next above 0x%" PRIx64,
				  (uint64_t)op->vaddr);
	return 0;
}

/* Set it on the map that has the byte. @port: referenced if @op says so; the reference is used up. */
static int set_notify(struct gntdev *gd, struct caller *c,
		      const struct ioctl_gntdev_unmap_notify *op)
{
	struct gnt_open *o;
	struct map *m = NULL;
	int err = -ENOENT;

	rcu_read_enter();
	o = get_open(gd, c->rq);
	if (o)
		m = map_find_page(o, op->index >> ABI_PAGE_SHIFT);
	if (m)
		err = grant_notify_set(gd, m, (uint32_t)(op->index - (m->first << ABI_PAGE_SHIFT)),
				       op->action, op->event_channel_port);
	else if (op->action & UNMAP_NOTIFY_SEND_EVENT)
		gd->hv->ops->port_put(gd->hv, op->event_channel_port);
	rcu_read_leave();
	if (err == -ENOENT)
		caller_why(c, err, WHY_NOTIFY_NO_MAP, "no map has a byte at index 0x%" PRIx64,
			   (uint64_t)op->index);
	else if (err)
		caller_why(c, err, WHY_NOTIFY_READ_ONLY,
			   "a byte in a read-only mapping cannot be cleared");
	return err;
}

/* Section 8: EFAULT, bad action EINVAL, bad port EINVAL, ENOENT, byte of a read-only map EINVAL. */
static int ioctl_notify(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntdev_unmap_notify *op = arg;
	struct gntdev *gd = to_gntdev(dev);
	struct caller *c = &call->c;
	pid_t owner;
	int err = 0;

	c->ev.index = op->index;
	if (op->action & ~(uint32_t)(UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT))
		return caller_why(c, -EINVAL, WHY_NOTIFY_ACTION, "action 0x%x has unknown bits",
				  op->action);
	/* What others than root have open may be anything: see device/winioctl.c. */
	owner = c->rq->uid == 0 ? c->rq->tid : 0;
	if (op->action & UNMAP_NOTIFY_SEND_EVENT)
		err = gd->hv->ops->port_get(gd->hv, op->event_channel_port, owner);
	if (err == -EINVAL)
		return caller_why(c, err, WHY_NOTIFY_PORT, "event channel %u is not bound",
				  op->event_channel_port);
	if (err)
		return caller_why(c, err, err == -ENOMEM ? WHY_NO_MEMORY : WHY_NOTIFY_PLACE,
				  "event channel %u cannot be kept for the daemon's successor",
				  op->event_channel_port);
	return set_notify(gd, c, op);
}

/* What a preload object does first, and nobody else. */
static int get_token(struct gntdev *gd, uint64_t fh, struct token *token)
{
	struct gntdev_open *go;
	struct gnt_open *o;

	rcu_read_enter();
	o = open_get(gd->table, fh);
	if (o) {
		go = open_user(o);
		*token = go->token;
		__atomic_store_n(&go->asked, true, __ATOMIC_RELAXED);
		lasting_open_flag(gd->records, go->record, LASTING_ASKED);
	}
	rcu_read_leave();
	return o ? 0 : -EBADF;
}

static int ioctl_token(struct device *dev, struct ioctl_call *call, void *arg)
{
	struct gntdev *gd = to_gntdev(dev);
	struct token token;
	int err = get_token(gd, call->c.rq->fh, &token);

	if (!err)
		err = token_answer(&call->c, arg, &token, gd->winsock);
	return err;
}

static int ioctl_window(struct device *dev, struct ioctl_call *call, void *arg)
{
	struct gntdev *gd = to_gntdev(dev);
	struct token token;
	int err = get_token(gd, call->c.rq->fh, &token);

	if (!err && call->c.rq->again && winioctl_replied(call->c.rq, arg)) {
		gntdev_mmap_sent(gd, call->c.rq->unique);
		return 0;
	}
	return err ? err : winioctl_mmap(call->c.rq, arg, &token, gd->winsock);
}

/*
 * SET_MAX_GRANTS is in the driver's header and not in the driver: libxengnttab expects ENOTTY. Of the
 * dma-buf calls not even that much is expected.
 */
static const struct ioctl_row rows[] = {
	{ IOCTL_CMD(IOCTL_GNTDEV_MAP_GRANT_REF), TRACE_MAP_GRANT_REF, "MAP_GRANT_REF",
	  .flags = IOCTL_BACK | IOCTL_MORE_IN, .fn = ioctl_map, .more = map_header,
	  .undo = map_undo, .drop = map_drop },
	{ IOCTL_CMD(IOCTL_GNTDEV_UNMAP_GRANT_REF), TRACE_UNMAP_GRANT_REF, "UNMAP_GRANT_REF",
	  .fn = ioctl_unmap },
	{ IOCTL_CMD(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR), TRACE_GET_OFFSET_FOR_VADDR,
	  "GET_OFFSET_FOR_VADDR", .flags = IOCTL_BACK, .fn = ioctl_get_offset },
	{ IOCTL_CMD(IOCTL_GNTDEV_SET_UNMAP_NOTIFY), TRACE_SET_UNMAP_NOTIFY, "SET_UNMAP_NOTIFY",
	  .fn = ioctl_notify },
	{ IOCTL_CMD(IOCTL_GNTDEV_GRANT_COPY), TRACE_GRANT_COPY, "GRANT_COPY",
	  .flags = IOCTL_READS_ON, .fn = ioctl_copy },
	{ IOCTL_CMD(IOCTL_GNTDEV_SET_MAX_GRANTS), TRACE_OTHER_IOCTL, "SET_MAX_GRANTS",
	  .flags = IOCTL_UNTOLD },
	{ IOCTL_CMD(WINDOW_TOKEN), TRACE_PRELOAD, "WINDOW_TOKEN",
	  .flags = IOCTL_BACK | IOCTL_UNTOLD, .fn = ioctl_token },
	{ IOCTL_CMD(WINDOW_MMAP), TRACE_PRELOAD, "WINDOW_MMAP",
	  .flags = IOCTL_DIRECT | IOCTL_UNTOLD, .fn = ioctl_window },
};

const struct ioctl_table gntdev_ioctls = { .row = rows, .n = sizeof(rows) / sizeof(rows[0]) };

static void gntdev_ioctl(struct device *dev, struct request *rq)
{
	ioctl_dispatch(&gntdev_ioctls, dev, rq);
}

static void gntdev_ended(struct device *dev, uint64_t what)
{
	lasting_answered(to_gntdev(dev)->records, what);
}

void gntdev_init(struct gntdev *gd)
{
	pthread_mutex_init(&gd->news_lock, NULL);
	pthread_mutex_init(&gd->unsure_lock, NULL);
	told_init(&gd->told_at);
	gd->dev.open = gntdev_open;
	gd->dev.ioctl = gntdev_ioctl;
	gd->dev.release = gntdev_release;
	gd->dev.ended = gntdev_ended;
}
