/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/object.h - where the preload object is
 */
#ifndef GNTDEVCTL_OBJECT_H
#define GNTDEVCTL_OBJECT_H

#include <stddef.h>

#define OBJECT_NAME "libgntdev-mmap.so"

enum object_found {
	OBJECT_FOUND,
	OBJECT_UNKNOWN, /* there is a gntdev-run that does not say where */
	OBJECT_NONE,	/* there is no gntdev-run */
};

/**
 * object_find() - look for it as gntdev-run does: beside itself, then where it was installed
 * @root: "" or a directory: of the system that is meant. gntdev-run is looked for in /usr/bin and /usr/local/bin below it;
 *        without a root, beside this program before these
 * @path: out: where the object should be, @root included; OBJECT_UNKNOWN: which gntdev-run
 */
enum object_found object_find(const char *root, char *path, size_t size);

#endif /* GNTDEVCTL_OBJECT_H */
