/* SPDX-License-Identifier: MIT */
/*
 * policy/policy.c - who may map what: deciding
 *
 * Each part of a rule matches a process, or does not, or that cannot be known: the process is of a pid
 * namespace whose /proc we do not see, or of a user namespace, so that it is two users' at once. A rule whose other parts match may then be about it or not, and
 * the verdict has to be right in both cases. If it denies, it does: nothing is stricter. If it makes
 * read-only, what follows it is asked, too, and the stricter one of the two holds. If it allows, only what
 * follows holds, but it cannot give what the rule itself would have kept back.
 */
#include "policy/rule.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum match {
	MATCH_NO,
	MATCH_UNKNOWN,
	MATCH_YES,
};

/* Of several alternatives. */
static enum match either(enum match a, enum match b)
{
	return a > b ? a : b;
}

/* Of several conditions. */
static enum match both(enum match a, enum match b)
{
	return a < b ? a : b;
}

static bool has_id(const struct policy_ids *ids, uint32_t id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (ids->id[i] == id)
			return true;
	return false;
}

/*
 * A process of another user namespace is that of two users: the one whose id it has, and the one who made the
 * namespace. If only one of them is asked for, it may be that user's or not: a rule that denies binds it, one
 * that allows gives it nothing.
 */
static enum match match_users(const struct policy_ids *users, const struct who *w)
{
	bool is = has_id(users, w->uid);

	if (!users->n)
		return MATCH_YES;
	if (w->ns == OWNER_UNKNOWN)
		return MATCH_UNKNOWN;
	if (w->ns == OWNER_OTHER && is != has_id(users, w->owner))
		return MATCH_UNKNOWN;
	return is ? MATCH_YES : MATCH_NO;
}

static enum match match_groups(const struct policy_ids *groups, const struct who *w)
{
	static const enum match of_answer[] = { MATCH_UNKNOWN, MATCH_NO, MATCH_YES };
	enum match m = groups->n ? MATCH_NO : MATCH_YES;

	for (size_t i = 0; i < groups->n; i++)
		m = either(m, of_answer[who_in_group(w, groups->id[i]) + 1]);
	return m;
}

/*
 * Without FNM_PATHNAME: "*" is for any depth. A backslash stands for itself, since systemd escapes with
 * them in the names of units.
 */
static enum match match_pattern(const char *pattern, const char *s)
{
	switch (fnmatch(pattern, s, FNM_NOESCAPE)) {
	case 0:
		return MATCH_YES;
	case FNM_NOMATCH:
		return MATCH_NO;
	default:
		return MATCH_UNKNOWN;
	}
}

static enum match match_patterns(const struct policy_patterns *p, const char *s, bool known)
{
	enum match m = p->n ? MATCH_NO : MATCH_YES;

	if (p->n && !known)
		return MATCH_UNKNOWN;
	for (size_t i = 0; i < p->n; i++)
		m = either(m, match_pattern(p->pattern[i], s));
	return m;
}

/* Whether the control group's path is known at all, and so what unit it is in, if any. */
static bool cgroup_known(const struct who *w)
{
	return w->visible && w->cgroup[0];
}

/* Of a long path only the end is kept. */
static bool cgroup_whole(const struct who *w)
{
	return cgroup_known(w) && w->cgroup[0] == '/';
}

/* Whoever is in no unit is not in one that is called "". */
static enum match match_units(const struct policy_patterns *p, const struct who *w)
{
	if (p->n && cgroup_known(w) && !w->unit[0])
		return MATCH_NO;
	return match_patterns(p, w->unit, cgroup_known(w));
}

static enum match match_who(const struct policy_rule *r, const struct who *w)
{
	enum match m = match_users(&r->users, w);

	if (m != MATCH_NO)
		m = both(m, match_groups(&r->groups, w));
	if (m != MATCH_NO)
		m = both(m, match_units(&r->units, w));
	if (m != MATCH_NO)
		m = both(m, match_patterns(&r->cgroups, w->cgroup, cgroup_whole(w)));
	return m;
}

static bool match_domid(const struct policy_rule *r, uint16_t domid)
{
	for (size_t i = 0; i < r->domids.n; i++)
		if (domid >= r->domids.range[i].first && domid <= r->domids.range[i].last)
			return true;
	return !r->domids.n;
}

static void set_bit(uint64_t *words, unsigned int i)
{
	words[i / 64] |= 1ULL << (i % 64);
}

static bool has_bit(const uint64_t *words, unsigned int i)
{
	return words[i / 64] >> (i % 64) & 1;
}

void policy_view(const struct policy *p, const struct who *who, struct policy_view *view)
{
	view->p = p;
	view->who = who;
	memset(view->match, 0, sizeof(view->match));
	memset(view->maybe, 0, sizeof(view->maybe));
	for (unsigned int i = 0; i < p->n_rules; i++) {
		enum match m = match_who(&p->rule[i], who);

		if (m == MATCH_YES)
			set_bit(view->match, i);
		else if (m == MATCH_UNKNOWN)
			set_bit(view->maybe, i);
	}
}

/* User 0 of a container that another user has made is not. */
static bool is_root(const struct who *w)
{
	return w->uid == 0 && (w->ns == OWNER_OURS || (w->ns == OWNER_OTHER && w->owner == 0));
}

static bool pv_of(const struct policy *p, const struct policy_rule *r, const struct who *who)
{
	if (r && r->pv != POLICY_RULE_PV_UNSAID)
		return r->pv == POLICY_RULE_PV_YES;
	return p->pv == POLICY_PV_ANY || (p->pv == POLICY_PV_ROOT && is_root(who));
}

/* Make a verdict as strict as what this rule says, or what is said without rules. */
static void restrict_by(const struct policy_view *view, const struct policy_rule *r, bool sure,
			struct policy_verdict *v)
{
	v->pv = v->pv && (!r || r->action != POLICY_DENY) && pv_of(view->p, r, view->who);
	if (!r || (r->action <= v->action && (!sure || v->rule[0])))
		return;
	v->action = r->action;
	v->rule = r->name;
	v->file = r->file;
	v->line = r->line;
}

void policy_view_decide(const struct policy_view *view, uint16_t domid, struct policy_verdict *v)
{
	const struct policy *p = view->p;

	*v = (struct policy_verdict){ .action = POLICY_ALLOW, .pv = true, .rule = "" };
	for (unsigned int i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rule[i];
		bool sure = has_bit(view->match, i);

		if ((!sure && !has_bit(view->maybe, i)) || !match_domid(r, domid))
			continue;
		restrict_by(view, r, sure, v);
		if (sure || v->action == POLICY_DENY)
			return;
	}
	restrict_by(view, NULL, true, v);
}

void policy_decide(const struct policy *p, const struct who *who, uint16_t domid,
		   struct policy_verdict *v)
{
	struct policy_view view;

	policy_view(p, who, &view);
	policy_view_decide(&view, domid, v);
}

const char *policy_action_name(enum policy_action action)
{
	static const char *const names[] = {
		[POLICY_ALLOW] = "allow",
		[POLICY_READ_ONLY] = "read-only",
		[POLICY_DENY] = "deny",
	};

	return names[action];
}

const char *policy_pv_name(enum policy_pv pv)
{
	static const char *const names[] = {
		[POLICY_PV_ROOT] = "root",
		[POLICY_PV_ANY] = "any",
		[POLICY_PV_NONE] = "none",
	};

	return names[pv];
}

bool policy_has_rules(const struct policy *p)
{
	return p->n_rules;
}

bool policy_pv_any(const struct policy *p)
{
	return p->pv == POLICY_PV_ANY;
}

const struct policy_limits *policy_limits(const struct policy *p)
{
	return &p->limits;
}

unsigned int policy_n_rules(const struct policy *p)
{
	return p->n_rules;
}

void policy_for_each_file(const struct policy *p, void (*fn)(const char *file, void *arg),
			  void *arg)
{
	for (size_t i = 0; i < p->n_files; i++)
		fn(p->file[i], arg);
}

void policy_for_each_warning(const struct policy *p, void (*fn)(const char *text, void *arg),
			     void *arg)
{
	for (size_t i = 0; i < p->n_warnings; i++)
		fn(p->warning[i], arg);
}

/* --- order -------------------------------------------------------------------------------------- */

static bool ids_within(const struct policy_ids *a, const struct policy_ids *b)
{
	for (size_t i = 0; i < a->n; i++) {
		size_t k = 0;

		while (k < b->n && b->id[k] != a->id[i])
			k++;
		if (k == b->n)
			return false;
	}
	return a->n || !b->n;
}

static bool patterns_within(const struct policy_patterns *a, const struct policy_patterns *b)
{
	for (size_t i = 0; i < a->n; i++) {
		size_t k = 0;

		while (k < b->n && strcmp(b->pattern[k], a->pattern[i]) != 0)
			k++;
		if (k == b->n)
			return false;
	}
	return a->n || !b->n;
}

static bool ranges_within(const struct policy_ranges *a, const struct policy_ranges *b)
{
	for (size_t i = 0; i < a->n; i++) {
		size_t k = 0;

		while (k < b->n && (a->range[i].first < b->range[k].first ||
				    a->range[i].last > b->range[k].last))
			k++;
		if (k == b->n)
			return false;
	}
	return a->n || !b->n;
}

/* Whether whatever @a matches is surely matched by @b, part by part. */
static bool rule_within(const struct policy_rule *a, const struct policy_rule *b)
{
	return (!b->users.n || ids_within(&a->users, &b->users)) &&
	       (!b->groups.n || ids_within(&a->groups, &b->groups)) &&
	       (!b->units.n || patterns_within(&a->units, &b->units)) &&
	       (!b->cgroups.n || patterns_within(&a->cgroups, &b->cgroups)) &&
	       (!b->domids.n || ranges_within(&a->domids, &b->domids));
}

static int warn(struct policy *p, const struct policy_rule *r, const struct policy_rule *by)
{
	char **more = realloc(p->warning, (p->n_warnings + 1) * sizeof(*more));
	int n;

	if (!more)
		return -ENOMEM;
	p->warning = more;
	n = asprintf(&more[p->n_warnings],
		     "%s:%u: rule \"%s\" decides nothing: rule \"%s\" (%s:%u) stands before it and "
		     "matches whatever it matches",
		     r->file, r->line, r->name, by->name, by->file, by->line);
	if (n < 0)
		return -ENOMEM;
	p->n_warnings++;
	return 0;
}

int policy_check_order(struct policy *p)
{
	int err = 0;

	for (unsigned int i = 1; i < p->n_rules && !err; i++) {
		for (unsigned int k = 0; k < i; k++) {
			if (!rule_within(&p->rule[i], &p->rule[k]))
				continue;
			err = warn(p, &p->rule[i], &p->rule[k]);
			break;
		}
	}
	return err;
}

/* --- life --------------------------------------------------------------------------------------- */

struct policy *policy_default(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p)
		policy_limits_default(&p->limits);
	return p;
}

static void patterns_free(struct policy_patterns *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->pattern[i]);
	free(p->pattern);
}

void policy_rule_clear(struct policy_rule *r)
{
	free(r->users.id);
	free(r->groups.id);
	patterns_free(&r->units);
	patterns_free(&r->cgroups);
	free(r->domids.range);
	memset(r, 0, sizeof(*r));
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (unsigned int i = 0; i < p->n_rules; i++)
		policy_rule_clear(&p->rule[i]);
	for (size_t i = 0; i < p->n_files; i++)
		free(p->file[i]);
	for (size_t i = 0; i < p->n_warnings; i++)
		free(p->warning[i]);
	free(p->file);
	free(p->warning);
	free(p);
}
