/* SPDX-License-Identifier: MIT */
/*
 * window/dir.h - the window directory on disk
 */
#ifndef WINDOW_DIR_H
#define WINDOW_DIR_H

#include <stdint.h>
#include <sys/types.h>

/**
 * window_dir_open() - make a directory ours
 * @path: made if it does not exist; mode 0700 afterwards
 * @dev:  out: its file system, as stat(2) tells
 * @why:  set to a message for the user on failure
 *
 * The descriptor holds a lock on the directory that keeps other daemons away. Left-overs are
 * removed. Return: a descriptor of it; -errno as windows_new().
 */
int window_dir_open(const char *path, dev_t *dev, const char **why);

/**
 * window_dir_adopt() - go on with a predecessor's directory
 * @dirfd: its descriptor, which holds the lock. By its path it need not be there any more
 * @dev:   out: its file system
 * @life:  of its windows: entries of windows that it was making are removed
 *
 * Return: 0; -EINVAL: it is none; -errno.
 */
int window_dir_adopt(int dirfd, dev_t *dev, uint64_t life);

/**
 * window_dir_clean() - remove plain files and device nodes: what hypervisors put there
 *
 * Whatever else is in the directory stays. Return: 0 or -errno.
 */
int window_dir_clean(int dirfd);

/**
 * window_dir_try() - whether /proc tells name, device and inode of a mapped file of the directory
 *                    as they are
 * @life: for the name of the file that it is tried with
 * @why:  set to a message for the user on failure
 *
 * Return: 0; -ENOTSUP if not; -errno.
 */
int window_dir_try(int dirfd, uint64_t life, const char **why);

#endif /* WINDOW_DIR_H */
