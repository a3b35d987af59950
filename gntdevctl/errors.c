/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/errors.c - gntdevctl errors: what failed, why, and what to do about it
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/terminal.h"
#include "gntdevctl/text.h"
#include "base/option.h"

/* So many the daemon keeps. */
#define COUNT_MAX 512
/* How often --follow looks. */
#define FOLLOW_MS 500

enum {
	OPT_COUNT = 'n',
	OPT_FOLLOW = 'f',
};

static const struct argp_option options[] = {
	{ "count", OPT_COUNT, "N", 0, "Only the last N", 1 },
	{ "number", 0, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, 1 },
	{ "follow", OPT_FOLLOW, NULL, 0, "Go on with those that come, until SIGINT", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct errors_args {
	struct ctl *ctl;
	unsigned long count;
	bool follow;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct errors_args *a = state->input;

	switch (key) {
	case OPT_COUNT:
		a->count = option_number(state, "count", arg, 1, COUNT_MAX);
		return 0;
	case OPT_FOLLOW:
		a->follow = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void field(const char *name, const char *text)
{
	if (!*text)
		return;
	printf("    %-8s", name);
	ctl_print_clean(stdout, text);
	putchar('\n');
}

static void print_head(const json_t *f)
{
	const char *error = ctl_string(f, "errno");
	long long pid = ctl_integer(f, "pid", 0), uid = ctl_integer(f, "uid", -1);

	printf("%s[%lld] %s ", ctl_paint(CTL_STRONG), ctl_integer(f, "seq", 0),
	       ctl_time((uint64_t)ctl_integer(f, "time", 0), 1).s);
	ctl_print_clean(stdout, ctl_string(f, "op"));
	if (*error)
		fputs(": ", stdout);
	fputs(ctl_paint(CTL_WRONG), stdout);
	ctl_print_clean(stdout, error);
	fputs(ctl_paint(CTL_PLAIN), stdout);
	if (pid > 0) {
		printf(", client %lld ", pid);
		ctl_print_clean(stdout, ctl_string(f, "command"));
	}
	if (uid >= 0)
		printf(" of user %s", ctl_user((uid_t)uid).s);
	putchar('\n');
}

/* "grant 8 of domain 1: bad_gntref, in words" */
static void print_grant(const json_t *f)
{
	long long domid = ctl_integer(f, "domid", -1), ref = ctl_integer(f, "ref", -1);
	const char *status = ctl_string(f, "status");

	if (domid < 0 && !*status)
		return;
	printf("    %-8s", "grant");
	if (ref >= 0)
		printf("%lld of ", ref);
	if (domid >= 0)
		printf("domain %lld", domid);
	if (*status) {
		fputs(": ", stdout);
		ctl_print_clean(stdout, status);
		fputs(", ", stdout);
		ctl_print_clean(stdout, ctl_string(f, "status_words"));
	}
	putchar('\n');
}

static void print_failure(const json_t *f)
{
	long long left_out = ctl_integer(f, "left_out", 0);

	print_head(f);
	field("what", ctl_string(f, "text"));
	print_grant(f);
	field("rule", ctl_string(f, "rule"));
	field("cause", ctl_string(f, "cause"));
	field("remedy", ctl_string(f, "remedy"));
	if (left_out > 0)
		printf("    %lld more of this client before this one are not listed\n", left_out);
}

static bool record(const struct ctl_record *r, void *arg)
{
	const struct ctl *ctl = arg;

	if (ctl->json)
		return ctl_print_record(r);
	if (!strcmp(r->name, "failure"))
		print_failure(r->value);
	return !ferror(stdout);
}

static json_t *request(long long after, unsigned long max)
{
	json_t *r = ctl_request("errors");

	if (after)
		ctl_set(r, "after", json_integer(after));
	if (max)
		ctl_set(r, "max", json_integer((json_int_t)max));
	return r;
}

/* One look. *@after: the last one seen. Return: 0, or c->status. */
static int look(struct ctl_client *c, struct errors_args *a, long long *after)
{
	json_t *end;
	int status = ctl_each(c, request(*after, a->count), record, a->ctl, &end);

	*after = ctl_integer(end, "last", *after);
	json_decref(end);
	return status;
}

static int look_and_follow(struct ctl_client *c, struct errors_args *a)
{
	long long after = 0;
	int status = look(c, a, &after);

	if (!status && !after && !a->ctl->json && !a->ctl->rows)
		puts("no failures so far");
	/* Of those that come, all. */
	a->count = 0;
	while (a->follow && !status && !ctl_stop && !fflush(stdout) && !ferror(stdout)) {
		poll(NULL, 0, FOLLOW_MS);
		if (!ctl_stop)
			status = look(c, a, &after);
	}
	return status ? ctl_error(status, "%s", c->why) : 0;
}

int ctl_errors(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Show the last failures: what was asked, which grant, what Xen said, the "
		       "cause, and what to do about it. Oldest first.",
		.examples = "  gntdevctl errors -n 1      what failed last\n"
			    "  gntdevctl errors -f        go on with those that come\n",
		.options = options,
		.parse = parse,
	};
	struct errors_args a = { .ctl = ctl };
	struct ctl_client c;
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	if (a.follow)
		ctl_catch_signals();
	else
		ctl_page(ctl);
	status = ctl_connect(ctl, &c);
	if (!status)
		status = look_and_follow(&c, &a);
	ctl_close(&c);
	return status;
}
