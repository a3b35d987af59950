/* SPDX-License-Identifier: MIT */
/*
 * preload/test_frames.c - windows of frames: what the preload object does with privcmd
 *
 * As preload/test_preload.c, but the daemon sends frame numbers, and privcmd is a double that maps the
 * window's file page by page. What is mapped, and how often, is counted by the kernel.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/preload/daemon.h"
#include "tests/unit/preload/failing.h"

/* More than the object keeps on its stack. */
#define LARGE 100

#define FRAMES(n, n_here, n_fds, ...) \
	SAYS(n, n_here, n_fds, .kind = WINDOW_FRAMES, .domid = GRANTER, __VA_ARGS__)
#define SCATTERED .piece = { { FRAME(9), PAGE }, { FRAME(2), PAGE }, { FRAME(7), PAGE } }

static const struct said one_run = FRAMES(1, 1, 1, .piece = { { FRAME(5), 3 * PAGE } });
static const struct said three_runs = FRAMES(3, 3, 1, SCATTERED);

/*
 * As many single frames as were asked for, from the file's end to its beginning, but for the last
 * two, which are a run.
 */
static void talk_frames(int conn)
{
	union {
		struct window_reply reply;
		unsigned char bytes[WINDOW_REPLY_MAX];
	} msg = { .reply = { .magic = WINDOW_MAGIC, .kind = WINDOW_FRAMES, .domid = GRANTER } };
	const uint32_t pages = (uint32_t)(daemon_.rq.length / PAGE);
	const uint32_t pieces = pages - 1;
	uint32_t next = 0;

	msg.reply.pieces = pieces;
	while (next < pieces) {
		const bool first = !next;
		uint32_t n = 0;

		for (; n < WINDOW_PIECES_PER_MESSAGE && next < pieces; n++, next++)
			msg.reply.piece[n] =
				(struct window_piece){ FRAME(FILE_PAGES - 2 - next), PAGE };
		if (next == pieces)
			msg.reply.piece[n - 1].length = 2 * PAGE;
		msg.reply.here = n;
		send_message(conn, &msg, sizeof(msg.reply) + n * sizeof(msg.reply.piece[0]), first);
	}
}

static void assert_talked(const char *p, uint32_t pages)
{
	uint32_t expected[FILE_PAGES];

	for (uint32_t i = 0; i < pages - 1; i++)
		expected[i] = FILE_PAGES - 2 - i;
	expected[pages - 1] = expected[pages - 2] + 1;
	assert_pages(p, expected, (int)pages);
}

/* What privcmd was asked for: all at once, from its beginning. */
static void assert_filled(const char *p, uint32_t pages, int flags)
{
	ck_assert_ptr_eq(privcmd.at, p);
	ck_assert_uint_eq(privcmd.length, pages * PAGE);
	ck_assert_int_eq(privcmd.offset, 0);
	ck_assert_uint_eq(privcmd.filled, pages);
	ck_assert_int_eq(privcmd.flags, flags);
}

/* --- windows ------------------------------------------------------------------------------- */

START_TEST(a_window_of_one_run)
{
	const int fds = descriptors();
	const uint64_t mask = signal_mask();
	char *p;

	daemon_.said[0] = one_run;
	p = map(3 * PAGE - 100, RW, MAP_SHARED);
	ck_assert_int_eq(errno, 0);
	assert_pages(p, one_piece_pages, 3);
	assert_filled(p, 3, MAP_SHARED | MAP_FIXED);
	ck_assert_int_eq(privcmd.prot, RW);
	assert_written_through(p + PAGE, 6);
	ck_assert_int_eq(descriptors(), fds);
	ck_assert(signal_mask() == mask);
	munmap(p, 3 * PAGE);
	ck_assert_int_eq(windows(), 0);
}
END_TEST

/* In the place that was reserved; nothing is unmapped. */
START_TEST(frames_out_of_order)
{
	char *p;

	daemon_.said[0] = three_runs;
	p = map(3 * PAGE, RW, MAP_SHARED);
	assert_pages(p, three_pieces_pages, 3);
	assert_filled(p, 3, MAP_SHARED | MAP_FIXED);
	ck_assert_ptr_eq(calls.reserved, p);
	/* The device, the place, and privcmd. */
	ck_assert_int_eq(count_calls(SYS_mmap), 3);
	ck_assert_int_eq(count_calls(SYS_munmap), 0);
	munmap(p, 3 * PAGE);
}
END_TEST

static const uint32_t sizes[] = { 2, FEW_FRAMES, FEW_FRAMES + 1, LARGE, 129, 130, 1000 };
#define N_SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))

START_TEST(frames_in_any_number)
{
	const int fds = descriptors();
	char *p;

	daemon_.talk = talk_frames;
	p = map(sizes[_i] * PAGE, PROT_READ, MAP_SHARED);
	assert_talked(p, sizes[_i]);
	assert_filled(p, sizes[_i], MAP_SHARED | MAP_FIXED);
	ck_assert_int_eq(count_calls(PRIVCMD_FILL), 1);
	ck_assert_int_eq(count_calls(SYS_munmap), sizes[_i] > FEW_FRAMES);
	ck_assert_int_eq(descriptors(), fds);
	munmap(p, sizes[_i] * PAGE);
	ck_assert_int_eq(windows(), 0);
}
END_TEST

START_TEST(frames_of_messages_of_their_own)
{
	char *p;

	daemon_.said[0] = (struct said)FRAMES(3, 1, 1, .piece = { { FRAME(9), PAGE } });
	daemon_.said[1] = (struct said)FRAMES(3, 1, 0, .piece = { { FRAME(2), 2 * PAGE } });
	daemon_.said[2] = (struct said)FRAMES(3, 1, 0, .piece = { { FRAME(7), PAGE } });
	p = map(4 * PAGE, RW, MAP_SHARED);
	assert_pages(p, (uint32_t[]){ 9, 2, 3, 7 }, 4);
	munmap(p, 4 * PAGE);
}
END_TEST

/* _i: few frames, or many. */
START_TEST(frames_at_fixed_addresses)
{
	const uint32_t pages = _i ? LARGE : 3;
	char *old = mmap(NULL, (pages + 2) * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = old + PAGE;

	memset(old, 'o', (pages + 2) * PAGE);
	daemon_.said[0] = REFUSES(EPERM);
	assert_refused(EPERM, at, pages * PAGE, RW, MAP_SHARED | MAP_FIXED);
	ck_assert_int_eq(at[0], 'o');
	daemon_.talk = talk_frames;
	ck_assert_ptr_eq(try_map(at, pages * PAGE, RW, MAP_SHARED | MAP_FIXED), at);
	assert_talked(at, pages);
	assert_filled(at, pages, MAP_SHARED | MAP_FIXED);
	ck_assert_int_eq(at[-1], 'o');
	ck_assert_int_eq(at[pages * PAGE], 'o');
	munmap(at, pages * PAGE);
	ck_assert_ptr_eq(try_map(at, pages * PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE), at);
	assert_talked(at, pages);
	assert_filled(at, pages, MAP_SHARED | MAP_FIXED);
	munmap(old, (pages + 2) * PAGE);
}
END_TEST

START_TEST(wishes_for_an_address_of_frames)
{
	daemon_.said[0] = three_runs;
	assert_wishes_count();
}
END_TEST

START_TEST(the_address_of_frames_is_told_when_wanted)
{
	char *p;

	daemon_.said[0] = three_runs;
	token.flags = WINDOW_TELL_VADDR;
	p = map(3 * PAGE, RW, MAP_SHARED);
	ck_assert_uint_eq(daemon_.rq.vaddr, (uintptr_t)p);
	ck_assert_ptr_eq(calls.reserved, p);
	assert_pages(p, three_pieces_pages, 3);
	assert_filled(p, 3, MAP_SHARED | MAP_FIXED);
	munmap(p, 3 * PAGE);
}
END_TEST

/* Nothing is to be faulted in: a fault on a page of privcmd's is SIGBUS. */
START_TEST(privcmd_is_not_asked_to_populate)
{
	char *p;

	daemon_.said[0] = one_run;
	p = map(3 * PAGE, RW, MAP_SHARED_VALIDATE | MAP_POPULATE | MAP_LOCKED | MAP_NORESERVE);
	assert_filled(p, 3, MAP_SHARED | MAP_NORESERVE | MAP_FIXED);
	assert_pages(p, one_piece_pages, 3);
	munmap(p, 3 * PAGE);
}
END_TEST

START_TEST(frames_that_are_only_read)
{
	char *p;

	send_read_only();
	daemon_.said[0] = three_runs;
	p = map(3 * PAGE, PROT_READ, _i ? MAP_PRIVATE : MAP_SHARED);
	assert_filled(p, 3, MAP_SHARED | MAP_FIXED);
	ck_assert_int_eq(privcmd.prot, PROT_READ);
	assert_live(p + 2 * PAGE, 7);
	munmap(p, 3 * PAGE);
}
END_TEST

/* --- what the daemon may say --------------------------------------------------------------- */

START_TEST(private_frames_that_write_are_enodev)
{
	daemon_.said[0] = one_run;
	assert_refused(ENODEV, NULL, 3 * PAGE, RW, MAP_PRIVATE);
	assert_refused(ENODEV, NULL, 3 * PAGE, PROT_WRITE, MAP_PRIVATE);
	ck_assert_int_eq(daemon_.asked, 2);
	ck_assert_int_eq(privcmd.length, 0);
}
END_TEST

#define KIND(k, d)   SAYS(3, 3, 1, .kind = (k), .domid = (d), SCATTERED)
#define TWO_OF_THREE FRAMES(3, 2, 1, SCATTERED)

/* For a request of three pages; each line is wrong in one point. */
static const struct said wrong[][MAX_SAID] = {
	{ KIND(WINDOW_FILE, GRANTER) },
	{ KIND(WINDOW_FRAMES + 1, GRANTER) },
	{ KIND(UINT16_MAX, GRANTER) },
	{ KIND(WINDOW_FRAMES, DOMID_FIRST_RESERVED) },
	{ KIND(WINDOW_FRAMES, DOMID_SELF) },
	{ KIND(WINDOW_FRAMES, UINT16_MAX) },
	/* as for files */
	{ FRAMES(0, 0, 1) },
	{ FRAMES(3, 3, 0, SCATTERED) },
	{ FRAMES(3, 3, 2, SCATTERED) },
	{ FRAMES(4, 4, 1, SCATTERED) },
	{ FRAMES(2, 3, 1, SCATTERED) },
	{ FRAMES(1, 1, 1, .piece = { { FRAME(0), 2 * PAGE } }) },
	{ FRAMES(1, 1, 1, .piece = { { FRAME(0), 4 * PAGE } }) },
	{ FRAMES(1, 1, 1, .piece = { { FRAME(0), -PAGE } }) },
	{ FRAMES(1, 1, 1, .piece = { { FRAME(0) + 1, 3 * PAGE } }) },
	{ FRAMES(1, 1, 1, .piece = { { -PAGE, 3 * PAGE } }) },
	{ FRAMES(2, 2, 1, .piece = { { FRAME(0), 3 * PAGE }, { FRAME(7), PAGE } }) },
	{ FRAMES(2, 2, 1, .piece = { { FRAME(0), PAGE + 1 }, { FRAME(7), 2 * PAGE - 1 } }) },
	/* further messages */
	{ TWO_OF_THREE, FRAMES(3, 1, 1, SCATTERED) },
	{ TWO_OF_THREE, FRAMES(4, 1, 0, SCATTERED) },
	{ TWO_OF_THREE, FRAMES(3, 2, 0, SCATTERED) },
	{ TWO_OF_THREE, SAYS(3, 1, 0, .domid = GRANTER, SCATTERED) },
	{ TWO_OF_THREE, SAYS(3, 1, 0, SCATTERED) },
	{ TWO_OF_THREE, SAYS(3, 1, 0, .kind = WINDOW_FRAMES, SCATTERED) },
	{ TWO_OF_THREE, SAYS(3, 1, 0, .kind = WINDOW_FRAMES, .domid = GRANTER + 1, SCATTERED) },
	{ TWO_OF_THREE, FRAMES(3, 1, 0, .error = EINVAL, SCATTERED) },
};
#define N_WRONG ((int)(sizeof(wrong) / sizeof(wrong[0])))

START_TEST(nonsense_about_frames_is_enodev)
{
	memcpy(daemon_.said, wrong[_i], sizeof(daemon_.said));
	assert_refused(ENODEV, NULL, 3 * PAGE, RW, MAP_SHARED);
	token.flags = WINDOW_TELL_VADDR;
	assert_refused(ENODEV, NULL, 3 * PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 2);
	ck_assert_int_eq(privcmd.length, 0);
}
END_TEST

/* Any domain has a number that is none of Xen's special ones; 0 is one of them. */
START_TEST(domains_of_any_number)
{
	static const uint16_t domid[] = { 0, 1, DOMID_FIRST_RESERVED - 1 };

	for (int i = 0; i < 3; i++) {
		daemon_.said[0] = one_run;
		daemon_.said[0].domid = domid[i];
		/* It is passed on: privcmd is restricted to another one here. */
		assert_refused(EPERM, NULL, 3 * PAGE, RW, MAP_SHARED);
	}
}
END_TEST

/* Half of them frames, more than a message holds, and then nonsense. */
static void talk_half(int conn)
{
	daemon_.rq.length /= 2;
	talk_frames(conn);
}

START_TEST(a_large_window_that_ends_early)
{
	daemon_.talk = talk_half;
	assert_refused(ENODEV, NULL, 600 * PAGE, RW, MAP_SHARED);
	/* The memory for frame numbers, and the place. */
	ck_assert_int_eq(count_calls(SYS_munmap), 2);
}
END_TEST

/* More than privcmd can count; and no memory is taken for so many. */
START_TEST(too_many_frames)
{
	const uint64_t length = (INT_MAX + 1UL) * PAGE;

	daemon_.said[0] = one_run;
	daemon_.said[0].piece[0].length = length;
	assert_refused(ENODEV, NULL, length, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 1);
	/* The device, and the place. */
	ck_assert_int_eq(count_calls(SYS_mmap), 2);
}
END_TEST

/* --- what privcmd may say ------------------------------------------------------------------ */

/* _i: whether the window is large. */
START_TEST(a_frame_that_is_refused)
{
	static const int errors[] = { -EINVAL, -EPERM, -EFAULT, -ENOENT, 1 };
	const long pages = _i ? LARGE : 3, bad[] = { 0, 1, pages - 1 };

	daemon_.talk = talk_frames;
	for (int e = 0; e < 5; e++) {
		privcmd.bad_error = errors[e];
		for (int i = 0; i < 3; i++) {
			privcmd.bad_page = bad[i];
			token.flags = 0;
			assert_refused(EINVAL, NULL, pages * PAGE, RW, MAP_SHARED);
			assert_refused(EINVAL, (void *)0x123456789000, pages * PAGE, RW,
				       MAP_SHARED | MAP_FIXED);
			token.flags = WINDOW_TELL_VADDR;
			assert_refused(EINVAL, NULL, pages * PAGE, RW, MAP_SHARED);
		}
	}
	privcmd.bad_error = 0;
	munmap(map(pages * PAGE, RW, MAP_SHARED), pages * PAGE);
}
END_TEST

START_TEST(a_privcmd_that_fails)
{
	static const int errors[] = { ENOMEM, EPERM, ENOTTY, EFAULT };
	const long pages = _i ? LARGE : 3;

	daemon_.talk = talk_frames;
	for (int e = 0; e < 4; e++) {
		privcmd.error = errors[e];
		assert_refused(errors[e], NULL, pages * PAGE, RW, MAP_SHARED);
	}
	/* Paged out, but it does not say which. */
	privcmd.error = ENOENT;
	assert_refused(EINVAL, NULL, pages * PAGE, RW, MAP_SHARED);
}
END_TEST

/* --- what may fail on our side ------------------------------------------------------------- */

START_TEST(each_call_for_frames_may_fail)
{
	const size_t length = (_i ? LARGE : 3) * PAGE;

	daemon_.talk = talk_frames;
	fail_each_call(length, MAP_SHARED, NULL);
	fail_each_call(length, MAP_SHARED | MAP_FIXED, (void *)0x123456789000);
	token.flags = WINDOW_TELL_VADDR;
	fail_each_call(length, MAP_SHARED, NULL);
}
END_TEST

/* --- the suite -------------------------------------------------------------------------- */

Suite *frames_suite(void);

/* What is the same whichever way the window comes. */
static void add_case(Suite *s, const char *name, void (*before)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, before, tear_down);
	tcase_add_test(tc, a_window_of_one_run);
	tcase_add_test(tc, frames_out_of_order);
	tcase_add_loop_test(tc, frames_in_any_number, 0, N_SIZES);
	tcase_add_test(tc, frames_of_messages_of_their_own);
	tcase_add_loop_test(tc, frames_at_fixed_addresses, 0, 2);
	tcase_add_test(tc, wishes_for_an_address_of_frames);
	tcase_add_test(tc, privcmd_is_not_asked_to_populate);
	tcase_add_loop_test(tc, frames_that_are_only_read, 0, 2);
	tcase_add_test(tc, private_frames_that_write_are_enodev);
	tcase_add_loop_test(tc, nonsense_about_frames_is_enodev, 0, N_WRONG);
	tcase_add_test(tc, domains_of_any_number);
	tcase_add_test(tc, a_large_window_that_ends_early);
	tcase_add_test(tc, too_many_frames);
	tcase_add_loop_test(tc, a_frame_that_is_refused, 0, 2);
	tcase_add_loop_test(tc, a_privcmd_that_fails, 0, 2);
	tcase_add_loop_test(tc, each_call_for_frames_may_fail, 0, 2);
	suite_add_tcase(s, tc);
}

Suite *frames_suite(void)
{
	Suite *s = suite_create("preload_frames");
	TCase *tc = tcase_create("connected");

	add_case(s, "frames", set_up);
	add_case(s, "frames by ioctl", set_up_by_ioctl);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, the_address_of_frames_is_told_when_wanted);
	suite_add_tcase(s, tc);
	return s;
}
