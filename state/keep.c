/* SPDX-License-Identifier: MIT */
/*
 * state/keep.c - messages between the daemon and its keeper
 */
#include "state/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static void attach(struct msghdr *mh, union control *c, int fd)
{
	memset(c, 0, sizeof(*c));
	mh->msg_control = c;
	mh->msg_controllen = sizeof(*c);
	c->head.cmsg_level = SOL_SOCKET;
	c->head.cmsg_type = SCM_RIGHTS;
	c->head.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&c->head), &fd, sizeof(fd));
}

static int send_whole(int sock, const struct msghdr *mh)
{
	ssize_t n;

	do
		n = sendmsg(sock, mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int keep_send(int sock, struct keep_msg *m, const char *text, size_t len, int fd)
{
	struct iovec iov[2] = { { m, sizeof(*m) }, { (void *)text, len } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };
	union control control;
	int err;

	m->magic = KEEP_MAGIC;
	m->version = KEEP_VERSION;
	m->fd = -1;
	if (fd >= 0)
		attach(&mh, &control, fd);
	err = send_whole(sock, &mh);
	if (fd < 0 || err != -EINVAL)
		return err;
	/* The kernel does not pass it on (an io_uring). */
	mh.msg_control = NULL;
	mh.msg_controllen = 0;
	m->fd = fd;
	return send_whole(sock, &mh);
}

/* The first descriptor that came along, -1 if there was none. More than one are closed. */
static int detach(struct msghdr *mh, bool *many)
{
	int got = -1, fd;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i + sizeof(fd) <= n; i += sizeof(fd)) {
			memcpy(&fd, CMSG_DATA(c) + i, sizeof(fd));
			*many |= got >= 0;
			if (got >= 0)
				close(got);
			got = fd;
		}
	}
	return got;
}

static int check(const struct keep_msg *m, size_t n, const struct msghdr *mh, bool many)
{
	if (n < sizeof(*m) || mh->msg_flags & (MSG_TRUNC | MSG_CTRUNC) || many ||
	    m->magic != KEEP_MAGIC || !memchr(m->name, '\0', sizeof(m->name)) || m->fd < -1)
		return -EPROTO;
	return m->version == KEEP_VERSION ? 0 : -EPROTONOSUPPORT;
}

/* What did not come along is taken out of the sender's table. */
static int take(pid_t peer, int theirs)
{
	int pidfd = pidfd_open(peer, 0), fd, err;

	if (pidfd < 0)
		return -errno;
	fd = pidfd_getfd(pidfd, theirs, 0);
	err = -errno;
	close(pidfd);
	return fd < 0 ? err : fd;
}

int keep_recv(int sock, pid_t peer, struct keep_msg *m, char *text, size_t *len, int *fd)
{
	struct iovec iov[2] = { { m, sizeof(*m) }, { text, text ? KEEP_TEXT_MAX : 0 } };
	union control control;
	struct msghdr mh = { .msg_iov = iov,
			     .msg_iovlen = 2,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	bool many = false;
	ssize_t n;
	int err;

	*fd = -1;
	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n && errno != ECONNRESET ? -errno : -ENOTCONN;
	*fd = detach(&mh, &many);
	err = check(m, (size_t)n, &mh, many);
	if (!err && *fd < 0 && m->fd >= 0) {
		*fd = take(peer, m->fd);
		err = *fd < 0 ? *fd : 0;
	}
	if (err && *fd >= 0)
		close(*fd);
	if (err)
		*fd = -1;
	else if (len)
		*len = (size_t)n - sizeof(*m);
	return err;
}

static int lock_dir_of(const struct sockaddr_un *addr)
{
	char dir[sizeof(addr->sun_path)];
	int fd, err;

	snprintf(dir, sizeof(dir), "%s", addr->sun_path);
	fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && !flock(fd, LOCK_EX))
		return fd;
	err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* One that is slow has not accepted those who came before: it is full, and there. Return: 0: nobody listens; -errno. */
static int nobody_listens(const struct sockaddr_un *addr)
{
	int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (probe < 0)
		return -errno;
	err = connect(probe, (const struct sockaddr *)addr, sizeof(*addr)) ? errno : EADDRINUSE;
	close(probe);
	if (err == ENOENT || err == ECONNREFUSED)
		return 0;
	return err == EAGAIN ? -EADDRINUSE : -err;
}

int keep_clear_place(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int dir, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	dir = lock_dir_of(&addr);
	if (dir < 0)
		return dir;
	err = nobody_listens(&addr);
	if (!err && unlink(path) && errno != ENOENT)
		err = -errno;
	if (err)
		close(dir);
	return err ? err : dir;
}

pid_t keep_peer(int sock)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &size))
		return -errno;
	return cred.uid == geteuid() ? cred.pid : -EPERM;
}
