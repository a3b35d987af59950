/* SPDX-License-Identifier: MIT */
/*
 * window/watch.h - what happens in the window directory
 */
#ifndef WINDOW_WATCH_H
#define WINDOW_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "state/region.h"
#include "window/lasting.h"

/**
 * struct window_watch - two watches on the directory
 * @closes: IN_CLOSE: what the watcher waits for
 * @opens:  IN_OPEN and IN_DELETE: to be known before a close is judged, and nothing to wake up for.
 *          Every window that is made causes both
 * @mem:    of @hand
 * @hand:   events that have been taken from the kernel, until they have been handled
 */
struct window_watch {
	int closes;
	int opens;
	struct region mem;
	struct window_hand *hand;
};

/**
 * window_watch_open() - watch a directory
 *
 * Return: 0 or -errno; window_watch_close() is due in both cases.
 */
int window_watch_open(struct window_watch *ww, int dirfd);

/**
 * window_watch_adopt() - go on with what a predecessor has left
 * @closes, @opens, @hand: its descriptors, which are the watch's from now on
 *
 * Return: 0; -EINVAL: the events in hand are damaged; -errno; window_watch_close() is due in all cases.
 */
int window_watch_adopt(struct window_watch *ww, int closes, int opens, int hand);

void window_watch_close(struct window_watch *ww);

/**
 * window_watch_take() - take the next events, some 1,000 closes at most
 * @more: out: there may be more closes already
 * @fn: called for each, with its mask and name; if some were lost, without a name, with IN_Q_OVERFLOW and
 *      IN_OPEN or IN_CLOSE, by which ones. Once more for one during which the predecessor was killed
 *
 * Openings come before those closes that they preceded. They have to be taken now and then also if
 * there are no closes, before the kernel's queue is full (16,384 by default; a window is two).
 *
 * Return: whether there were closes.
 */
bool window_watch_take(struct window_watch *ww, bool *more,
		       void (*fn)(void *arg, uint32_t mask, const char *name), void *arg);

#endif /* WINDOW_WATCH_H */
