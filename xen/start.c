/* SPDX-License-Identifier: MIT */
/*
 * xen/start.c - whether there is a Xen, and how the layer begins: anew, or with what a predecessor has left
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

#include "state/lent.h"
#include "xen/layer.h"

/* Pages of the journal that Xen writes to. */
#define BATCH_PAGES (sizeof(((struct journal *)0)->batch) / 4096)

/* --- is it there? ------------------------------------------------------------------------------- */

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

/* --- what lasts --------------------------------------------------------------------------------- */

static void ring_name(unsigned int i, char name[KEEP_NAME])
{
	snprintf(name, KEEP_NAME, "ring.%u", i);
}

static int adopt_journal(struct xen *x, struct lent *lent, const char **why)
{
	*why = "the keeper has no journal of what is mapped";
	x->journal_fd = lent_take(lent, "journal");
	if (x->journal_fd < 0)
		return x->journal_fd;
	*why = "the journal of what is mapped is damaged, or that of another kind of dom0";
	x->journal = journal_adopt(x->journal_fd);
	if (!x->journal)
		return -errno;
	return (bool)x->journal->translated == x->mode->translated ? 0 : -EINVAL;
}

/* The journal, resident; and those that need it. */
static int start_journal(struct xen *x, struct lent *lent, bool adopting, const char **why)
{
	int err = adopting ? adopt_journal(x, lent, why) : 0;

	if (err)
		return err;
	*why = "no memory";
	if (!adopting)
		x->journal = journal_new(x->mode->translated, &x->journal_fd);
	x->of_slot = mmap(NULL, JOURNAL_SLOTS * sizeof(struct xen_window *), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (x->of_slot == MAP_FAILED)
		x->of_slot = NULL;
	x->slots = x->journal ? journal_slots_new(x->journal) : NULL;
	if (!x->journal || !x->of_slot || !x->slots)
		return -ENOMEM;
	*why = "cannot lock memory (CAP_IPC_LOCK, or a higher limit of locked memory)";
	return journal_lock(x->journal);
}

static int new_pins(struct xen *x, const char **why)
{
	int err = pins_new(&x->pins, why);

	if (err)
		return err;
	*why = "cannot pin memory by an io_uring";
	err = pins_add(x->pins, x->journal->batch, BATCH_PAGES, &x->journal_pin, NULL);
	if (!err)
		x->journal->pin = x->journal_pin;
	return err;
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
	if (!err)
		*why = "the keeper cannot take a ring that pins memory (it needs Yama's "
		       "ptrace_scope below 3)";
	for (unsigned int i = 0; !err && i < PINS_FDS; i++) {
		ring_name(i, name);
		err = lent_give(lent, name, rings[i]);
	}
	return err;
}

/* Everything that a predecessor has mapped, and its pins. */
static int adopt_kept(struct xen *x, struct lent *lent, const char **why)
{
	int rings[PINS_FDS], err;
	char name[KEEP_NAME];

	*why = "the journal of what is mapped is damaged";
	err = xen_adopt_windows(x);
	if (err)
		return err;
	*why = "the keeper does not lend a ring that pins memory (it needs Yama's ptrace_scope "
	       "below 3)";
	for (unsigned int i = 0; i < PINS_FDS; i++) {
		ring_name(i, name);
		rings[i] = lent_take(lent, name);
		if (rings[i] >= 0)
			continue;
		err = rings[i];
		while (i-- > 0)
			close(rings[i]);
		return err;
	}
	return xen_adopt_pins(x, rings, why);
}

/* --- start -------------------------------------------------------------------------------------- */

static int start_parts(struct xen *x, int dirfd, const char **why)
{
	int err = bounce_new(&x->bounce, why);

	if (err)
		return err;
	*why = "no memory";
	x->ports = ports_new();
	return x->ports ? x->mode->init(x, dirfd, why) : -ENOMEM;
}

int xen_start(const struct xen_mode *mode, int dirfd, struct lent *lent, struct hypervisor **out,
	      const char **why)
{
	struct xen *x = calloc(1, sizeof(*x));
	bool adopting;
	int err;

	*why = "no memory";
	if (!x)
		return -ENOMEM;
	x->mode = mode;
	x->journal_fd = -1;
	x->lent = lent;
	x->adopting = adopting = lent && lent_adopting(lent);
	x->hv = (struct hypervisor){ &xen_ops, x->mode->name, x->mode->pages };
	err = start_journal(x, lent, adopting, why);
	if (!err && !adopting)
		err = new_pins(x, why);
	if (!err)
		err = privcmd_open(x->journal, &x->pc, why);
	if (!err && !adopting)
		err = give_kept(x, lent, why);
	if (!err)
		err = start_parts(x, dirfd, why);
	if (!err && adopting)
		err = adopt_kept(x, lent, why);
	if (err) {
		xen_ops.destroy(&x->hv);
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
