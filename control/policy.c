/* SPDX-License-Identifier: MIT */
/*
 * control/policy.c - what the policy is, and what is held against its limits; explain
 */
#include "control/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "control/request.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "policy/policy.h"
#include "policy/quota.h"
#include "policy/rule.h"
#include "client/who.h"

/* --- users -------------------------------------------------------------------------------------- */

/**
 * struct users - those that are kept while all are looked at
 * @least: the one with least pages, if there is no room for more
 */
struct users {
	struct control_user *u;
	size_t n;
	size_t least;
};

static void find_least(struct users *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->u[i].held.pages < all->u[all->least].held.pages)
			all->least = i;
}

static void add_user(uid_t uid, uid_t owner, const struct quota_held *held, void *arg)
{
	const struct control_user user = { uid, owner, *held };
	struct users *all = arg;

	if (all->n < CONTROL_USERS_MAX)
		all->u[all->n++] = user;
	else if (held->pages > all->u[all->least].held.pages)
		all->u[all->least] = user;
	else
		return;
	if (all->n == CONTROL_USERS_MAX)
		find_least(all);
}

static int compare_users(const void *a, const void *b)
{
	const struct control_user *x = a, *y = b;

	if (x->held.pages != y->held.pages)
		return x->held.pages < y->held.pages ? 1 : -1;
	if (x->uid != y->uid)
		return x->uid > y->uid ? 1 : -1;
	return (x->owner > y->owner) - (x->owner < y->owner);
}

size_t control_users(struct gntdev *gd, struct control_user *u)
{
	struct users all = { .u = u };

	quota_for_each_user(gd->quota, add_user, &all);
	qsort(u, all.n, sizeof(*u), compare_users);
	return all.n;
}

/* --- the policy --------------------------------------------------------------------------------- */

static void add_file(const char *file, void *arg)
{
	json_array_append_new(arg, control_text(file));
}

json_t *control_policy_json(struct gntdev *gd)
{
	json_t *files = json_array(), *o;
	const struct policy *p;
	struct policy_news news;
	unsigned int rules;

	rcu_read_enter();
	p = enforce_policy(gd);
	policy_for_each_file(p, add_file, files);
	rules = policy_n_rules(p);
	rcu_read_leave();
	enforce_news(gd, &news);
	o = json_pack("{s:o, s:I, s:I}", "files", files, "rules", (json_int_t)rules, "loaded",
		      (json_int_t)news.loaded);
	if (news.refused)
		json_object_set_new(o, "error", control_text(news.why));
	return o;
}

/* --- show --------------------------------------------------------------------------------------- */

/* So many of a list are told, so that a record has an end: it is shorter than half of CONTROL_OUT_STEP. */
#define MEMBERS_MAX 64

/**
 * struct shown - the policy that was in force when it was asked for
 * @rules: what is to be told, from @next on
 * @end:   what follows them
 */
struct shown {
	struct control_answer answer;
	json_t *rules;
	size_t next;
	json_t *end;
};

/* @member: makes the one at a place. */
static void set_list(json_t *o, const char *name, size_t n,
		     json_t *(*member)(const void *list, size_t i), const void *list)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n && i < MEMBERS_MAX; i++)
		json_array_append_new(all, member(list, i));
	if (n)
		json_object_set_new(o, name, json_incref(all));
	if (n > MEMBERS_MAX)
		json_object_set_new(o, "left_out", json_true());
	json_decref(all);
}

static json_t *id_member(const void *list, size_t i)
{
	return json_integer(((const struct policy_ids *)list)->id[i]);
}

static json_t *pattern_member(const void *list, size_t i)
{
	return control_text(((const struct policy_patterns *)list)->pattern[i]);
}

static json_t *range_member(const void *list, size_t i)
{
	const struct policy_range *r = &((const struct policy_ranges *)list)->range[i];

	return r->first == r->last ? json_sprintf("%u", r->first)
				   : json_sprintf("%u-%u", r->first, r->last);
}

static json_t *rule_json(const struct policy_rule *r)
{
	json_t *o = json_pack("{s:o, s:o, s:I, s:s}", "name", control_text(r->name), "file",
			      control_text(r->file), "line", (json_int_t)r->line, "action",
			      policy_action_name(r->action));

	set_list(o, "user", r->users.n, id_member, &r->users);
	set_list(o, "group", r->groups.n, id_member, &r->groups);
	set_list(o, "unit", r->units.n, pattern_member, &r->units);
	set_list(o, "cgroup", r->cgroups.n, pattern_member, &r->cgroups);
	set_list(o, "domid", r->domids.n, range_member, &r->domids);
	if (r->pv != POLICY_RULE_PV_UNSAID)
		json_object_set_new(o, "pv_descriptor", json_boolean(r->pv == POLICY_RULE_PV_YES));
	return o;
}

static bool shown_more(struct control_answer *a, struct control_out *out)
{
	struct shown *s = (struct shown *)a;
	size_t start = out->end;

	for (; s->next < json_array_size(s->rules); s->next++) {
		if (out->end - start >= CONTROL_OUT_STEP / 2)
			return true;
		control_out_json(out, "rule", json_incref(json_array_get(s->rules, s->next)));
	}
	control_out_json(out, "end", json_incref(s->end));
	return false;
}

static void shown_free(struct control_answer *a)
{
	struct shown *s = (struct shown *)a;

	json_decref(s->rules);
	json_decref(s->end);
	free(s);
}

/* The policy may be replaced while it is told, so it is taken as a whole, under RCU. */
static void take_policy(struct gntdev *gd, struct shown *s)
{
	json_t *limits = json_object();
	const struct policy *p;

	s->end = control_policy_json(gd);
	rcu_read_enter();
	p = enforce_policy(gd);
	for (unsigned int i = 0; i < p->n_rules; i++)
		json_array_append_new(s->rules, rule_json(&p->rule[i]));
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		json_object_set_new(limits, policy_limit_name((enum policy_limit)i),
				    json_integer((json_int_t)policy_limit_get(
					    &p->limits, (enum policy_limit)i, false)));
	json_object_set_new(s->end, "pv_descriptor", json_string(policy_pv_name(p->pv)));
	rcu_read_leave();
	json_object_set_new(s->end, "limits", limits);
}

int control_ask_policy(struct control_request *rq, struct control_out *out,
		       struct control_answer **answer)
{
	struct shown *s;

	(void)out;
	if (!control_done(rq))
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->answer = (struct control_answer){ .more = shown_more, .free = shown_free };
	s->rules = json_array();
	take_policy(rq->view->gd, s);
	*answer = &s->answer;
	return 0;
}

/* --- explain ------------------------------------------------------------------------------------ */

static json_t *who_json(const struct who *w)
{
	json_t *o = json_pack("{s:I, s:I}", "uid", (json_int_t)w->uid, "gid", (json_int_t)w->gid);

	if (w->ns == OWNER_OTHER)
		json_object_set_new(o, "owner", json_integer(w->owner));
	if (w->ns == OWNER_UNKNOWN)
		json_object_set_new(o, "owner", json_null());
	control_set_text(o, "command", w->comm);
	control_set_text(o, "unit", w->unit);
	control_set_text(o, "cgroup", w->cgroup);
	return o;
}

/* What a verdict names belongs to the policy, so this is under RCU. */
static json_t *verdict_json(struct gntdev *gd, const struct who *w, uint16_t domid)
{
	struct policy_verdict v;
	json_t *o;

	policy_decide(enforce_policy(gd), w, domid, &v);
	o = json_pack("{s:s, s:b, s:b}", "action", policy_action_name(v.action), "pv", (int)v.pv,
		      "default", (int)!v.file);
	if (v.file) {
		json_object_set_new(o, "rule", control_text(v.rule));
		json_object_set_new(o, "file", control_text(v.file));
		json_object_set_new(o, "line", json_integer(v.line));
	}
	return o;
}

int control_ask_explain(struct control_request *rq, struct control_out *out,
			struct control_answer **answer)
{
	uint64_t pid = 0, domid = 0;
	bool has_pid, has_domid;
	struct who who;
	json_t *o;

	(void)answer;
	if (!control_number(rq, "pid", INT32_MAX, &pid, &has_pid) ||
	    !control_number(rq, "domid", UINT16_MAX, &domid, &has_domid) || !control_done(rq))
		return -EINVAL;
	if (!has_pid || !has_domid)
		return control_refuse(rq, -EINVAL, "explain: \"pid\" and \"domid\" are needed");
	if (who_now(&who, (pid_t)pid))
		return control_refuse(rq, -ENOENT, "explain: there is no process %d", (int)pid);
	rcu_read_enter();
	o = verdict_json(rq->view->gd, &who, (uint16_t)domid);
	rcu_read_leave();
	json_object_set_new(o, "who", who_json(&who));
	control_out_json(out, "end", o);
	return 0;
}
