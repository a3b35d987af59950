/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/policy_test.c - gntdevctl policy test: does a policy say what it is meant to say?
 *
 * A table's line describes a process as it would open the device, names a domain, and says what is expected. It is
 * decided here, by the code that the daemon decides with.
 */
#include "gntdevctl/policy_test.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/out.h"
#include "gntdevctl/client.h"
#include "gntdevctl/text.h"
#include "gntdevctl/unit.h"
#include "policy/policy.h"

#define DOMID_MAX 32751

/**
 * struct table - what is tested, and how far it is
 * @name, @line: where we are
 * @mistake: this line cannot be understood; it was told
 * @n, @wrong: lines that were decided; those that were not as expected, or could not be understood
 */
struct table {
	const struct ctl *ctl;
	const struct policy *policy;
	const char *name;
	unsigned int line;
	bool mistake;
	unsigned int n;
	unsigned int wrong;
};

/**
 * struct question - a line
 * @text: as it stands there, for messages
 * @rule: NULL: any
 */
struct question {
	char text[256];
	struct who who;
	bool has_user;
	uint16_t domid;
	const char *action;
	const char *rule;
};

static void mistake(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first one of a line is told. */
static void mistake(struct table *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (t->mistake)
		return;
	t->mistake = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctl_error(CTL_BAD, "%s:%u: %s", t->name, t->line, text);
}

/* --- who -------------------------------------------------------------------------------------- */

/* A number from 0 to @max, and nothing else. */
static bool number(const char *text, unsigned long max, unsigned long *n)
{
	char *end;

	errno = 0;
	*n = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *n <= max;
}

/* With the groups that a login gives. */
static void set_user(struct table *t, struct question *q, const char *value)
{
	int n = WHO_GROUPS_MAX;
	struct passwd *pw;
	unsigned long uid;

	/* cppcheck-suppress getpwnamCalled ; there is one thread */
	pw = getpwnam(value);
	q->has_user = true;
	if (!pw && !number(value, UINT32_MAX, &uid)) {
		mistake(t, "there is no user \"%s\": getent passwd lists them", value);
		return;
	}
	q->who.uid = pw ? pw->pw_uid : (uid_t)uid;
	if (!pw)
		return;
	q->who.gid = pw->pw_gid;
	q->who.all_groups = getgrouplist(value, pw->pw_gid, q->who.groups, &n) >= 0;
	q->who.n_groups = n < WHO_GROUPS_MAX ? (unsigned int)n : WHO_GROUPS_MAX;
}

static void set_group(struct table *t, struct question *q, const char *value)
{
	struct group *gr;
	unsigned long gid;

	/* cppcheck-suppress getgrnamCalled ; there is one thread */
	gr = getgrnam(value);
	if (!gr && !number(value, UINT32_MAX, &gid))
		mistake(t, "there is no group \"%s\": getent group lists them", value);
	else if (q->who.n_groups == WHO_GROUPS_MAX)
		mistake(t, "more than %d groups", WHO_GROUPS_MAX);
	else
		q->who.groups[q->who.n_groups++] = gr ? gr->gr_gid : (gid_t)gid;
}

static void set_unit(struct table *t, struct question *q, const char *value)
{
	const char *suffix = ctl_unit_suffix(value);

	if (snprintf(q->who.unit, sizeof(q->who.unit), "%s%s", value, suffix) >=
		    (int)sizeof(q->who.unit) ||
	    snprintf(q->who.cgroup, sizeof(q->who.cgroup), "/system.slice/%s%s", value, suffix) >=
		    (int)sizeof(q->who.cgroup))
		mistake(t, "unit=%s: too long", value);
}

static void set_cgroup(struct table *t, struct question *q, const char *value)
{
	if (*value != '/')
		mistake(t, "cgroup=%s: a path from the root is wanted, \"/...\"", value);
	else if (snprintf(q->who.cgroup, sizeof(q->who.cgroup), "%s", value) >=
		 (int)sizeof(q->who.cgroup))
		mistake(t, "cgroup=%s: too long", value);
}

/* @word: "KEY=VALUE" */
static void set(struct table *t, struct question *q, char *word)
{
	char *value = strchr(word, '=');

	*value++ = '\0';
	if (!*value)
		mistake(t, "%s=: a value is wanted", word);
	else if (!strcmp(word, "user"))
		set_user(t, q, value);
	else if (!strcmp(word, "group"))
		set_group(t, q, value);
	else if (!strcmp(word, "unit"))
		set_unit(t, q, value);
	else if (!strcmp(word, "cgroup"))
		set_cgroup(t, q, value);
	else
		mistake(t, "\"%s\": \"user\", \"group\", \"unit\" or \"cgroup\" is wanted", word);
}

/* --- a line ----------------------------------------------------------------------------------- */

static char *next_word(char **rest)
{
	char *word;

	while ((word = strsep(rest, " \t")))
		if (*word)
			return word;
	return NULL;
}

static bool is_action(const char *word)
{
	for (int i = POLICY_ALLOW; i <= POLICY_DENY; i++)
		if (!strcmp(word, policy_action_name((enum policy_action)i)))
			return true;
	return false;
}

/* What is expected: behind who it is about. @word: the domain, or NULL */
static void read_expected(struct table *t, struct question *q, const char *word, char *rest)
{
	unsigned long domid = 0;

	if (!word || !number(word, DOMID_MAX, &domid))
		mistake(t, "%s%sa domain is wanted, 0 to %d", word ? word : "", word ? ": " : "",
			DOMID_MAX);
	q->domid = (uint16_t)domid;
	q->action = next_word(&rest);
	if (!q->action || !is_action(q->action))
		mistake(t, "%s%s\"allow\", \"read-only\" or \"deny\" is wanted",
			q->action ? q->action : "", q->action ? ": " : "");
	while (rest && (*rest == ' ' || *rest == '\t'))
		rest++;
	q->rule = rest && *rest ? rest : NULL;
}

/* @line: is cut up. A user namespace that is not the daemon's cannot be asked for. */
static void read_question(struct table *t, struct question *q, char *line)
{
	char *word;

	*q = (struct question){
		.who = { .uid = (uid_t)-1,
			 .gid = (gid_t)-1,
			 .ns = OWNER_OURS,
			 .visible = true,
			 .all_groups = true,
			 .cgroup = "/user.slice" },
	};
	snprintf(q->text, sizeof(q->text), "%s", line);
	while ((word = next_word(&line)) && strchr(word, '='))
		set(t, q, word);
	if (!q->has_user)
		mistake(t, "user=NAME is wanted");
	read_expected(t, q, word, line);
}

static bool as_expected(const struct question *q, const struct policy_verdict *v)
{
	return !strcmp(policy_action_name(v->action), q->action) &&
	       (!q->rule || !strcmp(q->rule, v->rule));
}

static void tell_json(const struct table *t, const struct question *q,
		      const struct policy_verdict *v)
{
	json_t *o = json_pack("{s:{s:o, s:i, s:o, s:b, s:s, s:o}}", "test", "file",
			      control_text(t->name), "line", (int)t->line, "question",
			      control_text(q->text), "good", as_expected(q, v), "action",
			      policy_action_name(v->action), "rule", control_text(v->rule));

	if (!o)
		exit(ctl_error(CTL_FAILED, "no memory"));
	json_dumpf(o, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(o);
}

static void tell(const struct table *t, const struct question *q, const struct policy_verdict *v)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s:%u: %s", t->name, t->line, q->text);
	printf("%swrong%s  ", ctl_paint(CTL_WRONG), ctl_paint(CTL_PLAIN));
	ctl_print_clean(stdout, text);
	if (v->file)
		snprintf(text, sizeof(text), "it is %s, by rule \"%s\", %s:%u",
			 policy_action_name(v->action), v->rule, v->file, v->line);
	else
		snprintf(text, sizeof(text), "it is %s, as no rule matches",
			 policy_action_name(v->action));
	fputs("\n       ", stdout);
	ctl_print_clean(stdout, text);
	putchar('\n');
}

static void test_line(struct table *t, char *line)
{
	struct policy_verdict v;
	struct question q;

	line[strcspn(line, "#\n")] = '\0';
	if (!line[strspn(line, " \t")])
		return;
	for (size_t n = strlen(line); strchr(" \t", line[n - 1]); n--)
		line[n - 1] = '\0';
	t->n++;
	t->mistake = false;
	read_question(t, &q, line);
	if (!t->mistake) {
		policy_decide(t->policy, &q.who, q.domid, &v);
		t->wrong += !as_expected(&q, &v);
		if (t->ctl->json)
			tell_json(t, &q, &v);
		else if (!as_expected(&q, &v))
			tell(t, &q, &v);
	}
	t->wrong += t->mistake;
}

/* --- all of them ------------------------------------------------------------------------------ */

static int test_lines(struct table *t, FILE *f)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, f) >= 0) {
		t->line++;
		test_line(t, line);
	}
	free(line);
	if (ferror(f))
		return ctl_error(CTL_FAILED, "%s: %s", t->name, strerror(errno));
	if (!t->n)
		return ctl_error(CTL_BAD, "%s: there is no line in it that asks anything", t->name);
	if (!t->ctl->json && !t->ctl->rows)
		printf("%u of %u are as expected\n", t->n - t->wrong, t->n);
	return t->wrong ? CTL_BAD : CTL_DONE;
}

int ctl_policy_test(const struct ctl *ctl, const char *table, const char *file, bool must)
{
	struct table t = { .ctl = ctl, .name = table };
	struct policy *p = NULL;
	struct policy_why why;
	FILE *f = fopen(table, "re");
	int status;

	if (!f)
		return ctl_error(CTL_FAILED, "%s: %s", table, strerror(errno));
	if (policy_load(file, must, &p, &why)) {
		fclose(f);
		return ctl_error(CTL_BAD, "%s (gntdevctl policy check tells all)", why.text[0]);
	}
	t.policy = p;
	status = test_lines(&t, f);
	fclose(f);
	policy_free(p);
	return status;
}
