/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/rig.c - a daemon that gives canned answers to gntdevctl
 */
#include "tests/unit/gntdevctl/rig.h"

#include <check.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

char ctl_rig_path[64];
char ctl_rig_out[65536], ctl_rig_err[65536];

/* What the server has read: in memory that it shares with the test. */
#define REQUESTS_SIZE 65536
static char *requests;
static pid_t server, owner;

static bool answer(int fd, const struct canned *c, const char *line)
{
	while (c->request && !strstr(line, c->request))
		c++;
	if (!c->answer)
		return false;
	return send(fd, c->answer, strlen(c->answer), MSG_NOSIGNAL) >= 0;
}

/* Requests are short: each comes with one read. */
static void serve(int fd, const struct canned *canned)
{
	char line[8192];
	ssize_t n;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		if (strlen(requests) + (size_t)n < REQUESTS_SIZE)
			strcat(requests, line);
		if (!answer(fd, canned, line))
			break;
	}
	close(fd);
}

/* A process of its own: a thread would be in the way of the search for leaks. */
static void serve_all(int listener, const struct canned *canned)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			serve(fd, canned);
	}
}

/* Not by a child of the test. */
static void stop_server(void)
{
	if (getpid() != owner)
		return;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(ctl_rig_path);
}

void ctl_rig_start(const struct canned *canned)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* What is not ASCII is shown in a locale that has it. */
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	requests = mmap(NULL, REQUESTS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	ck_assert_ptr_ne(requests, MAP_FAILED);
	snprintf(ctl_rig_path, 64, "/tmp/test-ctl-%d", (int)getpid());
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", ctl_rig_path);
	unlink(ctl_rig_path);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	owner = getpid();
	server = fork();
	ck_assert_int_ge(server, 0);
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_all(listener, canned);
	}
	close(listener);
	atexit(stop_server);
}

const char *ctl_rig_requests(void)
{
	return requests;
}

static void read_back(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	close(fd);
}

/* In the child. exit() has leaks looked for, and the status is another one then. */
static void run(int (*command)(struct ctl *ctl, int argc, char **argv), char *line)
{
	struct ctl ctl = {
		.socket = *ctl_rig_path ? ctl_rig_path : NULL,
		.run_dir = CTL_RUN_DIR,
		.name = CTL_DEVICE,
	};
	char name[] = "gntdevctl", *argv[32] = { name };
	int argc = 1, status;

	for (char *word; (word = strsep(&line, " "));)
		if (*word)
			argv[argc++] = word;
	argp_err_exit_status = CTL_USAGE;
	/* That of a test is Check's. */
	stdout = fdopen(STDOUT_FILENO, "w");
	status = command(&ctl, argc, argv);
	fflush(stdout);
	exit(status);
}

int ctl_rig_run(int (*command)(struct ctl *ctl, int argc, char **argv), const char *line)
{
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC), status;
	char copy[1024];
	pid_t pid;

	ck_assert_uint_lt(strlen(line), sizeof(copy));
	strcpy(copy, line);
	fflush(stdout);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		run(command, copy);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	read_back(out, ctl_rig_out, sizeof(ctl_rig_out));
	read_back(err, ctl_rig_err, sizeof(ctl_rig_err));
	ck_assert_msg(WIFEXITED(status), "killed: %s", ctl_rig_err);
	return WEXITSTATUS(status);
}
