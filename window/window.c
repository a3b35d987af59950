/* SPDX-License-Identifier: MIT */
/*
 * window/window.c - the window directory: which windows clients hold, and when the last user has gone
 *
 * Who may see what
 * ----------------
 *
 * The directory is ours alone (mode 0700): no client can open anything in it by name. A client
 * holds what the daemon sent it, an open file description of its own, and what descends from
 * that: duplicates, mappings, those of forked children, and whoever it passes the descriptor to.
 * What can be seen through a descriptor is the hypervisor layer's affair (hypercall.h).
 *
 * A window is known by two things that the kernel reports together: the last component of its path,
 * which is its name, and device and inode of its file. The name holds a random number, so that
 * windows of a daemon that was killed are not taken for ours: their clients' closing them is
 * reported to us too if the directory is still the same. A client can name files as it likes and
 * can move a directory of its own over ours in a mount namespace of its own, but it has no file with
 * our inode number on our file system under such a name. Therefore the directory part of a path
 * is not looked at: it would add nothing, and what it says depends on who asks (mount namespaces,
 * a directory renamed by the administrator). That /proc reports the same numbers as stat(2)
 * is not so on every file system; windows_new() tries it.
 *
 * How the end of a window is noticed
 * ----------------------------------
 *
 * The entry is unlinked before window_make() returns, but the kernel goes on reporting events of
 * the opened file to a watch on the directory it was opened in, with its name. IN_CLOSE comes when
 * an open file description ends, that is when its last descriptor and its last mapping are gone:
 * munmap, exit, kill, the last forked child. That is the end of the window, if the description was
 * the only one. It need not be: root, or whoever has the daemon's user id (a debugger, a careless `grep -r /proc`), can open the file
 * once more through /proc/PID/fd or map_files, and closing that one means nothing. To unmap the
 * grants under a client that still has them would be the worst of mistakes, so IN_OPEN is watched
 * too (by a queue of its own, which nobody waits for: see window/watch.h). Ours comes before the IN_DELETE of the entry, any other one after (also, IN_DELETE keeps the
 * kernel from merging the two: it drops an event that equals the one before it). A window
 * that was opened again is "shared" from then on: the end of one description only casts doubt on it.
 *
 * What becomes of windows in doubt: window/scan.c.
 *
 * Guarantee: gone() is called once for each window; never while a process has it open or mapped,
 * within the limits below; and after the last user has gone always, at once in the ordinary case,
 * after a few passes in case of doubt (if we may look).
 *
 * Limits
 * ------
 *
 *  - A descriptor that a client has put into another socket (SCM_RIGHTS), registered with io_uring
 *    or hidden in another kernel object is invisible to a rescan, and so is one that it sent to a
 *    process that we may not look into. Without doubt (no overflow, not shared) the event
 *    is exact in these cases, too.
 *  - The end of a mapping does not end what the kernel does with its pages on a client's behalf: a
 *    client that has pinned them (io_uring fixed buffers, vmsplice) can still reach the pages
 *    of the file. The hypervisor layer must not put anybody else's grant there.
 *  - A process outside our pid namespace is not seen. What is judged is a window whose client is
 *    inside; if that has passed it on to the outside, it is taken for gone.
 *  - A process that moves its mapping or descriptor in the middle of each of two passes loses its
 *    window, and so may one that forks. A client that does nothing but fork and exit, thousands of times a second, may slip through all
 *    those passes. It loses its window: under Xen that ends its access, in the simulator it does
 *    not.
 *  - An entry that root opens by name between link and unlink, within microseconds, may be taken
 *    for our own opening.
 *  - A process that keeps its own memory map locked (mmap of a file that it serves itself by FUSE)
 *    is not seen into meanwhile: windows in doubt that it could hold wait for it, nothing else does.
 *  - Simulated windows are hard links of one file, so that a lease (F_SETLEASE) on the file would
 *    answer for all of them at once. No window has an inode of its own in this version, so leases
 *    are not used.
 *
 * Threads
 * -------
 *
 * The watcher alone removes live windows and decides on doubt; the fields it needs for that are its
 * own. A window is published in the id table before it is opened, since its events can come first;
 * until it is live, which is the last step of window_make(), only its maker removes it.
 */
#include "window/window.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/step.h"
#include "client/procmaps.h"
#include "window/dir.h"
#include "window/impl.h"
#include "window/watch.h"

/* Reads before ends are reported, though more events wait: enough for the whole queue. */
#define READS_AT_ONCE 32
/* Ends that are reported before it is looked whether other clients' windows have ended, too. */
#define ENDS_AT_ONCE 32
/*
 * After some events others follow soon: take them together, at the cost of this delay. A client that
 * maps and unmaps all the time would otherwise have the watcher run three times for each window.
 */
#define PAUSE_MS 4
/* While there are windows: openings wait for a close to be taken with, but no longer than this. */
#define OPENS_MS 200
/* Cells, where nothing has to last. */
#define RECORDS_OWN (1U << 20)

/* --- the end of windows ---------------------------------------------------------------------- */

/* Report @max windows that have ended. Watcher; not under RCU. */
static void report_ended(struct windows *w, uint64_t max)
{
	struct window *win;

	while (max-- && (win = window_next_ended(w))) {
		win->user->gone(win->user);
		step(window_gone);
		__atomic_fetch_sub(&w->live, 1, __ATOMIC_RELEASE);
		__atomic_fetch_add(&w->ends, 1, __ATOMIC_RELEASE);
		window_drop(win);
	}
}

/* --- events ---------------------------------------------------------------------------------- */

/* One of the window's open file descriptions has ended. Under RCU. */
static void closed(struct windows *w, struct window *win, uint64_t id)
{
	if (window_is(win, WINDOW_LIVE) && !window_is(win, WINDOW_SHARED)) {
		window_end(w, win, id);
		return;
	}
	window_scan_doubt(win);
	window_scan_in(w, 0);
}

/* Under RCU. */
static void window_event(struct windows *w, uint32_t mask, const char *s)
{
	struct window_name name;
	struct window *win;

	if (!window_name_parse(s, &name))
		return;
	win = window_get(w, &name);
	if (!win)
		return;
	if (mask & IN_DELETE)
		window_set(win, WINDOW_UNLINKED);
	else if (mask & IN_OPEN && window_is(win, WINDOW_UNLINKED))
		window_set(win, WINDOW_SHARED);
	else if (mask & IN_CLOSE)
		closed(w, win, name.id);
}

static void event(void *arg, uint32_t mask, const char *name)
{
	struct windows *w = arg;

	if (mask & IN_Q_OVERFLOW) {
		log_debug("the kernel has dropped events of windows: looking for their users");
		window_scan_all(w, mask & IN_OPEN);
		window_scan_in(w, 0);
	} else {
		rcu_read_enter();
		window_event(w, mask, name);
		rcu_read_leave();
	}
}

/* Empty the queue before anything is done about what is in it: it fills up again meanwhile. */
static bool drain(struct windows *w)
{
	bool any = false, more = true;

	for (int reads = 0; more && reads < READS_AT_ONCE; reads++)
		any |= window_watch_take(&w->watch, &more, event, w);
	return any;
}

/* Wait for the stop signal, and for events if @events, at most @ms. Return: whether to stop. */
static bool wait_events(struct windows *w, bool events, int ms)
{
	struct pollfd fds[] = {
		{ .fd = w->stop, .events = POLLIN },
		{ .fd = w->scanned, .events = POLLIN },
		{ .fd = events ? w->watch.closes : -1, .events = POLLIN },
	};

	poll(fds, 3, ms);
	return fds[0].revents != 0;
}

/* How long the watcher may wait for events, ms; -1: for ever. */
static int ms_to_wait(const struct windows *w)
{
	int scan = window_scan_wait(w);

	if (w->n_ended)
		return 0;
	return scan < 0 && windows_count(w) ? OPENS_MS : scan;
}

static void *watcher(void *arg)
{
	struct windows *w = arg;

	rcu_thread_enter();
	while (!wait_events(w, true, ms_to_wait(w))) {
		bool any;

		/* Before they are taken out of the kernel's queue: see windows_end_since(). */
		__atomic_store_n(&w->at_work, true, __ATOMIC_SEQ_CST);
		any = drain(w);
		window_scan_step(w);
		report_ended(w, ENDS_AT_ONCE);
		__atomic_store_n(&w->at_work, w->n_ended != 0, __ATOMIC_SEQ_CST);
		if (any && !w->n_ended && wait_events(w, false, PAUSE_MS))
			break;
	}
	rcu_thread_leave();
	return NULL;
}

uint64_t windows_ended(const struct windows *w)
{
	return __atomic_load_n(&w->ends, __ATOMIC_ACQUIRE);
}

/* What is not in the queue any more is in the watcher's hands: in this order, none is missed. */
bool windows_end_since(const struct windows *w, uint64_t ended)
{
	int bytes = 0;

	return (ioctl(w->watch.closes, FIONREAD, &bytes) == 0 && bytes > 0) ||
	       __atomic_load_n(&w->at_work, __ATOMIC_SEQ_CST) || windows_ended(w) != ended;
}

/* --- making windows -------------------------------------------------------------------------- */

static int open_window(struct windows *w, struct hypervisor *hv, struct window *win,
		       const struct hv_grant *grants, size_t n, const struct hv_place *at)
{
	char name[WINDOW_NAME_SIZE];
	struct stat st;
	int fd, err = 0;

	window_name_format(&win->name, name);
	fd = hv->ops->window_open(hv, w->dirfd, name, grants, n, at);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		err = -errno;
	else if (st.st_dev != w->dev)
		err = -EXDEV;
	if (err) {
		close(fd);
		return err;
	}
	win->last->ino = st.st_ino;
	return fd;
}

int window_make(struct windows *w, struct hypervisor *hv, enum window_kind kind,
		const struct hv_grant *grants, size_t n, const struct hv_place *at,
		struct window_user *user, uint64_t *id)
{
	struct window *win;
	int fd;

	if (!n || n > UINT32_MAX)
		return -EINVAL;
	win = window_new(w, kind, grants, n, at, user);
	if (!win)
		return -ENOMEM;
	__atomic_store_n(id, win->name.id, __ATOMIC_RELAXED);
	fd = open_window(w, hv, win, grants, n, at);
	if (fd < 0) {
		ids_retire(w->ids, win->name.id);
		window_drop(win);
		return fd;
	}
	__atomic_fetch_add(&w->live, 1, __ATOMIC_RELAXED);
	window_set(win, WINDOW_LIVE);
	step(window_live);
	return fd;
}

int window_find(struct windows *w, pid_t tid, uint64_t vaddr, enum window_kind kind,
		struct window_name *name)
{
	struct procmaps_file file;
	const struct window *win;
	int err = procmaps_at(tid, vaddr, &file);

	if (err)
		return err == -ENOENT ? -EINVAL : err;
	rcu_read_enter();
	win = window_of_file(w, &file, name);
	if (!win || window_kind(win) != kind)
		err = -EINVAL;
	rcu_read_leave();
	return err;
}

int window_find_exact(struct windows *w, pid_t tid, uint64_t vaddr, uint32_t count,
		      enum window_kind kind, struct window_name *name)
{
	struct procmaps_file file;
	const struct window *win;
	bool found;

	if (!procmaps_exact(tid, vaddr, vaddr + ((uint64_t)count << 12), &file) ||
	    !window_name_parse(file.name, name))
		return -EINVAL;
	rcu_read_enter();
	win = window_get(w, name);
	found = win && window_is(win, WINDOW_LIVE) && window_kind(win) == kind;
	rcu_read_leave();
	return found && name->count == count ? 0 : -EINVAL;
}

uint64_t windows_count(const struct windows *w)
{
	return __atomic_load_n(&w->live, __ATOMIC_ACQUIRE);
}

int windows_dirfd(const struct windows *w)
{
	return w->dirfd;
}

/* --- the whole ------------------------------------------------------------------------------ */

/* The life of a directory begins. */
static int begin_life(struct windows *w, uint64_t *last, const char **why)
{
	if (getrandom(&w->life, sizeof(w->life), 0) != sizeof(w->life)) {
		*why = "no random numbers to be had";
		return -EIO;
	}
	if (last)
		*last = w->life;
	return 0;
}

static int open_directory(struct windows *w, const struct windows_keep *keep, const char **why)
{
	int err = begin_life(w, keep->life, why);

	if (err)
		return err;
	w->dirfd = window_dir_open(w->path, &w->dev, why);
	return w->dirfd < 0 ? w->dirfd : window_dir_try(w->dirfd, w->life, why);
}

static int open_signals(struct windows *w, const char **why)
{
	*why = "cannot watch the window directory (see fs.inotify.max_user_instances)";
	w->stop = eventfd(0, EFD_CLOEXEC);
	w->scanned = eventfd(0, EFD_CLOEXEC);
	return w->stop < 0 || w->scanned < 0 ? -errno : 0;
}

/* Where there is no predecessor. */
static int begin_anew(struct windows *w, const struct windows_keep *keep, const char **why)
{
	int err = open_directory(w, keep, why);

	if (!err)
		err = open_signals(w, why);
	if (!err)
		err = window_watch_open(&w->watch, w->dirfd);
	if (!err)
		ids_last(w->ids, &w->watch.hand->generations);
	return err;
}

/* What has happened meanwhile is known before anybody asks. */
static int adopt(struct windows *w, const struct windows_keep *keep, const char **why)
{
	int err = window_watch_adopt(&w->watch, keep->closes, keep->opens, keep->hand);
	bool more = true;

	w->life = *keep->life;
	w->dirfd = keep->dir;
	w->adopting = true;
	if (!err)
		err = open_signals(w, why);
	*why = "what the last daemon left of its windows is damaged";
	if (!err)
		err = window_dir_adopt(w->dirfd, &w->dev, w->life);
	if (err)
		return err;
	ids_last(w->ids, &w->watch.hand->generations);
	err = windows_restore(w);
	while (!err && more)
		window_watch_take(&w->watch, &more, event, w);
	return err;
}

static void close_all(struct windows *w)
{
	window_watch_close(&w->watch);
	if (w->stop >= 0)
		close(w->stop);
	if (w->scanned >= 0)
		close(w->scanned);
	if (w->dirfd >= 0)
		close(w->dirfd);
	if (w->ids)
		ids_destroy(w->ids);
	records_close(w->own_records);
	free(w->path);
	free(w);
}

static void free_any(uint64_t id, void *obj, void *arg)
{
	(void)id;
	(void)arg;
	free(obj);
}

/* Our own memory and descriptors, and nothing that lasts. Nobody can see a window any more. */
static void discard(struct windows *w)
{
	struct window *win;

	while ((win = window_next_ended(w)))
		free(win);
	if (w->ids)
		ids_for_each(w->ids, free_any, NULL);
	close_all(w);
}

static int use_records(struct windows *w, const struct windows_keep *keep)
{
	int err = keep->records ? 0 : records_new(RECORDS_OWN, &w->own_records);

	w->records = keep->records ? keep->records : w->own_records;
	return err;
}

int windows_new(const char *dir, const struct windows_keep *keep, struct windows **out,
		const char **why)
{
	static const struct windows_keep nothing = {
		.dir = -1, .closes = -1, .opens = -1, .hand = -1
	};
	struct windows *w = calloc(1, sizeof(*w));
	int err;

	*why = "no memory";
	if (!w)
		return -ENOMEM;
	keep = keep ? keep : &nothing;
	w->dirfd = w->stop = w->scanned = w->watch.closes = w->watch.opens = -1;
	w->path = strdup(dir);
	w->ids = ids_new();
	err = w->path && w->ids ? use_records(w, keep) : -ENOMEM;
	if (!err)
		err = keep->dir < 0 ? begin_anew(w, keep, why) : adopt(w, keep, why);
	if (err)
		discard(w);
	else
		*out = w;
	return err;
}

void windows_kept(const struct windows *w, struct windows_keep *keep)
{
	keep->dir = w->dirfd;
	keep->closes = w->watch.closes;
	keep->opens = w->watch.opens;
	keep->hand = w->watch.mem.fd;
}

int windows_start(struct windows *w)
{
	int err = pthread_create(&w->thread, NULL, watcher, w);

	w->started = !err;
	return -err;
}

static void end_any(uint64_t id, void *obj, void *arg)
{
	window_end(arg, obj, id);
}

static void stop(struct windows *w)
{
	if (w->started) {
		eventfd_write(w->stop, 1);
		pthread_join(w->thread, NULL);
		w->started = false;
	}
	window_scan_stop(w);
}

void windows_end(struct windows *w)
{
	stop(w);
	rcu_read_enter();
	ids_for_each(w->ids, end_any, w);
	rcu_read_leave();
	report_ended(w, UINT64_MAX);
	window_dir_clean(w->dirfd);
	rmdir(w->path);
}

void windows_destroy(struct windows *w)
{
	windows_end(w);
	rcu_wait_for_calls();
	close_all(w);
}

void windows_leave(struct windows *w)
{
	stop(w);
	rcu_wait_for_calls();
	discard(w);
}
