/* SPDX-License-Identifier: MIT */
/*
 * device/test_culprit.c - daemons that die of a request, or cannot go on: who is refused, and who is not
 */
#include "tests/unit/device/survive.h"

/* --- what daemons die of ------------------------------------------------------------------------- */

static void expect_to_fail(uint64_t unique)
{
	ck_assert_ptr_nonnull(fake_answer(unique, PATIENCE_MS));
	ck_assert_int_eq(fake_answer(unique, 0)->error, -EIO);
}

/* Of the request that is in hand. */
static void die_until_it_is_given_up(void)
{
	for (int i = 0; i < LEFT_CRASHES; i++) {
		ck_assert(daemon_died());
		begin_daemon();
	}
}

START_TEST(what_kills_each_daemon_fails)
{
	uint64_t other, unique, fh = open_device();

	other = fake_ioctl(fh, REST, 0, 0);
	wait_until_it_rests();
	unique = fake_ioctl(fh, CRASH, 0, 0);
	w->go_on = 1;
	die_until_it_is_given_up();
	expect_to_fail(unique);
	ck_assert_int_eq(wait_for(other)->result, 5);
	wait_for(fake_ioctl(fh, MAKE, 0, 0));
	ck_assert_uint_eq(w->state.poison, 1);
	finish();
}
END_TEST

/* From outside, just while it is carried out: that happens, and is not its fault. */
START_TEST(who_is_killed_with_it)
{
	uint64_t unique, fh = open_device();

	w->crash_by = SIGKILL;
	unique = fake_ioctl(fh, CRASH, 0, 0);
	for (int i = 1; i <= LEFT_DEATHS; i++) {
		ck_assert(daemon_died());
		ck_assert_ptr_null(fake_answer(unique, 0));
		begin_daemon();
	}
	expect_to_fail(unique);
	finish();
}
END_TEST

/* A signal that is sent is no crash, though it is the same. */
START_TEST(a_signal_from_outside_is_no_crash)
{
	uint64_t unique, fh = open_device();

	unique = fake_ioctl(fh, BUSY, 0, 0);
	for (int i = 0; i <= LEFT_CRASHES; i++) {
		wait_until_it_rests();
		kill(daemon_pid, SIGABRT);
		ck_assert(daemon_died());
		begin_daemon();
	}
	w->go_on = 1;
	ck_assert_int_eq(wait_for(unique)->result, 5);
	finish();
}
END_TEST

/* It was carried out at that moment, too. */
START_TEST(who_is_beside_it_does_not_fail)
{
	uint64_t other, unique, fh = open_device();

	other = fake_ioctl(fh, BUSY, 0, 0);
	wait_until_it_rests();
	unique = fake_ioctl(fh, CRASH, 0, 0);
	ck_assert(daemon_died());
	begin_daemon();
	ck_assert(daemon_died());
	w->go_on = 1;
	begin_daemon();
	ck_assert(daemon_died());
	begin_daemon();
	expect_to_fail(unique);
	ck_assert_int_eq(wait_for(other)->result, 5);
	ck_assert_uint_eq(w->state.poison, 1);
	finish();
}
END_TEST

/* However late it is that it kills. */
START_TEST(nothing_new_is_beside_a_suspect)
{
	uint64_t later, unique, fh = open_device();

	w->crash_after = 50000;
	unique = fake_ioctl(fh, CRASH, 0, 0);
	ck_assert(daemon_died());
	later = fake_ioctl(fh, MAKE, 0, 0);
	for (int i = 1; i < LEFT_CRASHES; i++) {
		begin_daemon();
		ck_assert(daemon_died());
		ck_assert_uint_eq(w->made[later / 2], 0);
	}
	begin_daemon();
	expect_to_fail(unique);
	wait_for(later);
	finish();
}
END_TEST

/* Whoever kills the daemon from outside: it is not the fault of who waits. */
START_TEST(who_waits_has_killed_nobody)
{
	uint64_t hanging, resting, fh = open_device();

	hanging = fake_ioctl(fh, HANG, 0, 0);
	wait_until_it_rests();
	resting = fake_ioctl(fh, REST, 0, 0);
	for (int i = 0; i < 2 * LEFT_DEATHS; i++) {
		/* One or the other. */
		wait_until_it_rests();
		kill(daemon_pid, SIGKILL);
		ck_assert(daemon_died());
		w->resting = 0;
		begin_daemon();
	}
	w->go_on = 1;
	kill(daemon_pid, SIGKILL);
	ck_assert(daemon_died());
	begin_daemon();
	ck_assert_int_eq(wait_for(hanging)->result, 5);
	ck_assert_int_eq(wait_for(resting)->result, 5);
	ck_assert_uint_eq(w->state.poison, 0);
	finish();
}
END_TEST

/* The kernel takes it as released in any case. The device is told that it is. */
START_TEST(a_release_that_kills_is_over)
{
	uint64_t unique, fh = open_device();

	w->die_of_release = 1;
	unique = fake_release(fh);
	die_until_it_is_given_up();
	expect_to_fail(unique);
	ck_assert_uint_eq(w->n_opens, 0);
	finish();
}
END_TEST

/* --- what they cannot go on with ------------------------------------------------------------------ */

START_TEST(want_of_memory_is_waited_for)
{
	uint64_t unique, fh = open_device();

	w->no_memory = 1;
	unique = fake_ioctl(fh, BYTES, 3000, 3000);
	ck_assert_ptr_null(fake_answer(unique, 50));
	w->no_memory = 0;
	wait_for(unique);
	finish();
	ck_assert_uint_gt(w->memory_waits, 0);
}
END_TEST

START_TEST(an_error_of_the_moment_is_none)
{
	static const int transient[] = { EINTR, EAGAIN, ENOENT, ENOMEM };
	uint64_t fh = open_device();

	for (unsigned int i = 0; i < 8; i++) {
		fake_splice_error(transient[i % 4]);
		wait_for(fake_ioctl(fh, MAKE, 0, 0));
		wait_for(fake_ioctl(fh, MAKE, 0, 0));
	}
	finish();
}
END_TEST

/* No thread is lost in silence: the daemon ends, and the next one goes on. */
START_TEST(any_other_error_ends_the_daemon)
{
	static const int lasting[] = { EIO, EINVAL, EBADF };
	uint64_t fh = open_device();

	/* Of the double: who is aborted while it receives loses what it has. */
	order(LEAVE);
	w->one_worker = 1;
	begin_daemon();
	for (unsigned int i = 0; i < 3; i++) {
		wait_for(fake_ioctl(fh, MAKE, 0, 0));
		fake_splice_error(lasting[i]);
		fake_ioctl(fh, MAKE, 0, 0);
		ck_assert(daemon_died());
		begin_daemon();
	}
	wait_for(fake_ioctl(fh, MAKE, 0, 0));
	finish();
}
END_TEST

static void adopt_what_has_not_begun(void)
{
	const struct session_config c = { .dev = &device,
					  .workers = 2,
					  .lent = (struct lent *)w,
					  .number = 3,
					  .state = &w->state };
	struct session *s;
	char why[200];

	ck_assert_int_eq(session_new(&c, &s, why, sizeof(why)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "is damaged"));
}

/* The kernel says only once what it says first: it is not waited for. */
START_TEST(what_the_kernel_said_first_is_there)
{
	open_device();
	order(LEAVE);
	w->state.init[3].len = 0;
	daemon_pid = fake_cuse_daemon(adopt_what_has_not_begun);
	ck_assert(!daemon_died());
}
END_TEST

Suite *culprit_suite(void);

Suite *culprit_suite(void)
{
	const TTest *const tests[] = {
		what_kills_each_daemon_fails,	     who_is_killed_with_it,
		a_signal_from_outside_is_no_crash,   who_is_beside_it_does_not_fail,
		nothing_new_is_beside_a_suspect,     who_waits_has_killed_nobody,
		a_release_that_kills_is_over,	     want_of_memory_is_waited_for,
		an_error_of_the_moment_is_none,	     any_other_error_ends_the_daemon,
		what_the_kernel_said_first_is_there,
	};

	return suite_of("culprit", tests, sizeof(tests) / sizeof(tests[0]), setup, NULL);
}
