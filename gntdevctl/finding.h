/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/finding.h - what a check of gntdevctl doctor knows, and what it says
 *
 * Each check looks at one thing and tells at least one finding. gntdevctl/doctor.c is the visit that makes them all.
 */
#ifndef GNTDEVCTL_FINDING_H
#define GNTDEVCTL_FINDING_H

#include <jansson.h>
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
 * @id:    "CHECK/WORD", which stays when texts change
 * @check: name of the check
 * @what:  what was found
 * @why:   what it means; "" if there is nothing to say
 * @mend:  the command that mends it; "" if there is none
 */
struct finding {
	enum finding_level level;
	const char *id;
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

/** doctor_tell() - a finding; @fmt and what follows make its `what`, @id its `check`, too */
void doctor_tell(const struct doctor *d, enum finding_level level, const char *id, const char *mend,
		 const char *why, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/** finding_level_name() - "ok", "info", "warning" or "fault" */
const char *finding_level_name(enum finding_level level);

#endif /* GNTDEVCTL_FINDING_H */
