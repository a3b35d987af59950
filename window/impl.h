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
 * @born:      when it was made, procmaps_now()
 * @info:      what window/list.c tells of it; constant once it is live
 * @live:      window_make() has succeeded (atomic)
 * @delivered: see window_delivered() (atomic)
 * @client:    who received it; written before @delivered
 *
 * The rest is the watcher's:
 * @unlinked:  its entry has been removed: whoever opens it now is somebody else
 * @shared:    others may have opened it: a close need not be its end
 * @doubt:     it may have ended
 * @judged:    the last pass that it could be judged by
 * @seen:      the last pass that found it
 * @missed:    passes in a row that did not find it
 * @next:      on a list of windows that have ended
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

/**
 * struct windows - the directory
 * @dev:      its file system
 * @life:     in the names of all windows, see struct window_name
 * @ids:      the windows
 * @live:     how many (atomic)
 * @watch:    what happens in the directory
 * @stop:     eventfd that ends the watcher
 *
 * The rest is the watcher's:
 * @ended:    windows that have ended and are to be reported
 * @warned:   the log has told that /proc cannot be read
 * @scan_due: when the next pass is to be made, ms; 0: none
 * @scan_gap: when it may be made at the earliest
 * @pass:     number of the last one
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
	bool started;
	pthread_t thread;

	struct window *ended;
	bool warned;
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

/* --- window/scan.c: by the watcher alone --- */

/** window_scan_all() - doubt falls on all windows: events were lost */
void window_scan_all(struct windows *w);

/** window_scan_in() - have a pass made in @ms, but not sooner than passes may follow each other */
void window_scan_in(struct windows *w, uint64_t ms);

/** window_scan() - one pass over all processes; not under RCU */
void window_scan(struct windows *w);

#endif /* WINDOW_IMPL_H */
