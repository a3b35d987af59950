/* SPDX-License-Identifier: MIT */
/*
 * base/why.c - a message for the operator: why something cannot be
 */
#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>

bool because(const struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, why->size, fmt, ap);
	va_end(ap);
	return false;
}
