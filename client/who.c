/* SPDX-License-Identifier: MIT */
/*
 * client/who.c - who has opened the device, as an operator knows processes
 */
#include "client/who.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All that is wanted of /proc/TID/status stands in its first lines, but for very many groups. */
#define PROC_FILE_MAX 8192

/* Return: bytes of /proc/@tid/@file in @buf, NUL-terminated; 0 if it cannot be read. */
static size_t read_proc(pid_t tid, const char *file, char *buf, size_t size)
{
	char path[64];
	size_t n = 0;
	ssize_t k;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while (n < size - 1 && (k = read(fd, buf + n, size - 1 - n)) > 0)
		n += (size_t)k;
	close(fd);
	buf[n] = '\0';
	return n;
}

/* Return: what follows "@name:\t" at the head of a line, or NULL. */
static const char *status_field(const char *status, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len) && line[len] == ':')
			return line + len + 1;
	}
	return NULL;
}

static void read_groups(struct who *w, const char *field)
{
	char *end;

	while (*field && *field != '\n') {
		unsigned long gid = strtoul(field, &end, 10);

		if (end == field)
			break;
		/* Cut off, by the end of our buffer or of the list. */
		if (!*end || w->n_groups == WHO_GROUPS_MAX)
			return;
		w->groups[w->n_groups++] = (gid_t)gid;
		for (field = end; *field == ' '; field++)
			;
	}
	w->all_groups = *field == '\n';
}

static void read_status(struct who *w, pid_t tid)
{
	char status[PROC_FILE_MAX];
	const char *field;

	if (!read_proc(tid, "status", status, sizeof(status)))
		return;
	field = status_field(status, "Tgid");
	if (!field)
		return;
	w->pid = (pid_t)strtol(field, NULL, 10);
	w->visible = true;
	field = status_field(status, "Groups");
	if (field)
		read_groups(w, field + strspn(field, "\t "));
}

/* Cut a name at the end of its line. */
static void end_line(char *s)
{
	s[strcspn(s, "\n")] = '\0';
}

void who_comm(pid_t pid, char *comm)
{
	comm[0] = '\0';
	if (pid > 0 && read_proc(pid, "comm", comm, WHO_COMM_SIZE))
		end_line(comm);
}

static bool has_suffix(const char *s, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && !memcmp(s + len - n, suffix, n);
}

/* systemd puts a "_" before names that would mean something else to the kernel. */
static void keep_unit(struct who *w, const char *name, size_t len)
{
	if (*name == '_') {
		name++;
		len--;
	}
	if (len >= sizeof(w->unit))
		return;
	memcpy(w->unit, name, len);
	w->unit[len] = '\0';
}

/*
 * As systemd lays them out: slices, and in them the service or scope. Behind anything else, such as a
 * container's payload, names are not the system manager's.
 */
static void find_unit(struct who *w, const char *path)
{
	const char *at = path;
	size_t len;

	do {
		at += strspn(at, "/");
		len = strcspn(at, "/");
		at += len;
		/* ".." is how the kernel shows what is outside of our own control group namespace. */
	} while (has_suffix(at - len, len, ".slice") || (len == 2 && !memcmp(at - len, "..", 2)));
	if (has_suffix(at - len, len, ".service") || has_suffix(at - len, len, ".scope"))
		keep_unit(w, at - len, len);
}

static void keep_cgroup(struct who *w, const char *path)
{
	size_t len = strlen(path);

	if (len < sizeof(w->cgroup))
		memcpy(w->cgroup, path, len + 1);
	else
		snprintf(w->cgroup, sizeof(w->cgroup), "...%s",
			 path + len - (sizeof(w->cgroup) - 4));
}

/*
 * Of a line "ID:CONTROLLERS:PATH": the unified hierarchy has no controllers, systemd's own is named. The first
 * two colons part it: a path may have more, and users name what is below their own groups.
 *
 * Return: the path, or NULL if it is of another hierarchy.
 */
static const char *path_of_line(const char *line)
{
	static const char systemd[] = "name=systemd:";
	const char *at = strchr(line, ':');

	if (!at)
		return NULL;
	at++;
	if (!strncmp(at, systemd, sizeof(systemd) - 1))
		at += sizeof(systemd) - 1;
	else if (*at++ != ':')
		return NULL;
	return *at == '/' ? at : NULL;
}

static void read_cgroup(struct who *w, pid_t tid)
{
	char text[PROC_FILE_MAX];
	const char *path;
	char *next;

	if (!read_proc(tid, "cgroup", text, sizeof(text)))
		return;
	for (char *line = text; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		path = path_of_line(line);
		if (!path)
			continue;
		keep_cgroup(w, path);
		find_unit(w, path);
		if (w->unit[0])
			return;
	}
}

void who_read(struct who *w, const struct opener *by)
{
	memset(w, 0, sizeof(*w));
	w->uid = by->uid;
	w->gid = by->gid;
	if (by->tid <= 0)
		return;
	read_status(w, by->tid);
	if (!w->visible)
		return;
	w->ns = owner_read(by->tid, &w->owner);
	who_comm(w->pid, w->comm);
	read_cgroup(w, by->tid);
}

/* The last of a field's four numbers: real, effective, saved and file system id. */
static bool read_id(const char *field, unsigned int *id)
{
	return field && sscanf(field, "%*u %*u %*u %u", id) == 1;
}

int who_now(struct who *w, pid_t pid)
{
	struct opener by = { .tid = pid };
	char status[PROC_FILE_MAX];

	if (pid <= 0 || !read_proc(pid, "status", status, sizeof(status)) ||
	    !read_id(status_field(status, "Uid"), &by.uid) ||
	    !read_id(status_field(status, "Gid"), &by.gid))
		return -ENOENT;
	who_read(w, &by);
	return w->visible ? 0 : -ENOENT;
}

int who_in_group(const struct who *w, gid_t gid)
{
	if (w->gid == gid)
		return 1;
	for (unsigned int i = 0; i < w->n_groups; i++)
		if (w->groups[i] == gid)
			return 1;
	if (w->ns == OWNER_UNKNOWN || (w->ns == OWNER_OTHER && w->owner != 0))
		return -1;
	return w->visible && w->all_groups ? 0 : -1;
}

/*
 * Field 31 of proc(5)'s stat: the signals that wait for just this thread; SIGKILL is sent to each.
 *
 * The thread's own file: for the other one, though it shows the same field, the kernel adds up what all threads of
 * the process have used, and there may be very many.
 */
bool who_killed(pid_t tid)
{
	char file[32], stat[1024];
	const char *at;

	snprintf(file, sizeof(file), "task/%d/stat", (int)tid);
	if (tid <= 0 || !read_proc(tid, file, stat, sizeof(stat)))
		return false;
	at = strrchr(stat, ')');
	for (int field = 2; at && field < 31; field++)
		at = strchr(at + 1, ' ');
	return at && strtoull(at + 1, NULL, 10) & (1ULL << (SIGKILL - 1));
}
