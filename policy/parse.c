/* SPDX-License-Identifier: MIT */
/*
 * policy/parse.c - who may map what: understanding the text
 *
 * libconfuse takes the text apart. Each value is checked as soon as it has read it, so that messages name
 * its line; a rule is complete at its closing brace.
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
 * @cfg:  its root: while a section is read, at the line where that begins
 * @rule: the rule that is being read
 * @seen: bits of what it has said, by place in rule_keys
 * @said: of what the file has said: the bits below
 */
struct reader {
	struct policy *p;
	const char *file;
	cfg_t *cfg;
	struct policy_rule rule;
	unsigned int seen;
	unsigned int said;
	struct policy_why *why;
};

#define SAID_LIMIT 1U
#define SAID_PV	   2U
#define SAID_KEYS  4U /* and above: one for each limit */

static_assert(POLICY_N_LIMITS < 30, "the bits of what was said are too few");

/* libconfuse has no argument for its callbacks. */
static struct reader *reading;

/* --- messages ----------------------------------------------------------------------------------- */

void policy_vfail(struct policy_why *why, int err, const char *file, unsigned int line,
		  const char *fmt, va_list ap)
{
	int n;

	if (why->err)
		return;
	why->err = err;
	n = line ? snprintf(why->text, why->size, "%s:%u: ", file, line)
		 : snprintf(why->text, why->size, "%s: ", file);
	if (n >= 0 && (size_t)n < why->size)
		vsnprintf(why->text + n, why->size - (size_t)n, fmt, ap);
	/* What stands in the file may be quoted, and goes to a log. */
	for (char *c = why->text; why->size && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

static int fail(struct reader *r, int err, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Return: -1, for libconfuse. */
static int fail(struct reader *r, int err, unsigned int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	policy_vfail(r->why, err, r->file, line, fmt, ap);
	va_end(ap);
	return -1;
}

static int no_memory(struct reader *r)
{
	return fail(r, -ENOMEM, 0, "out of memory");
}

static unsigned int line_of(const cfg_t *cfg)
{
	return cfg->line > 0 ? (unsigned int)cfg->line : 1;
}

/* What libconfuse itself has to say. */
static void take_error(cfg_t *cfg, const char *fmt, va_list ap)
{
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

static int add_id(struct reader *r, struct policy_ids *ids, uint32_t id)
{
	uint32_t *more = grow(r, ids->id, ids->n, sizeof(*more));

	if (!more)
		return -1;
	ids->id = more;
	more[ids->n++] = id;
	return 0;
}

/* Return: 0, a positive errno, or -1 if there is no such name. */
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

/* (uid_t)-1 is nobody's number: it stands for an unknown one. */
static int take_id(struct reader *r, unsigned int line, const char *what, const char *value,
		   int (*find)(const char *name, char *buf, size_t size, uint32_t *id),
		   struct policy_ids *ids)
{
	uint64_t number;
	uint32_t id = 0;
	int err = ERANGE;

	if (parse_number(value, UINT32_MAX - 1, &number))
		return add_id(r, ids, (uint32_t)number);
	for (size_t size = 4096; err == ERANGE && size <= ENTRY_BYTES_MAX; size *= 4) {
		char *buf = malloc(size);

		if (!buf)
			return no_memory(r);
		err = find(value, buf, size, &id);
		free(buf);
	}
	/* ENOENT and its like are ways to say that there is none. */
	if (err == -1 || err == ENOENT || err == ESRCH || err == EBADF || err == EPERM)
		return fail(r, -EINVAL, line, "there is no %s \"%s\"", what, value);
	if (err)
		return fail(r, -err, line, "looking up the %s \"%s\" failed: %s", what, value,
			    strerror(err));
	return add_id(r, ids, id);
}

static int take_user(struct reader *r, unsigned int line, const char *value)
{
	return take_id(r, line, "user", value, find_user, &r->rule.users);
}

static int take_group(struct reader *r, unsigned int line, const char *value)
{
	return take_id(r, line, "group", value, find_group, &r->rule.groups);
}

static int add_pattern(struct reader *r, struct policy_patterns *p, const char *pattern)
{
	char **more = grow(r, p->pattern, p->n, sizeof(*more));

	if (!more)
		return -1;
	p->pattern = more;
	more[p->n] = strdup(pattern);
	if (!more[p->n])
		return no_memory(r);
	p->n++;
	return 0;
}

/* Whether a pattern can match something that ends so. */
static bool can_end(const char *pattern, const char *suffix)
{
	size_t len = strlen(pattern), n = strlen(suffix);

	return (len > n && !strcmp(pattern + len - n, suffix)) ||
	       (len && strchr("*?]", pattern[len - 1]));
}

static int take_unit(struct reader *r, unsigned int line, const char *value)
{
	if (strlen(value) >= WHO_UNIT_SIZE || strchr(value, '/') ||
	    !(can_end(value, ".service") || can_end(value, ".scope")))
		return fail(r, -EINVAL, line,
			    "unit \"%s\": the name of a service or scope is wanted, such as "
			    "\"xenstored.service\" or \"qemu-*.service\"",
			    value);
	return add_pattern(r, &r->rule.units, value);
}

static int take_cgroup(struct reader *r, unsigned int line, const char *value)
{
	if (strlen(value) >= WHO_CGROUP_SIZE || !*value || !strchr("/*?[", *value))
		return fail(
			r, -EINVAL, line,
			"cgroup \"%s\": a path below the root of control groups is wanted, such "
			"as \"/system.slice/*\"",
			value);
	return add_pattern(r, &r->rule.cgroups, value);
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

static int take_domid(struct reader *r, unsigned int line, const char *value)
{
	struct policy_ranges *ranges = &r->rule.domids;
	struct policy_range range, *more;
	const char *wrong = parse_range(value, &range);

	if (wrong)
		return fail(r, -EINVAL, line, "domid \"%s\": %s", value, wrong);
	more = grow(r, ranges->range, ranges->n, sizeof(*more));
	if (!more)
		return -1;
	ranges->range = more;
	more[ranges->n++] = range;
	return 0;
}

static int take_action(struct reader *r, unsigned int line, const char *value)
{
	for (int i = POLICY_ALLOW; i <= POLICY_DENY; i++) {
		if (strcmp(value, policy_action_name((enum policy_action)i)) != 0)
			continue;
		r->rule.action = (enum policy_action)i;
		r->rule.has_action = true;
		return 0;
	}
	return fail(r, -EINVAL, line, "action \"%s\": allow, deny or read-only is wanted", value);
}

static int take_rule_pv(struct reader *r, unsigned int line, const char *value)
{
	if (!strcmp(value, "yes"))
		r->rule.pv = POLICY_RULE_PV_YES;
	else if (!strcmp(value, "no"))
		r->rule.pv = POLICY_RULE_PV_NO;
	else
		return fail(r, -EINVAL, line, "pv_descriptor \"%s\": in a rule yes or no is wanted",
			    value);
	return 0;
}

struct rule_key {
	const char *name;
	int (*take)(struct reader *r, unsigned int line, const char *value);
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

/* A value of a rule. The first of a key, again: the key was said before. */
static int take_rule_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reader *r = reading;
	unsigned int i = 0;

	while (i < N_RULE_KEYS && strcmp(rule_keys[i].name, opt->name) != 0)
		i++;
	if (i == N_RULE_KEYS)
		return -1;
	if (r->seen & 1U << i && opt->nvalues == 1)
		return fail(r, -EINVAL, line_of(cfg), "\"%s\" for the second time in this rule%s",
			    opt->name, rule_keys[i].list ? ": write a list, {\"a\", \"b\"}" : "");
	r->seen |= 1U << i;
	if (!r->rule.line)
		r->rule.line = line_of(r->cfg);
	*(const char **)result = value;
	return rule_keys[i].take(r, line_of(cfg), value);
}

/* --- the file's own keys ------------------------------------------------------------------------ */

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
	uint64_t number;

	while (i < POLICY_N_LIMITS && strcmp(policy_limit_name(i), opt->name) != 0)
		i++;
	if (i == POLICY_N_LIMITS)
		return -1;
	if (!say_once(r, SAID_KEYS << i))
		return fail(r, -EINVAL, line_of(cfg), "limit \"%s\" for the second time",
			    opt->name);
	if (!strcmp(value, "none"))
		number = 0;
	else if (!parse_number(value, LIMIT_MAX, &number) || !number)
		return fail(r, -EINVAL, line_of(cfg),
			    "limit %s = \"%s\": a number from 1 to %llu is wanted, or none",
			    opt->name, value, LIMIT_MAX);
	policy_limit_set(&r->p->limits, (enum policy_limit)i, number);
	*(const char **)result = value;
	return 0;
}

static int end_limit(cfg_t *cfg, cfg_opt_t *opt)
{
	(void)opt;
	if (say_once(reading, SAID_LIMIT))
		return 0;
	return fail(reading, -EINVAL, line_of(cfg), "a second \"limit\" in this file ends here");
}

static int take_pv(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reader *r = reading;

	if (!say_once(r, SAID_PV))
		return fail(r, -EINVAL, line_of(cfg), "\"%s\" for the second time", opt->name);
	*(const char **)result = value;
	for (int i = POLICY_PV_ROOT; i <= POLICY_PV_NONE; i++) {
		if (strcmp(value, policy_pv_name((enum policy_pv)i)) != 0)
			continue;
		r->p->pv = (enum policy_pv)i;
		return 0;
	}
	return fail(r, -EINVAL, line_of(cfg),
		    "pv_descriptor \"%s\": outside of rules root, any or none is wanted", value);
}

/* --- rules -------------------------------------------------------------------------------------- */

static int check_name(struct reader *r, const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:@ ";
	size_t len = strlen(name);

	if (len && len < POLICY_NAME_SIZE && strspn(name, letters) == len)
		return 0;
	return fail(r, -EINVAL, r->rule.line,
		    "rule \"%s\": a name has 1 to %d letters, digits, spaces and -_.:@", name,
		    POLICY_NAME_SIZE - 1);
}

static int check_unique(struct reader *r)
{
	for (unsigned int i = 0; i < r->p->n_rules; i++) {
		const struct policy_rule *other = &r->p->rule[i];

		if (!strcmp(other->name, r->rule.name))
			return fail(r, -EINVAL, r->rule.line,
				    "rule \"%s\": there is one of that name in %s:%u", r->rule.name,
				    other->file, other->line);
	}
	return 0;
}

/* An empty list gives no value, and would be taken for no condition. */
static int check_lists(struct reader *r, cfg_t *section)
{
	for (unsigned int i = 0; i < N_RULE_KEYS; i++) {
		cfg_opt_t *opt = cfg_getopt(section, rule_keys[i].name);

		if (opt && opt->flags & CFGF_MODIFIED && !cfg_opt_size(opt))
			return fail(r, -EINVAL, r->rule.line,
				    "rule \"%s\": the list of \"%s\" is empty", r->rule.name,
				    rule_keys[i].name);
	}
	return 0;
}

/* A rule's closing brace: it is complete. */
static int end_rule(cfg_t *cfg, cfg_opt_t *opt)
{
	struct reader *r = reading;
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *name = section ? cfg_title(section) : NULL;

	r->rule.file = r->file;
	/* It says nothing at all: its end is all there is to name. */
	if (!r->rule.line)
		r->rule.line = line_of(cfg);
	if (!name || check_name(r, name))
		return -1;
	snprintf(r->rule.name, sizeof(r->rule.name), "%s", name);
	if (check_unique(r) || check_lists(r, section))
		return -1;
	if (!r->rule.has_action)
		return fail(r, -EINVAL, r->rule.line,
			    "rule \"%s\" has no action: allow, deny or read-only", name);
	if (r->p->n_rules == POLICY_RULES_MAX)
		return fail(r, -EINVAL, r->rule.line, "more than %d rules", POLICY_RULES_MAX);
	r->p->rule[r->p->n_rules++] = r->rule;
	memset(&r->rule, 0, sizeof(r->rule));
	r->seen = 0;
	return 0;
}

/* --- the whole ---------------------------------------------------------------------------------- */

#define LIMIT_OPT(name, scope, thing, value) CFG_STR_CB(#name, NULL, CFGF_NODEFAULT, take_limit),

static int parse_with(struct reader *r, const char *text)
{
	cfg_opt_t rule_opts[] = {
		CFG_STR_LIST_CB("user", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_LIST_CB("group", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_LIST_CB("unit", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_LIST_CB("cgroup", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_LIST_CB("domid", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_CB("action", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_STR_CB("pv_descriptor", NULL, CFGF_NODEFAULT, take_rule_value),
		CFG_END(),
	};
	cfg_opt_t limit_opts[] = {
		POLICY_LIMITS(LIMIT_OPT) CFG_END(),
	};
	cfg_opt_t opts[] = {
		CFG_STR_CB("pv_descriptor", NULL, CFGF_NODEFAULT, take_pv),
		CFG_SEC("limit", limit_opts, CFGF_NONE),
		CFG_SEC("rule", rule_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END(),
	};
	int result;

	r->cfg = cfg_init(opts, CFGF_NONE);
	if (!r->cfg)
		return no_memory(r);
	cfg_set_error_function(r->cfg, take_error);
	cfg_set_validate_func(r->cfg, "rule", end_rule);
	cfg_set_validate_func(r->cfg, "limit", end_limit);
	reading = r;
	result = cfg_parse_buf(r->cfg, text);
	if (result != CFG_SUCCESS)
		fail(r, result == CFG_PARSE_ERROR ? -EINVAL : -ENOMEM, line_of(r->cfg),
		     "this cannot be understood");
	cfg_free(r->cfg);
	reading = NULL;
	return r->why->err ? -1 : 0;
}

static int add_file(struct reader *r, const char *name)
{
	char **more = grow(r, r->p->file, r->p->n_files, sizeof(*more));

	if (!more)
		return -1;
	r->p->file = more;
	more[r->p->n_files] = strdup(name);
	if (!more[r->p->n_files])
		return no_memory(r);
	r->file = more[r->p->n_files++];
	return 0;
}

int policy_add_text(struct policy *p, const char *name, char *text, size_t len,
		    struct policy_why *why)
{
	struct reader r = { .p = p, .file = name, .why = why };
	const char *wrong;
	unsigned int line;
	int err;

	if (add_file(&r, name))
		return -1;
	wrong = policy_text_prepare(text, len, &line);
	err = wrong ? fail(&r, -EINVAL, line, "%s", wrong) : parse_with(&r, text);
	policy_rule_clear(&r.rule);
	return err;
}
