/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_clients.c - gntdevctl doctor: do clients have the preload object?
 */
#include "gntdevctl/doctor_clients.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "gntdevctl/object.h"
#include "gntdevctl/text.h"
#include "gntdevctl/unit.h"

/* So many are told: who has more has one reason. */
#define TOLD_MAX 16
/* Of one user: who makes us wait may have any number of processes that do. */
#define LATE_MAX 3
/* timeout(1) may be hit by its own signal, and anything less is grep's. */
#define TIMED_OUT 124

/*
 * A process can make whoever looks at its mappings wait (its memory on a file system that does not answer); a signal that
 * kills ends that. Return: 0 if the object is there, 1 if not, anything else: not known.
 */
static int lacks_object(const char *root, long long pid)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), status;
	char path[512];
	const char *const look[] = { "timeout", "-s",	     "KILL", "2", "grep",
				     "-qs",	OBJECT_NAME, path,   NULL };

	snprintf(path, sizeof(path), "%s/proc/%lld/maps", root, pid);
	status = null < 0 || access(path, R_OK) ? -1 : ctl_spawn(look, null, null);
	if (null >= 0)
		close(null);
	return status;
}

/* One that can be started again: all that a user's own manager has started is of the unit of that, user@UID.service. */
static bool is_service(const char *unit)
{
	size_t n = strlen(unit), suffix = sizeof(".service") - 1;

	return n > suffix && !strcmp(unit + n - suffix, ".service") &&
	       strncmp(unit, "user@", 5) != 0;
}

/* It is there to be run by root, and a name is what a client likes, or has a backslash (systemd-escape(1)). */
static void mend_client(char *mend, size_t size, const char *command, const char *unit)
{
	FILE *f = fmemopen(mend, size, "w");

	*mend = '\0';
	if (!f)
		return;
	if (is_service(unit)) {
		fputs("gntdevctl wrap ", f);
		ctl_print_word(f, unit);
		fputs("; systemctl restart ", f);
		ctl_print_word(f, unit);
	} else {
		fputs("gntdev-run ", f);
		ctl_print_word(f, command);
		fputs(" ... (end it, and start it so)", f);
	}
	fclose(f);
}

static void without_object(const struct doctor *d, const json_t *o)
{
	char command[64], unit[256];
	/* Two words, in which a quotation mark takes four. */
	char mend[8 * sizeof(unit) + 64];

	ctl_clean(command, sizeof(command), ctl_string(o, "command"));
	ctl_clean(unit, sizeof(unit), ctl_string(o, "unit"));
	mend_client(mend, sizeof(mend), command, unit);
	doctor_tell(
		d, FINDING_WARNING, "objects/missing", mend,
		"the kernel gives it ENODEV if it maps; one that copies alone (GRANT_COPY) needs "
		"none",
		"process %lld, %s%s%s, has the device open, and no preload object",
		ctl_integer(o, "pid", 0), command, *unit ? " of " : "", unit);
}

/* Whether an open's process is one to look at. A process may have many opens: @seen are those that were asked for. */
static bool is_suspect(json_t *seen, const json_t *o)
{
	long long pid = ctl_integer(o, "pid", 0);
	char key[24];

	snprintf(key, sizeof(key), "%lld", pid);
	if (json_object_get(seen, key))
		return false;
	json_object_set_new(seen, key, json_true());
	return !json_is_true(json_object_get(o, "windows")) && pid > 0;
}

/**
 * struct looks - what is known of the processes that were looked at
 * @unknown: nothing is of so many; @late: by user, how many of these have made us wait
 */
struct looks {
	unsigned int lacking, unknown;
	json_t *late;
};

static void look_at(const struct doctor *d, const json_t *o, struct looks *l)
{
	long long late;
	char user[24];
	int lacks = -1;

	snprintf(user, sizeof(user), "%lld", ctl_integer(o, "uid", -1));
	late = ctl_integer(l->late, user, 0);
	if (late < LATE_MAX)
		lacks = lacks_object(d->root, ctl_integer(o, "pid", 0));
	if (lacks >= TIMED_OUT)
		json_object_set_new(l->late, user, json_integer(late + 1));
	if (lacks == 1)
		without_object(d, o);
	l->lacking += lacks == 1;
	l->unknown += lacks != 0 && lacks != 1;
}

void doctor_objects(const struct doctor *d, const json_t *opens)
{
	json_t *seen = json_object();
	struct looks l = { .late = json_object() };

	for (size_t i = 0; i < json_array_size(opens) && l.lacking < TOLD_MAX; i++)
		if (is_suspect(seen, json_array_get(opens, i)))
			look_at(d, json_array_get(opens, i), &l);
	json_decref(seen);
	json_decref(l.late);
	if (!l.lacking && l.unknown)
		doctor_tell(
			d, FINDING_INFO, "objects/not-seen", "sudo gntdevctl doctor",
			"only root may look into others' processes; those that have just ended are "
			"among them",
			"of %u processes that have the device open it is not seen whether they "
			"have the preload object",
			l.unknown);
	else if (!l.lacking)
		doctor_tell(d, FINDING_OK, "objects/ok", "", "",
			    "no process has the device open without the preload object");
}

void doctor_units(const struct doctor *d)
{
	static const char *const units[] = { "xenstored.service", "xenconsoled.service",
					     "xen-qemu-dom0-disk-backend.service", "xen.service" };
	char mend[256];

	for (size_t i = 0; d->xen && i < sizeof(units) / sizeof(units[0]); i++) {
		int has = ctl_unit_has(d->root, units[i], OBJECT_NAME);

		snprintf(mend, sizeof(mend), "gntdevctl wrap %s (then restart the machine)",
			 units[i]);
		if (has > 0)
			doctor_tell(d, FINDING_OK, "units/ok", "", "",
				    "%s is given the preload object", units[i]);
		else if (!has)
			doctor_tell(d, FINDING_WARNING, "units/no-object", mend,
				    "what it starts maps grants, and gets ENODEV from mmap",
				    "%s is not given the preload object", units[i]);
	}
}
