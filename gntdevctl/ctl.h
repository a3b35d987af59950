/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/ctl.h - gntdevctl: what its subcommands share
 *
 * Each subcommand (gntdevctl/commands.h) is one function in a file of its own, which says what its command line
 * is, asks the daemon (gntdevctl/client.h) and prints. One thread. Whatever the daemon sends was partly chosen
 * by its clients: it is checked, and cleaned before it is printed (gntdevctl/text.h).
 *
 * The room gntdevctl/ is the operator's tool. It promises that nothing a client chose reaches a terminal as it
 * was, and that no daemon makes it wait without end. It may include abi/, base/, policy/ (to check one),
 * control/out.h and state/keep.h.
 */
#ifndef GNTDEVCTL_CTL_H
#define GNTDEVCTL_CTL_H

#include <argp.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>

#define CTL_RUN_DIR "/run/cuse-gntdev"
#define CTL_DEVICE  "xen/gntdev"
#define CTL_POLICY  "/etc/cuse-gntdev.conf"
#define CTL_UNIT    "cuse-gntdev.service"

/* Exit statuses. gntdevctl(1) documents them. */
enum ctl_status {
	CTL_DONE,
	CTL_BAD,   /* the answer is a bad one: a fault, a broken policy, denied, no such thing */
	CTL_USAGE, /* the command line */
	CTL_UNREACHABLE, /* no daemon answers */
	CTL_DENIED,	 /* one answers, and not to us */
	CTL_FAILED,	 /* anything else, such as a file that cannot be written */
};

/**
 * struct ctl - the options that all subcommands have
 * @socket:  path of the control socket, NULL: derive it from the others
 * @run_dir, @name: as the daemon has them
 * @json:    print JSON
 * @rows:    no headings, no sums, no remarks
 * @no_pager: see gntdevctl/terminal.h; @color: "auto" (NULL, too), "always", "never"
 * @watch:   ask and print again after so many seconds; 0: once
 */
struct ctl {
	const char *socket;
	const char *run_dir;
	const char *name;
	const char *color;
	bool json;
	bool rows;
	bool no_pager;
	unsigned int watch;
};

/* Set by SIGINT, SIGTERM and SIGHUP once ctl_catch_signals() was called: time to end. */
extern volatile sig_atomic_t ctl_stop;

void ctl_catch_signals(void);

/* The options of struct ctl, whose parser's input it is. */
extern const struct argp_child ctl_global[];

/* Of a subcommand that ctl_repeat() repeats, in its own table of options; ctl_parse() takes it. */
#define CTL_OPT_WATCH 'w'
#define CTL_OPTION_WATCH                                                       \
	{                                                                      \
		"watch", CTL_OPT_WATCH, "SECONDS", OPTION_ARG_OPTIONAL,        \
			"Print it anew every 2 s, or so many, until SIGINT", 1 \
	}

/**
 * struct ctl_command - the command line of a subcommand
 * @args:     what stands behind its name, as --help has it; NULL: nothing but options may
 * @doc:      what it does
 * @examples: lines for --help
 * @options:  its own; NULL: none but those that all have
 * @parse:    takes these and its arguments, with ctl_parse()'s @input as state->input, and leaves the rest
 *            (ARGP_ERR_UNKNOWN); NULL if there are none
 * @more:     options that several share, whose parser has the same input; NULL: none
 */
struct ctl_command {
	const char *args;
	const char *doc;
	const char *examples;
	const struct argp_option *options;
	argp_parser_t parse;
	const struct argp *more;
};

/** ctl_parse() - read a subcommand's command line; does not return if there is a mistake */
void ctl_parse(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv,
	       void *input);

/** ctl_error() - a line on standard error, cleaned. Return: @status */
int ctl_error(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * ctl_socket_path() - where the daemon listens
 *
 * Return: 0, or CTL_USAGE if the path is longer than an address can be (a message was printed).
 */
int ctl_socket_path(const struct ctl *ctl, char *path, size_t size);

/**
 * ctl_spawn() - run a program, found in PATH, and wait for it
 * @in, @out: descriptors for its standard input and output; not closed. Its standard error is ours.
 *
 * Return: its exit status, 128 if it was killed, -errno if it could not be started.
 */
int ctl_spawn(const char *const *argv, int in, int out);

#endif /* GNTDEVCTL_CTL_H */
