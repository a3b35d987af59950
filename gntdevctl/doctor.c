/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor.c - gntdevctl doctor: look for what is wrong, and say what mends it
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/out.h"
#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/doctor_clients.h"
#include "gntdevctl/doctor_daemon.h"
#include "gntdevctl/doctor_keeper.h"
#include "gntdevctl/doctor_preload.h"
#include "gntdevctl/doctor_system.h"
#include "gntdevctl/service.h"
#include "gntdevctl/terminal.h"
#include "gntdevctl/text.h"

enum {
	OPT_ROOT = 'R',
};

static const struct argp_option options[] = {
	{ "root", OPT_ROOT, "DIR", 0, "Look at the system whose files are below DIR", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct doctor_args {
	const char *root;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct doctor_args *a = state->input;

	switch (key) {
	case OPT_ROOT:
		a->root = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- findings --------------------------------------------------------------------------------- */

/* What is printed for each finding, and how many there were of each level. */
struct report {
	bool json;
	unsigned int count[FINDING_LEVELS];
};

static void print_json(const struct finding *f)
{
	json_t *o = json_pack("{s:{s:s, s:s, s:s, s:o, s:o, s:o}}", "finding", "id", f->id, "check",
			      f->check, "level", finding_level_name(f->level), "what",
			      control_text(f->what), "why", control_text(f->why), "mend",
			      control_text(f->mend));

	if (!o)
		exit(ctl_error(CTL_FAILED, "no memory"));
	json_dumpf(o, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(o);
}

static void take_finding(const struct finding *f, void *arg)
{
	static const enum ctl_paint paint[FINDING_LEVELS] = {
		[FINDING_OK] = CTL_GOOD,
		[FINDING_INFO] = CTL_PLAIN,
		[FINDING_WARNING] = CTL_POOR,
		[FINDING_FAULT] = CTL_WRONG,
	};
	struct report *r = arg;

	r->count[f->level]++;
	if (r->json) {
		print_json(f);
		return;
	}
	printf("%s%-8s%s %-14s ", ctl_paint(paint[f->level]), finding_level_name(f->level),
	       ctl_paint(CTL_PLAIN), f->check);
	ctl_print_clean(stdout, f->what);
	putchar('\n');
	if (*f->why) {
		printf("%-8s %-14s why:  ", "", "");
		ctl_print_clean(stdout, f->why);
		putchar('\n');
	}
	if (*f->mend) {
		printf("%-8s %-14s mend: ", "", "");
		ctl_print_clean(stdout, f->mend);
		putchar('\n');
	}
}

/* --- asking ----------------------------------------------------------------------------------- */

/* When a client last gave up for want of mmap. @arg: its time, ns since 1970 */
static bool take_failure(const struct ctl_record *r, void *arg)
{
	if (!strcmp(r->name, "failure") && !strcmp(ctl_string(r->value, "kind"), "preload"))
		*(long long *)arg = ctl_integer(r->value, "time", 0);
	return true;
}

static bool take_open(const struct ctl_record *r, void *arg)
{
	if (!strcmp(r->name, "open"))
		json_array_append(arg, r->value);
	return true;
}

/* The connection is at its end if the daemon is. */
static void look_at_opens(const struct doctor *d, struct ctl_client *c)
{
	json_t *list = ctl_request("list"), *opens = json_array();

	ctl_set(list, "maps", json_false());
	if (!opens)
		exit(ctl_error(CTL_FAILED, "no memory"));
	if (!ctl_each(c, list, take_open, opens, NULL))
		doctor_objects(d, opens);
	json_decref(opens);
}

static bool take_map(const struct ctl_record *r, void *arg)
{
	if (!strcmp(r->name, "map") && !strcmp(ctl_string(r->value, "state"), "mapping"))
		json_array_append(arg, r->value);
	return true;
}

/* stats, and the maps that are being mapped. Return: 0, or c->status. */
static int sample(struct ctl_client *c, json_t **stats, json_t **maps)
{
	int status = ctl_each(c, ctl_request("stats"), NULL, NULL, stats);

	*maps = json_array();
	if (!*maps)
		exit(ctl_error(CTL_FAILED, "no memory"));
	return status ? status : ctl_each(c, ctl_request("list"), take_map, *maps, NULL);
}

/* What takes some time to see. */
static void look_twice(const struct doctor *d, struct ctl_client *c)
{
	json_t *stats = NULL, *then = NULL, *maps = NULL, *maps_then = NULL;
	long long last = 0;

	if (!sample(c, &then, &maps_then) && !sleep(1) && !sample(c, &stats, &maps)) {
		doctor_reload(d, stats);
		doctor_lease(d, stats);
		doctor_limits(d, stats);
		doctor_workers(d, then, stats);
		doctor_waiting(d, maps_then, maps);
		ctl_each(c, ctl_request("errors"), take_failure, &last, NULL);
		doctor_clients(d, stats, last, (long long)clock_realtime_ns());
		look_at_opens(d, c);
	} else {
		doctor_tell(d, FINDING_FAULT, "daemon/lost", "systemctl restart " CTL_UNIT,
			    "it has answered at first: it has ended, or hangs", "%s", c->why);
	}
	json_decref(stats);
	json_decref(then);
	json_decref(maps);
	json_decref(maps_then);
}

/* --- the visit -------------------------------------------------------------------------------- */

static void look_at_system(struct doctor *d)
{
	doctor_cuse(d);
	doctor_kernel_driver(d);
	doctor_hypervisor(d);
	doctor_privcmd(d);
	doctor_xenfs(d);
	doctor_gntalloc(d);
}

static void look_at_install(const struct doctor *d)
{
	doctor_preload(d);
	doctor_units(d);
	doctor_policy(d, CTL_POLICY);
}

/* The control socket of the system that is looked at. */
static int socket_path(const struct doctor *d, char *path, size_t size)
{
	size_t n = d->ctl->socket ? 0 : strlen(d->root);

	if (n >= size)
		return ctl_error(CTL_USAGE, "--root: too long");
	memcpy(path, d->root, n);
	return ctl_socket_path(d->ctl, path + n, size - n);
}

/* Return: the exit status. */
static int visit(struct doctor *d, struct report *r)
{
	struct service service = { 0 };
	char path[512];
	json_t *hello = NULL;
	struct ctl_client c;
	int status = socket_path(d, path, sizeof(path));

	if (status)
		return status;
	if (!ctl_open(&c, path))
		ctl_each(&c, ctl_request("hello"), NULL, NULL, &hello);
	d->hello = hello;
	d->denied = !hello && c.status == CTL_DENIED;
	if (!hello)
		service_ask(&service, d->root);
	look_at_system(d);
	look_at_install(d);
	doctor_service(d, &service);
	if (!hello && !d->denied)
		doctor_keeper(d);
	doctor_run_dir(d);
	doctor_node(d);
	if (hello)
		look_twice(d, &c);
	ctl_close(&c);
	json_decref(hello);
	return r->count[FINDING_FAULT] ? CTL_BAD : CTL_DONE;
}

int ctl_doctor(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Look for what is wrong with this machine, as far as it concerns the "
		       "device, and say for each fault what it means and which command mends it. "
		       "Takes a second.",
		.examples = "  gntdevctl doctor && echo all is well\n"
			    "  gntdevctl doctor --json | grep '\"level\":\"fault\"'\n",
		.options = options,
		.parse = parse,
	};
	struct doctor_args a = { .root = "" };
	struct report r = { 0 };
	struct doctor d = { .ctl = ctl, .tell = take_finding, .arg = &r };
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	ctl_page(ctl);
	r.json = ctl->json;
	d.root = a.root;
	status = visit(&d, &r);
	if (status != CTL_USAGE && !r.json && !ctl->rows)
		printf("%u faults, %u warnings\n", r.count[FINDING_FAULT],
		       r.count[FINDING_WARNING]);
	return status;
}
