/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/finding.c - what a check of gntdevctl doctor says
 */
#include "gntdevctl/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *finding_level_name(enum finding_level level)
{
	static const char *const names[FINDING_LEVELS] = {
		[FINDING_OK] = "ok",
		[FINDING_INFO] = "info",
		[FINDING_WARNING] = "warning",
		[FINDING_FAULT] = "fault",
	};

	return names[level];
}

void doctor_tell(const struct doctor *d, enum finding_level level, const char *id, const char *mend,
		 const char *why, const char *fmt, ...)
{
	struct finding f = { .level = level, .id = id, .why = why, .mend = mend };
	char what[1024], check[32];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(check, sizeof(check), "%.*s", (int)strcspn(id, "/"), id);
	f.check = check;
	f.what = what;
	d->tell(&f, d->arg);
}
