/* SPDX-License-Identifier: MIT */
/*
 * keeper/keeper.h - the process that holds everything that must outlast the daemon
 *
 * The room keeper/ is a program of its own, without libfuse, small enough to be read before it is trusted. It promises: what
 * it was given stays as it is until a daemon says that all has ended, or none comes, or the service is over; then it
 * sees to it that no grant stays mapped. It may include abi/, base/, state/, and xen/undo.h and xen/journal.h of xen/.
 */
#ifndef KEEPER_KEEPER_H
#define KEEPER_KEEPER_H

/**
 * keeper_run() - keep, until it is over
 * @path: of the socket where daemons find it
 * @sock: connection of the daemon that has started it, nonblocking or not
 *
 * All signals should be blocked. Return: 0; -errno if the socket cannot be made: the log says why.
 */
int keeper_run(const char *path, int sock);

#endif /* KEEPER_KEEPER_H */
