/* SPDX-License-Identifier: MIT */
/*
 * machine/test_survive.c - the daemon is killed, and a successor adopts xen/gntalloc
 *
 * A request is carried out by a child that is killed after its first store, its second, and so on (sim/prefix.h). Each
 * time the next daemon adopts what was left and executes the request again: it must be as if it had been executed once.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/step.h"
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

static bool on_given_up(void *arg, uint64_t unique, uint64_t id)
{
	(void)arg;
	return unique ? unique == given_up_unique : given_up_fh && id == given_up_fh;
}

static int on_opened(void *arg, uid_t user, uint64_t id)
{
	(void)arg;
	ck_assert_uint_eq(user, geteuid());
	ck_assert_uint_ne(id, 0);
	n_opened++;
	return 0;
}

static const struct gntalloc_adoption adoption = { .given_up = on_given_up, .opened = on_opened };

static void start(const struct sim_kept *left)
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

static void first_start(void)
{
	rcu_thread_enter();
	snprintf(dir, sizeof(dir), "%s/gntalloc-test-%d-%x", test_place(), (int)getpid(),
		 test_moment());
	keep = (struct windows_keep){ .dir = -1, .closes = -1, .opens = -1, .hand = -1 };
	ck_assert_int_eq(records_new(1024, &records), 0);
	start(NULL);
	ck_assert_int_eq(sim_port_bind(sim, DOMID, PORT, 0, NULL, NULL), 0);
}

static void adopt_all(void)
{
	n_opened = 0;
	ck_assert_int_eq(gntalloc_adopt(ga, &adoption), 0);
	windows_adopted(windows);
	ck_assert_int_eq(hv->ops->adopted(hv), 0);
}

/* One daemon is gone, the next has adopted what it left. */
static void succeed(void)
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
static void last_end(void)
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

static void on_done(struct request *rq, int result, const void *out, size_t len)
{
	(void)rq;
	(void)out;
	(void)len;
	shared->result = result;
}

static bool on_waiting(struct request *rq)
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

static void carry_out(void *arg)
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

static void prepare(enum what what)
{
	shared->what = what;
	shared->again = false;
	shared->unique += 2;
	shared->progress = 0;
	shared->result = 77;
}

static int run(enum what what)
{
	prepare(what);
	carry_out(NULL);
	return shared->result;
}

/* What lasts. */
static size_t watch(struct kept *kept, struct prefix_part *part, const void *cells)
{
	struct sim_kept left = sim_kept(sim);
	const char *why;
	size_t n = 0;

	ck_assert_int_eq(kept_adopt(dup(left.state), kept, &why), 0);
	part[n++] = (struct prefix_part){ cells, 4096 };
	part[n++] = (struct prefix_part){ &shared->progress, sizeof(shared->progress) };
	part[n++] = (struct prefix_part){ kept->head, sizeof(*kept->head) };
	part[n++] = (struct prefix_part){ kept->frame, 256 * sizeof(*kept->frame) };
	part[n++] = (struct prefix_part){ kept_tables(kept, DOMID), sizeof(struct kept_table) };
	part[n++] = (struct prefix_part){ kept_ports(kept, DOMID), 8 * sizeof(struct kept_port) };
	return n;
}

/*
 * The request is carried out, killed after its @nth store, adopted, and carried out again.
 *
 * Return: false if it has come to its end before.
 */
static bool kill_at(enum what what, unsigned int nth)
{
	struct prefix_part part[8];
	struct kept kept;
	void *cells = mmap(NULL, 4096, PROT_READ, MAP_SHARED, records_fd(records), 0);
	size_t n = watch(&kept, part, cells);
	bool killed;

	ck_assert_ptr_ne(cells, MAP_FAILED);
	prepare(what);
	killed = prefix_kill(carry_out, NULL, part, n, nth);
	munmap(cells, 4096);
	kept_close(&kept);
	succeed();
	shared->again = true;
	shared->result = 77;
	carry_out(NULL);
	return killed;
}

/* --- what there is ------------------------------------------------------------------------------------- */

static void check_held(unsigned int pages, unsigned int port_refs, const char *when,
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

static void set_alloc(void)
{
	shared->arg.alloc = (struct ioctl_gntalloc_alloc_gref){ .flags = GNTALLOC_FLAG_WRITABLE,
								.count = N,
								.index = ~0ULL };
}

/* The answer of an ALLOC that was executed again: the references are granted, the index is theirs. */
static uint64_t check_allocated(void)
{
	uint64_t index = shared->arg.alloc.index;
	const unsigned char *refs = shared->arg.bytes + ABI_ALLOC_GREFS_OFFSET;

	ck_assert_int_eq(shared->result, 0);
	for (unsigned int i = 0; i < N; i++) {
		struct hv_grant g = { .domid = DOMID, .status = HV_PENDING };

		memcpy(&g.ref, refs + i * sizeof(g.ref), sizeof(g.ref));
		ck_assert_int_eq(map_grant(&g, false), GNTST_okay);
		ck_assert_int_eq(hv->ops->unmap(hv, &g, 1), 0);
	}
	return index;
}

static void set_dealloc(uint64_t index)
{
	shared->arg.dealloc = (struct ioctl_gntalloc_dealloc_gref){ .index = index, .count = N };
}

static void set_notify(uint64_t index)
{
	shared->arg.notify = (struct ioctl_gntalloc_unmap_notify){
		.index = index + 5,
		.action = UNMAP_NOTIFY_SEND_EVENT | UNMAP_NOTIFY_CLEAR_BYTE,
		.event_channel_port = PORT,
	};
}

static uint64_t sent(void)
{
	uint64_t n;

	ck_assert_int_eq(sim_port_sent(sim, DOMID, PORT, &n), 0);
	return n;
}

/* Of base/step.h: at the one that is told the daemon opens the device once more, and dies. */
static uint32_t open_at;

void step_reached(enum step s)
{
	if (open_at != (uint32_t)s + 1)
		return;
	open_at = 0;
	run(OPEN);
	kill(getpid(), SIGKILL);
}

/* --- the tests ------------------------------------------------------------------------------------------ */

START_TEST(open_again)
{
	unsigned int nth = 1;
	bool killed;

	do {
		shared->fh = 0;
		killed = kill_at(OPEN, nth);
		ck_assert_int_eq(shared->result, 0);
		fh = shared->fh;
		token_of(fh);
		ck_assert_int_eq(run(RELEASE), 77);
		/* There was no other. */
		succeed();
		ck_assert_uint_eq(n_opened, 0);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 3);
}
END_TEST

START_TEST(alloc_again)
{
	unsigned int nth = 1;
	uint64_t index, last = 0;
	bool killed;

	ck_assert_int_eq(run(OPEN), 0);
	do {
		set_alloc();
		killed = kill_at(ALLOC, nth);
		check_held(N, 0, "ALLOC_GREF", nth);
		index = check_allocated();
		/* No index is used twice. */
		ck_assert(nth == 1 || index > last);
		last = index;
		set_dealloc(index);
		ck_assert_int_eq(run(DEALLOC), 0);
		check_held(0, 0, "DEALLOC_GREF", nth);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 10);
}
END_TEST

/* The answer cannot be written: nothing is left, however often it is tried. */
START_TEST(alloc_undone_again)
{
	unsigned char *page = (unsigned char *)shared + PAGE;
	unsigned int nth = 1;
	bool killed;

	ck_assert_int_eq(run(OPEN), 0);
	set_alloc();
	memcpy(page, &shared->arg, sizeof(shared->arg));
	ck_assert_int_eq(mprotect(page, PAGE, PROT_READ), 0);
	do {
		shared->at = page;
		killed = kill_at(ALLOC, nth);
		ck_assert_int_eq(shared->result, -EFAULT);
		check_held(0, 0, "ALLOC_GREF", nth);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 20);
	shared->at = &shared->arg;
}
END_TEST

START_TEST(dealloc_again)
{
	unsigned int nth = 1;
	uint64_t index, before;
	bool killed;

	ck_assert_int_eq(run(OPEN), 0);
	do {
		set_alloc();
		ck_assert_int_eq(run(ALLOC), 0);
		index = shared->arg.alloc.index;
		set_notify(index);
		ck_assert_int_eq(run(NOTIFY), 0);
		before = sent();
		set_dealloc(index);
		killed = kill_at(DEALLOC, nth);
		ck_assert_int_eq(shared->result, 0);
		check_held(0, 0, "DEALLOC_GREF", nth);
		/* Once more if it was killed in between. */
		ck_assert(sent() == before + 1 || (killed && sent() == before + 2));
		/* They are not there. */
		ck_assert_int_eq(run(DEALLOC), -EINVAL);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 10);
}
END_TEST

START_TEST(notify_again)
{
	unsigned int nth = 1;
	uint64_t index;
	bool killed;

	ck_assert_int_eq(run(OPEN), 0);
	do {
		set_alloc();
		ck_assert_int_eq(run(ALLOC), 0);
		index = shared->arg.alloc.index;
		set_notify(index);
		killed = kill_at(NOTIFY, nth);
		ck_assert_int_eq(shared->result, 0);
		check_held(N, 1, "SET_UNMAP_NOTIFY", nth);
		set_dealloc(index);
		ck_assert_int_eq(run(DEALLOC), 0);
		check_held(0, 0, "DEALLOC_GREF", nth);
		nth++;
	} while (killed);
}
END_TEST

START_TEST(release_again)
{
	unsigned int nth = 1;
	bool killed;

	do {
		ck_assert_int_eq(run(OPEN), 0);
		set_alloc();
		ck_assert_int_eq(run(ALLOC), 0);
		set_notify(shared->arg.alloc.index);
		ck_assert_int_eq(run(NOTIFY), 0);
		killed = kill_at(RELEASE, nth);
		check_held(0, 0, "release", nth);
		succeed();
		ck_assert_uint_eq(n_opened, 0);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 5);
}
END_TEST

/* What a client has mapped it has through all of it, also after it has deallocated it and closed its descriptor. */
START_TEST(windows_go_on)
{
	unsigned char *p;
	uint64_t index;

	ck_assert_int_eq(run(OPEN), 0);
	fh = shared->fh;
	set_alloc();
	ck_assert_int_eq(run(ALLOC), 0);
	index = shared->arg.alloc.index;
	p = must_map(index, N);
	p[PAGE] = 42;
	succeed();
	check_held(N, 0, "mapped", 0);
	set_dealloc(index);
	ck_assert_int_eq(run(DEALLOC), 0);
	check_held(N, 0, "deallocated", 0);
	succeed();
	check_held(N, 0, "deallocated", 1);
	/* It is the window's alone. */
	ck_assert_int_eq(run(DEALLOC), -EINVAL);
	ck_assert_int_eq(run(RELEASE), 77);
	succeed();
	check_held(N, 0, "closed", 0);
	ck_assert_uint_eq(n_opened, 0);
	ck_assert_uint_eq(p[PAGE], 42);
	ck_assert_int_eq(windows_start(windows), 0);
	munmap(p, N * PAGE);
	ck_assert(frames_become(0));
}
END_TEST

/* The window's end came while there was no daemon. */
START_TEST(window_ended_meanwhile)
{
	unsigned char *p;

	ck_assert_int_eq(run(OPEN), 0);
	fh = shared->fh;
	set_alloc();
	ck_assert_int_eq(run(ALLOC), 0);
	p = must_map(shared->arg.alloc.index, N);
	ck_assert_int_eq(run(RELEASE), 77);
	munmap(p, N * PAGE);
	succeed();
	ck_assert_int_eq(windows_start(windows), 0);
	ck_assert(frames_become(0));
}
END_TEST

static void *first_record(enum record_kind kind)
{
	uint32_t cursor = 0;

	return record_head(records, record_next(records, kind, &cursor));
}

/* Another device on the same records. */
static int try_to_adopt(void)
{
	struct gntalloc_config gc = { .name = "xen/gntalloc",
				      .sim = sim,
				      .windows = windows,
				      .domid = DOMID,
				      .limit = LIMIT,
				      .number = 1,
				      .records = records };
	struct gntalloc *other;
	int err;

	ck_assert_int_eq(gntalloc_new(&gc, &other), 0);
	err = gntalloc_adopt(other, &adoption);
	gntalloc_leave(other);
	return err;
}

/* Refused, and nothing is touched. */
/* Its slot is not another's as long as its record is there. */
START_TEST(opened_while_released)
{
	pid_t pid;

	ck_assert_int_eq(run(OPEN), 0);
	prepare(RELEASE);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		open_at = STEP_alloc_retired + 1;
		carry_out(NULL);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(shared->result, 0);
	succeed();
	ck_assert_uint_eq(n_opened, 2);
	gntalloc_close_all(ga);
}
END_TEST

/* What daemons have died of is not done again: but nothing is left that nobody has. */
START_TEST(given_up)
{
	ck_assert_int_eq(run(OPEN), 0);
	fh = shared->fh;
	given_up_unique = shared->unique;
	succeed();
	ck_assert_uint_eq(n_opened, 0);
	ck_assert_int_eq(run(OPEN), 0);
	fh = shared->fh;
	set_alloc();
	ck_assert_int_eq(run(ALLOC), 0);
	succeed();
	check_held(N, 0, "open", 1);
	given_up_fh = fh;
	succeed();
	check_held(0, 0, "its release is given up", 0);
}
END_TEST

START_TEST(damaged)
{
	struct alloc_page_lasting *p, page;
	struct alloc_open_lasting *o, open;

	ck_assert_int_eq(run(OPEN), 0);
	set_alloc();
	ck_assert_int_eq(run(ALLOC), 0);
	p = first_record(RECORD_ALLOC_PAGE);
	o = first_record(RECORD_ALLOC_OPEN);
	page = *p;
	open = *o;
#define WRONG(what, was, value)                                             \
	do {                                                                \
		(what) = (value);                                           \
		ck_assert_msg(try_to_adopt() == -EINVAL, #what " " #value); \
		(what) = (was);                                             \
	} while (0)
	WRONG(p->ref, page.ref, page.ref + 40);
	WRONG(p->ref, page.ref, 0);
	WRONG(p->frame, page.frame, page.frame + 1);
	WRONG(p->domid, page.domid, DOMID + 1);
	WRONG(p->index, page.index, page.index + 1);
	WRONG(p->state, page.state, 4);
	WRONG(o->next, open.next, 4097);
	WRONG(o->fh, open.fh, 0);
#undef WRONG
	ck_assert_int_eq(try_to_adopt(), 0);
	check_held(N, 0, "damaged", 0);
}
END_TEST

static void survive_setup(void)
{
	shared = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	shared->at = &shared->arg;
	first_start();
}

static void survive_teardown(void)
{
	last_end();
	munmap(shared, 2 * 4096);
}

Suite *survive_suite(void);

Suite *survive_suite(void)
{
	const TTest *const tests[] = {
		open_again,
		alloc_again,
		alloc_undone_again,
		dealloc_again,
		notify_again,
		release_again,
		windows_go_on,
		window_ended_meanwhile,
		opened_while_released,
		given_up,
		damaged,
	};

	return suite_of("gntalloc_survive", tests, sizeof(tests) / sizeof(tests[0]), survive_setup,
			survive_teardown);
}
