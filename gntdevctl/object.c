/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/object.c - where the preload object is
 */
#include "gntdevctl/object.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where gntdev-run looks when the object does not lie beside it: its line installed=DIRECTORY. */
static bool installed_path(FILE *f, char *dir, size_t size)
{
	static const char key[] = "installed=";
	char line[PATH_MAX];

	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, sizeof(key) - 1) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		return snprintf(dir, size, "%s", line + sizeof(key) - 1) < (int)size;
	}
	return false;
}

static enum object_found look_beside(const char *root, const char *bin, char *path, size_t size)
{
	char dir[PATH_MAX / 2] = "";
	bool known;
	FILE *f;

	snprintf(path, size, "%s%s/gntdev-run", root, bin);
	f = fopen(path, "re");
	if (!f)
		return OBJECT_NONE;
	known = installed_path(f, dir, sizeof(dir));
	fclose(f);
	snprintf(path, size, "%s%s/" OBJECT_NAME, root, bin);
	if (!access(path, F_OK))
		return OBJECT_FOUND;
	if (known)
		snprintf(path, size, "%s%s/" OBJECT_NAME, root, dir);
	else
		snprintf(path, size, "%s%s/gntdev-run", root, bin);
	return known ? OBJECT_FOUND : OBJECT_UNKNOWN;
}

enum object_found object_find(const char *root, char *path, size_t size)
{
	enum object_found found = OBJECT_NONE;
	const char *bin[] = { "/usr/bin", "/usr/local/bin", NULL, NULL };
	char here[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);

	if (!*root && n > 0) {
		here[n] = '\0';
		*strrchr(here, '/') = '\0';
		bin[2] = bin[1];
		bin[1] = bin[0];
		bin[0] = here;
	}
	for (int i = 0; bin[i] && found == OBJECT_NONE; i++)
		found = look_beside(root, bin[i], path, size);
	return found;
}
