/* SPDX-License-Identifier: MIT */
/*
 * client/pending.c - whether a thread has a signal that ends a call in which it sleeps
 */
#include "client/pending.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/status.h"

#define SIGNAL(n) (1ULL << ((n)-1))

/* What these do, if they are not handled, ends no call. */
#define HARMLESS                                                                                   \
	(SIGNAL(SIGCHLD) | SIGNAL(SIGCONT) | SIGNAL(SIGURG) | SIGNAL(SIGWINCH) | SIGNAL(SIGSTOP) | \
	 SIGNAL(SIGTSTP) | SIGNAL(SIGTTIN) | SIGNAL(SIGTTOU))

/* A set that is not shown is empty. */
static uint64_t set_of(const char *status, const char *name)
{
	uint64_t set;

	status_signals(status, name, &set);
	return set;
}

static bool interrupts(const char *status)
{
	uint64_t handled = set_of(status, "SigCgt");
	uint64_t ignored = set_of(status, "SigIgn");
	uint64_t waiting =
		(set_of(status, "SigPnd") | set_of(status, "ShdPnd")) & ~set_of(status, "SigBlk");

	return waiting & (handled | ~(ignored | HARMLESS));
}

bool pending_interrupts(pid_t tid)
{
	char *status = tid > 0 ? malloc(STATUS_MAX) : NULL;
	char path[40];
	bool any;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	any = !status || !status_read(AT_FDCWD, path, status) || interrupts(status);
	free(status);
	return any;
}
