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
 * What lasts when the daemon is killed (machine/lasting.h): an open has a record, and so has each page. The record of an open is
 * made before its fh is answered, with the number of the request, so that an open that is executed again is found; a release ends
 * it, and pages whose open has gone are no open's. ALLOC_GREF takes its index and stores it as the request's progress before
 * there is a page: executed again it answers with its pages, or ends those that it finds and begins anew. DEALLOC_GREF
 * stores that it has found its pages before the first one goes: executed again it lets go of those that are left. Windows
 * say in their records whose pages they show. All else follows at adoption (machine/adopt.c): users are counted, pages without
 * any are ended, and what the domain has that no page knows of is freed.
 *
 * One mutex guards a device. It is never held while a client's memory is touched (which can take
 * as long as the client likes) or a window made.
 */
#include "machine/gntalloc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <urcu/list.h>

#include "abi/ioctl.h"
#include "device/dispatch.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/step.h"
#include "device/winioctl.h"
#include "machine/impl.h"

/* Cells of records that do not outlast us. */
#define RECORDS_OWN (1U << 16)

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

/* Its record has been made, and is not in use yet. */
static void fill_in(struct gntalloc *ga, struct alloc_open *o, const struct opener *by, uint64_t fh)
{
	/* The device's number, so that no two devices give one serial. */
	uint64_t serial = __atomic_add_fetch(&ga->last->serials, 1, __ATOMIC_RELAXED) |
			  (uint64_t)ga->pages.number << ALLOC_SERIAL_BITS;

	*o->last = (struct alloc_open_lasting){
		.fh = fh,
		.maker = by->unique,
		.serial = serial,
		.user = by->uid,
		.number = ga->pages.number,
		.may = (o->token.may_read ? ALLOC_MAY_READ : 0) |
		       (o->token.may_write ? ALLOC_MAY_WRITE : 0),
	};
	memcpy(o->last->secret, o->token.secret, sizeof(o->last->secret));
	o->pages.serial = serial;
}

static void free_open(struct gntalloc *ga, struct alloc_open *o)
{
	if (o->record)
		record_end(ga->pages.records, o->record);
	if (o->user)
		quota_close(ga->quota, o->user);
	free(o);
}

/* Return: 0; -ENOSPC: the user has as many as one may, and is told; -ENOMEM; -errno. */
static int make_open(struct gntalloc *ga, struct alloc_open *o, const struct opener *by, int flags)
{
	struct failure f = failure_of(WHY_OPENS, TRACE_OPEN, by->tid, ENOSPC);
	const char *limit;

	CDS_INIT_LIST_HEAD(&o->pages.head);
	o->user = quota_open(ga->quota, by->uid, QUOTA_NO_OWNER, &ga->limits, &limit);
	if (!o->user && limit) {
		f.uid = by->uid;
		failure_report(&f, "open of %s: %s (ENOSPC)", ga->dev.name,
			       failure_reason_cause(f.why));
		return -ENOSPC;
	}
	o->record = o->user ? record_new(ga->pages.records, sizeof(*o->last)) : 0;
	if (!o->record)
		return -ENOMEM;
	o->last = record_head(ga->pages.records, o->record);
	return token_new(&o->token, flags);
}

static int open_anew(struct gntalloc *ga, const struct opener *by, int flags, uint64_t *fh)
{
	struct alloc_open *o = calloc(1, sizeof(*o));
	int err = o ? make_open(ga, o, by, flags) : -ENOMEM;

	if (!err) {
		*fh = ids_reserve(ga->opens);
		err = *fh ? 0 : -ENOMEM;
	}
	if (err) {
		if (o)
			free_open(ga, o);
		return err;
	}
	fill_in(ga, o, by, *fh);
	record_commit(ga->pages.records, o->record, RECORD_ALLOC_OPEN);
	ids_publish(ga->opens, *fh, o);
	step(alloc_open_recorded);
	log_debug("client %d opened %s as %016" PRIx64, (int)by->tid, ga->dev.name, *fh);
	return 0;
}

static void match_maker(uint64_t id, void *obj, void *arg)
{
	const struct alloc_open *o = obj;
	struct alloc_open_lasting *wanted = arg;

	if (o->last->maker == wanted->maker)
		wanted->fh = id;
}

/* Return: what the request has opened before; 0: nothing. */
static uint64_t opened_before(struct gntalloc *ga, uint64_t unique)
{
	struct alloc_open_lasting wanted = { .maker = unique };

	rcu_read_enter();
	pthread_mutex_lock(&ga->lock);
	ids_for_each(ga->opens, match_maker, &wanted);
	pthread_mutex_unlock(&ga->lock);
	rcu_read_leave();
	return wanted.fh;
}

static int gntalloc_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	struct gntalloc *ga = to_gntalloc(dev);

	*fh = by->again ? opened_before(ga, by->unique) : 0;
	return *fh ? 0 : open_anew(ga, by, flags, fh);
}

static void gntalloc_release(struct device *dev, uint64_t fh)
{
	struct gntalloc *ga = to_gntalloc(dev);
	struct alloc_open *o;

	pthread_mutex_lock(&ga->lock);
	o = ids_retire(ga->opens, fh);
	if (o) {
		step(alloc_retired);
		record_end(ga->pages.records, o->record);
		/* In this order: no two records have one slot. */
		ids_free(ga->opens, fh);
		step(alloc_released);
		pages_unlist(&ga->pages, &o->pages, page_after(&o->pages, NULL), UINT64_MAX);
	}
	pthread_mutex_unlock(&ga->lock);
	/* Whoever looks it up looks under the lock, after it was removed: nobody has it. */
	if (o)
		quota_close(ga->quota, o->user);
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

/* Take out of the list what is left of @count pages from @index on. */
static void drop_left(struct gntalloc *ga, struct alloc_open *o, uint64_t index, uint32_t count)
{
	struct page *p = page_after(&o->pages, NULL), *next;

	for (; p; p = next) {
		next = page_after(&o->pages, p);
		if (p->last->index >= index && p->last->index - index < count * ABI_PAGE_SIZE)
			pages_unlist(&ga->pages, &o->pages, p, 1);
	}
}

/* Executed again: what it has allocated before, if that is all there. Its progress is the index, plus 1. */
static bool allocated_before(struct gntalloc *ga, struct alloc_open *o, const struct request *rq,
			     struct ioctl_gntalloc_alloc_gref *op, uint32_t *refs)
{
	uint64_t index = *rq->progress - 1;
	struct page *p;

	if (!rq->again || !*rq->progress)
		return false;
	p = pages_find(&o->pages, index, op->count);
	if (!p && op->count) {
		drop_left(ga, o, index, op->count);
		return false;
	}
	op->index = index;
	for (uint32_t i = 0; i < op->count; i++, p = page_after(&o->pages, p))
		refs[i] = p->last->ref;
	return true;
}

/* Within the limit the index is used up in any case. Return: 0 or -errno. */
static int alloc_anew(struct gntalloc *ga, struct alloc_open *o, const struct request *rq,
		      struct ioctl_gntalloc_alloc_gref *op, uint32_t *refs)
{
	op->index = o->last->next;
	__atomic_store_n(&o->last->next, op->index + op->count * ABI_PAGE_SIZE, __ATOMIC_RELEASE);
	__atomic_store_n(rq->progress, op->index + 1, __ATOMIC_RELEASE);
	step(alloc_begun);
	return pages_add(&ga->pages, &o->pages, op, refs);
}

/*
 * alloc() - allocate and grant
 * @op:   the header; index out
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
	if (o && allocated_before(ga, o, c->rq, op, refs)) {
		err = 0;
	} else if (o && !pages_promise(&ga->pages, op->count)) {
		err = -ENOSPC;
		why = WHY_ALLOC_LIMIT;
	} else if (o) {
		err = alloc_anew(ga, o, c->rq, op, refs);
		why = err == -ENOSPC ? WHY_ALLOC_NO_REFS : WHY_SIM_MEMORY;
	}
	pthread_mutex_unlock(&ga->lock);
	return caller_reason(c, err, why);
}

/* Its progress is that all its pages were there: executed again it lets go of those that still are. */
static int dealloc(struct gntalloc *ga, const struct request *rq, uint64_t index, uint32_t count)
{
	struct alloc_open *o;
	bool found = false;

	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, rq->fh);
	if (o)
		found = (rq->again && *rq->progress) || pages_find(&o->pages, index, count);
	if (found) {
		__atomic_store_n(rq->progress, 1, __ATOMIC_RELEASE);
		step(dealloc_begun);
		drop_left(ga, o, index, count);
	}
	pthread_mutex_unlock(&ga->lock);
	return found ? 0 : -EINVAL;
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
	struct gntalloc *ga = to_gntalloc(dev);
	struct alloc_open *o;

	/* Under no lock since then: a client may have deallocated some of it, having guessed the index. */
	pthread_mutex_lock(&ga->lock);
	o = get_open(ga, call->c.rq->fh);
	if (o)
		drop_left(ga, o, op->index, op->count);
	pthread_mutex_unlock(&ga->lock);
}

/* --- DEALLOC_GREF, SET_UNMAP_NOTIFY -------------------------------------------------------------------- */

static int ioctl_dealloc(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_gntalloc_dealloc_gref *op = arg;

	return caller_reason(&call->c, dealloc(to_gntalloc(dev), call->c.rq, op->index, op->count),
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

	if (!err)
		err = token_answer(&call->c, arg, &token, ga->winsock);
	return err;
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

void alloc_window_end(struct alloc_window *win)
{
	struct gntalloc *ga = win->ga;

	pthread_mutex_lock(&ga->lock);
	for (size_t i = 0; i < win->n; i++)
		page_put(&ga->pages, win->page[i]);
	cds_list_del(&win->node);
	pthread_mutex_unlock(&ga->lock);
	free(win);
}

void alloc_window_gone(struct window_user *user)
{
	alloc_window_end((struct alloc_window *)user);
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
	win->serial = o->pages.serial;
	*why = WHY_PRIVATE;
	if (!mmap_is_shared(rq->flags))
		return EINVAL;
	*why = WHY_ALLOC_NO_PAGE;
	p = pages_find(&o->pages, rq->offset, n);
	if (!p)
		return ENOENT;
	cds_list_add(&win->node, &ga->shown);
	for (win->n = 0; win->n < n; win->n++, p = page_after(&o->pages, p)) {
		p->users++;
		win->page[win->n] = p;
		g[win->n] = (struct hv_grant){ .page = p->last->frame,
					       .domid = ga->pages.domid,
					       .ref = p->last->ref,
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
	struct hv_place at = { .open_id = win->serial,
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
	alloc_window_end(win);
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
		win->user.gone = alloc_window_gone;
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

/* What lasts of the device itself. Return: 0 or -ENOMEM. */
static int make_record(struct gntalloc *ga)
{
	uint32_t record = record_new(ga->pages.records, sizeof(*ga->last));

	if (!record)
		return -ENOMEM;
	ga->last = record_head(ga->pages.records, record);
	ga->last->number = ga->pages.number;
	record_commit(ga->pages.records, record, RECORD_ALLOC);
	return 0;
}

static int find_record(struct gntalloc *ga)
{
	uint32_t cursor = 0, record;

	while ((record = record_next(ga->pages.records, RECORD_ALLOC, &cursor))) {
		ga->last = record_head(ga->pages.records, record);
		if (ga->last->number == ga->pages.number)
			return 0;
	}
	/* The predecessor was killed before it had made one. */
	return make_record(ga);
}

static int init(struct gntalloc *ga, const struct gntalloc_config *config)
{
	int err = config->records ? 0 : records_new(RECORDS_OWN, &ga->own_records);

	ga->pages = (struct pages){ .sim = config->sim,
				    .name = config->name,
				    .records = err || config->records ? config->records
								      : ga->own_records,
				    .number = config->number,
				    .domid = config->domid,
				    .limit = config->limit };
	if (!err)
		err = find_record(ga);
	ga->opens = ids_new();
	ga->quota = quota_new();
	policy_limits_default(&ga->limits);
	if (!err && (!ga->opens || !ga->quota))
		err = -ENOMEM;
	if (!err)
		ids_last(ga->opens, &ga->last->generations);
	return err;
}

int gntalloc_new(const struct gntalloc_config *config, struct gntalloc **out)
{
	struct gntalloc *ga;
	int added = sim_domain_add(config->sim, config->domid), err;

	/* One that is dying has nothing to grant any more, but is not in the way of an adoption. */
	if (added && added != -EEXIST && added != -EBUSY)
		return added;
	ga = calloc(1, sizeof(*ga));
	if (!ga)
		return -ENOMEM;
	pthread_mutex_init(&ga->lock, NULL);
	CDS_INIT_LIST_HEAD(&ga->shown);
	CDS_INIT_LIST_HEAD(&ga->loose);
	ga->dev.name = config->name;
	ga->dev.open = gntalloc_open;
	ga->dev.ioctl = gntalloc_ioctl;
	ga->dev.release = gntalloc_release;
	ga->windows = config->windows;
	err = init(ga, config);
	ga->pages.lost = added != -EEXIST;
	if (err)
		gntalloc_destroy(ga);
	else
		*out = ga;
	return err;
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
	quota_destroy(ga->quota);
	records_close(ga->own_records);
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
