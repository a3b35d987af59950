/* SPDX-License-Identifier: MIT */
/*
 * client/procwalk.c - which processes hold a file, by a look through /proc
 */
#include "client/procwalk.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/proclook.h"

#define PID_LIMIT (4 * 1024 * 1024) /* of the kernel: PID_MAX_LIMIT */

/* How often to look for processes that were born meanwhile. */
#define ROUNDS 20

/**
 * struct walk - a walk through /proc
 * @seen: bitmap of the processes that were looked at
 * @err:  the walk has failed
 */
struct walk {
	struct procwalk_visitor *v;
	struct proclook look;
	uint8_t *seen;
	int err;
};

static void walk_process(struct walk *w, pid_t pid)
{
	int err;

	w->seen[pid / 8] |= (uint8_t)(1 << pid % 8);
	err = proclook(&w->look, w->v, pid);
	if (err == -EACCES || err == -ETIMEDOUT)
		w->v->blocked(w->v, pid, proclook_start(pid), err == -ETIMEDOUT);
	else if (err)
		w->err = err;
	if (__atomic_load_n(&w->v->stop, __ATOMIC_RELAXED))
		w->err = -ECANCELED;
}

/* The process id given out last, in this pid namespace; 0 if that cannot be told. */
static long last_pid(void)
{
	FILE *f = fopen("/proc/loadavg", "re");
	long last = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*s %*s %*s %*s %ld", &last) != 1)
		last = 0;
	fclose(f);
	return last;
}

/*
 * How long the machine has been suspended in all, ns: brought up to date by each walk. In a time namespace it has
 * the difference of the clocks' offsets in it, and may be "negative".
 */
static uint64_t suspended;
static pthread_once_t suspended_once = PTHREAD_ONCE_INIT;

static void note_suspended(void)
{
	__atomic_store_n(&suspended, clock_read_ns(CLOCK_BOOTTIME) - clock_ns(), __ATOMIC_RELAXED);
}

/*
 * By the coarse clock, which needs no system call where the others do (under Xen). It lags by a tick,
 * so a process is rather taken for younger than it is.
 */
uint64_t procwalk_now(void)
{
	uint64_t ns;

	pthread_once(&suspended_once, note_suspended);
	ns = clock_read_ns(CLOCK_MONOTONIC_COARSE) + __atomic_load_n(&suspended, __ATOMIC_RELAXED);
	return ns / proclook_tick_ns();
}

static bool is_seen(const struct walk *w, pid_t pid)
{
	return w->seen[pid / 8] >> pid % 8 & 1;
}

/* Look at the processes that are listed and were not looked at yet. Return: whether there were. */
static bool walk_new(struct walk *w, DIR *proc)
{
	const struct dirent *e;
	bool any = false;
	pid_t pid;

	rewinddir(proc);
	errno = 0;
	while (!w->err && (e = readdir(proc))) {
		pid = procwalk_pid(e);
		if (pid && pid < PID_LIMIT && !is_seen(w, pid)) {
			walk_process(w, pid);
			any = true;
		}
		errno = 0;
	}
	if (!w->err && errno)
		w->err = -errno;
	return any;
}

/*
 * Until a list shows no process that was not looked at, and none was born while it was read: then
 * all that live have been looked at since they were born. Return: as procwalk().
 */
static int walk_rounds(struct walk *w, DIR *proc)
{
	for (int round = 0; round < ROUNDS && !w->err; round++) {
		long before = last_pid();

		if (!walk_new(w, proc) && before && before == last_pid())
			return w->err;
	}
	return w->err ? w->err : 1;
}

int procwalk(struct procwalk_visitor *v)
{
	struct walk w = { .v = v, .seen = calloc(1, PID_LIMIT / 8) };
	DIR *proc;
	int ret;

	if (!w.seen)
		return -ENOMEM;
	note_suspended();
	proc = opendir("/proc");
	ret = proc ? walk_rounds(&w, proc) : -errno;
	/* A /proc mounted with hidepid lists only what we may look at: then others are hidden. */
	if (ret >= 0 && !is_seen(&w, 1))
		ret = -EACCES;
	if (proc)
		closedir(proc);
	proclook_end(&w.look);
	free(w.seen);
	return ret;
}

unsigned int procwalk_late(void)
{
	return proclook_late();
}
