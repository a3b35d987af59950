/* SPDX-License-Identifier: MIT */
/*
 * policy/rule.h - what a policy is made of: between policy/file.c, which reads it, and policy/policy.c
 */
#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/policy.h"

/* Who may hold a PV window's descriptor where no rule says more. */
enum policy_pv {
	POLICY_PV_ROOT, /* the default: only user 0 */
	POLICY_PV_ANY,
	POLICY_PV_NONE,
};

/* What one rule says of that. */
enum policy_rule_pv {
	POLICY_RULE_PV_UNSAID,
	POLICY_RULE_PV_YES,
	POLICY_RULE_PV_NO,
};

struct policy_range {
	uint16_t first;
	uint16_t last;
};

struct policy_ids {
	size_t n;
	uint32_t *id;
};

struct policy_patterns {
	size_t n;
	char **pattern;
};

struct policy_ranges {
	size_t n;
	struct policy_range *range;
};

/**
 * struct policy_rule - all that is not empty has to match, by one of its members
 * @file: of policy.file
 * @line: where it begins
 * @has_action: @action is said
 */
struct policy_rule {
	char name[POLICY_NAME_SIZE];
	const char *file;
	unsigned int line;
	struct policy_ids users;
	struct policy_ids groups;
	struct policy_patterns units;
	struct policy_patterns cgroups;
	struct policy_ranges domids;
	enum policy_action action;
	bool has_action;
	enum policy_rule_pv pv;
};

struct policy {
	struct policy_limits limits;
	enum policy_pv pv;
	unsigned int n_rules;
	size_t n_files;
	size_t n_warnings;
	struct policy_rule rule[POLICY_RULES_MAX];
	char **file;
	char **warning;
};

/** policy_pv_name() - as in the policy's files. Never NULL */
const char *policy_pv_name(enum policy_pv pv);

/** policy_rule_clear() - free what it holds, and make it one that says nothing */
void policy_rule_clear(struct policy_rule *r);

/**
 * policy_check_order() - warn of rules that decide nothing, as an earlier one matches whatever they match
 *
 * Return: 0 or -ENOMEM.
 */
int policy_check_order(struct policy *p);

/**
 * policy_vfail() - one more mistake
 * @err:  -errno; -ENOMEM is the last one, and the only one that is told
 * @line: in @file, 0 if it is about the whole file
 */
void policy_vfail(struct policy_why *why, int err, const char *file, unsigned int line,
		  const char *fmt, va_list ap);

/**
 * policy_add_text() - add what a file says
 * @p:    a policy of which nobody knows yet; with mistakes only good for finding more of them
 * @name: of the file, for messages
 * @text: @len bytes, whatever they are
 * @why:  mistakes are added
 *
 * One thread at a time.
 */
void policy_add_text(struct policy *p, const char *name, const char *text, size_t len,
		     struct policy_why *why);

#endif /* POLICY_RULE_H */
