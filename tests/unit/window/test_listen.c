/* SPDX-License-Identifier: MIT */
/*
 * window/test_listen.c - the listening socket of the window server
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/descriptors.h"
#include "window/listen.h"

static char path[64], other[80];
static struct winlisten here;

static int start(struct winlisten *l, const char *to, int fd)
{
	const char *why = NULL;
	int err = winlisten_start(l, to, fd, &why);

	if (err)
		ck_assert_ptr_nonnull(why);
	return err;
}

static void setup(void)
{
	snprintf(path, sizeof(path), "/tmp/test-winlisten-%d", (int)getpid());
	snprintf(other, sizeof(other), "%s.other", path);
	ck_assert_int_eq(start(&here, path, -1), 0);
	ck_assert_str_eq(here.path, path);
}

static void teardown(void)
{
	winlisten_close(&here);
}

/* Start somewhere else, and end that again. */
static int try_start(const char *to, int fd)
{
	struct winlisten l;
	int err = start(&l, to, fd);

	if (!err)
		winlisten_close(&l);
	return err;
}

START_TEST(a_path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0666);
	winlisten_close(&here);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(start(&here, path, -1), 0);
}
END_TEST

START_TEST(a_path_that_is_taken)
{
	int fd;

	ck_assert_int_eq(try_start(path, -1), -EADDRINUSE);
	/* The one that listens is still there. */
	fd = try_connect(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(open(other, O_CREAT | O_RDWR, 0600));
	ck_assert_int_eq(try_start(other, -1), -EEXIST);
	ck_assert_int_eq(access(other, F_OK), 0);
	unlink(other);
	/* Somebody listens, but to another kind of socket. */
	fd = bound(SOCK_STREAM, other);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(try_start(other, -1), -EADDRINUSE);
	close(fd);
	/* What a killed daemon leaves. */
	ck_assert_int_eq(try_start(other, -1), 0);
	ck_assert_int_eq(access(other, F_OK), -1);
}
END_TEST

START_TEST(a_path_that_cannot_be)
{
	char longest[200];

	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[108] = '\0';
	ck_assert_int_eq(try_start(longest, -1), -ENAMETOOLONG);
	ck_assert_int_eq(try_start("", -1), -ENAMETOOLONG);
	ck_assert_int_eq(try_start("/no/such/directory/socket", -1), -ENOENT);
}
END_TEST

/* The socket of a successor is not ours to remove. */
START_TEST(a_successor)
{
	int fd;

	unlink(path);
	fd = bound(SOCK_SEQPACKET, path);
	winlisten_close(&here);
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink(path);
	close(fd);
	ck_assert_int_eq(start(&here, path, -1), 0);
}
END_TEST

/* Of a user: nobody else, but root. What a daemon leaves of these is removed, and nothing else. */
START_TEST(a_users_own)
{
	static const char *const others[] = { "x", "12x", "" };
	const char *why = NULL;
	char own[80], beside[100];
	struct winlisten l;
	int fd;

	snprintf(own, sizeof(own), "%s.4711", path);
	ck_assert_int_eq(winlisten_start_user(&l, own, 4711, &why), 0);
	for (uid_t uid = 4711; !geteuid() && uid < 4713; uid++) {
		ck_assert_int_eq(syscall(SYS_setresuid, -1, uid, -1), 0);
		fd = try_connect(own);
		ck_assert_int_eq(syscall(SYS_setresuid, -1, 0, -1), 0);
		ck_assert_int_eq(fd < 0, uid != 4711);
		close(fd);
	}
	fd = try_connect(own);
	ck_assert_int_ge(fd, 0);
	close(fd);
	l.made = false;
	winlisten_close(&l);
	for (int i = 0; i < 3; i++) {
		snprintf(beside, sizeof(beside), "%s.%s", path, others[i]);
		close(bound(SOCK_SEQPACKET, beside));
	}
	winlisten_clean(path);
	ck_assert_int_eq(access(own, F_OK), -1);
	ck_assert_int_eq(access(path, F_OK), 0);
	for (int i = 0; i < 3; i++) {
		snprintf(beside, sizeof(beside), "%s.%s", path, others[i]);
		ck_assert_int_eq(unlink(beside), 0);
	}
}
END_TEST

START_TEST(clients_come)
{
	int client, fd;

	ck_assert_int_eq(winlisten_accept(&here), -1);
	ck_assert_int_eq(errno, EAGAIN);
	client = try_connect(path);
	ck_assert_int_ge(client, 0);
	fd = winlisten_accept(&here);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(winlisten_accept(&here), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(fd);
	close(client);
}
END_TEST

START_TEST(left_by_another)
{
	struct winlisten l;
	int fd = bound(SOCK_SEQPACKET, other);

	ck_assert_int_eq(try_start("/ignored", fd), -EPROTOTYPE);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(start(&l, "/ignored", dup(fd)), 0);
	ck_assert_str_eq(l.path, other);
	ck_assert_int_eq(fcntl(l.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(winlisten_accept(&l), -1);
	ck_assert_int_eq(errno, EAGAIN);
	/* As if it had been made here. */
	winlisten_close(&l);
	ck_assert_int_ne(access(other, F_OK), 0);
	close(fd);
}
END_TEST

START_TEST(something_else_left_by_another)
{
	int fd = bound(SOCK_STREAM, other);

	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(try_start("/ignored", fd), -EPROTOTYPE);
	/* On failure it stays the caller's. */
	ck_assert_int_eq(close(fd), 0);
	unlink(other);
	fd = open("/dev/null", O_RDWR);
	ck_assert_int_eq(try_start("/ignored", fd), -ENOTSOCK);
	ck_assert_int_eq(close(fd), 0);
}
END_TEST

Suite *listen_suite(void);
Suite *listen_suite(void)
{
	Suite *s = suite_create("winlisten");
	TCase *tc = tcase_create("winlisten");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_path);
	tcase_add_test(tc, a_path_that_is_taken);
	tcase_add_test(tc, a_path_that_cannot_be);
	tcase_add_test(tc, a_successor);
	tcase_add_test(tc, a_users_own);
	tcase_add_test(tc, clients_come);
	tcase_add_test(tc, left_by_another);
	tcase_add_test(tc, something_else_left_by_another);
	suite_add_tcase(s, tc);
	return s;
}
