/* SPDX-License-Identifier: MIT */
/*
 * device/test_again.c - a client asks for an mmap again, as the daemon has died before all of its answer had come
 *
 * The answer is of several messages: the client had got the first one, and with it the window. What it says about having let go of
 * that is not believed. Each life is a process (lives.h).
 */
#define PAGES 130

#include <check.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/winproto.h"
#include "base/clock.h"
#include "tests/unit/device/lives.h"

static_assert(PAGES > WINDOW_PIECES_PER_MESSAGE, "more than one message");

/* --- lives --------------------------------------------------------------------------------------- */

static bool in_hand(void *arg, uint64_t unique)
{
	(void)arg;
	return w->in_hand && unique == w->unique;
}

static bool given_up(void *arg, uint64_t unique, uint64_t fh)
{
	(void)arg;
	(void)unique;
	(void)fh;
	return false;
}

static int opened(void *arg, uid_t user, uint64_t fh)
{
	(void)arg;
	(void)user;
	(void)fh;
	return 0;
}

static void adopt(void)
{
	struct gntdev_adoption a = { .in_hand = in_hand, .given_up = given_up, .opened = opened };

	begin_life();
	if (gntdev_adopt(&gd, &a))
		_exit(3);
}

static uint64_t handles(void)
{
	struct hv_counts counts;

	gd.hv->ops->counts(gd.hv, &counts);
	return counts.handles;
}

static void expect(bool is, int status)
{
	if (!is)
		_exit(status);
}

/* Killed after the first message. */
static void first_life(bool connection)
{
	adopt();
	w->unique = 2;
	do_open(0);
	w->unique = 4;
	do_map(0, 0, 0, PAGES);
	w->unique = 6;
	do_mmap(0, 0, PAGES, connection);
	w->win[1].noted = false;
	w->in_hand = !connection;
	_exit(0);
}

static void wait_for_answer(void)
{
	while (__atomic_load_n(&w->result, __ATOMIC_ACQUIRE) == UNANSWERED)
		usleep(1000);
}

static void ask_again(void)
{
	again = true;
	w->windows = 1;
	w->window[0] = 0;
	do_mmap(0, 0, PAGES, true);
}

/* It has it still. */
static void holds_it(void)
{
	adopt();
	ask_again();
	usleep(30000);
	expect(w->result == UNANSWERED, 10);
	expect(handles() == PAGES, 11);
	w->win[1].held = false;
	report_ends();
	wait_for_answer();
	expect(w->result == 0, 12);
	expect(handles() == PAGES, 13);
	expect(w->win[2].held, 14);
	_exit(0);
}

/* It goes on holding it: it gets no other one, and that stays as it is. */
static void keeps_it(void)
{
	adopt();
	ask_again();
	wait_for_answer();
	expect(w->result == -EINVAL, 20);
	expect(handles() == PAGES, 21);
	_exit(0);
}

/* It holds it, and the daemon is told to end: that waits for no client. */
static void keeps_it_at_the_end(void)
{
	uint64_t begun;

	adopt();
	ask_again();
	usleep(30000);
	expect(w->result == UNANSWERED, 40);
	begun = clock_ms();
	__atomic_store_n(&gd.ending, true, __ATOMIC_RELAXED);
	wait_for_answer();
	expect(w->result == -EINVAL, 41);
	expect(clock_ms() - begun < 1000, 42);
	expect(handles() == PAGES, 43);
	_exit(0);
}

/* The request was in hand: its socket is not empty, but that says nothing of the second message. */
static void lets_go_of_it(void)
{
	adopt();
	gntdev_mmap_sent(&gd, w->unique);
	w->in_hand = false;
	w->win[1].held = false;
	report_ends();
	expect(handles() == 0, 30);
	w->unique = 8;
	ask_again();
	wait_for_answer();
	expect(w->result == 0, 31);
	expect(handles() == PAGES, 32);
	_exit(0);
}

static int life(void (*fn)(void), bool connection)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid && fn)
		fn();
	if (!pid)
		first_life(connection);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void lives(void (*second)(void), bool connection)
{
	w = shared(sizeof(*w));
	begin_world();
	ck_assert_int_eq(life(NULL, connection), 0);
	ck_assert_int_eq(life(second, connection), 0);
	end_world();
}

/* --- tests --------------------------------------------------------------------------------------- */

START_TEST(who_holds_it_waits)
{
	lives(holds_it, true);
}
END_TEST

START_TEST(who_keeps_it_is_refused)
{
	lives(keeps_it, true);
}
END_TEST

START_TEST(the_end_waits_for_nobody)
{
	lives(keeps_it_at_the_end, true);
}
END_TEST

START_TEST(half_an_answer_is_none)
{
	lives(lets_go_of_it, false);
}
END_TEST

Suite *again_suite(void);

Suite *again_suite(void)
{
	Suite *s = suite_create("again");
	TCase *tc = tcase_create("again");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, who_holds_it_waits);
	tcase_add_test(tc, who_keeps_it_is_refused);
	tcase_add_test(tc, the_end_waits_for_nobody);
	tcase_add_test(tc, half_an_answer_is_none);
	suite_add_tcase(s, tc);
	return s;
}
