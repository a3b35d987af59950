/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/stats.c - gntdevctl stats, gntdevctl metrics
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/share.h"
#include "gntdevctl/terminal.h"
#include "gntdevctl/text.h"
#include "gntdevctl/top.h"
#include "base/clock.h"

static uint64_t number(const json_t *o, const char *key)
{
	long long n = ctl_integer(o, key, 0);

	return n > 0 ? (uint64_t)n : 0;
}

static void heading(const char *text)
{
	printf("%s%s%s\n", ctl_paint(CTL_STRONG), text, ctl_paint(CTL_PLAIN));
}

/* A figure, and how much of its limit that is (0: it has none). */
static void share(const char *name, uint64_t n, uint64_t limit, const char *what)
{
	printf("  %-16s %s", name, ctl_paint(ctl_share_paint(n, limit)));
	printf(*what ? "%-24s%s %s\n" : "%s%s%s\n", ctl_share(n, limit).s, ctl_paint(CTL_PLAIN),
	       what);
}

static void print_held(const json_t *s)
{
	const json_t *limits = json_object_get(s, "limits");

	heading("held now");
	for (int i = 0; i < POLICY_N_THINGS; i++) {
		const struct ctl_use use =
			ctl_use(s, limits, POLICY_SCOPE_ALL, (enum policy_thing)i);

		share(policy_thing_name((enum policy_thing)i), (uint64_t)use.held,
		      (uint64_t)use.limit, "");
	}
	share("windows", number(s, "windows"), 0, "that clients have mapped or open");
	share("grants", number(s, "handles"), number(s, "handle_limit"),
	      "mapped, of what Xen's maptrack table takes");
	share("frames away", number(s, "away"), number(limits, "frames"),
	      "of ours, given back to Xen");
	share("quarantined", number(s, "quarantined"), 0,
	      "pages that got no frame back: kept from everybody, tried again");
	share("event channels", number(s, "ports"), 0, "held for notifications");
}

static void print_load(const json_t *s)
{
	putchar('\n');
	heading("serving");
	share("workers busy", number(s, "workers_busy"), number(s, "workers"), "");
	if (json_is_integer(json_object_get(s, "waiting")))
		share("requests", number(s, "waiting"), 0, "queued or in hand");
	share("memory waits", number(s, "memory_waits"), 0, "of 1 ms each, as the daemon got none");
	share("window places", number(s, "window_slots_used"), number(s, "window_slots"), "");
	share("tracers", number(s, "tracers"), 0, "");
}

static void print_kept(const json_t *k)
{
	char ms[32];

	if (!k)
		return;
	putchar('\n');
	heading("daemons before this one");
	share("survived", number(k, "survived"), 0, "killed or restarted, and clients went on");
	snprintf(ms, sizeof(ms), "%.1f ms", ctl_real(k, "outage_ms", 0));
	printf("  %-16s %-24s %s\n", "last outage", ms, "until the next one served");
	share("again", number(k, "again"), 0, "requests carried out by a second one");
	share("poison", number(k, "poison"), 0,
	      "requests given up (EIO): daemons have died of them");
}

/* Those of all are told where it is told what is held. */
static void print_limits(const json_t *limits)
{
	for (int i = 0; i < POLICY_N_LIMITS; i++) {
		const char *name = policy_limit_name((enum policy_limit)i);

		if (policy_limit_scope((enum policy_limit)i) != POLICY_SCOPE_ALL &&
		    number(limits, name))
			share(name, number(limits, name), 0, "at most");
	}
}

static void print_policy(const json_t *s)
{
	const json_t *p = json_object_get(s, "policy");
	const char *error = ctl_string(p, "error");
	json_t *file;
	size_t i;

	putchar('\n');
	heading("policy");
	share("rules", number(p, "rules"), 0, "");
	json_array_foreach(json_object_get(p, "files"), i, file) {
		printf("  %-16s ", i ? "" : "read from");
		ctl_print_clean(stdout, json_is_string(file) ? json_string_value(file) : "?");
		putchar('\n');
	}
	if (number(p, "loaded"))
		printf("  %-16s %s\n", "read at", ctl_time(number(p, "loaded"), 1).s);
	print_limits(json_object_get(s, "limits"));
	if (*error) {
		printf("  %-16s ", "not reloaded:");
		ctl_print_clean(stdout, error);
		putchar('\n');
	}
}

/* "alice"; "101000 of alice" of one in a user namespace that alice has made. */
static const char *user_of(const json_t *u, char *name, size_t size)
{
	const json_t *owner = json_object_get(u, "owner");
	const struct ctl_text of = ctl_user((uid_t)ctl_integer(u, "owner", -1));
	const struct ctl_text user = ctl_user((uid_t)ctl_integer(u, "uid", -1));

	snprintf(name, size, "%s%s%s", json_is_null(json_object_get(u, "uid")) ? "unknown" : user.s,
		 owner ? " of " : "",
		 !owner		       ? ""
		 : json_is_null(owner) ? "unknown"
				       : of.s);
	return name;
}

static void print_user(const json_t *u, const json_t *limits)
{
	char name[128];

	fputs("  ", stdout);
	ctl_column(stdout, user_of(u, name, sizeof(name)), 16);
	for (int i = 0; i < POLICY_N_THINGS; i++) {
		const struct ctl_use use =
			ctl_use(u, limits, POLICY_SCOPE_USER, (enum policy_thing)i);
		const struct ctl_text text = ctl_share((uint64_t)use.held, (uint64_t)use.limit);

		fputs(ctl_paint(ctl_share_paint((uint64_t)use.held, (uint64_t)use.limit)), stdout);
		printf(i < POLICY_N_THINGS - 1 ? "%-24s%s " : "%s%s\n", text.s,
		       ctl_paint(CTL_PLAIN));
	}
}

static void print_users(const json_t *stats)
{
	const json_t *users = json_object_get(stats, "users");
	json_t *u;
	size_t i;

	if (!json_array_size(users))
		return;
	printf("\n%s%-18s ", ctl_paint(CTL_STRONG), "users");
	for (int k = 0; k < POLICY_N_THINGS; k++)
		printf(k < POLICY_N_THINGS - 1 ? "%-24s " : "%s",
		       policy_thing_name((enum policy_thing)k));
	puts(ctl_paint(CTL_PLAIN));
	json_array_foreach(users, i, u)
		print_user(u, ctl_limits_of(stats, u));
}

/* Counts by name that are not 0, under a heading if there are any. */
static void print_counts(const char *what, const json_t *counts)
{
	const char *name;
	bool any = false;
	json_t *n;

	/* jansson's iterator is a macro that casts constness away. */
	json_object_foreach((json_t *)counts, name, n) {
		if (!json_is_integer(n) || !json_integer_value(n))
			continue;
		if (!any) {
			putchar('\n');
			heading(what);
		}
		any = true;
		fputs("  ", stdout);
		ctl_column(stdout, name, 16);
		printf("%lld\n", (long long)json_integer_value(n));
	}
}

/* --- times ------------------------------------------------------------------------------------ */

static uint64_t bucket_count(const json_t *bucket)
{
	const json_t *n = json_array_get(bucket, 1);

	return json_is_integer(n) && json_integer_value(n) > 0 ? (uint64_t)json_integer_value(n)
							       : 0;
}

static void print_bucket(const json_t *bucket, const json_t *before, uint64_t max)
{
	const json_t *bound = json_array_get(bucket, 0);
	uint64_t n = bucket_count(bucket);
	struct ctl_text from;

	if (json_is_number(bound)) {
		printf("    < %8s", ctl_us(json_number_value(bound)).s);
	} else {
		from = ctl_us(json_number_value(json_array_get(before, 0)));
		printf("    > %8s", from.s);
	}
	printf(" %10llu %s\n", (unsigned long long)n, ctl_bar(n, max, 40).s);
}

static void print_histogram(const json_t *h)
{
	uint64_t max = 0;
	json_t *bucket;
	size_t i;

	json_array_foreach(h, i, bucket)
		if (bucket_count(bucket) > max)
			max = bucket_count(bucket);
	json_array_foreach(h, i, bucket)
		print_bucket(bucket, i ? json_array_get(h, i - 1) : NULL, max);
}

static void print_operations(const json_t *ops)
{
	const char *name;
	json_t *op;

	putchar('\n');
	heading("operations");
	json_object_foreach((json_t *)ops, name, op) {
		uint64_t events = number(op, "events");

		if (!events)
			continue;
		fputs("  ", stdout);
		ctl_column(stdout, name, 22);
		printf("%llu, %llu failed, mean %s\n", (unsigned long long)events,
		       (unsigned long long)number(op, "failed"),
		       ctl_us(ctl_real(op, "us", 0) / (double)events).s);
		print_histogram(json_object_get(op, "histogram"));
	}
}

static void print_stats(const json_t *s)
{
	print_held(s);
	print_load(s);
	print_kept(json_object_get(s, "state"));
	print_policy(s);
	print_users(s);
	print_counts("refused, by limit of the policy", json_object_get(s, "limits_met"));
	print_counts("failures", json_object_get(s, "failures"));
	print_counts("grants that Xen refused, by status", json_object_get(s, "statuses"));
	print_operations(json_object_get(s, "operations"));
}

/* --- what has changed ------------------------------------------------------------------------- */

/* "34 (+17)" */
static void print_change(const char *name, const json_t *now, const json_t *before)
{
	long long n = ctl_integer(now, name, 0);

	printf("  %-16s %lld (%+lld)\n", name, n, n - ctl_integer(before, name, 0));
}

/* Counts that have grown, each in a line. */
static void print_growth(const char *what, const json_t *now, const json_t *before)
{
	const char *name;
	bool any = false;
	json_t *n;

	json_object_foreach((json_t *)now, name, n) {
		long long more = ctl_integer(now, name, 0) - ctl_integer(before, name, 0);

		if (more <= 0)
			continue;
		if (!any)
			heading(what);
		any = true;
		fputs("  ", stdout);
		ctl_column(stdout, name, 16);
		printf("%+lld\n", more);
	}
}

static struct ctl_text within(const struct ctl_top_frame *f, const char *op, double part)
{
	double us = ctl_top_within(f, op, part);
	struct ctl_text t = { "longer" };

	return isinf(us) ? t : ctl_us(us);
}

/* Of what a file has it is not known how long ago it was. */
static struct ctl_text a_second(const struct ctl_top_frame *f, const char *op)
{
	struct ctl_text t = { "-" };

	if (f->seconds > 0)
		snprintf(t.s, sizeof(t.s), "%.0f", ctl_top_rate(f, op));
	return t;
}

static void print_changed_operations(const struct ctl_top_frame *f)
{
	const json_t *ops = json_object_get(f->stats, "operations");
	const json_t *old = json_object_get(f->before, "operations");
	bool any = false;
	const char *name;
	json_t *op;

	json_object_foreach((json_t *)ops, name, op) {
		const json_t *then = json_object_get(old, name);
		long long n = ctl_integer(op, "events", 0) - ctl_integer(then, "events", 0);

		if (n <= 0)
			continue;
		if (!any)
			printf("%s%-24s %9s %9s %9s %10s %10s%s\n", ctl_paint(CTL_STRONG),
			       "operations", "calls", "failed", "a second", "p50", "p99",
			       ctl_paint(CTL_PLAIN));
		any = true;
		printf("  %-22s %9lld %9lld %9s %10s %10s\n", name, n,
		       ctl_integer(op, "failed", 0) - ctl_integer(then, "failed", 0),
		       a_second(f, name).s, within(f, name, 0.5).s, within(f, name, 0.99).s);
	}
	if (!any)
		puts("no operation has ended since");
}

/* All counts begin anew with a daemon: then nothing can be said. */
static bool is_of_another(const json_t *now, const json_t *before)
{
	const char *name;
	json_t *op;

	json_object_foreach(json_object_get(before, "operations"), name, op)
		if (ctl_integer(json_object_get(json_object_get(now, "operations"), name), "events",
				0) < ctl_integer(op, "events", 0))
			return true;
	return false;
}

static void print_changes(const struct ctl_top_frame *f)
{
	if (is_of_another(f->stats, f->before)) {
		puts("another daemon serves since then, and counts anew");
		return;
	}
	for (int i = 0; i < POLICY_N_THINGS; i++)
		print_change(policy_thing_name((enum policy_thing)i), f->stats, f->before);
	print_change("windows", f->stats, f->before);
	print_change("handles", f->stats, f->before);
	print_growth("refused, by limit of the policy", json_object_get(f->stats, "limits_met"),
		     json_object_get(f->before, "limits_met"));
	print_growth("failures", json_object_get(f->stats, "failures"),
		     json_object_get(f->before, "failures"));
	print_growth("grants that Xen refused, by status", json_object_get(f->stats, "statuses"),
		     json_object_get(f->before, "statuses"));
	print_changed_operations(f);
}

/* --- the command ------------------------------------------------------------------------------ */

enum {
	OPT_SINCE = 0x200,
};

static const struct argp_option options[] = {
	{ "since", OPT_SINCE, "FILE", 0,
	  "Only what has changed since: FILE has \"stats --json\" of then", 1 },
	CTL_OPTION_WATCH,
	{ NULL, 0, NULL, 0, NULL, 0 },
};

/**
 * struct stats_args - the command line
 * @since:  NULL: all
 * @before: the last answer, or what the file has; @asked: when it came, CLOCK_MONOTONIC, ns; 0: not known
 */
struct stats_args {
	struct ctl *ctl;
	const char *since;
	json_t *before;
	uint64_t asked;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct stats_args *a = state->input;

	if (key != OPT_SINCE)
		return ARGP_ERR_UNKNOWN;
	a->since = arg;
	return 0;
}

/* Return: the exit status. */
static int read_since(struct stats_args *a)
{
	json_error_t error;

	a->before = json_load_file(a->since, 0, &error);
	if (!a->before)
		return ctl_error(CTL_FAILED, "%s: %s", a->since, error.text);
	if (!json_is_object(json_object_get(a->before, "operations")))
		return ctl_error(CTL_FAILED, "%s: what \"gntdevctl stats --json\" prints is wanted",
				 a->since);
	return CTL_DONE;
}

/* The first time all, afterwards what has changed since the time before. */
static int stats_once(void *arg)
{
	struct stats_args *a = arg;
	struct ctl_top_frame f = { .before = a->before };
	uint64_t now = clock_ns();
	json_t *end;
	int status = ctl_query(a->ctl, ctl_request("stats"), NULL, NULL, &end);

	if (!end)
		return status;
	f.stats = end;
	f.seconds = a->asked ? (double)(now - a->asked) / 1e9 : 0;
	if (a->ctl->json)
		ctl_print_object(end);
	else if (a->before)
		print_changes(&f);
	else
		print_stats(end);
	json_decref(a->before);
	a->before = end;
	a->asked = now;
	return status;
}

int ctl_stats(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Show what is held, how much of each limit, failures by kind, and how long "
		       "each kind of operation took. With --watch: all of it once, then what has "
		       "changed.",
		.examples =
			"  gntdevctl stats | head -n 9    what is held\n"
			"  gntdevctl stats --json >then; sleep 60; gntdevctl stats --since=then\n",
		.options = options,
		.parse = parse,
	};
	struct stats_args a = { .ctl = ctl };
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	status = a.since ? read_since(&a) : CTL_DONE;
	if (!status)
		status = ctl_repeat(ctl, stats_once, &a);
	json_decref(a.before);
	return status;
}

static void print_metrics(const json_t *end)
{
	fputs(ctl_string(end, "text"), stdout);
}

int ctl_metrics(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Print the daemon's figures in Prometheus' text form.",
		.examples = "  gntdevctl metrics | grep failures\n",
	};

	ctl_parse(ctl, &command, argc, argv, NULL);
	ctl_page(ctl);
	return ctl_query_object(ctl, "metrics", print_metrics);
}
