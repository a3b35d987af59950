/* SPDX-License-Identifier: MIT */
/*
 * xen/test_undo.c - what is left of a daemon that was killed, wherever that was, is undone
 *
 * A child plays the daemon and is killed before an operation of a hypercall, or just after the last one:
 * everything between two hypercalls is the same to the keeper as one of these, as all that it
 * knows is the journal. Then undo_journal() runs here, or the real keeper has watched.
 */
#include <sys/mman.h>
#include <sys/prctl.h>

#include "xen/undo.h"
#include "tests/unit/suite.h"
#include "tests/unit/xen/rig.h"

/* --- what a daemon does --------------------------------------------------------------------------- */

static void map_some(uint32_t first, size_t n)
{
	struct hv_grant *g = grants(FAKE_FIRST, first, n);

	hv->ops->map(hv, g, n, &writable);
	free(g);
}

static void one_after_another(void)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 5), *more = grants(FAKE_FIRST, 10, 2);

	fake_end_grant(FAKE_FIRST, 2);
	hv->ops->map(hv, g, 5, &writable);
	hv->ops->unmap(hv, g, 5);
	hv->ops->map(hv, g, 5, &writable);
	hv->ops->map(hv, more, 2, &(struct hv_place){ .open_id = 2 });
	hv->ops->unmap(hv, g, 5);
	hv->ops->open_gone(hv, 1);
	hv->ops->open_gone(hv, 2);
	hv->ops->unmap(hv, more, 2);
	map_some(20, 3);
}

/* Things go wrong, too. */
static void with_faults(void)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 4);

	if (fake->translated) {
		fake->take = 3;
		hv->ops->map(hv, g, 4, &writable);
		fake->take = FAKE_FRAMES;
	}
	fake_break(FAKE_MAP, 2, -EFAULT);
	hv->ops->map(hv, g, 4, &writable);
	fake_refuse(FAKE_MAP, 1, 1, GNTST_eagain);
	hv->ops->map(hv, g, 4, &writable);
	g[1].status = HV_PENDING;
	hv->ops->map(hv, g, 4, &writable);
	fake_refuse(FAKE_UNMAP, 1, 4, GNTST_general_error);
	hv->ops->unmap(hv, g, 4);
	hv->ops->tend(hv);
	map_some(20, 3);
}

static void (*const scenario[])(void) = { one_after_another, with_faults };

/* Return: whether the daemon was killed at step @k; otherwise it came to its end. */
static bool killed_at(void (*what)(void), uint64_t k)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		fake->victim = getpid();
		fake->die_at = fake->steps + k;
		what();
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
	fake_heal();
	return WIFSIGNALED(status);
}

static void check_undone(uint64_t k)
{
	ck_assert_msg(!fake->wrong[0], "killed at step %llu: %s", (unsigned long long)k,
		      fake->wrong);
	ck_assert_msg(!fake->handles, "killed at step %llu: %u handles are left",
		      (unsigned long long)k, fake->handles);
	ck_assert_msg(!fake_pages(FAKE_HOLE) && !fake_pages(FAKE_GRANT),
		      "killed at step %llu: %u pages have no frame, %u show grants",
		      (unsigned long long)k, fake_pages(FAKE_HOLE), fake_pages(FAKE_GRANT));
	ck_assert_uint_eq(fake->reservation, FAKE_FRAMES);
}

/* The files of a dead one's windows. */
static void remove_files(void)
{
	int pages = openat(dirfd_, "pages", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[8];

	for (int i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "%x", i);
		unlinkat(pages, name, 0);
	}
	close(pages);
}

/* As if this process had just started: the dead one had its slots, files and pins. */
static void forget(void)
{
	remove_files();
	memset(fake->pfn, 0, sizeof(fake->pfn));
	fake->pins = fake->pinned_pages = fake->tables = 0;
	fake->batches = (1U << JOURNAL_BATCHES) - 1;
	grant_all(fake_guest(FAKE_FIRST));
	x->journal->slots = 0;
	journal_slots_free(x->slots);
	x->slots = journal_slots_new(x->journal);
}

static void killed_everywhere(void (*what)(void))
{
	uint64_t k = 0;
	bool killed;

	do {
		killed = killed_at(what, k);
		ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
		check_undone(k);
		/* It could be somebody else's by now. */
		assert_each(!fake->bad_handles, "killed at step %llu: a handle was unmapped twice",
			    (unsigned long long)k);
		/* Once more changes nothing. */
		ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
		check_undone(k++);
		for (uint32_t s = 0; s < x->journal->slots; s++)
			if (x->journal->slot[s].state != SLOT_NONE)
				ck_abort_msg("slot %u", s);
		forget();
	} while (killed);
	ck_assert_uint_gt(k, 25);
	hv->ops->destroy(hv);
	end_machine();
}

START_TEST(killed_pvh)
{
	setup();
	killed_everywhere(scenario[_i]);
}
END_TEST

START_TEST(killed_pv)
{
	setup_pv(1);
	killed_everywhere(scenario[_i]);
}
END_TEST

static void map_a_thousand(void)
{
	map_some(0, 1000);
}

START_TEST(killed_in_large_batches)
{
	/* Steps: 1000 frames, 1000 grants, and two ends of each of the four calls. */
	const uint64_t at[] = { 0, 511, 512, 999, 1001, 1002, 1300, 1513, 1514, 1515, 2002, 2003 };

	setup();
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		ck_assert(killed_at(map_a_thousand, at[i]));
		ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
		check_undone(at[i]);
		forget();
	}
	hv->ops->destroy(hv);
	end_machine();
}
END_TEST

/* --- what cannot be undone at once --------------------------------------------------------------- */

START_TEST(recovers_bit_by_bit)
{
	setup();
	ck_assert(!killed_at(map_a_thousand, 100000));
	ck_assert_uint_eq(fake->handles, 1000);
	fake_refuse(FAKE_UNMAP, 10, 600, GNTST_general_error);
	fake->frames = 100;
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 900);
	ck_assert_uint_eq(fake->handles, 600);
	fake->frames = 0;
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 900);
	ck_assert_uint_eq(fake->handles, 0);
	fake->frames = 500;
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 400);
	fake_break(FAKE_POPULATE, 0, -ENOSYS);
	fake->frames = FAKE_FRAMES;
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 400);
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
	check_undone(0);
	forget();
	hv->ops->destroy(hv);
	end_machine();
}
END_TEST

/* Two slots have the same handle, whatever has come to that: it is one's. */
START_TEST(handle_in_two_slots)
{
	struct hv_grant *g;
	struct journal_slot *a, *b;
	int16_t status;

	if (_i)
		setup_pv(1);
	else
		setup();
	g = map_ok(0, 2, &writable);
	a = &x->journal->slot[g[0].slot];
	b = &x->journal->slot[g[1].slot];
	ck_assert_int_eq(undo_unmap(privcmd_fd(x->pc), x->journal, &x->journal->batch[0],
				    fake->translated, &a, 1, &status),
			 0);
	ck_assert_int_eq(status, GNTST_okay);
	a->state = SLOT_MAPPED;
	a->handle = b->handle;
	for (int i = 0; i < 2; i++)
		if (!undo_journal(privcmd_fd(x->pc), x->journal))
			break;
	check_undone(0);
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
	/* No list has it in a PV dom0. */
	if (_i)
		free(xen_window_of(x, g));
	free(g);
}
END_TEST

/* --- the process --------------------------------------------------------------------------------- */

static void wait_for_keeper(void)
{
	for (int ms = 0; fake_pins_held(); ms += 5) {
		ck_assert_int_lt(ms, 10000);
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
}

/* A daemon that is killed at step @k; its keeper has all of it, this process nothing but the fake. */
static bool killed_daemon(void (*what)(void), uint64_t k)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		start(&xen_pvh);
		fake->victim = getpid();
		fake->die_at = fake->steps + k;
		what();
		fake->victim = 0;
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_gt(pid, 0);
	close(fake_pins_pipe[1]);
	fake_pins_pipe[1] = -1;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return fake->victim != 0;
}

START_TEST(keeper_cleans_up)
{
	bool killed = true;

	make_dir();
	for (uint64_t k = 1; killed; k += 4) {
		fake_new(true, 1);
		killed = killed_daemon(scenario[_i], k);
		wait_for_keeper();
		check_undone(k);
		fake_free();
		/* There is no layer here to forget(). */
		remove_files();
	}
	remove_dir();
}
END_TEST

static void three_maps_and_no_frames(void)
{
	map_some(0, 3);
	fake->frames = 1;
	fake_refuse(FAKE_UNMAP, 1, UINT32_MAX, GNTST_general_error);
}

/* It does not let go of a page before all is well. */
START_TEST(keeper_waits)
{
	make_dir();
	fake_new(true, 1);
	killed_daemon(three_maps_and_no_frames, 100000);
	for (int ms = 0; fake->handles != 2; ms += 5) {
		ck_assert_int_lt(ms, 10000);
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	ck_assert(fake_pins_held());
	ck_assert_uint_eq(fake->handles, 2);
	fake_heal();
	wait_for_keeper();
	check_undone(0);
	unlinkat(dirfd_, "pages/1", 0);
	fake_free();
	remove_dir();
}
END_TEST

Suite *undo_suite(void)
{
	Suite *s = suite_create("undo");
	TCase *tc = tcase_create("recover");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, killed_pvh, 0, 2);
	tcase_add_loop_test(tc, killed_pv, 0, 2);
	tcase_add_test(tc, killed_in_large_batches);
	tcase_add_test(tc, recovers_bit_by_bit);
	suite_add_tcase(s, tc);
	tc = tcase_create("handles");
	tcase_add_loop_test(tc, handle_in_two_slots, 0, 2);
	suite_add_tcase(s, tc);
	tc = tcase_create("process");
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, keeper_cleans_up, 0, 2);
	tcase_add_test(tc, keeper_waits);
	suite_add_tcase(s, tc);
	return s;
}
