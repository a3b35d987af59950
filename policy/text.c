/* SPDX-License-Identifier: MIT */
/*
 * policy/text.c - the words and signs of a policy's text
 *
 *     # a comment    word    word = value    "string"    'string'    { } , = +=
 *
 * A file that grants rights must not be misread, so whatever could be taken for something else is wrong: a pattern
 * without quotes, other kinds of comments, a string over several lines, a backslash that escapes nothing, "${NAME}"
 * where somebody may expect the environment. Each such token is read to its end, so that what follows is understood.
 */
#include "policy/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char quote_it[] = "quote what has other characters than letters, digits and -_./:@%";

const char *policy_text_check(const char *text, size_t len, unsigned int *line)
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

int policy_text_begin(struct policy_text *t, const char *text, size_t len)
{
	*t = (struct policy_text){ .at = text, .end = text + len, .at_line = 1 };
	/* No value is longer than the text. */
	t->value = malloc(len + 1);
	return t->value ? 0 : -ENOMEM;
}

void policy_text_finish(struct policy_text *t)
{
	free(t->value);
}

/* Return: the next character, or 0 at the end. */
static char next_char(const struct policy_text *t)
{
	if (t->at + 1 < t->end)
		return t->at[1];
	return '\0';
}

static void skip_line(struct policy_text *t)
{
	while (t->at < t->end && *t->at != '\n')
		t->at++;
}

static void skip_blanks(struct policy_text *t)
{
	while (t->at < t->end && strchr(" \t\n#", *t->at)) {
		if (*t->at == '#') {
			skip_line(t);
			continue;
		}
		t->first = t->first || *t->at == '\n';
		t->at_line += *t->at == '\n';
		t->at++;
	}
}

static void wrong(struct policy_text *t, const char *why)
{
	t->token = POLICY_WRONG;
	t->wrong = why;
}

/* A backslash. In single quotes it stands for itself, but for \' and \\. */
static void read_backslash(struct policy_text *t, char quote)
{
	char next = next_char(t);

	if (next == '\\' || next == quote)
		t->at++;
	else if (quote == '"')
		wrong(t, "a backslash in double quotes stands before \" or \\ only: use single "
			 "quotes");
}

static void read_string(struct policy_text *t)
{
	char quote = *t->at++;
	size_t n = 0;

	t->token = POLICY_VALUE;
	for (; t->at < t->end && *t->at != quote && *t->at != '\n'; t->at++) {
		if (quote == '"' && *t->at == '$' && next_char(t) == '{')
			wrong(t, "\"${\" is not replaced by the environment: use single quotes if "
				 "it is meant so");
		if (*t->at == '\\')
			read_backslash(t, quote);
		t->value[n++] = *t->at;
	}
	t->value[n] = '\0';
	t->cut = t->at == t->end || *t->at == '\n';
	if (t->cut)
		wrong(t, "the string does not end on its line");
	else
		t->at++;
}

static void read_word(struct policy_text *t)
{
	static const char no_comment[] =
		"\"//\" and \"/*\" begin no comment here: comments begin with \"#\", and patterns "
		"are quoted";
	size_t n = 0;

	t->token = POLICY_VALUE;
	for (; t->at < t->end && !strchr(" \t\n#\"'={}(),+", *t->at); t->at++) {
		if (*t->at == '/' && (next_char(t) == '/' || next_char(t) == '*'))
			wrong(t, no_comment);
		else if (strchr("*?[]$\\!~`|&;<>^", *t->at) && t->token != POLICY_WRONG)
			wrong(t, quote_it);
		t->value[n++] = *t->at;
	}
	t->value[n] = '\0';
	/* Who takes it for a comment has written one. */
	if (n > 1 && t->value[0] == '/' && t->value[1] == '/')
		skip_line(t);
}

static void read_sign(struct policy_text *t)
{
	switch (*t->at++) {
	case '{':
		t->token = POLICY_OPEN;
		break;
	case '}':
		t->token = POLICY_CLOSE;
		break;
	case ',':
		t->token = POLICY_COMMA;
		break;
	case '=':
		t->token = POLICY_EQUALS;
		break;
	case '+':
		if (t->at == t->end || *t->at != '=') {
			wrong(t, quote_it);
			break;
		}
		t->at++;
		t->token = POLICY_MORE;
		break;
	default:
		wrong(t, "parentheses are of no use here");
	}
}

void policy_text_next(struct policy_text *t)
{
	t->first = t->line == 0;
	t->cut = false;
	skip_blanks(t);
	t->line = t->at_line;
	if (t->at == t->end)
		t->token = POLICY_END;
	else if (strchr("\"'", *t->at))
		read_string(t);
	else if (strchr("{},=+()", *t->at))
		read_sign(t);
	else
		read_word(t);
}

bool policy_text_assigned(const struct policy_text *t)
{
	struct policy_text ahead = *t;

	skip_blanks(&ahead);
	return ahead.at < ahead.end &&
	       (*ahead.at == '=' || (*ahead.at == '+' && next_char(&ahead) == '='));
}
