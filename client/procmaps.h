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

/**
 * struct procmaps_visitor - what procmaps_walk() tells
 * @wanted:  whether files of this name are looked for
 * @found:   a process has a file of a wanted name mapped or open; as often as it is found
 * @blocked: this process cannot be looked into; @start is when it started, clock ticks since boot
 *           as in /proc/PID/stat, UINT64_MAX if even that is not told
 */
struct procmaps_visitor {
	bool (*wanted)(const char *name);
	void (*found)(struct procmaps_visitor *v, const struct procmaps_file *file);
	void (*blocked)(struct procmaps_visitor *v, pid_t pid, uint64_t start);
};

/**
 * procmaps_walk() - look at all files that processes have mapped or open
 *
 * Processes are looked at one after the other, those born meanwhile too. Descriptors come before
 * mappings, so that a client that maps what it has open and then closes it is not missed.
 *
 * Return: 0 if every process that lived at the end was looked at; 1 if so many were born that
 * this cannot be said; -EACCES if /proc hides processes; -errno if not everything was seen for another reason.
 */
int procmaps_walk(struct procmaps_visitor *v);

/**
 * procmaps_look() - look at all files that one process has mapped or open
 *
 * As procmaps_walk() does it for each. A process that has gone holds nothing.
 */
void procmaps_look(struct procmaps_visitor *v, pid_t pid);

/**
 * procmaps_pids() - the processes that there are
 * @n: out: how many
 *
 * Return: their ids, to be freed; NULL if /proc cannot be read or there is no memory.
 */
pid_t *procmaps_pids(size_t *n);

/**
 * procmaps_now() - the time, in the units of procmaps_visitor's @start
 */
uint64_t procmaps_now(void);

#endif /* CLIENT_PROCMAPS_H */
