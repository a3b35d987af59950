/* SPDX-License-Identifier: MIT */
/*
 * client/mapstext.h - the text of /proc/PID/maps, line by line
 *
 * A line is "START-END PERMS OFFSET MAJOR:MINOR INODE   PATH". The kernel writes a newline in a path as \012,
 * so one line is one mapping whatever a client calls its files; no other character is escaped.
 */
#ifndef CLIENT_MAPSTEXT_H
#define CLIENT_MAPSTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/procmaps.h"

/* A page of text at most comes with each read; a line can be longer only by its path. */
#define TEXT_SIZE 8192

/**
 * struct mapstext - lines of a file, from where it is read on; all but @fd is 0 at first
 * @skip: the rest of a line that was longer than the buffer is being left out
 */
struct mapstext {
	int fd;
	bool skip;
	size_t pos;
	size_t len;
	char buf[TEXT_SIZE];
};

/**
 * mapstext_next() - the next mapping
 * @end:  out: its end
 * @file: out: what is mapped there
 *
 * Return: 1; 0 if there are no more; -EPROTO if that is no such text; -errno.
 */
int mapstext_next(struct mapstext *t, uint64_t *end, struct procmaps_file *file);

/** mapstext_name() - set a file's name: the last component of a path of @len bytes */
void mapstext_name(struct procmaps_file *file, const char *path, size_t len);

#endif /* CLIENT_MAPSTEXT_H */
