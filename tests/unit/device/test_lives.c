/* SPDX-License-Identifier: MIT */
/*
 * test_lives.c - the device is killed at each step, and nobody notices
 *
 * A life is a process: it adopts records and the simulated machine from the life before, carries out the request that was in hand
 * once more, and goes on with a script of requests, until it is killed at a step (base/step.h) or the script is over. What
 * outlives it is what outlives a daemon, and the world: what the client knows, which windows it holds, what the kernel has in hand.
 *
 * Of each request is noted how it was answered and what is held then. A run with kills has to note the same as one without.
 *
 * The window directory is a double: see lives.h.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/ioctl.h"
#include "base/defer.h"
#include "base/rcu.h"
#include "base/step.h"
#include "device/gntdev.h"
#include "device/lasting.h"
#include "policy/policy.h"
#include "sim/sim.h"
#include "state/record.h"
#include "tests/unit/place.h"
#include "window/window.h"

#include "tests/unit/device/lives.h"

/* When to die in the next life, and what has been reached. */
static struct step_orders *orders;

/* Three batches into one page. What the granter has written there since the first is its own. */
static void do_copy(int fh, int page)
{
	struct ioctl_gntdev_grant_copy_segment seg[SEGMENTS];
	struct ioctl_gntdev_grant_copy op = { .count = SEGMENTS, .segments = seg };
	char from[SEGMENTS];
	bool noted = again && orders->reached[STEP_copy_noted];

	memset(seg, 0, sizeof(seg));
	memset(from, 'c', sizeof(from));
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		seg[i].source.virt = &from[i];
		seg[i].dest.foreign.ref = w->ref[page];
		seg[i].dest.foreign.domid = GRANTER;
		seg[i].dest.foreign.offset = (uint16_t)i;
		seg[i].len = 1;
		seg[i].flags = GNTCOPY_dest_gref;
	}
	if (noted)
		page_of(page)[0] = 'g';
	ioctl_of(w->fh[fh], IOCTL_GNTDEV_GRANT_COPY, &op);
	w->out = (uint64_t)(page_of(page)[1] + page_of(page)[SEGMENTS - 1]);
	if (page_of(page)[0] != (noted ? 'g' : 'c'))
		w->out = 0;
}

/* --- the script ---------------------------------------------------------------------------------- */

/* The second half. Return: false at its end. */
static bool carry_out_more(int at)
{
	switch (at) {
	/* That cannot be mapped. */
	case 16:
		return do_map(0, 3, -1, 1), true;
	case 17:
		return do_mmap(0, 3, 1, false), true;
	case 18:
		return do_unmap(0, 3, 1), true;
	case 19:
		return do_copy(0, 5), true;
	/* Closed, and only then let go. */
	case 20:
		return do_open(1), true;
	case 21:
		return do_map(1, 4, 3, 1), true;
	case 22:
		return do_map(1, 5, 4, 1), true;
	case 23:
		return do_mmap(1, 4, 1, false), true;
	case 24:
		return do_notify(1, 4, BOTH, PORT), true;
	case 25:
		return do_notify(1, 5, UNMAP_NOTIFY_SEND_EVENT, OTHER_PORT), true;
	case 26:
		return do_close(1), true;
	case 27:
		return do_munmap(4), true;
	case 28:
		return do_close(0), true;
	default:
		return false;
	}
}

/* Return: false at its end. */
static bool carry_out(int at)
{
	switch (at) {
	case 0:
		return do_open(0), true;
	/* Mapped, unmapped, and only then let go. */
	case 1:
		return do_map(0, 0, 0, 2), true;
	case 2:
		return do_mmap(0, 0, 2, false), true;
	case 3:
		return do_notify(0, 0, BOTH, PORT), true;
	case 4:
		return do_unmap(0, 0, 2), true;
	case 5:
		return do_munmap(0), true;
	/* Let go, and then unmapped; through a connection. */
	case 6:
		return do_map(0, 1, 2, 1), true;
	case 7:
		return do_map(0, 2, 3, 1), true;
	case 8:
		return do_notify(0, 1, BOTH, OTHER_PORT), true;
	case 9:
		return do_mmap(0, 1, 1, true), true;
	case 10:
		return do_notify(0, 1, UNMAP_NOTIFY_CLEAR_BYTE, 0), true;
	case 11:
		return do_munmap(1), true;
	case 12:
		return do_unmap(0, 1, 1), true;
	/* Never mapped. */
	case 13:
		return do_notify(0, 2, UNMAP_NOTIFY_SEND_EVENT, PORT), true;
	case 14:
	case 15:
		return do_unmap(0, 2, 1), true;
	default:
		return carry_out_more(at);
	}
}

static void take_note(struct note *n)
{
	struct quota_held held;
	struct hv_counts counts;
	uint64_t made;

	rcu_wait_for_calls();
	quota_totals(gd.quota, &held);
	gd.hv->ops->counts(gd.hv, &counts);
	*n = (struct note){ .result = w->result,
			    .index = w->out,
			    .opens = held.opens,
			    .maps = held.maps,
			    .pages = held.pages,
			    .handles = counts.handles,
			    .ports = counts.ports };
	records_count(gd.records, &n->records, &made);
	for (int i = 0; i < PAGES - 1; i++)
		n->byte[i] = page_of(i)[BYTE];
}

/* As a session does it: a request has one number, is in hand until it is answered, and ends what it ends then. */
static void request(void)
{
	if (!w->in_hand) {
		w->unique += 2;
		w->progress = w->ends = w->out = 0;
		w->answered = false;
	}
	if (w->at == w->culprit) {
		orders->die_in = 1;
		orders->die_at = w->culprit_dies_at + 1;
	}
	again = w->in_hand;
	w->in_hand = true;
	if (!w->answered)
		w->over = !carry_out(w->at);
	w->answered = true;
	step(answer_done);
	if (w->ends)
		gd.dev.ended(&gd.dev, w->ends);
	report_ends();
	take_note(&w->note[w->at]);
	w->at++;
	w->in_hand = false;
}

/* --- lives --------------------------------------------------------------------------------------- */

static bool in_hand(void *arg, uint64_t unique)
{
	(void)arg;
	return w->in_hand && !w->answered && unique == w->unique && w->at != w->culprit;
}

static bool given_up(void *arg, uint64_t unique, uint64_t fh)
{
	(void)arg;
	if (!w->in_hand || w->at != w->culprit)
		return false;
	if (unique)
		return unique == w->unique;
	return (w->at == 26 && fh == w->fh[1]) || (w->at == 28 && fh == w->fh[0]);
}

static int opened(void *arg, uid_t user, uint64_t fh)
{
	(void)arg;
	return user == geteuid() && fh ? 0 : -EINVAL;
}

/* As many times as the machine has sent it: the numbers that the granter sees. */
static void count_events(void)
{
	sim_port_sent(sim, 0, PORT, &w->events[0]);
	sim_port_sent(sim, 0, OTHER_PORT, &w->events[1]);
}

static void live(void)
{
	struct gntdev_adoption a = { .in_hand = in_hand, .given_up = given_up, .opened = opened };

	begin_life();
	if (w->refill)
		page_of(w->refill - 1)[BYTE] = FULL;
	w->lives++;
	if (gntdev_adopt(&gd, &a)) {
		fprintf(stderr, "not adopted: %s\n", a.why);
		_exit(3);
	}
	report_ends();
	if (w->in_hand && w->at == w->culprit) {
		take_note(&w->given_up);
		_exit(0);
	}
	while (!w->over || w->in_hand)
		request();
	count_events();
	_exit(0);
}

/* Return: what became of a life: its exit status, or -SIGNAL. */
static int one_life(void)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		live();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static struct world reference;
static int orders_fd;

static void begin_orders(void)
{
	char path[32];

	orders_fd = memfd_create("steps", 0);
	ck_assert_int_eq(ftruncate(orders_fd, sizeof(*orders)), 0);
	orders = mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, orders_fd, 0);
	ck_assert_ptr_ne(orders, MAP_FAILED);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", orders_fd);
	ck_assert_int_eq(setenv("GNTDEV_STEPS", path, 1), 0);
}

static void setup(void)
{
	w = shared(sizeof(*w));
	begin_orders();
	begin_world();
	ck_assert_int_eq(one_life(), 0);
	reference = *w;
	end_world();
}

static void teardown(void)
{
	munmap(w, sizeof(*w));
	munmap(orders, sizeof(*orders));
	close(orders_fd);
}

/* --- comparing ----------------------------------------------------------------------------------- */

static void same_note(int at, const char *when)
{
	const struct note *n = &w->note[at], *r = &reference.note[at];

	ck_assert_msg(n->result == r->result, "%s: request %d: %d, not %d", when, at, n->result,
		      r->result);
	ck_assert_msg(n->index == r->index, "%s: request %d: index %llx, not %llx", when, at,
		      (unsigned long long)n->index, (unsigned long long)r->index);
	ck_assert_msg(n->opens == r->opens && n->maps == r->maps && n->pages == r->pages,
		      "%s: request %d: opens %d maps %d pages %d, not %d %d %d", when, at,
		      (int)n->opens, (int)n->maps, (int)n->pages, (int)r->opens, (int)r->maps,
		      (int)r->pages);
	ck_assert_msg(n->handles == r->handles && n->ports == r->ports,
		      "%s: request %d: handles %d ports %d, not %d %d", when, at, (int)n->handles,
		      (int)n->ports, (int)r->handles, (int)r->ports);
	ck_assert_msg(n->records == r->records, "%s: request %d: %d cells of records, not %d", when,
		      at, (int)n->records, (int)r->records);
	ck_assert_msg(!memcmp(n->byte, r->byte, sizeof(n->byte)), "%s: request %d: bytes", when,
		      at);
}

static void same_as_reference(const char *when)
{
	ck_assert_int_eq(w->at, reference.at);
	for (int i = 0; i < w->at; i++)
		same_note(i, when);
	for (int i = 0; i < 2; i++)
		ck_assert_msg(w->events[i] >= reference.events[i] &&
				      w->events[i] < reference.events[i] + (uint64_t)w->lives,
			      "%s: %d events, not %d", when, (int)w->events[i],
			      (int)reference.events[i]);
}

static const char *const step_name[] = {
#define NAME(name, what) #name,
	STEPS_ALL(NAME)
#undef NAME
};

/* Return: whether the step was reached so often. @twice: the next life is killed there, too, if it gets there at once */
static bool run_killed(int at, uint32_t in, bool twice)
{
	char when[80];
	int end;

	snprintf(when, sizeof(when), "%s, time %u%s", step_name[at], in,
		 twice ? ", and again" : "");
	begin_world();
	memset(orders, 0, sizeof(*orders));
	orders->die_in = in;
	orders->die_at = (uint32_t)at + 1;
	while ((end = one_life()) == -SIGKILL && w->lives < 4) {
		orders->die_in = 1;
		orders->die_at = twice && w->lives < 3 ? (uint32_t)at + 1 : 0;
	}
	ck_assert_msg(end == 0, "%s: life %d ended with %d", when, w->lives, end);
	same_as_reference(when);
	end_world();
	return w->lives > 1;
}

START_TEST(without_kills_all_is_as_it_should_be)
{
	const struct note *last = &reference.note[28];

	ck_assert_int_eq(reference.at, 30);
	ck_assert_int_eq(last->opens + last->maps + last->handles + last->ports + last->records, 0);
	for (int i = 0; i < 29; i++)
		ck_assert_int_eq(reference.note[i].result, i == 15   ? -ENOENT
							   : i == 17 ? -EINVAL
								     : 0);
	ck_assert_uint_eq(reference.events[0], 3);
	ck_assert_uint_eq(reference.events[1], 1);
	/* Cleared when the window has gone, and only where that was asked for. */
	ck_assert_int_eq(reference.note[4].byte[0], FULL);
	ck_assert_int_eq(reference.note[5].byte[0], 0);
	ck_assert_int_eq(reference.note[5].byte[1], FULL);
	ck_assert_int_eq(reference.note[10].byte[2], FULL);
	ck_assert_int_eq(reference.note[11].byte[2], 0);
	ck_assert_int_eq(reference.note[26].byte[3], FULL);
	ck_assert_int_eq(reference.note[27].byte[3], 0);
	ck_assert_int_eq(reference.note[2].handles, 2);
}
END_TEST

START_TEST(killed_at_a_step_nobody_notices)
{
	for (uint32_t in = 1; run_killed(_i, in, false); in++)
		ck_assert_uint_lt(in, 100);
}
END_TEST

START_TEST(killed_there_twice_nobody_notices)
{
	for (uint32_t in = 1; run_killed(_i, in, true); in++)
		ck_assert_uint_lt(in, 100);
}
END_TEST

/* What the granter has written since stays. */
START_TEST(a_byte_is_cleared_once)
{
	begin_world();
	memset(orders, 0, sizeof(*orders));
	orders->die_in = 1;
	orders->die_at = STEP_byte_cleared + 1;
	ck_assert_int_eq(one_life(), -SIGKILL);
	w->refill = 1;
	ck_assert_int_eq(one_life(), 0);
	ck_assert_int_eq(reference.note[5].byte[0], 0);
	ck_assert_int_eq(w->note[5].byte[0], FULL);
	end_world();
}
END_TEST

/* So that the list of steps says something: all of the device's are reached. */
START_TEST(the_script_reaches_the_steps)
{
	begin_world();
	memset(orders, 0, sizeof(*orders));
	ck_assert_int_eq(one_life(), 0);
	for (int i = STEP_open_recorded; i <= STEP_copy_noted; i++)
		ck_assert_msg(i == STEP_mmap_undone || orders->reached[i], "%s", step_name[i]);
	end_world();
}
END_TEST

/*
 * What a request that is given up had done is undone, or done to its end: as after the request @as.
 */
static const struct {
	int at;
	enum step step;
	int as;
} culprits[] = {
	{ 0, STEP_open_recorded, 28 }, /* open: nobody has it */
	{ 1, STEP_map_recorded, 0 },   { 1, STEP_map_listed, 0 },
	{ 2, STEP_map_called, 1 }, /* mmap */
	{ 4, STEP_map_ended, 4 },  /* UNMAP of what is mapped: it is no open's now */
	{ 14, STEP_map_unlisted, 14 }, { 14, STEP_map_finished, 14 },
	{ 26, STEP_open_emptied, 26 }, /* close */
	{ 28, STEP_open_emptied, 28 }, { 28, STEP_open_closed, 28 },
};

START_TEST(given_up_it_leaves_nothing_that_nobody_has)
{
	const struct note *n = &w->given_up, *r = &reference.note[culprits[_i].as];

	begin_world();
	memset(orders, 0, sizeof(*orders));
	w->culprit = culprits[_i].at;
	w->culprit_dies_at = culprits[_i].step;
	ck_assert_int_eq(one_life(), -SIGKILL);
	ck_assert_int_eq(one_life(), 0);
	ck_assert_uint_eq(n->opens, r->opens);
	ck_assert_uint_eq(n->maps, r->maps);
	ck_assert_uint_eq(n->handles, r->handles);
	ck_assert_uint_eq(n->ports, r->ports);
	ck_assert_uint_eq(n->records, r->records);
	end_world();
}
END_TEST

Suite *lives_suite(void);
Suite *lives_suite(void)
{
	Suite *s = suite_create("lives");
	TCase *tc = tcase_create("lives");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, without_kills_all_is_as_it_should_be);
	tcase_add_test(tc, the_script_reaches_the_steps);
	tcase_add_test(tc, a_byte_is_cleared_once);
	tcase_add_loop_test(tc, killed_at_a_step_nobody_notices, 0, STEPS_N);
	tcase_add_loop_test(tc, killed_there_twice_nobody_notices, 0, STEPS_N);
	tcase_add_loop_test(tc, given_up_it_leaves_nothing_that_nobody_has, 0,
			    sizeof(culprits) / sizeof(culprits[0]));
	suite_add_tcase(s, tc);
	return s;
}
