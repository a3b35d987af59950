/* SPDX-License-Identifier: MIT */
/*
 * client/owner.c - whose user namespace a process is in
 *
 * The kernel tells of a descriptor of a namespace its parent and its owner (ioctl_ns(2)), as far as they are the
 * caller's own or below it. A kernel without user namespaces has no such file, of ourselves either: all are in
 * one.
 */
#include "client/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel nests no deeper than 32. */
#define DEPTH_MAX 64

static const char our_path[] = "/proc/self/ns/user";

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* @fd: a namespace below ours. Return: whether its owner is known. */
static bool read_owner(int fd, uid_t *uid)
{
	return ioctl(fd, NS_GET_OWNER_UID, uid) == 0;
}

/*
 * From @fd upwards, until the parent is ours.
 *
 * Closes @fd. Return: OWNER_OTHER and *@uid, or OWNER_UNKNOWN.
 */
static enum owner_ns climb(int fd, const struct stat *ours, uid_t *uid)
{
	enum owner_ns ns = OWNER_UNKNOWN;
	struct stat st;
	int parent;

	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		parent = ioctl(fd, NS_GET_PARENT);
		/* EPERM: it is not below ours. */
		if (parent < 0)
			break;
		if (!fstat(parent, &st) && same(&st, ours)) {
			ns = read_owner(fd, uid) ? OWNER_OTHER : OWNER_UNKNOWN;
			close(parent);
			break;
		}
		close(fd);
		fd = parent;
	}
	close(fd);
	return ns;
}

enum owner_ns owner_read(pid_t tid, uid_t *uid)
{
	struct stat ours, st;
	char path[64];
	int fd;

	if (stat(our_path, &ours))
		return errno == ENOENT ? OWNER_OURS : OWNER_UNKNOWN;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return OWNER_UNKNOWN;
	if (fstat(fd, &st)) {
		close(fd);
		return OWNER_UNKNOWN;
	}
	if (!same(&st, &ours))
		return climb(fd, &ours, uid);
	close(fd);
	return OWNER_OURS;
}
