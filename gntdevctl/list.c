/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/list.c - gntdevctl list, gntdevctl show
 *
 * A hundred thousand maps are printed as they come; nothing is kept.
 */
#include "gntdevctl/list.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/terminal.h"
#include "gntdevctl/text.h"
#include "gntdevctl/unit.h"
#include "base/option.h"

/* --- filters ---------------------------------------------------------------------------------- */

enum {
	OPT_PID = 'p',
	OPT_USER = 'u',
	OPT_DOMID = 'd',
	OPT_UNIT = 'U',
	OPT_OPENS = 0x200,
};

static const struct argp_option filter_options[] = {
	{ "pid", OPT_PID, "PID", 0, "Only opens by this process", 1 },
	{ "user", OPT_USER, "USER", 0, "Only opens by this user, a name or a number", 1 },
	{ "uid", 0, NULL, OPTION_ALIAS, NULL, 1 },
	{ "unit", OPT_UNIT, "UNIT", 0, "Only opens by this systemd unit", 1 },
	{ "domid", OPT_DOMID, "DOMID", 0, "Only maps of pages of this domain, and their opens", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static unsigned long parse_user(const struct argp_state *state, const char *arg)
{
	/* cppcheck-suppress getpwnamCalled ; there is one thread */
	const struct passwd *pw = getpwnam(arg);

	if (!pw && (*arg < '0' || *arg > '9'))
		argp_error(state, "--user=%s: no such user", arg);
	return pw ? pw->pw_uid : option_number(state, "user", arg, 0, UINT32_MAX);
}

static json_t *parse_unit(const struct argp_state *state, const char *arg)
{
	json_t *unit = json_sprintf("%s%s", arg, ctl_unit_suffix(arg));

	if (!unit)
		argp_error(state, "--unit: a unit's name is UTF-8");
	return unit;
}

static error_t parse_filter(int key, char *arg, struct argp_state *state)
{
	struct ctl_filter *f = state->input;

	switch (key) {
	case OPT_PID:
		ctl_set(f->request, "pid",
			json_integer((long)option_number(state, "pid", arg, 1, INT32_MAX)));
		return 0;
	case OPT_USER:
		ctl_set(f->request, "uid", json_integer((long)parse_user(state, arg)));
		return 0;
	case OPT_DOMID:
		ctl_set(f->request, "domid",
			json_integer((long)option_number(state, "domid", arg, 0, UINT16_MAX)));
		return 0;
	case OPT_UNIT:
		ctl_set(f->request, "unit", parse_unit(state, arg));
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp ctl_filters = { .options = filter_options, .parser = parse_filter };

struct ctl_filter ctl_filter_init(void)
{
	return (struct ctl_filter){ ctl_request("list") };
}

static bool filter_any(const struct ctl_filter *f)
{
	static const char *const keys[] = { "pid", "uid", "unit", "domid" };
	bool any = false;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		any |= json_object_get(f->request, keys[i]) != NULL;
	return any;
}

/* --- list ------------------------------------------------------------------------------------- */

static const struct argp_option list_options[] = {
	{ "opens", OPT_OPENS, NULL, 0, "Opens only, without their maps", 1 },
	CTL_OPTION_WATCH,
	{ NULL, 0, NULL, 0, NULL, 0 },
};

/**
 * struct list_args - the command line
 * @opens: without maps
 */
struct list_args {
	struct ctl_filter filter;
	struct ctl *ctl;
	bool opens;
};

static error_t parse_list(int key, char *arg, struct argp_state *state)
{
	struct list_args *a = state->input;

	(void)arg;
	if (key != OPT_OPENS)
		return ARGP_ERR_UNKNOWN;
	a->opens = true;
	ctl_set(a->filter.request, "maps", json_false());
	return 0;
}

/* Where the process belongs, as far as it is known. */
static const char *belongs_to(const json_t *o)
{
	const char *unit = ctl_string(o, "unit");

	return *unit ? unit : ctl_string(o, "cgroup");
}

static const char *mode_of(const json_t *map)
{
	const json_t *readonly = json_object_get(map, "readonly");

	if (!json_is_boolean(readonly))
		return "-";
	return json_is_true(readonly) ? "ro" : "rw";
}

/* "3", or "3,4,7": what does not fit is left out, with a "+". */
static struct ctl_text domids_of(const json_t *map)
{
	const json_t *all = json_object_get(map, "domids");
	struct ctl_text t;
	size_t at = 0, i;
	json_t *d;

	if (json_array_size(all) < 2) {
		snprintf(t.s, sizeof(t.s), "%lld", ctl_integer(map, "domid", -1));
		return t;
	}
	json_array_foreach(all, i, d) {
		if (at > sizeof(t.s) - 16) {
			snprintf(t.s + at, sizeof(t.s) - at, "+");
			break;
		}
		at += (size_t)snprintf(t.s + at, sizeof(t.s) - at, "%s%lld", i ? "," : "",
				       (long long)json_integer_value(d));
	}
	return t;
}

/* A process that is 0 is there, but in another pid namespace. */
static struct ctl_text process(const json_t *o, const char *key)
{
	long long pid = ctl_integer(o, key, -1);
	struct ctl_text t = { "-" };

	if (pid == 0)
		snprintf(t.s, sizeof(t.s), "hidden");
	else if (pid > 0)
		snprintf(t.s, sizeof(t.s), "%lld", pid);
	return t;
}

static void print_open(const json_t *o)
{
	ctl_column(stdout, ctl_string(o, "id"), 12);
	printf("%7s ", process(o, "pid").s);
	ctl_column(stdout, ctl_user((uid_t)ctl_integer(o, "uid", -1)).s, 10);
	ctl_column(stdout, ctl_string(o, "command"), 15);
	printf("%7lld %8lld  %-8s ", ctl_integer(o, "maps", 0), ctl_integer(o, "pages", 0),
	       ctl_age((uint64_t)ctl_integer(o, "age_ms", 0)).s);
	ctl_print_clean(stdout, belongs_to(o));
	putchar('\n');
}

static enum ctl_paint state_paint(const char *state)
{
	if (!strcmp(state, "mapped"))
		return CTL_GOOD;
	return strcmp(state, "unusable") != 0 ? CTL_PLAIN : CTL_WRONG;
}

static void print_map(const json_t *m)
{
	char id[64], state[32];

	ctl_clean(id, sizeof(id), ctl_string(m, "id"));
	ctl_clean(state, sizeof(state), ctl_string(m, "state"));
	printf("  %-22s %6s %7lld  %-4s %s%-9s%s %7s  %s\n", id, domids_of(m).s,
	       ctl_integer(m, "pages", 0), mode_of(m), ctl_paint(state_paint(state)), state,
	       ctl_paint(CTL_PLAIN), ctl_age((uint64_t)ctl_integer(m, "age_ms", 0)).s,
	       process(m, "holder").s);
}

/**
 * struct lister - the table as far as it is printed
 * @any:      there was a row
 * @detached: what comes belongs to no open above it
 * @opens, @maps, @pages: what the rows of opens say
 */
struct lister {
	const struct ctl *ctl;
	bool any;
	bool detached;
	long long opens, maps, pages;
};

static void print_head(void)
{
	printf("%s%-12s %7s %-10s %-15s %7s %8s  %-8s %s\n"
	       "  %-22s %6s %7s  %-4s %-9s %7s  %s%s\n",
	       ctl_paint(CTL_STRONG), "OPEN", "PID", "USER", "COMMAND", "MAPS", "PAGES", "AGE",
	       "UNIT OR CGROUP", "MAP", "DOMID", "PAGES", "MODE", "STATE", "AGE", "HOLDER",
	       ctl_paint(CTL_PLAIN));
}

/* Maps that outlive UNMAP_GRANT_REF or their open come last. */
static void print_heading(struct lister *l, const json_t *map)
{
	if (l->detached || strcmp(ctl_string(map, "state"), "detached") != 0)
		return;
	l->detached = true;
	if (!l->ctl->rows)
		puts("unmapped or closed by their clients, and in use until the last munmap:");
}

static bool list_record(const struct ctl_record *r, void *arg)
{
	struct lister *l = arg;

	if (l->ctl->json)
		return ctl_print_record(r);
	if (!l->any && !l->ctl->rows)
		print_head();
	l->any = true;
	if (!strcmp(r->name, "open")) {
		l->opens++;
		l->maps += ctl_integer(r->value, "maps", 0);
		l->pages += ctl_integer(r->value, "pages", 0);
		print_open(r->value);
	}
	if (strcmp(r->name, "map") != 0)
		return !ferror(stdout);
	print_heading(l, r->value);
	print_map(r->value);
	return !ferror(stdout);
}

/* The daemon counts what it has sent: with maps these, without what their opens say. */
static void print_sums(const struct lister *l, const struct list_args *a, bool filtered,
		       const json_t *end)
{
	if (!l->any)
		puts(filtered ? "no open and no map is as asked for"
			      : "nobody has the device open");
	if (a->opens)
		printf("%lld opens, %lld maps, %lld pages\n", l->opens, l->maps, l->pages);
	else
		printf("%lld opens, %lld maps, %lld pages\n", ctl_integer(end, "opens", 0),
		       ctl_integer(end, "maps", 0), ctl_integer(end, "pages", 0));
}

static int list_once(void *arg)
{
	struct list_args *a = arg;
	struct lister l = { .ctl = a->ctl };
	json_t *end;
	int status = ctl_query(a->ctl, json_incref(a->filter.request), list_record, &l, &end);

	if (end && !a->ctl->json && !a->ctl->rows)
		print_sums(&l, a, filter_any(&a->filter), end);
	json_decref(end);
	return status;
}

int ctl_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "List the open files of the device, and below each what it maps.",
		.examples = "  gntdevctl list --domid 7         who maps pages of domain 7?\n"
			    "  gntdevctl list --opens -u root   the opens of user root\n",
		.options = list_options,
		.parse = parse_list,
		.more = &ctl_filters,
	};
	struct list_args a = { .filter = ctl_filter_init(), .ctl = ctl };
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	status = ctl_repeat(ctl, list_once, &a);
	json_decref(a.filter.request);
	return status;
}

/* --- show ------------------------------------------------------------------------------------- */

static const struct argp_option show_options[] = {
	CTL_OPTION_WATCH,
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct show_args {
	struct ctl *ctl;
	const char *id;
	json_t *request;
};

static error_t parse_show(int key, char *arg, struct argp_state *state)
{
	struct show_args *a = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (a->id)
			argp_error(state, "one ID is wanted");
		a->id = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->id)
			argp_error(state,
				   "an ID is wanted: that of an open, or OPEN:INDEX of a map, as "
				   "\"gntdevctl list\" shows them");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* OPEN or OPEN:INDEX, both hexadecimal. Return: NULL if it is neither. */
static json_t *show_request(const char *id)
{
	size_t open = strspn(id, "0123456789abcdefABCDEF");
	unsigned long long index = 0;
	json_t *r;
	char *end;

	if (!open || open > 16 || (id[open] && id[open] != ':'))
		return NULL;
	if (id[open]) {
		const char *hex = id + open + 1;

		index = strtoull(hex, &end, 16);
		if (!*hex || *end || strspn(hex, "0123456789abcdefABCDEF") > 15 || *hex == '-')
			return NULL;
	}
	r = ctl_request("show");
	ctl_set(r, "open", json_stringn(id, open));
	if (id[open])
		ctl_set(r, "index", json_integer((json_int_t)index));
	return r;
}

static void field(const char *name, const char *value)
{
	if (!*value)
		return;
	printf("  %-10s ", name);
	ctl_print_clean(stdout, value);
	putchar('\n');
}

static void show_open(const json_t *o)
{
	printf("open ");
	ctl_print_clean(stdout, ctl_string(o, "id"));
	printf("\n  %-10s %s ", "process", process(o, "pid").s);
	ctl_print_clean(stdout, ctl_string(o, "command"));
	printf("\n  %-10s %s (uid %lld, gid %lld)\n", "user",
	       ctl_user((uid_t)ctl_integer(o, "uid", -1)).s, ctl_integer(o, "uid", -1),
	       ctl_integer(o, "gid", -1));
	field("unit", ctl_string(o, "unit"));
	field("cgroup", ctl_string(o, "cgroup"));
	printf("  %-10s %s ago\n", "opened", ctl_age((uint64_t)ctl_integer(o, "age_ms", 0)).s);
	printf("  %-10s %lld maps, %lld pages\n", "counts", ctl_integer(o, "maps", 0),
	       ctl_integer(o, "pages", 0));
	printf("  %-10s %s\n", "windows",
	       json_is_true(json_object_get(o, "windows")) ? "asked for by a preload object"
							   : "never asked for");
}

static void show_refs(const json_t *map)
{
	const json_t *refs = json_object_get(map, "refs");
	long long left = ctl_integer(map, "pages", 0) - (long long)json_array_size(refs);
	json_t *ref;
	size_t i;

	if (!json_array_size(refs))
		return;
	printf("  %-10s", "refs");
	json_array_foreach(refs, i, ref)
		printf(" %lld", (long long)json_integer_value(ref));
	if (left > 0)
		printf(" and %lld more", left);
	putchar('\n');
}

static void show_holders(const json_t *map)
{
	json_t *h;
	size_t i;

	json_array_foreach(json_object_get(map, "holders"), i, h) {
		printf("  %-10s %s ", i ? "" : "held by", process(h, "pid").s);
		ctl_print_clean(stdout, ctl_string(h, "command"));
		putchar('\n');
	}
}

static void show_map(const json_t *m)
{
	const char *mode = mode_of(m);

	printf("map ");
	ctl_print_clean(stdout, ctl_string(m, "id"));
	printf("\n  %-10s %lld of domain %s\n", "pages", ctl_integer(m, "pages", 0),
	       domids_of(m).s);
	printf("  %-10s ", "state");
	ctl_print_clean(stdout, ctl_string(m, "state"));
	puts(*mode == '-' ? "" : !strcmp(mode, "ro") ? ", to read" : ", to read and write");
	printf("  %-10s %s\n", "age", ctl_age((uint64_t)ctl_integer(m, "age_ms", 0)).s);
	if (json_object_get(m, "holder"))
		printf("  %-10s %s\n", "mapped by", process(m, "holder").s);
	show_refs(m);
	show_holders(m);
}

static bool show_record(const struct ctl_record *r, void *arg)
{
	const struct ctl *ctl = arg;

	if (ctl->json)
		return ctl_print_record(r);
	if (!strcmp(r->name, "open"))
		show_open(r->value);
	else if (!strcmp(r->name, "map"))
		show_map(r->value);
	return !ferror(stdout);
}

static int show_once(void *arg)
{
	struct show_args *a = arg;
	json_t *end;
	int status = ctl_query(a->ctl, json_incref(a->request), show_record, a->ctl, &end);

	json_decref(end);
	return status;
}

int ctl_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.args = "ID",
		.doc = "Show one open with all its maps, or one map (OPEN:INDEX), each with its "
		       "grant references and the processes that hold its window now.",
		.examples = "  gntdevctl show 1           open 1, as list names it\n"
			    "  gntdevctl show 1:3000      one map of it\n",
		.options = show_options,
		.parse = parse_show,
	};
	struct show_args a = { .ctl = ctl };
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	a.request = show_request(a.id);
	if (!a.request)
		return ctl_error(
			CTL_USAGE,
			"%s: neither the id of an open nor OPEN:INDEX (see gntdevctl list)", a.id);
	status = ctl_repeat(ctl, show_once, &a);
	json_decref(a.request);
	return status;
}
