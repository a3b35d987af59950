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
 * Windows in doubt: the rescan
 * ----------------------------
 *
 * Whether a window in doubt is still held is asked of /proc: a window is held if any process has a
 * descriptor or mapping of its name and inode. Doubt falls on a shared window at each close, and on
 * all windows when events were lost because the kernel's queue was full (IN_Q_OVERFLOW; a
 * client that dies with more than 16,384 windows is enough). From a lost event on, no window made
 * before is known not to be shared.
 *
 * /proc cannot be read at one instant. A holder that forks and ends at the wrong moment could be
 * missed: its child was born behind the place in the list that was reached, and the parent was
 * gone when its turn came. So a pass goes on until a list of all processes, during which none was
 * born, shows none that was not looked at. What was inherited was held from birth on, so a holder
 * cannot have been looked at without being seen to be one. On a machine where that moment does not
 * come a window is declared gone if PASSES passes in a row did not find it; otherwise it takes two,
 * as a process can move a mapping or descriptor behind the place that was reached. It is not judged
 * at all
 *
 *  - before window_delivered(): a descriptor on its way in a socket belongs to no process;
 *  - if it was delivered after the pass began;
 *  - while a process could hold it that we may not look into (no CAP_SYS_PTRACE, a security module):
 *    the client it was delivered to, and any process born after the window was made. Processes
 *    that are older can have got it only by SCM_RIGHTS, see below. If /proc hides processes
 *    (hidepid) nothing is judged. The log says so, and it is tried again every second;
 *  - if its client is not in our pid namespace: no pass can see that one, so its window's grants stay
 *    mapped until the daemon ends.
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
 *  - A client that keeps its own memory map locked (mmap of a file that it serves itself by FUSE)
 *    delays a rescan, and with it the ends behind it.
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "client/procmaps.h"
#include "table.h"
#include "report/trace.h"
#include "window/dir.h"
#include "window/impl.h"
#include "window/watch.h"

/* Reads before ends are reported, though more events wait: enough for the whole queue. */
#define READS_AT_ONCE 32
/*
 * After some events others follow soon: take them together, at the cost of this delay. A client that
 * maps and unmaps all the time would otherwise have the watcher run three times for each window.
 */
#define PAUSE_MS 4
/* While there are windows: openings wait for a close to be taken with, but no longer than this. */
#define OPENS_MS 200

/* Passes in a row that must have missed a window if processes are born too fast to see them all. */
#define PASSES 5
/* Two: a process that moves its mapping (mremap) or descriptor (dup2) during a pass can be missed. */
#define SURE_PASSES 2
/* Between passes: this, or twice what the pass took. */
#define SCAN_GAP_MS 5
/* While all windows in doubt are still to be delivered. */
#define SCAN_WAIT_MS 50
/* While processes cannot be looked into. */
#define SCAN_RETRY_MS 1000

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- which window -------------------------------------------------------------------------- */

static bool is_name(const char *s)
{
	struct window_name name;

	return window_name_parse(s, &name);
}

/* Under RCU. Return: the window of this name, live or being made; NULL. */
static struct window *window_get(const struct windows *w, const struct window_name *name)
{
	struct window *win = name->life == w->life ? ids_get(w->ids, name->id) : NULL;

	return win && win->name.index == name->index && win->name.count == name->count ? win : NULL;
}

struct window *window_of_file(const struct windows *w, const struct procmaps_file *file,
			      struct window_name *name)
{
	struct window *win;

	if (file->dev != w->dev || !window_name_parse(file->name, name))
		return NULL;
	win = window_get(w, name);
	if (!win || !__atomic_load_n(&win->live, __ATOMIC_ACQUIRE) || win->ino != file->ino)
		return NULL;
	return win;
}

/* --- the end of windows ---------------------------------------------------------------------- */

static void window_free(struct rcu_head *head)
{
	free(caa_container_of(head, struct window, rcu));
}

/* Take a live window out; its end is reported by report_ended(). Watcher. */
static void end_window(struct windows *w, struct window *win, uint64_t id)
{
	if (!ids_remove(w->ids, id))
		return;
	win->next = w->ended;
	w->ended = win;
}

/* Watcher; not under RCU. */
static void report_ended(struct windows *w)
{
	struct window *win;

	while ((win = w->ended)) {
		w->ended = win->next;
		win->user->gone(win->user);
		__atomic_fetch_sub(&w->live, 1, __ATOMIC_RELEASE);
		urcu_memb_call_rcu(&win->rcu, window_free);
	}
}

/* --- doubt ----------------------------------------------------------------------------------- */

/* Have a pass made in @ms, but not sooner than passes may follow each other. */
static void scan_in(struct windows *w, uint64_t ms)
{
	uint64_t when = now_ms() + ms;

	if (when < w->scan_gap)
		when = w->scan_gap;
	if (!w->scan_due || when < w->scan_due)
		w->scan_due = when;
}

static void cast_doubt(uint64_t id, void *obj, void *arg)
{
	struct window *win = obj;

	(void)id;
	(void)arg;
	win->doubt = true;
	win->shared = true;
}

static void doubt_all(struct windows *w)
{
	table_read_lock();
	ids_for_each(w->ids, cast_doubt, NULL);
	table_read_unlock();
}

/* Before a pass: which windows it can judge. */
static void mark_judged(uint64_t id, void *obj, void *arg)
{
	struct windows *w = arg;
	struct window *win = obj;

	(void)id;
	if (!win->doubt)
		return;
	w->in_doubt++;
	if (!__atomic_load_n(&win->live, __ATOMIC_ACQUIRE) ||
	    !__atomic_load_n(&win->delivered, __ATOMIC_ACQUIRE))
		return;
	win->judged = w->pass;
	w->judged++;
}

/**
 * struct scan - one pass
 * @blocked:  processes that we could not look into, @n_blocked of them
 * @youngest: when the youngest of them started; of all processes if there is no memory for a list
 * @sure:     every process was looked at
 * @spared:   windows that were not found, and not judged because of blocked processes
 */
struct scan {
	struct procmaps_visitor visitor;
	struct windows *w;
	pid_t *blocked;
	size_t n_blocked;
	uint64_t youngest;
	bool sure;
	uint64_t spared;
};

static struct scan *scan_of(struct procmaps_visitor *v)
{
	return caa_container_of(v, struct scan, visitor);
}

/* During a pass: some process holds this file. */
static void scan_found(struct procmaps_visitor *v, const struct procmaps_file *file)
{
	struct windows *w = scan_of(v)->w;
	struct window_name name;
	struct window *win;

	table_read_lock();
	win = window_of_file(w, file, &name);
	if (win)
		win->seen = w->pass;
	table_read_unlock();
}

/* During a pass: nobody knows what this process holds. */
static void scan_blocked(struct procmaps_visitor *v, pid_t pid, uint64_t start)
{
	struct scan *s = scan_of(v);
	pid_t *more = realloc(s->blocked, (s->n_blocked + 1) * sizeof(*more));

	if (!more)
		start = UINT64_MAX;
	else
		(s->blocked = more)[s->n_blocked++] = pid;
	if (start > s->youngest)
		s->youngest = start;
}

/* Whether a process that we cannot look into can hold the window. */
static bool maybe_hidden(const struct scan *s, const struct window *win)
{
	/* Its client is not of our pid namespace, and so may those be that it gave the window to. */
	if (!win->client || s->youngest >= win->born)
		return true;
	for (size_t i = 0; i < s->n_blocked; i++)
		if (s->blocked[i] == win->client)
			return true;
	return false;
}

/* After a pass. */
static void judge(uint64_t id, void *obj, void *arg)
{
	struct scan *s = arg;
	struct windows *w = s->w;
	struct window *win = obj;

	if (!win->doubt || win->judged != w->pass)
		return;
	if (win->seen == w->pass) {
		win->doubt = false;
		win->missed = 0;
		w->in_doubt--;
	} else if (maybe_hidden(s, win)) {
		s->spared++;
	} else if (++win->missed >= (s->sure ? SURE_PASSES : PASSES)) {
		end_window(w, win, id);
		w->in_doubt--;
	}
}

static void warn_unseen(struct windows *w, uint64_t n, const char *why)
{
	if (w->warned)
		return;
	w->warned = true;
	log_warn("%" PRIu64 " windows may have ended, but it cannot be seen: %s. Their grants stay "
		 "mapped. CAP_SYS_PTRACE and the whole of /proc are needed",
		 n, why);
}

/* Look for the holders of windows in doubt. Return: whether all that can be judged were. */
static bool look(struct windows *w)
{
	struct scan s = {
		.visitor = { .wanted = is_name, .found = scan_found, .blocked = scan_blocked },
		.w = w,
	};
	int seen = procmaps_walk(&s.visitor);

	if (seen >= 0) {
		s.sure = seen == 0;
		table_read_lock();
		ids_for_each(w->ids, judge, &s);
		table_read_unlock();
		if (s.spared)
			warn_unseen(w, s.spared, "not all processes can be looked into");
	} else {
		warn_unseen(w, w->judged, strerror(-seen));
	}
	free(s.blocked);
	return seen >= 0 && !s.spared;
}

/* One pass over all processes. */
static void scan(struct windows *w)
{
	uint64_t start = now_ms();
	bool all = true;

	w->pass++;
	w->in_doubt = 0;
	w->judged = 0;
	table_read_lock();
	ids_for_each(w->ids, mark_judged, w);
	table_read_unlock();
	if (w->judged)
		all = look(w);
	w->scan_due = 0;
	w->scan_gap = now_ms() + 2 * (now_ms() - start) + SCAN_GAP_MS;
	if (!all)
		scan_in(w, SCAN_RETRY_MS);
	else if (w->in_doubt)
		scan_in(w, w->judged ? 0 : SCAN_WAIT_MS);
}

/* --- events ---------------------------------------------------------------------------------- */

/* One of the window's open file descriptions has ended. Under RCU. */
static void closed(struct windows *w, struct window *win, uint64_t id)
{
	if (__atomic_load_n(&win->live, __ATOMIC_ACQUIRE) && !win->shared) {
		end_window(w, win, id);
		return;
	}
	win->doubt = true;
	scan_in(w, 0);
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
		win->unlinked = true;
	else if (mask & IN_OPEN)
		win->shared |= win->unlinked;
	else if (mask & IN_CLOSE)
		closed(w, win, name.id);
}

static void event(void *arg, uint32_t mask, const char *name)
{
	struct windows *w = arg;

	if (mask & IN_Q_OVERFLOW) {
		log_debug("the kernel has dropped events of windows: looking for their users");
		doubt_all(w);
		scan_in(w, 0);
	} else {
		table_read_lock();
		window_event(w, mask, name);
		table_read_unlock();
	}
}

/* Empty the queue before anything is done about what is in it: it fills up again meanwhile. */
static bool drain(struct windows *w)
{
	int reads = 0;

	while (reads < READS_AT_ONCE && window_watch_take(&w->watch, event, w))
		reads++;
	report_ended(w);
	return reads > 0;
}

/* Wait for the stop signal, and for events if @events, at most @ms. Return: whether to stop. */
static bool wait_events(struct windows *w, bool events, int ms)
{
	struct pollfd fds[] = {
		{ .fd = w->stop, .events = POLLIN },
		{ .fd = events ? w->watch.closes : -1, .events = POLLIN },
	};

	poll(fds, 2, ms);
	return fds[0].revents != 0;
}

static int ms_to_scan(const struct windows *w)
{
	uint64_t now = w->scan_due ? now_ms() : 0;

	if (!w->scan_due)
		return windows_count(w) ? OPENS_MS : -1;
	return w->scan_due > now ? (int)(w->scan_due - now) : 0;
}

static void *watcher(void *arg)
{
	struct windows *w = arg;

	table_thread_enter();
	while (!wait_events(w, true, ms_to_scan(w))) {
		bool any = drain(w);

		if (ms_to_scan(w) == 0) {
			scan(w);
			report_ended(w);
		}
		if (any && wait_events(w, false, PAUSE_MS))
			break;
	}
	table_thread_leave();
	return NULL;
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
	win->ino = st.st_ino;
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
	win = calloc(1, sizeof(*win));
	if (!win)
		return -ENOMEM;
	win->user = user;
	win->kind = kind;
	win->name.index = at->first << 12;
	win->name.count = (uint32_t)n;
	win->name.life = w->life;
	win->born = procmaps_now();
	win->info = (struct window_info){ .index = win->name.index,
					  .open_id = at->open_id,
					  .made = trace_now(),
					  .count = win->name.count,
					  .domid = grants[0].domid,
					  .readonly = at->readonly };
	win->name.id = ids_add(w->ids, win);
	if (!win->name.id) {
		free(win);
		return -ENOMEM;
	}
	__atomic_store_n(id, win->name.id, __ATOMIC_RELAXED);
	fd = open_window(w, hv, win, grants, n, at);
	if (fd < 0) {
		ids_remove(w->ids, win->name.id);
		urcu_memb_call_rcu(&win->rcu, window_free);
		return fd;
	}
	__atomic_fetch_add(&w->live, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&win->live, true, __ATOMIC_RELEASE);
	return fd;
}

void window_delivered(struct windows *w, uint64_t id, pid_t client)
{
	struct window *win;

	table_read_lock();
	win = ids_get(w->ids, id);
	if (win) {
		win->client = client;
		__atomic_store_n(&win->delivered, true, __ATOMIC_RELEASE);
	}
	table_read_unlock();
}

int window_find(struct windows *w, pid_t tid, uint64_t vaddr, enum window_kind kind,
		struct window_name *name)
{
	struct procmaps_file file;
	const struct window *win;
	int err = procmaps_at(tid, vaddr, &file);

	if (err)
		return err == -ENOENT ? -EINVAL : err;
	table_read_lock();
	win = window_of_file(w, &file, name);
	if (!win || win->kind != kind)
		err = -EINVAL;
	table_read_unlock();
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
	table_read_lock();
	win = window_get(w, name);
	found = win && __atomic_load_n(&win->live, __ATOMIC_ACQUIRE) && win->kind == kind;
	table_read_unlock();
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

static int open_directory(struct windows *w, const char **why)
{
	if (getrandom(&w->life, sizeof(w->life), 0) != sizeof(w->life)) {
		*why = "no random numbers to be had";
		return -EIO;
	}
	w->dirfd = window_dir_open(w->path, &w->dev, why);
	return w->dirfd < 0 ? w->dirfd : window_dir_try(w->dirfd, w->life, why);
}

static int open_watch(struct windows *w, const char **why)
{
	*why = "cannot watch the window directory (see fs.inotify.max_user_instances)";
	w->stop = eventfd(0, EFD_CLOEXEC);
	return w->stop < 0 ? -errno : window_watch_open(&w->watch, w->dirfd);
}

static void close_all(struct windows *w)
{
	window_watch_close(&w->watch);
	if (w->stop >= 0)
		close(w->stop);
	if (w->dirfd >= 0)
		close(w->dirfd);
	if (w->ids)
		ids_destroy(w->ids);
	free(w->path);
	free(w);
}

int windows_new(const char *dir, struct windows **out, const char **why)
{
	struct windows *w = calloc(1, sizeof(*w));
	int err;

	*why = "no memory";
	if (!w)
		return -ENOMEM;
	w->dirfd = w->stop = w->watch.closes = w->watch.opens = -1;
	w->path = strdup(dir);
	w->ids = ids_new();
	err = w->path && w->ids ? open_directory(w, why) : -ENOMEM;
	if (!err)
		err = open_watch(w, why);
	if (err) {
		close_all(w);
		return err;
	}
	*out = w;
	return 0;
}

int windows_start(struct windows *w)
{
	int err = pthread_create(&w->thread, NULL, watcher, w);

	w->started = !err;
	return -err;
}

static void end_any(uint64_t id, void *obj, void *arg)
{
	end_window(arg, obj, id);
}

void windows_end(struct windows *w)
{
	if (w->started) {
		eventfd_write(w->stop, 1);
		pthread_join(w->thread, NULL);
		w->started = false;
	}
	table_read_lock();
	ids_for_each(w->ids, end_any, w);
	table_read_unlock();
	report_ended(w);
	window_dir_clean(w->dirfd);
	rmdir(w->path);
}

void windows_destroy(struct windows *w)
{
	windows_end(w);
	urcu_memb_barrier();
	close_all(w);
}
