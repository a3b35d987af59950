/* SPDX-License-Identifier: MIT */
/*
 * machine/test_survive.c - the daemon is killed, and a successor adopts xen/gntalloc
 *
 * A request is carried out by a child that is killed after its first store, its second, and so on (sim/prefix.h). Each
 * time the next daemon adopts what was left and executes the request again: it must be as if it had been executed once.
 */
#include "tests/unit/machine/survive.h"

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

/* Wherever the daemon is killed, but for the one place between the sending and what says so. */
START_TEST(notified_once)
{
	unsigned int twice = 0, nth = 1;
	bool killed;

	do {
		uint64_t before = sent();

		ck_assert_int_eq(run(OPEN), 0);
		fh = shared->fh;
		set_alloc();
		shared->arg.alloc.count = 1;
		ck_assert_int_eq(run(ALLOC), 0);
		set_notify(shared->arg.alloc.index);
		ck_assert_int_eq(run(NOTIFY), 0);
		shared->fh = fh;
		killed = kill_at(RELEASE, nth++);
		ck_assert_uint_gt(sent(), before);
		twice += sent() - before > 1;
	} while (killed);
	ck_assert_uint_eq(twice, 1);
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

Suite *survive_suite(void);

Suite *survive_suite(void)
{
	const TTest *const tests[] = {
		open_again,
		alloc_again,
		alloc_undone_again,
		dealloc_again,
		notify_again,
		notified_once,
		release_again,
		windows_go_on,
		window_ended_meanwhile,
		opened_while_released,
	};

	return suite_of("gntalloc_survive", tests, sizeof(tests) / sizeof(tests[0]), survive_setup,
			survive_teardown);
}
