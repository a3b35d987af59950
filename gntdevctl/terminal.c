/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/terminal.c - what gntdevctl does if a person reads along: a pager, the same again and again
 */
#include "gntdevctl/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the pager -------------------------------------------------------------------------------- */

static pid_t pager;

/* What sudo and the like leave in the environment, which the user can neither set nor take away. */
static bool rights_are_lent(void)
{
	return getenv("SUDO_UID") || getenv("PKEXEC_UID") || getenv("DOAS_USER");
}

/* Return: a line for the shell; NULL: none. */
static const char *pager_command(void)
{
	const char *command = getenv("GNTDEVCTL_PAGER");

	if (rights_are_lent())
		return "{ command -v less >/dev/null && exec less; } || exec cat";
	if (!command)
		command = getenv("PAGER");
	if (!command)
		return "{ command -v less >/dev/null && exec less; } || exec more";
	return *command && strcmp(command, "cat") != 0 ? command : NULL;
}

/* The end of what it reads is that it sees our end of the pipe closed. */
static void wait_for_pager(void)
{
	fflush(stdout);
	close(STDOUT_FILENO);
	while (waitpid(pager, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Return: 0, or an errno: nothing has changed. */
static int begin_pager(const char *command)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	posix_spawn_file_actions_t actions;
	extern char **environ;
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC))
		return errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
	err = posix_spawn(&pager, "/bin/sh", &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[0]);
	if (!err)
		dup2(ends[1], STDOUT_FILENO);
	close(ends[1]);
	return err;
}

void ctl_page(const struct ctl *ctl)
{
	const char *command = pager_command(), *term = getenv("TERM");

	if (ctl->no_pager || pager || !command || !isatty(STDOUT_FILENO) || !term ||
	    !strcmp(term, "dumb"))
		return;
	/* End if it fits (F), pass colours (R), leave it on the screen (X); as git and systemd have it. */
	setenv("LESS", "FRX", 0);
	if (rights_are_lent()) {
		setenv("LESS", "FRX", 1);
		setenv("LESSSECURE", "1", 1);
		unsetenv("LESSOPEN");
		unsetenv("LESSCLOSE");
	}
	if (begin_pager(command))
		return;
	/* It is the reader's to say when it is enough. */
	signal(SIGINT, SIG_IGN);
	atexit(wait_for_pager);
}

/* --- again and again -------------------------------------------------------------------------- */

/* A terminal shows one picture, anything else gets all, with an empty line between. */
static void between(const struct ctl *ctl, bool first)
{
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	else if (!first && !ctl->json)
		putchar('\n');
}

int ctl_repeat(const struct ctl *ctl, int (*once)(void *arg), void *arg)
{
	int status;

	if (!ctl->watch) {
		ctl_page(ctl);
		return once(arg);
	}
	ctl_catch_signals();
	for (bool first = true;; first = false) {
		between(ctl, first);
		status = once(arg);
		if (status || fflush(stdout) || ferror(stdout) || ctl_stop)
			return status;
		poll(NULL, 0, (int)(ctl->watch * 1000));
		if (ctl_stop)
			return status;
	}
}
