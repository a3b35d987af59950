/* SPDX-License-Identifier: MIT */
/*
 * policy/text.h - the words and signs of a policy's text
 */
#ifndef POLICY_TEXT_H
#define POLICY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum policy_token {
	POLICY_END,
	POLICY_VALUE,  /* a word or a string */
	POLICY_OPEN,   /* { */
	POLICY_CLOSE,  /* } */
	POLICY_COMMA,  /* , */
	POLICY_EQUALS, /* = */
	POLICY_MORE,   /* += */
	POLICY_WRONG,  /* something else */
};

/**
 * struct policy_text - a text, and the token that was read last
 * @at, @end: what is left of it
 * @at_line:  the line of @at
 * @token:    the token
 * @line:     where it begins
 * @first:    it is the first one in its line
 * @value:    of POLICY_VALUE, without its quotes
 * @wrong:    of POLICY_WRONG, what is wrong
 * @cut:      it is a string without an end, and took the rest of its line
 */
struct policy_text {
	const char *at;
	const char *end;
	unsigned int at_line;
	enum policy_token token;
	unsigned int line;
	bool first;
	char *value;
	const char *wrong;
	bool cut;
};

/**
 * policy_text_check() - whether there are characters that no text has
 * @line: out: where
 *
 * Return: NULL, or what is wrong.
 */
const char *policy_text_check(const char *text, size_t len, unsigned int *line);

/** policy_text_begin() - before the first token of @len bytes. Return: 0 or -ENOMEM */
int policy_text_begin(struct policy_text *t, const char *text, size_t len);

/** policy_text_next() - read one token; behind the last one comes POLICY_END, as often as it is asked for */
void policy_text_next(struct policy_text *t);

/** policy_text_assigned() - whether the next token is "=" or "+=" */
bool policy_text_assigned(const struct policy_text *t);

/** policy_text_finish() - free what it holds */
void policy_text_finish(struct policy_text *t);

#endif /* POLICY_TEXT_H */
