/* SPDX-License-Identifier: MIT */
/*
 * policy/file.c - who may map what: reading the files
 *
 * They are read here, and given to libconfuse as text: it ends the process if it cannot read a file
 * itself. Nothing of what was read takes effect before all of it is right.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/rule.h"

#define FILE_BYTES_MAX (1U << 20)
#define FILES_MAX      256

/* @file: what messages are about. */
struct reading {
	struct policy *p;
	const char *file;
	struct policy_why why;
};

static int fail(struct reading *r, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct reading *r, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	policy_vfail(&r->why, err, r->file, 0, fmt, ap);
	va_end(ap);
	return -1;
}

static int no_memory(struct reading *r)
{
	return fail(r, -ENOMEM, "out of memory");
}

/* Whoever can write it could do what it allows. */
static int check_owner(struct reading *r, const char *what, const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return fail(r, -EPERM,
			    "the %s belongs to user %u: it has to be root's (chown root)", what,
			    st->st_uid);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return fail(r, -EPERM,
			    "others than the owner can write to the %s (mode %04o): chmod go-w",
			    what, st->st_mode & 07777);
	return 0;
}

static int read_text(struct reading *r, int fd, char *text, size_t *len)
{
	ssize_t k;

	*len = 0;
	while (*len <= FILE_BYTES_MAX && (k = read(fd, text + *len, FILE_BYTES_MAX + 1 - *len))) {
		if (k < 0 && errno != EINTR)
			return fail(r, -errno, "cannot be read: %s", strerror(errno));
		if (k > 0)
			*len += (size_t)k;
	}
	if (*len > FILE_BYTES_MAX)
		return fail(r, -EINVAL, "longer than %u bytes", FILE_BYTES_MAX);
	text[*len] = '\0';
	return 0;
}

static int take_fd(struct reading *r, int fd, const char *name)
{
	struct stat st;
	char *text;
	size_t len;
	int err = -1;

	if (fstat(fd, &st))
		return fail(r, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(r, -EINVAL, "not a regular file");
	if (check_owner(r, "file", &st))
		return -1;
	text = malloc(FILE_BYTES_MAX + 2);
	if (!text)
		return no_memory(r);
	if (!read_text(r, fd, text, &len))
		err = policy_add_text(r->p, name, text, len, &r->why);
	free(text);
	return err;
}

/*
 * @name could not be opened. Where there is nothing at all there are no rules; where somebody has put something
 * that leads nowhere he believes that there are.
 */
static int not_opened(struct reading *r, int dir, const char *name, bool must)
{
	const int err = errno;
	char to[PATH_MAX];
	ssize_t n = readlinkat(dir, name, to, sizeof(to) - 1);

	if (err == ENOENT && n >= 0) {
		to[n] = '\0';
		return fail(r, -err,
			    "a symbolic link to \"%.200s\", which is not there: mend or remove the "
			    "link",
			    to);
	}
	if (err == ENOENT && !must)
		return 0;
	return fail(r, -err, "%s", strerror(err));
}

/* @name: below @dir, or absolute; @full: what messages call it. */
static int take_file(struct reading *r, int dir, const char *name, const char *full, bool must)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int err;

	r->file = full;
	if (fd < 0)
		return not_opened(r, dir, name, must);
	err = take_fd(r, fd, full);
	close(fd);
	return err;
}

static int is_conf(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return *e->d_name != '.' && len > 5 && !strcmp(e->d_name + len - 5, ".conf");
}

/* Not alphasort(), which asks the locale. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int take_list(struct reading *r, int dir, const char *path, struct dirent **list, int n)
{
	int err = 0;

	if (n > FILES_MAX)
		return fail(r, -EINVAL, "more than %d files", FILES_MAX);
	for (int i = 0; i < n && !err; i++) {
		char *full;

		if (asprintf(&full, "%s/%s", path, list[i]->d_name) < 0)
			return no_memory(r);
		err = take_file(r, dir, list[i]->d_name, full, true);
		free(full);
	}
	return err;
}

static int take_open_dir(struct reading *r, int dir, const char *path)
{
	struct dirent **list;
	struct stat st;
	int n, err;

	if (fstat(dir, &st))
		return fail(r, -errno, "%s", strerror(errno));
	if (check_owner(r, "directory", &st))
		return -1;
	n = scandirat(dir, ".", &list, is_conf, by_bytes);
	if (n < 0)
		return fail(r, -errno, "cannot be read: %s", strerror(errno));
	err = take_list(r, dir, path, list, n);
	while (n)
		free(list[--n]);
	free(list);
	return err;
}

static int take_dir(struct reading *r, const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	r->file = path;
	if (dir < 0)
		return not_opened(r, AT_FDCWD, path, false);
	err = take_open_dir(r, dir, path);
	close(dir);
	return err;
}

static int begin(struct reading *r, const char *file, char *why, size_t size)
{
	*r = (struct reading){ .file = file, .why = { .text = why, .size = size } };
	r->p = policy_default();
	return r->p ? 0 : no_memory(r);
}

/* Return: 0 and *@out, or what was wrong. */
static int end(struct reading *r, struct policy **out)
{
	if (!r->why.err && policy_check_order(r->p))
		no_memory(r);
	if (r->why.err)
		policy_free(r->p);
	else
		*out = r->p;
	return r->why.err;
}

int policy_parse(const char *name, const char *text, size_t len, struct policy **out, char *why,
		 size_t size)
{
	struct reading r;
	char *copy;

	if (begin(&r, name, why, size))
		return r.why.err;
	copy = malloc(len + 1);
	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
		policy_add_text(r.p, name, copy, len, &r.why);
		free(copy);
	} else {
		no_memory(&r);
	}
	return end(&r, out);
}

int policy_load(const char *file, bool must, struct policy **out, char *why, size_t size)
{
	struct reading r;
	char *dir;

	if (begin(&r, file, why, size))
		return r.why.err;
	if (asprintf(&dir, "%s.d", file) < 0) {
		no_memory(&r);
		return end(&r, out);
	}
	if (!take_file(&r, AT_FDCWD, file, file, must))
		take_dir(&r, dir);
	free(dir);
	r.file = file;
	return end(&r, out);
}
