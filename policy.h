/* SPDX-License-Identifier: MIT */
/*
 * policy.h - who may map what, and how much
 *
 * A policy is read from files (policy_file.c), is never changed afterwards, and decides by itself: it knows
 * processes (who.h) and domain numbers, no opens and no maps. What is counted against its limits is
 * quota.h's.
 */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "who.h"

#define POLICY_NAME_SIZE 64

enum policy_action {
	POLICY_ALLOW,
	POLICY_READ_ONLY,
	POLICY_DENY,
};

/* Who may hold a descriptor that gives it all of a PV domain's memory. */
enum policy_pv {
	POLICY_PV_ROOT, /* the default: only user 0 */
	POLICY_PV_YES,
	POLICY_PV_NO,
};

/**
 * struct policy_limits - 0: no limit
 */
struct policy_limits {
	uint64_t pages_per_open;
	uint64_t maps_per_open;
	uint64_t pages_per_user;
	uint64_t maps_per_user;
	uint64_t pages;
	uint64_t maps;
};

struct policy;

/**
 * struct policy_verdict - what a policy says of a process and a domain
 * @action: what it may do
 * @pv:     may it hold a PV window's descriptor
 * @rule:   name of the rule that decided, "" if none did; as long as the policy
 * @file, @line: where that rule stands; NULL and 0 if none did
 */
struct policy_verdict {
	enum policy_action action;
	bool pv;
	const char *rule;
	const char *file;
	unsigned int line;
};

/**
 * policy_decide() - the first rule that matches decides
 *
 * Any thread. A rule that asks for what is not known of the process (see who.h) does not match, but if it
 * would deny or restrict, it does.
 */
void policy_decide(const struct policy *p, const struct who *who, uint16_t domid,
		   struct policy_verdict *v);

const struct policy_limits *policy_limits(const struct policy *p);

/**
 * policy_default() - the policy of empty files: whoever may open the device may map, without limits
 *
 * Return: NULL if there is no memory.
 */
struct policy *policy_default(void);

/**
 * policy_load() - read a policy
 * @file: its main file, then all *.conf of the directory "@file.d", by name; a file that does not exist is
 *        like an empty one
 * @why:  a buffer of @size bytes for a message on failure: file, line, what is wrong
 *
 * One thread at a time. Return: 0 and *@out; -EINVAL; -ENOMEM; -errno of reading.
 */
int policy_load(const char *file, struct policy **out, char *why, size_t size);

/** policy_free() - of a policy that nobody uses any more */
void policy_free(struct policy *p);

#endif /* POLICY_H */
