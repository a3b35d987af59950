/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/ctl.c - what the subcommands of gntdevctl share
 */
#include "gntdevctl/ctl.h"

#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/option.h"
#include "gntdevctl/text.h"

volatile sig_atomic_t ctl_stop;

/* --watch without a number. */
#define WATCH_SECONDS 2

enum {
	OPT_SOCKET = 0x100,
	OPT_RUN_DIR,
	OPT_NAME,
	OPT_NO_LEGEND,
	OPT_NO_PAGER,
	OPT_COLOR,
	OPT_OUTPUT = 'o',
	OPT_JSON = 'j',
	OPT_HELP = 'h',
};

/* --- errors ----------------------------------------------------------------------------------- */

int ctl_error(int status, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fflush(stdout);
	fputs("gntdevctl: ", stderr);
	ctl_print_clean(stderr, text);
	fputc('\n', stderr);
	return status;
}

/* --- signals, processes ------------------------------------------------------------------------- */

static void stop(int sig)
{
	(void)sig;
	ctl_stop = 1;
}

void ctl_catch_signals(void)
{
	/* No SA_RESTART: whoever waits has to see it. */
	struct sigaction sa = { .sa_handler = stop };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

int ctl_spawn(const char *const *argv, int in, int out)
{
	posix_spawn_file_actions_t actions;
	extern char **environ;
	int err, status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	err = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* --- the command line ----------------------------------------------------------------------------- */

int ctl_socket_path(const struct ctl *ctl, char *path, size_t size)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	size_t dir;
	int n;

	if (ctl->socket) {
		n = snprintf(path, size, "%s", ctl->socket);
	} else {
		dir = strlen(ctl->run_dir) + 1;
		n = snprintf(path, size, "%s/%s.ctl", ctl->run_dir, ctl->name);
		for (size_t i = dir; i < size && path[i]; i++)
			if (path[i] == '/')
				path[i] = '-';
	}
	if (n < 0 || (size_t)n >= max || (size_t)n >= size)
		return ctl_error(CTL_USAGE, "%s...: longer than a socket's path can be (%zu bytes)",
				 path, max - 1);
	return 0;
}

static const struct argp_option global_options[] = {
	{ NULL, OPT_HELP, NULL, 0, "Give this help list", -1 },
	{ NULL, 0, NULL, 0, "With all commands:", 20 },
	{ "json", OPT_JSON, NULL, 0, "Print JSON: one record a line, or one object", 20 },
	{ "output", OPT_OUTPUT, "FORMAT", 0, "\"json\" is --json; \"text\" is the default", 20 },
	{ "no-legend", OPT_NO_LEGEND, NULL, 0, "No headings, sums and remarks: rows alone", 20 },
	{ "no-pager", OPT_NO_PAGER, NULL, 0, "Do not have a pager show it", 20 },
	{ "color", OPT_COLOR, "WHEN", 0, "\"auto\" (on a terminal), \"always\", \"never\"", 20 },
	{ "socket", OPT_SOCKET, "PATH", 0,
	  "The daemon's control socket (default: xen-gntdev.ctl in the run directory)", 20 },
	{ "run-dir", OPT_RUN_DIR, "DIR", 0, "The daemon's --run-dir (default " CTL_RUN_DIR ")",
	  20 },
	{ "name", OPT_NAME, "NAME", 0, "The daemon's --name (default " CTL_DEVICE ")", 20 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static bool one_of(const char *arg, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(arg, *words))
			return true;
	return false;
}

/* What is about the output. */
static error_t parse_output(int key, char *arg, struct argp_state *state)
{
	static const char *const formats[] = { "json", "text", NULL };
	static const char *const colors[] = { "auto", "always", "never", NULL };
	struct ctl *ctl = state->input;

	switch (key) {
	case OPT_OUTPUT:
		if (!one_of(arg, formats))
			argp_error(state, "--output=%s: \"json\" or \"text\" is wanted", arg);
		ctl->json = !strcmp(arg, "json");
		return 0;
	case OPT_JSON:
		ctl->json = true;
		return 0;
	case OPT_COLOR:
		if (!one_of(arg, colors))
			argp_error(state, "--color=%s: \"auto\", \"always\" or \"never\" is wanted",
				   arg);
		ctl->color = arg;
		return 0;
	case OPT_NO_LEGEND:
		ctl->rows = true;
		return 0;
	case OPT_NO_PAGER:
		ctl->no_pager = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_global(int key, char *arg, struct argp_state *state)
{
	struct ctl *ctl = state->input;

	switch (key) {
	case OPT_HELP:
		argp_state_help(state, state->out_stream, ARGP_HELP_STD_HELP);
		return 0;
	case OPT_SOCKET:
		ctl->socket = arg;
		return 0;
	case OPT_RUN_DIR:
		ctl->run_dir = arg;
		return 0;
	case OPT_NAME:
		ctl->name = arg;
		return 0;
	default:
		return parse_output(key, arg, state);
	}
}

static const struct argp global_argp = { .options = global_options, .parser = parse_global };

const struct argp_child ctl_global[] = { { &global_argp, 0, NULL, 0 }, { NULL, 0, NULL, 0 } };

/**
 * struct command_line - what parse_command() reads for
 * @input: of the command's own parser, and of what it shares
 */
struct command_line {
	struct ctl *ctl;
	const struct ctl_command *command;
	void *input;
};

/* The command's own parser, which does not know of the others. */
static error_t parse_own(int key, char *arg, struct argp_state *state)
{
	struct command_line *line = state->input;
	error_t err;

	if (!line->command->parse)
		return ARGP_ERR_UNKNOWN;
	state->input = line->input;
	err = line->command->parse(key, arg, state);
	state->input = line;
	return err;
}

static error_t parse_command(int key, char *arg, struct argp_state *state)
{
	struct command_line *line = state->input;

	if (key == ARGP_KEY_INIT) {
		state->child_inputs[0] = line->ctl;
		if (line->command->more)
			state->child_inputs[1] = line->input;
		return 0;
	}
	if (key == CTL_OPT_WATCH) {
		line->ctl->watch = arg ? (unsigned int)option_number(state, "watch", arg, 1, 86400)
				       : WATCH_SECONDS;
		return 0;
	}
	if (key == ARGP_KEY_ARG && !line->command->args)
		argp_error(state, "\"%s\": there are no arguments besides options", arg);
	return parse_own(key, arg, state);
}

void ctl_parse(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv,
	       void *input)
{
	struct command_line line = { ctl, command, input };
	const struct argp_child children[] = { { .argp = &global_argp },
					       { .argp = command->more },
					       { .argp = NULL } };
	char doc[2048];
	const struct argp argp = {
		.options = command->options,
		.parser = parse_command,
		.args_doc = command->args,
		.doc = doc,
		.children = children,
	};

	snprintf(doc, sizeof(doc), "%s\vExamples:\n\n%s\nThe manual: man gntdevctl", command->doc,
		 command->examples);
	if (argp_parse(&argp, argc, argv, 0, NULL, &line))
		exit(ctl_error(CTL_FAILED, "no memory"));
	ctl_color(ctl->color);
}
