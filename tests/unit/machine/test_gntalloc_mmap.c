/* SPDX-License-Identifier: MIT */
/*
 * machine/test_gntalloc_mmap.c - the granting device: mmap, by the window socket and by ioctl
 */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/machine/rig.h"

static void expect_refusal(uint64_t index, unsigned int pages, int prot, int flags, int error)
{
	ck_assert_ptr_eq(map(index, pages, prot, flags), MAP_FAILED);
	ck_assert_int_eq(errno, error);
}

START_TEST(mmap_checks)
{
	struct window_token t = token_of(fh);

	ck_assert_str_eq(t.socket, "/run/gntalloc.sock");
	alloc(4);
	expect_refusal(0, 1, PROT_READ, MAP_PRIVATE, EINVAL);
	/* Before it is asked whether there is such a page. */
	expect_refusal(9 * PAGE, 1, PROT_READ, MAP_PRIVATE, EINVAL);
	expect_refusal(9 * PAGE, 1, RW, MAP_SHARED, ENOENT);
	expect_refusal(0, 5, RW, MAP_SHARED, ENOENT);
	expect_refusal(0, LIMIT + 1, RW, MAP_SHARED, ENOENT);
	ck_assert_ptr_eq(map_as(t.open_id, t.secret, 0, 1ULL << 62, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENOENT);
	t.secret[15] ^= 1;
	ck_assert_ptr_eq(map_as(t.open_id, t.secret, 0, PAGE, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	t.secret[15] ^= 1;
	ck_assert_ptr_eq(map_as(t.open_id + 1, t.secret, 0, PAGE, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	/* The token of one open is none for another. */
	ck_assert_ptr_eq(map_as(open_device(), t.secret, 0, PAGE, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_uint_eq(windows_count(windows), 0);
}
END_TEST

/* Return: what the ioctl did. *@said: what came through the socket. */
static int ask_by_ioctl(struct window_mmap *wm, char said[8])
{
	int pair[2], ret;

	memset(said, 0, 8);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	wm->pid = (uint32_t)getpid();
	wm->sock = pair[1];
	ret = double_ioctl(dev, fh, WINDOW_MMAP, wm, DOUBLE_DIRECT);
	close(pair[1]);
	ck_assert_int_ge(read(pair[0], said, 7), 0);
	close(pair[0]);
	return ret;
}

START_TEST(mmap_by_ioctl)
{
	struct window_mmap wm = { .rq = { .magic = WINDOW_MAGIC,
					  .version = WINDOW_VERSION,
					  .prot = RW,
					  .flags = MAP_SHARED,
					  .open_id = 4711,
					  .length = 2 * PAGE } };
	char said[8];

	wm.rq.offset = alloc(2).index;
	ck_assert_int_eq(ask_by_ioctl(&wm, said), 0);
	ck_assert_str_eq(said, "here");
	ck_assert_ptr_ne(call_addr, MAP_FAILED);
	memset(call_addr, 1, 2 * PAGE);
	munmap(call_addr, 2 * PAGE);
	/* Nobody else's pages. */
	fh = open_device();
	ck_assert_int_eq(ask_by_ioctl(&wm, said), 0);
	ck_assert_ptr_eq(call_addr, MAP_FAILED);
	fh = 4711;
	ck_assert_int_eq(ask_by_ioctl(&wm, said), -EBADF);
}
END_TEST

/* Return: how much was logged meanwhile. */
static off_t logged(uint32_t cmd, const void *arg, int result)
{
	int fd = memfd_create("log", MFD_CLOEXEC), before = dup(STDERR_FILENO);
	off_t n;

	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(double_ioctl(dev, fh, cmd, arg, DOUBLE_DIRECT), result);
	dup2(before, STDERR_FILENO);
	n = lseek(fd, 0, SEEK_END);
	close(before);
	close(fd);
	return n;
}

/* A client for which this is no way goes another: nothing that anybody has to read about. */
START_TEST(mmap_not_by_ioctl)
{
	struct window_mmap wm = { .rq = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION },
				  .pid = (uint32_t)getpid() };

	ck_assert_int_gt(logged(0, &wm, -ENOTTY), 0);
	wm.sock = -1;
	ck_assert_int_eq(logged(WINDOW_MMAP, &wm, -EOPNOTSUPP), 0);
	wm.sock = STDIN_FILENO;
	adopt_error = -EBUSY;
	ck_assert_int_eq(logged(WINDOW_MMAP, &wm, -EOPNOTSUPP), 0);
	wm.rq.version++;
	ck_assert_int_eq(logged(WINDOW_MMAP, &wm, -ENOTTY), 0);
}
END_TEST

START_TEST(mmap_again_and_in_parts)
{
	unsigned char *all, *part, *ro;

	alloc(2);
	alloc(2);
	all = must_map(0, 4);
	part = must_map(PAGE, 2);
	ro = map(PAGE, 1, PROT_READ, MAP_SHARED_VALIDATE);
	ck_assert_ptr_ne(ro, MAP_FAILED);
	part[0] = 'x';
	part[PAGE] = 'y';
	ck_assert_int_eq(all[PAGE], 'x');
	ck_assert_int_eq(all[2 * PAGE], 'y');
	ck_assert_int_eq(ro[0], 'x');
	/* The driver allows it. */
	ck_assert_int_eq(mprotect(ro, PAGE, RW), 0);
	ro[0] = 'z';
	ck_assert_int_eq(part[0], 'z');
	munmap(all, 4 * PAGE);
	munmap(part, 2 * PAGE);
	munmap(ro, PAGE);
}
END_TEST

START_TEST(mmap_without_window)
{
	const char *why;

	alloc(2);
	ck_assert_int_eq(sim_fault_add(sim, "window:errno=EMFILE", &why), 0);
	expect_refusal(0, 2, RW, MAP_SHARED, EMFILE);
	ck_assert_int_eq(dealloc(0, 2), 0);
	ck_assert_uint_eq(frames(), 0);
}
END_TEST

Suite *gntalloc_mmap_suite(void);

Suite *gntalloc_mmap_suite(void)
{
	Suite *s = suite_create("gntalloc_mmap");
	TCase *tc = tcase_create("mmap");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, mmap_checks);
	tcase_add_test(tc, mmap_by_ioctl);
	tcase_add_test(tc, mmap_not_by_ioctl);
	tcase_add_test(tc, mmap_again_and_in_parts);
	tcase_add_test(tc, mmap_without_window);
	suite_add_tcase(s, tc);
	return s;
}
