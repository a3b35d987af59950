/* SPDX-License-Identifier: MIT */
/*
 * survive.h - daemons with a device xen/gntalloc that end, and their successors, which adopt it; requests of one client
 */
#ifndef TEST_MACHINE_SURVIVE_H
#define TEST_MACHINE_SURVIVE_H

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/step.h"
#include "machine/impl.h"
#include "machine/lasting.h"
#include "sim/kept.h"
#include "tests/unit/machine/rig.h"
#include "tests/unit/sim/prefix.h"
#include "tests/unit/suite.h"

#define PORT 3
#define N    2

/* --- daemons ---------------------------------------------------------------------------------------- */

static struct records *records;
static uint64_t life;
static struct windows_keep keep;
static unsigned int n_opened;

/* The request that is given up, and the open whose release is. */
static uint64_t given_up_unique, given_up_fh;

static inline bool on_given_up(void *arg, uint64_t unique, uint64_t id)
{
	(void)arg;
	return unique ? unique == given_up_unique : given_up_fh && id == given_up_fh;
}

static inline int on_opened(void *arg, uid_t user, uint64_t id)
{
	(void)arg;
	ck_assert_uint_eq(user, geteuid());
	ck_assert_uint_ne(id, 0);
	n_opened++;
	return 0;
}

static const struct gntalloc_adoption adoption = { .given_up = on_given_up, .opened = on_opened };

static inline void start(const struct sim_kept *left)
{
	struct gntalloc_config gc = { .name = "xen/gntalloc",
				      .domid = DOMID,
				      .limit = LIMIT,
				      .number = 1,
				      .records = records };
	struct sim_config sc = { .memory_pages = 256, .grant_frames_max = 1, .left = left };
	const char *why;

	keep.records = records;
	keep.life = &life;
	ck_assert_msg(!windows_new(dir, &keep, &windows, &why), "%s", why);
	sc.dirfd = windows_dirfd(windows);
	ck_assert_msg(!sim_new(&sc, &sim, &why), "%s", why);
	hv = sim_hypervisor(sim);
	gc.sim = sim;
	gc.windows = windows;
	ck_assert_int_eq(gntalloc_new(&gc, &ga), 0);
	gntalloc_set_winsock(ga, (struct winsock *)&call);
	dev = gntalloc_device(ga);
}

static inline void first_start(void)
{
	rcu_thread_enter();
	snprintf(dir, sizeof(dir), "%s/gntalloc-test-%d-%x", test_place(), (int)getpid(),
		 test_moment());
	keep = (struct windows_keep){ .dir = -1, .closes = -1, .opens = -1, .hand = -1 };
	ck_assert_int_eq(records_new(1024, &records), 0);
	start(NULL);
	ck_assert_int_eq(sim_port_bind(sim, DOMID, PORT, 0, NULL, NULL), 0);
}

static inline void adopt_all(void)
{
	n_opened = 0;
	ck_assert_int_eq(gntalloc_adopt(ga, &adoption), 0);
	windows_adopted(windows);
	ck_assert_int_eq(hv->ops->adopted(hv), 0);
}

/* One daemon is gone, the next has adopted what it left. */
static inline void succeed(void)
{
	struct sim_kept left = sim_kept(sim);
	int fd = dup(records_fd(records));

	left.state = dup(left.state);
	left.memory = dup(left.memory);
	windows_kept(windows, &keep);
	keep.dir = dup(keep.dir);
	keep.closes = dup(keep.closes);
	keep.opens = dup(keep.opens);
	keep.hand = dup(keep.hand);
	windows_leave(windows);
	gntalloc_leave(ga);
	sim_leave(sim);
	records_close(records);
	ck_assert_int_eq(records_adopt(fd, &records), 0);
	start(&left);
	adopt_all();
}

/* Nothing is left: not in the machine, not in the records but the device's own. */
static inline void last_end(void)
{
	struct sim_counts n;
	uint64_t used, made;

	gntalloc_close_all(ga);
	windows_destroy(windows);
	gntalloc_destroy(ga);
	sim_counts(sim, &n);
	ck_assert_uint_eq(n.frames, 0);
	ck_assert_uint_eq(n.grants, 0);
	ck_assert_uint_eq(n.port_refs, 0);
	records_count(records, &used, &made);
	ck_assert_uint_eq(used, 1);
	hv->ops->destroy(hv);
	records_close(records);
	rcu_thread_leave();
}

/* --- requests, in memory that we share with who is killed ---------------------------------------------- */

enum what {
	OPEN,
	RELEASE,
	ALLOC,
	DEALLOC,
	NOTIFY,
};

static struct shared {
	enum what what;
	bool again;
	uint64_t unique;
	uint64_t progress;
	uint64_t ends;
	uint64_t fh;
	const void *at;
	int result;
	union {
		struct ioctl_gntalloc_alloc_gref alloc;
		struct ioctl_gntalloc_dealloc_gref dealloc;
		struct ioctl_gntalloc_unmap_notify notify;
		unsigned char bytes[256];
	} arg;
} * shared;

static inline void on_done(struct request *rq, int result, const void *out, size_t len)
{
	(void)rq;
	(void)out;
	(void)len;
	shared->result = result;
}

static inline bool on_waiting(struct request *rq)
{
	(void)rq;
	return true;
}

static const struct request_ops request_ops = { .done = on_done, .waiting = on_waiting };

static const uint32_t commands[] = {
	[ALLOC] = IOCTL_GNTALLOC_ALLOC_GREF,
	[DEALLOC] = IOCTL_GNTALLOC_DEALLOC_GREF,
	[NOTIFY] = IOCTL_GNTALLOC_SET_UNMAP_NOTIFY,
};

static inline void carry_out(void *arg)
{
	const struct opener by = { .tid = gettid(),
				   .uid = geteuid(),
				   .gid = getegid(),
				   .unique = shared->unique,
				   .again = shared->again };
	struct request rq = { .ops = &request_ops,
			      .fh = shared->fh,
			      .arg = (uintptr_t)shared->at,
			      .unique = shared->unique,
			      .progress = &shared->progress,
			      .ends = &shared->ends,
			      .cmd = shared->what >= ALLOC ? commands[shared->what] : 0,
			      .tid = gettid(),
			      .uid = geteuid(),
			      .again = shared->again };

	(void)arg;
	if (shared->what == OPEN)
		shared->result = dev->open(dev, &by, O_RDWR, &shared->fh);
	else if (shared->what == RELEASE)
		dev->release(dev, shared->fh);
	else
		dev->ioctl(dev, &rq);
}

static inline void prepare(enum what what)
{
	shared->what = what;
	shared->again = false;
	shared->unique += 2;
	shared->progress = 0;
	shared->result = 77;
}

static inline int run(enum what what)
{
	prepare(what);
	carry_out(NULL);
	return shared->result;
}

/* --- what there is ------------------------------------------------------------------------------------- */

static inline void check_held(unsigned int pages, unsigned int port_refs, const char *when,
			      unsigned int nth)
{
	struct sim_counts n;

	sim_counts(sim, &n);
	assert_each(n.grants == pages && n.frames == pages && gntalloc_pages(ga) == pages,
		    "%s, killed at store %u: %u pages, %u grants, %u frames instead of %u", when,
		    nth, gntalloc_pages(ga), (unsigned int)n.grants, (unsigned int)n.frames, pages);
	assert_each(n.port_refs == port_refs, "%s, killed at store %u: %u port references", when,
		    nth, (unsigned int)n.port_refs);
}

static inline void set_alloc(void)
{
	shared->arg.alloc = (struct ioctl_gntalloc_alloc_gref){ .flags = GNTALLOC_FLAG_WRITABLE,
								.count = N,
								.index = ~0ULL };
}

static inline void survive_setup(void)
{
	shared = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	shared->at = &shared->arg;
	first_start();
}

static inline void survive_teardown(void)
{
	last_end();
	munmap(shared, 2 * 4096);
}

#endif /* TEST_MACHINE_SURVIVE_H */
