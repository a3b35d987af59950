/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/wrap.c - gntdevctl wrap: have a service's processes started with the preload object
 *
 * By a drop-in of its own name, which is all that it writes and takes away.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gntdevctl/commands.h"
#include "gntdevctl/object.h"
#include "gntdevctl/text.h"
#include "gntdevctl/unit.h"

#define UNITS	"/etc/systemd/system"
#define DROP_IN "50-gntdev-mmap.conf"
/* Of a unit's environment. */
#define SHOWN_MAX 16384

enum {
	OPT_ROOT = 'R',
	OPT_REMOVE = 'r',
};

static const struct argp_option options[] = {
	{ "remove", OPT_REMOVE, NULL, 0, "Take it away again", 1 },
	{ "root", OPT_ROOT, "DIR", 0, "Of the system whose files are below DIR", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct wrap {
	struct ctl *ctl;
	const char *root;
	bool remove;
	char unit[256];
};

/* A name, and no path: it becomes part of one. */
static void take_unit(struct wrap *w, const struct argp_state *state, const char *arg)
{
	const char *suffix = ctl_unit_suffix(arg), *dot;

	if (*w->unit)
		argp_error(state, "\"%s\": one UNIT is wanted", arg);
	if (strchr(arg, '/') || *arg == '.' || !*arg ||
	    snprintf(w->unit, sizeof(w->unit), "%s%s", arg, suffix) >= (int)sizeof(w->unit))
		argp_error(state, "\"%s\": no name of a unit", arg);
	dot = strrchr(w->unit, '.');
	if (!dot || strcmp(dot, ".service") != 0)
		argp_error(state, "%s: only services start processes by what a drop-in says", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct wrap *w = state->input;

	switch (key) {
	case OPT_REMOVE:
		w->remove = true;
		return 0;
	case OPT_ROOT:
		w->root = arg;
		return 0;
	case ARGP_KEY_ARG:
		take_unit(w, state, arg);
		return 0;
	case ARGP_KEY_END:
		if (!*w->unit)
			argp_error(state, "a UNIT is wanted, such as xenstored.service");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- what systemd knows ----------------------------------------------------------------------- */

static bool systemd_runs(const struct wrap *w)
{
	return !*w->root && !access("/run/systemd/system", F_OK);
}

static void reload(const struct wrap *w)
{
	static const char *const command[] = { "systemctl", "daemon-reload", NULL };

	if (systemd_runs(w) && ctl_spawn(command, STDIN_FILENO, STDERR_FILENO))
		ctl_error(CTL_FAILED, "systemctl daemon-reload has failed");
}

/* What it preloads already, with a colon behind each; "" if nothing. */
static void preloaded_before(const struct wrap *w, char *before, size_t size)
{
	/* The name may have come behind "--". */
	const char *const command[] = { "systemctl", "show",  "-P", "Environment",
					"--",	     w->unit, NULL };
	int out = systemd_runs(w) ? memfd_create("environment", MFD_CLOEXEC) : -1;
	char shown[SHOWN_MAX];
	ssize_t n = 0;

	*before = '\0';
	if (out < 0)
		return;
	if (!ctl_spawn(command, STDIN_FILENO, out))
		n = pread(out, shown, sizeof(shown) - 1, 0);
	close(out);
	shown[n > 0 ? n : 0] = '\0';
	ctl_unit_preloads(shown, before, size);
}

/* --- the drop-in ------------------------------------------------------------------------------ */

static int write_drop_in(const struct wrap *w, const char *dir, const char *path)
{
	char object[PATH_MAX], before[SHOWN_MAX + 1];
	FILE *f;

	if (object_find(w->root, object, sizeof(object)) != OBJECT_FOUND || access(object, R_OK))
		return ctl_error(CTL_BAD, OBJECT_NAME " is not there: gntdevctl doctor says more");
	preloaded_before(w, before, sizeof(before));
	if (mkdir(dir, 0755) && errno != EEXIST)
		return ctl_error(CTL_FAILED, "%s: %s", dir, strerror(errno));
	f = fopen(path, "we");
	if (!f)
		return ctl_error(CTL_FAILED, "%s: %s", path, strerror(errno));
	fchmod(fileno(f), 0644);
	fprintf(f,
		"# Written by gntdevctl wrap; gntdevctl wrap --remove takes it away.\n"
		"[Unit]\nWants=" CTL_UNIT "\nAfter=" CTL_UNIT "\n"
		"[Service]\nEnvironment=\"LD_PRELOAD=%s%s\"\n",
		before, object + strlen(w->root));
	if (ferror(f) | fclose(f))
		return ctl_error(CTL_FAILED, "%s: %s", path, strerror(errno));
	return CTL_DONE;
}

static int remove_drop_in(const char *dir, const char *path)
{
	if (unlink(path))
		return ctl_error(errno == ENOENT ? CTL_BAD : CTL_FAILED, "%s: %s", path,
				 strerror(errno));
	/* Others' drop-ins keep it. */
	rmdir(dir);
	return CTL_DONE;
}

static void tell(const struct wrap *w, const char *path)
{
	json_t *o;

	if (w->ctl->json) {
		o = json_pack("{s:s%, s:s%, s:b}", "unit", w->unit, strlen(w->unit), "file", path,
			      strlen(path), "wrapped", !w->remove);
		if (o)
			json_dumpf(o, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
		json_decref(o);
		return;
	}
	fputs(w->remove ? "removed " : "written ", stdout);
	ctl_print_clean(stdout, path);
	fputs("\nit holds from the next start: systemctl restart ", stdout);
	ctl_print_clean(stdout, w->unit);
	putchar('\n');
}

int ctl_wrap(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.args = "UNIT",
		.doc = "Have a service's processes started with the preload object, which gives "
		       "them mmap: write a drop-in for it, and have systemd read it. The service "
		       "is "
		       "not restarted.",
		.examples = "  gntdevctl wrap xenstored\n"
			    "  gntdevctl wrap --remove xenconsoled.service\n",
		.options = options,
		.parse = parse,
	};
	struct wrap w = { .ctl = ctl, .root = "" };
	char dir[PATH_MAX / 2], path[PATH_MAX];
	int status;

	ctl_parse(ctl, &command, argc, argv, &w);
	if (snprintf(dir, sizeof(dir), "%s" UNITS "/%s.d", w.root, w.unit) >= (int)sizeof(dir))
		return ctl_error(CTL_USAGE, "--root: too long");
	snprintf(path, sizeof(path), "%s/" DROP_IN, dir);
	status = w.remove ? remove_drop_in(dir, path) : write_drop_in(&w, dir, path);
	if (status)
		return status;
	reload(&w);
	tell(&w, path);
	return CTL_DONE;
}
