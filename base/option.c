/* SPDX-License-Identifier: MIT */
/*
 * base/option.c - what command lines share
 */
#include "base/option.h"

#include <errno.h>
#include <stdlib.h>

unsigned long option_number(const struct argp_state *state, const char *name, const char *arg,
			    unsigned long min, unsigned long max)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(arg, &end, 0);
	if (errno || end == arg || *end || *arg == '-' || v < min || v > max)
		argp_error(state, "--%s=%s: not a number from %lu to %lu", name, arg, min, max);
	return v;
}
