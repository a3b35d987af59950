/* SPDX-License-Identifier: MIT */
/*
 * xen/pvh.c - windows in an auto-translated dom0 (PVH, HVM)
 *
 * Xen keeps a table from the domain's physical addresses to machine frames. A page of a file on our
 * tmpfs has its own frame given back to Xen (XENMEM_decrease_reservation), and the grant is mapped at
 * its physical address: then every mapping of the file, in any process, shows the granter's page.
 * When the grant is unmapped, Xen gives a frame for the page again (XENMEM_populate_physmap).
 *
 * The rule
 * --------
 *
 * A page whose frame is not its own must not come back to the kernel's allocator. The next user would
 * read and write a guest's memory, or none at all. So:
 *
 *  - It is pinned for long (xen/pin.h) before its frame goes, until it is back. Neither migration nor
 *    swapping nor compaction touch it, and truncating the file, punching a hole or deleting it take it
 *    out of the file, but do not free it. Which page it is is known by its physical address, taken
 *    when it had been pinned, and by nothing that a client can change.
 *  - The pins are held by the keeper, too, and with them the knowledge what is to be undone
 *    (xen/journal.h). A daemon that is killed does not let go of any page.
 *  - If Xen has no frame to give, or will not unmap a grant, the page goes into quarantine: it stays
 *    pinned, it is counted, and it is tried again every half second.
 *
 * Who sees what
 * -------------
 *
 * A window is a file of its own with exactly the pages of one map, so a client's descriptor shows what
 * was granted to it and nothing else. It can change its file: that harms its own window.
 *
 * Giving a frame back and getting one is two hypercalls and a pin for each window; mapping again what
 * has just been unmapped should not cost that. Windows that become free are kept, frames away, and
 * are used again. POOL_PAGES bounds what is kept; the longest unused goes first.
 *
 * They are used again only by the same open, for grants of the same domain. A client can hold a
 * reference on a page beyond the end of its mappings (direct I/O under way, vmsplice, io_uring), which
 * nothing tells a process of, and through it reaches whatever is mapped there next. Who has the open
 * may see that anyway, and a guest's data cannot end up where another's belongs. When the open is
 * closed its windows get their frames back; a page that is still referred to is then ordinary memory,
 * which the kernel keeps for as long.
 */
#include "xen/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "xen/undo.h"

#define PAGE_BYTES 4096

/* Pages of idle windows: 16 MiB of memory that nobody has. */
#define POOL_PAGES 4096
/* And how long: half a minute. */
#define IDLE_TICKS 60
#define BUCKETS	   1024
/* Windows of an open that is closed that are looked at before others have their turn. */
#define STEPS 256

/* The pool of idle windows is a subdirectory: a watch on the windows' names does not see it. */
#define POOL_DIR  "pages"
#define NAME_SIZE 24

/**
 * struct pvh - all windows
 * @dirfd:       where their files are
 * @lock:        for all below, and never held during a hypercall
 * @bucket:      the windows of opens that are open, by the hash of the id, @in_bucket of them
 * @closed:      those of opens that have gone that somebody uses
 * @idle:        those that nobody uses, the longest unused last
 * @fit:         the same, by the hash of what they can be used for, the longest unused last
 * @idle_pages:  their pages
 * @pages:       of all windows there are (atomic): those that are away, or about to be
 * @ticks:       calls of pvh_tend()
 * @quarantine:  those that could not be restored
 */
struct pvh {
	int dirfd;
	pthread_mutex_t lock;
	struct cds_list_head bucket[BUCKETS];
	size_t in_bucket[BUCKETS];
	struct cds_list_head closed;
	struct cds_list_head idle;
	struct cds_list_head fit[BUCKETS];
	size_t idle_pages;
	uint64_t pages;
	uint64_t ticks;
	struct cds_list_head quarantine;
};

static size_t hash(uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 54);
}

static_assert(BUCKETS == 1U << (64 - 54), "the hash picks a bucket");

/* Its first slot is nobody else's as long as it lives. */
static void window_name(const struct xen_window *w, char *name)
{
	snprintf(name, NAME_SIZE, "%" PRIx32, w->slot[0]);
}

/* --- frames ------------------------------------------------------------------------------------- */

/* The next @n pages of a window. Return: 0; -ENOMEM, -errno: those that are SLOT_AWAY are away. */
static int give_some(struct xen *x, struct journal_batch *b, struct xen_window *w, size_t first,
		     size_t n)
{
	struct journal_slot *slot[JOURNAL_OPS];
	long done;

	for (size_t i = 0; i < n; i++) {
		slot[i] = xen_slot(x, w, first + i);
		b->memory.pfn[i] = slot[i]->addr / PAGE_BYTES;
		slot_set(slot[i], SLOT_AWAY);
	}
	done = privcmd_give_back(x->pc, b, n);
	if (done == (long)n)
		return 0;
	/* It does not say how far it has come: be sure that all are away. */
	if (done < 0) {
		undo_doubt(privcmd_fd(x->pc), b, slot, n);
		return (int)done;
	}
	for (size_t i = (size_t)done; i < n; i++)
		slot_set(slot[i], SLOT_NONE);
	return -ENOMEM;
}

/* Give the frames of a window back to Xen. Return: 0; -ENOMEM, -errno with some of them away. */
static int give_back(struct xen *x, struct xen_window *w)
{
	struct journal_batch *b = privcmd_batch_get(x->pc);
	int err = 0;

	for (size_t first = 0, n; !err && first < w->n; first += n) {
		n = w->n - first < JOURNAL_OPS ? w->n - first : JOURNAL_OPS;
		err = give_some(x, b, w, first, n);
	}
	privcmd_batch_put(x->pc, b);
	return err;
}

/* How many pages of a window are in this state or a later one. */
static size_t held(const struct xen *x, const struct xen_window *w, enum slot_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += xen_slot(x, w, i)->state >= state;
	return n;
}

/* Whatever is left of a window's grants and frames. Return: how many pages could not be undone. */
static size_t restore(struct xen *x, struct xen_window *w)
{
	struct journal_batch *b = privcmd_batch_get(x->pc);
	size_t away = held(x, w, SLOT_AWAY), mapped = held(x, w, SLOT_MAPPED);
	size_t left = undo_all(privcmd_fd(x->pc), b, true, x->journal, w->slot, w->n);

	privcmd_batch_put(x->pc, b);
	__atomic_fetch_sub(&x->away, away - left, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&x->handles, mapped - held(x, w, SLOT_MAPPED), __ATOMIC_RELAXED);
	return left;
}

/* --- making and destroying windows -------------------------------------------------------------- */

/* The file is there, with all its pages: have them pinned, and know where they are. */
static int pin_pages(struct xen *x, struct xen_window *w, int fd, uint64_t *pfn)
{
	void *addr = mmap(NULL, w->n * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int err;

	if (addr == MAP_FAILED)
		return -errno;
	err = pins_add(x->pins, addr, w->n, &w->pin, pfn);
	munmap(addr, w->n * PAGE_BYTES);
	for (size_t i = 0; !err && i < w->n; i++)
		xen_slot(x, w, i)->addr = pfn[i] * PAGE_BYTES;
	return err;
}

/*
 * The window's file has a name as long as the window lives, and is open only here: with a descriptor for
 * each there would be fewer windows than the process may have descriptors.
 */
static int make_file(struct pvh *p, struct xen_window *w)
{
	char name[NAME_SIZE];
	int fd;

	window_name(w, name);
	/* A daemon that was killed may have left one. */
	unlinkat(p->dirfd, name, 0);
	fd = openat(p->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static void remove_file(struct pvh *p, struct xen_window *w)
{
	char name[NAME_SIZE];

	window_name(w, name);
	unlinkat(p->dirfd, name, 0);
}

/*
 * Somebody may still have the file mapped, if the daemon is ending: Xen's frames come with whatever was
 * in them. A file cut to nothing and made long again shows zeroes, on pages of its own. By its path, which
 * needs no descriptor: that there is none left must not keep it from being cut.
 */
static void cut_file(struct pvh *p, struct xen_window *w)
{
	char name[NAME_SIZE], path[sizeof("/proc/self/fd/2147483647/") + NAME_SIZE];

	window_name(w, name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", p->dirfd, name);
	if (truncate(path, 0) || truncate(path, (off_t)(w->n * PAGE_BYTES)))
		log_debug("a window's file was not cut: %s", strerror(errno));
}

/* Return: whether @n more pages may be away, and are counted now. */
static bool take_pages(struct xen *x, size_t n)
{
	uint64_t *pages = &x->pvh->pages, old = __atomic_load_n(pages, __ATOMIC_RELAXED);
	uint64_t max = __atomic_load_n(&x->away_max, __ATOMIC_RELAXED);

	do {
		if (max && (old > max || n > max - old))
			return false;
	} while (!__atomic_compare_exchange_n(pages, &old, old + n, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

static void give_pages(struct xen *x, size_t n)
{
	__atomic_fetch_sub(&x->pvh->pages, n, __ATOMIC_RELAXED);
}

/* All of its pages are ordinary memory: let go of it. */
static void release(struct xen *x, struct xen_window *w)
{
	give_pages(x, w->n);
	xen_window_forget(x, w);
	pins_remove(x->pins, w->pin);
	remove_file(x->pvh, w);
	xen_window_free(x, w);
}

/* Not on any list. */
static void destroy(struct xen *x, struct xen_window *w)
{
	struct pvh *p = x->pvh;
	size_t left;

	cut_file(p, w);
	left = restore(x, w);
	if (!left) {
		release(x, w);
		return;
	}
	if (!w->lost)
		log_err("Xen has no frames for %zu pages: they are kept from use until it has",
			left);
	w->lost = left;
	__atomic_fetch_add(&x->quarantined, left, __ATOMIC_RELAXED);
	pthread_mutex_lock(&p->lock);
	cds_list_add(&w->node, &p->quarantine);
	pthread_mutex_unlock(&p->lock);
}

/* A file, with as many pages as the window has slots, which are pinned. */
static int make_pages(struct xen *x, struct xen_window *w)
{
	uint64_t *pfn = malloc(w->n * sizeof(*pfn));
	int fd = pfn ? make_file(x->pvh, w) : -ENOMEM, err = 0;

	if (fd < 0) {
		free(pfn);
		return fd;
	}
	/* With its pages: that there is no room for them is found out here, not by a fault. */
	if (fallocate(fd, 0, 0, (off_t)(w->n * PAGE_BYTES)))
		err = -errno;
	if (!err)
		err = pin_pages(x, w, fd, pfn);
	close(fd);
	if (err)
		remove_file(x->pvh, w);
	free(pfn);
	return err;
}

/* @n pages have been taken for it, which it has then, also if that fails. */
static int make_window(struct xen *x, size_t n, uint16_t domid, const struct hv_place *at,
		       struct xen_window **out)
{
	struct xen_window *w = xen_window_alloc(x, n);
	int err = w ? make_pages(x, w) : -ENOMEM;

	if (err) {
		give_pages(x, n);
		if (w)
			xen_window_free(x, w);
		return err;
	}
	w->open_id = at->open_id;
	w->domid = domid;
	xen_window_keep(x, w);
	err = give_back(x, w);
	__atomic_fetch_add(&x->away, held(x, w, SLOT_AWAY), __ATOMIC_RELAXED);
	if (err) {
		destroy(x, w);
		return err;
	}
	*out = w;
	return 0;
}

/* --- the pool ----------------------------------------------------------------------------------- */

/*
 * Who can use it. There are POOL_PAGES idle windows at most, and of one open so few sizes that fit into the pool
 * that it cannot fill one place with windows that are of no use to others there.
 */
static struct cds_list_head *fit_of(struct pvh *p, uint64_t open_id, uint16_t domid, size_t n)
{
	return &p->fit[hash(open_id ^ hash(n) << 32 ^ (uint64_t)domid << 48)];
}

/* The lock is held. */
static void put_idle(struct pvh *p, struct xen_window *w)
{
	cds_list_add(&w->idle, &p->idle);
	cds_list_add(&w->fit, fit_of(p, w->open_id, w->domid, w->n));
	w->idle_since = p->ticks;
	p->idle_pages += w->n;
}

/* The lock is held. */
static void take_idle(struct pvh *p, struct xen_window *w)
{
	cds_list_del_init(&w->idle);
	cds_list_del(&w->fit);
	p->idle_pages -= w->n;
}

static struct xen_window *find_idle(struct pvh *p, uint64_t open_id, uint16_t domid, size_t n)
{
	struct xen_window *w, *found = NULL;

	pthread_mutex_lock(&p->lock);
	cds_list_for_each_entry(w, fit_of(p, open_id, domid, n), fit) {
		if (w->open_id == open_id && w->domid == domid && w->n == n) {
			take_idle(p, w);
			found = w;
			break;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

/* The lock is held: to another list, if need be from the windows of its open. */
static void leave(struct pvh *p, struct xen_window *w, struct cds_list_head *to)
{
	p->in_bucket[hash(w->open_id)] -= w->listed;
	w->listed = false;
	cds_list_move(&w->node, to);
}

/*
 * Whether its last client has left the file whole. If it had replaced pages by others unnoticed,
 * that client's own open would see those instead of the grant.
 */
static bool is_whole(struct pvh *p, const struct xen_window *w)
{
	char name[NAME_SIZE];
	struct stat st;

	window_name(w, name);
	return fstatat(p->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_size == (off_t)(w->n * PAGE_BYTES) &&
	       (size_t)st.st_blocks == w->n * (PAGE_BYTES / 512);
}

static void unlist(struct pvh *p, struct xen_window *w)
{
	CDS_LIST_HEAD(nowhere);

	pthread_mutex_lock(&p->lock);
	leave(p, w, &nowhere);
	cds_list_del(&w->node);
	pthread_mutex_unlock(&p->lock);
}

/* Return: whose grants these are; DOMID_INVALID if they are of several domains. */
static uint16_t only_domain(const struct hv_grant *g, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (g[i].domid != g[0].domid)
			return DOMID_INVALID;
	return g[0].domid;
}

/* The lock is held: take idle windows until there are no more than @most pages of them. They go to @out. */
static void make_room(struct pvh *p, size_t most, struct cds_list_head *out)
{
	while (p->idle_pages > most && !cds_list_empty(&p->idle)) {
		struct xen_window *w = cds_list_entry(p->idle.prev, struct xen_window, idle);

		take_idle(p, w);
		leave(p, w, out);
	}
}

static void destroy_list(struct xen *x, struct cds_list_head *list)
{
	struct xen_window *w, *next;

	cds_list_for_each_entry_safe(w, next, list, node)
	{
		cds_list_del(&w->node);
		destroy(x, w);
	}
}

/* What is idle is away, too: it goes before anybody is refused. Return: as take_pages(). */
static bool take_from_idle(struct xen *x, size_t n)
{
	struct pvh *p = x->pvh;
	CDS_LIST_HEAD(old);

	pthread_mutex_lock(&p->lock);
	make_room(p, p->idle_pages > n ? p->idle_pages - n : 0, &old);
	pthread_mutex_unlock(&p->lock);
	destroy_list(x, &old);
	return take_pages(x, n);
}

static void list_window(struct pvh *p, struct xen_window *w)
{
	CDS_INIT_LIST_HEAD(&w->idle);
	pthread_mutex_lock(&p->lock);
	/* Behind those that an open's end still has to look at. */
	cds_list_add_tail(&w->node, &p->bucket[hash(w->open_id)]);
	p->in_bucket[hash(w->open_id)]++;
	w->listed = true;
	pthread_mutex_unlock(&p->lock);
}

/* Its pages are away, some of them perhaps not yet, or not any more: xen/adopt.c. */
static void pvh_window_adopt(struct xen *x, struct xen_window *w)
{
	struct pvh *p = x->pvh;

	__atomic_fetch_add(&p->pages, w->n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&x->away, held(x, w, SLOT_AWAY), __ATOMIC_RELAXED);
	list_window(p, w);
}

static int pvh_window_get(struct xen *x, const struct hv_grant *g, size_t n,
			  const struct hv_place *at, struct xen_window **out)
{
	struct pvh *p = x->pvh;
	uint16_t domid = only_domain(g, n);
	struct xen_window *w;
	int err;

	while ((w = find_idle(p, at->open_id, domid, n))) {
		if (is_whole(p, w)) {
			*out = w;
			return 0;
		}
		unlist(p, w);
		destroy(x, w);
	}
	if (!take_pages(x, n) && !take_from_idle(x, n))
		return -EDQUOT;
	err = make_window(x, n, domid, at, &w);
	if (err)
		return err;
	list_window(p, w);
	*out = w;
	return 0;
}

static void pvh_window_put(struct xen *x, struct xen_window *w)
{
	struct pvh *p = x->pvh;
	CDS_LIST_HEAD(old);

	pthread_mutex_lock(&p->lock);
	if (w->lost || w->closed || w->domid == DOMID_INVALID || w->n > POOL_PAGES) {
		leave(p, w, &old);
	} else {
		make_room(p, POOL_PAGES - w->n, &old);
		put_idle(p, w);
	}
	pthread_mutex_unlock(&p->lock);
	destroy_list(x, &old);
}

/* The lock is held: its open has gone. Return: whether it is to be destroyed, and in @old. */
static void close_window(struct xen *x, struct xen_window *w, struct cds_list_head *old)
{
	struct pvh *p = x->pvh;
	bool idle = !cds_list_empty(&w->idle);

	if (idle)
		take_idle(p, w);
	leave(p, w, idle ? old : &p->closed);
	w->closed = true;
	x->journal->window[w->slot[0]].closed = true;
}

/* Some windows of an open's bucket, from the front: its own leave it, others' go behind those that were not looked at yet. */
static void close_some(struct xen *x, uint64_t open_id, size_t n, struct cds_list_head *old)
{
	struct cds_list_head *bucket = &x->pvh->bucket[hash(open_id)];

	pthread_mutex_lock(&x->pvh->lock);
	while (n-- && !cds_list_empty(bucket)) {
		struct xen_window *w = cds_list_entry(bucket->next, struct xen_window, node);

		if (w->open_id == open_id) {
			close_window(x, w, old);
		} else {
			cds_list_del(&w->node);
			cds_list_add_tail(&w->node, bucket);
		}
	}
	pthread_mutex_unlock(&x->pvh->lock);
}

/* All that there are now; what a late mmap makes is left to age(). */
static void pvh_open_gone(struct xen *x, uint64_t open_id)
{
	struct pvh *p = x->pvh;
	CDS_LIST_HEAD(old);
	size_t left;

	pthread_mutex_lock(&p->lock);
	left = p->in_bucket[hash(open_id)];
	pthread_mutex_unlock(&p->lock);
	for (size_t n; left; left -= n) {
		n = left < STEPS ? left : STEPS;
		close_some(x, open_id, n, &old);
	}
	destroy_list(x, &old);
}

/* Try again what could not be undone. */
static void retry_quarantine(struct xen *x)
{
	struct pvh *p = x->pvh;
	struct xen_window *w, *next;
	CDS_LIST_HEAD(all);

	pthread_mutex_lock(&p->lock);
	cds_list_splice(&p->quarantine, &all);
	CDS_INIT_LIST_HEAD(&p->quarantine);
	pthread_mutex_unlock(&p->lock);
	cds_list_for_each_entry_safe(w, next, &all, node)
	{
		__atomic_fetch_sub(&x->quarantined, w->lost, __ATOMIC_RELAXED);
		cds_list_del(&w->node);
		destroy(x, w);
	}
}

/*
 * Let go of windows that nobody has used for a while, also of those that a late mmap made for an open
 * that has gone.
 */
static void age(struct xen *x)
{
	struct pvh *p = x->pvh;
	CDS_LIST_HEAD(old);

	pthread_mutex_lock(&p->lock);
	p->ticks++;
	while (!cds_list_empty(&p->idle)) {
		struct xen_window *w = cds_list_entry(p->idle.prev, struct xen_window, idle);

		if (p->ticks - w->idle_since < IDLE_TICKS)
			break;
		take_idle(p, w);
		leave(p, w, &old);
	}
	pthread_mutex_unlock(&p->lock);
	destroy_list(x, &old);
}

static void pvh_tend(struct xen *x)
{
	age(x);
	retry_quarantine(x);
}

/* --- the rest ----------------------------------------------------------------------------------- */

static int pvh_mapped(struct xen *x, struct hv_grant *g, size_t n)
{
	(void)x;
	for (size_t i = 0; i < n; i++)
		g[i].page = i;
	return 0;
}

static int pvh_window_open(struct xen *x, int dirfd, const char *name, const struct hv_grant *g,
			   const struct hv_place *at)
{
	char file[NAME_SIZE];
	int fd;

	window_name(xen_window_of(x, g), file);
	if (linkat(x->pvh->dirfd, file, dirfd, name, 0))
		return -errno;
	fd = openat(dirfd, name, (at->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		fd = -errno;
	unlinkat(dirfd, name, 0);
	return fd;
}

static int pvh_init(struct xen *x, int dirfd, const char **why)
{
	struct pvh *p = calloc(1, sizeof(*p));

	*why = "no memory";
	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	for (size_t i = 0; i < BUCKETS; i++) {
		CDS_INIT_LIST_HEAD(&p->bucket[i]);
		CDS_INIT_LIST_HEAD(&p->fit[i]);
	}
	CDS_INIT_LIST_HEAD(&p->closed);
	CDS_INIT_LIST_HEAD(&p->idle);
	CDS_INIT_LIST_HEAD(&p->quarantine);
	x->pvh = p;
	*why = "cannot make a directory for pages";
	p->dirfd = -1;
	if (mkdirat(dirfd, POOL_DIR, 0700) && errno != EEXIST)
		return -errno;
	p->dirfd = openat(dirfd, POOL_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return p->dirfd < 0 ? -errno : 0;
}

/* All grants have been unmapped, but for those in quarantine: what is left of it is the keeper's. */
static void pvh_fini(struct xen *x)
{
	struct pvh *p = x->pvh;
	struct xen_window *w, *next;
	CDS_LIST_HEAD(all);

	if (!p)
		return;
	make_room(p, 0, &all);
	destroy_list(x, &all);
	retry_quarantine(x);
	cds_list_for_each_entry_safe(w, next, &p->quarantine, node)
	{
		remove_file(p, w);
		free(w);
	}
	if (p->dirfd >= 0)
		close(p->dirfd);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

const struct xen_mode xen_pvh = {
	.name = "xen-pvh",
	.pages = HV_PAGES_FILE,
	.translated = true,
	.init = pvh_init,
	.fini = pvh_fini,
	.window_get = pvh_window_get,
	.mapped = pvh_mapped,
	.window_put = pvh_window_put,
	.window_adopt = pvh_window_adopt,
	.window_open = pvh_window_open,
	.open_gone = pvh_open_gone,
	.tend = pvh_tend,
};
