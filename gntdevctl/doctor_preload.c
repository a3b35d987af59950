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

#include "gntdevctl/object.h"

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
		doctor_tell(d, FINDING_FAULT, "preload/unreadable",
			    "apt-get install --reinstall cuse-gntdev",
			    "clients that gntdev-run starts get no mmap (ENODEV)", "%s: %s", path,
			    errno ? strerror(errno) : "no shared object");
		return;
	}
	if (!read_head("/proc/self/exe", &self)) {
		doctor_tell(d, FINDING_INFO, "preload/unknown-machine", "", "",
			    "%s is there; its machine is not known", path);
		return;
	}
	if (object.e_ident[EI_CLASS] != self.e_ident[EI_CLASS] ||
	    object.e_ident[EI_DATA] != self.e_ident[EI_DATA] ||
	    object.e_machine != self.e_machine) {
		doctor_tell(d, FINDING_FAULT, "preload/other-machine",
			    "apt-get install --reinstall cuse-gntdev",
			    "the dynamic linker leaves it out, with a message: clients get no mmap",
			    "%s is for another machine (%d bit, ELF machine %u; here %d bit, %u)",
			    path, object.e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32,
			    object.e_machine, self.e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32,
			    self.e_machine);
		return;
	}
	doctor_tell(d, FINDING_OK, "preload/ok", "", "", "%s is there", path);
}

void doctor_preload(const struct doctor *d)
{
	char path[PATH_MAX];

	switch (object_find(d->root, path, sizeof(path))) {
	case OBJECT_FOUND:
		look_at_object(d, path);
		break;
	case OBJECT_UNKNOWN:
		doctor_tell(d, FINDING_FAULT, "preload/foreign",
			    "apt-get install --reinstall cuse-gntdev",
			    "it has no line installed=DIRECTORY", "%s is not ours", path);
		break;
	case OBJECT_NONE:
		doctor_tell(d, FINDING_FAULT, "preload/missing", "apt-get install cuse-gntdev",
			    "without it clients have no mmap", "gntdev-run is not there");
		break;
	}
}
