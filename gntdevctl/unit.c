/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/unit.c - names of systemd's units, as people write them
 */
#include "gntdevctl/unit.h"

#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gntdevctl/object.h"

#define VARIABLE "LD_PRELOAD="

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

static bool file_has(const char *path, const char *text)
{
	char line[1024];
	bool has = false;
	FILE *f = fopen(path, "re");

	while (f && !has && fgets(line, sizeof(line), f))
		has = line[0] != '#' && strstr(line, text);
	if (f)
		fclose(f);
	return has;
}

static bool any_drop_in_has(const char *root, const char *dir, const char *unit, const char *text)
{
	char pattern[PATH_MAX];
	bool has = false;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s%s/%s.d/*.conf", root, dir, unit);
	if (glob(pattern, 0, NULL, &found))
		return false;
	for (size_t i = 0; i < found.gl_pathc && !has; i++)
		has = file_has(found.gl_pathv[i], text);
	globfree(&found);
	return has;
}

int ctl_unit_has(const char *root, const char *unit, const char *text)
{
	static const char *const dirs[] = {
		"/etc/systemd/system",	       "/run/systemd/system",
		"/run/systemd/generator.late", "/usr/local/lib/systemd/system",
		"/usr/lib/systemd/system",     "/lib/systemd/system"
	};
	bool has = false, there = false;
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s%s/%s", root, dirs[i], unit);
		there |= !access(path, F_OK);
		has |= file_has(path, text) || any_drop_in_has(root, dirs[i], unit, text);
	}
	return there ? has : -1;
}

/* Others' names may end like it. Return: its value; NULL: it is not set */
static char *find_variable(char *environment, bool *quoted)
{
	char *at = environment;

	while ((at = strstr(at, VARIABLE)) && at > environment && !strchr(" \"", at[-1]))
		at++;
	*quoted = at && at > environment && at[-1] == '"';
	return at ? at + sizeof(VARIABLE) - 1 : NULL;
}

void ctl_unit_preloads(char *environment, char *others, size_t size)
{
	bool quoted;
	char *list = find_variable(environment, &quoted), *object;
	size_t n = 0;

	*others = '\0';
	if (!list)
		return;
	/* What has blanks in it is quoted. */
	list[strcspn(list, quoted ? "\"\n" : " \n")] = '\0';
	while ((object = strsep(&list, ": ")))
		if (*object && !strstr(object, OBJECT_NAME) && n < size)
			n += (size_t)snprintf(others + n, size - n, "%s:", object);
}
