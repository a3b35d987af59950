/* SPDX-License-Identifier: MIT */
/*
 * window/watch.c - what happens in the window directory
 *
 * Whoever reads an event takes it out of the kernel's queue: if he is killed before he has done what follows from it, nobody
 * knows of it any more. So events are read into memory that outlives the daemon, and stay there until all of one read
 * have been handled (struct window_hand). A read(2) that is under way when the kill comes goes on to its end, but how much it has
 * brought is told to nobody: so the memory is zero before, and events go as far as one that is zero. (Copying
 * could fail if a page had to be brought in at that moment: all pages are there before.)
 */
#include "window/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/step.h"

static_assert(offsetof(struct window_queue_hand, bytes) % _Alignof(struct inotify_event) == 0,
	      "events are where they can be read");

static int watch(int dirfd, uint32_t events, int *fd)
{
	char path[32];

	*fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (*fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dirfd);
	return inotify_add_watch(*fd, path, events | IN_ONLYDIR) < 0 ? -errno : 0;
}

int window_watch_open(struct window_watch *ww, int dirfd)
{
	int err;

	*ww = (struct window_watch){ .closes = -1, .opens = -1 };
	err = region_new("gntdev-events", sizeof(*ww->hand), &ww->mem);
	if (!err)
		err = region_grow(&ww->mem, sizeof(*ww->hand));
	if (err)
		return err;
	ww->hand = (struct window_hand *)ww->mem.base;
	ww->hand->magic = WINDOW_HAND_MAGIC;
	err = watch(dirfd, IN_CLOSE_WRITE | IN_CLOSE_NOWRITE, &ww->closes);
	return err ? err : watch(dirfd, IN_OPEN | IN_DELETE, &ww->opens);
}

void window_watch_close(struct window_watch *ww)
{
	if (ww->closes >= 0)
		close(ww->closes);
	if (ww->opens >= 0)
		close(ww->opens);
	region_close(&ww->mem);
}

/* The next event in hand. Return: NULL if there is none, or it does not fit what is there. */
static const struct inotify_event *next_event(const struct window_queue_hand *h, uint32_t at)
{
	const struct inotify_event *ev = (const struct inotify_event *)(h->bytes + at);

	/* One that is zero fits behind it. */
	if (at > sizeof(h->bytes) - 2 * sizeof(*ev) || !ev->mask ||
	    ev->len > sizeof(h->bytes) - 2 * sizeof(*ev) - at)
		return NULL;
	return ev;
}

static uint32_t behind(uint32_t at, const struct inotify_event *ev)
{
	return at + (uint32_t)sizeof(*ev) + ev->len;
}

/* Whether what a predecessor left can be events of the kernel's. */
static bool is_sound(const struct window_queue_hand *h)
{
	const struct inotify_event *ev;
	uint32_t at = h->at;

	if (at > sizeof(h->bytes) || at % _Alignof(struct inotify_event))
		return false;
	for (; (ev = next_event(h, at)); at = behind(at, ev))
		if (ev->len % _Alignof(struct inotify_event) || (ev->len && ev->name[ev->len - 1]))
			return false;
	return at > sizeof(h->bytes) - sizeof(*ev) ||
	       !((const struct inotify_event *)(h->bytes + at))->mask;
}

int window_watch_adopt(struct window_watch *ww, int closes, int opens, int hand)
{
	int err;

	*ww = (struct window_watch){ .closes = closes, .opens = opens };
	err = region_adopt(hand, sizeof(*ww->hand), &ww->mem);
	if (err)
		return err;
	ww->hand = (struct window_hand *)ww->mem.base;
	if (madvise(ww->mem.base, ww->mem.max, MADV_POPULATE_WRITE))
		return -errno;
	return ww->hand->magic == WINDOW_HAND_MAGIC && is_sound(&ww->hand->closes) &&
			       is_sound(&ww->hand->opens)
		       ? 0
		       : -EINVAL;
}

enum taken {
	TAKEN_NONE,
	TAKEN_ALL, /* some, and the kernel had no more */
	TAKEN_SOME,
};

/* Take the next events of a queue in hand, if there are none yet. */
static enum taken take(int fd, struct window_queue_hand *h)
{
	/* Not all: what ends them stays zero. */
	const size_t room = sizeof(h->bytes) - sizeof(struct inotify_event);
	ssize_t n;

	if (h->at || next_event(h, 0))
		return TAKEN_SOME;
	n = read(fd, h->bytes, room);
	if (n <= 0)
		return TAKEN_NONE;
	step(events_read);
	/* It stops where the next one does not fit. */
	return room - (size_t)n < sizeof(struct inotify_event) + NAME_MAX + 1 ? TAKEN_SOME
									      : TAKEN_ALL;
}

/* @queue: what it is of, IN_OPEN or IN_CLOSE */
static void tell(struct window_queue_hand *h, uint32_t queue,
		 void (*fn)(void *arg, uint32_t mask, const char *name), void *arg)
{
	const struct inotify_event *ev;
	uint32_t at = h->at;

	while ((ev = next_event(h, at))) {
		if (ev->mask & IN_Q_OVERFLOW)
			fn(arg, IN_Q_OVERFLOW | queue, NULL);
		else if (ev->len)
			fn(arg, ev->mask, ev->name);
		step(event_handled);
		at = behind(at, ev);
		__atomic_store_n(&h->at, at, __ATOMIC_RELEASE);
	}
	/* Where they end stays known until all is zero. */
	memset(h->bytes, 0, at);
	__atomic_store_n(&h->at, 0, __ATOMIC_RELEASE);
	step(events_done);
}

bool window_watch_take(struct window_watch *ww, bool *more,
		       void (*fn)(void *arg, uint32_t mask, const char *name), void *arg)
{
	enum taken closes = take(ww->closes, &ww->hand->closes), opens;

	/* After the read: every opening that came before one of these closes is there now. */
	do {
		opens = take(ww->opens, &ww->hand->opens);
		if (opens != TAKEN_NONE)
			tell(&ww->hand->opens, IN_OPEN, fn, arg);
	} while (opens == TAKEN_SOME);
	if (closes != TAKEN_NONE)
		tell(&ww->hand->closes, IN_CLOSE, fn, arg);
	*more = closes == TAKEN_SOME;
	return closes != TAKEN_NONE;
}
