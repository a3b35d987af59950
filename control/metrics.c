/* SPDX-License-Identifier: MIT */
/*
 * control/metrics.c - the figures as Prometheus' text exposition, version 0.0.4
 *
 * The same figures as those of stats. A histogram's buckets are cumulative and in seconds; those bounds are
 * all told, empty or not, since series must not come and go.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/stats.h"
#include "abi/version.h"
#include "device/gntdev.h"

#define NAME "cuse_gntdev_"

static void family(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP " NAME "%s %s\n# TYPE " NAME "%s %s\n", name, help, name, type);
}

static void gauge(FILE *f, const char *name, const char *help, uint64_t value)
{
	family(f, name, "gauge", help);
	fprintf(f, NAME "%s %" PRIu64 "\n", name, value);
}

/* A label's value: backslash, quote and newline are escaped. */
static void label(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			fputs("\\n", f);
		else if (*s == '\\' || *s == '"')
			fprintf(f, "\\%c", *s);
		else
			fputc(*s, f);
	}
}

static void write_info(FILE *f, const struct control_view *view)
{
	family(f, "info", "gauge", "Always 1; the labels say what runs.");
	fprintf(f, NAME "info{version=\"" VERSION "\",hypervisor=\"%s\",device=\"",
		view->gd->hv->name);
	label(f, view->gd->dev.name);
	fputs("\"} 1\n", f);
	family(f, "start_time_seconds", "gauge",
	       "When the daemon was started, seconds since 1970.");
	fprintf(f, NAME "start_time_seconds %" PRIu64 ".%03u\n", view->since / 1000000000,
		(unsigned int)(view->since / 1000000 % 1000));
}

static void write_held(FILE *f, const struct control_stats *st)
{
	char help[128];

	for (int i = 0; i < POLICY_N_THINGS; i++) {
		const enum policy_thing thing = (enum policy_thing)i;

		snprintf(help, sizeof(help), "%s.", policy_thing_words(thing));
		gauge(f, policy_thing_name(thing), help, quota_held_of(&st->held, thing));
	}
	gauge(f, "windows", "Windows that clients hold.", st->windows);
	gauge(f, "handles", "Grants that are mapped.", st->hv.handles);
	if (st->hv.handle_max)
		gauge(f, "handle_limit", "Grants that Xen's maptrack table takes.",
		      st->hv.handle_max);
	gauge(f, "away_pages", "Pages of this domain whose frames are given back to Xen.",
	      st->hv.away);
	gauge(f, "quarantined_pages",
	      "Of these, pages that got no frame back, and are kept from use.", st->hv.quarantined);
	gauge(f, "ports", "Event channels held for unmap notifications.", st->hv.ports);
}

/* A user of a user namespace is told with its owner, and counted there, too. */
static void write_user(FILE *f, const char *name, const struct control_user *u,
		       enum policy_thing thing)
{
	fprintf(f, NAME "user_%s{", name);
	if (u->uid == QUOTA_UNKNOWN)
		fputs("uid=\"unknown\"", f);
	else
		fprintf(f, "uid=\"%u\"", u->uid);
	if (u->owner == QUOTA_UNKNOWN)
		fputs(",owner=\"unknown\"", f);
	else if (u->owner != QUOTA_NO_OWNER)
		fprintf(f, ",owner=\"%u\"", u->owner);
	fprintf(f, "} %" PRIu64 "\n", quota_held_of(&u->held, thing));
}

/* By the user who has opened the device. */
static void write_users(FILE *f, const struct control_stats *st)
{
	for (int i = 0; i < POLICY_N_THINGS; i++) {
		const char *name = policy_thing_name((enum policy_thing)i);

		fprintf(f, "# HELP " NAME "user_%s %s, by the user who opened the device.\n", name,
			policy_thing_words((enum policy_thing)i));
		fprintf(f, "# TYPE " NAME "user_%s gauge\n", name);
		for (size_t k = 0; k < st->n_users; k++)
			write_user(f, name, &st->users[k], (enum policy_thing)i);
	}
}

static void write_limits(FILE *f, const struct control_stats *st)
{
	family(f, "limit", "gauge",
	       "Limits of the policy that are set, by name; those for root, where its defaults are "
	       "wider.");
	for (int i = 0; i < POLICY_N_LIMITS; i++) {
		const char *name = policy_limit_name((enum policy_limit)i);
		uint64_t all = policy_limit_get(&st->limits, (enum policy_limit)i, false);
		uint64_t root = policy_limit_get(&st->limits, (enum policy_limit)i, true);

		if (all)
			fprintf(f, NAME "limit{name=\"%s\"} %" PRIu64 "\n", name, all);
		if (root != all)
			fprintf(f, NAME "limit{name=\"%s\",uid=\"0\"} %" PRIu64 "\n", name, root);
	}
	family(f, "limit_met_total", "counter",
	       "How often a limit of the policy has refused something, by name.");
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		fprintf(f, NAME "limit_met_total{name=\"%s\"} %" PRIu64 "\n",
			policy_limit_name((enum policy_limit)i), st->limits_met[i]);
}

static void counter(FILE *f, const char *name, const char *help, uint64_t value)
{
	family(f, name, "counter", help);
	fprintf(f, NAME "%s %" PRIu64 "\n", name, value);
}

static void write_busy(FILE *f, const struct control_stats *st)
{
	gauge(f, "workers", "Threads that serve ioctls.", st->session.workers);
	gauge(f, "workers_busy", "Threads that have an ioctl in hand.", st->session.busy);
	if (st->has_session && st->session.waiting >= 0)
		gauge(f, "waiting_requests", "Requests that are queued or in hand.",
		      (uint64_t)st->session.waiting);
	counter(f, "memory_waits_total",
		"How often a thread has waited (1 ms) for memory to receive or answer a request.",
		st->session.memory_waits);
	gauge(f, "window_slots", "Places of the window socket.", st->slots);
	gauge(f, "window_slots_used", "Places of the window socket that are taken.",
	      st->slots_used);
	gauge(f, "tracers", "Control connections that trace.", st->tracers);
}

static void write_kept(FILE *f, const struct control_kept *k)
{
	gauge(f, "state_version", "Version of what outlives the daemon.", k->version);
	counter(f, "restarts_survived_total",
		"Daemons that were killed or restarted, and whose clients go on.", k->survived);
	family(f, "last_outage_seconds", "gauge",
	       "From the end of the last of them to when the next one served; 0: there was none.");
	fprintf(f, NAME "last_outage_seconds %" PRIu64 ".%09u\n", k->outage_ns / 1000000000,
		(unsigned int)(k->outage_ns % 1000000000));
	counter(f, "requests_again_total",
		"Requests that were carried out again, as a daemon ended with them in hand.",
		k->again);
	counter(f, "requests_poison_total",
		"Requests that were given up with EIO, as daemons have died of them.", k->poison);
}

static void write_failures(FILE *f, const struct control_stats *st)
{
	family(f, "failures_total", "counter", "What went wrong for clients, by kind.");
	for (int k = 0; k < FAILURE_KINDS; k++)
		fprintf(f, NAME "failures_total{kind=\"%s\"} %" PRIu64 "\n",
			failure_kind_name((enum failure_kind)k), st->failures[k]);
	family(f, "grant_statuses_total", "counter", "Grants that Xen refused, by its status.");
	for (int i = 1; i < CONTROL_STATUSES && hv_status_check(-i) == -i; i++)
		fprintf(f, NAME "grant_statuses_total{status=\"%s\"} %" PRIu64 "\n",
			hv_status_name(-i), st->statuses[i]);
}

/* Bucket i ends at 2^i microseconds; the last one has no end. */
static void write_histogram(FILE *f, const char *op, const struct trace_counts *c)
{
	uint64_t sum = 0;

	for (int i = 0; i < TRACE_BUCKETS; i++) {
		sum += c->bucket[i];
		fprintf(f, NAME "operation_seconds_bucket{op=\"%s\",le=\"", op);
		if (i < TRACE_BUCKETS - 1)
			fprintf(f, "%u.%06u", (1U << i) / 1000000, (1U << i) % 1000000);
		else
			fputs("+Inf", f);
		fprintf(f, "\"} %" PRIu64 "\n", sum);
	}
	fprintf(f,
		NAME "operation_seconds_sum{op=\"%s\"} %" PRIu64 ".%09u\n" NAME
		     "operation_seconds_count{op=\"%s\"} %" PRIu64 "\n",
		op, c->ns / 1000000000, (unsigned int)(c->ns % 1000000000), op, sum);
}

static void write_operations(FILE *f, const struct control_stats *st)
{
	family(f, "operation_failures_total", "counter",
	       "Operations that failed; of hypercalls those in which a grant did.");
	for (int i = 0; i < TRACE_OPS; i++)
		fprintf(f, NAME "operation_failures_total{op=\"%s\"} %" PRIu64 "\n",
			trace_op_name((enum trace_op)i), st->ops[i].failed);
	family(f, "operation_seconds", "histogram", "How long operations take, by name.");
	for (int i = 0; i < TRACE_OPS; i++)
		write_histogram(f, trace_op_name((enum trace_op)i), &st->ops[i]);
}

char *metrics_text(const struct control_view *view, size_t *len)
{
	struct control_stats *st = malloc(sizeof(*st));
	char *text = NULL;
	FILE *f = st ? open_memstream(&text, len) : NULL;

	if (f) {
		control_stats_read(view, st);
		write_info(f, view);
		write_held(f, st);
		write_users(f, st);
		write_limits(f, st);
		write_busy(f, st);
		if (st->kept.version)
			write_kept(f, &st->kept);
		write_failures(f, st);
		write_operations(f, st);
		if (fclose(f)) {
			free(text);
			text = NULL;
		}
	}
	free(st);
	return text;
}

int control_ask_metrics(struct control_request *rq, struct control_out *out,
			struct control_answer **answer)
{
	size_t len;
	char *text;

	(void)answer;
	if (!control_done(rq))
		return -EINVAL;
	text = metrics_text(rq->view, &len);
	if (!text)
		return -ENOMEM;
	control_out_json(out, "end", json_pack("{s:o}", "text", control_text(text)));
	free(text);
	return 0;
}
