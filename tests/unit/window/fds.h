/* SPDX-License-Identifier: MIT */
/*
 * window/fds.h - what a daemon and the test whose child it is have in common: memory, and descriptors by a socket
 */
#ifndef TEST_WINDOW_FDS_H
#define TEST_WINDOW_FDS_H

#include <check.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX 4

/* Memory of both, from before the fork; @memory: its descriptor. */
static inline void *share(const char *name, size_t size, int *memory)
{
	void *p;

	*memory = memfd_create(name, 0);
	ck_assert_int_eq(ftruncate(*memory, (off_t)size), 0);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *memory, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* A number and descriptors. A process to which they cannot be sent any more ends. */
static inline void send_fds(int sock, unsigned int n, const int *fd, int fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = &n, .iov_len = sizeof(n) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = CMSG_SPACE(fds * sizeof(int)) };

	memset(&control, 0, sizeof(control));
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(fds * sizeof(int));
	memcpy(CMSG_DATA(&control.align), fd, fds * sizeof(int));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) != sizeof(n))
		_exit(1);
}

/* Return: how many have come, at most FDS_MAX; -1: the other end is closed. */
static inline int receive_fds(int sock, unsigned int *n, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = n, .iov_len = sizeof(*n) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	size_t bytes;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	if (!CMSG_FIRSTHDR(&msg))
		return 0;
	bytes = CMSG_FIRSTHDR(&msg)->cmsg_len - CMSG_LEN(0);
	memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), bytes);
	return (int)(bytes / sizeof(int));
}

#endif /* TEST_WINDOW_FDS_H */
