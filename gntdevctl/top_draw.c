/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/top_draw.c - one picture of gntdevctl top
 *
 * Lines are cut to the width by the characters they show, so that a terminal never has to wrap one.
 */
#include <math.h>
#include <stdio.h>
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

double ctl_top_within(const struct ctl_top_frame *f, const char *op, double share)
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
		if (sum >= share * all)
			return bound;
	}
	return INFINITY;
}

/* --- drawing ---------------------------------------------------------------------------------- */

/* Below so many columns and lines the less important is left out. */
#define WIDE 70
#define HIGH 16
/* Three shares of large limits, and what is beside them. */
#define ROOMY 100

/* Takes lines of text, with the room that is left. */
struct canvas {
	ctl_top_line_fn put;
	void *arg;
	int width;
	int lines;
};

/* What it says may be what a client has chosen. */
static void line(struct canvas *c, enum ctl_paint paint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void line(struct canvas *c, enum ctl_paint paint, const char *fmt, ...)
{
	char text[1024], cut[1024] = "";
	size_t len;
	va_list ap;
	FILE *f;

	if (c->lines <= 0 || c->width < 0)
		return;
	c->lines--;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Blanks at the end might not fit. */
	for (len = strlen(text); len && text[len - 1] == ' '; len--)
		text[len - 1] = '\0';
	f = fmemopen(cut, sizeof(cut), "w");
	if (f) {
		ctl_print_cut(f, text, (size_t)c->width);
		fclose(f);
	}
	c->put(c->arg, paint, cut);
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

/* What is held, and as what it is shown: as the fullest of them. */
static enum ctl_paint held_paint(const json_t *s, const json_t *limits)
{
	enum ctl_paint worst = CTL_PLAIN;

	for (int i = 0; i < POLICY_N_THINGS; i++) {
		const struct ctl_use use =
			ctl_use(s, limits, POLICY_SCOPE_ALL, (enum policy_thing)i);
		enum ctl_paint paint = ctl_share_paint((uint64_t)use.held, (uint64_t)use.limit);

		worst = paint > worst ? paint : worst;
	}
	return worst;
}

/* "12", or with a limit "12 of 100 (12.0 %)"; "12 (12 %)" where there is little room. */
static struct ctl_text held(const struct canvas *c, const json_t *s, enum policy_thing thing)
{
	const struct ctl_use use =
		ctl_use(s, json_object_get(s, "limits"), POLICY_SCOPE_ALL, thing);
	struct ctl_text t;

	if (c->width >= ROOMY || !use.limit)
		return ctl_share((uint64_t)use.held, (uint64_t)use.limit);
	snprintf(t.s, sizeof(t.s), "%lld (%.0f %%)", use.held,
		 100 * (double)use.held / (double)use.limit);
	return t;
}

static void draw_head(struct canvas *c, const struct ctl_top_frame *f)
{
	const json_t *s = f->stats, *limits = json_object_get(s, "limits");

	line(c, CTL_STRONG, "/dev/%s  hypervisor %s  daemon %lld  version %s",
	     ctl_string(f->hello, "device"), ctl_string(f->hello, "hypervisor"),
	     ctl_integer(f->hello, "pid", 0), ctl_string(f->hello, "version"));
	line(c, held_paint(s, limits), "opens %s  maps %s  pages %s  windows %llu",
	     held(c, s, POLICY_THING_opens).s, held(c, s, POLICY_THING_maps).s,
	     held(c, s, POLICY_THING_pages).s, (unsigned long long)number(s, "windows"));
	if (f->height < HIGH)
		return;
	line(c, ctl_share_paint(number(s, "handles"), number(s, "handle_limit")),
	     "grants %s  quarantined %llu  window places %s",
	     ctl_share(number(s, "handles"), number(s, "handle_limit")).s,
	     (unsigned long long)number(s, "quarantined"),
	     ctl_share(number(s, "window_slots_used"), number(s, "window_slots")).s);
	line(c, CTL_PLAIN, "workers busy %s  waiting %llu  failures %llu",
	     ctl_share(number(s, "workers_busy"), number(s, "workers")).s,
	     (unsigned long long)number(s, "waiting"),
	     (unsigned long long)total(json_object_get(s, "failures")));
	line(c, CTL_PLAIN, "%s", "");
}

/* --- operations ------------------------------------------------------------------------------- */

static struct ctl_text within(const struct ctl_top_frame *f, const char *op, double share)
{
	double us = ctl_top_within(f, op, share);
	struct ctl_text t = { "-" };

	if (isinf(us))
		strcpy(t.s, "longer");
	else if (us > 0)
		t = ctl_us(us);
	return t;
}

static void draw_operation(struct canvas *c, const struct ctl_top_frame *f, const char *op)
{
	double n = growth(f, op, "events"), failed = rate(f, op, "failed");
	struct ctl_text mean = { "-" };

	if (f->before && n > 0)
		mean = ctl_us(growth(f, op, "us") / n);
	if (c->width < WIDE)
		line(c, failed > 0 ? CTL_POOR : CTL_PLAIN, "%-20s %9.0f %9.0f %8s %8s", op,
		     ctl_top_rate(f, op), failed, within(f, op, 0.5).s, within(f, op, 0.99).s);
	else
		line(c, failed > 0 ? CTL_POOR : CTL_PLAIN, "%-20s %10.0f %10.0f %10s %10s %10s", op,
		     ctl_top_rate(f, op), failed, mean.s, within(f, op, 0.5).s,
		     within(f, op, 0.99).s);
}

/* Since the last picture; in the first one, ever. */
static bool is_active(const struct ctl_top_frame *f, const char *op, const json_t *o)
{
	return f->before ? growth(f, op, "events") > 0 : ctl_real(o, "events", 0) > 0;
}

/* Those that are active, as many as leave two thirds of the room to what follows. */
static void draw_operations(struct canvas *c, const struct ctl_top_frame *f)
{
	int room = c->lines / 3, n = 0;
	char more[32] = "";
	const char *name;
	json_t *op;

	json_object_foreach(json_object_get(f->stats, "operations"), name, op)
		n += is_active(f, name, op);
	if (n > room)
		snprintf(more, sizeof(more), " (%d MORE)", n - room);
	snprintf(more + strlen(more), sizeof(more) - strlen(more), "%s", n ? "" : " (NONE)");
	if (c->width < WIDE)
		line(c, CTL_STRONG, "OPERATION%-11s %9s %9s %8s %8s", more, "CALLS/S", "FAILED/S",
		     "P50", "P99");
	else
		line(c, CTL_STRONG, "OPERATION%-11s %10s %10s %10s %10s %10s", more, "CALLS/S",
		     "FAILED/S", "MEAN", "P50", "P99");
	json_object_foreach(json_object_get(f->stats, "operations"), name, op)
		if (is_active(f, name, op) && room-- > 0)
			draw_operation(c, f, name);
	if (f->height >= HIGH)
		line(c, CTL_PLAIN, "%s", "");
}

/* --- rows that are sorted --------------------------------------------------------------------- */

/**
 * struct row - of the table that takes the rest
 * @key: larger ones come first, then smaller @id
 * @o:   an open, or NULL; @d: a domain
 */
struct row {
	uint64_t key;
	uint64_t id;
	const json_t *o;
	const struct ctl_top_domain *d;
};

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->key != y->key)
		return x->key > y->key ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Which of a frame's rows are shown. @want: shown(row), with @any at the end if there are more. */
static void draw_rows(struct canvas *c, struct ctl_top_frame *f, struct row *rows, size_t n,
		      void (*draw)(struct canvas *c, const struct row *r))
{
	size_t room = c->lines > 0 ? (size_t)c->lines : 0, below;

	qsort(rows, n, sizeof(*rows), compare_rows);
	if (f->first + room > n)
		f->first = n > room ? n - room : 0;
	below = n - f->first > room ? n - f->first - room : 0;
	/* The last line says so instead of showing one. */
	if (below && room) {
		below++;
		room--;
	}
	for (size_t i = f->first; i < n && room; i++, room--)
		draw(c, &rows[i]);
	if (below)
		line(c, CTL_PLAIN, "%zu more", below);
	else if (!n)
		line(c, CTL_PLAIN, "%s",
		     *f->filter ? "nothing is as the filter wants it" : "nothing");
}

/* A table's heading: by which column it is sorted has a star. */
static const char *star(const struct ctl_top_frame *f, enum ctl_top_sort sort, const char *with)
{
	return f->sort == sort ? with : with + 1;
}

/* --- opens ------------------------------------------------------------------------------------ */

static const char *belongs_to(const json_t *o)
{
	const char *unit = ctl_string(o, "unit");

	return *unit ? unit : ctl_string(o, "cgroup");
}

/* As a service is called without its suffix, that goes first. */
static void short_unit(char *out, size_t size, const char *unit, size_t width)
{
	static const char suffix[] = ".service";
	size_t n = strlen(unit), short_of = n - (sizeof(suffix) - 1);
	char name[512];

	if (n > width && n >= sizeof(suffix) && !strcmp(unit + short_of, suffix))
		n = short_of;
	snprintf(name, sizeof(name), "%.*s", (int)n, unit);
	ctl_shorten(out, size, name, width);
}

static void draw_open(struct canvas *c, const struct row *r)
{
	const json_t *o = r->o;
	/* Up to where the unit stands. */
	int before = c->width < WIDE ? 48 : 66;
	char command[64], unit[512];

	ctl_clean(command, sizeof(command), ctl_string(o, "command"));
	short_unit(unit, sizeof(unit), belongs_to(o),
		   c->width > before ? (size_t)(c->width - before) : 0);
	if (c->width < WIDE)
		line(c, CTL_PLAIN, "%7lld %-8.8s %8lld %6lld  %-12.12s  %s",
		     ctl_integer(o, "pid", 0), ctl_user((uid_t)ctl_integer(o, "uid", -1)).s,
		     ctl_integer(o, "pages", 0), ctl_integer(o, "maps", 0), command, unit);
	else
		line(c, CTL_PLAIN, "%7lld %-10s %9lld %7lld %8s  %-16s %s",
		     ctl_integer(o, "pid", 0), ctl_user((uid_t)ctl_integer(o, "uid", -1)).s,
		     ctl_integer(o, "pages", 0), ctl_integer(o, "maps", 0),
		     ctl_age(number(o, "age_ms")).s, command, unit);
}

/* Anything of it that is shown as text. */
static bool is_wanted(const struct ctl_top_frame *f, const json_t *o)
{
	char pid[24];

	snprintf(pid, sizeof(pid), "%lld", ctl_integer(o, "pid", 0));
	return strstr(ctl_string(o, "command"), f->filter) || strstr(belongs_to(o), f->filter) ||
	       strstr(ctl_user((uid_t)ctl_integer(o, "uid", -1)).s, f->filter) ||
	       strstr(pid, f->filter);
}

static void draw_opens(struct canvas *c, struct ctl_top_frame *f)
{
	static const char *const keys[] = { "pages", "maps", "age_ms" };
	size_t size = json_array_size(f->opens), n = 0, i;
	struct row *rows = calloc(size + 1, sizeof(*rows));
	json_t *o;

	if (!rows)
		exit(ctl_error(CTL_FAILED, "no memory"));
	json_array_foreach(f->opens, i, o)
		if (!*f->filter || is_wanted(f, o))
			rows[n++] = (struct row){ .key = number(o, keys[f->sort]),
						  .id = strtoull(ctl_string(o, "id"), NULL, 16),
						  .o = o };
	if (c->width < WIDE)
		line(c, CTL_STRONG, "%7s %-8s %8s %6s  %-12s  %s", "PID", "USER",
		     star(f, CTL_TOP_PAGES, "*PAGES"), star(f, CTL_TOP_MAPS, "*MAPS"), "COMMAND",
		     "UNIT OR CGROUP");
	else
		line(c, CTL_STRONG, "%7s %-10s %9s %7s %8s  %-16s %s", "PID", "USER",
		     star(f, CTL_TOP_PAGES, "*PAGES"), star(f, CTL_TOP_MAPS, "*MAPS"),
		     star(f, CTL_TOP_AGE, "*AGE"), "COMMAND", "UNIT OR CGROUP");
	draw_rows(c, f, rows, n, draw_open);
	free(rows);
}

/* --- domains ---------------------------------------------------------------------------------- */

static void count_for(struct ctl_top_domain *d, uint64_t open, uint64_t pages)
{
	d->maps++;
	d->pages += pages;
	/* Maps of one open come one behind the other. */
	d->opens += open && open != d->last;
	d->last = open;
}

/* Which page is whose is not told of a map of several domains: all count for the first. */
void ctl_top_count(struct ctl_top_domain *domain, const json_t *map)
{
	const json_t *domids = json_object_get(map, "domids");
	uint64_t open = strtoull(ctl_string(map, "open"), NULL, 16);
	long long first = ctl_integer(map, "domid", -1), domid;
	json_t *d;
	size_t i;

	if (first >= 0 && first < CTL_TOP_DOMAINS)
		count_for(&domain[first], open, number(map, "pages"));
	json_array_foreach((json_t *)domids, i, d) {
		domid = (long long)json_integer_value(d);
		if (domid >= 0 && domid < CTL_TOP_DOMAINS && domid != first)
			count_for(&domain[domid], open, 0);
	}
}

static void draw_domain(struct canvas *c, const struct row *r)
{
	line(c, CTL_PLAIN, "%7llu %9llu %7llu %7llu", (unsigned long long)r->id,
	     (unsigned long long)r->d->pages, (unsigned long long)r->d->maps,
	     (unsigned long long)r->d->opens);
}

static void draw_domains(struct canvas *c, struct ctl_top_frame *f)
{
	struct row *rows = calloc(CTL_TOP_DOMAINS, sizeof(*rows));
	char domid[8];
	size_t n = 0;

	if (!rows)
		exit(ctl_error(CTL_FAILED, "no memory"));
	for (unsigned int i = 0; i < CTL_TOP_DOMAINS; i++) {
		const struct ctl_top_domain *d = &f->domain[i];

		snprintf(domid, sizeof(domid), "%u", i);
		if (d->maps && strstr(domid, f->filter))
			rows[n++] = (struct row){ .key = f->sort == CTL_TOP_PAGES  ? d->pages
							 : f->sort == CTL_TOP_MAPS ? d->maps
										   : 0,
						  .id = i,
						  .d = d };
	}
	line(c, CTL_STRONG, "%7s %9s %7s %7s", star(f, CTL_TOP_AGE, "*DOMAIN"),
	     star(f, CTL_TOP_PAGES, "*PAGES"), star(f, CTL_TOP_MAPS, "*MAPS"), "OPENS");
	draw_rows(c, f, rows, n, draw_domain);
	free(rows);
}

void ctl_top_draw(struct ctl_top_frame *f, ctl_top_line_fn put, void *arg)
{
	struct canvas c = { put, arg, f->width, f->height };

	draw_head(&c, f);
	draw_operations(&c, f);
	if (f->domain)
		draw_domains(&c, f);
	else
		draw_opens(&c, f);
}
