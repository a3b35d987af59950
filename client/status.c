/* SPDX-License-Identifier: MIT */
/*
 * client/status.c - what the kernel shows of a thread in its /proc file "status"
 */
#include "client/status.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t status_read(int dirfd, const char *path, char *buf)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t k;

	if (fd < 0)
		return 0;
	while (n < STATUS_MAX && (k = read(fd, buf + n, STATUS_MAX - n)) > 0)
		n += (size_t)k;
	close(fd);
	if (n >= STATUS_MAX)
		return 0;
	buf[n] = '\0';
	return n;
}

int status_signals(const char *status, const char *name, uint64_t *set)
{
	char start[24];
	const char *line;

	/* The thread's name, in front of them all, has no newline of its own. */
	snprintf(start, sizeof(start), "\n%s:\t", name);
	line = strstr(status, start);
	*set = line ? strtoull(line + strlen(start), NULL, 16) : 0;
	return line ? 0 : -1;
}
