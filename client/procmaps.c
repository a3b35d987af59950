/* SPDX-License-Identifier: MIT */
/*
 * client/procmaps.c - what /proc tells of other processes: what they have mapped, and what they hold
 *
 * A line of /proc/PID/maps is "START-END PERMS OFFSET MAJOR:MINOR INODE   PATH". The kernel writes
 * a newline in a path as \012, so one line is one mapping whatever a client calls its files; no
 * other character is escaped.
 *
 * A process whose first thread has ended while others go on shows neither mappings nor descriptors
 * in /proc/PID, and a thread can have a descriptor table of its own: the walk looks into
 * /proc/PID/task. What a thread shares with the first one (kcmp(2) tells) is not read again.
 *
 * A file is looked up by statx(2) without synchronising: a client must not be able to make us wait
 * for a file system that it serves itself.
 */
#include "client/procmaps.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"

/* Linux 6.11, <linux/fs.h>: newer than the headers this has to build with. */
struct map_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};
static_assert(sizeof(struct map_query) == 104, "struct procmap_query");
static_assert(offsetof(struct map_query, inode) == 64, "struct procmap_query");
static_assert(offsetof(struct map_query, vma_name_addr) == 88, "struct procmap_query");

#define MAP_QUERY	  _IOWR('f', 17, struct map_query)
#define MAP_QUERY_OR_NEXT 0x10
static_assert(MAP_QUERY == 0xc0686611, "PROCMAP_QUERY");

static const char deleted[] = " (deleted)";

/* Keep the last component of a path of @len bytes. */
static void set_name(struct procmaps_file *file, const char *path, size_t len)
{
	const size_t suffix = sizeof(deleted) - 1;
	const char *slash = memrchr(path, '/', len);

	file->name[0] = '\0';
	if (!slash)
		return;
	len -= (size_t)(slash + 1 - path);
	if (len > suffix && !memcmp(slash + 1 + len - suffix, deleted, suffix))
		len -= suffix;
	if (len > PROCMAPS_NAME_MAX)
		return;
	memcpy(file->name, slash + 1, len);
	file->name[len] = '\0';
}

/* --- the text of /proc/PID/maps ------------------------------------------------------------- */

/* A page of text at most comes with each read; a line can be longer only by its path. */
#define TEXT_SIZE 8192

/**
 * struct text - lines of a file
 * @skip: the rest of a line that was longer than the buffer is being left out
 */
struct text {
	int fd;
	bool skip;
	size_t pos;
	size_t len;
	char buf[TEXT_SIZE];
};

/* Make room and read on. Return: bytes read, 0 at the end, or -errno. */
static ssize_t text_fill(struct text *t)
{
	ssize_t n;

	memmove(t->buf, t->buf + t->pos, t->len - t->pos);
	t->len -= t->pos;
	t->pos = 0;
	do
		n = read(t->fd, t->buf + t->len, sizeof(t->buf) - t->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	t->len += (size_t)n;
	return n;
}

/* Return: 1 and a line without its newline; 0 at the end; -errno. Of a line that does not fit the
 * buffer only the beginning is given. */
static int text_line(struct text *t, const char **line, size_t *len)
{
	ssize_t n;

	for (;;) {
		char *from = t->buf + t->pos;
		char *end = memchr(from, '\n', t->len - t->pos);
		bool whole = end && !t->skip;

		if (end) {
			t->pos = (size_t)(end + 1 - t->buf);
			t->skip = false;
		} else if (t->len - t->pos == sizeof(t->buf)) {
			whole = !t->skip;
			end = from + sizeof(t->buf);
			t->pos = t->len;
			t->skip = true;
		} else {
			n = text_fill(t);
			if (n <= 0)
				return (int)n;
			continue;
		}
		if (!whole)
			continue;
		*line = from;
		*len = (size_t)(end - from);
		return 1;
	}
}

/* What a line says, but for the file's name. */
struct map_line {
	uint64_t end;
	dev_t dev;
	uint64_t ino;
	const char *path;
	size_t path_len;
};

/* A number in front of @stop. Return: what follows @stop, or NULL. */
static const char *number(const char *p, const char *end, unsigned int base, char stop,
			  uint64_t *out)
{
	uint64_t n = 0;

	for (; p && p < end && *p != stop; p++) {
		unsigned int digit = (unsigned int)(*p <= '9' ? *p - '0' : *p - 'a' + 10);

		if (digit >= base)
			return NULL;
		n = n * base + digit;
	}
	*out = n;
	return p && p < end ? p + 1 : NULL;
}

/* Leave out one word and the space behind it. */
static const char *word(const char *p, const char *end)
{
	p = p ? memchr(p, ' ', (size_t)(end - p)) : NULL;
	return p ? p + 1 : NULL;
}

static bool parse_line(const char *p, size_t len, struct map_line *m)
{
	const char *end = p + len;
	uint64_t start, major, minor;

	p = number(p, end, 16, '-', &start);
	p = number(p, end, 16, ' ', &m->end);
	p = word(word(p, end), end);
	p = number(p, end, 16, ':', &major);
	p = number(p, end, 16, ' ', &minor);
	p = number(p, end, 10, ' ', &m->ino);
	if (!p)
		return false;
	m->dev = makedev((unsigned int)major, (unsigned int)minor);
	while (p < end && *p == ' ')
		p++;
	m->path = p;
	m->path_len = (size_t)(end - p);
	return true;
}

static void line_file(const struct map_line *m, struct procmaps_file *file)
{
	file->dev = m->dev;
	file->ino = m->ino;
	set_name(file, m->path, m->path_len);
}

static int first_above(int fd, uint64_t vaddr, struct procmaps_file *file)
{
	struct text t = { .fd = fd };
	struct map_line m;
	const char *line;
	size_t len;
	int ret;

	while ((ret = text_line(&t, &line, &len)) > 0) {
		if (!parse_line(line, len, &m))
			return -EPERM;
		if (m.end <= vaddr)
			continue;
		line_file(&m, file);
		return 0;
	}
	return ret ? -EPERM : -ENOENT;
}

/* --- one mapping ----------------------------------------------------------------------------- */

static int open_maps(pid_t tid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)tid);
	return tid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static int query(int fd, uint64_t vaddr, struct procmaps_file *file)
{
	char path[PATH_MAX];
	struct map_query q = {
		.size = sizeof(q),
		.query_flags = MAP_QUERY_OR_NEXT,
		.query_addr = vaddr,
		.vma_name_size = sizeof(path),
		.vma_name_addr = (uintptr_t)path,
	};

	memset(file, 0, sizeof(*file));
	if (!ioctl(fd, MAP_QUERY, &q)) {
		file->dev = makedev(q.dev_major, q.dev_minor);
		file->ino = q.inode;
		/* The size counts the NUL, and is 0 for a mapping without a name. */
		if (q.vma_name_size)
			set_name(file, path, q.vma_name_size - 1);
		return 0;
	}
	if (errno == ENAMETOOLONG)
		return 0;
	return errno == ENOENT || errno == ENOTTY ? -errno : -EPERM;
}

int procmaps_at(pid_t tid, uint64_t vaddr, struct procmaps_file *file)
{
	int fd = open_maps(tid);
	int ret;

	if (fd < 0)
		return -EPERM;
	ret = query(fd, vaddr, file);
	if (ret == -ENOTTY)
		ret = first_above(fd, vaddr, file);
	close(fd);
	return ret;
}

bool procmaps_exact(pid_t tid, uint64_t start, uint64_t end, struct procmaps_file *file)
{
	char link[80], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)tid, start,
		 end);
	n = readlink(link, path, sizeof(path));
	if (n <= 0)
		return false;
	file->dev = 0;
	file->ino = 0;
	set_name(file, path, (size_t)n);
	return true;
}

int procmaps_at_text(pid_t tid, uint64_t vaddr, struct procmaps_file *file)
{
	int fd = open_maps(tid);
	int ret;

	if (fd < 0)
		return -EPERM;
	ret = first_above(fd, vaddr, file);
	close(fd);
	return ret;
}

/* --- all processes --------------------------------------------------------------------------- */

#define PID_LIMIT (4 * 1024 * 1024) /* of the kernel: PID_MAX_LIMIT */

/* How often to look for processes that were born meanwhile. */
#define ROUNDS 20

/**
 * struct walk - a walk through /proc
 * @seen:      bitmap of the processes that were looked at
 * @blocked:   the process being looked at does not let us
 * @err:       the walk has failed
 */
struct walk {
	struct procmaps_visitor *v;
	uint8_t *seen;
	bool blocked;
	int err;
};

/* What has gone is no error: it holds nothing any more. */
static void walk_failed(struct walk *w, int err)
{
	if (err == EACCES || err == EPERM)
		w->blocked = true;
	else if (err != ENOENT && err != ESRCH)
		w->err = -err;
}

/* A numeric entry, or 0. */
static pid_t entry_pid(const struct dirent *e)
{
	return e->d_name[0] >= '1' && e->d_name[0] <= '9' ? (pid_t)atoi(e->d_name) : 0;
}

static DIR *open_dir(struct walk *w, int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir)
		return dir;
	walk_failed(w, errno);
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* The next entry; NULL at the end, or when the process has gone in between. */
static const struct dirent *next_entry(struct walk *w, DIR *dir)
{
	const struct dirent *e;

	errno = 0;
	e = readdir(dir);
	if (!e && errno)
		walk_failed(w, errno);
	return e;
}

static void walk_descriptor(struct walk *w, int dirfd, const char *entry)
{
	char path[PATH_MAX];
	struct procmaps_file file;
	struct statx st;
	ssize_t len = readlinkat(dirfd, entry, path, sizeof(path));

	if (len < 0) {
		if (errno != ENAMETOOLONG)
			walk_failed(w, errno);
		return;
	}
	set_name(&file, path, (size_t)len);
	if (!w->v->wanted(file.name))
		return;
	/* Somebody's own file system may answer as it likes; a tmpfs, where ours are, does not fail. */
	if (statx(dirfd, entry, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &st))
		return;
	file.dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	file.ino = st.stx_ino;
	w->v->found(w->v, &file);
}

static void walk_descriptors(struct walk *w, int task, pid_t tid)
{
	const struct dirent *e;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "%d/fd", (int)tid);
	dir = open_dir(w, task, path);
	if (!dir)
		return;
	while ((e = next_entry(w, dir)))
		if (e->d_name[0] != '.')
			walk_descriptor(w, dirfd(dir), e->d_name);
	closedir(dir);
}

/* Return: whether the thread has any mappings. */
static bool walk_maps(struct walk *w, int task, pid_t tid)
{
	struct text t = { .len = 0 };
	struct procmaps_file file;
	struct map_line m;
	const char *line;
	char path[32];
	size_t len;
	bool any = false;
	int fd, ret;

	snprintf(path, sizeof(path), "%d/maps", (int)tid);
	fd = openat(task, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		walk_failed(w, errno);
		return false;
	}
	t.fd = fd;
	while ((ret = text_line(&t, &line, &len)) > 0) {
		any = true;
		if (!parse_line(line, len, &m)) {
			ret = -EPROTO;
			break;
		}
		line_file(&m, &file);
		if (w->v->wanted(file.name))
			w->v->found(w->v, &file);
	}
	if (ret < 0)
		walk_failed(w, -ret);
	close(fd);
	return any;
}

static bool same_descriptors(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_FILES, 0, 0) == 0;
}

/* Read a small file whole. Return: whether there is anything in it. */
static bool read_line(int dirfd, const char *path, char *buf, size_t size)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

/* When a process started: field 22, the 20th behind the name, which can hold anything. */
static uint64_t start_of(int proc, pid_t pid)
{
	char path[32], buf[1024];
	char *p;

	snprintf(path, sizeof(path), "%d/stat", (int)pid);
	p = read_line(proc, path, buf, sizeof(buf)) ? strrchr(buf, ')') : NULL;
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : UINT64_MAX;
}

static void walk_threads(struct walk *w, int proc, pid_t pid)
{
	const struct dirent *e;
	char path[32];
	DIR *task;
	pid_t tid;
	bool mapped = false;

	snprintf(path, sizeof(path), "%d/task", (int)pid);
	task = open_dir(w, proc, path);
	if (!task)
		return;
	walk_descriptors(w, dirfd(task), pid);
	while ((e = next_entry(w, task))) {
		tid = entry_pid(e);
		if (tid && tid != pid && !same_descriptors(pid, tid))
			walk_descriptors(w, dirfd(task), tid);
	}
	/* All threads have the same mappings, but those that are ending have none any more. */
	rewinddir(task);
	while (!mapped && (e = next_entry(w, task))) {
		tid = entry_pid(e);
		mapped = tid && walk_maps(w, dirfd(task), tid);
	}
	closedir(task);
}

static void walk_process(struct walk *w, int proc, pid_t pid)
{
	w->seen[pid / 8] |= (uint8_t)(1 << pid % 8);
	w->blocked = false;
	walk_threads(w, proc, pid);
	if (w->blocked)
		w->v->blocked(w->v, pid, start_of(proc, pid));
}

/* The process id given out last, in this pid namespace; 0 if that cannot be told. */
static long last_pid(void)
{
	char buf[128];
	char *last;

	if (!read_line(AT_FDCWD, "/proc/loadavg", buf, sizeof(buf)))
		return 0;
	last = strrchr(buf, ' ');
	return last ? strtol(last, NULL, 10) : 0;
}

/* How long the machine has been suspended in all, ns: brought up to date by each walk. */
static uint64_t suspended;

/*
 * By the coarse clock, which needs no system call where the others do (under Xen). It lags by a tick,
 * so a process is rather taken for younger than it is.
 */
uint64_t procmaps_now(void)
{
	uint64_t ns = clock_read_ns(CLOCK_MONOTONIC_COARSE) +
		      __atomic_load_n(&suspended, __ATOMIC_RELAXED);

	return ns / (uint64_t)(1000000000 / sysconf(_SC_CLK_TCK));
}

static void note_suspended(void)
{
	__atomic_store_n(&suspended, clock_read_ns(CLOCK_BOOTTIME) - clock_ns(), __ATOMIC_RELAXED);
}

static bool is_seen(const struct walk *w, pid_t pid)
{
	return w->seen[pid / 8] >> pid % 8 & 1;
}

/* Look at the processes that are listed and were not looked at yet. Return: whether there were. */
static bool walk_new(struct walk *w, DIR *proc)
{
	const struct dirent *e;
	bool any = false;
	pid_t pid;

	rewinddir(proc);
	while ((e = next_entry(w, proc))) {
		pid = entry_pid(e);
		if (!pid || pid >= PID_LIMIT || is_seen(w, pid))
			continue;
		walk_process(w, dirfd(proc), pid);
		any = true;
	}
	return any;
}

/*
 * Until a list shows no process that was not looked at, and none was born while it was read: then
 * all that live have been looked at since they were born. Return: as procmaps_walk().
 */
static int walk_rounds(struct walk *w, DIR *proc)
{
	for (int round = 0; round < ROUNDS && !w->err; round++) {
		long before = last_pid();

		if (!walk_new(w, proc) && before && before == last_pid())
			return w->err;
	}
	return w->err ? w->err : 1;
}

int procmaps_walk(struct procmaps_visitor *v)
{
	struct walk w = { .v = v, .seen = calloc(1, PID_LIMIT / 8) };
	DIR *proc;
	int ret;

	if (!w.seen)
		return -ENOMEM;
	note_suspended();
	proc = open_dir(&w, AT_FDCWD, "/proc");
	ret = proc ? walk_rounds(&w, proc) : -ENOENT;
	/* A /proc mounted with hidepid lists only what we may look at: then others are hidden. */
	if (ret >= 0 && !is_seen(&w, 1))
		ret = -EACCES;
	if (proc)
		closedir(proc);
	free(w.seen);
	return ret;
}

void procmaps_look(struct procmaps_visitor *v, pid_t pid)
{
	struct walk w = { .v = v };
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (proc < 0)
		return;
	walk_threads(&w, proc, pid);
	if (w.blocked)
		v->blocked(v, pid, start_of(proc, pid));
	close(proc);
}

pid_t *procmaps_pids(size_t *n)
{
	struct walk w = { .err = 0 };
	DIR *proc = open_dir(&w, AT_FDCWD, "/proc");
	const struct dirent *e;
	pid_t *pids = NULL, *more;
	size_t room = 0;
	bool full = false;

	*n = 0;
	while (proc && !full && (e = next_entry(&w, proc))) {
		if (!entry_pid(e))
			continue;
		if (*n == room) {
			room = 2 * room + 256;
			more = realloc(pids, room * sizeof(*pids));
			full = !more;
			pids = more ? more : pids;
		}
		if (!full)
			pids[(*n)++] = entry_pid(e);
	}
	if (proc)
		closedir(proc);
	return pids;
}
