/* SPDX-License-Identifier: MIT */
/*
 * machine/rig.h - a granting device on the simulator, for the tests of it
 *
 * Requests come from double.h. A client's mmap is map(), which does what the preload object and the
 * window socket do between them.
 */
#ifndef TEST_MACHINE_RIG_H
#define TEST_MACHINE_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rcu.h"
#include "abi/ioctl.h"
#include "tests/unit/double.h"
#include "machine/gntalloc.h"
#include "table.h"
#include "tests/unit/place.h"
#include "window/window.h"

#define DOMID 9
#define LIMIT 64
#define RW    (PROT_READ | PROT_WRITE)
#define PAGE  ABI_PAGE_SIZE

static struct sim *sim;
static struct hypervisor *hv;
static struct windows *windows;
static struct gntalloc *ga;
static struct device *dev;
static uint64_t fh;

/* --- the window socket's part ------------------------------------------------------------------ */

static struct mmap_call call;
static int call_answers;
static void *call_addr;

void mmap_call_refuse(struct mmap_call *mc, int error)
{
	ck_assert_ptr_eq(mc, &call);
	ck_assert_int_eq(++call_answers, 1);
	ck_assert_int_gt(error, 0);
	errno = error;
	call_addr = MAP_FAILED;
}

void mmap_call_grant(struct mmap_call *mc, int fd, uint64_t window, const struct hv_grant *g,
		     size_t n, enum hv_pages kind)
{
	unsigned char *at;

	ck_assert_ptr_eq(mc, &call);
	ck_assert_int_eq(kind, HV_PAGES_FILE);
	ck_assert_int_eq(++call_answers, 1);
	ck_assert_uint_eq(n << ABI_PAGE_SHIFT, mc->rq.length);
	at = mmap(NULL, mc->rq.length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_ptr_ne(mmap(at + (i << ABI_PAGE_SHIFT), ABI_PAGE_SIZE, (int)mc->rq.prot,
				      MAP_SHARED | MAP_FIXED, fd,
				      (off_t)(g[i].page << ABI_PAGE_SHIFT)),
				 MAP_FAILED);
	close(fd);
	window_delivered(windows, window, mc->pid);
	call_addr = at;
}

static int adopt_error;

/* It has no more of the socket than the name. */
const char *winsock_path(const struct winsock *ws)
{
	ck_assert_ptr_eq(ws, (void *)&call);
	return "/run/gntalloc.sock";
}

void winsock_path_for(struct winsock *ws, uid_t uid, pid_t tid, char path[WINSOCK_PATH])
{
	(void)uid;
	(void)tid;
	strncpy(path, winsock_path(ws), WINSOCK_PATH - 1);
}

int winsock_adopt(struct winsock *ws, int fd, pid_t pid, uid_t uid, const struct window_request *rq,
		  uint64_t unique)
{
	ck_assert_ptr_eq(ws, (void *)&call);
	if (!adopt_error)
		ck_assert_int_eq(write(fd, "here", 4), 4);
	close(fd);
	if (adopt_error)
		return adopt_error;
	call = (struct mmap_call){
		.rq = *rq, .pid = pid, .uid = uid, .unique = unique, .again = rq->again
	};
	call_answers = 0;
	gntalloc_mmap(&call, ga);
	return 0;
}

static inline void *map_as(uint64_t open_id, const uint8_t *secret, uint64_t index, uint64_t length,
			   int prot, int flags)
{
	call = (struct mmap_call){ .pid = getpid() };
	call.rq = (struct window_request){ .prot = (uint32_t)prot,
					   .flags = (uint32_t)flags,
					   .open_id = open_id,
					   .offset = index,
					   .length = length };
	memcpy(call.rq.secret, secret, sizeof(call.rq.secret));
	call_answers = 0;
	gntalloc_mmap(&call, ga);
	ck_assert_int_eq(call_answers, 1);
	return call_addr;
}

static inline struct window_token token_of(uint64_t open_fh)
{
	struct window_token t = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };

	ck_assert_int_eq(double_ioctl(dev, open_fh, WINDOW_TOKEN, &t, DOUBLE_DIRECT), 0);
	return t;
}

static inline unsigned char *map(uint64_t index, unsigned int pages, int prot, int flags)
{
	struct window_token t = token_of(fh);

	return map_as(t.open_id, t.secret, index, (uint64_t)pages << ABI_PAGE_SHIFT, prot, flags);
}

static inline unsigned char *must_map(uint64_t index, unsigned int pages)
{
	void *p = map(index, pages, RW, MAP_SHARED);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* --- the rig ----------------------------------------------------------------------------------------- */

static char dir[64];

static inline uint64_t open_device(void)
{
	const struct opener by = { .tid = gettid(), .uid = geteuid(), .gid = getegid() };
	uint64_t id = 0;

	ck_assert_int_eq(dev->open(dev, &by, O_RDWR, &id), 0);
	ck_assert_uint_ne(id, 0);
	return id;
}

static inline void setup(void)
{
	struct gntalloc_config gc = { .name = "xen/gntalloc", .domid = DOMID, .limit = LIMIT };
	struct sim_config sc = { .memory_pages = 256, .grant_frames_max = 1 };
	const char *why;

	rcu_thread_enter();
	snprintf(dir, sizeof(dir), "%s/gntalloc-test-%d-%x", test_place(), (int)getpid(),
		 test_moment());
	ck_assert_int_eq(windows_new(dir, NULL, &windows, &why), 0);
	sc.dirfd = windows_dirfd(windows);
	ck_assert_int_eq(sim_new(&sc, &sim, &why), 0);
	hv = sim_hypervisor(sim);
	gc.sim = sim;
	gc.windows = windows;
	ck_assert_int_eq(gntalloc_new(&gc, &ga), 0);
	gntalloc_set_winsock(ga, (struct winsock *)&call);
	dev = gntalloc_device(ga);
	ck_assert_int_eq(windows_start(windows), 0);
	fh = open_device();
}

static inline void teardown(void)
{
	struct sim_counts n;

	gntalloc_close_all(ga);
	windows_destroy(windows);
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
	gntalloc_destroy(ga);
	sim_counts(sim, &n);
	ck_assert_uint_eq(n.frames, 0);
	ck_assert_uint_eq(n.grants, 0);
	ck_assert_uint_eq(n.port_refs, 0);
	ck_assert_uint_eq(double_requests, double_answers);
	hv->ops->destroy(hv);
	rcu_thread_leave();
}

struct result {
	uint64_t index;
	uint32_t ref[LIMIT];
};

static inline int alloc_full(uint64_t open_fh, uint32_t count, uint16_t flags,
			     enum double_mode mode, struct result *r)
{
	union {
		struct ioctl_gntalloc_alloc_gref op;
		unsigned char bytes[ABI_ALLOC_GREFS_OFFSET + (LIMIT + 1) * sizeof(uint32_t)];
	} arg = { .op = { .domid = 0, .flags = flags, .count = count, .index = ~0ULL } };
	int result = double_ioctl(dev, open_fh, IOCTL_GNTALLOC_ALLOC_GREF, &arg, mode);

	r->index = arg.op.index;
	memcpy(r->ref, arg.bytes + ABI_ALLOC_GREFS_OFFSET, sizeof(r->ref));
	return result;
}

static inline struct result alloc(uint32_t count)
{
	struct result r;

	ck_assert_int_eq(alloc_full(fh, count, GNTALLOC_FLAG_WRITABLE, DOUBLE_DIRECT, &r), 0);
	return r;
}

static inline int dealloc(uint64_t index, uint32_t count)
{
	struct ioctl_gntalloc_dealloc_gref op = { .index = index, .count = count };

	return double_ioctl(dev, fh, IOCTL_GNTALLOC_DEALLOC_GREF, &op, DOUBLE_DIRECT);
}

static inline int notify(uint64_t index, uint32_t action, uint32_t port)
{
	struct ioctl_gntalloc_unmap_notify op = { .index = index,
						  .action = action,
						  .event_channel_port = port };

	return double_ioctl(dev, fh, IOCTL_GNTALLOC_SET_UNMAP_NOTIFY, &op, DOUBLE_DIRECT);
}

static inline uint64_t frames(void)
{
	struct sim_counts n;

	sim_counts(sim, &n);
	return n.frames;
}

/* The end of a window comes from another thread. */
static inline bool frames_become(uint64_t n)
{
	for (int i = 0; i < 2000; i++) {
		if (frames() == n)
			return true;
		usleep(1000);
	}
	return false;
}

static inline struct hv_grant granted(uint32_t ref)
{
	return (struct hv_grant){ .domid = DOMID, .ref = ref, .status = HV_PENDING };
}

static inline int16_t map_grant(struct hv_grant *g, bool readonly)
{
	struct hv_place at = { .readonly = readonly };

	ck_assert_int_eq(hv->ops->map(hv, g, 1, &at), 0);
	return g->status;
}

#endif /* TEST_MACHINE_RIG_H */
