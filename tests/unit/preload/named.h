/* SPDX-License-Identifier: MIT */
/*
 * preload/named.h - mappings of files that have a name which counts, and are gone
 */
#ifndef TEST_PRELOAD_NAMED_H
#define TEST_PRELOAD_NAMED_H

#include "tests/unit/preload/daemon.h"

static char dir[32];

static inline void make_dir(void)
{
	strcpy(dir, "/tmp/mapped-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	calls.n = 0;
}

static inline void remove_dir(void)
{
	rmdir(dir);
}

/* Three pages of a file of that name, which is gone. */
static inline char *map_file(const char *name, int prot)
{
	char path[128], *at;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 3 * PAGE), 0);
	at = mmap(NULL, 3 * PAGE, prot, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(at, MAP_FAILED);
	close(fd);
	unlink(path);
	return at;
}

#endif /* TEST_PRELOAD_NAMED_H */
