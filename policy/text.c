/* SPDX-License-Identifier: MIT */
/*
 * policy/text.c - what a policy's text may look like, before a library parses it
 *
 * libconfuse is lenient where a file that grants rights must not be misread. It skips characters that it
 * has no use for, so that an unquoted qemu-* is "qemu-", and in an unquoted pattern a slash before a star
 * begins a comment, which may swallow all that follows. It replaces ${NAME} by the daemon's environment.
 * It stops at a NUL byte. A file may end in the middle of a rule. And when it ends in a string or comment, or
 * has a bad escape, the scanner is still in that state when it is handed the next file. None of that gets past
 * here; what is left is
 *
 *     # a comment    word    word = value    "string"    'string'    { } , = +=
 *
 * Version 3.3 counts two lines where there is a comment, so it is not shown any.
 */
#include "policy/text.h"

#include <stdbool.h>
#include <string.h>

/*
 * struct scan - one walk through the text
 * @at, @end: what is left of it
 * @depth:    of braces; there is no more than a list in a rule
 * @brace:    lines where they were opened
 */
struct scan {
	char *at;
	char *end;
	unsigned int line;
	unsigned int depth;
	unsigned int brace[2];
};

static bool next_is(const struct scan *s, char c)
{
	return s->at + 1 < s->end && s->at[1] == c;
}

/* From the quote on; strings in single quotes keep their backslashes, but for \' and \\. */
static const char *skip_string(struct scan *s)
{
	char quote = *s->at++;

	for (; s->at < s->end && *s->at != quote; s->at++) {
		if (*s->at == '\n')
			break;
		if (quote == '"' && *s->at == '$' && next_is(s, '{'))
			return "\"${\" would be replaced by the environment: use single quotes";
		if (*s->at != '\\')
			continue;
		if (quote == '"' && !next_is(s, '"') && !next_is(s, '\\'))
			return "a backslash in double quotes stands before \" or \\ only: use "
			       "single quotes";
		if (next_is(s, '\'') || next_is(s, '"') || next_is(s, '\\'))
			s->at++;
	}
	if (s->at >= s->end || *s->at == '\n')
		return "the string does not end on its line";
	s->at++;
	return NULL;
}

/* A run of characters that libconfuse takes for a word. */
static const char *skip_word(struct scan *s)
{
	static const char ends[] = " \t\n#\"'={}(),+";

	while (s->at < s->end && !strchr(ends, *s->at)) {
		if (strchr("*?[]$\\!~`|&;<>^", *s->at))
			return "quote what has other characters than letters, digits and -_./:@%";
		if (*s->at == '/' && (next_is(s, '/') || next_is(s, '*')))
			return "\"//\" and \"/*\" begin no comment here: comments begin with "
			       "\"#\", and patterns are quoted";
		s->at++;
	}
	return NULL;
}

static const char *skip_brace(struct scan *s)
{
	if (*s->at++ == '{') {
		if (s->depth == 2)
			return "there is nothing with this many braces around it";
		s->brace[s->depth++] = s->line;
	} else if (s->depth-- == 0) {
		return "this brace closes nothing";
	}
	return NULL;
}

static const char *skip_token(struct scan *s)
{
	switch (*s->at) {
	case '\n':
		s->line++;
		s->at++;
		return NULL;
	case '#':
		while (s->at < s->end && *s->at != '\n')
			*s->at++ = ' ';
		return NULL;
	case '"':
	case '\'':
		return skip_string(s);
	case '{':
	case '}':
		return skip_brace(s);
	case '(':
	case ')':
		return "parentheses are of no use here";
	case '+':
		if (!next_is(s, '='))
			return "quote what has other characters than letters, digits and -_./:@%";
		s->at += 2;
		return NULL;
	case ' ':
	case '\t':
	case '=':
	case ',':
		s->at++;
		return NULL;
	default:
		return skip_word(s);
	}
}

static const char *check_characters(const char *text, size_t len, unsigned int *line)
{
	*line = 1;
	for (; len; text++, len--) {
		*line += *text == '\n';
		if (*text == '\r')
			return "a carriage return: lines end with a newline alone";
		if (((unsigned char)*text < ' ' && *text != '\n' && *text != '\t') || *text == 0x7f)
			return "a control character";
	}
	return NULL;
}

const char *policy_text_prepare(char *text, size_t len, unsigned int *line)
{
	struct scan s = { .at = text, .end = text + len, .line = 1 };
	const char *why = check_characters(text, len, line);

	while (!why && s.at < s.end) {
		*line = s.line;
		why = skip_token(&s);
	}
	if (!why && s.depth) {
		*line = s.brace[0];
		why = "the brace that is opened here is not closed";
	}
	return why;
}
