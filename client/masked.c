/* SPDX-License-Identifier: MIT */
/*
 * client/masked.c - whether a client is in the midst of an exchange with the daemon
 */
#include "client/masked.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/status.h"

/* All but those that cannot be blocked. */
#define EVERY_SIGNAL (~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1)))

/* A thread that has ended meanwhile is in no exchange. */
static bool is_masked(int dirfd, const char *tid, char *buf)
{
	char path[64];
	uint64_t blocked;

	snprintf(path, sizeof(path), "%.20s/status", tid);
	if (!status_read(dirfd, path, buf))
		return errno != ENOENT && errno != ESRCH;
	return status_signals(buf, "SigBlk", &blocked) || (blocked & EVERY_SIGNAL) == EVERY_SIGNAL;
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
