/* SPDX-License-Identifier: MIT */
/*
 * preload/test_offset.c - GET_OFFSET_FOR_VADDR: what the object answers itself, and what it leaves to the daemon
 *
 * A window is a file of a window's name. The device is /dev/null, which says ENOTTY: so the daemon was asked.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/preload/daemon.h"
#include "tests/unit/preload/named.h"

#define NAME	   "00000000deadbeef.123456789000.3.0123456789abcdef"
#define INDEX	   0x123456789000UL
#define GET_OFFSET IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR

static void setup(void)
{
	make_dir();
	device = open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void teardown(void)
{
	close(device);
	remove_dir();
}

static dev_t number(void)
{
	return makedev(device_major, 7);
}

static char *map_noted(void)
{
	char *at = map_file(NAME, RW);

	offset_note(at, 3 * PAGE, number());
	return at;
}

static __attribute__((noinline)) uintptr_t frame(void)
{
	return (uintptr_t)__builtin_frame_address(0);
}

/* With the argument close above the object's frame, in the middle of a page. */
static __attribute__((noinline)) int ask_of(int fd, const void *at,
					    struct ioctl_gntdev_get_offset_for_vaddr *op)
{
	void *volatile room = __builtin_alloca(((frame() - 2048) & 4095) + 32);
	struct ioctl_gntdev_get_offset_for_vaddr *there = __builtin_alloca(sizeof(*there));
	int ret;

	(void)room;
	*there = (struct ioctl_gntdev_get_offset_for_vaddr){ .vaddr = (uintptr_t)at,
							     .count = 77,
							     .offset = 77 };
	calls.n = 0;
	errno = EXDEV;
	ret = preload_ioctl(fd, GET_OFFSET, there);
	*op = *there;
	return ret;
}

static int ask(const void *at, struct ioctl_gntdev_get_offset_for_vaddr *op)
{
	return ask_of(device, at, op);
}

static void assert_answered(const void *at)
{
	struct ioctl_gntdev_get_offset_for_vaddr op;

	ck_assert_int_eq(ask(at, &op), 0);
	ck_assert_int_eq(errno, EXDEV);
	ck_assert_uint_eq(op.offset, INDEX);
	ck_assert_uint_eq(op.count, 3);
	ck_assert_uint_eq(op.vaddr, (uintptr_t)at);
	ck_assert_int_eq(count_calls(SYS_ioctl), 0);
}

/* As it was asked: what the object looked at leaves no trace. */
static void assert_passed_on_by(int fd, const void *at)
{
	struct ioctl_gntdev_get_offset_for_vaddr op;

	ck_assert_int_eq(ask_of(fd, at, &op), -1);
	ck_assert_int_eq(errno, ENOTTY);
	ck_assert_uint_eq(op.offset, 77);
	ck_assert_uint_eq(op.count, 77);
	ck_assert_int_eq(count_calls(SYS_ioctl), 1);
}

static void assert_passed_on(const void *at)
{
	assert_passed_on_by(device, at);
}

START_TEST(a_window_that_is_there)
{
	char *at = map_noted();

	assert_answered(at);
	ck_assert_int_eq(calls.n, 2);
	assert_answered(at);
	/* By any descriptor of the device. */
	munmap(at, 3 * PAGE);
	assert_passed_on(at);
}
END_TEST

START_TEST(what_is_not_a_window_as_it_was_mapped)
{
	char *at = map_noted(), *place, *to;

	assert_passed_on(NULL);
	assert_passed_on(at + 1);
	assert_passed_on(at + PAGE);
	assert_passed_on(at - PAGE);
	assert_passed_on((void *)UINTPTR_MAX);
	ck_assert_int_eq(munmap(at + 2 * PAGE, PAGE), 0);
	assert_passed_on(at);
	munmap(at, 2 * PAGE);
	at = map_noted();
	ck_assert_int_eq(mprotect(at + PAGE, PAGE, PROT_READ), 0);
	assert_passed_on(at);
	ck_assert_int_eq(mprotect(at + PAGE, PAGE, RW), 0);
	assert_answered(at);
	place = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(place, MAP_FAILED);
	to = mremap(at, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	ck_assert_ptr_eq(to, place);
	assert_passed_on(at);
	assert_passed_on(to);
	munmap(to, 3 * PAGE);
}
END_TEST

/* Something else has its place now: other memory, a window that the object does not know. */
START_TEST(what_is_there_now)
{
	char *at = map_noted(), *other;

	ck_assert_ptr_eq(mmap(at, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 at);
	assert_passed_on(at);
	other = map_file("00000000deadbeef.0.4.0123456789abcdef", RW);
	offset_note(other, 3 * PAGE, number());
	assert_passed_on(other);
	munmap(other, 3 * PAGE);
	other = map_file("window", RW);
	offset_note(other, 3 * PAGE, number());
	assert_passed_on(other);
	munmap(other, 3 * PAGE);
	munmap(at, 3 * PAGE);
}
END_TEST

/* Nor is one answered for by a file that is not the device. */
START_TEST(other_files)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char *at = map_noted();

	assert_passed_on_by(null, at);
	offset_note(at, 3 * PAGE, makedev(device_major, 8));
	assert_passed_on(at);
	/* A window of gntalloc's, or in several pieces. */
	offset_note(at, 3 * PAGE, 0);
	assert_passed_on(at);
	ck_assert_int_eq(count_calls(SYS_fstat), 0);
	munmap(at, 3 * PAGE);
	close(null);
}
END_TEST

START_TEST(a_forked_child)
{
	char *at = map_noted();
	pid_t child = fork();
	int status;

	if (!child) {
		assert_answered(at);
		munmap(at, 3 * PAGE);
		assert_passed_on(at);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	assert_answered(at);
	munmap(at, 3 * PAGE);
}
END_TEST

/* What the argument's address is worth is for the kernel to find out. */
START_TEST(arguments_elsewhere)
{
	char *at = map_noted(), *two = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ioctl_gntdev_get_offset_for_vaddr *edge = (void *)(two + PAGE - 16);
	void *bad[] = { NULL, (void *)1, (void *)UINTPTR_MAX, two, two + PAGE, edge };

	edge->vaddr = (uintptr_t)at;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (i == 4)
			mprotect(two + PAGE, PAGE, PROT_NONE);
		calls.n = 0;
		ck_assert_int_eq(preload_ioctl(device, GET_OFFSET, bad[i]), -1);
		ck_assert_int_eq(calls.n, 1);
	}
	ck_assert(is_beside(two, two, 24));
	ck_assert(is_beside(two + PAGE - 1, two + PAGE - 24, 24));
	ck_assert(!is_beside(two, two + PAGE - 16, 24));
	ck_assert(!is_beside(two + PAGE, two + PAGE - 16, 24));
	ck_assert(!is_beside(two, two + 4, 24));
	ck_assert(!is_beside((void *)UINTPTR_MAX, (void *)(UINTPTR_MAX - 7), 24));
	munmap(two, 2 * PAGE);
	munmap(at, 3 * PAGE);
}
END_TEST

START_TEST(other_requests)
{
	int ends[2], ready = 0;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(write(ends[1], "four", 4), 4);
	calls.n = 0;
	ck_assert_int_eq(preload_ioctl(ends[0], FIONREAD, &ready), 0);
	ck_assert_int_eq(ready, 4);
	ck_assert_int_eq(preload_ioctl(ends[0], FIOCLEX), 0);
	ck_assert_int_eq(preload_ioctl(-1, FIONREAD, &ready), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(calls.n, 3);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* The kernel says nothing of the mapping: no /proc, or not to this user. */
START_TEST(the_kernel_does_not_tell)
{
	char *at = map_noted();
	struct ioctl_gntdev_get_offset_for_vaddr op;

	for (int fail = 1; fail <= 2; fail++) {
		calls.fail_at = fail;
		calls.error = EPERM;
		ck_assert_int_eq(ask(at, &op), -1);
		ck_assert_int_eq(errno, ENOTTY);
	}
	calls.fail_at = 0;
	munmap(at, 3 * PAGE);
}
END_TEST

enum { MANY = HINTS + 1000 };

/* Return: how many of the windows are answered for, rightly. */
static unsigned int answered(char *const *at, unsigned int n)
{
	struct ioctl_gntdev_get_offset_for_vaddr op;
	unsigned int right = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (ask(at[i], &op))
			continue;
		ck_assert_uint_eq(op.offset, INDEX);
		ck_assert_uint_eq(op.count, 3);
		right++;
	}
	return right;
}

/* Side by side, as the kernel places them. More than there are hints: each is right or passed on. */
START_TEST(many_windows)
{
	static char *at[MANY];

	for (unsigned int i = 0; i < 2000; i++)
		at[i] = map_noted();
	ck_assert_uint_ge(answered(at, 2000), 1900);
	for (unsigned int i = 2000; i < MANY; i++)
		at[i] = map_noted();
	ck_assert_uint_ge(answered(at, MANY), HINTS / 4);
	ck_assert_uint_le(answered(at, MANY), HINTS);
	for (unsigned int i = 0; i < MANY; i++)
		munmap(at[i], 3 * PAGE);
}
END_TEST

static void assert_noted(const void *at, bool noted)
{
	struct hint h;

	ck_assert_int_eq(get_hint((uintptr_t)at, &h), noted);
}

/* Those that the object maps: of gntdev, in one mapping. */
START_TEST(which_windows_are_noted)
{
	char *at;

	set_up();
	at = map(3 * PAGE, RW, MAP_SHARED);
	assert_noted(at, true);
	munmap(at, 3 * PAGE);
	/* Something else at the same place: what was noted goes. */
	device_link = "../../devices/virtual/cuse/xen!gntalloc";
	ck_assert_ptr_eq(try_map(at, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED), at);
	assert_noted(at, false);
	munmap(at, 3 * PAGE);
	device_link = "../../devices/virtual/cuse/xen!gntdev2";
	at = map(3 * PAGE, RW, MAP_SHARED);
	assert_noted(at, false);
	munmap(at, 3 * PAGE);
	device_link = "../../devices/virtual/cuse/xen!gntdev";
	daemon_.said[0] = three_pieces;
	at = map(3 * PAGE, RW, MAP_SHARED);
	assert_noted(at, false);
	munmap(at, 3 * PAGE);
	daemon_.said[0] = (struct said)SAYS(
		3, 3, 1, .kind = WINDOW_FRAMES, .domid = GRANTER,
		.piece = { { FRAME(9), PAGE }, { FRAME(2), PAGE }, { FRAME(7), PAGE } });
	at = map(3 * PAGE, RW, MAP_SHARED);
	assert_noted(at, true);
	munmap(at, 3 * PAGE);
	tear_down();
}
END_TEST

Suite *offset_suite(void);

Suite *offset_suite(void)
{
	Suite *s = suite_create("preload_offset");
	TCase *tc = tcase_create("offset");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_window_that_is_there);
	tcase_add_test(tc, what_is_not_a_window_as_it_was_mapped);
	tcase_add_test(tc, what_is_there_now);
	tcase_add_test(tc, other_files);
	tcase_add_test(tc, a_forked_child);
	tcase_add_test(tc, arguments_elsewhere);
	tcase_add_test(tc, other_requests);
	tcase_add_test(tc, the_kernel_does_not_tell);
	tcase_add_test(tc, many_windows);
	suite_add_tcase(s, tc);
	tc = tcase_create("noted");
	tcase_add_test(tc, which_windows_are_noted);
	suite_add_tcase(s, tc);
	return s;
}
