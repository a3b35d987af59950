/* SPDX-License-Identifier: MIT */
/*
 * machine/gntalloc.c - the device xen/gntalloc on the simulated hypervisor
 *
 * A page that a client allocates is a frame of the simulated domain, granted at once. It has users:
 * the open that allocated it, until DEALLOC_GREF or release, and each window that shows it. When
 * the last one goes, the page's notification fires and the grant ends: now, or, if another domain
 * has it mapped, when that unmaps it (sim_revoke_later()); the frame goes with the grant. The page
 * ceases to count towards the limit when its users have gone, as with the driver.
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
#include "device/caller.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/rcu.h"
#include "device/token.h"
#include "window/window.h"
#include "device/winioctl.h"

/**
 * struct gntalloc - the device
 * @dev:   first, so that a struct device leads back here
 * @opens: struct alloc_open by fh; looked up and changed under @lock
 * @pages: allocated, or promised to an allocation under way
 */
struct gntalloc {
	struct device dev;
	struct sim *sim;
	struct windows *windows;
	struct winsock *winsock;
	uint16_t domid;
	uint32_t limit;
	pthread_mutex_t lock;
	struct ids *opens;
	uint32_t pages;
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
 * struct page - a page that is granted
 * @node:   in its open's list, while it is in one
 * @index:  as the client knows it, bytes
 * @users:  its open, and windows
 * @action: of its notification, UNMAP_NOTIFY_*
 * @byte:   to be cleared, in the page
 * @port:   to send an event on; referenced while @action says so
 */
struct page {
	struct cds_list_head node;
	uint64_t index;
	uint32_t users;
	uint32_t frame;
	uint32_t ref;
	uint32_t action;
	uint32_t byte;
	uint32_t port;
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

/* --- pages. Under the lock, all of them ----------------------------------------------------------- */

static void drop_event(struct gntalloc *ga, struct page *p)
{
	if (p->action & UNMAP_NOTIFY_SEND_EVENT)
		sim_port_put(ga->sim, ga->domid, p->port);
}

static void notify(struct gntalloc *ga, struct page *p)
{
	const uint8_t zero = 0;
	int err;

	if (p->action & UNMAP_NOTIFY_CLEAR_BYTE)
		sim_frame_write(ga->sim, p->frame, p->byte, &zero, sizeof(zero));
	if (p->action & UNMAP_NOTIFY_SEND_EVENT) {
		err = sim_port_send(ga->sim, ga->domid, p->port);
		if (err)
			log_warn("%s: notification on event channel %u was not sent: %s",
				 ga->dev.name, p->port, strerror(-err));
	}
	drop_event(ga, p);
}

/* The last user has gone. */
static void page_end(struct gntalloc *ga, struct page *p)
{
	notify(ga, p);
	sim_revoke_later(ga->sim, ga->domid, p->ref, true);
	ga->pages--;
	free(p);
}

static void page_put(struct gntalloc *ga, struct page *p)
{
	if (!--p->users)
		page_end(ga, p);
}

/* Its open lets go of it. */
static void page_unlist(struct gntalloc *ga, struct page *p)
{
	cds_list_del(&p->node);
	page_put(ga, p);
}

/* The page after @p of its open, or the first. Return: NULL if there is none. */
static struct page *page_after(const struct alloc_open *o, const struct page *p)
{
	const struct cds_list_head *at = p ? p->node.next : o->pages.next;

	return at == &o->pages ? NULL : cds_list_entry(at, struct page, node);
}

/*
 * find_pages() - the first of @count pages in a row
 *
 * Return: NULL if not all are there, or @count is 0.
 */
static struct page *find_pages(const struct alloc_open *o, uint64_t index, uint64_t count)
{
	struct page *p = page_after(o, NULL), *first;

	while (p && p->index != index)
		p = page_after(o, p);
	first = p;
	for (uint64_t i = 0; i < count; i++, p = page_after(o, p))
		if (!p || p->index != index + i * ABI_PAGE_SIZE)
			return NULL;
	return count ? first : NULL;
}

static void unlist_pages(struct gntalloc *ga, const struct alloc_open *o, struct page *first,
			 uint64_t count)
{
	struct page *next;

	for (; first && count; count--, first = next) {
		next = page_after(o, first);
		page_unlist(ga, first);
	}
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
		unlist_pages(ga, o, page_after(o, NULL), UINT64_MAX);
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

/* Under the lock. Return: whether @count more pages are within the limit, which then are counted. */
static bool promise(struct gntalloc *ga, uint32_t count)
{
	if (ga->pages > ga->limit || count > ga->limit - ga->pages)
		return false;
	ga->pages += count;
	return true;
}

/* A frame of ours becomes a granted page of the open. */
static int page_add(struct gntalloc *ga, struct alloc_open *o,
		    const struct ioctl_gntalloc_alloc_gref *op, uint32_t i, uint32_t frame)
{
	struct page *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	err = sim_grant(ga->sim, ga->domid, op->domid, frame, !(op->flags & GNTALLOC_FLAG_WRITABLE),
			&p->ref);
	if (err) {
		free(p);
		return err;
	}
	p->index = op->index + i * ABI_PAGE_SIZE;
	p->users = 1;
	p->frame = frame;
	cds_list_add_tail(&p->node, &o->pages);
	return 0;
}

/* Under the lock, with @count pages promised: all or none. The index is used up in any case. */
static int pages_add(struct gntalloc *ga, struct alloc_open *o,
		     struct ioctl_gntalloc_alloc_gref *op, uint32_t *frames)
{
	uint32_t i;
	int err;

	op->index = o->next;
	o->next += op->count * ABI_PAGE_SIZE;
	if (!op->count)
		return 0;
	err = sim_frames_alloc(ga->sim, ga->domid, op->count, frames);
	if (err) {
		ga->pages -= op->count;
		return err;
	}
	for (i = 0; i < op->count; i++) {
		err = page_add(ga, o, op, i, frames[i]);
		if (err)
			break;
	}
	if (!err)
		return 0;
	sim_frames_free(ga->sim, ga->domid, frames + i, op->count - i);
	ga->pages -= op->count - i;
	if (i)
		unlist_pages(ga, o, find_pages(o, op->index, i), i);
	return err;
}

/*
 * alloc() - allocate and grant
 * @op:   the header; index out
 * @refs: room for op->count; out
 */
static int alloc(struct gntalloc *ga, uint64_t fh, struct ioctl_gntalloc_alloc_gref *op,
		 uint32_t *refs)
{
	struct alloc_open *o;
	struct page *p;
	int err = -EBADF;

	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, fh);
	if (o && !promise(ga, op->count))
		err = -ENOSPC;
	else if (o)
		err = pages_add(ga, o, op, refs);
	/* What were frames become refs. */
	p = err || !op->count ? NULL : find_pages(o, op->index, op->count);
	for (uint32_t i = 0; p && i < op->count; i++, p = page_after(o, p))
		refs[i] = p->ref;
	pthread_mutex_unlock(&ga->lock);
	return err;
}

/* Under no lock: a client may have deallocated some of it, having guessed the index. */
static int dealloc(struct gntalloc *ga, uint64_t fh, uint64_t index, uint32_t count)
{
	struct alloc_open *o;
	struct page *p = NULL;

	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, fh);
	if (o)
		p = find_pages(o, index, count);
	if (p)
		unlist_pages(ga, o, p, count);
	pthread_mutex_unlock(&ga->lock);
	return p ? 0 : -EINVAL;
}

/* Everything between the arguments and the answer. @buf: of alloc_size(). */
static int alloc_and_store(struct gntalloc *ga, struct caller *c, unsigned char *buf)
{
	struct ioctl_gntalloc_alloc_gref *op = (struct ioctl_gntalloc_alloc_gref *)buf;
	size_t rest = alloc_size(op->count) - sizeof(*op);
	uint32_t *refs = (uint32_t *)(buf + ABI_ALLOC_GREFS_OFFSET);
	int err;

	err = rest ? caller_expect(c, c->rq->arg + sizeof(*op), rest) : 0;
	if (!err)
		err = caller_ready(c);
	if (!err)
		err = alloc(ga, c->rq->fh, op, refs);
	if (err)
		return err;
	err = caller_store(c, c->rq->arg, buf, sizeof(*op));
	if (!err && rest)
		err = caller_store(c, c->rq->arg + sizeof(*op), buf + sizeof(*op), rest);
	if (err && op->count)
		dealloc(ga, c->rq->fh, op->index, op->count);
	return err;
}

/* The driver's order: header EFAULT, count ENOSPC, ENOMEM, total ENOSPC, ENOMEM, EFAULT. */
static int ioctl_alloc(struct gntalloc *ga, struct caller *c)
{
	struct ioctl_gntalloc_alloc_gref op;
	unsigned char *buf;
	int err;

	err = caller_expect(c, c->rq->arg, sizeof(op));
	if (!err)
		err = caller_fetch(c, &op, c->rq->arg, sizeof(op));
	if (err)
		return err;
	if (op.count > ga->limit)
		return -ENOSPC;
	buf = calloc(1, alloc_size(op.count));
	if (!buf)
		return -ENOMEM;
	memcpy(buf, &op, sizeof(op));
	err = alloc_and_store(ga, c, buf);
	free(buf);
	return err;
}

/* --- DEALLOC_GREF, SET_UNMAP_NOTIFY -------------------------------------------------------------------- */

static int ioctl_dealloc(struct gntalloc *ga, struct caller *c)
{
	struct ioctl_gntalloc_dealloc_gref op;
	int err;

	err = caller_fetch(c, &op, c->rq->arg, sizeof(op));
	if (!err)
		err = caller_ready(c);
	if (err)
		return err;
	return dealloc(ga, c->rq->fh, op.index, op.count);
}

/* Under the lock. The new port is referenced before the old one is dropped: it may be the same. */
static int page_notify(struct gntalloc *ga, struct page *p,
		       const struct ioctl_gntalloc_unmap_notify *op)
{
	if (op->action & ~(uint32_t)(UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT))
		return -EINVAL;
	if (op->action & UNMAP_NOTIFY_SEND_EVENT &&
	    sim_port_get(ga->sim, ga->domid, op->event_channel_port))
		return -EINVAL;
	drop_event(ga, p);
	p->action = op->action;
	p->byte = op->index & (ABI_PAGE_SIZE - 1);
	p->port = op->event_channel_port;
	return 0;
}

/* The driver's order, not that of gntdev: EFAULT, ENOENT, action EINVAL, port EINVAL. */
static int ioctl_notify(struct gntalloc *ga, struct caller *c)
{
	struct ioctl_gntalloc_unmap_notify op;
	struct alloc_open *o;
	struct page *p = NULL;
	int err;

	err = caller_fetch(c, &op, c->rq->arg, sizeof(op));
	if (!err)
		err = caller_ready(c);
	if (err)
		return err;
	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, c->rq->fh);
	if (o)
		p = find_pages(o, op.index & ~(ABI_PAGE_SIZE - 1), 1);
	err = p ? page_notify(ga, p, &op) : -ENOENT;
	pthread_mutex_unlock(&ga->lock);
	return err;
}

/* --- ioctls in general ---------------------------------------------------------------------------- */

/* What preload objects ask: a token, or a whole window. */
static void answer_preload(struct gntalloc *ga, struct request *rq)
{
	struct token token;
	struct alloc_open *o;

	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, rq->fh);
	if (o)
		token = o->token;
	pthread_mutex_unlock(&ga->lock);
	if (!o)
		request_done(rq, -EBADF, NULL, 0);
	else if (rq->cmd == WINDOW_TOKEN)
		token_answer(rq, &token, rq->fh, winsock_path(ga->winsock));
	else
		winioctl_mmap(rq, &token, rq->fh, ga->winsock);
}

static const char *reason(int err)
{
	switch (err) {
	case -EFAULT:
		return "the argument's memory cannot be read or written";
	case -ENOENT:
		return "no such page on this descriptor";
	case -ENOSPC:
		return "more pages than the limit, or than the grant table has room for";
	case -ENOMEM:
		return "the simulated machine is out of memory, or the daemon is";
	case -EINVAL:
		return "a field is out of range, or names nothing of ours";
	default:
		return strerror(-err);
	}
}

struct handler {
	uint32_t cmd;
	const char *name;
	int (*fn)(struct gntalloc *ga, struct caller *c);
};

static const struct handler handlers[] = {
	{ IOCTL_GNTALLOC_ALLOC_GREF, "ALLOC_GREF", ioctl_alloc },
	{ IOCTL_GNTALLOC_DEALLOC_GREF, "DEALLOC_GREF", ioctl_dealloc },
	{ IOCTL_GNTALLOC_SET_UNMAP_NOTIFY, "SET_UNMAP_NOTIFY", ioctl_notify },
};

static void run_handler(struct gntalloc *ga, const struct handler *h, struct request *rq)
{
	uint64_t arg = rq->arg;
	struct caller c;
	int err;

	caller_begin(&c, rq, TRACE_OTHER_IOCTL);
	err = h->fn(ga, &c);
	caller_end(&c, err);
	if (err < 0)
		caller_failed(&c, err, "%s: %s(0x%" PRIx64 "): %s (%s)", ga->dev.name, h->name, arg,
			      reason(err), strerrorname_np(-err));
}

static void not_implemented(struct gntalloc *ga, struct request *rq)
{
	uint32_t cmd = rq->cmd;
	struct caller c;

	caller_begin(&c, rq, TRACE_OTHER_IOCTL);
	caller_end(&c, -ENOTTY);
	caller_failed(&c, -ENOTTY, "%s: ioctl 0x%08x: not one of this device (ENOTTY)",
		      ga->dev.name, cmd);
}

/* As the driver: none for 32-bit callers, and the command word is matched whole. */
static void gntalloc_ioctl(struct device *dev, struct request *rq)
{
	struct gntalloc *ga = to_gntalloc(dev);

	for (size_t i = 0; !rq->compat && i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].cmd == rq->cmd) {
			run_handler(ga, &handlers[i], rq);
			return;
		}
	}
	if (!rq->compat && (rq->cmd == WINDOW_TOKEN || rq->cmd == WINDOW_MMAP))
		answer_preload(ga, rq);
	else
		not_implemented(ga, rq);
}

/* --- mmap ------------------------------------------------------------------------------------------- */

static void window_end(struct alloc_window *win)
{
	struct gntalloc *ga = win->ga;

	pthread_mutex_lock(&ga->lock);
	for (size_t i = 0; i < win->n; i++)
		page_put(ga, win->page[i]);
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
 * Under the lock. Return: 0 or a positive errno.
 */
static int use_pages(struct gntalloc *ga, const struct window_request *rq, struct alloc_window *win,
		     struct hv_grant *g, size_t n)
{
	struct alloc_open *o = get_open(ga, rq->open_id);
	struct page *p;

	if (!o || !token_check(&o->token, rq))
		return ENODEV;
	if (token_access(&o->token, rq))
		return EACCES;
	win->readonly = !o->token.may_write;
	if (!mmap_is_shared(rq->flags))
		return EINVAL;
	p = find_pages(o, rq->offset, n);
	if (!p)
		return ENOENT;
	for (win->n = 0; win->n < n; win->n++, p = page_after(o, p)) {
		p->users++;
		win->page[win->n] = p;
		g[win->n] = (struct hv_grant){
			.page = p->frame, .domid = ga->domid, .ref = p->ref, .status = GNTST_okay
		};
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

	fd = window_make(ga->windows, sim_hypervisor(ga->sim), WINDOW_OF_GNTALLOC, g, n, &at,
			 &win->user, &id);
	if (fd >= 0) {
		mmap_call_grant(mc, fd, id, g, n, HV_PAGES_FILE);
		return;
	}
	log_err("%s: no window for %zu pages: %s", ga->dev.name, n, strerror(-fd));
	window_end(win);
	mmap_call_refuse(mc, -fd);
}

static void refuse(struct gntalloc *ga, struct mmap_call *mc, int err)
{
	struct failure f = failure_of(FAILURE_REQUEST, TRACE_MMAP, mc->pid, err);

	f.uid = mc->uid;
	f.stranger = err == ENODEV;
	failure_report(&f, "%s: mmap(offset 0x%" PRIx64 ", length 0x%" PRIx64 "): %s", ga->dev.name,
		       mc->rq.offset, mc->rq.length, strerrorname_np(err));
	mmap_call_refuse(mc, err);
}

void gntalloc_mmap(struct mmap_call *mc, void *arg)
{
	struct gntalloc *ga = arg;
	uint64_t n = mc->rq.length >> ABI_PAGE_SHIFT;
	struct alloc_window *win;
	struct hv_grant *g;
	int err = ENOMEM;

	/* Nobody has more than the limit: so much need not be allocated in order to say so. */
	if (n > ga->limit)
		n = 0;
	win = calloc(1, sizeof(*win) + n * sizeof(win->page[0]));
	g = calloc(n + 1, sizeof(*g));
	if (win && g) {
		win->user.gone = window_gone;
		win->ga = ga;
		pthread_mutex_lock(&ga->lock);
		err = use_pages(ga, &mc->rq, win, g, n);
		pthread_mutex_unlock(&ga->lock);
	}
	if (err) {
		free(win);
		refuse(ga, mc, err);
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
	ga->sim = config->sim;
	ga->windows = config->windows;
	ga->domid = config->domid;
	ga->limit = config->limit;
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
	n = ga->pages;
	pthread_mutex_unlock(&ga->lock);
	return n;
}
