/* SPDX-License-Identifier: MIT */
/*
 * window/test_linger.c - clients of the window socket that send what takes long to close
 *
 * As they can where the kernel does not refuse descriptors at the sender. winsock_relieve() is not called here.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/syscall.h>

#include "tests/unit/window/socket_rig.h"

#define SOME 4

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* A kernel before 6.16. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (level == SOL_SOCKET && name == SO_PASSRIGHTS) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* A TCP connection with unsent data, which its close is to wait for. */
static int lingering_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct linger linger = { 1, 3600 };
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(to);
	static char data[65536];

	ck_assert_int_eq(bind(l, (struct sockaddr *)&to, len), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, (struct sockaddr *)&to, &len), 0);
	ck_assert_int_eq(connect(c, (struct sockaddr *)&to, len), 0);
	fcntl(c, F_SETFL, O_NONBLOCK);
	while (write(c, data, sizeof(data)) > 0)
		;
	ck_assert_int_eq(setsockopt(c, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return c;
}

/* Send a request, and such a socket with it, which nobody else has then. */
static void ask_with_socket(int sock)
{
	struct window_request rq = good_request();
	struct iovec iov = { &rq, sizeof(rq) };
	int c = lingering_socket();
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .h = { CMSG_LEN(sizeof(c)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.h), &c, sizeof(c));
	ck_assert_int_eq(sendmsg(sock, &msg, MSG_NOSIGNAL), sizeof(rq));
	close(c);
}

START_TEST(with_the_request)
{
	int silent[CROWD], sock[SOME], honest;

	/* In front, so that nobody reads the others before we have closed ours. */
	for (int i = 0; i < CROWD; i++)
		silent[i] = client();
	for (int i = 0; i < SOME; i++) {
		sock[i] = client();
		ask_with_socket(sock[i]);
	}
	for (int i = 0; i < SOME; i++)
		expect_refusal(sock[i], EINVAL);
	honest = client();
	ask(honest);
	expect_window(honest);
	for (int i = 0; i < CROWD; i++)
		close(silent[i]);
	for (int i = 0; i < SOME; i++)
		close(sock[i]);
	close(honest);
}
END_TEST

/* It is in the queue when the device refuses, and so closes the connection. */
START_TEST(behind_the_request)
{
	int sock[SOME];

	device.what = REFUSE;
	device.held = 1;
	for (int i = 0; i < SOME; i++) {
		sock[i] = client();
		ask(sock[i]);
		wait_for(&device.begun, i + 1);
		ask_with_socket(sock[i]);
	}
	__atomic_store_n(&device.held, 0, __ATOMIC_SEQ_CST);
	wait_for(&device.calls, SOME);
	for (int i = 0; i < SOME; i++)
		close(sock[i]);
}
END_TEST

Suite *linger_suite(void);

Suite *linger_suite(void)
{
	Suite *s = suite_create("winlinger");
	TCase *tc = tcase_create("winlinger");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, with_the_request);
	tcase_add_test(tc, behind_the_request);
	suite_add_tcase(s, tc);
	return s;
}
