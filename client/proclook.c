/* SPDX-License-Identifier: MIT */
/*
 * client/proclook.c - a look at all files that one process has mapped or open
 *
 * A process whose first thread has ended while others go on shows neither mappings nor descriptors
 * in /proc/PID, and a thread can have a descriptor table of its own: the look goes into
 * /proc/PID/task. What a thread shares with the first one (kcmp(2) tells) is not read again.
 *
 * The entries of a thread that has ended are root's, whoever has ended; it is known to hold nothing.
 *
 * A file is looked up by statx(2) without synchronising: a client must not be able to make us wait
 * for a file system that it serves itself.
 *
 * Nobody can be kept from making us wait for its mappings: while it waits for a page of a file that it serves
 * itself, and another of its threads wants to map something, nobody else can have a look. So a helper looks, and
 * is left behind if it does not get on (base/helper.h).
 */
#include "client/proclook.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/mapstext.h"
#include "client/owner.h"

/* How long a look may not get on, and how long it may take, ms. A process with 60,000 mappings takes 0.1 s. */
#define STILL_MS 250
#define MOST_MS	 2000

/*
 * Helpers that may be left behind: in all, and with processes of one user other than root. Half of all are for users
 * with whose processes none was left behind yet.
 */
#define LATE_MAX     32
#define LATE_OF_USER 3

/* What looks at the processes of one user other than root may take in one walk, those of LOOK_MS and more, ms. */
#define LOOK_MS 100
#define USER_MS 2000

/**
 * struct look - one of them
 * @v:       who wants to know, NULL once it is left behind (@lock)
 * @blocked: it does not let us
 * @err:     -errno: it has failed
 *
 * Of those that were left behind, protected by late_lock:
 * @next:    one more
 * @over:    it has ended
 */
struct look {
	struct helper_task task;
	pthread_mutex_t lock;
	struct procwalk_visitor *v;
	bool (*wanted)(const char *name);
	pid_t pid;
	bool blocked;
	int err;
	struct look *next;
	uint64_t start;
	uid_t uid;
	bool over;
};

static pthread_mutex_t late_lock = PTHREAD_MUTEX_INITIALIZER;
static struct look *all_late;

/* --- what /proc tells of any process --------------------------------------------------------------- */

/* Read a small file whole. Return: whether there is anything in it; if not, errno, 0 for an empty one. */
static bool read_line(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	errno = 0;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

#define STAT_SIZE 1024

/* Read the stat of a process or thread. Return: the fields from the third on; NULL, and errno, if they are not told. */
static const char *read_stat(pid_t tid, char buf[STAT_SIZE])
{
	char path[32];
	const char *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	/* The second is the name, which can hold anything. */
	end = read_line(path, buf, STAT_SIZE) ? strrchr(buf, ')') : NULL;
	return end && end[1] == ' ' ? end + 2 : NULL;
}

/* Whether a thread holds nothing any more: before it is in such a state it gives up its mappings and descriptors. */
static bool has_ended(pid_t tid)
{
	char buf[STAT_SIZE];
	const char *state = read_stat(tid, buf);

	return state ? *state == 'Z' || *state == 'X' : errno == ENOENT || errno == ESRCH;
}

uint64_t proclook_tick_ns(void)
{
	return 1000000000U / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Field 22. Who is older than the time namespace that we are in started before 0: that is told modulo 2^64 ns. */
uint64_t proclook_start(pid_t pid)
{
	char buf[STAT_SIZE];
	const char *p = read_stat(pid, buf);
	uint64_t start;

	for (int field = 3; p && field < 22; field++) {
		p = strchr(p, ' ');
		p += p != NULL;
	}
	if (!p)
		return UINT64_MAX;
	start = strtoull(p, NULL, 10);
	return start < INT64_MAX / proclook_tick_ns() ? start : 0;
}

/* --- what the helper does ------------------------------------------------------------------------ */

static void get_on(struct look *l)
{
	__atomic_store_n(&l->task.progress, l->task.progress + 1, __ATOMIC_RELAXED);
}

static void found(struct look *l, const struct procmaps_file *file)
{
	pthread_mutex_lock(&l->lock);
	if (l->v)
		l->v->found(l->v, l->pid, file);
	pthread_mutex_unlock(&l->lock);
}

/* What has gone is no error: it holds nothing any more. */
static void look_failed(struct look *l, int err)
{
	if (err == EACCES || err == EPERM)
		l->blocked = true;
	else if (err != ENOENT && err != ESRCH)
		l->err = -err;
}

/* The same, of one thread's mappings or descriptors. */
static void thread_failed(struct look *l, pid_t tid, int err)
{
	if ((err == EACCES || err == EPERM) && has_ended(tid))
		err = ESRCH;
	look_failed(l, err);
}

/* Return: NULL, and errno, if it cannot be read. */
static DIR *open_dir(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int err = errno;

	if (!dir && fd >= 0)
		close(fd);
	errno = err;
	return dir;
}

/* The next entry; NULL at the end, or when the process has gone in between. */
static const struct dirent *next_entry(struct look *l, DIR *dir)
{
	const struct dirent *e;

	errno = 0;
	e = readdir(dir);
	if (!e && errno)
		look_failed(l, errno);
	return e;
}

static void look_at_descriptor(struct look *l, pid_t tid, int dirfd, const char *entry)
{
	char path[PATH_MAX];
	struct procmaps_file file;
	struct statx st;
	ssize_t len = readlinkat(dirfd, entry, path, sizeof(path));

	if (len < 0) {
		if (errno != ENAMETOOLONG)
			thread_failed(l, tid, errno);
		return;
	}
	mapstext_name(&file, path, (size_t)len);
	if (!l->wanted(file.name))
		return;
	/* Somebody's own file system may answer as it likes; a tmpfs, where ours are, does not fail. */
	if (statx(dirfd, entry, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &st))
		return;
	file.dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	file.ino = st.stx_ino;
	found(l, &file);
}

static void look_at_descriptors(struct look *l, int task, pid_t tid)
{
	const struct dirent *e;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "%d/fd", (int)tid);
	dir = open_dir(task, path);
	if (!dir) {
		thread_failed(l, tid, errno);
		return;
	}
	while ((e = next_entry(l, dir))) {
		get_on(l);
		if (e->d_name[0] != '.')
			look_at_descriptor(l, tid, dirfd(dir), e->d_name);
	}
	closedir(dir);
}

/* Return: whether the thread has any mappings. */
static bool look_at_maps(struct look *l, int task, pid_t tid)
{
	struct mapstext t = { .len = 0 };
	struct procmaps_file file;
	char path[32];
	uint64_t end;
	bool any = false;
	int fd, ret;

	snprintf(path, sizeof(path), "%d/maps", (int)tid);
	fd = openat(task, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		thread_failed(l, tid, errno);
		return false;
	}
	t.fd = fd;
	while ((ret = mapstext_next(&t, &end, &file)) > 0) {
		any = true;
		get_on(l);
		if (l->wanted(file.name))
			found(l, &file);
	}
	if (ret < 0)
		look_failed(l, -ret);
	close(fd);
	return any;
}

static bool same_descriptors(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_FILES, 0, 0) == 0;
}

static void look_at_threads(struct look *l)
{
	const struct dirent *e;
	char path[32];
	DIR *task;
	pid_t tid;
	bool mapped = false;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)l->pid);
	task = open_dir(AT_FDCWD, path);
	if (!task) {
		look_failed(l, errno);
		return;
	}
	look_at_descriptors(l, dirfd(task), l->pid);
	while ((e = next_entry(l, task))) {
		tid = procwalk_pid(e);
		if (tid && tid != l->pid && !same_descriptors(l->pid, tid))
			look_at_descriptors(l, dirfd(task), tid);
	}
	/* All threads have the same mappings, but those that are ending have none any more. */
	rewinddir(task);
	while (!mapped && (e = next_entry(l, task))) {
		tid = procwalk_pid(e);
		mapped = tid && look_at_maps(l, dirfd(task), tid);
	}
	closedir(task);
}

static void run(struct helper_task *t)
{
	struct look *l = (struct look *)t;

	look_at_threads(l);
	pthread_mutex_lock(&late_lock);
	l->over = true;
	for (struct look **p = &all_late; *p; p = &(*p)->next)
		if (*p == l) {
			*p = l->next;
			break;
		}
	pthread_mutex_unlock(&late_lock);
}

static void look_free(struct helper_task *t)
{
	struct look *l = (struct look *)t;

	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* --- who asks ------------------------------------------------------------------------------------ */

/*
 * Whose process it is: its real user id, which "nondumpable" does not hide; in a user namespace its maker, who
 * has thousands of user ids there. What root has made is for many.
 */
static uid_t user_of(pid_t pid)
{
	char path[32], buf[1024];
	const char *p;
	uid_t owner;

	if (owner_read(pid, &owner) == OWNER_OTHER && owner != 0)
		return owner;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	/* The name in front of it has no newline of its own. */
	p = read_line(path, buf, sizeof(buf)) ? strstr(buf, "\nUid:\t") : NULL;
	return p ? (uid_t)strtoul(p + 6, NULL, 10) : (uid_t)-1;
}

/* The place of a user in the list of times; the number of places if it has none. */
static unsigned int place_of(const struct proclook *pl, uid_t uid)
{
	unsigned int i = 0;

	while (i < pl->n_users && pl->user[i].uid != uid)
		i++;
	return i;
}

/* Count what a look has taken. If there are very many users the last place is for all the others. */
static void add_time(struct proclook *pl, uid_t uid, uint64_t ms)
{
	unsigned int i = place_of(pl, uid);

	if (i == PROCLOOK_USERS)
		i--;
	else if (i == pl->n_users)
		pl->user[pl->n_users++].uid = uid;
	pl->user[i].ms += ms;
}

/* Whether so many were left behind that no more may be with this user's. @mine: of these */
static bool are_enough(unsigned int all, unsigned int mine, uid_t uid)
{
	return all >= (mine ? LATE_MAX / 2 : LATE_MAX) || (mine >= LATE_OF_USER && uid != 0);
}

/* Whether this one is not to be looked at. */
static bool is_too_late(pid_t pid, uid_t uid)
{
	uint64_t start = proclook_start(pid);
	unsigned int n = 0, of_user = 0;
	bool same = false;

	pthread_mutex_lock(&late_lock);
	for (const struct look *l = all_late; l; l = l->next) {
		n++;
		of_user += l->uid == uid;
		same |= l->pid == pid && l->start == start;
	}
	pthread_mutex_unlock(&late_lock);
	return same || are_enough(n, of_user, uid);
}

static bool may_look(const struct proclook *pl, pid_t pid)
{
	unsigned int i;
	uid_t uid;

	if (!pl->n_users && !__atomic_load_n(&all_late, __ATOMIC_RELAXED))
		return true;
	uid = user_of(pid);
	i = place_of(pl, uid);
	if (uid != 0 && i < pl->n_users && pl->user[i].ms >= USER_MS)
		return false;
	return !is_too_late(pid, uid);
}

/* It is left behind: whoever looks at this process next is to know. */
static void leave(struct look *l)
{
	l->start = proclook_start(l->pid);
	l->uid = user_of(l->pid);
	pthread_mutex_lock(&l->lock);
	l->v = NULL;
	pthread_mutex_unlock(&l->lock);
	pthread_mutex_lock(&late_lock);
	if (!l->over) {
		l->next = all_late;
		__atomic_store_n(&all_late, l, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&late_lock);
}

/* Have it done. Return: as proclook(). */
static int have_run(struct proclook *pl, struct look *l)
{
	uint64_t began = clock_ms(), took;
	int err = helper_run(&pl->helper, &l->task, STILL_MS, MOST_MS);

	if (err == -ETIMEDOUT)
		leave(l);
	else if (!err)
		err = l->err ? l->err : l->blocked ? -EACCES : 0;
	took = clock_ms() - began;
	if (took > LOOK_MS)
		add_time(pl, user_of(l->pid), took);
	return err;
}

int proclook(struct proclook *pl, struct procwalk_visitor *v, pid_t pid)
{
	struct look *l;
	int err;

	if (!may_look(pl, pid))
		return -ETIMEDOUT;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->task.run = run;
	l->task.free = look_free;
	pthread_mutex_init(&l->lock, NULL);
	l->v = v;
	l->wanted = v->wanted;
	l->pid = pid;
	err = have_run(pl, l);
	helper_put(&l->task);
	return err;
}

void proclook_end(struct proclook *pl)
{
	helper_end(&pl->helper);
}

unsigned int proclook_late(void)
{
	unsigned int n = 0;

	pthread_mutex_lock(&late_lock);
	for (const struct look *l = all_late; l; l = l->next)
		n++;
	pthread_mutex_unlock(&late_lock);
	return n;
}
