/* SPDX-License-Identifier: MIT */
/*
 * window/scan.c - windows in doubt: the rescan
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
 *    that are older can have got it only by SCM_RIGHTS, see window/window.c. If /proc hides processes
 *    (hidepid) nothing is judged. The log says so, and it is tried again every second;
 *  - if its client is not in our pid namespace: no pass can see that one, so its window's grants stay
 *    mapped until the daemon ends.
 */
#include "window/impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rcu.h"
#include "client/procmaps.h"

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

static bool is_name(const char *s)
{
	struct window_name name;

	return window_name_parse(s, &name);
}

void window_scan_in(struct windows *w, uint64_t ms)
{
	uint64_t when = clock_coarse_ms() + ms;

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

void window_scan_all(struct windows *w)
{
	rcu_read_enter();
	ids_for_each(w->ids, cast_doubt, NULL);
	rcu_read_leave();
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

	rcu_read_enter();
	win = window_of_file(w, file, &name);
	if (win)
		win->seen = w->pass;
	rcu_read_leave();
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
		rcu_read_enter();
		ids_for_each(w->ids, judge, &s);
		rcu_read_leave();
		if (s.spared)
			warn_unseen(w, s.spared, "not all processes can be looked into");
	} else {
		warn_unseen(w, w->judged, strerror(-seen));
	}
	free(s.blocked);
	return seen >= 0 && !s.spared;
}

void window_scan(struct windows *w)
{
	uint64_t start = clock_coarse_ms();
	bool all = true;

	w->pass++;
	w->in_doubt = 0;
	w->judged = 0;
	rcu_read_enter();
	ids_for_each(w->ids, mark_judged, w);
	rcu_read_leave();
	if (w->judged)
		all = look(w);
	w->scan_due = 0;
	w->scan_gap = clock_coarse_ms() + 2 * (clock_coarse_ms() - start) + SCAN_GAP_MS;
	if (!all)
		window_scan_in(w, SCAN_RETRY_MS);
	else if (w->in_doubt)
		window_scan_in(w, w->judged ? 0 : SCAN_WAIT_MS);
}
