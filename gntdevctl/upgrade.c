/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/upgrade.c - gntdevctl upgrade: could another daemon take over from the one that runs?
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/keeper.h"

/**
 * struct upgrade_args - what was asked
 * @program: of the other daemon
 * @running: only of which version the state of the one that runs is
 */
struct upgrade_args {
	const char *program;
	bool running;
};

enum { OPT_CHECK = 'c', OPT_RUNNING = 'r' };

static const struct argp_option options[] = {
	{ "check", OPT_CHECK, "PROGRAM", 0,
	  "Whether the daemon PROGRAM, such as /usr/sbin/cuse_gntdev, can take over", 0 },
	{ "running", OPT_RUNNING, NULL, 0,
	  "Print the version of what the running daemon keeps for its successor, or what its "
	  "keeper holds",
	  0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct upgrade_args *a = state->input;

	switch (key) {
	case OPT_CHECK:
		a->program = arg;
		break;
	case OPT_RUNNING:
		a->running = true;
		break;
	case ARGP_KEY_END:
		if (a->running == (a->program != NULL))
			argp_error(state, "--check=PROGRAM or --running: one of them");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* Of a keeper whose daemon has died, or hangs. @why: what the daemon did not answer for. Return: as ask_running(). */
static int ask_keeper(const struct ctl *ctl, int status, const char *why, long long *version)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct keep_msg m = { 0 };
	int err = ctl_keeper_path(ctl, "", path, sizeof(path));

	if (!err)
		err = ctl_keeper_look(path, &m);
	if (err == -ENOENT || err == -EACCES)
		return ctl_error(status, "%s", why);
	if (err)
		return ctl_error(
			CTL_FAILED,
			"%s; nor does the keeper at %s say what it holds for another one: %s", why,
			path, strerror(-err));
	*version = strtoll(m.name, NULL, 10);
	if (*version <= 0)
		return ctl_error(CTL_FAILED,
				 "%s, and the keeper at %s has not been told what it holds", why,
				 path);
	return CTL_DONE;
}

/* Return: 0 and *@version, 0: it has no keeper; or a status, and it has been told. */
static int ask_running(const struct ctl *ctl, long long *version)
{
	json_t *stats = NULL;
	struct ctl_client c;
	char path[512];
	int status = ctl_socket_path(ctl, path, sizeof(path));

	*version = 0;
	if (status)
		return status;
	status = ctl_open(&c, path) ? c.status
				    : ctl_each(&c, ctl_request("stats"), NULL, NULL, &stats);
	if (!status)
		*version = ctl_integer(json_object_get(stats, "state"), "version", 0);
	else
		status = ask_keeper(ctl, status, c.why, version);
	json_decref(stats);
	ctl_close(&c);
	return status;
}

/* The versions that a program adopts, each in a line, in @text. Return: 0, or a status, and it has been told. */
static int ask_program(const char *program, char *text, size_t size)
{
	const char *const command[] = { program, "--adopts", NULL };
	int out = memfd_create("adopts", MFD_CLOEXEC), status;
	ssize_t n;

	if (out < 0)
		return ctl_error(CTL_FAILED, "%s", strerror(errno));
	status = ctl_spawn(command, STDIN_FILENO, out);
	n = status ? -1 : pread(out, text, size - 1, 0);
	close(out);
	text[n > 0 ? n : 0] = '\0';
	if (status < 0)
		return ctl_error(CTL_FAILED, "%s: %s", program, strerror(-status));
	if (n <= 0)
		return ctl_error(CTL_BAD,
				 "%s does not say what it can take over: it is older than that",
				 program);
	return CTL_DONE;
}

static bool has_line(const char *text, long long number)
{
	char *end;

	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (strtoll(at, &end, 10) == number && end != at && (!*end || *end == '\n'))
			return true;
	return false;
}

static int check(const struct ctl *ctl, const char *program)
{
	char adopts[256] = "";
	long long running;
	int status = ask_running(ctl, &running);

	if (!status && !running)
		status = ctl_error(
			CTL_BAD,
			"the daemon that runs keeps nothing for another one: to restart it "
			"takes away what its clients have");
	if (!status)
		status = ask_program(program, adopts, sizeof(adopts));
	if (status)
		return status;
	if (!has_line(adopts, running))
		return ctl_error(
			CTL_BAD,
			"%s cannot take over: the daemon that runs keeps its state in version %lld",
			program, running);
	printf("%s can take over: the daemon that runs keeps its state in version %lld\n", program,
	       running);
	return CTL_DONE;
}

int ctl_upgrade(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Ask before an upgrade, or a downgrade, whether the new daemon can take "
		       "over from the one that "
		       "runs, so that clients go on with all that they have.",
		.examples = "  gntdevctl upgrade --check=build/cuse_gntdev && systemctl "
			    "restart " CTL_UNIT "\n",
		.options = options,
		.parse = parse,
	};
	struct upgrade_args a = { 0 };
	long long version;
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	if (a.program)
		return check(ctl, a.program);
	status = ask_running(ctl, &version);
	if (!status && !version)
		return ctl_error(CTL_BAD, "the daemon that runs keeps nothing for another one");
	if (!status)
		printf("%lld\n", version);
	return status;
}
