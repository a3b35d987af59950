/* SPDX-License-Identifier: MIT */
/*
 * evtchn/test_survive.c - the daemon is killed, and a successor adopts xen/evtchn
 *
 * A request is carried out by a child that is killed after its first store, its second, and so on (sim/prefix.h). Each
 * time the next daemon adopts what was left and executes the request again, unless it had been answered: it must be as if it
 * had been executed once, but that an event may come twice. Never is one lost.
 */
#include <stdlib.h>
#include <sys/mman.h>

/* One that can die. */
#define US 9

#include "evtchn/impl.h"
#include "sim/kept.h"
#include "tests/unit/evtchn/rig.h"
#include "tests/unit/sim/prefix.h"
#include "tests/unit/suite.h"

/* Of the records, watched. */
#define CELLS_BYTES 16384

static struct records *records;
static unsigned int n_opened;

/* --- daemons ---------------------------------------------------------------------------------------- */

static int on_opened(void *arg, uid_t user, uint64_t id)
{
	(void)arg;
	ck_assert_uint_eq(user, geteuid());
	ck_assert_uint_ne(id, 0);
	n_opened++;
	return 0;
}

/* A request that is given up: its number, or the open that it was to release. */
static uint64_t given_up, not_released;

static bool on_given_up(void *arg, uint64_t unique, uint64_t id)
{
	(void)arg;
	return unique ? unique == given_up : id == not_released;
}

static const struct evtchn_adoption adoption = { .given_up = on_given_up, .opened = on_opened };

/* One daemon is gone, the next has adopted what it left. */
static void succeed(void)
{
	struct sim_kept left = sim_kept(sim);
	int fd = dup(records_fd(records));

	left.state = dup(left.state);
	left.memory = dup(left.memory);
	evtchn_leave(us.ev);
	sim_leave(sim);
	records_close(records);
	ck_assert_int_eq(records_adopt(fd, &records), 0);
	start_machine(&left);
	start_side(&us, records, 3);
	n_opened = 0;
	ck_assert_int_eq(evtchn_adopt(us.ev, &adoption), 0);
	ck_assert_int_eq(sim_hypervisor(sim)->ops->adopted(sim_hypervisor(sim)), 0);
}

/* --- requests, in memory that we share with who is killed ------------------------------------------- */

enum what { OPEN, RELEASE, REQUEST };

static struct shared {
	enum what what;
	struct asked a;
	uint32_t arg[64];
} * shared;

static void run_it(void *arg)
{
	const struct opener by = { .tid = gettid(),
				   .uid = geteuid(),
				   .unique = shared->a.rq.unique,
				   .again = shared->a.rq.again };

	(void)arg;
	if (shared->what == OPEN)
		shared->a.result = us.dev->open(us.dev, &by, O_RDWR, &shared->a.rq.fh);
	else if (shared->what == RELEASE)
		us.dev->release(us.dev, shared->a.rq.fh);
	else
		carry_out(&us, &shared->a);
}

static void prepare(enum what what, const struct request *rq)
{
	shared->what = what;
	shared->a = (struct asked){ .rq = *rq, .result = 77 };
	shared->a.rq.arg = (uintptr_t)shared->arg;
	shared->a.rq.in = shared->arg;
	shared->a.rq.unique = next_unique += 2;
}

/* What was prepared is killed after its @nth store. Return: false if it has come to its end before. */
static bool kill_at(unsigned int nth)
{
	struct sim_kept left = sim_kept(sim);
	struct prefix_part part[4];
	struct kept kept;
	const char *why;
	void *cells = mmap(NULL, CELLS_BYTES, PROT_READ, MAP_SHARED, records_fd(records), 0);
	bool killed;

	ck_assert_ptr_ne(cells, MAP_FAILED);
	ck_assert_int_eq(kept_adopt(dup(left.state), &kept, &why), 0);
	part[0] = (struct prefix_part){ cells, CELLS_BYTES };
	part[1] = (struct prefix_part){ &shared->a.progress, sizeof(shared->a.progress) };
	part[2] = (struct prefix_part){ kept_ports(&kept, US), 256 * sizeof(struct kept_port) };
	part[3] = (struct prefix_part){ &shared->a.answers, sizeof(shared->a.answers) };
	killed = prefix_kill(run_it, NULL, part, 4, nth);
	munmap(cells, CELLS_BYTES);
	kept_close(&kept);
	succeed();
	if (!shared->a.answers) {
		shared->a.rq.again = true;
		run_it(NULL);
	}
	return killed;
}

/* --- what there is ---------------------------------------------------------------------------------- */

static unsigned int n_bound(void)
{
	unsigned int n = 0;

	for (uint32_t port = 0; sim_channel_next(sim, US, &port); n++)
		;
	return n;
}

/* All that is there to be read: @port, once, or twice. */
static void check_event(uint64_t fh, int port, unsigned int nth)
{
	uint32_t got[4] = { 0 };
	int n = read_ports(&us, fh, sizeof(got), got);

	assert_each(n == 1 || n == 2, "killed at store %u: %d events", nth, n);
	assert_each(got[0] == (uint32_t)port && (n == 1 || got[1] == got[0]),
		    "killed at store %u: port %u", nth, got[0]);
	unmask(&us, fh, port);
	if (read_ports(&us, fh, sizeof(got), got) > 0)
		unmask(&us, fh, port);
	assert_each(reads_nothing(&us, fh), "killed at store %u: a third event", nth);
}

static uint64_t fh, other;
static int port, other_port;

static void connect_both(void)
{
	port = bind_unbound(&us, fh, DOMID_SELF);
	other_port = bind_to(&us, other, DOMID_SELF, (uint32_t)port);
	ck_assert_int_gt(other_port, 0);
	ck_assert(reads(&us, other, other_port));
	unmask(&us, other, other_port);
}

static void part_both(void)
{
	ck_assert_int_eq(unbind(&us, fh, (uint32_t)port), 0);
	ck_assert_int_eq(unbind(&us, other, (uint32_t)other_port), 0);
	ck_assert_uint_eq(n_bound(), 0);
}

static void setup(void)
{
	make_dir();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	ck_assert_int_eq(records_new(1024, &records), 0);
	start_machine(NULL);
	start_side(&us, records, 3);
	us.wakes = 0;
	fh = open_of(&us);
	other = open_of(&us);
}

static void end_world(void)
{
	sim_hypervisor(sim)->ops->destroy(sim_hypervisor(sim));
	records_close(records);
	munmap(shared, sizeof(*shared));
	remove_dir();
}

/* Nothing is left: not in the machine, not in the records but the device's own. */
static void teardown(void)
{
	uint64_t used, made;

	end_side(&us);
	records_count(records, &used, &made);
	ck_assert_uint_eq(used, 1);
	end_world();
}

/* --- the tests -------------------------------------------------------------------------------------- */

START_TEST(open_again)
{
	unsigned int nth = 1;
	bool killed;

	do {
		prepare(OPEN, &(struct request){ 0 });
		killed = kill_at(nth);
		ck_assert_int_eq(shared->a.result, 0);
		us.dev->release(us.dev, shared->a.rq.fh);
		/* There was no other. */
		succeed();
		assert_each(n_opened == 2, "killed at store %u: %u opens", nth, n_opened);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 3);
}
END_TEST

START_TEST(release_again)
{
	unsigned int nth = 1;
	bool killed;

	do {
		uint64_t third = open_of(&us);

		connect_both();
		ck_assert_int_gt(bind_unbound(&us, third, US), 0);
		ck_assert_int_eq(unbind(&us, other, (uint32_t)other_port), 0);
		ck_assert_int_gt(bind_to(&us, third, US, (uint32_t)port), 0);
		prepare(RELEASE, &(struct request){ .fh = third });
		killed = kill_at(nth);
		succeed();
		assert_each(n_opened == 2 && n_bound() == 1,
			    "killed at store %u: %u opens, %u ports", nth, n_opened, n_bound());
		/* What was at the other end can be bound to. */
		other_port = bind_to(&us, other, US, (uint32_t)port);
		check_event(other, other_port, nth);
		part_both();
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 8);
}
END_TEST

static bool kill_ioctl(uint64_t of, uint32_t cmd, uint32_t a, uint32_t b, unsigned int nth)
{
	shared->arg[0] = a;
	shared->arg[1] = b;
	prepare(REQUEST, &(struct request){ .fh = of, .cmd = cmd });
	return kill_at(nth);
}

START_TEST(bind_again)
{
	unsigned int nth = 1;
	bool killed;

	do {
		port = bind_unbound(&us, fh, DOMID_SELF);
		killed = kill_ioctl(other, IOCTL_EVTCHN_BIND_INTERDOMAIN, US, (uint32_t)port, nth);
		other_port = shared->a.result;
		assert_each(other_port > 0 && n_bound() == 2,
			    "killed at store %u: result %d, %u ports", nth, other_port, n_bound());
		check_event(other, other_port, nth);
		ck_assert_int_eq(notify(&us, other, (uint32_t)other_port), 0);
		ck_assert(reads(&us, fh, port));
		ck_assert_int_eq(notify(&us, fh, (uint32_t)port), 0);
		ck_assert(reads(&us, other, other_port));
		part_both();
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 12);
}
END_TEST

START_TEST(bind_unbound_again)
{
	unsigned int nth = 1;
	bool killed;

	do {
		killed = kill_ioctl(fh, IOCTL_EVTCHN_BIND_UNBOUND_PORT, US, 0, nth);
		assert_each(shared->a.result > 0 && n_bound() == 1,
			    "killed at store %u: result %d, %u ports", nth, shared->a.result,
			    n_bound());
		ck_assert_int_eq(unbind(&us, fh, (uint32_t)shared->a.result), 0);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 5);
}
END_TEST

START_TEST(unbind_again)
{
	unsigned int nth = 1;
	bool killed;

	do {
		connect_both();
		killed = kill_ioctl(other, IOCTL_EVTCHN_UNBIND, (uint32_t)other_port, 0, nth);
		assert_each(!shared->a.result && n_bound() == 1,
			    "killed at store %u: result %d, %u ports", nth, shared->a.result,
			    n_bound());
		ck_assert_int_eq(unbind(&us, other, (uint32_t)other_port), -ENOTCONN);
		other_port = bind_to(&us, other, US, (uint32_t)port);
		check_event(other, other_port, nth);
		part_both();
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 5);
}
END_TEST

START_TEST(notify_again)
{
	unsigned int nth = 1;
	bool killed;

	connect_both();
	do {
		killed = kill_ioctl(other, IOCTL_EVTCHN_NOTIFY, (uint32_t)other_port, 0, nth);
		ck_assert_int_eq(shared->a.result, 0);
		check_event(fh, port, nth);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 5);
}
END_TEST

START_TEST(unmask_again)
{
	unsigned int nth = 1;
	bool killed;

	connect_both();
	do {
		ck_assert_int_eq(notify(&us, other, (uint32_t)other_port), 0);
		ck_assert(reads(&us, fh, port));
		ck_assert_int_eq(notify(&us, other, (uint32_t)other_port), 0);
		shared->arg[0] = (uint32_t)port;
		prepare(REQUEST, &(struct request){ .kind = REQUEST_WRITE, .fh = fh, .in_len = 4 });
		killed = kill_at(nth);
		ck_assert_int_eq(shared->a.result, 4);
		check_event(fh, port, nth);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 5);
}
END_TEST

START_TEST(read_again)
{
	unsigned int nth = 1;
	bool killed;

	connect_both();
	do {
		ck_assert_int_eq(notify(&us, other, (uint32_t)other_port), 0);
		prepare(REQUEST,
			&(struct request){ .kind = REQUEST_READ, .fh = fh, .out_len = 64 });
		killed = kill_at(nth);
		ck_assert_int_eq(answer_of(&shared->a), 0);
		assert_each(shared->a.len == 4 && shared->a.out[0] == (uint32_t)port,
			    "killed at store %u: %zu bytes", nth, shared->a.len);
		/* Once more if it was killed in between. */
		read_ports(&us, fh, 64, NULL);
		unmask(&us, fh, port);
		ck_assert(reads_nothing(&us, fh));
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 2);
}
END_TEST

START_TEST(restrict_again)
{
	unsigned int nth = 1;
	bool killed;

	do {
		uint64_t third = open_of(&us);

		killed = kill_ioctl(third, IOCTL_EVTCHN_RESTRICT_DOMID, 5, 0, nth);
		ck_assert_int_eq(shared->a.result, 0);
		ck_assert_int_eq(restrict_to(&us, third, 5), -EACCES);
		us.dev->release(us.dev, third);
		nth++;
	} while (killed);
	ck_assert_uint_gt(nth, 2);
}
END_TEST

/* With a port more than its ring has places, and all of them taken. */
START_TEST(the_ring_grows_again)
{
	unsigned int nth = 1;
	uint32_t got[256];
	bool killed;

	do {
		uint64_t third = open_of(&us);
		uint32_t from[65];

		for (int i = 0; i < 65; i++)
			from[i] = (uint32_t)bind_unbound(&us, fh, US);
		for (int i = 0; i < 64; i++)
			ck_assert_int_gt(bind_to(&us, third, US, from[i]), 0);
		killed = kill_ioctl(third, IOCTL_EVTCHN_BIND_INTERDOMAIN, US, from[64], nth);
		ck_assert_int_gt(shared->a.result, 0);
		assert_each(read_ports(&us, third, sizeof(got), got) == 65, "killed at store %u",
			    nth);
		for (int i = 1; i < 65; i++)
			ck_assert_uint_gt(got[i], got[i - 1]);
		us.dev->release(us.dev, third);
		for (int i = 0; i < 65; i++)
			ck_assert_int_eq(unbind(&us, fh, from[i]), 0);
		/* The first of it is the same as without growing. */
		nth += nth < 4 ? 1 : 5;
	} while (killed);
	ck_assert_uint_gt(nth, 20);
}
END_TEST

/* Ring, masks, what waits, overflow, whom to wake: as they were. */
START_TEST(all_of_it_lasts)
{
	connect_both();
	notify(&us, other, (uint32_t)other_port);
	succeed();
	ck_assert_uint_eq(n_opened, 2);
	ck_assert(reads(&us, fh, port));
	notify(&us, other, (uint32_t)other_port);
	succeed();
	ck_assert(reads_nothing(&us, fh));
	unmask(&us, fh, port);
	ck_assert(reads(&us, fh, port));
	unmask(&us, fh, port);
	poll_of(&us, fh, 71);
	succeed();
	notify(&us, other, (uint32_t)other_port);
	ck_assert_uint_eq(us.wakes, 1);
	ck_assert_uint_eq(us.woken, 71);
	for (unsigned int i = 0; i < 64; i++) {
		unmask(&us, fh, port);
		notify(&us, other, (uint32_t)other_port);
	}
	succeed();
	ck_assert_int_eq(read_ports(&us, fh, 64, NULL), -EFBIG);
	ck_assert_int_eq(reset(&us, fh), 0);
	succeed();
	ck_assert(reads_nothing(&us, fh));
	part_both();
}
END_TEST

/* What daemons have died of is given up: nothing of it is left. */
START_TEST(given_up_is_undone)
{
	uint64_t third = open_of(&us);

	connect_both();
	ck_assert_int_gt(bind_unbound(&us, third, US), 0);
	given_up = next_unique;
	succeed();
	ck_assert_uint_eq(n_opened, 3);
	ck_assert_uint_eq(n_bound(), 2);
	ck_assert_int_gt(bind_unbound(&us, third, US), 0);
	given_up = 0;
	not_released = third;
	succeed();
	ck_assert_uint_eq(n_opened, 2);
	ck_assert_uint_eq(n_bound(), 2);
	not_released = 0;
	open_of(&us);
	given_up = next_unique;
	succeed();
	ck_assert_uint_eq(n_opened, 2);
	given_up = 0;
	part_both();
}
END_TEST

START_TEST(a_user_has_so_many_opens)
{
	uint64_t third, none;
	const struct opener by = { .uid = geteuid(), .unique = 1 };

	policy_limit_set(&us.ev->limits, POLICY_LIMIT_opens_per_user, 3);
	third = open_of(&us);
	ck_assert_int_eq(us.dev->open(us.dev, &by, O_RDWR, &none), -ENOSPC);
	succeed();
	policy_limit_set(&us.ev->limits, POLICY_LIMIT_opens_per_user, 3);
	ck_assert_int_eq(us.dev->open(us.dev, &by, O_RDWR, &none), -ENOSPC);
	us.dev->release(us.dev, third);
	open_of(&us);
	ck_assert_int_eq(us.dev->open(us.dev, &by, O_RDWR, &none), -ENOSPC);
}
END_TEST

/* Opens go on, and what they had in the domain has gone with it. */
START_TEST(the_domain_is_gone)
{
	connect_both();
	ck_assert_int_eq(sim_domain_remove(sim, US), 0);
	succeed();
	ck_assert_uint_eq(n_opened, 2);
	ck_assert_uint_eq(n_bound(), 0);
	ck_assert_int_eq(notify(&us, fh, (uint32_t)port), -ENOTCONN);
	connect_both();
	part_both();
}
END_TEST

START_TEST(the_domain_dies)
{
	struct hypervisor *hv = sim_hypervisor(sim);
	struct hv_grant g = { .domid = US, .status = HV_PENDING };
	uint32_t frame;

	connect_both();
	ck_assert_int_eq(sim_frames_alloc(sim, US, 1, &frame), 0);
	ck_assert_int_eq(sim_grant(sim, US, 0, frame, false, &g.ref), 0);
	ck_assert_int_eq(hv->ops->map(hv, &g, 1, &(struct hv_place){ 0 }), 0);
	ck_assert_int_eq(sim_domain_remove(sim, US), 0);
	ck_assert_int_eq(sim_domain_state(sim, US), SIM_DOMAIN_DYING);
	/* Nobody has the mapping any more: so the domain is gone then. */
	succeed();
	ck_assert_uint_eq(n_opened, 2);
	ck_assert_int_eq(sim_domain_state(sim, US), SIM_DOMAIN_ABSENT);
	ck_assert_int_eq(bind_unbound(&us, fh, US), -ESRCH);
}
END_TEST

/* A notification's reference is taken again by who had it. */
START_TEST(references_last)
{
	connect_both();
	ck_assert_int_eq(sim_port_get(sim, US, (uint32_t)port), 0);
	ck_assert_int_eq(unbind(&us, fh, (uint32_t)port), 0);
	struct sim_kept left = sim_kept(sim);
	int fd = dup(records_fd(records));

	left.state = dup(left.state);
	left.memory = dup(left.memory);
	evtchn_leave(us.ev);
	sim_leave(sim);
	records_close(records);
	ck_assert_int_eq(records_adopt(fd, &records), 0);
	start_machine(&left);
	start_side(&us, records, 3);
	ck_assert_int_eq(evtchn_adopt(us.ev, &adoption), 0);
	ck_assert_int_eq(sim_port_get(sim, US, (uint32_t)port), 0);
	ck_assert_int_eq(sim_hypervisor(sim)->ops->adopted(sim_hypervisor(sim)), 0);
	ck_assert_int_eq(sim_port_send(sim, US, (uint32_t)port), 0);
	ck_assert(reads(&us, other, other_port));
	sim_port_put(sim, US, (uint32_t)port);
	ck_assert_uint_eq(n_bound(), 1);
	ck_assert_int_eq(bind_to(&us, fh, US, (uint32_t)other_port), port);
	ck_assert(reads(&us, fh, port));
	part_both();
}
END_TEST

enum damage { RING_NUMBER, RING_SIZE, ENDS, OVERFLOW, RESTRICTED, PORT_NUMBER, ENABLED, DAMAGE_N };

static void damage(enum damage what)
{
	uint32_t cursor = 0, record = record_next(records, RECORD_EVTCHN_OPEN, &cursor);
	struct evtchn_open_lasting *o;
	struct evtchn_port_lasting *p;

	/* That one that has a ring. */
	while (!((struct evtchn_open_lasting *)record_head(records, record))->ring)
		record = record_next(records, RECORD_EVTCHN_OPEN, &cursor);
	o = record_head(records, record);
	cursor = 0;
	p = record_head(records, record_next(records, RECORD_EVTCHN_PORT, &cursor));
	if (what == RING_NUMBER)
		o->ring = record;
	if (what == RING_SIZE)
		record_write(records, o->ring, 0, &(uint32_t){ 128 }, 4);
	if (what == ENDS)
		o->ends = 65;
	if (what == OVERFLOW)
		o->overflow = 2;
	if (what == RESTRICTED)
		o->restricted = DOMID_FIRST_RESERVED;
	if (what == PORT_NUMBER)
		p->port = SIM_PORT_MAX + 1;
	if (what == ENABLED)
		p->enabled = 2;
}

START_TEST(damage_is_refused)
{
	struct evtchn *fresh;
	const struct evtchn_config ec = {
		.name = "x", .sim = sim, .records = records, .number = 3
	};

	port = bind_unbound(&us, fh, US);
	damage((enum damage)_i);
	ck_assert_int_eq(evtchn_new(&ec, &fresh), 0);
	ck_assert_int_eq(evtchn_adopt(fresh, &adoption), -EINVAL);
	evtchn_leave(fresh);
	/* Nothing in there can be relied on: it is not looked at any more. */
	evtchn_leave(us.ev);
	end_world();
}
END_TEST

Suite *survive_suite(void);
Suite *survive_suite(void)
{
	Suite *s = suite_create("survive");
	TCase *tc = tcase_create("survive"), *damaged = tcase_create("damaged");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, open_again);
	tcase_add_test(tc, release_again);
	tcase_add_test(tc, bind_again);
	tcase_add_test(tc, bind_unbound_again);
	tcase_add_test(tc, unbind_again);
	tcase_add_test(tc, notify_again);
	tcase_add_test(tc, unmask_again);
	tcase_add_test(tc, read_again);
	tcase_add_test(tc, restrict_again);
	tcase_add_test(tc, the_ring_grows_again);
	tcase_add_test(tc, all_of_it_lasts);
	tcase_add_test(tc, given_up_is_undone);
	tcase_add_test(tc, references_last);
	tcase_add_test(tc, a_user_has_so_many_opens);
	tcase_add_test(tc, the_domain_is_gone);
	tcase_add_test(tc, the_domain_dies);
	suite_add_tcase(s, tc);
	tcase_set_timeout(damaged, 60);
	tcase_add_checked_fixture(damaged, setup, NULL);
	tcase_add_loop_test(damaged, damage_is_refused, 0, DAMAGE_N);
	suite_add_tcase(s, damaged);
	return s;
}
