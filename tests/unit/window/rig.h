/* SPDX-License-Identifier: MIT */
/*
 * window/rig.h - a window directory and its clients, for the tests of both
 *
 * The hypervisor is a double that makes windows as the simulator does: hard links of one file.
 * Clients are forked and do as they are told through a socket.
 */
#ifndef TEST_WINDOW_RIG_H
#define TEST_WINDOW_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rcu.h"
#include "client/procmaps.h"
#include "table.h"
#include "tests/unit/looks.h"
#include "tests/unit/place.h"
#include "window/window.h"

#define PAGE	4096UL
#define PAGES	4
#define MACHINE "machine"

/* --- doubles --------------------------------------------------------------------------------- */

/* What the hypervisor double is to do wrong. */
enum fault {
	FAULT_NONE,
	FAULT_BEFORE,	 /* makes nothing */
	FAULT_LATE,	 /* opens, closes again, fails */
	FAULT_ELSEWHERE, /* opens a file of another file system */
};

static struct {
	struct hypervisor hv;
	enum fault fault;
} fake;

static inline int fake_window_open(struct hypervisor *hv, int dirfd, const char *name,
				   const struct hv_grant *g, size_t n, const struct hv_place *at)
{
	int fd;

	(void)hv;
	(void)g;
	(void)n;
	if (fake.fault == FAULT_BEFORE)
		return -ENOSPC;
	if (fake.fault == FAULT_ELSEWHERE)
		return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (linkat(dirfd, MACHINE, dirfd, name, 0))
		return -errno;
	fd = openat(dirfd, name, (at->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	unlinkat(dirfd, name, 0);
	if (fake.fault == FAULT_LATE) {
		close(fd);
		usleep(5000);
		return -EIO;
	}
	return fd;
}

static const struct hypervisor_ops fake_ops = { .window_open = fake_window_open };

struct user {
	struct window_user wu;
	uint64_t id;
	int gone;
};

static inline void user_gone(struct window_user *wu)
{
	__atomic_fetch_add(&((struct user *)wu)->gone, 1, __ATOMIC_RELEASE);
}

static inline int gone(const struct user *u)
{
	return __atomic_load_n(&u->gone, __ATOMIC_ACQUIRE);
}

static inline uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

static inline void wait_gone(const struct user *u)
{
	while (!gone(u))
		sleep_ms(1);
}

#define assert_gone_promptly(u)               \
	do {                                  \
		wait_gone(u);                 \
		assert_no_looks();            \
		sleep_ms(5);                  \
		ck_assert_int_eq(gone(u), 1); \
	} while (0)

#define assert_held(u)                        \
	do {                                  \
		sleep_ms(60);                 \
		ck_assert_int_eq(gone(u), 0); \
	} while (0)

static char dir[64];
static struct windows *windows;

/* Without a watcher yet. */
static inline void new_windows(void)
{
	const char *why;
	int fd;

	ck_assert_int_eq(windows_new(dir, NULL, &windows, &why), 0);
	fd = openat(windows_dirfd(windows), MACHINE, O_RDWR | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 64 * PAGE), 0);
	close(fd);
}

static inline void setup_late(void)
{
	rcu_thread_enter();
	fake.hv.ops = &fake_ops;
	fake.fault = FAULT_NONE;
	snprintf(dir, sizeof(dir), "%s/test-window-%d-%x", test_place(), (int)getpid(),
		 test_moment());
	new_windows();
}

static inline void setup(void)
{
	setup_late();
	ck_assert_int_eq(windows_start(windows), 0);
}

static inline void teardown(void)
{
	windows_destroy(windows);
	ck_assert_int_eq(access(dir, F_OK), -1);
	rcu_thread_leave();
}

static inline int make_at(struct user *u, uint64_t first, bool readonly, enum window_kind kind)
{
	struct hv_grant g[PAGES] = { { .status = 0 } };
	struct hv_place at = { .first = first, .readonly = readonly };

	memset(u, 0, sizeof(*u));
	u->wu.gone = user_gone;
	return window_make(windows, &fake.hv, kind, g, PAGES, &at, &u->wu, &u->id);
}

static inline int make(struct user *u)
{
	int fd = make_at(u, 0, false, WINDOW_OF_GNTDEV);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* --- clients --------------------------------------------------------------------------------- */

/**
 * struct client - a process that has a window's descriptor
 * @tell: our end of its socket: one byte is a command, one byte comes back when it is done
 */
struct client {
	pid_t pid;
	int tell;
};

static inline char *map_window(int fd, int prot)
{
	char *p = mmap(NULL, PAGES * PAGE, prot, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return NULL;
	return p;
}

/* A child that keeps what it has until @sock is closed. */
static inline void fork_holder(int sock)
{
	char c;

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, 0);
	while (read(sock, &c, 1) > 0 && c != 'q')
		;
	_exit(0);
}

/* Shared with all clients: how often the window has moved to a child; set to -1 to end that. */
static int *forks;

/* Fork and let the parent end, over and over: the window rests in no process for long. */
static inline void keep_forking(void)
{
	for (;;) {
		usleep(1000);
		if (fork() > 0)
			_exit(0);
		if (__atomic_fetch_add(forks, 1, __ATOMIC_SEQ_CST) < 0)
			_exit(0);
	}
}

static inline void *own_table(void *arg)
{
	int *fd = arg;

	unshare(CLONE_FILES);
	__atomic_store_n(fd, -1, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

/* A thread takes the descriptors for itself, the first one closes its own. */
static inline void hide_in_thread(int fd)
{
	int given = fd;
	pthread_t t;

	pthread_create(&t, NULL, own_table, &given);
	while (__atomic_load_n(&given, __ATOMIC_ACQUIRE) >= 0)
		sched_yield();
	close(fd);
}

static inline void *wait_forever(void *arg)
{
	int sock = *(int *)arg;
	char c = '.';

	if (write(sock, &c, 1) == 1)
		while (read(sock, &c, 1) > 0 && c != 'x')
			;
	_exit(0);
}

static inline void obey(int sock, int fd)
{
	static char *p;
	pthread_t t;
	char c;

	while (read(sock, &c, 1) == 1) {
		switch (c) {
		case 'm':
			p = map_window(fd, PROT_READ | PROT_WRITE);
			break;
		case 'c':
			close(fd);
			break;
		case 'p':
			munmap(p + PAGE, PAGE);
			break;
		case 'u':
			munmap(p, PAGES * PAGE);
			break;
		case 'f':
			fork_holder(sock);
			break;
		case 's':
			keep_forking();
			break;
		case 'h':
			hide_in_thread(fd);
			break;
		case 'l': /* the first thread ends, another goes on */
			pthread_create(&t, NULL, wait_forever, &sock);
			syscall(SYS_exit, 0);
			break;
		case 'x':
			_exit(0);
		}
		c = p ? '.' : '!';
		if (write(sock, &c, 1) != 1)
			break;
	}
	_exit(0);
}

/* Give the descriptor to a new process. */
static inline struct client client_new(int fd)
{
	struct client c;
	int sock[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock), 0);
	c.pid = fork();
	ck_assert_int_ge(c.pid, 0);
	if (!c.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(sock[0]);
		obey(sock[1], fd);
	}
	close(sock[1]);
	close(fd);
	c.tell = sock[0];
	return c;
}

static inline void tell(struct client *c, char what)
{
	ck_assert_int_eq(write(c->tell, &what, 1), 1);
	ck_assert_int_eq(read(c->tell, &what, 1), 1);
}

static inline void end_client(struct client *c, char how)
{
	if (how == 'k')
		kill(c->pid, SIGKILL);
	else
		ck_assert_int_eq(write(c->tell, &how, 1), 1);
	ck_assert_int_eq(waitpid(c->pid, NULL, 0), c->pid);
	close(c->tell);
}

/* A client that has mapped a new window and closed its descriptor. */
static inline struct client mapped_client(struct user *u)
{
	struct client c = client_new(make(u));

	tell(&c, 'm');
	tell(&c, 'c');
	window_delivered(windows, u->id, getpid());
	return c;
}

static inline TCase *add_case(Suite *s, const char *name, void (*before)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, before, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return tc;
}

#endif /* TEST_WINDOW_RIG_H */
