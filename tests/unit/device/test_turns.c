/* SPDX-License-Identifier: MIT */
/*
 * device/test_turns.c - whose request may have a thread
 */
#include <check.h>
#include <stdlib.h>

#include "device/turns.h"

#define MANY 256

static struct turns *turns;
static struct turn turn[MANY];
static unsigned int used;

static void setup(void)
{
	turns = turns_new();
	ck_assert_ptr_nonnull(turns);
}

static void teardown(void)
{
	turns_destroy(turns);
	turns_destroy(NULL);
}

static uint64_t open_of(uid_t user)
{
	static uint64_t fh = 1000;

	ck_assert_int_eq(turns_open(turns, user, ++fh), 0);
	return fh;
}

static struct turn *new_turn(void)
{
	ck_assert_uint_lt(used, MANY);
	turn[used].unique = 2 * (uint64_t)used + 2;
	return &turn[used++];
}

/* Requests of an open until one is queued. Return: how many got a thread. */
static unsigned int take_all(uint64_t id)
{
	unsigned int n = 0;

	while (turns_enter(turns, id, new_turn()) == TURNS_RUN)
		n++;
	return n;
}

static struct turn *last(void)
{
	return &turn[used - 1];
}

START_TEST(one_open_gets_some)
{
	uint64_t id = open_of(1), other = open_of(2);

	ck_assert_uint_eq(take_all(id), 6);
	ck_assert_uint_eq(last()->fh, 1001);
	ck_assert_uint_eq(turns_waiting(turns), 1);
	ck_assert(!turns_may_next(turns));
	ck_assert_ptr_null(turns_next(turns));
	ck_assert_uint_eq(take_all(other), 6);
}
END_TEST

START_TEST(opens_of_a_user_share)
{
	static const unsigned int gets[] = { 6, 4, 2, 2 };
	unsigned int all = 0;

	for (size_t i = 0; i < 22; i++) {
		unsigned int got = take_all(open_of(1));

		ck_assert_uint_eq(got, i < 4 ? gets[i] : 1);
		all += got;
	}
	ck_assert_uint_eq(all, TURNS_PER_USER);
	ck_assert_uint_eq(take_all(open_of(1)), 0);
	ck_assert_uint_eq(take_all(open_of(2)), 6);
}
END_TEST

static bool is_queued(struct turn *t, void *arg)
{
	(void)arg;
	return t->queued;
}

/* Users who take what they can, by as many opens as they like, leave something for the next. */
START_TEST(users_share)
{
	static struct turn many[TURNS_MAX + 1];
	unsigned int all = 0;

	for (uid_t user = 0; user < 130; user++) {
		unsigned int mine = 0;

		while (turns_enter(turns, open_of(user), &many[all + mine]) == TURNS_RUN)
			mine++;
		ck_assert_uint_ge(mine, 1);
		ck_assert_uint_le(mine, TURNS_PER_USER);
		all += mine;
		/* The one that waits is not to be another's. */
		turns_for_each(turns, is_queued, NULL);
	}
	ck_assert_uint_lt(all, TURNS_MAX);
}
END_TEST

START_TEST(in_turn)
{
	uint64_t a = open_of(1), b = open_of(2);
	struct turn *of_a, *of_b, *second;

	ck_assert_uint_eq(take_all(a), 6);
	of_a = last();
	second = new_turn();
	ck_assert_int_eq(turns_enter(turns, a, second), TURNS_QUEUE);
	ck_assert_uint_eq(take_all(b), 6);
	of_b = last();
	/* The first of b ends; a, which is first in the ring, still may not. */
	turns_leave(turns, &turn[8], true);
	ck_assert(turns_may_next(turns));
	ck_assert_ptr_eq(turns_next(turns), of_b);
	turns_leave(turns, &turn[0], true);
	ck_assert_ptr_eq(turns_next(turns), of_a);
	ck_assert_ptr_null(turns_next(turns));
	turns_leave(turns, of_a, true);
	ck_assert_ptr_eq(turns_next(turns), second);
	ck_assert_uint_eq(turns_waiting(turns), 0);
}
END_TEST

/* Nobody overtakes those of its own open. */
START_TEST(in_order)
{
	uint64_t id = open_of(1);

	take_all(id);
	turns_leave(turns, &turn[0], true);
	ck_assert_int_eq(turns_enter(turns, id, new_turn()), TURNS_QUEUE);
	ck_assert_ptr_eq(turns_next(turns), &turn[6]);
}
END_TEST

START_TEST(kept_and_again)
{
	uint64_t id = open_of(1);
	struct turn *t = new_turn();

	ck_assert_int_eq(turns_enter(turns, id, t), TURNS_RUN);
	turns_leave(turns, t, false);
	ck_assert_uint_eq(t->runs, 0);
	ck_assert(turns_again(turns, t));
	ck_assert_ptr_eq(turns_next(turns), t);
	/* What it waited for comes before the thread has left it. */
	ck_assert(turns_again(turns, t));
	ck_assert_ptr_eq(turns_next(turns), t);
	ck_assert_uint_eq(t->runs, 2);
	turns_leave(turns, t, false);
	turns_leave(turns, t, false);
	turns_shut(turns);
	ck_assert(!turns_again(turns, t));
	turns_forget(turns, t);
	/* Nothing is queued any more. */
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(turns_enter(turns, id, new_turn()), TURNS_RUN);
}
END_TEST

/* An open that is closed while a thread still waits for its client. */
START_TEST(closed_while_it_runs)
{
	uint64_t id = open_of(1), other = open_of(1);

	ck_assert_uint_eq(take_all(id), 6);
	/* The request that opened it was executed again. */
	ck_assert_int_eq(turns_open(turns, 1, id), 0);
	turns_close(turns, id);
	turns_close(turns, id);
	ck_assert_int_eq(turns_enter(turns, id, new_turn()), TURNS_GONE);
	/* They count against the user all the same. */
	ck_assert_uint_eq(take_all(other), 4);
	for (int i = 0; i < 6; i++)
		turns_leave(turns, &turn[i], true);
	ck_assert_ptr_eq(turns_next(turns), &turn[6]);
	turns_leave(turns, &turn[6], true);
}
END_TEST

/* Its client's other files are closed behind it: it may be what the others wait for. */
START_TEST(a_close_is_sure)
{
	uint64_t id[22], more = 0;
	struct turn *close[2];

	for (size_t i = 0; i < 22; i++)
		take_all(id[i] = open_of(1));
	more = open_of(1);
	ck_assert_uint_eq(take_all(more), 0);
	for (int i = 0; i < 2; i++) {
		close[i] = new_turn();
		close[i]->sure = true;
	}
	ck_assert_int_eq(turns_enter(turns, open_of(1), close[0]), TURNS_RUN);
	ck_assert_int_eq(turns_enter(turns, open_of(1), close[1]), TURNS_QUEUE);
	ck_assert_ptr_null(turns_next(turns));
	turns_leave(turns, close[0], true);
	ck_assert_ptr_eq(turns_next(turns), close[1]);
	turns_leave(turns, close[1], true);
	ck_assert_ptr_null(turns_next(turns));
}
END_TEST

static bool is_seventh(struct turn *t, void *arg)
{
	++*(unsigned int *)arg;
	return t == &turn[6];
}

static void count_look(struct turn *t, void *arg)
{
	(void)t;
	++*(unsigned int *)arg;
}

START_TEST(signals)
{
	uint64_t id = open_of(1);
	unsigned int looked = 0, taken = 0;

	turns_signal(turns, 6); /* comes later */
	take_all(id);
	ck_assert(turn[2].signal);
	turns_signal(turns, turn[6].unique);
	turns_signal(turns, turn[6].unique);
	turns_signal(turns, 999);
	ck_assert(turn[6].signal);
	ck_assert(!turn[3].signal);
	/* Each once, however many may be looked at. */
	ck_assert_uint_eq(turns_signalled(turns, 9, count_look, &looked), 2);
	ck_assert_uint_eq(looked, 2);
	ck_assert_uint_eq(turns_waiting(turns), 1);
	turns_take(turns, 999, is_seventh, &taken);
	ck_assert_uint_eq(taken, 0);
	turns_take(turns, turn[2].unique, is_seventh, &taken);
	ck_assert_uint_eq(turns_waiting(turns), 1);
	turns_take(turns, turn[6].unique, is_seventh, &taken);
	ck_assert_uint_eq(taken, 2);
	ck_assert_uint_eq(turns_waiting(turns), 0);
	turns_leave(turns, &turn[2], true);
	ck_assert_uint_eq(turns_signalled(turns, 9, count_look, &looked), 0);
	ck_assert_uint_eq(looked, 2);
	turns_for_each(turns, is_seventh, &looked);
	ck_assert_uint_eq(looked, 7);
}
END_TEST

/*
 * Signals for what has been answered do not push out one that comes before its request, however many a client brings
 * about: of calls, and of what never waits for a thread.
 */
START_TEST(early_signal_stays)
{
	uint64_t id = open_of(1), late = 100000;
	struct turn t;

	turns_signal(turns, late);
	for (uint64_t unique = late + 2; unique < late + 6000; unique += 2) {
		t = (struct turn){ .unique = unique };
		if (unique % 3)
			turns_pass(turns, unique);
		else if (turns_enter(turns, id, &t) == TURNS_RUN)
			turns_leave(turns, &t, true);
		turns_signal(turns, unique);
		turns_signal(turns, unique);
	}
	t = (struct turn){ .unique = late };
	ck_assert_int_eq(turns_enter(turns, id, &t), TURNS_RUN);
	ck_assert(t.signal);
	turns_leave(turns, &t, true);
	/* A number that comes again is another request's. */
	turns_signal(turns, late);
	t = (struct turn){ .unique = late };
	ck_assert_int_eq(turns_enter(turns, id, &t), TURNS_RUN);
	ck_assert(!t.signal);
	turns_leave(turns, &t, true);
}
END_TEST

/* There is one thread for each request that has not come: all of them may be told of before. */
START_TEST(early_signals_of_all_threads)
{
	uint64_t id = open_of(1);
	struct turn t;

	for (uint64_t unique = 2; unique <= 1000; unique += 2)
		turns_signal(turns, unique);
	for (uint64_t unique = 2; unique <= 1000; unique += 2) {
		t = (struct turn){ .unique = unique };
		ck_assert_int_eq(turns_enter(turns, id, &t), TURNS_RUN);
		ck_assert(t.signal);
		turns_leave(turns, &t, true);
	}
}
END_TEST

/* Numbers go on for ever, and may begin anywhere. */
START_TEST(early_signals_later)
{
	uint64_t id = open_of(1), unique = 2;
	struct turn t;

	for (int i = 0; i < 40; i++, unique += 1ULL << (20 + i % 8)) {
		turns_signal(turns, unique);
		turns_pass(turns, unique + 2);
		turns_signal(turns, unique + 2);
		for (int come = 0; come < 2; come++) {
			t = (struct turn){ .unique = unique + 2 * (uint64_t)come };
			ck_assert_int_eq(turns_enter(turns, id, &t), TURNS_RUN);
			ck_assert(t.signal == !come);
			turns_leave(turns, &t, true);
		}
	}
}
END_TEST

static void look_at(struct turn *t, void *arg)
{
	++((unsigned int *)arg)[t->fh - 1000];
}

/* One user's callers are all sent signals, and one of another's: that one is looked at as often. */
START_TEST(signals_of_users)
{
	unsigned int looked[3] = { 0 };
	uint64_t id = open_of(1);

	for (int i = 0; i < 60; i++) {
		turns_enter(turns, id, new_turn());
		turns_signal(turns, last()->unique);
	}
	ck_assert_int_eq(turns_enter(turns, open_of(2), new_turn()), TURNS_RUN);
	turns_signal(turns, last()->unique);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(turns_signalled(turns, 4, look_at, looked), 61);
	ck_assert_uint_eq(looked[1], 15);
	ck_assert_uint_eq(looked[2], 5);
}
END_TEST

/* What waits with its argument is bounded for each user. */
START_TEST(bytes_that_wait)
{
	uint64_t id = open_of(1), other = open_of(2);
	struct turn *next;

	take_all(id);
	new_turn()->bytes = TURNS_BYTES;
	ck_assert_int_eq(turns_enter(turns, id, last()), TURNS_QUEUE);
	new_turn()->bytes = 1;
	ck_assert_int_eq(turns_enter(turns, id, last()), TURNS_FULL);
	ck_assert_int_eq(turns_enter(turns, id, new_turn()), TURNS_QUEUE);
	take_all(other);
	new_turn()->bytes = 1;
	ck_assert_int_eq(turns_enter(turns, other, last()), TURNS_QUEUE);
	for (int i = 0; i < 2; i++) {
		turns_leave(turns, &turn[i], true);
		next = turns_next(turns);
		ck_assert_ptr_nonnull(next);
	}
	ck_assert_uint_eq(next->bytes, TURNS_BYTES);
	/* As long as it is in hand. */
	new_turn()->bytes = 1;
	ck_assert_int_eq(turns_enter(turns, id, last()), TURNS_FULL);
	turns_leave(turns, next, true);
	new_turn()->bytes = TURNS_BYTES;
	ck_assert_int_eq(turns_enter(turns, id, last()), TURNS_QUEUE);
}
END_TEST

/* One user has a sixth, what is left is shared in the same way, and who has nothing is never refused. */
START_TEST(requests_in_hand_are_bounded)
{
	static struct turn many[TURNS_REQUESTS];
	uint64_t id = open_of(1), other = open_of(2), third = open_of(3);
	unsigned int n = 0, mine;

	while (n < TURNS_REQUESTS) {
		many[n].unique = 2 * (uint64_t)n + 2;
		if (turns_enter(turns, id, &many[n]) == TURNS_FULL)
			break;
		n++;
	}
	mine = n;
	ck_assert_uint_gt(mine, TURNS_REQUESTS / 7);
	ck_assert_uint_lt(mine, TURNS_REQUESTS / 5);
	/* Not what cannot be refused. */
	many[n].unique = 2 * (uint64_t)n + 2;
	many[n].sure = true;
	ck_assert_int_eq(turns_enter(turns, open_of(1), &many[n++]), TURNS_RUN);
	many[n].unique = 2 * (uint64_t)n + 2;
	many[n].again = true;
	ck_assert_int_eq(turns_enter(turns, id, &many[n++]), TURNS_QUEUE);
	for (unsigned int i = 0; i < 2000; i++, n++) {
		many[n].unique = 2 * (uint64_t)n + 2;
		ck_assert_int_ne(turns_enter(turns, i % 2 ? other : third, &many[n]), TURNS_FULL);
	}
	/* One that ends makes room, wherever it was. */
	turns_leave(turns, &many[0], true);
	turns_leave(turns, &many[1], false);
	turns_forget(turns, &many[1]);
	for (unsigned int i = 0; i < 4000; i++) {
		struct turn *next = turns_next(turns);

		if (next)
			turns_leave(turns, next, true);
	}
	many[0] = (struct turn){ .unique = 2 };
	ck_assert_int_ne(turns_enter(turns, id, &many[0]), TURNS_FULL);
}
END_TEST

Suite *turns_suite(void);

Suite *turns_suite(void)
{
	Suite *s = suite_create("turns");
	TCase *tc = tcase_create("turns");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_open_gets_some);
	tcase_add_test(tc, opens_of_a_user_share);
	tcase_add_test(tc, users_share);
	tcase_add_test(tc, in_turn);
	tcase_add_test(tc, in_order);
	tcase_add_test(tc, kept_and_again);
	tcase_add_test(tc, closed_while_it_runs);
	tcase_add_test(tc, a_close_is_sure);
	tcase_add_test(tc, signals);
	tcase_add_test(tc, early_signal_stays);
	tcase_add_test(tc, early_signals_of_all_threads);
	tcase_add_test(tc, early_signals_later);
	tcase_add_test(tc, signals_of_users);
	tcase_add_test(tc, bytes_that_wait);
	tcase_add_test(tc, requests_in_hand_are_bounded);
	suite_add_tcase(s, tc);
	return s;
}
