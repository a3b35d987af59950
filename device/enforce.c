/* SPDX-License-Identifier: MIT */
/*
 * device/enforce.c - the policy, asked and obeyed: what an open of the device may do now
 *
 * The policy is a pointer under RCU: readers see the old one or the new one, whole. Without rules it costs
 * them that load and a branch.
 */
#include "device/enforce.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "device/caller.h"
#include "device/gntdev.h"
#include "policy/quota.h"

/*
 * Rules are about the granter, however it is called: in GRANT_COPY DOMID_SELF is our own domain, which is
 * 0. The driver keeps 16 bits of the number.
 */
static uint16_t granter(uint32_t domid)
{
	return (uint16_t)domid == DOMID_SELF ? 0 : (uint16_t)domid;
}

const struct policy *enforce_policy(struct gntdev *gd)
{
	return __atomic_load_n(&gd->policy, __ATOMIC_CONSUME);
}

/* Return: -EPERM. */
static int forbid(struct refusal *r, const struct gntdev_open *go, const struct policy_verdict *v,
		  uint16_t domid, uint32_t ref, const char *what)
{
	r->why = v->rule[0] ? WHY_RULE : WHY_PV_DESCRIPTOR;
	r->pid = go->who.pid;
	r->domid = domid;
	r->ref = ref;
	if (v->rule[0]) {
		snprintf(r->rule, sizeof(r->rule), "%s", v->rule);
		snprintf(r->text, sizeof(r->text), "rule \"%s\" (%s:%u) %s domain %u", v->rule,
			 v->file, v->line, what, domid);
	} else {
		snprintf(r->rule, sizeof(r->rule), "pv_descriptor");
		snprintf(r->text, sizeof(r->text), "\"pv_descriptor\" of the policy %s domain %u",
			 what, domid);
	}
	return -EPERM;
}

/* What a call is about to do with a grant. */
struct use {
	bool write;
	bool pv;       /* hand out a PV window's descriptor */
	bool to_other; /* to another user than who has opened the device */
};

static int check(const struct policy_view *view, const struct gntdev_open *go, uint32_t domid,
		 uint32_t ref, struct use use, struct refusal *r)
{
	uint16_t of = granter(domid);
	struct policy_verdict v;

	policy_view_decide(view, of, &v);
	if (v.action == POLICY_DENY)
		return forbid(r, go, &v, of, ref, "denies");
	if (v.action == POLICY_READ_ONLY && use.write)
		return forbid(r, go, &v, of, ref, "allows no writing to");
	if (use.pv && !v.pv)
		return forbid(r, go, &v, of, ref,
			      "lets this user have no descriptor for all memory of");
	/* Who passes on what it has opened passes on its grants, not that domain. */
	if (use.pv && use.to_other && !policy_pv_any(view->p))
		return forbid(r, go, &v, of, ref,
			      "lets nobody but who has opened the device have a descriptor for all "
			      "memory of");
	return 0;
}

/* Most maps are of one domain. */
static int check_refs(const struct policy *p, const struct gntdev_open *go, const struct map *m,
		      struct use use, struct refusal *r)
{
	struct policy_view view;
	int err = 0;

	policy_view(p, &go->who, &view);
	for (uint32_t i = 0; i < m->count && !err; i++)
		if (!i || m->refs[i].domid != m->refs[i - 1].domid)
			err = check(&view, go, m->refs[i].domid, m->refs[i].ref, use, r);
	return err;
}

/* @more: of what more is wanted, @n of them. Return: -ENOSPC. */
static int no_space(struct refusal *r, const struct gntdev_open *go, const char *limit, uint32_t n,
		    enum policy_thing more)
{
	r->why = WHY_LIMIT;
	r->pid = go ? go->who.pid : 0;
	r->domid = -1;
	r->ref = -1;
	snprintf(r->rule, sizeof(r->rule), "%s", limit);
	snprintf(r->text, sizeof(r->text), "%u more %s: the policy's limit \"%s\" is reached", n,
		 n == 1 ? policy_thing_one(more) : policy_thing_name(more), limit);
	return -ENOSPC;
}

/* Somebody has been refused something by a limit. */
static void count_met(struct gntdev *gd, const struct refusal *r)
{
	unsigned int i = 0;

	while (i < POLICY_N_LIMITS && strcmp(r->rule, policy_limit_name(i)) != 0)
		i++;
	if (i < POLICY_N_LIMITS)
		__atomic_add_fetch(&gd->limit_met[i], 1, __ATOMIC_RELAXED);
}

uid_t enforce_owner(const struct who *w)
{
	if (w->ns == OWNER_OTHER)
		return w->owner;
	return w->ns == OWNER_OURS ? QUOTA_NO_OWNER : QUOTA_UNKNOWN;
}

int enforce_open(struct gntdev *gd, struct gntdev_open *go, struct refusal *r)
{
	struct policy_limits l;
	const char *limit;

	rcu_read_enter();
	l = *policy_limits(enforce_policy(gd));
	rcu_read_leave();
	go->user = quota_open(gd->quota, go->who.uid, enforce_owner(&go->who), &l, &limit);
	if (go->user)
		return 0;
	if (!limit)
		return -ENOMEM;
	no_space(r, go, limit, 1, POLICY_THING_opens);
	count_met(gd, r);
	return -ENOSPC;
}

int enforce_restore_open(struct gntdev *gd, struct gntdev_open *go)
{
	go->user = quota_open(gd->quota, go->who.uid, enforce_owner(&go->who), NULL, NULL);
	return go->user ? 0 : -ENOMEM;
}

int enforce_restore_map(struct gntdev *gd, struct gntdev_open *go, struct map *m, uid_t uid,
			uid_t owner)
{
	/* Of a closed one: the user is there as long as the map is. */
	struct quota_user *u = go ? go->user : quota_open(gd->quota, uid, owner, NULL, NULL);

	if (!u)
		return -ENOMEM;
	rcu_read_enter();
	quota_charge(gd->quota, u, go ? &go->held : NULL, m->count, NULL);
	rcu_read_leave();
	m->account = u;
	if (!go)
		quota_close(gd->quota, u);
	return 0;
}

int enforce_frames(struct gntdev *gd, const struct gntdev_open *go, uint32_t n, struct refusal *r)
{
	no_space(r, go, policy_limit_name(POLICY_LIMIT_frames), n, POLICY_THING_pages);
	count_met(gd, r);
	return -ENOSPC;
}

void enforce_bound(struct gntdev *gd)
{
	uint64_t frames;

	if (!gd->hv || !gd->hv->ops->limit_away)
		return;
	rcu_read_enter();
	frames = policy_limit_get(policy_limits(enforce_policy(gd)), POLICY_LIMIT_frames, false);
	rcu_read_leave();
	gd->hv->ops->limit_away(gd->hv, frames);
}

uint64_t enforce_met(const struct gntdev *gd, enum policy_limit limit)
{
	return __atomic_load_n(&gd->limit_met[limit], __ATOMIC_RELAXED);
}

int enforce_map(struct gntdev *gd, struct gntdev_open *go, struct map *m, struct refusal *r)
{
	const struct policy *p = enforce_policy(gd);
	const char *limit;
	int err = 0;

	if (policy_has_rules(p))
		err = check_refs(p, go, m, (struct use){ 0 }, r);
	if (err)
		return err;
	limit = quota_charge(gd->quota, go->user, &go->held, m->count, policy_limits(p));
	if (limit == QUOTA_CLOSED)
		return -EBADF;
	if (limit)
		return no_space(r, go, limit, m->count, POLICY_THING_pages);
	m->account = go->user;
	return 0;
}

void enforce_release(struct gntdev *gd, struct map *m)
{
	struct gnt_open *o;
	struct gntdev_open *go;

	rcu_read_enter();
	/* The map may have outlived its open. */
	o = open_get(gd->table, m->open_id);
	go = o ? open_user(o) : NULL;
	quota_release(gd->quota, m->account, go ? &go->held : NULL, m->count);
	rcu_read_leave();
}

int enforce_mmap(struct gntdev *gd, struct gntdev_open *go, const struct map *m, bool write,
		 uid_t asks, struct refusal *r)
{
	const struct policy *p = enforce_policy(gd);
	struct use use = { .write = write,
			   .pv = gd->hv->pages == HV_PAGES_FRAMES,
			   .to_other = asks != 0 && asks != go->who.uid };

	return policy_has_rules(p) || use.pv ? check_refs(p, go, m, use, r) : 0;
}

bool enforce_any(struct gntdev *gd)
{
	return policy_has_rules(enforce_policy(gd));
}

size_t enforce_copies(struct gntdev *gd, struct gntdev_open *go, const struct enforce_copy *c,
		      size_t n, struct refusal *r)
{
	struct policy_view view;
	size_t i = 0;

	policy_view(enforce_policy(gd), &go->who, &view);
	while (i < n &&
	       !check(&view, go, c[i].domid, c[i].ref, (struct use){ .write = c[i].write }, r))
		i++;
	return i;
}

/* By hash: clients and rules that share a place may be told of more than once. */
bool enforce_told(struct gntdev *gd, const struct refusal *r)
{
	uint64_t hash = (uint32_t)r->pid * 0x9e3779b97f4a7c15ULL + r->why;

	/* Not visible: there is no telling whether it is the same client. */
	if (!r->pid)
		return false;
	for (const char *c = r->rule; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
	return __atomic_exchange_n(&gd->told_rule[hash >> 56], hash, __ATOMIC_RELAXED) == hash;
}

void enforce_failed(struct gntdev *gd, struct caller *c, const struct refusal *r)
{
	if (r->why == WHY_LIMIT)
		count_met(gd, r);
	c->failed.domid = r->domid;
	c->failed.ref = r->ref;
	snprintf(c->rule, sizeof(c->rule), "%s", r->rule);
	c->failed.rule = c->rule;
	c->silent = enforce_told(gd, r);
	caller_why(c, 0, r->why, "%s", r->text);
}

/* What clients were told of the old rules does not count for the new ones. */
void enforce_new_policy(struct gntdev *gd, struct policy *p)
{
	struct policy *old = __atomic_exchange_n(&gd->policy, p, __ATOMIC_ACQ_REL);

	for (size_t i = 0; i < sizeof(gd->told_rule) / sizeof(gd->told_rule[0]); i++)
		__atomic_store_n(&gd->told_rule[i], 0, __ATOMIC_RELAXED);
	rcu_wait_for_readers();
	enforce_bound(gd);
	policy_free(old);
	pthread_mutex_lock(&gd->news_lock);
	gd->news = (struct policy_news){ .loaded = clock_realtime_ns() };
	pthread_mutex_unlock(&gd->news_lock);
}

void enforce_refused_policy(struct gntdev *gd, const char *why)
{
	pthread_mutex_lock(&gd->news_lock);
	gd->news.refused = clock_realtime_ns();
	snprintf(gd->news.why, sizeof(gd->news.why), "%s", why);
	pthread_mutex_unlock(&gd->news_lock);
}

void enforce_news(struct gntdev *gd, struct policy_news *news)
{
	pthread_mutex_lock(&gd->news_lock);
	*news = gd->news;
	pthread_mutex_unlock(&gd->news_lock);
}
