/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_preload.c - gntdevctl doctor: is the preload object where gntdev-run looks for it, and for
 * this machine?
 */
#include "gntdevctl/doctor_preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OBJECT "libgntdev-mmap.so"

/* Both classes of ELF begin alike up to here. Return: false with errno, 0 if it is no ELF file. */
static bool read_head(const char *path, Elf32_Ehdr *head)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(*head));
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = n < 0 ? error : 0;
	return n == sizeof(*head) && !memcmp(head->e_ident, ELFMAG, SELFMAG);
}

static void look_at_object(const struct doctor *d, const char *path)
{
	Elf32_Ehdr object, self;

	if (!read_head(path, &object)) {
		doctor_tell(d, FINDING_FAULT, "preload", "apt-get install --reinstall cuse-gntdev",
			    "clients that gntdev-run starts get no mmap (ENODEV)", "%s: %s", path,
			    errno ? strerror(errno) : "no shared object");
		return;
	}
	if (!read_head("/proc/self/exe", &self)) {
		doctor_tell(d, FINDING_INFO, "preload", "", "",
			    "%s is there; its machine is not known", path);
		return;
	}
	if (object.e_ident[EI_CLASS] != self.e_ident[EI_CLASS] ||
	    object.e_ident[EI_DATA] != self.e_ident[EI_DATA] ||
	    object.e_machine != self.e_machine) {
		doctor_tell(d, FINDING_FAULT, "preload", "apt-get install --reinstall cuse-gntdev",
			    "the dynamic linker leaves it out, with a message: clients get no mmap",
			    "%s is for another machine (%d bit, ELF machine %u; here %d bit, %u)",
			    path, object.e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32,
			    object.e_machine, self.e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32,
			    self.e_machine);
		return;
	}
	doctor_tell(d, FINDING_OK, "preload", "", "", "%s is there", path);
}

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

/* Return: whether there is a gntdev-run in a directory; told where its object is, if so. */
static bool look_beside(const struct doctor *d, const char *bin)
{
	char path[PATH_MAX], dir[PATH_MAX / 2] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s%s/gntdev-run", d->root, bin);
	f = fopen(path, "re");
	if (!f)
		return false;
	snprintf(path, sizeof(path), "%s%s/" OBJECT, d->root, bin);
	if (!access(path, F_OK))
		look_at_object(d, path);
	else if (!installed_path(f, dir, sizeof(dir)))
		doctor_tell(d, FINDING_FAULT, "preload", "apt-get install --reinstall cuse-gntdev",
			    "it has no line installed=DIRECTORY", "%s%s/gntdev-run is not ours",
			    d->root, bin);
	else {
		snprintf(path, sizeof(path), "%s%s/" OBJECT, d->root, dir);
		look_at_object(d, path);
	}
	fclose(f);
	return true;
}

void doctor_preload(const struct doctor *d, const char *const *bin)
{
	for (; *bin; bin++)
		if (look_beside(d, *bin))
			return;
	doctor_tell(d, FINDING_FAULT, "preload", "apt-get install cuse-gntdev",
		    "without it clients have no mmap", "gntdev-run is not there");
}
