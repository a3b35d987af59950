/* SPDX-License-Identifier: MIT */
/*
 * policy/reader.h - reading a file of a policy: between policy/parse.c, which knows the form, and policy/keys.c,
 * which knows what can be said
 *
 * One thread at a time.
 */
#ifndef POLICY_READER_H
#define POLICY_READER_H

#include <stdbool.h>

#include "policy/rule.h"
#include "policy/text.h"

/**
 * struct policy_reader - a file of a policy that is being read
 * @file: what messages call it, a member of p->file
 * @text: it
 * @rule: the rule that is being read
 * @said: of what may be said once in a file: the bits below
 * @form: the section that is being read has a mistake of form
 * @cut:  a string without an end may have taken a brace along
 */
struct policy_reader {
	struct policy *p;
	const char *file;
	struct policy_text text;
	struct policy_rule rule;
	unsigned int said;
	bool form;
	bool cut;
	struct policy_why *why;
};

/**
 * struct policy_key - what can be said
 * @take: take a value of it; the token of the reader's text is that value
 * @list: it may have several
 */
struct policy_key {
	const char *name;
	void (*take)(struct policy_reader *r, const struct policy_key *key, const char *value);
	bool list;
};

/**
 * struct policy_section - where what can be said
 * @where: for messages
 */
struct policy_section {
	const char *where;
	unsigned int n;
	const struct policy_key *key;
};

/** policy_in_rule, policy_in_limit, policy_in_file - what can be said in a rule, in "limit", and outside of both */
extern const struct policy_section policy_in_rule;
extern const struct policy_section policy_in_limit;
extern const struct policy_section policy_in_file;

/** policy_fail() - a mistake in that line, 0: in the whole file; all goes on */
void policy_fail(struct policy_reader *r, int err, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** policy_no_memory() - the same, and the text ends here */
void policy_no_memory(struct policy_reader *r);

#endif /* POLICY_READER_H */
