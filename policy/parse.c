/* SPDX-License-Identifier: MIT */
/*
 * policy/parse.c - who may map what: understanding the text
 *
 * libconfuse takes each statement apart. Each value is checked as soon as it has read it, so that messages name
 * its line; a rule is complete at its closing brace. All mistakes of a text are told at once: a value that is wrong
 * is told of and that is all; a mistake of form ends its statement, and the next one is read.
 */
#include <assert.h>
#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rule.h"
#include "policy/text.h"

/* Xen's DOMID_FIRST_RESERVED: from here on numbers are no domains. */
#define DOMID_RESERVED 0x7ff0
#define LIMIT_MAX      (1ULL << 40)
/* What an entry of a user or group may need. */
#define ENTRY_BYTES_MAX (1U << 20)

/**
 * struct reader - a file of a policy that is being read
 * @file: what messages call it, a member of p->file
 * @now:  the statement that is being read
 * @told: libconfuse has told what is wrong with it
 * @rule: the rule that is being read
 * @seen: bits of what it has said, by place in rule_keys
 * @said: of what the file has said: the bits below
 */
struct reader {
	struct policy *p;
	const char *file;
	const struct policy_statement *now;
	bool told;
	struct policy_rule rule;
	unsigned int seen;
	unsigned int said;
	struct policy_why *why;
};

#define SAID_LIMIT    1U
#define SAID_PV	      2U
#define SAID_TOO_MANY 4U
#define SAID_KEYS     8U /* and above: one for each limit */

static_assert(POLICY_N_LIMITS < 29, "the bits of what was said are too few");

/* libconfuse has no argument for its callbacks. */
static struct reader *reading;

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

static void fail(struct reader *r, int err, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void fail(struct reader *r, int err, unsigned int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	policy_vfail(r->why, err, r->file, line, fmt, ap);
	va_end(ap);
}

static void no_memory(struct reader *r)
{
	fail(r, -ENOMEM, 0, "out of memory");
}

/* libconfuse counts from where it was given a statement. */
static unsigned int line_of(const cfg_t *cfg)
{
	return reading->now->line + (cfg->line > 0 ? (unsigned int)cfg->line - 1 : 0);
}

/* What libconfuse itself has to say. */
static void take_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	reading->told = true;
	/* All that it was given is one statement. */
	if (!strcmp(fmt, "premature end of file"))
		fmt = "something is missing behind this";
	policy_vfail(reading->why, -EINVAL, reading->file, line_of(cfg), fmt, ap);
}

/* --- values ------------------------------------------------------------------------------------- */

/* Return: whether @s is a decimal number up to @max, and nothing else. */
static bool parse_number(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s) || v > max / 10)
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > max)
			return false;
	}
	*out = v;
	return true;
}

/* Return: room for one more of @n elements of @size bytes, or NULL. */
static void *grow(struct reader *r, void *array, size_t n, size_t size)
{
	void *more = reallocarray(array, n + 1, size);

	if (!more)
		no_memory(r);
	return more;
}

static void add_id(struct reader *r, struct policy_ids *ids, uint32_t id)
{
	uint32_t *more = grow(r, ids->id, ids->n, sizeof(*more));

	if (!more)
		return;
	ids->id = more;
	more[ids->n++] = id;
}

/**
 * struct database - where names have numbers
 * @what: they are names of
 * @list: what lists them
 * @find: Return: 0, a positive errno, or -1 if there is no such name.
 */
struct database {
	const char *what;
	const char *list;
	int (*find)(const char *name, char *buf, size_t size, uint32_t *id);
};

static int find_user(const char *name, char *buf, size_t size, uint32_t *id)
{
	struct passwd pw, *found = NULL;
	int err = getpwnam_r(name, &pw, buf, size, &found);

	if (found)
		*id = pw.pw_uid;
	return found || err ? err : -1;
}

static int find_group(const char *name, char *buf, size_t size, uint32_t *id)
{
	struct group gr, *found = NULL;
	int err = getgrnam_r(name, &gr, buf, size, &found);

	if (found)
		*id = gr.gr_gid;
	return found || err ? err : -1;
}

/* Return: as find(), with whatever room the entry needs. */
static int look_up(const struct database *db, const char *name, uint32_t *id)
{
	int err = ERANGE;

	for (size_t size = 4096; err == ERANGE && size <= ENTRY_BYTES_MAX; size *= 4) {
		char *buf = malloc(size);

		if (!buf)
			return ENOMEM;
		err = db->find(name, buf, size, id);
		free(buf);
	}
	return err;
}

/* (uid_t)-1 is nobody's number: it stands for an unknown one. */
static void take_id(struct reader *r, unsigned int line, const struct database *db,
		    const char *value, struct policy_ids *ids)
{
	uint64_t number;
	uint32_t id = 0;
	int err;

	if (parse_number(value, UINT32_MAX - 1, &number))
		return add_id(r, ids, (uint32_t)number);
	err = look_up(db, value, &id);
	/* ENOENT and its like are ways to say that there is none. */
	if (err == -1 || err == ENOENT || err == ESRCH || err == EBADF || err == EPERM)
		fail(r, -EINVAL, line, "there is no %s \"%s\": %s lists them", db->what, value,
		     db->list);
	else if (err)
		fail(r, -err, line, "looking up the %s \"%s\" failed: %s", db->what, value,
		     strerror(err));
	else
		add_id(r, ids, id);
}

static void take_user(struct reader *r, unsigned int line, const char *value)
{
	static const struct database users = { "user", "getent passwd", find_user };

	take_id(r, line, &users, value, &r->rule.users);
}

static void take_group(struct reader *r, unsigned int line, const char *value)
{
	static const struct database groups = { "group", "getent group", find_group };

	take_id(r, line, &groups, value, &r->rule.groups);
}

static void add_pattern(struct reader *r, struct policy_patterns *p, const char *pattern)
{
	char **more = grow(r, p->pattern, p->n, sizeof(*more));

	if (!more)
		return;
	p->pattern = more;
	more[p->n] = strdup(pattern);
	if (more[p->n])
		p->n++;
	else
		no_memory(r);
}

/* Whether a pattern can match something that ends so. */
static bool can_end(const char *pattern, const char *suffix)
{
	size_t len = strlen(pattern), n = strlen(suffix);

	return (len > n && !strcmp(pattern + len - n, suffix)) ||
	       (len && strchr("*?]", pattern[len - 1]));
}

static void take_unit(struct reader *r, unsigned int line, const char *value)
{
	if (strlen(value) < WHO_UNIT_SIZE && !strchr(value, '/') &&
	    (can_end(value, ".service") || can_end(value, ".scope")))
		add_pattern(r, &r->rule.units, value);
	else
		fail(r, -EINVAL, line,
		     "unit \"%s\": the name of a service or scope is wanted, such as "
		     "\"xenstored.service\" or \"qemu-*.service\"",
		     value);
}

static void take_cgroup(struct reader *r, unsigned int line, const char *value)
{
	if (strlen(value) < WHO_CGROUP_SIZE && *value && strchr("/*?[", *value))
		add_pattern(r, &r->rule.cgroups, value);
	else
		fail(r, -EINVAL, line,
		     "cgroup \"%s\": a path below the root of control groups is wanted, such as "
		     "\"/system.slice/*\"",
		     value);
}

/* N, N-M or "any". Return: NULL, or what is wrong. */
static const char *parse_range(const char *value, struct policy_range *range)
{
	char first[16];
	const char *dash = strchr(value, '-');
	uint64_t a, b;

	if (!strcmp(value, "any")) {
		*range = (struct policy_range){ 0, UINT16_MAX };
		return NULL;
	}
	snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - value) : 15, value);
	if ((dash && dash - value >= (int)sizeof(first)) || !parse_number(first, UINT32_MAX, &a) ||
	    !parse_number(dash ? dash + 1 : first, UINT32_MAX, &b))
		return "a domain's number, a range like \"1-100\", or \"any\" is wanted";
	if (a >= DOMID_RESERVED || b >= DOMID_RESERVED)
		return "domains have numbers from 0 to 32751";
	if (a > b)
		return "the range is the wrong way round";
	*range = (struct policy_range){ (uint16_t)a, (uint16_t)b };
	return NULL;
}

static void take_domid(struct reader *r, unsigned int line, const char *value)
{
	struct policy_ranges *ranges = &r->rule.domids;
	struct policy_range range, *more;
	const char *wrong = parse_range(value, &range);

	if (wrong)
		return fail(r, -EINVAL, line, "domid \"%s\": %s", value, wrong);
	more = grow(r, ranges->range, ranges->n, sizeof(*more));
	if (!more)
		return;
	ranges->range = more;
	more[ranges->n++] = range;
}

static void take_action(struct reader *r, unsigned int line, const char *value)
{
	r->rule.has_action = true;
	for (int i = POLICY_ALLOW; i <= POLICY_DENY; i++) {
		if (strcmp(value, policy_action_name((enum policy_action)i)) != 0)
			continue;
		r->rule.action = (enum policy_action)i;
		return;
	}
	fail(r, -EINVAL, line, "action \"%s\": allow, deny or read-only is wanted", value);
}

static void take_rule_pv(struct reader *r, unsigned int line, const char *value)
{
	if (!strcmp(value, "yes"))
		r->rule.pv = POLICY_RULE_PV_YES;
	else if (!strcmp(value, "no"))
		r->rule.pv = POLICY_RULE_PV_NO;
	else
		fail(r, -EINVAL, line, "pv_descriptor \"%s\": in a rule yes or no is wanted",
		     value);
}

struct rule_key {
	const char *name;
	void (*take)(struct reader *r, unsigned int line, const char *value);
	bool list;
};

static const struct rule_key rule_keys[] = {
	{ "user", take_user, true },
	{ "group", take_group, true },
	{ "unit", take_unit, true },
	{ "cgroup", take_cgroup, true },
	{ "domid", take_domid, true },
	{ "action", take_action, false },
	{ "pv_descriptor", take_rule_pv, false },
};

#define N_RULE_KEYS (sizeof(rule_keys) / sizeof(rule_keys[0]))

/* --- what libconfuse calls: a mistake is told of, and all goes on ------------------------------- */

/* A value of a rule. The first of a key, again: the key was said before. */
static int take_rule_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reader *r = reading;
	unsigned int i = 0;

	while (i < N_RULE_KEYS && strcmp(rule_keys[i].name, opt->name) != 0)
		i++;
	assert(i < N_RULE_KEYS);
	if (r->seen & 1U << i && opt->nvalues == 1)
		fail(r, -EINVAL, line_of(cfg), "\"%s\" for the second time in this rule%s",
		     opt->name, rule_keys[i].list ? ": write a list, {\"a\", \"b\"}" : "");
	r->seen |= 1U << i;
	rule_keys[i].take(r, line_of(cfg), value);
	*(const char **)result = value;
	return 0;
}

/* Return: whether it is said for the first time in this file. */
static bool say_once(struct reader *r, unsigned int bit)
{
	bool first = !(r->said & bit);

	r->said |= bit;
	return first;
}

static int take_limit(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reader *r = reading;
	unsigned int i = 0;
	uint64_t number = 0;

	while (i < POLICY_N_LIMITS && strcmp(policy_limit_name(i), opt->name) != 0)
		i++;
	assert(i < POLICY_N_LIMITS);
	if (!say_once(r, SAID_KEYS << i))
		fail(r, -EINVAL, line_of(cfg), "limit \"%s\" for the second time", opt->name);
	if (strcmp(value, "none") != 0 && (!parse_number(value, LIMIT_MAX, &number) || !number))
		fail(r, -EINVAL, line_of(cfg),
		     "limit %s = \"%s\": a number from 1 to %llu is wanted, or none", opt->name,
		     value, LIMIT_MAX);
	else
		policy_limit_set(&r->p->limits, (enum policy_limit)i, number);
	*(const char **)result = value;
	return 0;
}

static int end_limit(cfg_t *cfg, cfg_opt_t *opt)
{
	(void)cfg;
	(void)opt;
	if (!say_once(reading, SAID_LIMIT))
		fail(reading, -EINVAL, reading->now->line,
		     "a second \"limit\" in this file: write one");
	return 0;
}

static int take_pv(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reader *r = reading;

	if (!say_once(r, SAID_PV))
		fail(r, -EINVAL, line_of(cfg), "\"%s\" for the second time", opt->name);
	*(const char **)result = value;
	for (int i = POLICY_PV_ROOT; i <= POLICY_PV_NONE; i++) {
		if (strcmp(value, policy_pv_name((enum policy_pv)i)) != 0)
			continue;
		r->p->pv = (enum policy_pv)i;
		return 0;
	}
	fail(r, -EINVAL, line_of(cfg),
	     "pv_descriptor \"%s\": outside of rules root, any or none is wanted", value);
	return 0;
}

static void check_name(struct reader *r, const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:@ ";
	size_t len = strlen(name);

	if (!len || len >= POLICY_NAME_SIZE || strspn(name, letters) != len)
		return fail(r, -EINVAL, r->now->line,
			    "rule \"%s\": a name has 1 to %d letters, digits, spaces and -_.:@",
			    name, POLICY_NAME_SIZE - 1);
	snprintf(r->rule.name, sizeof(r->rule.name), "%s", name);
	for (unsigned int i = 0; i < r->p->n_rules; i++) {
		const struct policy_rule *other = &r->p->rule[i];

		if (!strcmp(other->name, name))
			return fail(r, -EINVAL, r->now->line,
				    "rule \"%s\": there is one of that name in %s:%u", name,
				    other->file, other->line);
	}
}

/* An empty list gives no value, and would be taken for no condition. */
static void check_lists(struct reader *r, cfg_t *section)
{
	for (unsigned int i = 0; i < N_RULE_KEYS; i++) {
		cfg_opt_t *opt = cfg_getopt(section, rule_keys[i].name);

		if (opt && opt->flags & CFGF_MODIFIED && !cfg_opt_size(opt))
			fail(r, -EINVAL, r->now->line,
			     "rule \"%s\": the list of \"%s\" is empty: leave it out, or name one",
			     cfg_title(section), rule_keys[i].name);
	}
}

/* The rule is complete; it is of use if there was no mistake. */
static void add_rule(struct reader *r)
{
	r->rule.file = r->file;
	r->rule.line = r->now->line;
	if (r->p->n_rules < POLICY_RULES_MAX) {
		r->p->rule[r->p->n_rules++] = r->rule;
		r->rule = (struct policy_rule){ 0 };
	} else if (say_once(r, SAID_TOO_MANY)) {
		fail(r, -EINVAL, r->now->line, "more than %d rules", POLICY_RULES_MAX);
	}
}

/* A rule's closing brace. */
static int end_rule(cfg_t *cfg, cfg_opt_t *opt)
{
	struct reader *r = reading;
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	(void)cfg;
	check_name(r, cfg_title(section));
	check_lists(r, section);
	if (!r->rule.has_action && !r->now->open)
		fail(r, -EINVAL, r->now->line,
		     "rule \"%s\" has no action: allow, deny or read-only", cfg_title(section));
	add_rule(r);
	return 0;
}

/* --- the whole ---------------------------------------------------------------------------------- */

#define LIMIT_OPT(name, scope, thing, value) CFG_STR_CB(#name, NULL, CFGF_NODEFAULT, take_limit),

/* Return: libconfuse's root, with all that can be said, or NULL. */
static cfg_t *new_root(void)
{
	static cfg_opt_t rule_opts[] = {
		CFG_STR_LIST_CB("user", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_LIST_CB("group", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_LIST_CB("unit", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_LIST_CB("cgroup", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_LIST_CB("domid", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_CB("action", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_CB("pv_descriptor", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_END(),
	};
	static cfg_opt_t limit_opts[] = {
		POLICY_LIMITS(LIMIT_OPT) CFG_END(),
	};
	static cfg_opt_t opts[] = {
		CFG_STR_CB("pv_descriptor", NULL, CFGF_NODEFAULT, take_pv),
		CFG_SEC("limit", limit_opts, CFGF_NONE),
		CFG_SEC("rule", rule_opts, CFGF_MULTI | CFGF_TITLE),
		CFG_END(),
	};
	cfg_t *cfg = cfg_init(opts, CFGF_NONE);

	if (!cfg)
		return NULL;
	cfg_set_error_function(cfg, take_error);
	cfg_set_validate_func(cfg, "rule", end_rule);
	cfg_set_validate_func(cfg, "limit", end_limit);
	return cfg;
}

static void parse_with(struct reader *r, cfg_t *cfg, FILE *f)
{
	const struct policy_statement *s = r->now;
	int result;

	errno = 0;
	result = cfg_parse_fp(cfg, f);
	/* It says nothing of a key that is "", nor where it has no memory. */
	if (result != CFG_SUCCESS && !r->told && errno == ENOMEM)
		no_memory(r);
	else if (result != CFG_SUCCESS && !r->told)
		fail(r, -EINVAL, line_of(cfg), "this cannot be understood");
	else if (result == CFG_SUCCESS && s->open)
		fail(r, -EINVAL, s->open, "the brace that is opened here is not closed");
}

static void take_statement(void *arg, const struct policy_statement *s)
{
	struct reader *r = arg;
	FILE *f = fmemopen(s->text, s->len, "r");
	cfg_t *cfg = new_root();

	r->now = s;
	r->told = false;
	r->seen = 0;
	policy_rule_clear(&r->rule);
	if (f && cfg)
		parse_with(r, cfg, f);
	else
		no_memory(r);
	if (cfg)
		cfg_free(cfg);
	if (f)
		fclose(f);
}

static void take_wrong(void *arg, unsigned int line, const char *why)
{
	fail(arg, -EINVAL, line, "%s", why);
}

static bool add_file(struct reader *r, const char *name)
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
	struct reader r = { .p = p, .file = name, .why = why };
	char *copy = malloc(len + 1);

	if (copy && add_file(&r, name)) {
		memcpy(copy, text, len);
		reading = &r;
		policy_text_cut(copy, len,
				&(struct policy_text_use){ take_statement, take_wrong, &r });
		reading = NULL;
	} else {
		no_memory(&r);
	}
	policy_rule_clear(&r.rule);
	free(copy);
}
