/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/finding.c - what a check of gntdevctl doctor says
 */
#include "gntdevctl/finding.h"

#include <stdarg.h>
#include <stdio.h>

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

void doctor_tell(const struct doctor *d, enum finding_level level, const char *check,
		 const char *mend, const char *why, const char *fmt, ...)
{
	struct finding f = { .level = level, .check = check, .why = why, .mend = mend };
	char what[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	f.what = what;
	d->tell(&f, d->arg);
}
