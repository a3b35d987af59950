/* SPDX-License-Identifier: MIT */
/*
 * lives.h - a world that outlives daemons, doubles of what reaches into it, and requests of its one client
 *
 * Windows are entries of the world; so are their ends, which whoever calls report_ends() reports.
 */
#ifndef LIVES_H
#define LIVES_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/ioctl.h"
#include "base/defer.h"
#include "base/rcu.h"
#include "base/step.h"
#include "device/gntdev.h"
#include "policy/policy.h"
#include "sim/sim.h"
#include "state/record.h"
#include "tests/unit/place.h"
#include "window/socket.h"
#include "window/window.h"

#define GRANTER	   7
#define PORT	   5
#define OTHER_PORT 6
#ifndef PAGES
#define PAGES 6
#endif
#define WINDOWS	 32
#define OPS	 64
#define SEGMENTS 150
/* Where in a page the notification's byte is; what is there before. */
#define BYTE 17
#define FULL 0x55
/* A result that is none yet. */
#define UNANSWERED 77

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
	int refill; /* of this page, and 1 more, the granter has filled the byte before the next life */
	int culprit;
	uint32_t culprit_dies_at;
	struct note given_up;
	struct note note[OPS];
	uint64_t events[2];
};

static struct world *w;

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
	*sent = w->win[id].noted ||
		(w->win[id].held && w->win[id].count <= WINDOW_PIECES_PER_MESSAGE);
	return 0;
}

bool window_is_over(struct windows *ws, uint64_t id)
{
	(void)ws;
	return !w->win[id].held;
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

void winsock_path_for(struct winsock *ws, uid_t uid, pid_t tid, char path[WINSOCK_PATH])
{
	(void)uid;
	(void)tid;
	strncpy(path, winsock_path(ws), WINSOCK_PATH - 1);
}

/* --- requests ------------------------------------------------------------------------------------ */

static inline void on_done(struct request *rq, int result, const void *out, size_t len)
{
	(void)rq, (void)out, (void)len;
	w->result = result;
}

static inline bool on_waiting(struct request *rq)
{
	(void)rq;
	return true;
}

static const struct request_ops ops = { .done = on_done, .waiting = on_waiting };

static inline void ioctl_of(uint64_t fh, uint32_t cmd, void *arg)
{
	struct request rq = {
		.ops = &ops,
		.fh = fh,
		.arg = (uintptr_t)arg,
		.unique = w->unique,
		.progress = &w->progress,
		.ends = &w->ends,
		.cmd = cmd,
		.tid = gettid(),
		.again = again,
	};

	gd.dev.ioctl(&gd.dev, &rq);
}

static inline void do_open(int which)
{
	const struct opener by = { .tid = gettid(),
				   .uid = geteuid(),
				   .gid = getegid(),
				   .unique = w->unique,
				   .again = again };

	w->result = gd.dev.open(&gd.dev, &by, O_RDWR, &w->fh[which]);
}

static inline void do_close(int which)
{
	gd.dev.release(&gd.dev, w->fh[which]);
	w->result = 0;
}

/* @page: the first of @count */
static inline void do_map(int fh, int which, int page, uint32_t count)
{
	size_t size = sizeof(struct ioctl_gntdev_map_grant_ref) +
		      PAGES * sizeof(struct ioctl_gntdev_grant_ref);
	struct ioctl_gntdev_map_grant_ref *op = calloc(1, size);

	op->count = count;
	for (uint32_t i = 0; i < count; i++)
		op->refs[i] =
			(struct ioctl_gntdev_grant_ref){ GRANTER,
							 page < 0 ? 999 : w->ref[page + (int)i] };
	ioctl_of(w->fh[fh], IOCTL_GNTDEV_MAP_GRANT_REF, op);
	w->index[which] = w->out = op->index;
	free(op);
}

static inline void do_unmap(int fh, int which, uint32_t count)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = w->index[which], .count = count };

	ioctl_of(w->fh[fh], IOCTL_GNTDEV_UNMAP_GRANT_REF, &op);
}

static inline void do_notify(int fh, int which, uint32_t action, uint32_t port)
{
	struct ioctl_gntdev_unmap_notify op = { .index = w->index[which] + BYTE,
						.action = action,
						.event_channel_port = port };

	ioctl_of(w->fh[fh], IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op);
}

/* By WINDOW_MMAP, or through a connection: then nobody but the client knows that it is in hand. */
static inline void do_mmap(int fh, int which, uint32_t count, bool connection)
{
	struct window_token token = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	bool sent = w->windows && w->win[w->windows].held && w->window[which] == w->windows;

	/* As the ioctl does it, and the preload object. */
	if (again && sent) {
		if (!connection)
			gntdev_mmap_sent(&gd, w->unique);
		w->result = 0;
		return;
	}
	ioctl_of(w->fh[fh], WINDOW_TOKEN, &token);
	w->window[which] = w->windows + 1;
	call = (struct mmap_call){
		.pid = getpid(),
		.unique = connection ? 0 : w->unique,
		.again = again,
		.rq = { .magic = WINDOW_MAGIC,
			.version = WINDOW_VERSION,
			.prot = PROT_READ | PROT_WRITE,
			.flags = MAP_SHARED,
			.open_id = token.open_id,
			.offset = w->index[which],
			.length = count << ABI_PAGE_SHIFT },
	};
	memcpy(call.rq.secret, token.secret, sizeof(call.rq.secret));
	w->result = UNANSWERED;
	gntdev_mmap(&call, &gd);
	w->out = 0;
}

/* The client unmaps; who reports it may be killed. */
static inline void do_munmap(int which)
{
	w->win[w->window[which]].held = false;
	report_ends();
	w->result = 0;
}

static inline unsigned char *page_of(int page)
{
	return sim_frame_memory(sim, w->frame[page]);
}

/* --- the world, and a life in it ------------------------------------------------------------------- */

#define BOTH (UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT)

static inline int duplicate(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static inline void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* A machine that is switched on, and records of nothing. */
static inline void begin_world(void)
{
	struct sim_config sc = { .memory_pages = PAGES + 58 };
	struct sim_kept kept;
	struct records *s;
	const char *why;

	memset(w, 0, sizeof(*w));
	w->culprit = -1;
	snprintf(dir, sizeof(dir), "%s/gntdev-lives-%d-%x", test_place(), (int)getpid(),
		 test_moment());
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	sc.dirfd = directory = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(sim_new(&sc, &sim, &why), 0);
	ck_assert_int_eq(sim_domain_add(sim, GRANTER), 0);
	for (int i = 0; i < PAGES; i++) {
		ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 1, &w->frame[i]), 0);
		ck_assert_int_eq(sim_grant(sim, GRANTER, 0, w->frame[i], false, &w->ref[i]), 0);
		page_of(i)[BYTE] = FULL;
	}
	ck_assert_int_eq(sim_port_bind(sim, 0, PORT, GRANTER, NULL, NULL), 0);
	ck_assert_int_eq(sim_port_bind(sim, 0, OTHER_PORT, GRANTER, NULL, NULL), 0);
	kept = sim_kept(sim);
	sim_left = (struct sim_kept){ duplicate(kept.state), duplicate(kept.memory) };
	sim_leave(sim);
	ck_assert_int_eq(records_new(1 << 16, &s), 0);
	records_kept = duplicate(records_fd(s));
	records_close(s);
}

static inline void end_world(void)
{
	close(sim_left.state);
	close(sim_left.memory);
	close(records_kept);
	unlinkat(directory, "machine", 0);
	rmdir(dir);
	close(directory);
}

/* The parts of a device, with what was left: nothing is adopted yet. */
static inline void begin_life(void)
{
	const struct sim_kept left = { duplicate(sim_left.state), duplicate(sim_left.memory) };
	const struct sim_config sc = { .dirfd = directory, .left = &left };
	const char *why;

	rcu_thread_enter();
	if (sim_new(&sc, &sim, &why) || records_adopt(duplicate(records_kept), &gd.records)) {
		fprintf(stderr, "%s\n", why);
		_exit(2);
	}
	gntdev_init(&gd);
	gd.dev.name = "xen/gntdev";
	gd.hv = sim_hypervisor(sim);
	gd.table = table_new();
	gd.defer = defer_new();
	gd.policy = policy_default();
	gd.quota = quota_new();
	gd.limit = GNTDEV_LIMIT_DEFAULT;
}

#endif /* LIVES_H */
