/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/top_draw.c - one picture of gntdevctl top
 *
 * Lines are cut to the width by the characters they show, so that a terminal never has to wrap one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gntdevctl/client.h"
#include "gntdevctl/share.h"
#include "gntdevctl/text.h"
#include "gntdevctl/top.h"

/* --- rates ------------------------------------------------------------------------------------ */

static const json_t *operation(const json_t *stats, const char *op)
{
	return json_object_get(json_object_get(stats, "operations"), op);
}

/* How much a figure of an operation has grown. */
static double growth(const struct ctl_top_frame *f, const char *op, const char *key)
{
	double now = ctl_real(operation(f->stats, op), key, 0);
	double then = ctl_real(operation(f->before, op), key, 0);

	return now > then ? now - then : 0;
}

static double rate(const struct ctl_top_frame *f, const char *op, const char *key)
{
	if (!f->before || f->seconds <= 0)
		return 0;
	return growth(f, op, key) / f->seconds;
}

double ctl_top_rate(const struct ctl_top_frame *f, const char *op)
{
	return rate(f, op, "events");
}

/* Bounds that are unknown are those of the last bucket. */
static double bound_of(const json_t *bucket)
{
	const json_t *b = json_array_get(bucket, 0);

	return json_is_number(b) ? json_number_value(b) : INFINITY;
}

/* How many there were in the bucket of this bound. */
static double count_at(const json_t *stats, const char *op, double bound)
{
	json_t *bucket;
	size_t i;

	json_array_foreach(json_object_get(operation(stats, op), "histogram"), i, bucket)
		if (bound_of(bucket) == bound)
			return json_number_value(json_array_get(bucket, 1));
	return 0;
}

double ctl_top_within(const struct ctl_top_frame *f, const char *op)
{
	double all = growth(f, op, "events"), sum = 0;
	json_t *bucket;
	size_t i;

	if (!f->before || all <= 0)
		return 0;
	json_array_foreach(json_object_get(operation(f->stats, op), "histogram"), i, bucket) {
		double bound = bound_of(bucket);

		sum += json_number_value(json_array_get(bucket, 1)) -
		       count_at(f->before, op, bound);
		if (sum >= 0.99 * all)
			return bound;
	}
	return INFINITY;
}

/* --- drawing ---------------------------------------------------------------------------------- */

/* Lines of text, with the room that is left. */
struct canvas {
	FILE *out;
	int width;
	int lines;
};

/* What it says may be what a client has chosen. */
static void line(struct canvas *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(struct canvas *c, const char *fmt, ...)
{
	char text[1024];
	size_t len;
	va_list ap;

	if (c->lines <= 0)
		return;
	c->lines--;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Blanks at the end might not fit. */
	for (len = strlen(text); len && text[len - 1] == ' '; len--)
		text[len - 1] = '\0';
	ctl_print_cut(c->out, text, (size_t)c->width);
	fputc('\n', c->out);
}

static uint64_t number(const json_t *o, const char *key)
{
	long long n = ctl_integer(o, key, 0);

	return n > 0 ? (uint64_t)n : 0;
}

static uint64_t total(const json_t *counts)
{
	uint64_t sum = 0;
	const char *name;
	json_t *n;

	json_object_foreach((json_t *)counts, name, n)
		if (json_is_integer(n) && json_integer_value(n) > 0)
			sum += (uint64_t)json_integer_value(n);
	return sum;
}

static void draw_head(struct canvas *c, const struct ctl_top_frame *f)
{
	const json_t *s = f->stats, *limits = json_object_get(s, "limits");

	line(c, "/dev/%s  hypervisor %s  daemon %lld  version %s", ctl_string(f->hello, "device"),
	     ctl_string(f->hello, "hypervisor"), ctl_integer(f->hello, "pid", 0),
	     ctl_string(f->hello, "version"));
	line(c, "opens %s  maps %s  pages %s  windows %llu",
	     ctl_share_of(s, limits, POLICY_SCOPE_ALL, POLICY_THING_opens).s,
	     ctl_share_of(s, limits, POLICY_SCOPE_ALL, POLICY_THING_maps).s,
	     ctl_share_of(s, limits, POLICY_SCOPE_ALL, POLICY_THING_pages).s,
	     (unsigned long long)number(s, "windows"));
	line(c, "grants %s  quarantined %llu  window places %s",
	     ctl_share(number(s, "handles"), number(s, "handle_limit")).s,
	     (unsigned long long)number(s, "quarantined"),
	     ctl_share(number(s, "window_slots_used"), number(s, "window_slots")).s);
	line(c, "workers busy %s  waiting %llu  failures %llu",
	     ctl_share(number(s, "workers_busy"), number(s, "workers")).s,
	     (unsigned long long)number(s, "waiting"),
	     (unsigned long long)total(json_object_get(s, "failures")));
}

static void draw_operation(struct canvas *c, const struct ctl_top_frame *f, const char *op)
{
	double n = growth(f, op, "events"), within = ctl_top_within(f, op);
	struct ctl_text mean = { "-" }, most = { "-" };

	if (f->before && n > 0) {
		mean = ctl_us(growth(f, op, "us") / n);
		most = ctl_us(within);
		if (isinf(within))
			strcpy(most.s, "longer");
	}
	line(c, "%-20s %10.0f %10.0f %10s %10s", op, ctl_top_rate(f, op), rate(f, op, "failed"),
	     mean.s, most.s);
}

/* All that have ever happened, but never more than leaves some room for opens. */
static void draw_operations(struct canvas *c, const struct ctl_top_frame *f)
{
	const char *name;
	json_t *op;

	line(c, "%s", "");
	line(c, "%-20s %10s %10s %10s %10s", "OPERATION", "CALLS/S", "FAILED/S", "MEAN", "99% IN");
	json_object_foreach(json_object_get(f->stats, "operations"), name, op)
		if (ctl_real(op, "events", 0) > 0 && c->lines > 5)
			draw_operation(c, f, name);
}

/* --- opens ------------------------------------------------------------------------------------ */

static int by(const char *key, const void *a, const void *b)
{
	const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
	long long p = ctl_integer(x, key, 0), q = ctl_integer(y, key, 0);

	if (p != q)
		return p > q ? -1 : 1;
	return strcmp(ctl_string(x, "id"), ctl_string(y, "id"));
}

static int by_pages(const void *a, const void *b)
{
	return by("pages", a, b);
}

static int by_maps(const void *a, const void *b)
{
	return by("maps", a, b);
}

static int by_age(const void *a, const void *b)
{
	return by("age_ms", a, b);
}

static void draw_open(struct canvas *c, const json_t *o)
{
	const char *unit = ctl_string(o, "unit");
	char command[64];

	ctl_clean(command, sizeof(command), ctl_string(o, "command"));
	line(c, "%7lld %-10s %9lld %7lld %8s  %-16s %s", ctl_integer(o, "pid", 0),
	     ctl_user((uid_t)ctl_integer(o, "uid", -1)).s, ctl_integer(o, "pages", 0),
	     ctl_integer(o, "maps", 0), ctl_age(number(o, "age_ms")).s, command,
	     *unit ? unit : ctl_string(o, "cgroup"));
}

static void draw_opens(struct canvas *c, struct ctl_top_frame *f)
{
	static int (*const orders[])(const void *a, const void *b) = { by_pages, by_maps, by_age };
	size_t n = json_array_size(f->opens);
	const json_t **sorted = calloc(n + 1, sizeof(*sorted));

	if (!sorted)
		exit(ctl_error(CTL_FAILED, "no memory"));
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(f->opens, i);
	qsort(sorted, n, sizeof(*sorted), orders[f->sort]);
	line(c, "%s", "");
	line(c, "%7s %-10s %9s %7s %8s  %-16s %s", "PID", "USER",
	     f->sort == CTL_TOP_PAGES ? "*PAGES" : "PAGES",
	     f->sort == CTL_TOP_MAPS ? "*MAPS" : "MAPS", f->sort == CTL_TOP_AGE ? "*AGE" : "AGE",
	     "COMMAND", "UNIT OR CGROUP");
	for (size_t i = 0; i < n && c->lines > 0; i++)
		draw_open(c, sorted[i]);
	free(sorted);
}

void ctl_top_draw(struct ctl_top_frame *f, FILE *out)
{
	struct canvas c = { out, f->width, f->height };

	draw_head(&c, f);
	draw_operations(&c, f);
	draw_opens(&c, f);
}
