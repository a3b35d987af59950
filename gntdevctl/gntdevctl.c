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
#include "gntdevctl/commands.h"
#include "abi/version.h"

const char *argp_program_version = "gntdevctl " VERSION;

static const struct command {
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
	{ "graph", "who maps whose pages, as Graphviz text, SVG or a page", ctl_graph },
	{ "metrics", "figures in Prometheus' text form", ctl_metrics },
	{ "policy", "the policy in force; check, test or explain one", ctl_policy },
	{ "fault", "the simulator's faults: add, clear, let go on what waits", ctl_fault },
	{ "upgrade", "whether another daemon can take over from the one that runs", ctl_upgrade },
	{ "wrap", "have a systemd service started with the preload object", ctl_wrap },
	{ "doctor", "look for what is wrong with this machine, and say what mends it", ctl_doctor },
};

#define N_COMMANDS   (sizeof(commands) / sizeof(commands[0]))
#define LONGEST_NAME 16

/**
 * struct command_line - what main() knows of it
 * @argc, @argv: of the subcommand, from its name on
 * @help: room for the command line that "help COMMAND" stands for
 */
struct command_line {
	struct ctl ctl;
	int argc;
	char **argv;
	char *help[3];
};

/* "help list" is "list --help", "help" is "--help". */
static void parse_help(struct command_line *line, struct argp_state *state)
{
	static char option[] = "--help";

	if (state->next == state->argc || *state->argv[state->next] == '-')
		argp_state_help(state, state->out_stream, ARGP_HELP_STD_HELP);
	line->help[0] = state->argv[state->next];
	line->help[1] = option;
	line->argc = 2;
	line->argv = line->help;
	state->next = state->argc;
}

static error_t parse_main(int key, char *arg, struct argp_state *state)
{
	struct command_line *line = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &line->ctl;
		return 0;
	case ARGP_KEY_ARG:
		if (!strcmp(arg, "help")) {
			parse_help(line, state);
			return 0;
		}
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

/* Return: NULL if there is none of that name. */
static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

/* How many letters have to be put in, left out or changed to make one of the other. Names are short. */
static size_t distance(const char *a, const char *b)
{
	size_t row[LONGEST_NAME + 1], n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; *a; i++, a++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = corner + (*a != b[j - 1]);

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static int no_such_command(const char *name)
{
	const struct command *nearest = NULL;
	size_t best = LONGEST_NAME;

	for (size_t i = 0; i < N_COMMANDS; i++) {
		size_t d = distance(name, commands[i].name);

		/* Less than half of it has to be another one. */
		if (d < best && 2 * d < strlen(commands[i].name)) {
			best = d;
			nearest = &commands[i];
		}
	}
	if (nearest)
		return ctl_error(CTL_USAGE,
				 "\"%s\" is no command; is \"%s\" meant? See gntdevctl --help",
				 name, nearest->name);
	return ctl_error(CTL_USAGE, "\"%s\" is no command; see gntdevctl --help", name);
}

static int run(struct command_line *line)
{
	const struct command *command = find_command(line->argv[0]);
	char name[64];

	if (!command)
		return no_such_command(line->argv[0]);
	snprintf(name, sizeof(name), "gntdevctl %s", command->name);
	line->argv[0] = name;
	return command->run(&line->ctl, line->argc, line->argv);
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
	fputs("  help       [COMMAND]: this text, or that of a command\n"
	      "\nExamples:\n\n"
	      "  gntdevctl doctor               what is wrong here?\n"
	      "  gntdevctl list --domid 7       who maps pages of domain 7?\n"
	      "  gntdevctl errors -n 1          what failed last, and why?\n"
	      "\nExit status: 0 done; 1 the answer is a bad one (a fault found, a broken policy, "
	      "denied, no such open or process); 2 wrong usage; 3 no daemon answers; 4 the daemon "
	      "does "
	      "not answer to this user; 5 something else failed.\n\nThe manual: man gntdevctl",
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
