/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/keeper.c - asking the keeper, where no daemon answers
 */
#include "gntdevctl/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 1000

/* RUN_DIR/xen-gntdev.keeper for the device xen/gntdev. */
int ctl_keeper_path(const struct ctl *ctl, const char *root, char *path, size_t size)
{
	int dir, name;

	if (ctl->socket)
		return -ENOENT;
	dir = snprintf(path, size, "%s%s/", root, ctl->run_dir);
	if (dir < 0 || (size_t)dir >= size)
		return -ENAMETOOLONG;
	name = snprintf(path + dir, size - (size_t)dir, "%s.keeper", ctl->name);
	if (name < 0 || (size_t)name >= size - (size_t)dir)
		return -ENAMETOOLONG;
	for (char *c = path + dir; *c; c++)
		if (*c == '/')
			*c = '-';
	return 0;
}

static int ask(int sock, struct keep_msg *m)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	pid_t pid = keep_peer(sock);
	int fd = -1, err;

	*m = (struct keep_msg){ .op = KEEP_LOOK };
	err = pid < 0 ? pid : keep_send(sock, m, NULL, 0, -1);
	if (!err && poll(&p, 1, ANSWER_MS) != 1)
		err = -ETIMEDOUT;
	if (!err)
		err = keep_recv(sock, pid, m, NULL, NULL, &fd);
	if (fd >= 0)
		close(fd);
	return err ? err : m->error;
}

/* One that hangs may have as many before us as its socket takes. */
static int connect_to(int sock, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	if (!connect(sock, (const struct sockaddr *)&addr, sizeof(addr)))
		return 0;
	switch (errno) {
	case ECONNREFUSED:
	case ENOTDIR:
		return -ENOENT;
	case EAGAIN:
		return -ETIMEDOUT;
	default:
		return -errno;
	}
}

int ctl_keeper_look(const char *path, struct keep_msg *m)
{
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (sock < 0)
		return -errno;
	err = connect_to(sock, path);
	if (!err)
		err = ask(sock, m);
	close(sock);
	return err;
}
