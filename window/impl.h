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
#include "window/window.h"
#include "window/watch.h"

/**
 * struct window - from window_make() until its end
 * @user, @kind, @name: constant once it is live
 * @ino:       of its file
 * @born:      when it was made, procwalk_now()
 * @info:      what window/list.c tells of it; constant once it is live
 * @live:      window_make() has succeeded (atomic)
 * @delivered: see window_delivered() (atomic)
 * @client:    who received it; written before @delivered
 *
 * The rest is the watcher's:
 * @unlinked:  its entry has been removed: whoever opens it now is somebody else
 * @shared:    others may have opened it: a close need not be its end
 * @doubt:     it may have ended
 * @judged:    the last pass that it can be judged by; 0: none, it fell into doubt after that began
 * @seen:      the last pass that found it (atomic: written by whoever makes the pass)
 * @missed:    passes in a row that did not find it
 * @next:      in a queue of windows that have ended
 */
struct window {
	struct rcu_head rcu;
	struct window_user *user;
	struct window_name name;
	enum window_kind kind;
	uint64_t ino;
	uint64_t born;
	struct window_info info;
	pid_t client;
	bool live;
	bool delivered;
	bool unlinked;
	bool shared;
	bool doubt;
	uint8_t missed;
	uint32_t judged;
	uint32_t seen;
	struct window *next;
};

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
 * @in_doubt: windows that it left in doubt; @judged: windows that it could judge
 */
struct windows {
	char *path;
	int dirfd;
	struct window_watch watch;
	int stop;
	dev_t dev;
	uint64_t life;
	struct ids *ids;
	uint64_t live;
	uint64_t ends;
	bool at_work;
	bool started;
	pthread_t thread;

	struct window_queue ended[WINDOW_QUEUES];
	uint64_t n_ended;
	unsigned int turn;
	bool warned;
	struct window_scan *scan;
	int scanned;
	uint64_t scan_due;
	uint64_t scan_gap;
	uint32_t pass;
	uint64_t in_doubt;
	uint64_t judged;
};

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
