/* SPDX-License-Identifier: MIT */
/*
 * device/node.c - device nodes: their names, and what the kernel tells of them in sysfs
 */
#include "device/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLASS_PATH_BYTES (NODE_NAME_MAX + 64)

/* A device's entry below /sys/class/@cls, where '/' in its name is '!', and a file @file in it. */
static void class_path(char *path, const char *cls, const char *name, const char *file)
{
	int n = snprintf(path, CLASS_PATH_BYTES, "/sys/class/%s/", cls);
	char *at = path + n;

	n += snprintf(at, CLASS_PATH_BYTES - (size_t)n, "%s", name);
	while ((at = strchr(at, '/')) != NULL)
		*at = '!';
	snprintf(path + n, CLASS_PATH_BYTES - (size_t)n, "%s", file);
}

static bool class_has(const char *cls, const char *name)
{
	char path[CLASS_PATH_BYTES];
	struct stat st;

	class_path(path, cls, name, "");
	return stat(path, &st) == 0;
}

static bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > NODE_NAME_MAX || name[0] == '/' || name[len - 1] == '/')
		return false;
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '!' || *c == '=')
			return false;
	return !strstr(name, "//") && !strstr(name, "..");
}

int node_check_name(const char *name, char *why, size_t size)
{
	char path[NODE_NAME_MAX + 8];
	struct stat st;

	if (!name_is_valid(name)) {
		snprintf(why, size,
			 "\"%s\" is no device name: it is the path below /dev, such as xen/gntdev",
			 name);
		return -EINVAL;
	}
	if (class_has("cuse", name)) {
		snprintf(why, size,
			 "/dev/%s is already served by another CUSE daemon: stop that one, or give "
			 "this one another name (--name; of a granting device: --granter)",
			 name);
		return -EEXIST;
	}
	if (class_has("misc", name)) {
		snprintf(why, size,
			 "/dev/%s belongs to a kernel driver: unload it (for xen/gntdev: rmmod "
			 "xen-gntdev) and keep it from being loaded again (the modprobe.d file of "
			 "this package does), or give the device another name (--name; "
			 "of a granting device: --granter)",
			 name);
		return -EEXIST;
	}
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (lstat(path, &st) == 0) {
		snprintf(why, size,
			 "%s exists and no driver is known to own it: remove it if it is a "
			 "left-over, "
			 "or give the device another name (--name; of a granting device: "
			 "--granter)",
			 path);
		return -EEXIST;
	}
	return 0;
}

int node_open_cuse(char *why, size_t size)
{
	int fd = open("/dev/cuse", O_RDWR | O_CLOEXEC);
	int err = errno;

	if (fd >= 0)
		return fd;
	if (err == ENOENT || err == ENODEV || err == ENXIO)
		snprintf(why, size,
			 "/dev/cuse does not work (%s): load the module with \"modprobe cuse\"; if "
			 "there is none, the kernel was built without CONFIG_CUSE",
			 strerror(err));
	else if (err == EACCES || err == EPERM)
		snprintf(why, size,
			 "no permission to open /dev/cuse (%s): run as root, or under the systemd "
			 "unit of this package",
			 strerror(err));
	else
		snprintf(why, size, "cannot open /dev/cuse: %s", strerror(err));
	return -err;
}

long node_waiting(const char *name)
{
	char path[CLASS_PATH_BYTES], text[24], *end;
	long waiting;
	ssize_t n;
	int fd;

	class_path(path, "cuse", name, "/waiting");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	waiting = strtol(text, &end, 10);
	return end != text && waiting >= 0 ? waiting : -1;
}
