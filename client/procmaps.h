/* SPDX-License-Identifier: MIT */
/*
 * client/procmaps.h - what /proc tells of other processes: what they have mapped, and what they hold
 *
 * Whatever a process can choose (paths, the number of its mappings and descriptors) is hostile.
 * Files are told apart by device and inode, which nobody can choose; of the path only the last
 * component is reported, and only if it is short.
 *
 * Any thread may call these. They may take as long as the processes looked at keep their own memory
 * maps locked.
 *
 * This header is the face of what is read of /proc: client/mapstext.h includes it for its types.
 */
#ifndef CLIENT_PROCMAPS_H
#define CLIENT_PROCMAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Longer last components are reported as "". */
#define PROCMAPS_NAME_MAX 63

/**
 * struct procmaps_file - a file that a process has mapped or open
 * @dev, @ino: the file; 0 and 0 for memory without a file
 * @name: last component of its path, without the " (deleted)" that the kernel appends to the name
 *        of a file that has been unlinked; "" if it is too long. A newline may appear as \012
 */
struct procmaps_file {
	dev_t dev;
	uint64_t ino;
	char name[PROCMAPS_NAME_MAX + 1];
};

/**
 * procmaps_at() - the first mapping of a process that ends above an address
 * @tid:   a thread of the process, in our pid namespace
 * @vaddr: the address; the mapping may begin above it
 *
 * Constant time on Linux 6.11 and later; before, it reads all mappings up to that one.
 *
 * Return: 0; -ENOENT if there is no such mapping; -EPERM if the process has gone or its mappings
 * cannot be read.
 */
int procmaps_at(pid_t tid, uint64_t vaddr, struct procmaps_file *file);

/**
 * procmaps_exact() - the file of a mapping whose place is known
 * @start, @end: all of the mapping
 * @file: out: its name only
 *
 * Constant time. Return: whether there is such a mapping.
 */
bool procmaps_exact(pid_t tid, uint64_t start, uint64_t end, struct procmaps_file *file);

/**
 * procmaps_at_text() - procmaps_at() as it is done before Linux 6.11; for tests
 */
int procmaps_at_text(pid_t tid, uint64_t vaddr, struct procmaps_file *file);

#endif /* CLIENT_PROCMAPS_H */
