/* SPDX-License-Identifier: MIT */
/*
 * lives.h - the world that outlives each daemon of test_lives.c, and doubles of what reaches into it
 *
 * Windows are entries of the world; so are their ends, which whoever calls report_ends() reports.
 */
#ifndef LIVES_H
#define LIVES_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/step.h"
#include "device/gntdev.h"
#include "sim/sim.h"
#include "window/socket.h"
#include "window/window.h"

#define GRANTER	   7
#define PORT	   5
#define OTHER_PORT 6
#define PAGES	   6
#define WINDOWS	   32
#define OPS	   64
#define SEGMENTS   150
/* Where in a page the notification's byte is; what is there before. */
#define BYTE 17
#define FULL 0x55

/* What a window is to the window directory's records, and to the client. */
struct win {
	uint32_t count;
	bool made;
	bool noted; /* its record says that it was sent */
	bool over;  /* its end has been reported, or it was forgotten */
	bool held;  /* the client has it, or will find it in its socket */
};

/* What was noted of a request. */
struct note {
	int result;
	uint64_t index;
	uint64_t opens, maps, pages, handles, ports;
	uint64_t records;
	unsigned char byte[PAGES];
};

struct world {
	uint32_t ref[PAGES];
	uint32_t frame[PAGES];
	struct win win[WINDOWS];
	uint32_t windows;
	/* The client. */
	uint64_t fh[8];
	uint64_t index[8];
	uint64_t window[8];
	/* The kernel's, and the slot's: the request in hand. */
	bool in_hand;
	bool answered;
	uint64_t unique;
	uint64_t progress;
	uint64_t ends;
	int result;
	uint64_t out;
	/* The script. */
	int at;
	int lives;
	bool over;
	/* A request that is killed at a step, and given up by the next life, which ends then. */
	int culprit;
	uint32_t culprit_dies_at;
	struct note given_up;
	struct note note[OPS];
	uint64_t events[2];
};

static struct world *w;
/* When to die in the next life, and what has been reached. */
static struct step_orders *orders;

static int records_kept;
static struct sim_kept sim_left;
/* The window directory, in which there is nothing but the machine's memory. */
static char dir[64];
static int directory;

/* Of a life. */
static struct gntdev gd;
static struct sim *sim;
static struct window_user *user_of[WINDOWS];
static bool again;

/* --- the window directory ------------------------------------------------------------------------ */

int window_make(struct windows *ws, struct hypervisor *hv, enum window_kind kind,
		const struct hv_grant *g, size_t n, const struct hv_place *at,
		struct window_user *user, uint64_t *id)
{
	(void)ws, (void)hv, (void)kind, (void)g, (void)at;
	if (++w->windows >= WINDOWS)
		abort();
	*id = w->windows;
	w->win[*id] = (struct win){ .count = (uint32_t)n, .made = true };
	user_of[*id] = user;
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int window_join(struct windows *ws, uint64_t id, struct window_user *user, bool *sent)
{
	(void)ws;
	if (!id || id > w->windows || w->win[id].over)
		return -ENOENT;
	user_of[id] = user;
	*sent = w->win[id].noted || w->win[id].held;
	return 0;
}

bool window_forget(struct windows *ws, uint64_t id)
{
	bool was = w->win[id].over;

	(void)ws;
	w->win[id].over = true;
	return !was;
}

void window_sent(struct windows *ws, uint64_t id)
{
	(void)ws;
	w->win[id].noted = true;
}

void window_shown(struct windows *ws, uint64_t id)
{
	window_sent(ws, id);
}

uint64_t windows_ended(const struct windows *ws)
{
	(void)ws;
	return 0;
}

bool windows_end_since(const struct windows *ws, uint64_t ended)
{
	(void)ws, (void)ended;
	return false;
}

int window_find(struct windows *ws, pid_t tid, uint64_t vaddr, enum window_kind kind,
		struct window_name *name)
{
	(void)ws, (void)tid, (void)vaddr, (void)kind, (void)name;
	return -EINVAL;
}

int window_find_exact(struct windows *ws, pid_t tid, uint64_t vaddr, uint32_t count,
		      enum window_kind kind, struct window_name *name)
{
	(void)count;
	return window_find(ws, tid, vaddr, kind, name);
}

/* The watcher: reports windows that nobody holds. */
static void report_ends(void)
{
	for (uint64_t id = 1; id <= w->windows; id++) {
		if (!w->win[id].made || w->win[id].held || w->win[id].over)
			continue;
		if (user_of[id])
			user_of[id]->gone(user_of[id]);
		w->win[id].over = true;
	}
}

/* --- the window socket --------------------------------------------------------------------------- */

static struct mmap_call call;

void mmap_call_grant(struct mmap_call *mc, int fd, uint64_t window, const struct hv_grant *g,
		     size_t n, enum hv_pages kind)
{
	(void)mc, (void)g, (void)n, (void)kind;
	close(fd);
	step(window_sending);
	w->win[window].held = true;
	w->result = 0;
	step(window_replied);
	window_sent(NULL, window);
	step(window_sent);
}

void mmap_call_refuse(struct mmap_call *mc, int error)
{
	(void)mc;
	w->result = -error;
}

int winsock_adopt(struct winsock *ws, int fd, pid_t pid, uid_t uid, const struct window_request *rq,
		  uint64_t unique)
{
	(void)ws, (void)fd, (void)pid, (void)uid, (void)rq, (void)unique;
	return -EBUSY;
}

const char *winsock_path(const struct winsock *ws)
{
	(void)ws;
	return "/nowhere";
}

#endif /* LIVES_H */
