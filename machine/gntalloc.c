/* SPDX-License-Identifier: MIT */
/*
 * machine/gntalloc.c - the device xen/gntalloc on the simulated hypervisor
 *
 * A page that a client allocates (machine/pages.c) has users: the open that allocated it, until
 * DEALLOC_GREF or release, and each window that shows it. When the last one goes, it ends.
 *
 * As in the driver an index is the running sum of all pages that the open ever allocated, so it is
 * never used twice, and any run of pages that are still there can be mapped or deallocated, across
 * the borders of allocations.
 *
 * Where this differs from the driver: an ALLOC_GREF whose answer cannot be written leaves nothing
 * behind (the driver keeps the pages until close, but the client cannot know their index).
 *
 * One mutex guards a device. It is never held while a client's memory is touched (which can take
 * as long as the client likes) or a window made.
 */
#include "machine/gntalloc.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <urcu/list.h>

#include "abi/ioctl.h"
#include "device/dispatch.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/rcu.h"
#include "device/token.h"
#include "window/window.h"
#include "device/winioctl.h"
#include "machine/pages.h"

/**
 * struct gntalloc - the device
 * @dev:   first, so that a struct device leads back here
 * @opens: struct alloc_open by fh; looked up and changed under @lock
 * @pages: of all opens and windows, under @lock
 */
struct gntalloc {
	struct device dev;
	struct windows *windows;
	struct winsock *winsock;
	pthread_mutex_t lock;
	struct ids *opens;
	struct pages pages;
};

/**
 * struct alloc_open - an open
 * @pages: struct page, by index
 * @next:  index of the next one to be allocated, bytes
 */
struct alloc_open {
	struct token token;
	struct cds_list_head pages;
	uint64_t next;
};

/**
 * struct alloc_window - what a window shows
 */
struct alloc_window {
	struct window_user user;
	struct gntalloc *ga;
	bool readonly;
	size_t n;
	struct page *page[];
};

static struct gntalloc *to_gntalloc(struct device *dev)
{
	return (struct gntalloc *)dev;
}

/* --- opens ----------------------------------------------------------------------------------------- */

/* Under the lock, as long as the pointer is used. Return: NULL: closed. */
static struct alloc_open *get_open(struct gntalloc *ga, uint64_t fh)
{
	struct alloc_open *o;

	rcu_read_enter();
	o = ids_get(ga->opens, fh);
	rcu_read_leave();
	return o;
}

static int gntalloc_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	struct gntalloc *ga = to_gntalloc(dev);
	struct alloc_open *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	CDS_INIT_LIST_HEAD(&o->pages);
	err = token_new(&o->token, flags);
	if (!err) {
		*fh = ids_add(ga->opens, o);
		err = *fh ? 0 : -ENOMEM;
	}
	if (err)
		free(o);
	else
		log_debug("client %d opened %s as %016" PRIx64, (int)by->tid, dev->name, *fh);
	return err;
}

static void gntalloc_release(struct device *dev, uint64_t fh)
{
	struct gntalloc *ga = to_gntalloc(dev);
	struct alloc_open *o;

	pthread_mutex_lock(&ga->lock);
	o = ids_remove(ga->opens, fh);
	if (o)
		pages_unlist(&ga->pages, &o->pages, page_after(&o->pages, NULL), UINT64_MAX);
	pthread_mutex_unlock(&ga->lock);
	/* Whoever looks it up looks under the lock, after it was removed: nobody has it. */
	free(o);
}

/* --- ALLOC_GREF ------------------------------------------------------------------------------------- */

/* Bytes from the argument's start that are written back: the header has room for one id. */
static size_t alloc_size(uint32_t count)
{
	size_t size = ABI_ALLOC_GREFS_OFFSET + count * sizeof(uint32_t);

	return size > sizeof(struct ioctl_gntalloc_alloc_gref)
		       ? size
		       : sizeof(struct ioctl_gntalloc_alloc_gref);
}

/*
 * alloc() - allocate and grant
 * @op:   the header; index out: within the limit it is used up in any case
 * @refs: room for op->count; out
 */
static int alloc(struct gntalloc *ga, struct caller *c, struct ioctl_gntalloc_alloc_gref *op,
		 uint32_t *refs)
{
	enum failure_reason why = WHY_CLOSED;
	struct alloc_open *o;
	int err = -EBADF;

	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, c->rq->fh);
	if (o && !pages_promise(&ga->pages, op->count)) {
		err = -ENOSPC;
		why = WHY_ALLOC_LIMIT;
	} else if (o) {
		op->index = o->next;
		o->next += op->count * ABI_PAGE_SIZE;
		err = pages_add(&ga->pages, &o->pages, op, refs);
		why = err == -ENOSPC ? WHY_ALLOC_NO_REFS : WHY_SIM_MEMORY;
	}
	pthread_mutex_unlock(&ga->lock);
	return caller_reason(c, err, why);
}

/* Under no lock: a client may have deallocated some of it, having guessed the index. */
static int dealloc(struct gntalloc *ga, uint64_t fh, uint64_t index, uint32_t count)
{
	struct alloc_open *o;
	struct page *p = NULL;

	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, fh);
	if (o)
		p = pages_find(&o->pages, index, count);
	if (p)
		pages_unlist(&ga->pages, &o->pages, p, count);
	pthread_mutex_unlock(&ga->lock);
	return p ? 0 : -EINVAL;
}

/*
 * The driver's order: header EFAULT, count ENOSPC, ENOMEM, total ENOSPC, ENOMEM, EFAULT.
 *
 * The object is the whole argument: the ids begin within the fixed part.
 */
static int alloc_header(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntalloc_alloc_gref *op = arg;
	unsigned char *whole;

	if (op->count > to_gntalloc(dev)->pages.limit)
		return caller_reason(&call->c, -ENOSPC, WHY_ALLOC_LIMIT);
	whole = calloc(1, alloc_size(op->count));
	if (!whole)
		return caller_reason(&call->c, -ENOMEM, WHY_NO_MEMORY);
	memcpy(whole, op, sizeof(*op));
	call->object = whole;
	call->more = (struct iovec){ whole + sizeof(*op), alloc_size(op->count) - sizeof(*op) };
	return 0;
}

static void alloc_drop(struct ioctl_call *call)
{
	free(call->object);
}

static int ioctl_alloc(struct device *dev, struct ioctl_call *call, void *arg)
{
	unsigned char *whole = call->object;
	int err = alloc(to_gntalloc(dev), &call->c, (struct ioctl_gntalloc_alloc_gref *)whole,
			(uint32_t *)(whole + ABI_ALLOC_GREFS_OFFSET));

	memcpy(arg, whole, sizeof(struct ioctl_gntalloc_alloc_gref));
	return err;
}

static void alloc_undo(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntalloc_alloc_gref *op = arg;

	if (op->count)
		dealloc(to_gntalloc(dev), call->c.rq->fh, op->index, op->count);
}

/* --- DEALLOC_GREF, SET_UNMAP_NOTIFY -------------------------------------------------------------------- */

static int ioctl_dealloc(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntalloc_dealloc_gref *op = arg;

	return caller_reason(&call->c,
			     dealloc(to_gntalloc(dev), call->c.rq->fh, op->index, op->count),
			     WHY_ALLOC_NO_PAGE);
}

/* The driver's order, not that of gntdev: EFAULT, ENOENT, action EINVAL, port EINVAL. */
static int ioctl_notify(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntalloc_unmap_notify *op = arg;
	struct gntalloc *ga = to_gntalloc(dev);
	struct alloc_open *o;
	struct page *p = NULL;
	int err;

	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, call->c.rq->fh);
	if (o)
		p = pages_find(&o->pages, op->index & ~(ABI_PAGE_SIZE - 1), 1);
	err = p ? page_notify(&ga->pages, p, op) : -ENOENT;
	pthread_mutex_unlock(&ga->lock);
	return caller_reason(&call->c, err, p ? WHY_ALLOC_FIELD : WHY_ALLOC_NO_PAGE);
}

/* --- ioctls in general ---------------------------------------------------------------------------- */

static int get_token(struct gntalloc *ga, uint64_t fh, struct token *token)
{
	struct alloc_open *o;

	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, fh);
	if (o)
		*token = o->token;
	pthread_mutex_unlock(&ga->lock);
	return o ? 0 : -EBADF;
}

static int ioctl_token(struct device *dev, struct ioctl_call *call, void *arg)
{
	struct gntalloc *ga = to_gntalloc(dev);
	struct token token;
	int err = get_token(ga, call->c.rq->fh, &token);

	return err ? err : token_answer(&call->c, arg, &token, winsock_path(ga->winsock));
}

static int ioctl_window(struct device *dev, struct ioctl_call *call, void *arg)
{
	struct gntalloc *ga = to_gntalloc(dev);
	struct token token;
	int err = get_token(ga, call->c.rq->fh, &token);

	return err ? err : winioctl_mmap(call->c.rq, arg, &token, ga->winsock);
}

static const struct ioctl_row rows[] = {
	{ IOCTL_CMD(IOCTL_GNTALLOC_ALLOC_GREF), TRACE_OTHER_IOCTL, "ALLOC_GREF",
	  .flags = IOCTL_BACK | IOCTL_MORE_BACK, .fn = ioctl_alloc, .more = alloc_header,
	  .undo = alloc_undo, .drop = alloc_drop },
	{ IOCTL_CMD(IOCTL_GNTALLOC_DEALLOC_GREF), TRACE_OTHER_IOCTL, "DEALLOC_GREF",
	  .fn = ioctl_dealloc },
	{ IOCTL_CMD(IOCTL_GNTALLOC_SET_UNMAP_NOTIFY), TRACE_OTHER_IOCTL, "SET_UNMAP_NOTIFY",
	  .fn = ioctl_notify },
	{ IOCTL_CMD(WINDOW_TOKEN), TRACE_PRELOAD, "WINDOW_TOKEN",
	  .flags = IOCTL_BACK | IOCTL_UNTOLD, .fn = ioctl_token },
	{ IOCTL_CMD(WINDOW_MMAP), TRACE_PRELOAD, "WINDOW_MMAP",
	  .flags = IOCTL_DIRECT | IOCTL_UNTOLD, .fn = ioctl_window },
};

static const struct ioctl_table ioctls = { .row = rows,
					   .n = sizeof(rows) / sizeof(rows[0]),
					   .named = true };

static void gntalloc_ioctl(struct device *dev, struct request *rq)
{
	ioctl_dispatch(&ioctls, dev, rq);
}

/* --- mmap ------------------------------------------------------------------------------------------- */

static void window_end(struct alloc_window *win)
{
	struct gntalloc *ga = win->ga;

	pthread_mutex_lock(&ga->lock);
	for (size_t i = 0; i < win->n; i++)
		page_put(&ga->pages, win->page[i]);
	pthread_mutex_unlock(&ga->lock);
	free(win);
}

static void window_gone(struct window_user *user)
{
	window_end((struct alloc_window *)user);
}

/*
 * use_pages() - find the pages of an mmap; each that the window shows has one more user
 * @n: how many, and how many @win and @g have room for; 0: more than anybody can have
 *
 * Under the lock. Return: 0 or a positive errno, with *@why.
 */
static int use_pages(struct gntalloc *ga, const struct window_request *rq, struct alloc_window *win,
		     struct hv_grant *g, size_t n, enum failure_reason *why)
{
	struct alloc_open *o = get_open(ga, rq->open_id);
	struct page *p;

	*why = o ? WHY_WRONG_TOKEN : WHY_NOT_OPEN;
	if (!o || !token_check(&o->token, rq))
		return ENODEV;
	*why = WHY_ACCESS;
	if (token_access(&o->token, rq))
		return EACCES;
	win->readonly = !o->token.may_write;
	*why = WHY_PRIVATE;
	if (!mmap_is_shared(rq->flags))
		return EINVAL;
	*why = WHY_ALLOC_NO_PAGE;
	p = pages_find(&o->pages, rq->offset, n);
	if (!p)
		return ENOENT;
	for (win->n = 0; win->n < n; win->n++, p = page_after(&o->pages, p)) {
		p->users++;
		win->page[win->n] = p;
		g[win->n] = (struct hv_grant){ .page = p->frame,
					       .domid = ga->pages.domid,
					       .ref = p->ref,
					       .status = GNTST_okay };
	}
	return 0;
}

/* The pages have been found, and are held by @win. */
static void show(struct gntalloc *ga, struct mmap_call *mc, struct alloc_window *win,
		 const struct hv_grant *g)
{
	/*
	 * Writable whatever the client asked for, if its descriptor is: the driver lets the owner of the
	 * page mprotect() it later.
	 */
	struct hv_place at = { .open_id = mc->rq.open_id,
			       .first = mc->rq.offset >> ABI_PAGE_SHIFT,
			       .readonly = win->readonly };
	size_t n = win->n;
	uint64_t id;
	int fd;

	fd = window_make(ga->windows, sim_hypervisor(ga->pages.sim), WINDOW_OF_GNTALLOC, g, n, &at,
			 &win->user, &id);
	if (fd >= 0) {
		mmap_call_grant(mc, fd, id, g, n, HV_PAGES_FILE);
		return;
	}
	log_err("%s: no window for %zu pages: %s", ga->dev.name, n, strerror(-fd));
	window_end(win);
	mmap_call_refuse(mc, -fd);
}

static void refuse(struct gntalloc *ga, struct mmap_call *mc, int err, enum failure_reason why)
{
	struct failure f = failure_of(why, TRACE_MMAP, mc->pid, err);

	f.uid = mc->uid;
	f.stranger = err == ENODEV;
	failure_report(&f, "%s: mmap(offset 0x%" PRIx64 ", length 0x%" PRIx64 "): %s (%s)",
		       ga->dev.name, mc->rq.offset, mc->rq.length, failure_reason_cause(why),
		       strerrorname_np(err));
	mmap_call_refuse(mc, err);
}

void gntalloc_mmap(struct mmap_call *mc, void *arg)
{
	struct gntalloc *ga = arg;
	uint64_t n = mc->rq.length >> ABI_PAGE_SHIFT;
	struct alloc_window *win;
	struct hv_grant *g;
	enum failure_reason why = WHY_NO_MEMORY;
	int err = ENOMEM;

	/* Nobody has more than the limit: so much need not be allocated in order to say so. */
	if (n > ga->pages.limit)
		n = 0;
	win = calloc(1, sizeof(*win) + n * sizeof(win->page[0]));
	g = calloc(n + 1, sizeof(*g));
	if (win && g) {
		win->user.gone = window_gone;
		win->ga = ga;
		pthread_mutex_lock(&ga->lock);
		err = use_pages(ga, &mc->rq, win, g, n, &why);
		pthread_mutex_unlock(&ga->lock);
	}
	if (err) {
		free(win);
		refuse(ga, mc, err, why);
	} else {
		show(ga, mc, win, g);
	}
	free(g);
}

/* --- the device ------------------------------------------------------------------------------------- */

int gntalloc_new(const struct gntalloc_config *config, struct gntalloc **out)
{
	struct gntalloc *ga;
	int err = sim_domain_add(config->sim, config->domid);

	if (err && err != -EEXIST)
		return err;
	ga = calloc(1, sizeof(*ga));
	if (!ga)
		return -ENOMEM;
	ga->opens = ids_new();
	if (!ga->opens) {
		free(ga);
		return -ENOMEM;
	}
	pthread_mutex_init(&ga->lock, NULL);
	ga->dev.name = config->name;
	ga->dev.open = gntalloc_open;
	ga->dev.ioctl = gntalloc_ioctl;
	ga->dev.release = gntalloc_release;
	ga->pages = (struct pages){ .sim = config->sim,
				    .name = config->name,
				    .domid = config->domid,
				    .limit = config->limit };
	ga->windows = config->windows;
	*out = ga;
	return 0;
}

struct device *gntalloc_device(struct gntalloc *ga)
{
	return &ga->dev;
}

void gntalloc_set_winsock(struct gntalloc *ga, struct winsock *ws)
{
	ga->winsock = ws;
}

static void take_id(uint64_t id, void *obj, void *arg)
{
	uint64_t *found = arg;

	(void)obj;
	*found = id;
}

void gntalloc_close_all(struct gntalloc *ga)
{
	uint64_t id;

	do {
		id = 0;
		rcu_read_enter();
		ids_for_each(ga->opens, take_id, &id);
		rcu_read_leave();
		if (id)
			gntalloc_release(&ga->dev, id);
	} while (id);
}

void gntalloc_destroy(struct gntalloc *ga)
{
	ids_destroy(ga->opens);
	pthread_mutex_destroy(&ga->lock);
	free(ga);
}

uint32_t gntalloc_pages(struct gntalloc *ga)
{
	uint32_t n;

	pthread_mutex_lock(&ga->lock);
	n = ga->pages.count;
	pthread_mutex_unlock(&ga->lock);
	return n;
}
