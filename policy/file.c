/* SPDX-License-Identifier: MIT */
/*
 * policy/file.c - who may map what: reading the files
 *
 * All of them are read, whatever is wrong with one, so that all mistakes are told at once. Nothing of what was
 * read takes effect before all of it is right.
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
	struct policy_why *why;
};

static void fail(struct reading *r, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void fail(struct reading *r, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	policy_vfail(r->why, err, r->file, 0, fmt, ap);
	va_end(ap);
}

static void no_memory(struct reading *r)
{
	fail(r, -ENOMEM, "out of memory");
}

/* Whoever can write it could do what it allows. */
static bool check_owner(struct reading *r, const char *what, const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		fail(r, -EPERM, "the %s belongs to user %u: it has to be root's (chown root)", what,
		     st->st_uid);
	else if (st->st_mode & (S_IWGRP | S_IWOTH))
		fail(r, -EPERM, "others than the owner can write to the %s (mode %04o): chmod go-w",
		     what, st->st_mode & 07777);
	else
		return true;
	return false;
}

static bool read_text(struct reading *r, int fd, char *text, size_t *len)
{
	ssize_t k;

	*len = 0;
	while (*len <= FILE_BYTES_MAX && (k = read(fd, text + *len, FILE_BYTES_MAX + 1 - *len))) {
		if (k < 0 && errno != EINTR) {
			fail(r, -errno, "cannot be read: %s", strerror(errno));
			return false;
		}
		if (k > 0)
			*len += (size_t)k;
	}
	if (*len > FILE_BYTES_MAX)
		fail(r, -EINVAL, "longer than %u bytes", FILE_BYTES_MAX);
	return *len <= FILE_BYTES_MAX;
}

static void take_fd(struct reading *r, int fd, const char *name)
{
	struct stat st;
	char *text;
	size_t len;

	if (fstat(fd, &st))
		return fail(r, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(r, -EINVAL, "not a regular file");
	if (!check_owner(r, "file", &st))
		return;
	text = malloc(FILE_BYTES_MAX + 1);
	if (!text)
		return no_memory(r);
	if (read_text(r, fd, text, &len))
		policy_add_text(r->p, name, text, len, r->why);
	free(text);
}

/*
 * @name could not be opened. Where there is nothing at all there are no rules; where somebody has put something
 * that leads nowhere he believes that there are.
 */
static void not_opened(struct reading *r, int dir, const char *name, bool must)
{
	const int err = errno;
	char to[PATH_MAX];
	ssize_t n = readlinkat(dir, name, to, sizeof(to) - 1);

	if (err == ENOENT && n >= 0) {
		to[n] = '\0';
		fail(r, -err,
		     "a symbolic link to \"%.200s\", which is not there: mend or remove the link",
		     to);
	} else if (err != ENOENT || must) {
		fail(r, -err, "%s", strerror(err));
	}
}

/* @name: below @dir, or absolute; @full: what messages call it. */
static void take_file(struct reading *r, int dir, const char *name, const char *full, bool must)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	r->file = full;
	if (fd < 0)
		return not_opened(r, dir, name, must);
	take_fd(r, fd, full);
	close(fd);
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

static void take_list(struct reading *r, int dir, const char *path, struct dirent **list, int n)
{
	if (n > FILES_MAX)
		return fail(r, -EINVAL, "more than %d files", FILES_MAX);
	for (int i = 0; i < n; i++) {
		char *full;

		if (asprintf(&full, "%s/%s", path, list[i]->d_name) < 0)
			return no_memory(r);
		take_file(r, dir, list[i]->d_name, full, true);
		/* What is told next may be about the directory. */
		r->file = path;
		free(full);
	}
}

static void take_open_dir(struct reading *r, int dir, const char *path)
{
	struct dirent **list;
	struct stat st;
	int n;

	if (fstat(dir, &st))
		return fail(r, -errno, "%s", strerror(errno));
	if (!check_owner(r, "directory", &st))
		return;
	n = scandirat(dir, ".", &list, is_conf, by_bytes);
	if (n < 0)
		return fail(r, -errno, "cannot be read: %s", strerror(errno));
	take_list(r, dir, path, list, n);
	while (n)
		free(list[--n]);
	free(list);
}

static void take_dir(struct reading *r, const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	r->file = path;
	if (dir < 0)
		return not_opened(r, AT_FDCWD, path, false);
	take_open_dir(r, dir, path);
	close(dir);
}

/* Return: whether there is a policy to add to. */
static bool begin(struct reading *r, const char *file, struct policy_why *why)
{
	why->err = 0;
	why->n = 0;
	*r = (struct reading){ .file = file, .why = why, .p = policy_default() };
	if (!r->p)
		no_memory(r);
	return r->p;
}

/* Return: 0 and *@out, or what was wrong. */
static int end(struct reading *r, struct policy **out)
{
	if (!r->why->err && policy_check_order(r->p))
		no_memory(r);
	if (r->why->err)
		policy_free(r->p);
	else
		*out = r->p;
	return r->why->err;
}

int policy_parse(const char *name, const char *text, size_t len, struct policy **out,
		 struct policy_why *why)
{
	struct reading r;

	if (!begin(&r, name, why))
		return why->err;
	policy_add_text(r.p, name, text, len, why);
	return end(&r, out);
}

int policy_load(const char *file, bool must, struct policy **out, struct policy_why *why)
{
	struct reading r;
	char *dir;

	if (!begin(&r, file, why))
		return why->err;
	take_file(&r, AT_FDCWD, file, file, must);
	if (asprintf(&dir, "%s.d", file) < 0) {
		no_memory(&r);
	} else {
		take_dir(&r, dir);
		free(dir);
	}
	r.file = file;
	return end(&r, out);
}

void policy_why_all(const struct policy_why *why, char *line, size_t size)
{
	if (why->n > 1)
		snprintf(line, size, "%s (and %u more)", why->text[0], why->n - 1);
	else
		snprintf(line, size, "%s", why->text[0]);
}
