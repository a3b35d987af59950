/* SPDX-License-Identifier: MIT */
/*
 * policy/parse.c - who may map what: understanding the text
 *
 *     text    = { setting | "limit" section | "rule" NAME section }
 *     section = "{" { setting } "}"
 *     setting = KEY ( "=" | "+=" ) ( VALUE | "{" [ VALUE { "," VALUE } [ "," ] ] "}" )
 *
 * All mistakes of a text are told at once. A value that is wrong is only told of, and all goes on. Behind a mistake of
 * form there is a place from which the text is understood again: the next "KEY =" of the section, or the next rule or
 * limit. What a mistake of form may have caused is not told of: a key that was misspelt is not missing, too.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/reader.h"

/* What is said once in a file. */
#define SAID_LIMIT    1U
#define SAID_TOO_MANY 2U

/* --- messages ----------------------------------------------------------------------------------- */

void policy_vfail(struct policy_why *why, int err, const char *file, unsigned int line,
		  const char *fmt, va_list ap)
{
	char *text;
	int n;

	if (why->err == -ENOMEM)
		return;
	/* Nothing that was found is of use then. */
	if (err == -ENOMEM)
		why->n = why->err = 0;
	if (!why->err)
		why->err = err;
	if (why->n++ >= POLICY_MISTAKES_MAX)
		return;
	text = why->text[why->n - 1];
	n = line ? snprintf(text, POLICY_WHY_SIZE, "%s:%u: ", file, line)
		 : snprintf(text, POLICY_WHY_SIZE, "%s: ", file);
	if (n >= 0 && n < POLICY_WHY_SIZE)
		vsnprintf(text + n, POLICY_WHY_SIZE - (size_t)n, fmt, ap);
	/* What stands in the file may be quoted, and goes to a log. */
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

void policy_fail(struct policy_reader *r, int err, unsigned int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	policy_vfail(r->why, err, r->file, line, fmt, ap);
	va_end(ap);
}

void policy_no_memory(struct policy_reader *r)
{
	policy_fail(r, -ENOMEM, 0, "out of memory");
	r->text.at = r->text.end;
}

/* Whatever token is wrong is told of here. */
static void next(struct policy_reader *r)
{
	policy_text_next(&r->text);
	r->cut = r->cut || r->text.cut;
	if (r->text.token != POLICY_WRONG)
		return;
	r->form = true;
	policy_fail(r, -EINVAL, r->text.line, "%s", r->text.wrong);
}

/* The token is another than what is @wanted, which is a mistake of form. */
static void unexpected(struct policy_reader *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void unexpected(struct policy_reader *r, const char *fmt, ...)
{
	static const char *const signs[] = {
		[POLICY_OPEN] = "\"{\"",   [POLICY_CLOSE] = "\"}\"", [POLICY_COMMA] = "\",\"",
		[POLICY_EQUALS] = "\"=\"", [POLICY_MORE] = "\"+=\"",
	};
	const struct policy_text *t = &r->text;
	char wanted[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(wanted, sizeof(wanted), fmt, ap);
	va_end(ap);
	r->form = true;
	if (t->token == POLICY_WRONG)
		return;
	if (t->token == POLICY_END)
		policy_fail(r, -EINVAL, t->line, "%s is wanted, and the file ends", wanted);
	else if (t->token == POLICY_VALUE)
		policy_fail(r, -EINVAL, t->line, "%s is wanted, not \"%s\"", wanted, t->value);
	else
		policy_fail(r, -EINVAL, t->line, "%s is wanted, not %s", wanted, signs[t->token]);
}

/* --- settings ----------------------------------------------------------------------------------- */

static bool is(const struct policy_reader *r, const char *word)
{
	return r->text.token == POLICY_VALUE && !strcmp(r->text.value, word);
}

/* A rule or a limit begins here, where no value is wanted. */
static bool begins_section(const struct policy_reader *r)
{
	return (is(r, "rule") || is(r, "limit")) && !policy_text_assigned(&r->text);
}

/* To where the text is understood again: "KEY =", the end of the section, or the next one. */
static void skip_setting(struct policy_reader *r)
{
	const struct policy_text *t = &r->text;
	unsigned int depth = 0;

	for (; t->token != POLICY_END; next(r)) {
		if (begins_section(r) && (!depth || t->first))
			return;
		if (!depth && (t->token == POLICY_CLOSE ||
			       (t->token == POLICY_VALUE && policy_text_assigned(t))))
			return;
		depth += t->token == POLICY_OPEN;
		depth -= t->token == POLICY_CLOSE;
	}
}

static const struct policy_key *find_key(const struct policy_section *s, const char *name)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (!strcmp(s->key[i].name, name))
			return &s->key[i];
	return NULL;
}

static void unknown_key(struct policy_reader *r, const struct policy_section *s)
{
	char names[256] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < s->n && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
					s->key[i].name);
	r->form = true;
	policy_fail(r, -EINVAL, r->text.line, "there is no key \"%s\" %s: %s", r->text.value,
		    s->where, names);
	next(r);
	skip_setting(r);
}

/* Return: whether there is one; it may be wrong. */
static bool take_value(struct policy_reader *r, const struct policy_key *key)
{
	const struct policy_text *t = &r->text;

	if (t->token == POLICY_VALUE && !policy_text_assigned(t))
		key->take(r, key, t->value);
	else if (t->token != POLICY_WRONG)
		return false;
	next(r);
	return true;
}

/* Return: whether it has ended as it should. */
static bool take_list(struct policy_reader *r, const struct policy_key *key)
{
	const struct policy_text *t = &r->text;
	const unsigned int line = t->line;

	next(r);
	if (t->token == POLICY_CLOSE)
		policy_fail(r, -EINVAL, line,
			    "the list of \"%s\" is empty: leave it out, or name one", key->name);
	while (take_value(r, key)) {
		if (t->token != POLICY_COMMA)
			break;
		next(r);
	}
	if (t->token == POLICY_CLOSE) {
		next(r);
		return true;
	}
	if (!r->cut)
		unexpected(r, "\",\" or \"}\" in the list of \"%s\"", key->name);
	return false;
}

static bool take_values(struct policy_reader *r, const struct policy_key *key)
{
	const struct policy_text *t = &r->text;

	if (t->token == POLICY_OPEN && key->list)
		return take_list(r, key);
	if (take_value(r, key))
		return true;
	unexpected(r, "a value of \"%s\"", key->name);
	return false;
}

/* @seen: bits of the keys that were said, by their places in @s. */
static void take_setting(struct policy_reader *r, const struct policy_section *s, uint32_t *seen)
{
	const struct policy_text *t = &r->text;
	const struct policy_key *key = find_key(s, t->value);
	const unsigned int line = t->line;
	uint32_t bit;

	if (!key)
		return unknown_key(r, s);
	next(r);
	bit = 1U << (key - s->key);
	if (t->token == POLICY_EQUALS && *seen & bit)
		policy_fail(r, -EINVAL, line, "\"%s\" for the second time %s%s", key->name,
			    s->where, key->list ? ": write a list, {\"a\", \"b\"}" : "");
	*seen |= bit;
	if (t->token != POLICY_EQUALS && !(t->token == POLICY_MORE && key->list)) {
		unexpected(r, "\"=\" behind \"%s\"", key->name);
		return skip_setting(r);
	}
	next(r);
	if (!take_values(r, key))
		skip_setting(r);
}

/* --- sections ----------------------------------------------------------------------------------- */

/* The token is the opening brace. */
static void take_section(struct policy_reader *r, const struct policy_section *s)
{
	const struct policy_text *t = &r->text;
	const unsigned int line = t->line;
	uint32_t seen = 0;

	next(r);
	while (t->token != POLICY_CLOSE && t->token != POLICY_END && !begins_section(r)) {
		if (t->token == POLICY_VALUE) {
			take_setting(r, s, &seen);
			continue;
		}
		unexpected(r, "a key");
		next(r);
		skip_setting(r);
	}
	if (t->token == POLICY_CLOSE)
		next(r);
	else if (!r->cut)
		policy_fail(r, -EINVAL, line, "the brace that is opened here is not closed");
}

static bool of_file(const struct policy_reader *r)
{
	return r->text.token == POLICY_VALUE && find_key(&policy_in_file, r->text.value);
}

/* To the end of the section that begins here or is under way, or to the next one. */
static void skip_section(struct policy_reader *r)
{
	const struct policy_text *t = &r->text;
	unsigned int depth = 0;

	for (; t->token != POLICY_END; next(r)) {
		if (begins_section(r) && (!depth || t->first))
			return;
		if (!depth && of_file(r) && policy_text_assigned(t))
			return;
		depth += t->token == POLICY_OPEN;
		if (t->token == POLICY_CLOSE && depth-- <= 1)
			return next(r);
	}
}

static void take_limits(struct policy_reader *r)
{
	const unsigned int line = r->text.line;

	if (r->said & SAID_LIMIT)
		policy_fail(r, -EINVAL, line, "a second \"limit\" in this file: write one");
	r->said |= SAID_LIMIT;
	next(r);
	if (r->text.token == POLICY_OPEN)
		return take_section(r, &policy_in_limit);
	unexpected(r, "\"{\" behind \"limit\"");
	skip_section(r);
}

static void check_name(struct policy_reader *r, const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:@ ";
	size_t len = strlen(name);

	if (!len || len >= POLICY_NAME_SIZE || strspn(name, letters) != len)
		return policy_fail(
			r, -EINVAL, r->text.line,
			"rule \"%s\": a name has 1 to %d letters, digits, spaces and -_.:@", name,
			POLICY_NAME_SIZE - 1);
	snprintf(r->rule.name, sizeof(r->rule.name), "%s", name);
	for (unsigned int i = 0; i < r->p->n_rules; i++) {
		const struct policy_rule *other = &r->p->rule[i];

		if (!strcmp(other->name, name))
			return policy_fail(r, -EINVAL, r->text.line,
					   "rule \"%s\": there is one of that name in %s:%u", name,
					   other->file, other->line);
	}
}

/* The rule is complete; it is of use if there was no mistake. */
static void add_rule(struct policy_reader *r)
{
	struct policy_rule *rule = &r->rule;

	if (!rule->has_action && !r->form)
		policy_fail(r, -EINVAL, rule->line,
			    "rule \"%s\" has no action: allow, deny or read-only", rule->name);
	if (r->p->n_rules < POLICY_RULES_MAX) {
		r->p->rule[r->p->n_rules++] = *rule;
		*rule = (struct policy_rule){ 0 };
		return;
	}
	if (!(r->said & SAID_TOO_MANY))
		policy_fail(r, -EINVAL, rule->line, "more than %d rules", POLICY_RULES_MAX);
	r->said |= SAID_TOO_MANY;
	policy_rule_clear(rule);
}

static void take_rule(struct policy_reader *r)
{
	const struct policy_text *t = &r->text;

	r->rule.file = r->file;
	r->rule.line = t->line;
	next(r);
	if (t->token == POLICY_VALUE)
		check_name(r, t->value);
	else
		unexpected(r, "the rule's name");
	if (t->token == POLICY_VALUE || t->token == POLICY_WRONG)
		next(r);
	if (t->token == POLICY_OPEN) {
		take_section(r, &policy_in_rule);
	} else {
		if (!r->form)
			unexpected(r, "\"{\" behind the rule's name");
		skip_section(r);
	}
	add_rule(r);
}

/* --- the whole ---------------------------------------------------------------------------------- */

static void take_text(struct policy_reader *r)
{
	const struct policy_text *t = &r->text;
	uint32_t seen = 0;

	for (next(r); t->token != POLICY_END;) {
		r->form = false;
		r->cut = t->cut;
		if (is(r, "rule")) {
			take_rule(r);
		} else if (is(r, "limit")) {
			take_limits(r);
		} else if (of_file(r)) {
			take_setting(r, &policy_in_file, &seen);
		} else if (t->token == POLICY_CLOSE) {
			policy_fail(r, -EINVAL, t->line, "this brace closes nothing");
			next(r);
		} else {
			unexpected(r, "\"rule\", \"limit\" or \"pv_descriptor\"");
			next(r);
			skip_section(r);
		}
	}
}

static bool add_file(struct policy_reader *r, const char *name)
{
	char **more = reallocarray(r->p->file, r->p->n_files + 1, sizeof(*more));

	if (!more)
		return false;
	r->p->file = more;
	more[r->p->n_files] = strdup(name);
	if (!more[r->p->n_files])
		return false;
	r->file = more[r->p->n_files++];
	return true;
}

void policy_add_text(struct policy *p, const char *name, const char *text, size_t len,
		     struct policy_why *why)
{
	struct policy_reader r = { .p = p, .file = name, .why = why };
	const char *wrong;
	unsigned int line;

	if (!add_file(&r, name) || policy_text_begin(&r.text, text, len))
		return policy_no_memory(&r);
	wrong = policy_text_check(text, len, &line);
	if (wrong)
		policy_fail(&r, -EINVAL, line, "%s", wrong);
	else
		take_text(&r);
	policy_text_finish(&r.text);
}
