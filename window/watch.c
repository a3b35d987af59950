/* SPDX-License-Identifier: MIT */
/*
 * window/watch.c - what happens in the window directory
 */
#include "window/watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Some 1,000 events. */
#define EVENT_BUFFER 65536

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

	ww->opens = -1;
	err = watch(dirfd, IN_CLOSE_WRITE | IN_CLOSE_NOWRITE, &ww->closes);
	return err ? err : watch(dirfd, IN_OPEN | IN_DELETE, &ww->opens);
}

void window_watch_close(struct window_watch *ww)
{
	if (ww->closes >= 0)
		close(ww->closes);
	if (ww->opens >= 0)
		close(ww->opens);
}

/* @queue: what it is of, IN_OPEN or IN_CLOSE */
static void tell(const char *buf, ssize_t n, uint32_t queue,
		 void (*fn)(void *arg, uint32_t mask, const char *name), void *arg)
{
	const struct inotify_event *ev;

	for (const char *p = buf; p < buf + n; p += sizeof(*ev) + ev->len) {
		ev = (const struct inotify_event *)p;
		if (ev->mask & IN_Q_OVERFLOW)
			fn(arg, IN_Q_OVERFLOW | queue, NULL);
		else if (ev->len)
			fn(arg, ev->mask, ev->name);
	}
}

bool window_watch_take(struct window_watch *ww,
		       void (*fn)(void *arg, uint32_t mask, const char *name), void *arg)
{
	_Alignas(struct inotify_event) char closes[EVENT_BUFFER], opens[EVENT_BUFFER];
	ssize_t n = read(ww->closes, closes, sizeof(closes)), k;

	/* After the read: every opening that came before one of these closes is there now. */
	while ((k = read(ww->opens, opens, sizeof(opens))) > 0)
		tell(opens, k, IN_OPEN, fn, arg);
	tell(closes, n, IN_CLOSE, fn, arg);
	return n > 0;
}
