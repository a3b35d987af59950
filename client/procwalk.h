/* SPDX-License-Identifier: MIT */
/*
 * client/procwalk.h - which processes hold a file, by a look through /proc
 *
 * It takes its time, but no process can hold it up for long: one that makes a look at its mappings wait is left
 * out, and reported as one that cannot be looked into. How many threads such processes hold, and how long the
 * walk waits for those of one user, is bounded (client/proclook.c).
 *
 * Any thread.
 *
 * This header is the face of the walk: client/proclook.c includes it for its types.
 */
#ifndef CLIENT_PROCWALK_H
#define CLIENT_PROCWALK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/procmaps.h"

/**
 * struct procwalk_visitor - what procwalk() tells
 * @wanted:  whether files of this name are looked for
 * @found:   a process has a file of a wanted name mapped or open; as often as it is found. Called on other
 *           threads, registered with RCU, not under RCU; one at a time, and only while procwalk() goes on
 * @blocked: it is not known what this process holds; @start is when it started, clock ticks since boot
 *           (of our time namespace; 0 if it is older), UINT64_MAX if even that is not told; @late: it made us
 *           wait, otherwise it is forbidden to look
 * @stop:    end it (atomic)
 */
struct procwalk_visitor {
	bool (*wanted)(const char *name);
	void (*found)(struct procwalk_visitor *v, pid_t pid, const struct procmaps_file *file);
	void (*blocked)(struct procwalk_visitor *v, pid_t pid, uint64_t start, bool late);
	bool stop;
};

/**
 * procwalk() - look at all files that processes have mapped or open
 *
 * Processes are looked at one after the other, those born meanwhile too. Descriptors come before
 * mappings, so that a client that maps what it has open and then closes it is not missed.
 *
 * Return: 0 if every process that lived at the end was looked at, or reported as blocked; 1 if so many were
 * born that this cannot be said; -EACCES if /proc hides processes; -ECANCELED if it was stopped; -errno if not
 * everything was seen for another reason.
 */
int procwalk(struct procwalk_visitor *v);

/** procwalk_now() - the time, in the units of procwalk_visitor's @start */
uint64_t procwalk_now(void);

/** procwalk_late() - threads that wait for processes that were left out */
unsigned int procwalk_late(void);

#endif /* CLIENT_PROCWALK_H */
