/* SPDX-License-Identifier: MIT */
/*
 * window/scan.c - windows in doubt: the rescan
 *
 * Whether a window in doubt is still held is asked of /proc: a window is held if any process has a
 * descriptor or mapping of its name and inode. Doubt falls on a shared window at each close, and on
 * all windows when events were lost because the kernel's queue was full (IN_Q_OVERFLOW; a
 * client that dies with more than 16,384 windows is enough). If openings were lost, no window made
 * before is known not to be shared. They have a queue of their own, so that closes without number do
 * not bring that about.
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
 *  - before window_delivered(): a descriptor on its way in a socket belongs to no process. (If the daemon was killed while it was
 *    under way: before its client has gone or is seen to wait for no answer, or a pass has found it);
 *  - if it was delivered after the pass began;
 *  - while a process could hold it that we may not look into (no CAP_SYS_PTRACE, a security module):
 *    the client it was delivered to, and any process born after the window was made. Processes
 *    that are older can have got it only by SCM_RIGHTS, see window/window.c. If /proc hides processes
 *    (hidepid) nothing is judged. The log says so, and it is tried again every second. So it is
 *    with processes that make us wait for their mappings (client/procwalk.h);
 *  - if its client is not in our pid namespace: no pass can see that one, so its window's grants stay
 *    mapped until the daemon ends.
 *
 * A pass is made by a thread of its own. It tells which windows it has found (@seen), and the watcher, who goes
 * on meanwhile, judges when it is over. A window that falls into doubt meanwhile waits for the next pass.
 */
#include "window/impl.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rcu.h"
#include "client/masked.h"
#include "client/procwalk.h"

/* Passes in a row that must have missed a window if processes are born too fast to see them all. */
#define PASSES 5
/* Two: a process that moves its mapping (mremap) or descriptor (dup2) during a pass can be missed. */
#define SURE_PASSES 2
/* Between passes: this, or twice what the pass took. */
#define SCAN_GAP_MS 5
/* While all windows in doubt are still to be delivered. */
#define SCAN_WAIT_MS 50
/*
 * Whoever has a reply that a predecessor sent has had the time to receive it, if it is no preload object, whose exchange shows; how
 * long a look at that counts, ms.
 */
#define ARRIVAL_MS 5000
#define LOOK_MS	   10
/* While processes cannot be looked into. */
#define SCAN_RETRY_MS 1000

/**
 * struct window_scan - one pass
 * @w, @pass: whose, and which
 * @sure:    procwalk() has looked at every process, or reported it; its @result
 * @blocked: processes that could not be looked into, @n_blocked of them
 * @youngest: when the youngest of them started; of all processes if there is no memory for a list
 * @late:    the last one that made us wait, 0: none
 * @spared:  windows that were not found, and not judged because of blocked processes
 * @start:   when it began, ms
 */
struct window_scan {
	struct procwalk_visitor visitor;
	struct windows *w;
	uint32_t pass;
	pthread_t thread;
	int result;
	pid_t *blocked;
	size_t n_blocked;
	uint64_t youngest;
	pid_t late;
	uint64_t spared;
	uint64_t start;
};

/* --- doubt -------------------------------------------------------------------------------------- */

void window_scan_in(struct windows *w, uint64_t ms)
{
	uint64_t when = clock_coarse_ms() + ms;

	if (when < w->scan_gap)
		when = w->scan_gap;
	if (!w->scan_due || when < w->scan_due)
		w->scan_due = when;
}

int window_scan_wait(const struct windows *w)
{
	uint64_t now;

	if (!w->scan_due || w->scan)
		return -1;
	now = clock_coarse_ms();
	return w->scan_due > now ? (int)(w->scan_due - now) : 0;
}

void window_scan_doubt(struct window *win)
{
	window_set(win, WINDOW_DOUBT);
	win->judged = 0;
}

static void doubt_closed(uint64_t id, void *obj, void *arg)
{
	(void)id;
	(void)arg;
	window_scan_doubt(obj);
}

static void doubt_shared(uint64_t id, void *obj, void *arg)
{
	struct window *win = obj;

	(void)id;
	(void)arg;
	window_set(win, WINDOW_SHARED);
	window_scan_doubt(win);
}

void window_scan_all(struct windows *w, bool opens)
{
	rcu_read_enter();
	ids_for_each(w->ids, opens ? doubt_shared : doubt_closed, NULL);
	rcu_read_leave();
}

/* --- a pass: on its thread, and those of procwalk() --------------------------------------------- */

static struct window_scan *scan_of(struct procwalk_visitor *v)
{
	return caa_container_of(v, struct window_scan, visitor);
}

static bool is_name(const char *s)
{
	struct window_name name;

	return window_name_parse(s, &name);
}

/* Some process holds this file. */
static void scan_found(struct procwalk_visitor *v, pid_t pid, const struct procmaps_file *file)
{
	const struct window_scan *s = scan_of(v);
	struct window_name name;
	struct window *win;

	(void)pid;
	rcu_read_enter();
	win = window_of_file(s->w, file, &name);
	if (win) {
		__atomic_store_n(&win->seen, s->pass, __ATOMIC_RELAXED);
		if (win->adopted)
			window_set(win, WINDOW_DELIVERED);
	}
	rcu_read_leave();
}

/* Nobody knows what this process holds. */
static void scan_blocked(struct procwalk_visitor *v, pid_t pid, uint64_t start, bool late)
{
	struct window_scan *s = scan_of(v);
	pid_t *more = realloc(s->blocked, (s->n_blocked + 1) * sizeof(*more));

	if (!more)
		start = UINT64_MAX;
	else
		(s->blocked = more)[s->n_blocked++] = pid;
	if (start > s->youngest)
		s->youngest = start;
	if (late)
		s->late = pid;
}

static void *make_pass(void *arg)
{
	struct window_scan *s = arg;

	rcu_thread_enter();
	s->result = procwalk(&s->visitor);
	rcu_thread_leave();
	eventfd_write(s->w->scanned, 1);
	return NULL;
}

/* --- before and after a pass: the watcher ------------------------------------------------------- */

/*
 * Whose reply a predecessor has sent nobody sees arrive any more. It has, or never will, when its client has gone or
 * is in no exchange with a daemon any more; or when a pass has found the window in a process.
 */
static bool has_arrived(struct windows *w, const struct window *win)
{
	pid_t client = win->last->client;
	uint64_t now = clock_coarse_ms();

	if (!win->adopted || !client || now - w->adopted < ARRIVAL_MS)
		return false;
	/* Many windows in a row are one client's. */
	if (client != w->looked_at || now - w->looked > LOOK_MS) {
		w->looked_at = client;
		w->looked = now;
		w->waits = masked_any(client);
	}
	return !w->waits;
}

static bool is_delivered(struct windows *w, struct window *win)
{
	if (!window_is(win, WINDOW_DELIVERED) && has_arrived(w, win))
		window_set(win, WINDOW_DELIVERED);
	return window_is(win, WINDOW_DELIVERED);
}

/* Which windows it can judge. */
static void mark_judged(uint64_t id, void *obj, void *arg)
{
	struct windows *w = arg;
	struct window *win = obj;

	(void)id;
	if (!window_is(win, WINDOW_DOUBT))
		return;
	w->in_doubt++;
	if (!window_is(win, WINDOW_LIVE) || !is_delivered(w, win))
		return;
	win->judged = w->pass;
	w->judged++;
}

/* Whether a process that we cannot look into can hold the window. */
static bool maybe_hidden(const struct window_scan *s, const struct window *win)
{
	/* Its client is not of our pid namespace, and so may those be that it gave the window to. */
	if (!win->last->client || s->youngest >= win->last->born)
		return true;
	for (size_t i = 0; i < s->n_blocked; i++)
		if (s->blocked[i] == win->last->client)
			return true;
	return false;
}

static void judge(uint64_t id, void *obj, void *arg)
{
	struct window_scan *s = arg;
	struct windows *w = s->w;
	struct window *win = obj;

	if (!window_is(win, WINDOW_DOUBT))
		return;
	w->in_doubt++;
	if (win->judged != s->pass)
		return;
	if (__atomic_load_n(&win->seen, __ATOMIC_RELAXED) == s->pass) {
		window_clear(win, WINDOW_DOUBT);
		win->missed = 0;
		w->in_doubt--;
	} else if (maybe_hidden(s, win)) {
		s->spared++;
	} else if (++win->missed >= (s->result == 0 ? SURE_PASSES : PASSES)) {
		window_end(w, win, id);
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

static void warn_late(struct windows *w, const struct window_scan *s)
{
	if (w->warned)
		return;
	w->warned = true;
	log_warn("%" PRIu64 " windows may have ended, but it cannot be seen: process %d keeps its "
		 "memory map locked. Their grants stay mapped until it lets go or ends",
		 s->spared, (int)s->late);
}

static void warn_spared(struct windows *w, const struct window_scan *s)
{
	if (s->late)
		warn_late(w, s);
	else
		warn_unseen(w, s->spared, "not all processes can be looked into");
}

static void begin(struct windows *w)
{
	struct window_scan *s = calloc(1, sizeof(*s));

	w->scan_due = 0;
	w->pass++;
	w->in_doubt = 0;
	w->judged = 0;
	rcu_read_enter();
	ids_for_each(w->ids, mark_judged, w);
	rcu_read_leave();
	if (s && w->judged) {
		s->visitor = (struct procwalk_visitor){ .wanted = is_name,
							.found = scan_found,
							.blocked = scan_blocked };
		s->w = w;
		s->pass = w->pass;
		s->start = clock_coarse_ms();
		if (!pthread_create(&s->thread, NULL, make_pass, s)) {
			w->scan = s;
			return;
		}
	}
	free(s);
	if (w->in_doubt)
		window_scan_in(w, w->judged ? SCAN_RETRY_MS : SCAN_WAIT_MS);
}

/* It is over. Return: it, to be freed. */
static struct window_scan *take(struct windows *w)
{
	struct window_scan *s = w->scan;
	eventfd_t n;

	pthread_join(s->thread, NULL);
	eventfd_read(w->scanned, &n);
	w->scan = NULL;
	return s;
}

static void scan_free(struct window_scan *s)
{
	free(s->blocked);
	free(s);
}

static void finish(struct windows *w)
{
	struct window_scan *s = take(w);
	uint64_t now = clock_coarse_ms();

	w->in_doubt = 0;
	w->scan_gap = now + 2 * (now - s->start) + SCAN_GAP_MS;
	if (s->result < 0) {
		warn_unseen(w, w->judged, strerror(-s->result));
		window_scan_in(w, SCAN_RETRY_MS);
	} else {
		rcu_read_enter();
		ids_for_each(w->ids, judge, s);
		rcu_read_leave();
		if (s->spared)
			warn_spared(w, s);
		if (w->in_doubt)
			window_scan_in(w, s->spared ? SCAN_RETRY_MS : 0);
	}
	scan_free(s);
}

void window_scan_step(struct windows *w)
{
	struct pollfd p = { .fd = w->scanned, .events = POLLIN };

	if (w->scan && poll(&p, 1, 0) == 1)
		finish(w);
	if (window_scan_wait(w) == 0)
		begin(w);
}

void window_scan_stop(struct windows *w)
{
	if (!w->scan)
		return;
	__atomic_store_n(&w->scan->visitor.stop, true, __ATOMIC_RELAXED);
	scan_free(take(w));
}
