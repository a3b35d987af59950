/* SPDX-License-Identifier: MIT */
/*
 * policy/text.c - what a policy's text may look like, before a library parses it, and its statements
 *
 * libconfuse is lenient where a file that grants rights must not be misread. It skips characters that it
 * has no use for, so that an unquoted qemu-* is "qemu-", and in an unquoted pattern a slash before a star
 * begins a comment, which may swallow all that follows. It replaces ${NAME} by the daemon's environment.
 * It stops at a NUL byte. A file may end in the middle of a rule. And when it ends in a string or comment, or
 * has a bad escape, the scanner is still in that state when it is handed the next file. None of that gets past
 * here; what is left is
 *
 *     # a comment    word    word = value    "string"    'string'    { } ( ) , = +=
 *
 * It also stops at the first mistake, so it is given one statement at a time. That ends with its outermost brace or,
 * outside of braces, with the value behind "="; and, where something is missing, before what stands nowhere within a
 * statement that is right: "rule NAME {", "limit {" and, outside of braces, "pv_descriptor =".
 *
 * Version 3.3 counts two lines where there is a comment, so it is not shown any.
 */
#include "policy/text.h"

#include <stdbool.h>
#include <string.h>

static const char quote_it[] = "quote what has other characters than letters, digits and -_./:@%";

/* What is left of a text. */
struct scan {
	char *at;
	char *end;
	unsigned int line;
};

/**
 * struct token - a word or sign
 * @kind:  VALUE for words and strings, '=' for "+=", too, 0 at the end of the text, else the sign
 * @wrong: what is wrong with it, or NULL
 */
struct token {
	char *at;
	size_t len;
	unsigned int line;
	char kind;
	const char *wrong;
};

#define VALUE 'v'

/**
 * struct cut - a text that is being cut
 * @now:   the statement, as far as it was read; its text is NULL before its first token
 * @last:  its last token
 * @depth: of braces
 * @wrong: it has a token that is wrong
 */
struct cut {
	struct scan scan;
	const struct policy_text_use *use;
	struct policy_statement now;
	struct token last;
	unsigned int depth;
	bool wrong;
};

/* --- tokens ------------------------------------------------------------------------------------- */

static bool next_is(const struct scan *s, char c)
{
	return s->at + 1 < s->end && s->at[1] == c;
}

static void skip_blanks(struct scan *s)
{
	bool comment = false;

	for (; s->at < s->end && (comment || strchr(" \t\n#", *s->at)); s->at++) {
		comment = *s->at != '\n' && (comment || *s->at == '#');
		s->line += *s->at == '\n';
		if (comment)
			*s->at = ' ';
	}
}

/* From the quote on; strings in single quotes keep their backslashes, but for \' and \\. Return: what is wrong. */
static const char *skip_string(struct scan *s)
{
	const char quote = *s->at++;
	const char *wrong = NULL;

	for (; s->at < s->end && *s->at != quote && *s->at != '\n'; s->at++) {
		if (quote == '"' && *s->at == '$' && next_is(s, '{'))
			wrong = "\"${\" would be replaced by the environment: use single quotes";
		if (*s->at != '\\')
			continue;
		if (next_is(s, quote) || next_is(s, '\\'))
			s->at++;
		else if (quote == '"')
			wrong = "a backslash in double quotes stands before \" or \\ only: use "
				"single quotes";
	}
	if (s->at == s->end || *s->at == '\n')
		return "the string does not end on its line";
	s->at++;
	return wrong;
}

/* A run of characters that libconfuse takes for a word. Return: what is wrong. */
static const char *skip_word(struct scan *s)
{
	const char *begin = s->at, *wrong = NULL;

	for (; s->at < s->end && !strchr(" \t\n#\"'={}(),+", *s->at); s->at++) {
		if (*s->at == '/' && (next_is(s, '/') || next_is(s, '*')))
			wrong = "\"//\" and \"/*\" begin no comment here: comments begin with "
				"\"#\", and patterns are quoted";
		else if (!wrong && strchr("*?[]$\\!~`|&;<>^", *s->at))
			wrong = quote_it;
	}
	/* Who takes it for a comment has written one. */
	if (s->at - begin > 1 && begin[0] == '/' && begin[1] == '/')
		while (s->at < s->end && *s->at != '\n')
			s->at++;
	return wrong;
}

/* Return: whether it was "+=" */
static bool skip_more(struct scan *s)
{
	bool more = next_is(s, '=');

	s->at += more ? 2 : 1;
	return more;
}

static struct token next_token(struct scan *s)
{
	struct token t = { .kind = VALUE };

	skip_blanks(s);
	t.at = s->at;
	t.line = s->line;
	if (s->at == s->end)
		t.kind = 0;
	else if (strchr("\"'", *s->at))
		t.wrong = skip_string(s);
	else if (strchr("{}(),=", *s->at))
		t.kind = *s->at++;
	else if (*s->at != '+')
		t.wrong = skip_word(s);
	else if (skip_more(s))
		t.kind = '=';
	else
		t.wrong = quote_it;
	t.len = (size_t)(s->at - t.at);
	return t;
}

/* --- statements --------------------------------------------------------------------------------- */

/* With or without quotes. */
static bool is(const struct token *t, const char *word)
{
	size_t quote = t->kind == VALUE && strchr("\"'", *t->at), len = strlen(word);

	return t->kind == VALUE && t->len == len + 2 * quote && !memcmp(t->at + quote, word, len);
}

static bool begins_statement(const struct cut *c, const struct token *t)
{
	struct scan ahead = c->scan;
	struct token next;

	/* A rule may have any name. */
	if (t->kind != VALUE || is(&c->last, "rule"))
		return false;
	next = next_token(&ahead);
	if (next.kind == '=')
		return !c->depth && is(t, "pv_descriptor");
	if (is(t, "rule") && next.kind == VALUE)
		next = next_token(&ahead);
	return next.kind == '{' && (is(t, "rule") || is(t, "limit"));
}

static void end_statement(struct cut *c)
{
	if (c->now.text && !c->wrong) {
		c->now.len = (size_t)(c->last.at + c->last.len - c->now.text);
		c->use->statement(c->use->arg, &c->now);
	}
	c->now = (struct policy_statement){ 0 };
	c->last = (struct token){ 0 };
	c->depth = 0;
	c->wrong = false;
}

static void add_token(struct cut *c, const struct token *t)
{
	const bool assigned = c->last.kind == '=';

	if (!c->now.text) {
		c->now.text = t->at;
		c->now.line = t->line;
	}
	c->last = *t;
	if (t->wrong) {
		c->wrong = true;
		c->use->wrong(c->use->arg, t->line, t->wrong);
	}
	if (t->kind == '{' && !c->depth++)
		c->now.open = t->line;
	/* One that closes nothing is libconfuse's to refuse. */
	if (t->kind == '}' && c->depth && !--c->depth)
		c->now.open = 0;
	if (!c->depth && (t->kind == '}' || (t->kind == VALUE && assigned)))
		end_statement(c);
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

void policy_text_cut(char *text, size_t len, const struct policy_text_use *use)
{
	struct cut c = { .scan = { text, text + len, 1 }, .use = use };
	unsigned int line;
	const char *wrong = check_characters(text, len, &line);
	struct token t;

	if (wrong)
		return use->wrong(use->arg, line, wrong);
	while ((t = next_token(&c.scan)).kind) {
		if (begins_statement(&c, &t))
			end_statement(&c);
		add_token(&c, &t);
	}
	end_statement(&c);
}
