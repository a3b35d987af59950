/* SPDX-License-Identifier: MIT */
/*
 * window/test_socket.c - the window socket, with well-behaved and other clients
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/window/socket_rig.h"

/* --- answers --------------------------------------------------------------------------------- */

/* _i: frames. */
START_TEST(grants)
{
	int before = open_descriptors();

	device.kind = _i ? HV_PAGES_FRAMES : HV_PAGES_FILE;
	for (int i = 1; i <= 50; i++) {
		int sock = client();

		ask(sock);
		expect_window(sock);
		close(sock);
		wait_for(&delivered, i);
	}
	wait_descriptors(before);
	ck_assert_int_eq(get(&device.calls), 50);
}
END_TEST

START_TEST(refuses)
{
	int sock = client();

	device.what = REFUSE;
	ask(sock);
	expect_refusal(sock, ENXIO);
	close(sock);
	ck_assert_int_eq(get(&delivered), 0);
}
END_TEST

/* It is another user while it connects, if the test may be: that thread alone. */
START_TEST(tells_whose_client)
{
	int sock;

	if (!geteuid())
		ck_assert_int_eq(syscall(SYS_setresuid, -1, 4711, -1), 0);
	device.uid = geteuid();
	sock = client();
	ck_assert_int_eq(syscall(SYS_setresuid, -1, getuid(), -1), 0);
	ck_assert_uint_ne(device.uid, 0);
	ask(sock);
	expect_window(sock);
	close(sock);
	wait_for(&delivered, 1);
}
END_TEST

START_TEST(answers_late)
{
	int sock = client();
	int other;

	device.what = KEEP;
	ask(sock);
	wait_for(&device.calls, 1);
	/* Nobody waits meanwhile. */
	device.what = GRANT;
	other = client();
	ask(other);
	expect_window(other);
	usleep((WINSOCK_TIMEOUT_MS + 500) * 1000U);
	grant(device.kept);
	expect_window(sock);
	close(sock);
	close(other);
	wait_for(&delivered, 2);
}
END_TEST

START_TEST(second_answer_aborts)
{
	int sock = client();

	device.what = KEEP;
	ask(sock);
	wait_for(&device.calls, 1);
	if (_i)
		grant(device.kept);
	else
		mmap_call_refuse(device.kept, ENXIO);
	/* Nobody tears this down. */
	unlink(path);
	mmap_call_refuse(device.kept, ENXIO);
}
END_TEST

START_TEST(many_pieces_slowly)
{
	int sock = client();
	int other;

	device.pages = MANY;
	device.kind = _i ? HV_PAGES_FRAMES : HV_PAGES_FILE;
	ask(sock);
	wait_for(&device.calls, 1);
	/* It does not read yet: others are served. */
	device.pages = 5;
	for (int i = 0; i < 10; i++) {
		other = client();
		ask(other);
		expect_window(other);
		close(other);
	}
	expect_many(sock);
	close(sock);
	wait_for(&delivered, 11);
}
END_TEST

/* It never takes its window: it is not told to have it, and costs no more than the time limit. */
START_TEST(many_pieces_unread)
{
	int before = open_descriptors();
	int sock = client();
	struct pollfd p = { .fd = sock, .events = 0 };

	device.pages = MANY;
	ask(sock);
	ck_assert_int_eq(poll(&p, 1, WINSOCK_TIMEOUT_MS + 2000), 1);
	ck_assert_int_eq(get(&delivered), 0);
	close(sock);
	wait_descriptors(before);
}
END_TEST

START_TEST(window_unread)
{
	int sock = client();

	ask(sock);
	wait_for(&device.calls, 1);
	/* The end of what it sends is not the end of its queue. */
	shutdown(sock, SHUT_WR);
	usleep(300000);
	ck_assert_int_eq(get(&delivered), 0);
	expect_window(sock);
	wait_for(&delivered, 1);
	close(sock);
}
END_TEST

/* --- requests that are none ------------------------------------------------------------------ */

START_TEST(bad_field)
{
	struct window_request rq = bad_request(_i);
	int sock = client();

	ck_assert_int_eq(send(sock, &rq, sizeof(rq), 0), sizeof(rq));
	expect_refusal(sock, bad[_i].error);
	ck_assert_int_eq(get(&device.calls), 0);
	close(sock);
}
END_TEST

START_TEST(bad_length)
{
	static const size_t lengths[] = { 1, 8, 12, 71, 73, 74, 100, 4096, 65536 };
	static char buf[65536];
	struct window_request rq = good_request();
	int sock = client();

	memcpy(buf, &rq, sizeof(rq));
	ck_assert_int_eq(send(sock, buf, lengths[_i], 0), lengths[_i]);
	expect_refusal(sock, ENODEV);
	ck_assert_int_eq(get(&device.calls), 0);
	close(sock);
}
END_TEST

START_TEST(empty_message)
{
	int sock = client();
	union answer a;
	int fd;

	ck_assert_int_eq(send(sock, "", 0, 0), 0);
	ck_assert_int_eq(receive(sock, &a, &fd), 0);
	ck_assert_int_eq(get(&device.calls), 0);
	close(sock);
}
END_TEST

/* A kernel that can refuse descriptors at the sender does so; else they are closed here. */
START_TEST(descriptors_sent)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(3 * sizeof(int))];
	} control = { .h = { .cmsg_len = CMSG_LEN(3 * sizeof(int)),
			     .cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS } };
	struct window_request rq = good_request();
	struct iovec iov = { &rq, sizeof(rq) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fds[3] = { 0, 1, 2 };
	int sock = client();
	int before;

	ask(sock);
	expect_window(sock);
	close(sock);
	wait_for(&delivered, 1);
	before = open_descriptors();
	sock = client();
	memcpy(CMSG_DATA(&control.h), fds, sizeof(fds));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		ck_assert_int_eq(errno, EPERM);
	else
		expect_refusal(sock, EINVAL);
	close(sock);
	wait_descriptors(before);
	ck_assert_int_eq(get(&device.calls), 1);
}
END_TEST

START_TEST(second_request_is_not_read)
{
	int sock = client();

	ask(sock);
	ask(sock);
	expect_window(sock);
	wait_for(&delivered, 1);
	ck_assert_int_eq(get(&device.calls), 1);
	close(sock);
}
END_TEST

/* --- clients that go, or stay ---------------------------------------------------------------- */

START_TEST(disconnects)
{
	int before = open_descriptors();
	int sock = client();

	if (_i == 0) { /* before its request */
		close(sock);
	} else if (_i == 1) { /* while the device has the call */
		device.what = KEEP;
		ask(sock);
		wait_for(&device.calls, 1);
		close(sock);
		grant(device.kept);
		wait_for(&delivered, 1);
	} else if (_i == 2) { /* with the answer in its queue */
		ask(sock);
		wait_for(&device.calls, 1);
		close(sock);
		wait_for(&delivered, 1);
	} else { /* in the middle of a long answer */
		device.pages = MANY;
		ask(sock);
		wait_for(&device.calls, 1);
		close(sock);
		wait_for(&delivered, 1);
	}
	wait_descriptors(before);
}
END_TEST

START_TEST(says_nothing)
{
	int64_t start = now_ms();
	int sock = client();
	union answer a;
	int fd, ms;

	ck_assert_int_eq(receive(sock, &a, &fd), 0);
	ms = (int)(now_ms() - start);
	ck_assert_int_ge(ms, WINSOCK_TIMEOUT_MS - 100);
	close(sock);
}
END_TEST

START_TEST(crowd)
{
	static int sock[SERVED];

	for (int i = 0; i < SERVED; i++) {
		sock[i] = client();
		ask(sock[i]);
	}
	for (int i = 0; i < SERVED; i++) {
		expect_window(sock[i]);
		close(sock[i]);
	}
	ck_assert_int_eq(get(&device.calls), SERVED);
}
END_TEST

/* Return: whether there was a window; if not, there was no place. */
static bool is_window(int sock)
{
	union answer a;
	int fd;

	ck_assert_int_ge(receive(sock, &a, &fd), (int)sizeof(a.reply));
	if (fd >= 0)
		close(fd);
	ck_assert_int_eq(a.reply.error, fd >= 0 ? 0 : ENOMEM);
	return fd >= 0;
}

/* More than there are places for wait for the device: all are answered, and some have what they asked for. */
START_TEST(too_many_at_once)
{
	static int sock[CROWD];
	int before = open_descriptors(), windows = 0;

	__atomic_store_n(&device.held, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < CROWD; i++) {
		sock[i] = client();
		ask(sock[i]);
	}
	usleep(100000);
	__atomic_store_n(&device.held, 0, __ATOMIC_SEQ_CST);
	for (int i = 0; i < CROWD; i++) {
		windows += is_window(sock[i]);
		close(sock[i]);
	}
	ck_assert_int_ge(windows, SERVED);
	ck_assert_int_lt(windows, CROWD);
	ck_assert_int_eq(get(&device.calls), windows);
	wait_descriptors(before);
}
END_TEST

/* The device takes its time: more threads, but not all for one user. */
START_TEST(slow_calls)
{
	int sock[20];
	const int n = sizeof(sock) / sizeof(sock[0]);

	__atomic_store_n(&device.held, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < n; i++) {
		sock[i] = client();
		ask(sock[i]);
	}
	wait_for(&device.begun, 12);
	usleep(300000);
	ck_assert_int_eq(get(&device.begun), 12);
	ck_assert_int_eq(get(&device.calls), 0);
	__atomic_store_n(&device.held, 0, __ATOMIC_SEQ_CST);
	for (int i = 0; i < n; i++) {
		expect_window(sock[i]);
		close(sock[i]);
	}
	wait_for(&device.calls, n);
}
END_TEST

/* From Linux 6.16 on the kernel sends no such message. Before, it closes what comes with it, and the client is told. */
START_TEST(descriptors_with_a_request)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)),
			     .cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS } };
	struct window_request rq = good_request();
	struct iovec iov = { &rq, sizeof(rq) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int before = open_descriptors(), sock = client();

	memcpy(CMSG_DATA(&control.h), &sock, sizeof(sock));
	if (sendmsg(sock, &msg, 0) == sizeof(rq))
		expect_refusal(sock, EINVAL);
	else
		ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(get(&device.calls), 0);
	close(sock);
	wait_descriptors(before);
}
END_TEST

/* All slots and more are taken by clients that do not read their answers: others' take no longer for it. */
START_TEST(unread_crowd)
{
	static int sock[CROWD];
	int before = open_descriptors();
	int64_t start;

	for (int i = 0; i < CROWD; i++) {
		sock[i] = client();
		ask(sock[i]);
	}
	start = now_ms();
	for (int i = 0; i < 3; i++) {
		int reader = client();

		ask(reader);
		expect_window(reader);
		close(reader);
	}
	ck_assert_int_lt(now_ms() - start, WINSOCK_TIMEOUT_MS - 1000);
	/* Nothing is lost: the answers are in their queues. */
	for (int i = 0; i < CROWD; i++) {
		expect_window(sock[i]);
		close(sock[i]);
	}
	wait_descriptors(before);
}
END_TEST

/* All slots and more are taken by clients that say nothing: those who speak are served. */
START_TEST(silent_crowd)
{
	static int sock[CROWD];
	int before = open_descriptors();
	int64_t start = now_ms();

	for (int i = 0; i < CROWD; i++)
		sock[i] = client();
	for (int i = 0; i < 3; i++) {
		int speaker = client();

		ask(speaker);
		expect_window(speaker);
		close(speaker);
	}
	/* They did not have to wait for the time limit of the silent. */
	ck_assert_int_lt(now_ms() - start, WINSOCK_TIMEOUT_MS - 1000);
	for (int i = 0; i < CROWD; i++)
		close(sock[i]);
	wait_descriptors(before);
}
END_TEST

/* --- the server ------------------------------------------------------------------------------ */

START_TEST(stop_lets_answer)
{
	int sock = client();
	int idle = client();

	device.what = KEEP;
	ask(sock);
	wait_for(&device.calls, 1);
	winsock_stop(ws);
	ck_assert_int_lt(try_connect(path), 0);
	ask(idle);
	expect_refusal(idle, ENODEV);
	grant(device.kept);
	expect_window(sock);
	ck_assert_int_eq(get(&device.calls), 1);
	close(sock);
	close(idle);
}
END_TEST

START_TEST(left_by_another)
{
	const char *why;
	char other[80];
	int fd, sock;

	winsock_destroy(ws);
	snprintf(other, sizeof(other), "%s.other", path);
	fd = bound(SOCK_SEQPACKET, other);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(winsock_new("/ignored", dup(fd), NULL, device_mmap, &device, &ws, &why),
			 0);
	ck_assert_str_eq(winsock_path(ws), other);
	ck_assert_int_eq(winsock_start(ws), 0);
	sock = try_connect(other);
	ck_assert_int_ge(sock, 0);
	ask(sock);
	expect_window(sock);
	close(sock);
	/* As if it had been made here. */
	winsock_destroy(ws);
	ck_assert_int_ne(access(other, F_OK), 0);
	close(fd);
	ck_assert_int_eq(winsock_new(path, -1, NULL, device_mmap, &device, &ws, &why), 0);
}
END_TEST

/* One that cannot be listened on: said, and nothing is left. */
START_TEST(path_is_taken)
{
	int before = open_descriptors();
	struct winsock *other;
	const char *why = NULL;

	ck_assert_int_eq(winsock_new(path, -1, NULL, device_mmap, &device, &other, &why),
			 -EADDRINUSE);
	ck_assert_ptr_nonnull(why);
	/* Whether somebody listens is asked by connecting: the one who does takes that, too. */
	wait_descriptors(before);
}
END_TEST

Suite *socket_suite(void);
Suite *socket_suite(void)
{
	Suite *s = suite_create("winsock");
	TCase *tc = tcase_create("winsock");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, grants, 0, 2);
	tcase_add_test(tc, refuses);
	tcase_add_test(tc, tells_whose_client);
	tcase_add_test(tc, answers_late);
	tcase_add_loop_test_raise_signal(tc, second_answer_aborts, SIGABRT, 0, 2);
	tcase_add_loop_test(tc, many_pieces_slowly, 0, 2);
	tcase_add_test(tc, many_pieces_unread);
	tcase_add_test(tc, window_unread);
	tcase_add_loop_test(tc, bad_field, 0, N_BAD);
	tcase_add_loop_test(tc, bad_length, 0, 9);
	tcase_add_test(tc, empty_message);
	tcase_add_test(tc, descriptors_sent);
	tcase_add_test(tc, second_request_is_not_read);
	tcase_add_loop_test(tc, disconnects, 0, 4);
	tcase_add_test(tc, says_nothing);
	tcase_add_test(tc, crowd);
	tcase_add_test(tc, descriptors_with_a_request);
	tcase_add_test(tc, too_many_at_once);
	tcase_add_test(tc, slow_calls);
	tcase_add_test(tc, silent_crowd);
	tcase_add_test(tc, unread_crowd);
	tcase_add_test(tc, stop_lets_answer);
	tcase_add_test(tc, left_by_another);
	tcase_add_test(tc, path_is_taken);
	suite_add_tcase(s, tc);
	return s;
}
