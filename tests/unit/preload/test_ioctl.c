/* SPDX-License-Identifier: MIT */
/*
 * preload/test_ioctl.c - windows by one ioctl: when they are asked for so, and when not
 *
 * What is the same by either way is in preload/test_preload.c and preload/test_frames.c.
 */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/preload/daemon.h"

/* It did, and this is how many times the other way was gone. */
static void assert_mapped(char *p, int connected)
{
	ck_assert_msg(p != MAP_FAILED, "mmap: %s", strerror(errno));
	assert_pages(p, one_piece_pages, 3);
	ck_assert_int_eq(count_calls(SYS_connect), connected);
	ck_assert_uint_eq(daemon_.rq.open_id, connected ? OPEN_ID : 0);
	munmap(p, 3 * PAGE);
	ck_assert_int_eq(windows(), 0);
}

/* Our copy of the daemon's end is closed first: or its death would not show while we wait. */
START_TEST(one_round_trip)
{
	static const long expected[] = {
		SYS_mmap,     SYS_fstat,   SYS_readlinkat, SYS_rt_sigprocmask,
		SYS_mmap,     SYS_geteuid, SYS_socketpair, SYS_getpid,
		ASK_BY_IOCTL, SYS_close,   SYS_recvmsg,	   SYS_mmap,
		SYS_close,    SYS_close,   SYS_madvise,	   SYS_rt_sigprocmask,
	};
	const int n = sizeof(expected) / sizeof(expected[0]);
	const int fds = descriptors();

	assert_mapped(map(3 * PAGE, RW, MAP_SHARED), 0);
	ck_assert_int_eq(calls.n, n);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(calls.nr[i], expected[i]);
	ck_assert_int_eq(descriptors(), fds);
}
END_TEST

START_TEST(any_error_has_it_connect)
{
	static const int errors[] = { ENOTTY, EOPNOTSUPP, ECONNABORTED, EBADF, EFAULT,
				      EINVAL, EIO,	  EINTR,	EPERM, ENOSYS };
	const int fds = descriptors();

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		mmap_error = errors[i];
		assert_mapped(map(3 * PAGE, RW, MAP_SHARED), 1);
		ck_assert_int_eq(count_calls(ASK_BY_IOCTL), 1);
		ck_assert_int_eq(descriptors(), fds);
	}
}
END_TEST

/* It has decided: nobody is asked twice. */
START_TEST(a_refusal_is_an_answer)
{
	daemon_.said[0] = REFUSES(ENXIO);
	assert_refused(ENXIO, NULL, PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 1);
	ck_assert_int_eq(count_calls(SYS_ioctl), 0);
}
END_TEST

/* The daemon has taken its end, and dies; a driver says 0 to whatever it is asked. */
START_TEST(the_end_of_file_is_an_answer)
{
	if (_i)
		token_silent = true;
	else
		daemon_hangs_up = true;
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 0);
	ck_assert_int_eq(count_calls(SYS_ioctl), 0);
}
END_TEST

START_TEST(no_pair_of_sockets)
{
	static const int errors[] = { EMFILE, ENFILE, ENOMEM };
	const int fds = descriptors();

	map(3 * PAGE, RW, MAP_SHARED);
	for (calls.fail_at = 1; calls.nr[calls.fail_at - 1] != SYS_socketpair; calls.fail_at++)
		;
	munmap(privcmd.at, 3 * PAGE);
	for (int i = 0; i < 3; i++) {
		calls.error = errors[i];
		assert_refused(errors[i], NULL, 3 * PAGE, RW, MAP_SHARED);
	}
	ck_assert_int_eq(daemon_.asked, 1);
	calls.error = EAFNOSUPPORT;
	assert_mapped(map(3 * PAGE, RW, MAP_SHARED), 1);
	ck_assert_int_eq(count_calls(ASK_BY_IOCTL), 0);
	ck_assert_int_eq(descriptors(), fds);
}
END_TEST

static void no_more_descriptors(void)
{
	limit_descriptors(3);
}

START_TEST(no_descriptor_is_left)
{
	const int fds = descriptors();

	daemon_.before = no_more_descriptors;
	assert_no_descriptor();
	/* Now not even for the pair. */
	assert_no_descriptor();
	ck_assert_int_eq(daemon_.asked, 1);
	limit_descriptors(1024);
	ck_assert_int_eq(descriptors(), fds);
	ck_assert_int_eq(windows(), 0);
}
END_TEST

START_TEST(large_windows_connect)
{
	const size_t most = WINDOW_MMAP_PAGES * PAGE;

	daemon_.said[0].piece[0] = (struct window_piece){ 0, most };
	munmap(map(most, PROT_READ, MAP_SHARED), most);
	ck_assert_int_eq(count_calls(ASK_BY_IOCTL), 1);
	ck_assert_int_eq(count_calls(SYS_connect), 0);
	daemon_.said[0].piece[0].length += PAGE;
	munmap(map(most + 1, PROT_READ, MAP_SHARED), most + PAGE);
	ck_assert_int_eq(count_calls(SYS_socketpair), 0);
	ck_assert_int_eq(count_calls(ASK_BY_IOCTL), 0);
	ck_assert_int_eq(count_calls(SYS_connect), 1);
}
END_TEST

/* What the driver refuses is not asked for; that it is the driver's to refuse is found out as ever. */
START_TEST(stacks_are_not_asked_for)
{
	assert_refused(EINVAL, NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN);
	ck_assert_int_eq(count_calls(ASK_BY_IOCTL), 0);
	ck_assert_int_eq(daemon_.asked, 0);
}
END_TEST

/* The daemon sees this client's mappings, and is told where to look. */
START_TEST(the_address_is_told)
{
	char *p = map(3 * PAGE, RW, MAP_SHARED);

	assert_mapped(p, 0);
	ck_assert_uint_eq(daemon_.rq.vaddr, (uintptr_t)p);
}
END_TEST

/* It would be refused: so the daemon is not asked, and no socket made. */
START_TEST(others_than_root_connect)
{
	user = 65534;
	assert_mapped(map(3 * PAGE, RW, MAP_SHARED), 1);
	ck_assert_int_eq(count_calls(SYS_socketpair), 0);
	ck_assert_int_eq(count_calls(ASK_BY_IOCTL), 0);
}
END_TEST

Suite *ioctl_suite(void);

Suite *ioctl_suite(void)
{
	Suite *s = suite_create("preload_ioctl");
	TCase *tc = tcase_create("ioctl");

	tcase_add_checked_fixture(tc, set_up_by_ioctl, tear_down);
	tcase_add_test(tc, one_round_trip);
	tcase_add_test(tc, any_error_has_it_connect);
	tcase_add_test(tc, a_refusal_is_an_answer);
	tcase_add_loop_test(tc, the_end_of_file_is_an_answer, 0, 2);
	tcase_add_test(tc, no_pair_of_sockets);
	tcase_add_test(tc, no_descriptor_is_left);
	tcase_add_test(tc, large_windows_connect);
	tcase_add_test(tc, stacks_are_not_asked_for);
	tcase_add_test(tc, the_address_is_told);
	tcase_add_test(tc, others_than_root_connect);
	suite_add_tcase(s, tc);
	return s;
}
