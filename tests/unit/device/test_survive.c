/* SPDX-License-Identifier: MIT */
/*
 * device/test_survive.c - a daemon that is killed at any step, and its successor: each request is answered, and what it does
 * is done once
 */
#include "tests/unit/device/survive.h"

/* --- tests -------------------------------------------------------------------------------------- */

static const enum step steps[] = {
	STEP_recv_spliced, STEP_recv_read,	STEP_answer_stored,
	STEP_answer_done,  STEP_answer_written,
};

#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

static void die_at(enum step s, bool of_next)
{
	w->of_next = of_next;
	__atomic_store_n(&w->die_at, (uint32_t)s + 1, __ATOMIC_RELEASE);
}

/* One of each kind of request. */
static uint64_t ask(unsigned int kind, uint64_t fh)
{
	switch (kind) {
	case 0:
		return fake_ioctl(fh, MAKE, 0, 0);
	case 1:
		return fake_ioctl(fh, BYTES, 100, 100);
	case 2:
		return fake_ioctl(fh, BYTES, 3000, 3000);
	case 3:
		return fake_ioctl(fh, BYTES, 131072, 131072);
	case 4:
		return fake_open();
	default:
		return fake_release(fh);
	}
}

#define KINDS 6

static void check(unsigned int kind, uint64_t unique)
{
	const struct fake_answer *a = wait_for(unique);

	if (kind < 4)
		ck_assert_int_eq(a->result, 5);
	if (kind == 0)
		ck_assert_uint_eq(w->made[unique / 2], 1);
	if (kind == 4)
		wait_for(fake_release(a->fh));
	ck_assert_uint_eq(w->n_opens, kind < 5);
}

START_TEST(killed_at_each_step)
{
	uint64_t unique, fh = open_device();

	for (size_t i = 0; i < N_STEPS; i++) {
		for (unsigned int kind = 0; kind < KINDS; kind++) {
			die_at(steps[i], true);
			unique = ask(kind, fh);
			ck_assert(daemon_died());
			begin_daemon();
			check(kind, unique);
		}
		fh = open_device();
	}
	ck_assert_uint_eq(w->state.poison, 0);
	/* All but those that had been carried out. */
	ck_assert_uint_eq(w->state.again, 3 * KINDS);
	finish();
}
END_TEST

/* The successor is killed, too. */
static void killed_twice(enum step first, enum step then, uint64_t fh)
{
	for (unsigned int kind = 0; kind < KINDS - 1; kind++) {
		uint64_t unique;

		die_at(first, true);
		unique = ask(kind, fh);
		ck_assert(daemon_died());
		die_at(then, false);
		begin_daemon();
		ck_assert(daemon_died());
		begin_daemon();
		check(kind, unique);
	}
}

START_TEST(killed_as_it_adopts)
{
	uint64_t fh = open_device();

	killed_twice(STEP_recv_spliced, STEP_left_received, fh);
	killed_twice(STEP_recv_spliced, STEP_left_begun, fh);
	killed_twice(STEP_recv_read, STEP_left_begun, fh);
	killed_twice(STEP_recv_read, STEP_answer_stored, fh);
	killed_twice(STEP_answer_done, STEP_left_answered, fh);
	ck_assert_uint_eq(w->state.poison, 0);
	finish();
}
END_TEST

static int pipe_end(const struct slot *slot, char end)
{
	char name[KEEP_NAME];
	int fd;

	snprintf(name, sizeof(name), "pipe.3.%u.%c", slot->pipe, end);
	fd = lent_take((struct lent *)w, name);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* The one whose request is in its pipe. */
static struct slot *slot_in_pipe(struct slots **store)
{
	struct slot *slot, *found = NULL;
	uint32_t cursor = 0;

	ck_assert_int_eq(slots_adopt(lent_take((struct lent *)w, "slots.3"), store), 0);
	while ((slot = slots_next(*store, &cursor))) {
		int fd, n = 0;

		/* Another may have been received by that pipe, and not be done with. */
		if (slot->state != SLOT_RECEIVING)
			continue;
		fd = pipe_end(slot, 'r');
		ck_assert_int_eq(ioctl(fd, FIONREAD, &n), 0);
		close(fd);
		if (n)
			found = slot;
	}
	ck_assert_ptr_nonnull(found);
	return found;
}

/* Killed while it reads: the slot has the first bytes, and the pipe may have them, too, or not. */
static void half_read(uint64_t fh, size_t bytes, bool consumed)
{
	char buf[SLOT_PAGE];
	struct slots *store;
	struct slot *slot;
	uint64_t unique;
	ssize_t n;
	int r, wr;

	die_at(STEP_recv_spliced, true);
	unique = fake_ioctl(fh, BYTES, 1500, 10);
	ck_assert(daemon_died());
	slot = slot_in_pipe(&store);
	r = pipe_end(slot, 'r');
	wr = pipe_end(slot, 'w');
	n = read(r, buf, sizeof(buf));
	ck_assert_int_gt(n, (ssize_t)bytes);
	memcpy(slot->request, buf, bytes);
	/* The rest, or all of it, goes back. */
	bytes = consumed ? bytes : 0;
	ck_assert_int_eq(write(wr, buf + bytes, (size_t)n - bytes), n - (ssize_t)bytes);
	close(r);
	close(wr);
	slots_close(store);
	begin_daemon();
	ck_assert_int_eq(wait_for(unique)->result, 5);
}

START_TEST(killed_while_it_reads)
{
	uint64_t fh = open_device();

	for (size_t bytes = 4; bytes < 1500; bytes += 500) {
		half_read(fh, bytes, true);
		half_read(fh, bytes, false);
	}
	finish();
}
END_TEST

START_TEST(a_word_lasts)
{
	uint64_t fh = open_device();
	uint64_t unique = fake_ioctl(fh, PIECES_ALL, 0, 0);

	ck_assert(daemon_died());
	begin_daemon();
	ck_assert_int_eq(wait_for(unique)->result, 5);
	for (int i = 0; i < PIECES; i++)
		ck_assert_uint_eq(w->pieces[i], 1);
	finish();
}
END_TEST

START_TEST(the_device_is_told_what_has_ended)
{
	uint64_t unique, fh = open_device();

	wait_for(fake_ioctl(fh, END, 0, 0));
	wait_for(fake_ioctl(fh, MAKE, 0, 0));
	die_at(STEP_answer_stored, true);
	unique = fake_ioctl(fh, END, 0, 0);
	ck_assert(daemon_died());
	/* It would be carried out again. */
	ck_assert_uint_eq(w->ended, 1);
	begin_daemon();
	wait_for(unique);
	finish();
	ck_assert_uint_eq(w->ended, 2);
}
END_TEST

/* Both are carried out again: one waits for its client, and the other not for that. */
START_TEST(who_waits_holds_up_nobody)
{
	uint64_t hanging, unique, fh = open_device();

	hanging = fake_ioctl(fh, HANG, 0, 0);
	wait_until_it_rests();
	die_at(STEP_recv_read, true);
	unique = fake_ioctl(fh, MAKE, 0, 0);
	ck_assert(daemon_died());
	begin_daemon();
	wait_for(unique);
	ck_assert_uint_eq(w->in_hand, 2);
	ck_assert_ptr_null(fake_answer(hanging, 0));
	w->go_on = 1;
	wait_for(hanging);
	finish();
}
END_TEST

/* The kernel has told of that but once, the predecessor. */
START_TEST(a_caller_that_was_killed_is_let_go)
{
	uint64_t hanging, fh = open_device();

	hanging = fake_ioctl(fh, HANG, 0, 0);
	wait_until_it_rests();
	kill(daemon_pid, SIGKILL);
	ck_assert(daemon_died());
	w->killed = 1;
	begin_daemon();
	ck_assert_ptr_nonnull(fake_answer(hanging, PATIENCE_MS));
	ck_assert_int_eq(fake_answer(hanging, 0)->error, -EINTR);
	w->go_on = 1;
	finish();
}
END_TEST

START_TEST(it_leaves_what_it_has)
{
	uint64_t unique, later, fh = open_device();

	unique = fake_ioctl(fh, REST, 0, 0);
	for (int i = 0; i < 5; i++) {
		wait_until_it_rests();
		order(LEAVE);
		ck_assert_ptr_null(fake_answer(unique, 0));
		begin_daemon();
	}
	wait_until_it_rests();
	order(LEAVE);
	later = fake_ioctl(fh, MAKE, 0, 0);
	w->go_on = 1;
	begin_daemon();
	ck_assert_int_eq(wait_for(unique)->result, 5);
	ck_assert_int_eq(wait_for(later)->result, 5);
	ck_assert_uint_eq(w->in_hand, 1);
	ck_assert_uint_eq(w->state.poison, 0);
	finish();
}
END_TEST

/* As when nobody has come in time, and a program is run to end all: nobody is left waiting. */
START_TEST(it_ends_for_its_predecessor)
{
	uint64_t unique, fh = open_device();

	unique = fake_ioctl(fh, REST, 0, 0);
	wait_until_it_rests();
	order(LEAVE);
	w->never_serve = 1;
	begin_daemon();
	order(STOP);
	ck_assert_ptr_nonnull(fake_answer(unique, PATIENCE_MS));
	ck_assert_int_eq(fake_answer(unique, 0)->error, -ECONNABORTED);
	fake_cuse_end();
}
END_TEST

START_TEST(a_signal_is_not_answered)
{
	uint64_t unique, fh = open_device();

	unique = fake_ioctl(fh, REST, 0, 0);
	wait_until_it_rests();
	die_at(STEP_recv_read, true);
	fake_interrupt(unique);
	ck_assert(daemon_died());
	w->go_on = 1;
	begin_daemon();
	wait_for(unique);
	ck_assert_uint_eq(w->in_hand, 1);
	fake_interrupt(unique);
	wait_for(fake_ioctl(fh, MAKE, 0, 0));
	finish();
}
END_TEST

#define WAITING (TURNS_BYTES / SLOT_AREA_BYTES)

static unsigned int refused(const uint64_t *unique, unsigned int n, unsigned int ms)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct fake_answer *a = fake_answer(unique[i], ms);

		sum += a && a->error == -ENOMEM;
	}
	return sum;
}

/* A request that is just too long for its slot has as much memory as the longest. */
START_TEST(areas_that_wait_are_bounded)
{
	uint64_t hanging[8], unique[WAITING + 1], fh = open_device();

	for (unsigned int i = 0; i < 8; i++)
		hanging[i] = fake_ioctl(fh, HANG, 0, 0);
	/* All threads that an open can have. */
	while (__atomic_load_n(&w->resting, __ATOMIC_ACQUIRE) < 6)
		usleep(1000);
	for (unsigned int i = 0; i <= WAITING; i++)
		unique[i] = fake_ioctl(fh, BYTES, SLOT_REQUEST_BYTES, 0);
	/* Not before all have come: that is when one of them was refused. */
	while (!refused(unique, WAITING + 1, 0))
		usleep(1000);
	w->go_on = 1;
	ck_assert_uint_eq(refused(unique, WAITING + 1, PATIENCE_MS), 1);
	ck_assert_uint_eq(w->told_full, 1);
	for (unsigned int i = 0; i < 8; i++)
		wait_for(hanging[i]);
	finish();
}
END_TEST

Suite *survive_suite(void);

Suite *survive_suite(void)
{
	const TTest *const tests[] = {
		killed_at_each_step,
		killed_as_it_adopts,
		killed_while_it_reads,
		a_word_lasts,
		the_device_is_told_what_has_ended,
		who_waits_holds_up_nobody,
		a_caller_that_was_killed_is_let_go,
		it_leaves_what_it_has,
		it_ends_for_its_predecessor,
		a_signal_is_not_answered,
		areas_that_wait_are_bounded,
	};

	return suite_of("survive", tests, sizeof(tests) / sizeof(tests[0]), setup, NULL);
}
