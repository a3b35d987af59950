/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor.h - what may be wrong with a machine that runs cuse_gntdev
 *
 * Each check looks at one thing and tells at least one finding. Those of gntdevctl/doctor_system.c look at files
 * below a root, so that a test, or who repairs a system that is not running, can say where; those of
 * gntdevctl/doctor_daemon.c look at answers of the daemon.
 */
#ifndef GNTDEVCTL_DOCTOR_H
#define GNTDEVCTL_DOCTOR_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

#include "gntdevctl/ctl.h"

enum finding_level {
	FINDING_OK,
	FINDING_INFO,	 /* good to know, nothing to do */
	FINDING_WARNING, /* something will not work, or soon */
	FINDING_FAULT,	 /* clients cannot be served as they should */
	FINDING_LEVELS,
};

/**
 * struct finding - what a check says
 * @check: name of the check
 * @what:  what was found
 * @why:   what it means; "" if there is nothing to say
 * @mend:  the command that mends it; "" if there is none
 */
struct finding {
	enum finding_level level;
	const char *check;
	const char *what;
	const char *why;
	const char *mend;
};

/**
 * struct doctor - what checks know
 * @root:  "" or a directory: the system that is looked at
 * @ctl:   the global options
 * @tell:  takes findings; @arg is for it
 * @hello: the daemon's, NULL if none answers
 * @denied: a daemon answers, and not to this user
 * @xen:   this is a Xen domain; set by doctor_hypervisor()
 */
struct doctor {
	const char *root;
	const struct ctl *ctl;
	void (*tell)(const struct finding *f, void *arg);
	void *arg;
	const json_t *hello;
	bool denied;
	bool xen;
};

/** doctor_tell() - a finding; @fmt and what follows make its `what` */
void doctor_tell(const struct doctor *d, enum finding_level level, const char *check,
		 const char *mend, const char *why, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/* --- gntdevctl/doctor_system.c ---------------------------------------------------------------- */

void doctor_cuse(const struct doctor *d);
void doctor_hypervisor(struct doctor *d);
void doctor_kernel_driver(const struct doctor *d);
/* Nothing to say where there is no Xen. */
void doctor_privcmd(const struct doctor *d);
void doctor_xenfs(const struct doctor *d);
void doctor_gntalloc(const struct doctor *d);
void doctor_node(const struct doctor *d);

/** doctor_service() - @state: what "systemctl is-active" says of it, "" if there is no systemd */
void doctor_service(const struct doctor *d, const char *state);

/** doctor_policy() - @file: below the root */
void doctor_policy(const struct doctor *d, const char *file);

/* --- gntdevctl/doctor_preload.c --------------------------------------------------------------- */

/** doctor_preload() - @bin: directories to look for gntdev-run in, below the root; the last is NULL */
void doctor_preload(const struct doctor *d, const char *const *bin);

/* --- gntdevctl/doctor_daemon.c ---------------------------------------------------------------- */

/** doctor_reload() - @stats: the daemon's, as of all of these */
void doctor_reload(const struct doctor *d, const json_t *stats);
void doctor_limits(const struct doctor *d, const json_t *stats);
void doctor_clients(const struct doctor *d, const json_t *stats);

/** doctor_workers() - @then, @stats: two answers with some time between them */
void doctor_workers(const struct doctor *d, const json_t *then, const json_t *stats);

/**
 * doctor_waiting() - maps whose mmap goes on and on
 * @then, @maps: arrays of objects of "map", with some time between them
 */
void doctor_waiting(const struct doctor *d, const json_t *then, const json_t *maps);

#endif /* GNTDEVCTL_DOCTOR_H */
