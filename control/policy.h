/* SPDX-License-Identifier: MIT */
/*
 * control/policy.h - what the policy is, and what is held against its limits
 */
#ifndef CONTROL_POLICY_H
#define CONTROL_POLICY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/quota.h"

struct gntdev;

/* Users that are told: more only if somebody makes them, by user namespaces. */
#define CONTROL_USERS_MAX 256

struct control_user {
	uid_t uid;
	uid_t owner; /* as of quota_open() */
	struct quota_held held;
};

/**
 * control_users() - those who have something open or mapped
 * @u: room for CONTROL_USERS_MAX: if there are more, those with most pages
 *
 * Not under RCU. Return: how many are in @u, the one with most pages first.
 */
size_t control_users(struct gntdev *gd, struct control_user *u);

/** control_policy_json() - the policy's files, and what became of the last ones. Not under RCU. Return: NULL if
 * there is no memory */
json_t *control_policy_json(struct gntdev *gd);

#endif /* CONTROL_POLICY_H */
