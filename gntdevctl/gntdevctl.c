/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/gntdevctl.c - look at a running cuse_gntdev
 *
 * Finds the subcommand, and runs it. See gntdevctl/ctl.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/stdfds.h"
#include "gntdevctl/ctl.h"
#include "abi/version.h"

const char *argp_program_version = "gntdevctl " VERSION;

static const struct {
	const char *name;
	const char *what;
	int (*run)(struct ctl *ctl, int argc, char **argv);
} commands[] = {
	{ "list", "opens and their maps: who maps what, for how long", ctl_list },
	{ "show", "one open, or one map, with its references and holders", ctl_show },
	{ "stats", "what is held, limits, failures, times", ctl_stats },
	{ "top", "the same, live", ctl_top },
	{ "trace", "what clients do, as it happens", ctl_trace },
	{ "errors", "the last failures: what, the likely cause, the remedy", ctl_errors },
	{ "graph", "who maps whose pages, as Graphviz text or SVG", ctl_graph },
	{ "metrics", "figures in Prometheus' text form", ctl_metrics },
	{ "policy", "check a policy file; explain a decision", ctl_policy },
	{ "doctor", "look for what is wrong with this machine, and say what mends it", ctl_doctor },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/**
 * struct command_line - what main() knows of it
 * @argc, @argv: of the subcommand, from its name on
 */
struct command_line {
	struct ctl ctl;
	int argc;
	char **argv;
};

static error_t parse_main(int key, char *arg, struct argp_state *state)
{
	struct command_line *line = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &line->ctl;
		return 0;
	case ARGP_KEY_ARG:
		/* The rest is the subcommand's. */
		line->argc = state->argc - state->next + 1;
		line->argv = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int run(struct command_line *line)
{
	char name[64];

	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(line->argv[0], commands[i].name) != 0)
			continue;
		snprintf(name, sizeof(name), "gntdevctl %s", commands[i].name);
		line->argv[0] = name;
		return commands[i].run(&line->ctl, line->argc, line->argv);
	}
	return ctl_error(CTL_USAGE, "\"%s\" is no command; see gntdevctl --help", line->argv[0]);
}

/* What --help says behind the options: the commands, by their table. */
static char *help_text(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		exit(CTL_FAILED);
	fputs("Look at a running cuse_gntdev: who maps whose pages, what failed and why, what is "
	      "wrong with this machine.\vCommands, each with its own --help:\n\n",
	      f);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].what);
	fputs("\nExit status: 0 done; 1 the answer is a bad one (a fault found, a broken policy, "
	      "denied, no such open or process); 2 wrong usage; 3 no daemon answers; 4 the daemon "
	      "does "
	      "not answer to this user; 5 something else failed.",
	      f);
	fclose(f);
	return text;
}

/* Output that somebody has stopped to read (head, less) is complete as far as he is concerned. */
static int flushed(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	return errno == EPIPE ? status : ctl_error(CTL_FAILED, "cannot write: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct command_line line = { .ctl = { .run_dir = CTL_RUN_DIR, .name = CTL_DEVICE } };
	char *text = help_text();
	const struct argp argp = {
		.parser = parse_main,
		.args_doc = "COMMAND [ARGUMENT...]",
		.doc = text,
		.children = ctl_global,
	};
	int status;

	if (!stdfds_occupy())
		return CTL_FAILED;
	setlocale(LC_ALL, "");
	/* A reader that goes away is no reason to die: it is seen by the next write. */
	signal(SIGPIPE, SIG_IGN);
	argp_err_exit_status = CTL_USAGE;
	status = argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &line);
	free(text);
	if (status || !line.argv)
		return CTL_USAGE;
	return flushed(run(&line));
}
