/* SPDX-License-Identifier: MIT */
/*
 * keeper/hold.h - descriptors by name: what the keeper keeps
 *
 * One thread. A descriptor is never read, written or polled here.
 */
#ifndef KEEPER_HOLD_H
#define KEEPER_HOLD_H

#include <stdbool.h>

#include "state/keep.h"

/**
 * struct hold - all of them, in no order; all zero: none
 * @n: how many
 */
struct hold {
	unsigned int n;
	struct held {
		char name[KEEP_NAME];
		int fd;
	} thing[KEEP_THINGS];
};

/**
 * hold_put() - keep one, instead of what has had the name
 * @fd: the hold's from now on, also on failure
 *
 * Return: 0; -EINVAL: no name; -EBADF: no descriptor; -ENFILE: there are KEEP_THINGS.
 */
int hold_put(struct hold *h, const char *name, int fd);

/** hold_get() - Return: the descriptor, which stays the hold's; -ENOENT */
int hold_get(const struct hold *h, const char *name);

/** hold_drop() - close it. Return: 0; -ENOENT */
int hold_drop(struct hold *h, const char *name);

/** hold_next() - the name after @name, the first after "". Return: NULL: there is no more, or none of that name */
const char *hold_next(const struct hold *h, const char *name);

/** hold_keep_only() - close all that @keep says no to */
void hold_keep_only(struct hold *h, bool (*keep)(const char *name));

#endif /* KEEPER_HOLD_H */
