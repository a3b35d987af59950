/* SPDX-License-Identifier: MIT */
/*
 * client/proclook.h - a look at all files that one process has mapped or open: client/procwalk.c's own
 */
#ifndef CLIENT_PROCLOOK_H
#define CLIENT_PROCLOOK_H

#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/helper.h"
#include "client/procwalk.h"

/* Users whose time is counted one by one. */
#define PROCLOOK_USERS 32

/**
 * struct proclook - who looks, for one walk; zero at first
 * @user: how long looks at a user's processes have taken so far, ms; those that took long only
 */
struct proclook {
	struct helper *helper;
	unsigned int n_users;
	struct {
		uid_t uid;
		uint64_t ms;
	} user[PROCLOOK_USERS];
};

/**
 * proclook() - look at a process
 *
 * @v's found() is called before this returns, on another thread. A process that has gone holds nothing.
 *
 * Return: 0 if all was seen; -EACCES if it does not let us look; -ETIMEDOUT if it makes us wait, or has made us
 * wait for so long that nobody looks; -errno.
 */
int proclook(struct proclook *pl, struct procwalk_visitor *v, pid_t pid);

/** proclook_end() - after the last look of a walk */
void proclook_end(struct proclook *pl);

/** proclook_tick_ns() - ns in a tick of /proc's times */
uint64_t proclook_tick_ns(void);

/**
 * proclook_start() - when a process started, ticks since boot
 *
 * In a time namespace: since its boot, 0 of processes that are older. UINT64_MAX if it is not told.
 */
uint64_t proclook_start(pid_t pid);

/** proclook_late() - helpers that were left behind */
unsigned int proclook_late(void);

/** procwalk_pid() - the process of an entry in /proc, or the thread of one in /proc/PID/task; or 0 */
static inline pid_t procwalk_pid(const struct dirent *e)
{
	return e->d_name[0] >= '1' && e->d_name[0] <= '9' ? (pid_t)atoi(e->d_name) : 0;
}

#endif /* CLIENT_PROCLOOK_H */
