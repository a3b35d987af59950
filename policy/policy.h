/* SPDX-License-Identifier: MIT */
/*
 * policy/policy.h - who may map what, and how much
 *
 * A policy is read from files (policy/file.c), is never changed afterwards, and decides by itself: it knows
 * processes (client/who.h) and domain numbers, no opens and no maps. What is counted against its limits is
 * policy/quota.h's.
 *
 * The room policy/ promises to device/ a decision at once, without a lock and by rules that were read as a
 * whole or not at all, and limits that are never passed; to gntdevctl, which reads policies by the same code,
 * that it finds the same mistakes. It may include abi/, base/ and client/.
 *
 * This header is the face of the room: policy/rule.h includes it for its types, and its functions are made in
 * several files.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/who.h"
#include "policy/limit.h"

#define POLICY_NAME_SIZE 64

enum policy_action {
	POLICY_ALLOW,
	POLICY_READ_ONLY,
	POLICY_DENY,
};

/** policy_action_name() - as in the policy's files. Never NULL */
const char *policy_action_name(enum policy_action action);

struct policy;

/**
 * struct policy_verdict - what a policy says of a process and a domain
 * @action: what it may do
 * @pv:     may it hold a PV window's descriptor; not if it is denied
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
 * policy_decide() - the first rule that matches decides; with none, all is allowed
 * @domid: the granter
 *
 * Any thread. Of a rule that asks for what is not known of the process (see client/who.h) nobody can say whether
 * it matches: the verdict is the stricter one of both cases.
 */
void policy_decide(const struct policy *p, const struct who *who, uint16_t domid,
		   struct policy_verdict *v);

/* More rules than anybody writes. */
#define POLICY_RULES_MAX 256

/**
 * struct policy_view - which rules are about a process, whatever the domain
 *
 * For who asks about many domains: what costs time of a rule is found out once.
 */
struct policy_view {
	const struct policy *p;
	const struct who *who;
	uint64_t match[POLICY_RULES_MAX / 64];
	uint64_t maybe[POLICY_RULES_MAX / 64]; /* not known */
};

/** policy_view() - look at a process; @p and @who are kept */
void policy_view(const struct policy *p, const struct who *who, struct policy_view *view);

/** policy_view_decide() - as policy_decide() */
void policy_view_decide(const struct policy_view *view, uint16_t domid, struct policy_verdict *v);

/** policy_has_rules() - whether it ever says anything else than "allow". Any thread */
bool policy_has_rules(const struct policy *p);

/** policy_pv_any() - whether anybody may hold a PV window's descriptor where no rule says more */
bool policy_pv_any(const struct policy *p);

/** policy_limits() - as long as the policy */
const struct policy_limits *policy_limits(const struct policy *p);

/** policy_n_rules() - how many there are */
unsigned int policy_n_rules(const struct policy *p);

/** policy_for_each_file() - the files that were read, in that order */
void policy_for_each_file(const struct policy *p, void (*fn)(const char *file, void *arg),
			  void *arg);

/**
 * policy_for_each_warning() - what is right, but hardly what was meant
 *
 * Such as a rule that can never decide anything. @text: "FILE:LINE: ..."
 */
void policy_for_each_warning(const struct policy *p, void (*fn)(const char *text, void *arg),
			     void *arg);

/**
 * policy_default() - the policy of empty files: whoever may open the device may map, within default limits
 *
 * Return: NULL if there is no memory.
 */
struct policy *policy_default(void);

/* Longest message of what is wrong with a policy, and how many are told. */
#define POLICY_WHY_SIZE	    512
#define POLICY_MISTAKES_MAX 20

/**
 * struct policy_why - why a policy is refused
 * @err:  -errno of the first mistake, 0 if there is none
 * @n:    how many there are
 * @text: the first POLICY_MISTAKES_MAX of them: file, line, what is wrong
 */
struct policy_why {
	int err;
	unsigned int n;
	char text[POLICY_MISTAKES_MAX][POLICY_WHY_SIZE];
};

/* A message, and how many more there are. */
#define POLICY_WHY_ALL_SIZE (POLICY_WHY_SIZE + 32)

/** policy_why_all() - in one line, for where there is no room for all of them */
void policy_why_all(const struct policy_why *why, char *line, size_t size);

/**
 * policy_load() - read a policy
 * @file: its main file, then all *.conf of the directory "@file.d", by name (in byte order). Either need not be
 *        there, and is like an empty one then; a symbolic link that leads nowhere is something, and refused
 * @must: the main file has to be there
 * @why:  out: all mistakes of all files
 *
 * Names of users and groups are looked up now. Whoever may write to a file of a policy makes it, so files
 * of others than root and ourselves, or that others may write to, are refused.
 *
 * One thread at a time. Return: 0 and *@out; -EINVAL for what is in the files; -EPERM for whose they
 * are; -ENOMEM; -errno of reading.
 */
int policy_load(const char *file, bool must, struct policy **out, struct policy_why *why);

/**
 * policy_parse() - the same of one file that was read already
 * @name: what messages call it
 * @text: @len bytes, whatever they are
 */
int policy_parse(const char *name, const char *text, size_t len, struct policy **out,
		 struct policy_why *why);

/**
 * struct policy_news - what became of attempts to load one
 * @loaded:  when that in force was, CLOCK_REALTIME, ns
 * @refused: when a later one was refused, 0 if none was; @why: policy_why_all() of it
 */
struct policy_news {
	uint64_t loaded;
	uint64_t refused;
	char why[POLICY_WHY_ALL_SIZE];
};

/** policy_free() - of a policy that nobody uses any more */
void policy_free(struct policy *p);

#endif /* POLICY_POLICY_H */
