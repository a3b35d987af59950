/* SPDX-License-Identifier: MIT */
/*
 * xen/keeper.h - the process that cleans up after a killed daemon
 *
 * It holds the journal, the pins and a descriptor of privcmd, and waits for the daemon to end. Then
 * it unmaps what is still mapped, gets the frames back, and ends. Until all of that has worked
 * it stays, and with it the pins: a page that shows a guest's memory, or has no memory, never comes
 * back to the kernel.
 *
 * It must not be killed together with the daemon (systemd: KillMode=process). It ignores the signals
 * that end daemons, and asks the kernel not to choose it when memory is short.
 */
#ifndef XEN_KEEPER_H
#define XEN_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "xen/journal.h"

/**
 * struct keeper - the daemon's end
 * @pid:  the process, 0 if there is none
 * @sock: open as long as the daemon lives
 */
struct keeper {
	pid_t pid;
	int sock;
};

/**
 * keeper_start() - start it
 * @privcmd:    a descriptor of privcmd
 * @keep, @n:   descriptors that it is to keep open besides, at most KEEPER_FDS
 * @translated: a PVH dom0
 *
 * Forks, so there must be no other thread. Return: 0 or -errno.
 */
int keeper_start(struct keeper *k, struct journal *j, int privcmd, const int *keep, size_t n,
		 bool translated);

#define KEEPER_FDS 32

/** keeper_alive() - whether it is still there */
bool keeper_alive(const struct keeper *k);

/**
 * keeper_end() - the daemon is done
 *
 * Normally nothing is left to do and the keeper ends at once. Return: false if it stays.
 */
bool keeper_end(struct keeper *k);

/** keeper_recover() - what the keeper does then, once. Return: how many slots are left. */
size_t keeper_recover(struct journal *j, int privcmd, bool translated);

#endif /* XEN_KEEPER_H */
