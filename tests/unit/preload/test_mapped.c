/* SPDX-License-Identifier: MIT */
/*
 * preload/test_mapped.c - mprotect and mremap of windows of frames, and of all else
 *
 * A window is a file here, of a name like a window's: what the object goes by is what the kernel says of
 * mappings.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/preload/daemon.h"
#include "tests/unit/preload/named.h"

#define NAME "00000000deadbeef.3000.3.0123456789abcdef"

static char *map_frames_window(int prot)
{
	char *at = map_file(NAME, prot);

	mapped_frames(at, 3 * PAGE);
	return at;
}

static char *own_pages(size_t pages)
{
	char *at = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(at, MAP_FAILED);
	return at;
}

#define ASSERT_EACCES(call)                              \
	do {                                             \
		errno = 0;                               \
		ck_assert_int_eq(call, -1);              \
		ck_assert_int_eq(errno, EACCES);         \
		ck_assert_int_eq(open_descriptors(), n); \
	} while (0)

START_TEST(a_window_keeps_its_protection)
{
	const int n = open_descriptors();
	char *at = map_frames_window(RW);

	ASSERT_EACCES(preload_mprotect(at, 3 * PAGE, PROT_READ));
	ASSERT_EACCES(preload_mprotect(at, 3 * PAGE, PROT_NONE));
	ASSERT_EACCES(preload_mprotect(at, 3 * PAGE, RW | PROT_EXEC));
	ASSERT_EACCES(preload_mprotect(at + PAGE, PAGE, PROT_READ));
	ASSERT_EACCES(preload_mprotect(at, 1, PROT_READ));
	ASSERT_EACCES(preload_pkey_mprotect(at, 3 * PAGE, PROT_READ, -1));
	ASSERT_EACCES(preload_pkey_mprotect(at, 3 * PAGE, RW, 1));
	at[0] = 'w';
	ck_assert_int_eq(preload_mprotect(at, 3 * PAGE, RW), 0);
	munmap(at, 3 * PAGE);
	at = map_frames_window(PROT_NONE);
	ASSERT_EACCES(preload_mprotect(at, 3 * PAGE, PROT_READ));
	munmap(at, 3 * PAGE);
}
END_TEST

START_TEST(a_window_stays_where_it_is)
{
	char *to = own_pages(3), *at = map_frames_window(RW);

	ck_assert_ptr_eq(preload_mremap(at, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to),
			 MAP_FAILED);
	ck_assert_int_eq(errno, EINVAL);
	at[0] = 'w';
	to[0] = 'o';
	calls.n = 0;
	ck_assert_ptr_eq(preload_mremap(at, 3 * PAGE, 3 * PAGE, 0), at);
	ck_assert_int_eq(calls.n, 1);
	munmap(to, 3 * PAGE);
	to = own_pages(3);
	ck_assert_ptr_eq(preload_mremap(to, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at),
			 at);
	munmap(at, 3 * PAGE);
}
END_TEST

/* Mappings around a window, and one that covers both; nothing is changed in parts. */
START_TEST(what_lies_around_a_window)
{
	const int n = open_descriptors();
	char *all = own_pages(5), *at = map_frames_window(RW);

	ck_assert_ptr_eq(mremap(at, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, all + PAGE),
			 all + PAGE);
	mapped_frames(all + PAGE, 3 * PAGE);
	ASSERT_EACCES(preload_mprotect(all, 5 * PAGE, PROT_READ));
	ASSERT_EACCES(preload_mprotect(all, PAGE + 1, PROT_READ));
	all[0] = 'o';
	ck_assert_int_eq(preload_mprotect(all, PAGE, PROT_READ), 0);
	ck_assert_int_eq(preload_mprotect(all + 4 * PAGE, PAGE, PROT_NONE), 0);
	ck_assert_int_eq(preload_pkey_mprotect(all, PAGE, RW, -1), 0);
	all[0] = 'o';
	munmap(all, 5 * PAGE);
}
END_TEST

/* Nothing but the system call, as long as there is no window of frames at these addresses. */
START_TEST(programs_without_windows_pay_nothing)
{
	char *at = map_file(NAME, RW);

	ck_assert_int_eq(preload_mprotect(at, 3 * PAGE, PROT_READ), 0);
	ck_assert_int_eq(preload_mprotect(at, 3 * PAGE, RW), 0);
	mapped_frames(at + 3 * PAGE, PAGE);
	mapped_frames(at - PAGE, PAGE);
	ck_assert_int_eq(calls.n, 2);
	calls.n = 0;
	ck_assert_int_eq(preload_mprotect(at + 3 * PAGE, 0, PROT_READ), 0);
	ck_assert_int_eq(preload_mprotect((void *)PAGE, PAGE, PROT_READ), -1);
	ck_assert_int_eq(errno, ENOMEM);
	munmap(at, 3 * PAGE);
}
END_TEST

/* The addresses of a window that has gone. */
START_TEST(addresses_are_used_again)
{
	char *at = map_frames_window(RW);

	ck_assert_ptr_eq(
		mmap(at, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), at);
	ck_assert_int_eq(preload_mprotect(at, 3 * PAGE, RW), 0);
	at[0] = 'o';
	munmap(at, 3 * PAGE);
}
END_TEST

static const char *const others[] = {
	"window",
	"0000000deadbeef.3000.3.0123456789abcdef",
	"000000000deadbeef.3000.3.0123456789abcdef",
	"00000000DEADBEEF.3000.3.0123456789abcdef",
	"00000000deadbeef.3000.0123456789abcdef",
	"00000000deadbeef..3.0123456789abcdef",
	"00000000deadbeef.3000.3.123456789abcdef",
	"00000000deadbeef.3000.3.0123456789abcdef0",
	"00000000deadbeef.3000.3.0123456789abcdef (deleted)",
	"x00000000deadbeef.3000.3.0123456789abcdef",
};

START_TEST(other_files_are_no_windows)
{
	char *at = map_file(others[_i], RW);

	mapped_frames(at, 3 * PAGE);
	ck_assert_int_eq(preload_mprotect(at, 3 * PAGE, PROT_READ), 0);
	munmap(at, 3 * PAGE);
}
END_TEST

/* Lines that are longer than what is read at a time, before and behind. */
START_TEST(long_names)
{
	static char name[251];
	int fd[17] = { open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }, file;
	char *around = own_pages(20), *at = around + 8 * PAGE;

	memset(name, 'd', 250);
	for (int i = 0; i < 16; i++) {
		mkdirat(fd[i], name, 0700);
		fd[i + 1] = openat(fd[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(fd[i + 1], 0);
	}
	file = openat(fd[16], "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(file, 0);
	for (int i = 0; i < 20; i++)
		mmap(around + i * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file,
		     2 * i * PAGE);
	ck_assert_ptr_eq(
		mremap(map_file(NAME, RW), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at),
		at);
	mapped_frames(around, 20 * PAGE);
	const int n = open_descriptors();
	ASSERT_EACCES(preload_mprotect(at, 3 * PAGE, PROT_READ));
	ck_assert_int_eq(preload_mprotect(around, 20 * PAGE, PROT_NONE), -1);
	ck_assert_int_eq(preload_mprotect(around, 8 * PAGE, PROT_NONE), 0);
	ck_assert_int_eq(preload_mprotect(at + 3 * PAGE, PAGE, PROT_NONE), 0);
	munmap(around, 20 * PAGE);
	unlinkat(fd[16], "file", 0);
	for (int i = 16; i; i--) {
		close(fd[i]);
		ck_assert_int_eq(unlinkat(fd[i - 1], name, AT_REMOVEDIR), 0);
	}
}
END_TEST

/* Each system call on the way fails: then nobody is refused anything, and the signal mask is as it was. */
START_TEST(the_kernel_does_not_tell)
{
	const int n = open_descriptors();
	char *at = map_frames_window(RW);

	for (int fail = 1; fail <= 3; fail++) {
		calls.n = 0;
		calls.fail_at = fail;
		calls.error = EMFILE;
		ck_assert_int_eq(preload_mprotect(at, 3 * PAGE, PROT_READ), 0);
		calls.fail_at = 0;
		ck_assert_int_eq(open_descriptors(), n);
		ck_assert(signal_mask() == 0);
		ck_assert_int_eq(mprotect(at, 3 * PAGE, RW), 0);
	}
	munmap(at, 3 * PAGE);
}
END_TEST

START_TEST(errno_stays)
{
	char *at = map_frames_window(RW), *own = own_pages(1);

	mapped_frames(own, PAGE);
	errno = EXDEV;
	ck_assert_int_eq(preload_mprotect(own, PAGE, PROT_READ), 0);
	ck_assert_int_eq(errno, EXDEV);
	munmap(own, PAGE);
	munmap(at, 3 * PAGE);
}
END_TEST

/* The object takes note of what it maps itself. */
START_TEST(windows_of_frames_are_known)
{
	ck_assert_uint_eq(highest, 0);
	set_up();
	daemon_.said[0] = (struct said)SAYS(1, 1, 1, .kind = WINDOW_FRAMES, .domid = GRANTER,
					    .piece = { { FRAME(5), 3 * PAGE } });
	char *at = map(3 * PAGE, RW, MAP_SHARED);

	ck_assert_uint_eq(lowest, (uintptr_t)at);
	ck_assert_uint_eq(highest, (uintptr_t)at + 3 * PAGE);
	munmap(at, 3 * PAGE);
	daemon_.said[0] = one_piece;
	at = try_map((void *)0x123456789000, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED);
	ck_assert_uint_gt(lowest, (uintptr_t)at);
	munmap(at, 3 * PAGE);
	tear_down();
}
END_TEST

Suite *mapped_suite(void);

Suite *mapped_suite(void)
{
	Suite *s = suite_create("preload_mapped");
	TCase *tc = tcase_create("mapped");

	tcase_add_checked_fixture(tc, make_dir, remove_dir);
	tcase_add_test(tc, a_window_keeps_its_protection);
	tcase_add_test(tc, a_window_stays_where_it_is);
	tcase_add_test(tc, what_lies_around_a_window);
	tcase_add_test(tc, programs_without_windows_pay_nothing);
	tcase_add_test(tc, addresses_are_used_again);
	tcase_add_loop_test(tc, other_files_are_no_windows, 0, sizeof(others) / sizeof(others[0]));
	tcase_add_test(tc, long_names);
	tcase_add_test(tc, the_kernel_does_not_tell);
	tcase_add_test(tc, errno_stays);
	tcase_add_test(tc, windows_of_frames_are_known);
	suite_add_tcase(s, tc);
	return s;
}
