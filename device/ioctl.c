/* SPDX-License-Identifier: MIT */
/*
 * device/ioctl.c - the ioctls of xen/gntdev
 *
 * Every handler follows the order of checks and the errno of gntdev-abi.md, whose section it names.
 * What clients leave uninitialised is ignored, as the driver ignores it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "device/caller.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "base/log.h"
#include "base/rcu.h"
#include "report/trace.h"
#include "window/window.h"
#include "device/winioctl.h"

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

/* Section 3, rows 1 and 2. */
static int fetch_map_header(struct gntdev *gd, struct caller *c,
			    struct ioctl_gntdev_map_grant_ref *op)
{
	int err;

	err = caller_expect(c, c->rq->arg, sizeof(*op));
	if (!err)
		err = caller_fetch(c, op, c->rq->arg, sizeof(*op));
	if (err)
		return err;
	c->ev.count = op->count;
	c->ev.domid = (uint16_t)op->refs[0].domid;
	c->ev.ref = op->refs[0].ref;
	if (!op->count || op->count > gd->limit)
		return caller_why(c, -EINVAL, "count %u is not 1 to %u", op->count, gd->limit);
	return 0;
}

/* Row 4. The first ref came with the header. */
static int fetch_map_refs(struct caller *c, const struct ioctl_gntdev_map_grant_ref *op,
			  struct map *m)
{
	int err = 0;

	memcpy(&m->refs[0], &op->refs[0], sizeof(m->refs[0]));
	if (op->count > 1)
		err = caller_fetch(c, &m->refs[1], c->rq->arg + sizeof(*op),
				   (op->count - 1) * sizeof(m->refs[0]));
	return err ? err : caller_ready(c);
}

/* Publish the map, if it may be; from here on others may find it, and unmap and free it. */
static int list_map(struct gntdev *gd, uint64_t fh, struct map *m, uint64_t *first,
		    struct refusal *r)
{
	struct gnt_open *o;
	int err;

	rcu_read_enter();
	o = open_get(gd->table, fh);
	err = o ? enforce_map(gd, open_user(o), m, r) : -EBADF;
	if (!err) {
		m->open_id = fh; /* for enforce_release(), if it is not added */
		err = map_add(o, m);
		if (err)
			enforce_release(gd, m);
		else
			*first = m->first;
	}
	rcu_read_leave();
	return err;
}

/*
 * Row 5: the client never learnt the index, so the slot goes again, if it is still that one: @told
 * tells it from one that got its place meanwhile.
 */
static void unlist_map(struct gntdev *gd, uint64_t fh, uint64_t told, uint64_t first,
		       uint32_t count)
{
	enum map_end end = MAP_LOST;
	struct gnt_open *o;
	struct map *found = NULL;

	rcu_read_enter();
	o = open_get(gd->table, fh);
	if (o)
		found = map_find(o, first, count);
	if (found && __atomic_load_n(&found->told, __ATOMIC_RELAXED) == told)
		end = map_unlist(o, found);
	rcu_read_leave();
	if (end == MAP_DEAD)
		grant_finish(gd, found);
}

static int ioctl_map(struct gntdev *gd, struct caller *c)
{
	struct ioctl_gntdev_map_grant_ref op;
	uint64_t told = __atomic_add_fetch(&gd->told, 1, __ATOMIC_RELAXED);
	uint64_t first = 0;
	struct refusal r;
	struct map *m;
	int err;

	err = fetch_map_header(gd, c, &op);
	if (err)
		return err;
	m = map_new(op.count);
	if (!m)
		return -ENOMEM;
	m->told = told;
	m->born = trace_now();
	err = fetch_map_refs(c, &op, m);
	if (!err)
		err = list_map(gd, c->rq->fh, m, &first, &r);
	if (err) {
		if (err == -EPERM || err == -ENOSPC)
			enforce_failed(gd, c, &r);
		map_free(m);
		return err;
	}
	op.index = first << ABI_PAGE_SHIFT;
	c->ev.index = op.index;
	/* Not under RCU: the client's memory may take its time (userfaultfd). */
	err = caller_store(c, c->rq->arg, &op, sizeof(op));
	if (err)
		unlist_map(gd, c->rq->fh, told, first, op.count);
	return err;
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

/*
 * A map that is unmapped without ever having been mmapped, on an open that never asked for a
 * window: what libxengnttab does when the kernel has answered its mmap with ENODEV. The daemon
 * sees no other sign of that.
 */
static bool gave_up(struct gnt_open *o, const struct map *m)
{
	const struct gntdev_open *go = open_user(o);

	return map_phase(m) == MAP_FRESH && !__atomic_load_n(&go->uses_windows, __ATOMIC_RELAXED);
}

static void tell_about_preload(struct gntdev *gd, const struct request *rq)
{
	struct failure f = failure_of(FAILURE_PRELOAD, TRACE_MMAP, rq->tid, ENODEV);

	f.uid = rq->uid;
	if (told_about_preload(gd, rq->tid))
		failure_silent(&f);
	else
		failure_report(&f, "it mapped grants and gave up without mmap. The kernel has no "
				   "mmap for CUSE devices (ENODEV): start the client as "
				   "\"gntdev-run PROGRAM ARGS\"");
}

/* Section 6. The low 12 bits of the index are ignored, count 0 matches any. */
static int ioctl_unmap(struct gntdev *gd, struct caller *c)
{
	struct ioctl_gntdev_unmap_grant_ref op;
	struct gnt_open *o;
	struct map *m = NULL;
	enum map_end end;
	bool without;
	int err;

	err = caller_fetch(c, &op, c->rq->arg, sizeof(op));
	if (!err)
		err = caller_ready(c);
	if (err)
		return err;
	c->ev.index = op.index;
	c->ev.count = op.count;
	rcu_read_enter();
	o = get_open(gd, c->rq);
	if (o)
		m = map_find(o, op.index >> ABI_PAGE_SHIFT, op.count);
	without = m && gave_up(o, m);
	if (m) {
		c->ev.domid = (uint16_t)m->refs[0].domid;
		c->ev.ref = m->refs[0].ref;
	}
	end = m ? map_unlist(o, m) : MAP_LOST;
	rcu_read_leave();
	if (end != MAP_LOST && without)
		tell_about_preload(gd, c->rq);
	if (end == MAP_DEAD)
		grant_finish(gd, m);
	if (end == MAP_LOST)
		return caller_why(c, -ENOENT, "no map of %u pages at index 0x%" PRIx64, op.count,
				  (uint64_t)op.index);
	return 0;
}

/*
 * Where the daemon cannot see the client's mappings, what the preload object said must do. The last
 * to have said that it would be at an address is there: the end of an earlier one may not have been
 * noticed yet.
 */
struct told_lookup {
	uint64_t vaddr;
	uint64_t told;
	struct ioctl_gntdev_get_offset_for_vaddr *op;
	bool found;
};

static void told_lookup_map(struct map *m, void *arg)
{
	struct told_lookup *l = arg;
	uint64_t at = __atomic_load_n(&m->vaddr, __ATOMIC_ACQUIRE);

	if (!at || map_phase(m) != MAP_MAPPED || l->vaddr < at ||
	    l->vaddr - at >= (uint64_t)m->count << ABI_PAGE_SHIFT ||
	    __atomic_load_n(&m->told, __ATOMIC_RELAXED) < l->told)
		return;
	l->told = __atomic_load_n(&m->told, __ATOMIC_RELAXED);
	l->op->offset = m->first << ABI_PAGE_SHIFT;
	l->op->count = m->count;
	l->found = true;
}

static int offset_as_told(struct gntdev *gd, struct request *rq,
			  struct ioctl_gntdev_get_offset_for_vaddr *op)
{
	struct told_lookup l = { .vaddr = op->vaddr, .op = op };
	struct gnt_open *o;

	rcu_read_enter();
	o = get_open(gd, rq);
	if (o)
		open_for_each_map(o, told_lookup_map, &l);
	rcu_read_leave();
	return l.found ? 0 : -EINVAL;
}

/*
 * Most callers ask for the start of a mapping that they still have as they made it, and most opens
 * map the same number of pages each time: looking for just that is much faster than to read what the
 * caller has mapped.
 */
static int find_window(struct gntdev *gd, const struct request *rq, uint64_t vaddr,
		       struct window_name *name)
{
	uint32_t count = 0;
	struct gnt_open *o;

	rcu_read_enter();
	o = get_open(gd, rq);
	if (o)
		count = __atomic_load_n(&((struct gntdev_open *)open_user(o))->last_count,
					__ATOMIC_RELAXED);
	rcu_read_leave();
	if (count && !window_find_exact(gd->windows, rq->tid, vaddr, count, WINDOW_OF_GNTDEV, name))
		return 0;
	return window_find(gd->windows, rq->tid, vaddr, WINDOW_OF_GNTDEV, name);
}

/* Section 7: about the caller's address space, whichever open the mapping was made through. */
static int ioctl_get_offset(struct gntdev *gd, struct caller *c)
{
	struct ioctl_gntdev_get_offset_for_vaddr op;
	struct window_name name;
	int err;

	err = caller_expect(c, c->rq->arg, sizeof(op));
	if (!err)
		err = caller_fetch(c, &op, c->rq->arg, sizeof(op));
	if (!err)
		err = caller_ready(c);
	if (err)
		return err;
	c->ev.index = op.vaddr;
	err = find_window(gd, c->rq, op.vaddr, &name);
	if (!err) {
		op.offset = name.index;
		op.count = name.count;
	} else if (err == -EPERM) {
		err = offset_as_told(gd, c->rq, &op);
	}
	if (err)
		return caller_why(c, err, "no mapping of this device ends next above 0x%" PRIx64,
				  (uint64_t)op.vaddr);
	return caller_store(c, c->rq->arg, &op, sizeof(op));
}

/* Section 8: EFAULT, bad action EINVAL, bad port EINVAL, ENOENT, byte of a read-only map EINVAL. */
static int ioctl_notify(struct gntdev *gd, struct caller *c)
{
	struct ioctl_gntdev_unmap_notify op;
	struct gnt_open *o;
	struct map *m = NULL;
	bool event;
	pid_t owner;
	int err;

	err = caller_fetch(c, &op, c->rq->arg, sizeof(op));
	if (!err)
		err = caller_ready(c);
	if (err)
		return err;
	c->ev.index = op.index;
	if (op.action & ~(uint32_t)(UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT))
		return caller_why(c, -EINVAL, "action 0x%x has unknown bits", op.action);
	event = op.action & UNMAP_NOTIFY_SEND_EVENT;
	/* What others than root have open may be anything: see device/winioctl.c. */
	owner = c->rq->uid == 0 && !c->rq->hands_off ? c->rq->tid : 0;
	err = event ? gd->hv->ops->port_get(gd->hv, op.event_channel_port, owner) : 0;
	if (err)
		return caller_why(c, err, "event channel %u is not bound", op.event_channel_port);
	rcu_read_enter();
	o = get_open(gd, c->rq);
	if (o)
		m = map_find_page(o, op.index >> ABI_PAGE_SHIFT);
	if (m) {
		err = grant_notify_set(gd, m, (uint32_t)(op.index - (m->first << ABI_PAGE_SHIFT)),
				       op.action, op.event_channel_port);
	} else {
		err = -ENOENT;
		if (event)
			gd->hv->ops->port_put(gd->hv, op.event_channel_port);
	}
	rcu_read_leave();
	if (err == -ENOENT)
		caller_why(c, err, "no map has a byte at index 0x%" PRIx64, (uint64_t)op.index);
	else if (err)
		caller_why(c, err, "a byte in a read-only mapping cannot be cleared");
	return err;
}

/* What preload objects ask: a token, or a whole window. */
static void answer_preload(struct gntdev *gd, struct request *rq)
{
	struct token token;
	struct gnt_open *o;

	rcu_read_enter();
	o = get_open(gd, rq);
	if (o)
		token = ((struct gntdev_open *)open_user(o))->token;
	rcu_read_leave();
	if (!o)
		request_done(rq, -EBADF, NULL, 0);
	else if (rq->cmd == WINDOW_TOKEN)
		token_answer(rq, &token, rq->fh, winsock_path(gd->winsock));
	else
		winioctl_mmap(rq, &token, rq->fh, gd->winsock);
}

struct handler {
	uint32_t cmd;
	enum trace_op op;
	int (*fn)(struct gntdev *gd, struct caller *c);
};

static const struct handler handlers[] = {
	{ IOCTL_GNTDEV_MAP_GRANT_REF, TRACE_MAP_GRANT_REF, ioctl_map },
	{ IOCTL_GNTDEV_UNMAP_GRANT_REF, TRACE_UNMAP_GRANT_REF, ioctl_unmap },
	{ IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, TRACE_GET_OFFSET_FOR_VADDR, ioctl_get_offset },
	{ IOCTL_GNTDEV_SET_UNMAP_NOTIFY, TRACE_SET_UNMAP_NOTIFY, ioctl_notify },
};

/* What an errno means where the handler has not said more. */
static const char *reason(const struct caller *c, int err)
{
	if (c->why[0])
		return c->why;
	switch (err) {
	case -EFAULT:
		return "its memory cannot be read or written";
	case -ENOMEM:
		return "out of memory, or more than the 128 KiB that the kernel copies for a "
		       "caller "
		       "whose memory the daemon cannot reach";
	case -EBADF:
		return "the descriptor is being closed";
	default:
		return strerror(-err);
	}
}

static void run_handler(struct gntdev *gd, const struct handler *h, struct request *rq)
{
	uint64_t arg = rq->arg;
	struct caller c;
	int err;

	caller_begin(&c, rq, h->op);
	err = h->fn(gd, &c);
	caller_end(&c, err);
	if (err < 0)
		caller_failed(&c, err, "%s(0x%" PRIx64 "): %s (%s)", trace_op_name(h->op), arg,
			      reason(&c, err), strerrorname_np(-err));
}

/* Section 2: no compat ioctls, no SET_MAX_GRANTS, no dma-buf; the command word is matched whole. */
static void not_implemented(struct request *rq)
{
	uint32_t cmd = rq->cmd;
	bool compat = rq->compat;
	struct caller c;

	caller_begin(&c, rq, TRACE_OTHER_IOCTL);
	caller_end(&c, -ENOTTY);
	if (compat)
		caller_failed(&c, -ENOTTY,
			      "ioctl 0x%08x from a 32-bit program: the driver has none (ENOTTY)",
			      cmd);
	else if (cmd != IOCTL_GNTDEV_SET_MAX_GRANTS)
		caller_failed(&c, -ENOTTY, "ioctl 0x%08x: not one of this device (ENOTTY)", cmd);
}

static void gntdev_ioctl(struct device *dev, struct request *rq)
{
	struct gntdev *gd = to_gntdev(dev);

	if (rq->compat) {
		not_implemented(rq);
		return;
	}
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].cmd == rq->cmd) {
			run_handler(gd, &handlers[i], rq);
			return;
		}
	}
	if (rq->cmd == IOCTL_GNTDEV_GRANT_COPY)
		gntdev_copy(gd, rq);
	else if (rq->cmd == WINDOW_TOKEN || rq->cmd == WINDOW_MMAP)
		answer_preload(gd, rq);
	else
		not_implemented(rq);
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
	struct failure f = failure_of(r->kind, TRACE_OPEN, r->pid, ENOSPC);

	f.uid = go->who.uid;
	f.rule = r->rule;
	if (enforce_told(gd, r))
		failure_silent(&f);
	else
		failure_report(&f, "open of %s: %s (ENOSPC)", gd->dev.name, r->text);
}

static int gntdev_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	struct gntdev *gd = to_gntdev(dev);
	struct gntdev_open *go;
	struct trace_event ev;
	struct refusal r;
	int err;

	trace_client(by->tid, by->uid);
	ev = trace_begin(TRACE_OPEN);
	go = calloc(1, sizeof(*go));
	if (!go)
		return -ENOMEM;
	who_read(&go->who, by);
	go->opened = trace_now();
	err = enforce_open(gd, go, &r);
	if (err == -ENOSPC)
		tell_refused_open(gd, go, &r);
	if (!err)
		err = token_new(&go->token, flags);
	if (!err) {
		*fh = open_new(gd->table, go);
		err = *fh ? 0 : -ENOMEM;
	}
	if (err)
		drop_open(gd, go);
	else
		log_debug("client %d opened %s as %016" PRIx64, (int)by->tid, dev->name, *fh);
	ev.open_id = err ? 0 : *fh;
	ev.result = err;
	trace_end(&ev);
	return err;
}

static void finish_dead(struct map *m, void *arg)
{
	grant_finish(arg, m);
}

static void gntdev_release(struct device *dev, uint64_t fh)
{
	struct gntdev *gd = to_gntdev(dev);
	struct trace_event ev;
	void *user;

	/* Whoever closes it: the kernel does not say. */
	trace_client(0, (uid_t)-1);
	ev = trace_begin(TRACE_RELEASE);
	ev.open_id = fh;
	if (open_close(gd->table, fh, finish_dead, gd, &user))
		return;
	gd->hv->ops->open_gone(gd->hv, fh);
	ev.tid = ((struct gntdev_open *)user)->who.pid;
	ev.uid = ((struct gntdev_open *)user)->who.uid;
	trace_end(&ev);
	log_debug("open %016" PRIx64 " of %s released", fh, dev->name);
	quota_close(gd->quota, ((struct gntdev_open *)user)->user);
	/* Readers reach it through the open, under RCU; open_close() has not waited for them. */
	rcu_free_later(&((struct gntdev_open *)user)->rcu);
}

void gntdev_init(struct gntdev *gd)
{
	pthread_mutex_init(&gd->news_lock, NULL);
	gd->dev.open = gntdev_open;
	gd->dev.ioctl = gntdev_ioctl;
	gd->dev.release = gntdev_release;
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
