/* SPDX-License-Identifier: MIT */
/*
 * policy/keys.c - what a policy can say: its keys, and their values
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/reader.h"

/* Xen's DOMID_FIRST_RESERVED: from here on numbers are no domains. */
#define DOMID_RESERVED 0x7ff0
#define LIMIT_MAX      (1ULL << 40)
/* What an entry of a user or group may need. */
#define ENTRY_BYTES_MAX (1U << 20)

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
static void *grow(struct policy_reader *r, void *array, size_t n, size_t size)
{
	void *more = reallocarray(array, n + 1, size);

	if (!more)
		policy_no_memory(r);
	return more;
}

static void add_id(struct policy_reader *r, struct policy_ids *ids, uint32_t id)
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
static void take_id(struct policy_reader *r, const struct database *db, const char *value,
		    struct policy_ids *ids)
{
	const unsigned int line = r->text.line;
	uint64_t number;
	uint32_t id = 0;
	int err;

	if (parse_number(value, UINT32_MAX - 1, &number))
		return add_id(r, ids, (uint32_t)number);
	err = look_up(db, value, &id);
	/* ENOENT and its like are ways to say that there is none. */
	if (err == -1 || err == ENOENT || err == ESRCH || err == EBADF || err == EPERM)
		policy_fail(r, -EINVAL, line, "there is no %s \"%s\": %s lists them", db->what,
			    value, db->list);
	else if (err)
		policy_fail(r, -err, line, "looking up the %s \"%s\" failed: %s", db->what, value,
			    strerror(err));
	else
		add_id(r, ids, id);
}

static void take_user(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	static const struct database users = { "user", "getent passwd", find_user };

	(void)key;
	take_id(r, &users, value, &r->rule.users);
}

static void take_group(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	static const struct database groups = { "group", "getent group", find_group };

	(void)key;
	take_id(r, &groups, value, &r->rule.groups);
}

static void add_pattern(struct policy_reader *r, struct policy_patterns *p, const char *pattern)
{
	char **more = grow(r, p->pattern, p->n, sizeof(*more));

	if (!more)
		return;
	p->pattern = more;
	more[p->n] = strdup(pattern);
	if (more[p->n])
		p->n++;
	else
		policy_no_memory(r);
}

/* Whether a pattern can match something that ends so. */
static bool can_end(const char *pattern, const char *suffix)
{
	size_t len = strlen(pattern), n = strlen(suffix);

	return (len > n && !strcmp(pattern + len - n, suffix)) ||
	       (len && strchr("*?]", pattern[len - 1]));
}

static void take_unit(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	(void)key;
	if (strlen(value) < WHO_UNIT_SIZE && !strchr(value, '/') &&
	    (can_end(value, ".service") || can_end(value, ".scope")))
		add_pattern(r, &r->rule.units, value);
	else
		policy_fail(r, -EINVAL, r->text.line,
			    "unit \"%s\": the name of a service or scope is wanted, such as "
			    "\"xenstored.service\" or \"qemu-*.service\"",
			    value);
}

static void take_cgroup(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	(void)key;
	if (strlen(value) < WHO_CGROUP_SIZE && *value && strchr("/*?[", *value))
		add_pattern(r, &r->rule.cgroups, value);
	else
		policy_fail(
			r, -EINVAL, r->text.line,
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

static void take_domid(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	struct policy_ranges *ranges = &r->rule.domids;
	struct policy_range range, *more;
	const char *wrong = parse_range(value, &range);

	(void)key;
	if (wrong)
		return policy_fail(r, -EINVAL, r->text.line, "domid \"%s\": %s", value, wrong);
	more = grow(r, ranges->range, ranges->n, sizeof(*more));
	if (!more)
		return;
	ranges->range = more;
	more[ranges->n++] = range;
}

static void take_action(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	(void)key;
	r->rule.has_action = true;
	for (int i = POLICY_ALLOW; i <= POLICY_DENY; i++) {
		if (strcmp(value, policy_action_name((enum policy_action)i)) != 0)
			continue;
		r->rule.action = (enum policy_action)i;
		return;
	}
	policy_fail(r, -EINVAL, r->text.line, "action \"%s\": allow, deny or read-only is wanted",
		    value);
}

static void take_rule_pv(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	(void)key;
	if (!strcmp(value, "yes"))
		r->rule.pv = POLICY_RULE_PV_YES;
	else if (!strcmp(value, "no"))
		r->rule.pv = POLICY_RULE_PV_NO;
	else
		policy_fail(r, -EINVAL, r->text.line,
			    "pv_descriptor \"%s\": in a rule yes or no is wanted", value);
}

static const struct policy_key rule_keys[] = {
	{ "user", take_user, true },
	{ "group", take_group, true },
	{ "unit", take_unit, true },
	{ "cgroup", take_cgroup, true },
	{ "domid", take_domid, true },
	{ "action", take_action, false },
	{ "pv_descriptor", take_rule_pv, false },
};

static void take_limit(struct policy_reader *r, const struct policy_key *key, const char *value);

#define LIMIT_KEY(name, scope, thing, value) { #name, take_limit, false },

/* In the order of enum policy_limit. */
static const struct policy_key limit_keys[] = { POLICY_LIMITS(LIMIT_KEY) };

static void take_limit(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	uint64_t number = 0;

	if (strcmp(value, "none") != 0 && (!parse_number(value, LIMIT_MAX, &number) || !number))
		policy_fail(r, -EINVAL, r->text.line,
			    "limit %s = \"%s\": a number from 1 to %llu is wanted, or none",
			    key->name, value, LIMIT_MAX);
	else
		policy_limit_set(&r->p->limits, (enum policy_limit)(key - limit_keys), number);
}

static void take_pv(struct policy_reader *r, const struct policy_key *key, const char *value)
{
	(void)key;
	for (int i = POLICY_PV_ROOT; i <= POLICY_PV_NONE; i++) {
		if (strcmp(value, policy_pv_name((enum policy_pv)i)) != 0)
			continue;
		r->p->pv = (enum policy_pv)i;
		return;
	}
	policy_fail(r, -EINVAL, r->text.line,
		    "pv_descriptor \"%s\": outside of rules root, any or none is wanted", value);
}

static const struct policy_key file_keys[] = {
	{ "pv_descriptor", take_pv, false },
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

const struct policy_section policy_in_rule = { "in a rule", N(rule_keys), rule_keys };
const struct policy_section policy_in_limit = { "in limit", N(limit_keys), limit_keys };
const struct policy_section policy_in_file = { "outside of rules", N(file_keys), file_keys };

static_assert(POLICY_N_LIMITS <= 32, "the bits of what was said are too few");
