/* SPDX-License-Identifier: MIT */
/*
 * xen/xen.c - the hypervisor layer of a real Xen: grant operations in batches
 *
 * Three things have to be right whatever happens.
 *
 * A handle is never lost. Xen hands them out in the operations of the map hypercall, and a grant
 * whose handle nobody has stays mapped for ever. The operations lie in the journal, which outlives
 * the daemon; that says how many of them count before the hypercall is made, and the handles go from
 * there into slots, which the keeper finds (xen/journal.h, keeper/raw.h). A hypercall that fails midway has
 * set the status of those operations that it carried out, and they are unmapped.
 *
 * A page that shows a guest's memory does not come back to the kernel: xen/pvh.c.
 *
 * Nothing of what Xen or a guest writes is believed before it was looked at: statuses out of range are
 * general errors, frame numbers only reach clients that may have any page of that guest (xen/pv.c).
 */
#include "xen/xen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "state/lent.h"
#include "xen/undo.h"
#include "xen/layer.h"

/* Pages of the journal that Xen writes to. */
#define BATCH_PAGES (sizeof(((struct journal *)0)->batch) / 4096)

static struct xen *xen_of(struct hypervisor *hv)
{
	return (struct xen *)hv;
}

static void count(uint64_t *what, int64_t by)
{
	__atomic_fetch_add(what, (uint64_t)by, __ATOMIC_RELAXED);
}

/* --- windows ------------------------------------------------------------------------------------ */

struct xen_window *xen_window_alloc(struct xen *x, size_t n)
{
	struct xen_window *w = calloc(1, sizeof(*w) + n * sizeof(w->slot[0]));

	if (!w)
		return NULL;
	w->n = n;
	if (journal_slots_get(x->slots, n, w->slot)) {
		free(w);
		return NULL;
	}
	x->of_slot[w->slot[0]] = w;
	return w;
}

void xen_window_free(struct xen *x, struct xen_window *w)
{
	journal_slots_put(x->slots, w->n, w->slot);
	free(w);
}

/* --- map ---------------------------------------------------------------------------------------- */

/*
 * prepare() - fill a batch with the next grants that are pending
 *
 * This domain's own grants are never mapped. In a PVH dom0 Xen would take the page away from where it
 * was, under the kernel's feet, and not bring it back; in a PV dom0 a client would get a descriptor
 * for all of this domain's memory.
 *
 * @next:  where to look on; moved on
 * @index: out: which grant each operation is for
 *
 * Return: how many.
 */
static uint32_t prepare(struct xen *x, struct journal_batch *b, struct hv_grant *g, size_t n,
			size_t *next, bool readonly, uint32_t *index)
{
	const uint32_t flags = (x->mode->translated ? GNTMAP_host_map : GNTMAP_device_map) |
			       (readonly ? GNTMAP_readonly : 0);
	uint32_t k = 0;

	for (; *next < n && k < JOURNAL_OPS; ++*next) {
		struct hv_grant *one = &g[*next];

		if (one->status != HV_PENDING)
			continue;
		if (xen_is_own(one->domid)) {
			one->status = GNTST_bad_domain;
			continue;
		}
		b->map[k] = (struct gnttab_map_grant_ref){
			.host_addr = x->mode->translated ? x->journal->slot[one->slot].addr : 0,
			.flags = flags,
			.ref = one->ref,
			.dom = one->domid,
			.status = JOURNAL_PENDING,
		};
		b->slot[k] = one->slot;
		index[k++] = (uint32_t)*next;
	}
	return k;
}

static void take_result(struct xen *x, struct hv_grant *g, const struct gnttab_map_grant_ref *op,
			bool whole)
{
	/* Not come to, because the hypercall failed: stays pending. */
	if (op->status == JOURNAL_PENDING && !whole)
		return;
	g->status = hv_status_check(op->status);
	if (g->status != GNTST_okay)
		return;
	g->handle = op->handle;
	count(&x->handles, 1);
}

static int map_batches(struct xen *x, struct hv_grant *g, size_t n, bool readonly)
{
	struct journal_batch *b = privcmd_batch_get(x->pc);
	uint32_t index[JOURNAL_OPS], k;
	size_t next = 0;
	int err = 0;

	while (!err && (k = prepare(x, b, g, n, &next, readonly, index))) {
		__atomic_store_n(&b->mapping, k, __ATOMIC_RELEASE);
		err = privcmd_grant(x->pc, GNTTABOP_map_grant_ref, b, k);
		journal_harvest(x->journal, b, x->mode->translated);
		for (uint32_t i = 0; i < k; i++)
			take_result(x, &g[index[i]], &b->map[i], !err);
	}
	privcmd_batch_put(x->pc, b);
	return err;
}

static bool all_mapped(const struct hv_grant *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (g[i].status != GNTST_okay)
			return false;
	return true;
}

static int xen_unmap(struct hypervisor *hv, struct hv_grant *g, size_t n);

static int xen_map(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at)
{
	struct xen *x = xen_of(hv);
	struct xen_window *w;
	int err;

	if (!g[0].slot) {
		err = x->mode->window_get(x, g, n, at, &w);
		if (err)
			return err;
		for (size_t i = 0; i < n; i++)
			g[i].slot = w->slot[i];
	}
	err = map_batches(x, g, n, at->readonly);
	if (!err && all_mapped(g, n))
		err = x->mode->mapped(x, g, n);
	if (err) {
		if (xen_unmap(hv, g, n))
			log_err("grants of domain %u could not be unmapped after a failed map",
				g[0].domid);
		for (size_t i = 0; i < n; i++)
			g[i].status = HV_PENDING;
	}
	return err;
}

/* --- unmap -------------------------------------------------------------------------------------- */

/* Return: how many of these grants could not be unmapped. */
static size_t unmap_batch(struct xen *x, struct journal_batch *b, struct hv_grant **g, size_t n)
{
	struct journal_slot *slot[JOURNAL_OPS];
	int16_t status[JOURNAL_OPS];
	size_t failed = 0;
	int err;

	for (size_t i = 0; i < n; i++)
		slot[i] = &x->journal->slot[g[i]->slot];
	err = undo_unmap(privcmd_fd(x->pc), x->journal, b, x->mode->translated, slot, n, status);
	if (err)
		log_err("the unmap hypercall failed: %s", strerror(-err));
	for (size_t i = 0; i < n; i++) {
		failed += status[i] != GNTST_okay;
		if (status[i] == GNTST_okay)
			g[i]->status = HV_PENDING;
		else
			g[i]->status = status[i];
	}
	count(&x->handles, (int64_t)failed - (int64_t)n);
	return failed;
}

static int xen_unmap(struct hypervisor *hv, struct hv_grant *g, size_t n)
{
	struct xen *x = xen_of(hv);
	struct xen_window *w = xen_window_of(x, g);
	struct hv_grant *some[JOURNAL_OPS];
	struct journal_batch *b;
	size_t k = 0, failed = 0;

	if (!w)
		return 0;
	b = privcmd_batch_get(x->pc);
	for (size_t i = 0; i < n; i++) {
		if (g[i].status == GNTST_okay)
			some[k++] = &g[i];
		if (k && (k == JOURNAL_OPS || i + 1 == n)) {
			failed += unmap_batch(x, b, some, k);
			k = 0;
		}
	}
	privcmd_batch_put(x->pc, b);
	for (size_t i = 0; i < n; i++)
		g[i].slot = 0;
	w->lost = failed;
	x->mode->window_put(x, w);
	return (int)failed;
}

/* --- the rest of the interface ------------------------------------------------------------------ */

static int xen_window_open(struct hypervisor *hv, int dirfd, const char *name,
			   const struct hv_grant *g, size_t n, const struct hv_place *at)
{
	struct xen *x = xen_of(hv);

	(void)n;
	return x->mode->window_open(x, dirfd, name, g, at);
}

static void xen_counts(struct hypervisor *hv, struct hv_counts *c)
{
	struct xen *x = xen_of(hv);

	*c = (struct hv_counts){
		.handles = __atomic_load_n(&x->handles, __ATOMIC_RELAXED),
		.handle_max = x->handle_max,
		.ports = __atomic_load_n(&x->port_refs, __ATOMIC_RELAXED),
		.away = __atomic_load_n(&x->away, __ATOMIC_RELAXED),
		.quarantined = __atomic_load_n(&x->quarantined, __ATOMIC_RELAXED),
	};
}

static void xen_limit_away(struct hypervisor *hv, uint64_t pages)
{
	__atomic_store_n(&xen_of(hv)->away_max, pages, __ATOMIC_RELAXED);
}

static void xen_open_gone(struct hypervisor *hv, uint64_t open_id)
{
	struct xen *x = xen_of(hv);

	x->mode->open_gone(x, open_id);
}

static const char *xen_tend(struct hypervisor *hv)
{
	struct xen *x = xen_of(hv);

	x->mode->tend(x);
	return NULL;
}

static void xen_destroy(struct hypervisor *hv)
{
	struct xen *x = xen_of(hv);

	x->mode->fini(x);
	bounce_free(x->bounce);
	ports_free(x->ports);
	pins_free(x->pins);
	privcmd_close(x->pc);
	journal_slots_free(x->slots);
	journal_free(x->journal);
	if (x->journal_fd >= 0)
		close(x->journal_fd);
	if (x->of_slot)
		munmap(x->of_slot, JOURNAL_SLOTS * sizeof(struct xen_window *));
	free(x);
}

static const struct hypervisor_ops xen_ops = {
	.map = xen_map,
	.unmap = xen_unmap,
	.copy = xen_copy,
	.pages_get = xen_pages_get,
	.pages_put = xen_pages_put,
	.clear_byte = xen_clear_byte,
	.window_open = xen_window_open,
	.port_get = xen_port_get,
	.port_put = xen_port_put,
	.port_send = xen_port_send,
	.counts = xen_counts,
	.limit_away = xen_limit_away,
	.open_gone = xen_open_gone,
	.tend = xen_tend,
	.destroy = xen_destroy,
};

/* --- start -------------------------------------------------------------------------------------- */

/* Return: whether a small file begins with this text. */
static bool file_says(const char *path, const char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[64];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return strstr(buf, text) != NULL;
}

const char *xen_platform(void)
{
	if (!hv_platform_is_xen())
		return "this machine does not run under Xen (/sys/hypervisor/type does not say so)";
	if (access("/proc/xen/capabilities", R_OK))
		return "/proc/xen/capabilities is not there: mount xenfs (modprobe xenfs; mount -t "
		       "xenfs xenfs /proc/xen)";
	if (!file_says("/proc/xen/capabilities", "control_d"))
		return "this is not dom0: other domains' kernels let nobody make hypercalls";
	return NULL;
}

/* Whether a running daemon has this directory, or what is mounted on it: see window_dir_open(). */
static bool is_locked(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	return locked;
}

int xen_mount(const char *path)
{
	static const char common[] = "mode=0700,size=100%,nr_inodes=0";
	char options[80];

	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	if (is_locked(path))
		return -EBUSY;
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	/* Before Linux 6.4 there is no such option; what matters is pinned anyway. */
	stpcpy(stpcpy(options, common), ",noswap");
	if (mount("gntdev-windows", path, "tmpfs", MS_NOSUID, options) &&
	    (errno != EINVAL || mount("gntdev-windows", path, "tmpfs", MS_NOSUID, common)))
		return -errno;
	return 0;
}

void xen_unmount(const char *path)
{
	umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	rmdir(path);
}

/* The journal, resident; and those that need it. */
static int start_journal(struct xen *x, const char **why)
{
	int err;

	*why = "no memory";
	x->journal = journal_new(x->mode->translated, &x->journal_fd);
	x->of_slot = mmap(NULL, JOURNAL_SLOTS * sizeof(struct xen_window *), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (x->of_slot == MAP_FAILED)
		x->of_slot = NULL;
	x->slots = x->journal ? journal_slots_new(x->journal) : NULL;
	if (!x->journal || !x->of_slot || !x->slots)
		return -ENOMEM;
	err = pins_new(&x->pins, why);
	if (err)
		return err;
	*why = "cannot lock memory (CAP_IPC_LOCK, or a higher limit of locked memory)";
	err = journal_lock(x->journal);
	if (err)
		return err;
	*why = "cannot pin memory by an io_uring";
	return pins_add(x->pins, x->journal->batch, BATCH_PAGES, &x->journal_pin, NULL);
}

/* Before anything is mapped: who keeps it can undo it from here on. */
static int give_kept(struct xen *x, struct lent *lent, const char **why)
{
	int rings[PINS_FDS], err;
	char name[KEEP_NAME];

	*why = "the keeper does not take what it needs";
	pins_fds(x->pins, rings);
	err = lent_give(lent, "journal", x->journal_fd);
	if (!err)
		err = lent_give(lent, "privcmd", privcmd_fd(x->pc));
	for (unsigned int i = 0; !err && i < PINS_FDS; i++) {
		snprintf(name, sizeof(name), "ring.%u", i);
		err = lent_give(lent, name, rings[i]);
	}
	return err;
}

/* The wrong one would give back frames that are none of ours. */
static const struct xen_mode *find_mode(void)
{
	if (file_says("/sys/hypervisor/guest_type", "PV\n"))
		return &xen_pv;
	if (file_says("/sys/hypervisor/guest_type", "PVH\n") ||
	    file_says("/sys/hypervisor/guest_type", "HVM\n"))
		return &xen_pvh;
	return NULL;
}

/* A number in a file of Xen's file system, which is text there. Return: 0 if it is anything else. */
static uint64_t hypfs_number(struct xen *x, const char *path)
{
	struct journal_batch *b = privcmd_batch_get(x->pc);
	const struct xen_hypfs_direntry *e = &b->hypfs.entry;
	char text[sizeof(b->hypfs.content) + 1] = "";
	unsigned long n;
	char *end;

	if (!privcmd_hypfs(x->pc, b, path) && e->type == XEN_HYPFS_TYPE_STRING &&
	    e->encoding == XEN_HYPFS_ENC_PLAIN && e->content_len < sizeof(text))
		memcpy(text, b->hypfs.content, e->content_len);
	privcmd_batch_put(x->pc, b);
	n = strtoul(text, &end, 10);
	return end == text || *end || n > UINT32_MAX ? 0 : n;
}

/*
 * Entries of 16 bytes. The parameter may be changed while Xen runs; what it was at the start holds for dom0,
 * and who changes it before we look is shown another limit than its own.
 */
#define MAPTRACK_PER_FRAME 256

static uint64_t maptrack_limit(struct xen *x)
{
	return hypfs_number(x, "/params/gnttab_max_maptrack_frames") * MAPTRACK_PER_FRAME;
}

int xen_start(const struct xen_mode *mode, int dirfd, struct lent *lent, struct hypervisor **out,
	      const char **why)
{
	struct xen *x = calloc(1, sizeof(*x));
	int err;

	*why = "no memory";
	if (!x)
		return -ENOMEM;
	x->mode = mode;
	x->journal_fd = -1;
	x->hv = (struct hypervisor){ &xen_ops, x->mode->name, x->mode->pages };
	err = start_journal(x, why);
	if (!err)
		err = privcmd_open(x->journal, &x->pc, why);
	if (!err)
		err = give_kept(x, lent, why);
	if (!err)
		err = bounce_new(&x->bounce, why);
	if (!err) {
		*why = "no memory";
		x->ports = ports_new();
		err = x->ports ? 0 : -ENOMEM;
	}
	if (!err)
		err = x->mode->init(x, dirfd, why);
	if (err) {
		xen_destroy(&x->hv);
		return err;
	}
	x->handle_max = maptrack_limit(x);
	*out = &x->hv;
	return 0;
}

int xen_new(int dirfd, struct lent *lent, struct hypervisor **out, const char **why)
{
	const struct xen_mode *mode = find_mode();

	if (mode)
		return xen_start(mode, dirfd, lent, out, why);
	*why = "/sys/hypervisor/guest_type says neither PV nor PVH nor HVM";
	return -ENOTSUP;
}
