/* SPDX-License-Identifier: MIT */
/*
 * window/impl.h - what is kept of windows: for window/window.c, scan.c and list.c
 */
#ifndef WINDOW_IMPL_H
#define WINDOW_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ids.h"
#include "base/rcu.h"
#include "client/procmaps.h"
#include "window/lasting.h"
#include "window/window.h"
#include "window/watch.h"

/**
 * struct window - from window_make() until its end
 * @user, @name: constant once it is live
 * @w:       whose it is
 * @record:  what lasts of it, which is @last; ended a grace period after the window
 * @made:    trace_now()
 * @adopted: a predecessor has made it
 *
 * The rest is the watcher's, as are the bits WINDOW_UNLINKED to WINDOW_ENDED of @last:
 * @judged:  the last pass that it can be judged by; 0: none, it fell into doubt after that began
 * @seen:    the last pass that found it (atomic: written by whoever makes the pass)
 * @missed:  passes in a row that did not find it
 * @next:    in a queue of windows that have ended
 */
struct window {
	struct rcu_head rcu;
	struct windows *w;
	struct window_user *user;
	struct window_name name;
	uint32_t record;
	struct window_lasting *last;
	uint64_t made;
	bool adopted;
	uint8_t missed;
	uint32_t judged;
	uint32_t seen;
	struct window *next;
};

static inline bool window_is(const struct window *win, uint32_t what)
{
	return __atomic_load_n(&win->last->state, __ATOMIC_ACQUIRE) & what;
}

static inline void window_set(struct window *win, uint32_t what)
{
	__atomic_fetch_or(&win->last->state, what, __ATOMIC_ACQ_REL);
}

static inline void window_clear(struct window *win, uint32_t what)
{
	__atomic_fetch_and(&win->last->state, ~what, __ATOMIC_ACQ_REL);
}

static inline enum window_kind window_kind(const struct window *win)
{
	return window_is(win, WINDOW_GNTALLOC) ? WINDOW_OF_GNTALLOC : WINDOW_OF_GNTDEV;
}

/* Of windows that have ended: those of an open share one, so that one open's do not keep others' waiting. */
#define WINDOW_QUEUES 64

struct window_queue {
	struct window *first;
	struct window *last;
};

/**
 * struct windows - the directory
 * @dev:      its file system
 * @life:     in the names of all windows, see struct window_name
 * @records:  where they last; @own_records: the same if they are ours, and last no longer than we
 * @adopting: ends are noted, and wait for windows_adopted(); @adopted: when that was, ms
 * @ids:      the windows
 * @live:     how many (atomic)
 * @watch:    what happens in the directory
 * @stop:     eventfd that ends the watcher
 * @ends:     windows whose end has been reported (atomic)
 * @at_work:  events have been taken whose ends may not have been reported yet (atomic)
 *
 * The rest is the watcher's:
 * @ended:    windows that have ended and are to be reported, @n_ended in all; @turn: whose turn it is
 * @warned:   the log has told that /proc cannot be read
 * @scan:     the pass that is being made, or NULL; @scanned: eventfd that tells that it is over
 * @scan_due: when the next pass is to be made, ms; 0: none
 * @scan_gap: when it may be made at the earliest
 * @pass:     number of the last one; they count from 1
 * @looked_at: client that was looked at last, @looked: when, ms; @waits: a reply may be on its way to it
 * @in_doubt: windows that it left in doubt; @judged: windows that it could judge
 */
struct windows {
	char *path;
	int dirfd;
	struct window_watch watch;
	int stop;
	dev_t dev;
	uint64_t life;
	struct records *records;
	struct records *own_records;
	uint64_t adopted;
	struct ids *ids;
	uint64_t live;
	uint64_t ends;
	bool adopting;
	bool at_work;
	bool started;
	pthread_t thread;

	struct window_queue ended[WINDOW_QUEUES];
	uint64_t n_ended;
	unsigned int turn;
	pid_t looked_at;
	bool waits;
	bool warned;
	struct window_scan *scan;
	int scanned;
	uint64_t scan_due;
	uint64_t scan_gap;
	uint32_t pass;
	uint64_t looked;
	uint64_t in_doubt;
	uint64_t judged;
};

/* --- window/durable.c --- */

/**
 * window_new() - a window with its record, which does not last yet, and an id under which events find it
 * @kind to @user: as for window_make()
 *
 * Return: NULL if there is no memory.
 */
struct window *window_new(struct windows *w, enum window_kind kind, const struct hv_grant *grants,
			  size_t n, const struct hv_place *at, struct window_user *user);

/** window_drop() - free it a grace period later, and end its record. Its id is retired */
void window_drop(struct window *win);

/** windows_restore() - all windows that a predecessor has left. Return: 0; -EINVAL: a record cannot be; -ENOMEM */
int windows_restore(struct windows *w);

/* --- window/list.c --- */

/** window_get() - the window of this name, live or being made. Under RCU. Return: or NULL */
struct window *window_get(const struct windows *w, const struct window_name *name);

/**
 * window_of_file() - the live window whose file this is
 * @name: out: what the file's name says
 *
 * Under RCU. Return: NULL if it is none of ours.
 */
struct window *window_of_file(const struct windows *w, const struct procmaps_file *file,
			      struct window_name *name);

/** window_end() - take a live window out; its end is to be reported. Watcher */
void window_end(struct windows *w, struct window *win, uint64_t id);

/** window_next_ended() - one that has ended, of each open in its turn. Watcher. Return: NULL if there is none */
struct window *window_next_ended(struct windows *w);

/* --- window/scan.c: by the watcher alone, or when there is none any more --- */

/** window_scan_doubt() - doubt falls on a window; under RCU. window_scan_in() is due */
void window_scan_doubt(struct window *win);

/** window_scan_all() - doubt falls on all windows: events were lost. @opens: such as tell who opens them */
void window_scan_all(struct windows *w, bool opens);

/** window_scan_in() - have a pass made in @ms, but not sooner than passes may follow each other */
void window_scan_in(struct windows *w, uint64_t ms);

/**
 * window_scan_step() - begin a pass if one is due, and judge by one that is over
 *
 * Waits for nothing. Not under RCU.
 */
void window_scan_step(struct windows *w);

/** window_scan_wait() - Return: in how many ms a pass is due; -1 if none is, or one is being made */
int window_scan_wait(const struct windows *w);

/** window_scan_stop() - end the pass that is being made, which takes as long as a look at one process may */
void window_scan_stop(struct windows *w);

#endif /* WINDOW_IMPL_H */
