/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/unit.c - names of systemd's units, as people write them
 */
#include "gntdevctl/unit.h"

#include <stddef.h>
#include <string.h>

const char *ctl_unit_suffix(const char *name)
{
	static const char *const suffixes[] = { ".service", ".scope",  ".slice",    ".socket",
						".mount",   ".swap",   ".timer",    ".path",
						".device",  ".target", ".automount" };
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (!strcmp(dot, suffixes[i]))
			return "";
	return ".service";
}
