/* SPDX-License-Identifier: MIT */
/*
 * window/test_scan.c - windows in doubt, and processes that do not let themselves be looked into
 *
 * openat(2) is ours: what it does for a process's entries in /proc can be chosen for each.
 */
#include <fcntl.h>
#include <stdarg.h>

#include "client/owner.h"
#include "client/procwalk.h"
#include "tests/unit/suite.h"
#include "tests/unit/window/rig.h"

/* --- what /proc does ----------------------------------------------------------------------------- */

enum manner {
	SHOWN,
	HIDDEN, /* as if it held nothing */
	MOVING, /* the same, so often: it has just moved what it holds to where the look was before */
	DENIED, /* as a security module does it */
	LOCKED, /* it keeps its memory map locked: whoever looks waits */
};

#define MANNERS 64

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pid_t pid[MANNERS];
	enum manner manner[MANNERS];
	unsigned int times[MANNERS]; /* that it is still MOVING */
	unsigned int looks[MANNERS]; /* at its mappings */
	uid_t maker[MANNERS];	     /* of its user namespace, unless that is 0 */
	unsigned int n;
} proc = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void set_manner_for(pid_t pid, enum manner m, unsigned int times)
{
	unsigned int i = 0;

	pthread_mutex_lock(&proc.lock);
	while (i < proc.n && proc.pid[i] != pid)
		i++;
	ck_assert_uint_lt(i, MANNERS);
	proc.pid[i] = pid;
	proc.manner[i] = m;
	proc.times[i] = times;
	proc.looks[i] = 0;
	proc.n += i == proc.n;
	pthread_cond_broadcast(&proc.changed);
	pthread_mutex_unlock(&proc.lock);
}

static void set_manner(pid_t pid, enum manner m)
{
	set_manner_for(pid, m, 0);
}

/* With the lock. Return: the place of the process that a path in /proc is of; proc.n if it is none of ours. */
static unsigned int place_of(const char *path)
{
	unsigned int i = 0;
	char what[8];
	int pid;

	if (sscanf(path, "%d/%7s", &pid, what) != 2 || (strcmp(what, "fd") && strcmp(what, "maps")))
		return proc.n;
	while (i < proc.n && proc.pid[i] != pid)
		i++;
	return i;
}

/* Return: 0 or an errno, after as long as it takes. */
static int look_at(const char *path)
{
	bool maps = strstr(path, "/maps");
	unsigned int i;
	int err = 0;

	pthread_mutex_lock(&proc.lock);
	i = place_of(path);
	if (i < proc.n) {
		proc.looks[i] += maps;
		pthread_cond_broadcast(&proc.changed);
		while (proc.manner[i] == LOCKED && maps)
			pthread_cond_wait(&proc.changed, &proc.lock);
		if (proc.manner[i] == HIDDEN || proc.manner[i] == MOVING)
			err = ENOENT;
		else if (proc.manner[i] == DENIED)
			err = EACCES;
		if (proc.manner[i] == MOVING && maps && --proc.times[i] == 0)
			proc.manner[i] = SHOWN;
	}
	pthread_mutex_unlock(&proc.lock);
	return err;
}

int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	errno = look_at(path);
	return errno ? -1 : (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

/* Who has made the user namespace that all are in; 0: it is ours. */
static uid_t made_by;

enum owner_ns owner_read(pid_t tid, uid_t *uid)
{
	*uid = made_by;
	pthread_mutex_lock(&proc.lock);
	for (unsigned int i = 0; i < proc.n; i++)
		if (proc.pid[i] == tid && proc.maker[i])
			*uid = proc.maker[i];
	pthread_mutex_unlock(&proc.lock);
	return *uid ? OWNER_OTHER : OWNER_OURS;
}

/* The last process that was given a manner. */
static void set_maker(uid_t uid)
{
	pthread_mutex_lock(&proc.lock);
	proc.maker[proc.n - 1] = uid;
	pthread_mutex_unlock(&proc.lock);
}

/* Until @n looks at it have begun since it was given its manner. */
static void wait_looks(pid_t pid, unsigned int n)
{
	unsigned int i = 0;

	pthread_mutex_lock(&proc.lock);
	while (proc.pid[i] != pid)
		i++;
	while (proc.looks[i] < n)
		pthread_cond_wait(&proc.changed, &proc.lock);
	pthread_mutex_unlock(&proc.lock);
}

/* --- processes, and doubt ------------------------------------------------------------------------ */

/* A process that only is there. */
static pid_t bystander(enum manner m)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	set_manner(pid, m);
	/* Windows that are made from now on are younger; /proc tells ages in hundredths of a second. */
	sleep_ms(50);
	return pid;
}

static void end_bystander(pid_t pid)
{
	set_manner(pid, SHOWN);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* Somebody opens the window of a client once more, and closes that: whether it is still held is in doubt. */
static void cast_doubt(const struct client *c, const char *where)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)c->pid, where);
	fd = open(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* A client that has a window's descriptor open, as its number @where. */
static struct client doubtful_client(struct user *u, char *where)
{
	int fd = make(u);
	struct client c;

	sprintf(where, "%d", fd);
	c = client_new(fd);
	window_delivered(windows, u->id, c.pid);
	return c;
}

/* --- who does not let himself be looked into ------------------------------------------------------ */

/* One process keeps its memory map locked: others' windows end when they end, in doubt or not. */
START_TEST(a_locked_process_holds_up_nobody)
{
	static struct user plain, shared;
	pid_t locked = bystander(LOCKED);
	struct client c[2];
	char where[2][16];

	c[0] = doubtful_client(&plain, where[0]);
	c[1] = doubtful_client(&shared, where[1]);
	cast_doubt(&c[1], where[1]);
	wait_looks(locked, 1);
	end_client(&c[0], 'k');
	wait_gone(&plain);
	assert_held(&shared);
	end_client(&c[1], 'k');
	wait_gone(&shared);
	end_bystander(locked);
}
END_TEST

/* Some users have locked as many as one user can: there is still a look at another's. */
START_TEST(locked_processes_of_many_users)
{
	enum { USERS = 6, EACH = 3 };
	pid_t locked[USERS * EACH + 1];
	static struct user u;
	struct client c;
	char where[16];

	for (int i = 0; i <= USERS * EACH; i++) {
		locked[i] = bystander(LOCKED);
		set_maker((uid_t)(5000 + i / EACH));
	}
	c = doubtful_client(&u, where);
	cast_doubt(&c, where);
	wait_looks(locked[USERS * EACH], 1);
	end_client(&c, 'k');
	wait_gone(&u);
	for (int i = 0; i <= USERS * EACH; i++)
		end_bystander(locked[i]);
}
END_TEST

/* It was born after the window was made, and could have it from whoever held it. */
START_TEST(what_a_locked_process_could_hold_waits_for_it)
{
	static struct user u;
	char where[16];
	struct client c = doubtful_client(&u, where);
	pid_t locked = bystander(LOCKED);

	cast_doubt(&c, where);
	end_client(&c, 'k');
	wait_looks(locked, 1);
	sleep_ms(500);
	ck_assert_int_eq(gone(&u), 0);
	set_manner(locked, SHOWN);
	wait_gone(&u);
	end_bystander(locked);
}
END_TEST

/* The end of the daemon does not wait for it. */
START_TEST(a_locked_process_does_not_hold_up_the_end)
{
	static struct user u;
	char where[16];
	struct client c = doubtful_client(&u, where);
	pid_t locked = bystander(LOCKED);

	cast_doubt(&c, where);
	wait_looks(locked, 1);
	windows_destroy(windows);
	ck_assert_int_eq(gone(&u), 1);
	end_client(&c, 'k');
	end_bystander(locked);
	new_windows();
}
END_TEST

/* Threads that wait for such processes are bounded, and no process keeps two of them. */
START_TEST(locked_processes_hold_few_threads)
{
	static struct user u;
	char where[16];
	struct client c = doubtful_client(&u, where);
	pid_t locked[24];
	const unsigned int n = sizeof(locked) / sizeof(locked[0]);

	for (unsigned int i = 0; i < n; i++)
		locked[i] = bystander(LOCKED);
	cast_doubt(&c, where);
	end_client(&c, 'k');
	for (int i = 0; i < 3; i++) {
		sleep_ms(1500);
		ck_assert_uint_le(procwalk_late(), 16);
	}
	ck_assert_uint_gt(procwalk_late(), 0);
	ck_assert_int_eq(gone(&u), 0);
	for (unsigned int i = 0; i < n; i++)
		end_bystander(locked[i]);
	wait_gone(&u);
	ck_assert_uint_eq(procwalk_late(), 0);
}
END_TEST

/* Whatever user ids they have in there. */
START_TEST(locked_processes_of_a_user_namespace_hold_fewer)
{
	static struct user u;
	char where[16];
	struct client c = doubtful_client(&u, where);
	pid_t locked[8];
	const unsigned int n = sizeof(locked) / sizeof(locked[0]);

	made_by = 1000;
	for (unsigned int i = 0; i < n; i++)
		locked[i] = bystander(LOCKED);
	cast_doubt(&c, where);
	end_client(&c, 'k');
	for (int i = 0; i < 2; i++) {
		sleep_ms(1500);
		ck_assert_uint_le(procwalk_late(), 3);
	}
	ck_assert_uint_gt(procwalk_late(), 0);
	for (unsigned int i = 0; i < n; i++)
		end_bystander(locked[i]);
	wait_gone(&u);
	made_by = 0;
}
END_TEST

/* A client that was there before its window, into which nobody may look. */
START_TEST(a_client_that_is_denied_keeps_its_window)
{
	static struct user u;
	pid_t client = bystander(DENIED);
	struct client us = { .pid = getpid() };
	char where[16];
	int fd = make(&u);

	/* We have the descriptor in its place. */
	sprintf(where, "%d", fd);
	set_manner(getpid(), HIDDEN);
	window_delivered(windows, u.id, client);
	cast_doubt(&us, where);
	wait_looks(getpid(), 1);
	sleep_ms(1500);
	ck_assert_int_eq(gone(&u), 0);
	end_bystander(client);
	wait_gone(&u);
	close(fd);
}
END_TEST

/* It was born after the window was made. */
static void assert_does_not_matter(const char *commands)
{
	static struct user u;
	char where[16];
	struct client c = doubtful_client(&u, where),
		      ended = client_new(open("/dev/null", O_RDONLY));

	for (const char *s = commands; *s; s++)
		tell(&ended, *s);
	if (!*commands) {
		kill(ended.pid, SIGKILL);
		ck_assert_int_eq(waitid(P_PID, (id_t)ended.pid, NULL, WEXITED | WNOWAIT), 0);
	}
	set_manner(ended.pid, DENIED);
	ck_assert_int_eq(windows_start(windows), 0);
	cast_doubt(&c, where);
	end_client(&c, 'k');
	wait_gone(&u);
	end_client(&ended, 'k');
}

/* Its entries in /proc are root's, until its parent takes note: an ordinary user may not look into them. */
START_TEST(a_process_that_has_ended_holds_nothing)
{
	assert_does_not_matter("");
}
END_TEST

/* The same, with other threads: they can be looked into. */
START_TEST(a_first_thread_that_has_ended_holds_nothing)
{
	assert_does_not_matter("l");
}
END_TEST

/* --- who moves what he holds ------------------------------------------------------------------------ */

/* It is missed by one pass, and found by the next. */
START_TEST(one_pass_that_misses_a_window_is_not_enough)
{
	static struct user u;
	char where[16];
	struct client c = doubtful_client(&u, where);

	set_manner_for(c.pid, MOVING, 1);
	cast_doubt(&c, where);
	wait_looks(c.pid, 2);
	assert_held(&u);
	end_client(&c, 'k');
	wait_gone(&u);
}
END_TEST

/* It was on its way when the pass began, and is missed by the next: that is one, not two. */
START_TEST(a_window_that_is_delivered_during_a_pass_is_not_judged_by_it)
{
	static struct user u, other;
	pid_t locked = bystander(LOCKED);
	int fd = make(&u);
	char where[2][16];
	struct client c, reason;

	sprintf(where[0], "%d", fd);
	c = client_new(fd);
	set_manner_for(c.pid, MOVING, 2);
	cast_doubt(&c, where[0]);
	/* Without a window that can be judged there is no pass. */
	reason = doubtful_client(&other, where[1]);
	cast_doubt(&reason, where[1]);
	wait_looks(locked, 1);
	window_delivered(windows, u.id, c.pid);
	wait_looks(c.pid, 3);
	assert_held(&u);
	assert_held(&other);
	end_client(&c, 'k');
	wait_gone(&u);
	end_client(&reason, 'k');
	end_bystander(locked);
}
END_TEST

/* The pass has seen it before. */
START_TEST(a_window_that_ends_during_a_pass_ends)
{
	static struct user u;
	char where[16];
	struct client c = doubtful_client(&u, where);
	pid_t locked = fork();

	/* It comes behind the client in the list of processes. */
	if (!locked) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	set_manner(locked, LOCKED);
	cast_doubt(&c, where);
	wait_looks(locked, 1);
	end_client(&c, 'k');
	/* It is younger than the window: nothing is judged without it. */
	end_bystander(locked);
	wait_gone(&u);
}
END_TEST

/* --- which file it is --------------------------------------------------------------------------------- */

START_TEST(a_file_is_known_by_its_device_its_inode_and_its_name)
{
	static struct user u;
	int fd = make(&u);
	struct procmaps_file file, other;
	char *p = map_window(fd, PROT_READ);

	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(procmaps_at(getpid(), (uintptr_t)p, &file), 0);
	rcu_read_enter();
	ck_assert_uint_eq(windows_of_file(windows, &file), u.id);
	other = file;
	other.dev++;
	ck_assert_uint_eq(windows_of_file(windows, &other), 0);
	other = file;
	other.ino++;
	ck_assert_uint_eq(windows_of_file(windows, &other), 0);
	other = file;
	other.name[0]++;
	ck_assert_uint_eq(windows_of_file(windows, &other), 0);
	rcu_read_leave();
	munmap(p, PAGES * PAGE);
	close(fd);
	assert_gone_promptly(&u);
}
END_TEST

Suite *scan_suite(void);
Suite *scan_suite(void)
{
	Suite *s = suite_create("scan");
	TCase *tc = add_case(s, "scan", setup);

	tcase_add_test(tc, a_locked_process_holds_up_nobody);
	tcase_add_test(tc, locked_processes_of_many_users);
	tcase_add_test(tc, what_a_locked_process_could_hold_waits_for_it);
	tcase_add_test(tc, a_locked_process_does_not_hold_up_the_end);
	tcase_add_test(tc, locked_processes_hold_few_threads);
	tcase_add_test(tc, locked_processes_of_a_user_namespace_hold_fewer);
	tcase_add_test(tc, a_client_that_is_denied_keeps_its_window);
	tcase_add_test(tc, one_pass_that_misses_a_window_is_not_enough);
	tcase_add_test(tc, a_window_that_is_delivered_during_a_pass_is_not_judged_by_it);
	tcase_add_test(tc, a_window_that_ends_during_a_pass_ends);
	tcase_add_test(tc, a_file_is_known_by_its_device_its_inode_and_its_name);

	/* A client of theirs makes a thread: it has to be forked before there is one here, of the watcher. */
	tc = add_case(s, "ended", setup_late);
	tcase_add_test(tc, a_process_that_has_ended_holds_nothing);
	tcase_add_test(tc, a_first_thread_that_has_ended_holds_nothing);
	return s;
}
