/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/trace.c - gntdevctl trace: what clients do, as it happens
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/text.h"
#include "base/clock.h"
#include "base/option.h"

enum {
	OPT_PID = 'p',
	OPT_DOMID = 'd',
	OPT_FAILED = 'Z',
	OPT_COUNT = 'n',
	OPT_SECONDS = 't',
};

static const struct argp_option options[] = {
	{ "pid", OPT_PID, "PID", 0, "Only what this process or thread does", 1 },
	{ "domid", OPT_DOMID, "DOMID", 0, "Only what is about pages of this domain", 1 },
	{ "failed", OPT_FAILED, NULL, 0, "Only what fails", 1 },
	{ "count", OPT_COUNT, "N", 0, "End after N events", 1 },
	{ "seconds", OPT_SECONDS, "S", 0, "End after S seconds", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

/**
 * struct trace_args - the command line
 * @count, @seconds: 0: without end
 */
struct trace_args {
	struct ctl *ctl;
	json_t *request;
	unsigned long count;
	unsigned long seconds;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct trace_args *a = state->input;

	switch (key) {
	case OPT_PID:
		ctl_set(a->request, "pid",
			json_integer((long)option_number(state, "pid", arg, 1, INT32_MAX)));
		return 0;
	case OPT_DOMID:
		ctl_set(a->request, "domid",
			json_integer((long)option_number(state, "domid", arg, 0, UINT16_MAX)));
		return 0;
	case OPT_FAILED:
		ctl_set(a->request, "failed", json_true());
		return 0;
	case OPT_COUNT:
		a->count = option_number(state, "count", arg, 1, ULONG_MAX);
		return 0;
	case OPT_SECONDS:
		a->seconds = option_number(state, "seconds", arg, 1, 1000000);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- one event -------------------------------------------------------------------------------- */

/* One argument, if it is there. *@any: whether there was one before. */
static void argument(const json_t *e, const char *key, bool hex, bool *any)
{
	long long v = ctl_integer(e, key, -1);

	if (v < 0)
		return;
	if (*any)
		fputs(", ", stdout);
	*any = true;
	if (hex)
		printf("%s 0x%llx", key, (unsigned long long)v);
	else
		printf("%s %lld", key, v);
}

static void print_arguments(const json_t *e)
{
	const char *open = ctl_string(e, "open");
	bool any = *open;

	if (any) {
		fputs("open ", stdout);
		ctl_print_clean(stdout, open);
	}
	argument(e, "index", true, &any);
	argument(e, "addr", true, &any);
	argument(e, "pages", false, &any);
	argument(e, "domid", false, &any);
	argument(e, "ref", false, &any);
}

static void print_result(const json_t *e)
{
	const char *error = ctl_string(e, "errno"), *status = ctl_string(e, "status");

	fputs(" = ", stdout);
	if (*error) {
		fputs("-1 ", stdout);
		ctl_print_clean(stdout, error);
	} else {
		printf("%lld", ctl_integer(e, "result", 0));
		if (!strcmp(ctl_string(e, "kind"), "hypercall") && ctl_integer(e, "result", 0))
			fputs(" failed", stdout);
	}
	if (*status) {
		fputs(" (", stdout);
		ctl_print_clean(stdout, status);
		putchar(')');
	}
}

static void print_event(const json_t *e)
{
	long long pid = ctl_integer(e, "pid", 0);

	fputs(ctl_time((uint64_t)ctl_integer(e, "time", 0), 0).s, stdout);
	if (pid > 0)
		printf(" %6lld ", pid);
	else
		printf(" %6s ", "-");
	ctl_print_clean(stdout, ctl_string(e, "op"));
	putchar('(');
	print_arguments(e);
	putchar(')');
	print_result(e);
	printf(" <%s>\n", ctl_us(ctl_real(e, "us", 0)).s);
}

/* Return: whether it counts as an event. */
static bool print_record(const struct ctl *ctl, const struct ctl_record *r)
{
	bool event = !strcmp(r->name, "event");

	if (ctl->json)
		ctl_print_record(r);
	else if (event)
		print_event(r->value);
	else if (!strcmp(r->name, "lost") && json_is_integer(r->value))
		printf("... %lld events lost: more of them than can be read\n",
		       (long long)json_integer_value(r->value));
	return event;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Until something asks for the end. What has come is printed before waiting for more. */
static int follow(struct ctl_client *c, const struct trace_args *a)
{
	uint64_t end = a->seconds ? clock_ms() + (uint64_t)a->seconds * 1000 : UINT64_MAX;
	unsigned long seen = 0;
	struct ctl_record r;
	bool flushed = true;

	while (!ctl_stop && !ferror(stdout) && (!a->count || seen < a->count) && clock_ms() < end) {
		enum ctl_answer got = ctl_next(c, &r, flushed ? 100 : 0);

		if (got == CTL_BROKEN)
			return ctl_error(c->status, "%s", c->why);
		if (got == CTL_END)
			return ctl_error(CTL_FAILED, "the daemon has ended the trace");
		if (got == CTL_TIMEOUT)
			fflush(stdout);
		flushed = got == CTL_TIMEOUT;
		if (got == CTL_RECORD)
			seen += print_record(a->ctl, &r);
	}
	return 0;
}

int ctl_trace(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Show what clients do from now on, each open, ioctl, mmap, munmap, release "
		       "and hypercall when it has ended: time, thread, what(arguments) = result "
		       "<duration>. Ends with SIGINT.",
		.examples = "  gntdevctl trace --failed   what fails, as it happens\n"
			    "  gntdevctl trace -p 1534 -n 100\n",
		.options = options,
		.parse = parse,
	};
	struct trace_args a = { .ctl = ctl, .request = ctl_request("trace") };
	struct ctl_client c;
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	ctl_catch_signals();
	status = ctl_connect(ctl, &c);
	if (status) {
		json_decref(a.request);
		return status;
	}
	status = ctl_ask(&c, a.request);
	status = status ? ctl_error(status, "%s", c.why) : follow(&c, &a);
	ctl_close(&c);
	return status;
}
