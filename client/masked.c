/* SPDX-License-Identifier: MIT */
/*
 * client/masked.c - whether a client is in the midst of an exchange with the daemon
 */
#include "client/masked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Its line stands behind that of the groups, of which there can be 65536. */
#define STATUS_MAX (1U << 20)

/* All but those that cannot be blocked. */
#define EVERY_SIGNAL (~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1)))

/* Return: bytes, NUL-terminated; 0 if it cannot be read, or is longer. */
static size_t read_all(int dirfd, const char *path, char *buf, size_t size)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t k;

	if (fd < 0)
		return 0;
	while (n < size && (k = read(fd, buf + n, size - n)) > 0)
		n += (size_t)k;
	close(fd);
	if (n >= size)
		return 0;
	buf[n] = '\0';
	return n;
}

/* A thread that has ended meanwhile is in no exchange. */
static bool is_masked(int dirfd, const char *tid, char *buf)
{
	char path[64];
	const char *line;

	snprintf(path, sizeof(path), "%.20s/status", tid);
	if (!read_all(dirfd, path, buf, STATUS_MAX))
		return errno != ENOENT && errno != ESRCH;
	/* The name in front of it has no newline of its own. */
	line = strstr(buf, "\nSigBlk:\t");
	return !line || (strtoull(line + 9, NULL, 16) & EVERY_SIGNAL) == EVERY_SIGNAL;
}

static bool any_in(DIR *dir, char *buf)
{
	const struct dirent *e;

	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && is_masked(dirfd(dir), e->d_name, buf))
			return true;
	return false;
}

bool masked_any(pid_t pid)
{
	char path[40];
	char *buf = malloc(STATUS_MAX);
	DIR *dir;
	bool any;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = buf ? opendir(path) : NULL;
	any = dir ? any_in(dir, buf) : !buf || errno != ENOENT;
	if (dir)
		closedir(dir);
	free(buf);
	return any;
}
