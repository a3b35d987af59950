/* SPDX-License-Identifier: MIT */
/*
 * policy/text.h - what a policy's text may look like, before a library parses it, and its statements
 */
#ifndef POLICY_TEXT_H
#define POLICY_TEXT_H

#include <stddef.h>

/**
 * struct policy_statement - "KEY = VALUE", "limit {...}", "rule NAME {...}", or what stands in place of one
 * @text: @len bytes, at least one
 * @line: where it begins
 * @open: where its outermost brace was opened, if that is not closed, else 0
 */
struct policy_statement {
	char *text;
	size_t len;
	unsigned int line;
	unsigned int open;
};

/**
 * struct policy_text_use - what becomes of a text
 * @statement: take the next one
 * @wrong:     a mistake in that line
 */
struct policy_text_use {
	void (*statement)(void *arg, const struct policy_statement *s);
	void (*wrong)(void *arg, unsigned int line, const char *why);
	void *arg;
};

/**
 * policy_text_cut() - cut a text into statements, without those that libconfuse would take in another way than they look
 * @text: @len bytes, whatever they are; its comments are blanked out
 */
void policy_text_cut(char *text, size_t len, const struct policy_text_use *use);

#endif /* POLICY_TEXT_H */
