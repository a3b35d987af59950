/* SPDX-License-Identifier: MIT */
/*
 * preload/test_again.c - the daemon ends while it has a request, and another one comes
 */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/preload/daemon.h"

#define PIECES .piece = { { 9 * PAGE, PAGE }, { 2 * PAGE, PAGE }, { 7 * PAGE, PAGE } }

/**
 * struct times - what the daemon does at each time it is asked
 * @ends: so often it says @first, and ends; then it says @last
 * @again: how often it was told that it is asked again
 * @in_use: windows that the client had when it was asked, at most
 */
static struct times {
	int ends;
	struct said first;
	struct said last[2];
	int again;
	int in_use;
	bool device_gone; /* after the first time */
} times;

static void talk_at_last(int conn)
{
	times.again += daemon_.rq.again == 1;
	if (windows() > times.in_use)
		times.in_use = windows();
	if (times.device_gone)
		mmap_error = token_error = ECONNABORTED;
	if (times.ends-- > 0) {
		if (times.first.magic)
			say(conn, &times.first);
		return;
	}
	for (int i = 0; i < 2 && times.last[i].magic; i++)
		say(conn, &times.last[i]);
}

/* By either way: @_i. */
static void will_end(int by_ioctl, int ends, struct said first)
{
	mmap_error = by_ioctl ? 0 : ENOTTY;
	times = (struct times){ .ends = ends, .first = first, .last = { one_piece } };
	daemon_.talk = talk_at_last;
}

static void assert_served(int asked, const uint32_t *pages, int flags, void *at)
{
	const int fds = descriptors();
	char *p = try_map(at, 3 * PAGE, RW, flags);

	ck_assert_msg(p != MAP_FAILED, "mmap: %s", strerror(errno));
	assert_pages(p, pages, 3);
	ck_assert_int_eq(daemon_.asked, asked);
	ck_assert_int_eq(times.again, asked - 1);
	ck_assert_int_eq(times.in_use, 0);
	munmap(p, 3 * PAGE);
	ck_assert_int_eq(windows(), 0);
	ck_assert_int_eq(descriptors(), fds);
	ck_assert(signal_mask() == 0);
}

START_TEST(it_is_asked_again)
{
	will_end(_i, 4, (struct said){ .magic = 0 });
	assert_served(5, one_piece_pages, MAP_SHARED, NULL);
}
END_TEST

START_TEST(but_not_for_ever)
{
	will_end(_i, 1000, (struct said){ .magic = 0 });
	assert_refused(ENODEV, NULL, 3 * PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 50);
}
END_TEST

/* What had come is let go of before it is asked again. */
START_TEST(half_an_answer_is_none)
{
	will_end(_i % 2, 2, (struct said)SAYS(3, 2, 1, PIECES));
	times.last[0] = three_pieces;
	if (_i < 2)
		assert_served(3, three_pieces_pages, MAP_SHARED, NULL);
	else
		assert_served(3, three_pieces_pages, MAP_SHARED | MAP_FIXED,
			      (void *)0x123456789000);
}
END_TEST

START_TEST(half_an_answer_is_no_use)
{
	will_end(_i, 1000, (struct said)SAYS(3, 2, 1, PIECES));
	assert_refused(ENODEV, NULL, 3 * PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(times.in_use, 0);
}
END_TEST

static const struct said frames =
	SAYS(3, 3, 1, .kind = WINDOW_FRAMES, .domid = GRANTER,
	     .piece = { { FRAME(9), PAGE }, { FRAME(2), PAGE }, { FRAME(7), PAGE } });

START_TEST(half_an_answer_of_frames_is_none)
{
	will_end(_i, 2, frames);
	times.first.here = 2;
	times.last[0] = frames;
	assert_served(3, three_pieces_pages, MAP_SHARED, NULL);
}
END_TEST

/* The kind of window is another one than what was begun: it is not what a successor does, and no matter. */
START_TEST(frames_follow_a_file)
{
	will_end(_i, 1, (struct said)SAYS(3, 2, 1, PIECES));
	times.last[0] = frames;
	assert_served(2, three_pieces_pages, MAP_SHARED, NULL);
}
END_TEST

/* There is nobody who could come. */
START_TEST(the_device_ends)
{
	will_end(_i, 1000, (struct said){ .magic = 0 });
	times.device_gone = true;
	assert_refused(ENODEV, NULL, 3 * PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 1);
}
END_TEST

/* A socket whose daemon has just ended. Pauses have it come back. */
static char moved[sizeof(token.socket) + 4];
static int pauses;

static void come_back(void)
{
	if (++pauses == 3)
		rename(moved, token.socket);
}

START_TEST(the_socket_comes_back)
{
	int other = -1;

	will_end(0, 0, (struct said){ .magic = 0 });
	snprintf(moved, sizeof(moved), "%s.old", token.socket);
	ck_assert_int_eq(rename(token.socket, moved), 0);
	if (_i) { /* nobody listens there */
		struct sockaddr_un sun = { .sun_family = AF_UNIX };

		memcpy(sun.sun_path, token.socket, sizeof(sun.sun_path));
		other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(bind(other, (struct sockaddr *)&sun, sizeof(sun)), 0);
	}
	at_pause = come_back;
	assert_served(1, one_piece_pages, MAP_SHARED, NULL);
	ck_assert_int_eq(pauses, 3);
	ck_assert_int_eq(count_calls(SYS_connect), 4);
	close(other);
}
END_TEST

Suite *again_suite(void);

Suite *again_suite(void)
{
	Suite *s = suite_create("preload_again");
	TCase *tc = tcase_create("again");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, it_is_asked_again, 0, 2);
	tcase_add_loop_test(tc, but_not_for_ever, 0, 2);
	tcase_add_loop_test(tc, half_an_answer_is_none, 0, 4);
	tcase_add_loop_test(tc, half_an_answer_is_no_use, 0, 2);
	tcase_add_loop_test(tc, half_an_answer_of_frames_is_none, 0, 2);
	tcase_add_loop_test(tc, frames_follow_a_file, 0, 2);
	tcase_add_loop_test(tc, the_device_ends, 0, 2);
	tcase_add_loop_test(tc, the_socket_comes_back, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
