/* SPDX-License-Identifier: MIT */
/*
 * looks.h - how often the daemon's modules have begun to look through all processes
 *
 * opendir(3) is ours.
 */
#ifndef LOOKS_H
#define LOOKS_H

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int looks;

DIR *opendir(const char *name)
{
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!strcmp(name, "/proc"))
		__atomic_add_fetch(&looks, 1, __ATOMIC_SEQ_CST);
	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* What has ended is known from what the kernel tells of it, at once; a look would come later. */
#define assert_no_looks() ck_assert_int_eq(__atomic_load_n(&looks, __ATOMIC_SEQ_CST), 0)

#endif /* LOOKS_H */
