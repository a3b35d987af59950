/* SPDX-License-Identifier: MIT */
/*
 * base/rundir.h - the run directory: whoever can write to it, or to a directory on the way, can put a socket of his
 * own where clients look for the daemon's
 */
#ifndef BASE_RUNDIR_H
#define BASE_RUNDIR_H

#include <stdbool.h>

struct why;

/**
 * rundir_make() - make a directory that others can enter, or see that one that is there can be trusted
 * @dir:  an absolute path
 * @made: out: it was not there
 *
 * It, each directory above it and each symbolic link on the way has to belong to root or to us. Others must not be able
 * to write to the directories; above it they may to one with the sticky bit, such as /tmp. The umask does not
 * matter. Not to be called by several threads.
 *
 * Return: false, and @why.
 */
bool rundir_make(const char *dir, bool *made, const struct why *why);

/** rundir_closed() - whether users other than its owner cannot enter it, so that their clients find no socket */
bool rundir_closed(const char *dir);

#endif /* BASE_RUNDIR_H */
