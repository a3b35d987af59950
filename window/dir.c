/* SPDX-License-Identifier: MIT */
/*
 * window/dir.c - the window directory on disk, and the names in it
 */
#include "window/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/procmaps.h"
#include "window/window.h"

void window_name_format(const struct window_name *name, char *buf)
{
	snprintf(buf, WINDOW_NAME_SIZE, "%016" PRIx64 ".%" PRIx64 ".%" PRIx32 ".%016" PRIx64,
		 name->id, name->index, name->count, name->life);
}

bool window_name_parse(const char *s, struct window_name *name)
{
	char again[WINDOW_NAME_SIZE];
	char *end;

	if (strnlen(s, WINDOW_NAME_SIZE) >= WINDOW_NAME_SIZE)
		return false;
	name->id = strtoull(s, &end, 16);
	if (*end != '.')
		return false;
	name->index = strtoull(end + 1, &end, 16);
	if (*end != '.')
		return false;
	name->count = (uint32_t)strtoul(end + 1, &end, 16);
	if (*end != '.')
		return false;
	name->life = strtoull(end + 1, &end, 16);
	/* Everything else that strtoull() lets pass does not come out again as it went in. */
	window_name_format(name, again);
	return !strcmp(s, again);
}

static bool is_any(const char *name, const void *arg)
{
	(void)name;
	(void)arg;
	return true;
}

static bool is_window(const char *s, const void *life)
{
	struct window_name name;

	return window_name_parse(s, &name) && name.life == *(const uint64_t *)life;
}

/* Remove plain files and device nodes of such names. Return: 0 or -errno. */
static int remove_all(int dirfd, bool (*wanted)(const char *name, const void *arg), const void *arg)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	struct stat st;
	int err = 0;

	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while ((e = readdir(dir))) {
		if (!wanted(e->d_name, arg) || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
			continue;
		if (unlinkat(fd, e->d_name, 0) && errno != ENOENT)
			err = -errno;
	}
	closedir(dir);
	return err;
}

int window_dir_clean(int dirfd)
{
	return remove_all(dirfd, is_any, NULL);
}

int window_dir_adopt(int dirfd, dev_t *dev, uint64_t life)
{
	struct stat st;

	if (fstat(dirfd, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode) || !life)
		return -EINVAL;
	*dev = st.st_dev;
	return remove_all(dirfd, is_window, &life);
}

/* Return: a descriptor of a directory that is ours, or -errno. */
static int open_own(const char *path, dev_t *dev, const char **why)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int err = 0;

	*why = "the window directory is not a directory";
	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	if (fstat(fd, &st)) {
		err = -errno;
	} else if (st.st_uid != geteuid()) {
		*why = "the window directory belongs to somebody else";
		err = -EPERM;
	} else if (flock(fd, LOCK_EX | LOCK_NB)) {
		*why = "another daemon uses the window directory";
		err = -EBUSY;
	}
	if (err) {
		close(fd);
		return err;
	}
	*dev = st.st_dev;
	return fd;
}

int window_dir_open(const char *path, dev_t *dev, const char **why)
{
	int fd, err;

	if (mkdir(path, 0700) && errno != EEXIST) {
		*why = "cannot make the window directory";
		return -errno;
	}
	fd = open_own(path, dev, why);
	if (fd < 0)
		return fd;
	err = fchmod(fd, 0700) ? -errno : window_dir_clean(fd);
	if (!err)
		return fd;
	*why = "cannot clean the window directory";
	close(fd);
	return err;
}

/* What /proc says of a mapping of this file. Return: 0 or -errno. */
static int see_mapped(int fd, struct procmaps_file *file)
{
	void *p = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
	int err;

	if (p == MAP_FAILED)
		return -errno;
	err = procmaps_at(getpid(), (uintptr_t)p, file);
	munmap(p, 1);
	return err;
}

int window_dir_try(int dirfd, uint64_t life, const char **why)
{
	const struct window_name name = { .life = life };
	struct procmaps_file file = { .ino = 0 };
	char s[WINDOW_NAME_SIZE];
	struct stat st = { .st_ino = 0 };
	int fd, err;

	window_name_format(&name, s);
	*why = "cannot map a file of the window directory and see it in /proc/self/maps";
	fd = openat(dirfd, s, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (unlinkat(dirfd, s, 0) || fstat(fd, &st))
		err = -errno;
	else
		err = see_mapped(fd, &file);
	close(fd);
	if (!err && (file.dev != st.st_dev || file.ino != st.st_ino || strcmp(file.name, s) != 0)) {
		*why = "/proc/self/maps shows files of the window directory's file system with "
		       "other inode numbers: use a tmpfs";
		err = -ENOTSUP;
	}
	return err;
}
