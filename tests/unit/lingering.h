/* SPDX-License-Identifier: MIT */
/*
 * lingering.h - descriptors whose end takes an hour, sent to a server of ours
 *
 * As clients can where the kernel does not refuse them at the sender: so that it is here, setsockopt(2) is ours.
 */
#ifndef TEST_LINGERING_H
#define TEST_LINGERING_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/wake.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* A kernel before 6.16. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (level == SOL_SOCKET && name == SO_PASSRIGHTS) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* A TCP connection with unsent data, which its close is to wait for. */
static inline int lingering_socket(void)
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

/* Send @len bytes, and such a socket with them, which as a rule nobody else has when they are received. */
static inline void send_lingering(int sock, void *bytes, size_t len)
{
	struct iovec iov = { bytes, len };
	int c = lingering_socket();
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} rights = { .h = { CMSG_LEN(sizeof(c)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &rights,
			      .msg_controllen = sizeof(rights) };

	memcpy(CMSG_DATA(&rights.h), &c, sizeof(c));
	ck_assert_int_eq(sendmsg(sock, &msg, MSG_NOSIGNAL), (ssize_t)len);
	/* The server may have been faster. */
	wake_often(true);
	close(c);
	wake_often(false);
}

#endif /* TEST_LINGERING_H */
