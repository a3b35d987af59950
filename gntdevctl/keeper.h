/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/keeper.h - asking the keeper, where no daemon answers
 */
#ifndef GNTDEVCTL_KEEPER_H
#define GNTDEVCTL_KEEPER_H

#include <stddef.h>

#include "gntdevctl/ctl.h"
#include "state/keep.h"

/**
 * ctl_keeper_path() - of its socket
 * @root: "", or what stands before the run directory
 *
 * Return: 0; -ENAMETOOLONG; -ENOENT: it cannot be known from these options.
 */
int ctl_keeper_path(const struct ctl *ctl, const char *root, char *path, size_t size);

/**
 * ctl_keeper_look() - how things are, KEEP_LOOK
 *
 * Return: 0; -ENOENT: there is none; -EACCES: there is one, and not for us; -ETIMEDOUT: it does not answer; -errno.
 */
int ctl_keeper_look(const char *path, struct keep_msg *m);

#endif /* GNTDEVCTL_KEEPER_H */
