/* SPDX-License-Identifier: MIT */
/*
 * base/rundir.c - the run directory: made, and checked all the way down to it
 *
 * The path is walked as it was given, where links are looked at, and once more without them. What was found good cannot
 * be changed by others afterwards: whoever could has been found out on the way.
 */
#include "base/rundir.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/why.h"

static bool check_owner(const char *path, const char *what, const struct stat *st,
			const struct why *why)
{
	if (st->st_uid == 0 || st->st_uid == geteuid())
		return true;
	return because(why,
		       "%s: the %s belongs to user %u, who could take the place of the daemon's "
		       "sockets: it has to be root's (chown root; or give another --run-dir)",
		       path, what, st->st_uid);
}

/* @last: the run directory itself, in which nobody else may make anything. */
static bool check_dir(const char *path, bool last, const struct why *why)
{
	struct stat st;

	if (stat(path, &st))
		return because(why, "run directory: %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return because(why, "run directory: %s is no directory", path);
	if (!check_owner(path, "directory", &st, why))
		return false;
	if (!(st.st_mode & (S_IWGRP | S_IWOTH)) || (!last && st.st_mode & S_ISVTX))
		return true;
	return because(
		why,
		"%s: others can write to the directory (mode %04o), and could take the place "
		"of the daemon's sockets: chmod go-w %s, or give another --run-dir",
		path, st.st_mode & 07777, path);
}

static bool check_link(const char *path, const struct why *why)
{
	struct stat st;

	if (lstat(path, &st) || !S_ISLNK(st.st_mode))
		return true;
	return check_owner(path, "symbolic link", &st, why);
}

/* Each directory on the way, from the root. @path is changed meanwhile; @own: it is the run directory itself. */
static bool check_way(char *path, bool own, const struct why *why)
{
	bool good = check_dir("/", own && !path[1], why);

	for (char *at = path + 1; good && *at; at++) {
		char *end = strchrnul(at, '/'), c = *end;

		*end = '\0';
		good = check_link(path, why) && check_dir(path, own && !c, why);
		*end = c;
		if (!c)
			break;
		at = end;
	}
	return good;
}

/* As it was given, and where it leads. @path: of PATH_MAX bytes */
static bool check_path(char *path, bool own, const struct why *why)
{
	char real[PATH_MAX];

	/* "/run/x/" is "/run/x". */
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	if (!check_way(path, own, why))
		return false;
	if (!realpath(path, real))
		return because(why, "run directory: %s: %s", path, strerror(errno));
	return check_way(real, own, why);
}

/* Where somebody else could put something in between, nothing is made. */
static bool make(const char *dir, bool *made, const struct why *why)
{
	char copy[PATH_MAX], parent[PATH_MAX];

	strcpy(copy, dir);
	strcpy(parent, dirname(copy));
	if (!access(parent, F_OK) && !check_path(parent, false, why))
		return false;
	if (mkdir(dir, 0755))
		return because(why,
			       "cannot make the run directory %s: %s (give another with --run-dir)",
			       dir, strerror(errno));
	*made = true;
	/* Whatever the umask is. */
	if (chmod(dir, 0755))
		return because(why, "run directory: chmod %s: %s", dir, strerror(errno));
	return true;
}

bool rundir_make(const char *dir, bool *made, const struct why *why)
{
	char path[PATH_MAX];

	*made = false;
	if (*dir != '/' || strlen(dir) >= sizeof(path))
		return because(why,
			       "--run-dir=%s: an absolute path is wanted: clients are told it, and "
			       "they have other working directories",
			       dir);
	if (access(dir, F_OK) && !make(dir, made, why))
		return false;
	strcpy(path, dir);
	return check_path(path, true, why);
}

bool rundir_closed(const char *dir)
{
	struct stat st;

	return !stat(dir, &st) && !(st.st_mode & S_IXOTH);
}
