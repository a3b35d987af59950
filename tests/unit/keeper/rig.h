/* SPDX-License-Identifier: MIT */
/*
 * keeper/rig.h - a keeper, which is a child, and what daemons say to it
 */
#ifndef TEST_KEEPER_RIG_H
#define TEST_KEEPER_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/why.h"
#include "keeper/keeper.h"
#include "state/keep.h"
#include "state/lent.h"
#include "tests/unit/place.h"

/* Longer than anything takes that is not hung. */
#define LONG_MS 20000

static char dir[64], path[96], mark[80];
static pid_t keeper;
static int daemon_sock;

static inline void start_keeper(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	keeper = fork();
	ck_assert_int_ge(keeper, 0);
	if (!keeper) {
		close(pair[0]);
		_exit(keeper_run(path, pair[1]) ? 1 : 0);
	}
	close(pair[1]);
	daemon_sock = pair[0];
}

static inline void setup(void)
{
	snprintf(dir, sizeof(dir), "%s/test_keeper.XXXXXX", test_place());
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/xen-gntdev.keeper", dir);
	snprintf(mark, sizeof(mark), "%s/mark", dir);
	start_keeper();
}

static inline void teardown(void)
{
	kill(keeper, SIGKILL);
	waitpid(keeper, NULL, 0);
	unlink(path);
	unlink(mark);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* --- what daemons say ----------------------------------------------------------------------------- */

/* Return: the answer's error. @fd: in: to go along; out: what came */
static inline int say(int sock, struct keep_msg *m, const char *text, size_t len, int *fd)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int err = keep_send(sock, m, text, len, *fd);

	*fd = -1;
	if (err)
		return err;
	ck_assert_int_eq(poll(&p, 1, LONG_MS), 1);
	err = keep_recv(sock, keeper, m, NULL, NULL, fd);
	return err ? err : m->error;
}

static inline int say_name(int sock, enum keep_op op, const char *name, int fd)
{
	struct keep_msg m = { .op = op };
	int err;

	strcpy(m.name, name);
	err = say(sock, &m, NULL, 0, &fd);
	if (fd >= 0 && op != KEEP_TAKE)
		close(fd);
	return err ? err : op == KEEP_TAKE ? fd : 0;
}

static inline int say_serve(int sock, uint64_t seconds, const char *text, size_t len)
{
	struct keep_msg m = { .op = KEEP_SERVE, .value = seconds, .name = "7" };
	int fd = -1;

	return say(sock, &m, text, len, &fd);
}

static inline int try_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	if (!connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		return sock;
	close(sock);
	return -1;
}

static inline int connect_keeper(void)
{
	int sock = try_connect();

	ck_assert_int_ge(sock, 0);
	return sock;
}

/* Another daemon; the former may not be seen to have ended yet. */
static inline int hello(struct keep_msg *m)
{
	uint64_t begin = clock_ms();
	int sock = connect_keeper(), fd, err;

	do {
		*m = (struct keep_msg){ .op = KEEP_HELLO };
		fd = -1;
		err = say(sock, m, NULL, 0, &fd);
	} while (err == -EBUSY && clock_ms() - begin < LONG_MS);
	ck_assert_int_eq(err, 0);
	return sock;
}

static inline void first_hello(void)
{
	ck_assert_int_eq(say_name(daemon_sock, KEEP_HELLO, "", -1), 0);
}

static inline void keeper_ends(void)
{
	uint64_t begin = clock_ms();
	int status;
	pid_t pid;

	while (!(pid = waitpid(keeper, &status, WNOHANG))) {
		ck_assert_uint_lt(clock_ms() - begin, LONG_MS);
		poll(NULL, 0, 5);
	}
	ck_assert_int_eq(pid, keeper);
	ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	ck_assert_int_ne(access(path, F_OK), 0);
}

/* The first daemon holds a pipe's writing end as "state", serves and is gone. Return: the reading end. */
static inline int leave_state(uint64_t seconds, const char *command, size_t len)
{
	int pipes[2];

	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	first_hello();
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, KEEP_STATE, pipes[1]), 0);
	close(pipes[1]);
	ck_assert_int_eq(say_serve(daemon_sock, seconds, command, len), 0);
	return pipes[0];
}

/* --- one that dies -------------------------------------------------------------------------------- */

static pid_t other_pid;
static int other_leaves = -1;

/* It serves until it is told to close its connection, and lives until it is killed. */
static inline void other_daemon(int state, int lease, uint64_t seconds, const char *command,
				size_t len, int told, int tells)
{
	char byte;

	start_keeper();
	first_hello();
	if (state >= 0)
		ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, KEEP_STATE, state), 0);
	if (lease >= 0)
		ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, KEEP_LEASE, lease), 0);
	ck_assert_int_eq(say_serve(daemon_sock, seconds, command, len), 0);
	/* Said again it changes nothing. */
	first_hello();
	if (write(tells, &keeper, sizeof(keeper)) != sizeof(keeper) || read(told, &byte, 1) != 1)
		_exit(1);
	close(daemon_sock);
	if (write(tells, &byte, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/*
 * A daemon with a process of its own, and a keeper that it has started in place of the test's. @lease: to be given, or -1; @state:
 * whether one is left. Return: as leave_state().
 */
static inline int start_other(bool state, int lease, uint64_t seconds, const char *command,
			      size_t len)
{
	int pipes[2], told[2], tells[2];

	close(daemon_sock);
	keeper_ends();
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC) | pipe2(told, O_CLOEXEC) | pipe2(tells, O_CLOEXEC),
			 0);
	other_pid = fork();
	ck_assert_int_ge(other_pid, 0);
	if (!other_pid)
		other_daemon(state ? pipes[1] : -1, lease, seconds, command, len, told[0],
			     tells[1]);
	ck_assert_int_eq(read(tells[0], &keeper, sizeof(keeper)), sizeof(keeper));
	close(pipes[1]);
	close(told[0]);
	close(tells[1]);
	other_leaves = told[1];
	daemon_sock = tells[0];
	return pipes[0];
}

/* Its connection ends, and its process goes on. */
static inline void other_lingers(void)
{
	char byte;

	ck_assert_int_eq(write(other_leaves, "", 1), 1);
	ck_assert_int_eq(read(daemon_sock, &byte, 1), 1);
}

/* The keeper is this process's child then. */
static inline void other_dies(void)
{
	kill(other_pid, SIGKILL);
	ck_assert_int_eq(waitpid(other_pid, NULL, 0), other_pid);
	close(other_leaves);
	close(daemon_sock);
}

static inline bool has_ended(int pipe_end)
{
	return poll(&(struct pollfd){ .fd = pipe_end, .events = POLLIN }, 1, 0) == 1;
}

#endif /* TEST_KEEPER_RIG_H */
