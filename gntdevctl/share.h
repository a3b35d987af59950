/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/share.h - how much of a limit of the policy is used, from the answer to "stats"
 */
#ifndef GNTDEVCTL_SHARE_H
#define GNTDEVCTL_SHARE_H

#include <jansson.h>

#include "policy/limit.h"

/**
 * struct ctl_use - what is held of something, and how much may be
 * @held:  0 if the daemon does not tell
 * @limit: 0: there is no limit, or none of that name in the daemon's version
 * @name:  of the limit, NULL if no policy can limit it
 */
struct ctl_use {
	long long held;
	long long limit;
	const char *name;
};

/**
 * ctl_use() - look it up
 * @held:   an object with a member for each thing: the answer itself, or one of its users
 * @limits: its member "limits", or "limits_root" for user 0: see ctl_limits_of()
 */
struct ctl_use ctl_use(const json_t *held, const json_t *limits, enum policy_scope scope,
		       enum policy_thing thing);

/** ctl_limits_of() - the limits that hold for one of the users in an answer to "stats"; NULL: none is told */
const json_t *ctl_limits_of(const json_t *stats, const json_t *user);

#endif /* GNTDEVCTL_SHARE_H */
