/* SPDX-License-Identifier: MIT */
/*
 * on_fuse.c - device/node.h on /dev/fuse, for a kernel without CUSE
 *
 * Linked into a daemon in the place of node.c. Its one device (--granter=none --evtchn=none) is a file, $GNTDEV_FILE: a file
 * system is mounted over it that is nothing but that file. Requests and answers go through the same code of the kernel,
 * fs/fuse/dev.c, and are the same to their bytes, but for the first: the kernel says FUSE_INIT, which is answered here,
 * and session.c gets a CUSE_INIT, the answer to which the kernel refuses (ENOENT) as it does after an adoption.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device/node.h"

/* As session.c says it of a CUSE device. */
#define MAX_WRITE 4096

/* Its CUSE_INIT has not been read yet: -1, as that of an adopted one has. */
static int fresh = -1;

static int mount_file(int fd, char *why, size_t size)
{
	const char *file = getenv("GNTDEV_FILE");
	char options[96];

	snprintf(options, sizeof(options), "fd=%d,rootmode=100000,user_id=0,group_id=0", fd);
	if (file && !mount("gntdev", file, "fuse.gntdev", MS_NOSUID, options))
		return 0;
	snprintf(why, size, "mount over $GNTDEV_FILE: %s", strerror(errno));
	return -1;
}

static int answer_init(int fd, char *why, size_t size)
{
	union {
		struct fuse_in_header head;
		char bytes[FUSE_MIN_READ_BUFFER];
	} in;
	struct {
		struct fuse_out_header head;
		struct fuse_init_out init;
	} out = {
		.init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = MAX_WRITE },
	};

	if (syscall(SYS_read, fd, &in, sizeof(in)) < (ssize_t)sizeof(in.head))
		return snprintf(why, size, "FUSE_INIT: %s", strerror(errno)), -1;
	out.head = (struct fuse_out_header){ .len = sizeof(out), .unique = in.head.unique };
	if (write(fd, &out, sizeof(out)) != sizeof(out))
		return snprintf(why, size, "FUSE_INIT's answer: %s", strerror(errno)), -1;
	return 0;
}

int node_open_cuse(char *why, size_t size)
{
	static bool made;
	int fd;

	if (made)
		return snprintf(why, size, "there is one file, for one device"), -ENODEV;
	made = true;
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return snprintf(why, size, "/dev/fuse: %s", strerror(errno)), -ENODEV;
	if (mount_file(fd, why, size) || answer_init(fd, why, size)) {
		close(fd);
		return -ENODEV;
	}
	fresh = fd;
	return fd;
}

/* Of libc: what session.c reads first. */
ssize_t read(int fd, void *buf, size_t len)
{
	const struct {
		struct fuse_in_header head;
		struct cuse_init_in init;
	} first = {
		.head = { .len = sizeof(first), .opcode = CUSE_INIT, .unique = ~1ULL },
		.init = { .major = FUSE_KERNEL_VERSION,
			  .minor = FUSE_KERNEL_MINOR_VERSION,
			  .flags = CUSE_UNRESTRICTED_IOCTL },
	};

	if (fd != fresh || fd < 0 || len < sizeof(first))
		return syscall(SYS_read, fd, buf, len);
	fresh = -1;
	memcpy(buf, &first, sizeof(first));
	return sizeof(first);
}

int node_check_name(const char *name, char *why, size_t size)
{
	(void)name;
	(void)why;
	(void)size;
	return 0;
}

long node_waiting(const char *name)
{
	(void)name;
	return -1;
}
