/* SPDX-License-Identifier: MIT */
/*
 * control/stats.c - figures, and as JSON
 */
#include "control/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/enforce.h"
#include "device/gntdev.h"
#include "base/rcu.h"
#include "state/state.h"
#include "window/window.h"
#include "window/socket.h"

/* --- taking them -------------------------------------------------------------------------------- */

static void read_kept(const struct state_header *h, struct control_kept *k)
{
	k->version = h->version;
	k->survived = __atomic_load_n(&h->survived, __ATOMIC_RELAXED);
	k->outage_ns = __atomic_load_n(&h->outage_ns, __ATOMIC_RELAXED);
	k->again = __atomic_load_n(&h->again, __ATOMIC_RELAXED);
	k->poison = __atomic_load_n(&h->poison, __ATOMIC_RELAXED);
}

void control_stats_read(const struct control_view *view, struct control_stats *st)
{
	struct gntdev *gd = view->gd;

	*st = (struct control_stats){ .tracers = view->tracers };
	quota_totals(gd->quota, &st->held);
	st->n_users = control_users(gd, st->users);
	rcu_read_enter();
	st->limits = *policy_limits(enforce_policy(gd));
	rcu_read_leave();
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		st->limits_met[i] = enforce_met(gd, (enum policy_limit)i);
	st->windows = windows_count(gd->windows);
	gd->hv->ops->counts(gd->hv, &st->hv);
	if (view->state)
		read_kept(view->state, &st->kept);
	st->kept.lease = view->lease;
	st->has_session = view->session != NULL;
	if (view->session)
		session_counts(view->session, &st->session);
	winsock_slots(gd->winsock, &st->slots, &st->slots_used);
	for (int k = 0; k < FAILURE_KINDS; k++)
		st->failures[k] = failure_count((enum failure_kind)k);
	for (int i = 1; i < CONTROL_STATUSES; i++)
		st->statuses[i] = failure_status_count(-i);
	for (int i = 0; i < TRACE_OPS; i++)
		trace_count((enum trace_op)i, &st->ops[i]);
}

/* --- as JSON ------------------------------------------------------------------------------------ */

static void set(json_t *o, const char *name, uint64_t value)
{
	json_object_set_new(o, name, json_integer((json_int_t)value));
}

static json_t *failures(const struct control_stats *st)
{
	json_t *o = json_object();

	for (int k = 0; k < FAILURE_KINDS; k++)
		set(o, failure_kind_name((enum failure_kind)k), st->failures[k]);
	return o;
}

static json_t *statuses(const struct control_stats *st)
{
	json_t *o = json_object();

	for (int i = 1; i < CONTROL_STATUSES; i++)
		if (st->statuses[i])
			set(o, hv_status_name(-i), st->statuses[i]);
	return o;
}

static json_t *limits(const struct control_stats *st, bool root)
{
	json_t *o = json_object();

	for (int i = 0; i < POLICY_N_LIMITS; i++)
		set(o, policy_limit_name((enum policy_limit)i),
		    policy_limit_get(&st->limits, (enum policy_limit)i, root));
	return o;
}

static json_t *limits_met(const struct control_stats *st)
{
	json_t *o = json_object();

	for (int i = 0; i < POLICY_N_LIMITS; i++)
		set(o, policy_limit_name((enum policy_limit)i), st->limits_met[i]);
	return o;
}

static json_t *histogram(const struct trace_counts *c)
{
	json_t *all = json_array();

	for (int i = 0; i < TRACE_BUCKETS; i++) {
		json_t *bound = i == TRACE_BUCKETS - 1 ? json_null() : json_integer(1LL << i);

		if (c->bucket[i])
			json_array_append_new(all,
					      json_pack("[o, I]", bound, (json_int_t)c->bucket[i]));
		else
			json_decref(bound);
	}
	return all;
}

static json_t *operations(const struct control_stats *st)
{
	json_t *all = json_object();

	for (int i = 0; i < TRACE_OPS; i++) {
		const struct trace_counts *c = &st->ops[i];
		json_t *op = json_object();

		set(op, "events", c->events);
		set(op, "failed", c->failed);
		set(op, "us", c->ns / 1000);
		json_object_set_new(op, "histogram", histogram(c));
		json_object_set_new(all, trace_op_name((enum trace_op)i), op);
	}
	return all;
}

static void set_amounts(json_t *o, const struct quota_held *held)
{
	for (int i = 0; i < POLICY_N_THINGS; i++)
		set(o, policy_thing_name((enum policy_thing)i),
		    quota_held_of(held, (enum policy_thing)i));
}

static void set_uid(json_t *o, const char *name, uid_t uid)
{
	json_object_set_new(o, name, uid == QUOTA_UNKNOWN ? json_null() : json_integer(uid));
}

static json_t *users(const struct control_stats *st)
{
	json_t *all = json_array();

	for (size_t i = 0; i < st->n_users; i++) {
		json_t *u = json_object();

		set_uid(u, "uid", st->users[i].uid);
		if (st->users[i].owner != QUOTA_NO_OWNER)
			set_uid(u, "owner", st->users[i].owner);
		set_amounts(u, &st->users[i].held);
		json_array_append_new(all, u);
	}
	return all;
}

static void set_held(json_t *o, const struct control_stats *st)
{
	set_amounts(o, &st->held);
	set(o, "windows", st->windows);
	set(o, "handles", st->hv.handles);
	json_object_set_new(o, "handle_limit",
			    st->hv.handle_max ? json_integer((json_int_t)st->hv.handle_max)
					      : json_null());
	set(o, "away", st->hv.away);
	set(o, "quarantined", st->hv.quarantined);
	set(o, "ports", st->hv.ports);
}

static json_t *kept(const struct control_kept *k)
{
	json_t *o = json_object();

	set(o, "version", k->version);
	set(o, "survived", k->survived);
	json_object_set_new(o, "outage_ms", json_real((double)k->outage_ns / 1e6));
	set(o, "again", k->again);
	set(o, "poison", k->poison);
	if (k->lease)
		json_object_set_new(o, "lease", json_string(k->lease));
	return o;
}

static void set_busy(json_t *o, const struct control_stats *st)
{
	bool waiting = st->has_session && st->session.waiting >= 0;

	set(o, "workers", st->session.workers);
	set(o, "workers_busy", st->session.busy);
	json_object_set_new(o, "waiting",
			    waiting ? json_integer(st->session.waiting) : json_null());
	set(o, "memory_waits", st->session.memory_waits);
	set(o, "window_slots", st->slots);
	set(o, "window_slots_used", st->slots_used);
}

int control_ask_stats(struct control_request *rq, struct control_out *out,
		      struct control_answer **answer)
{
	struct control_stats *st;
	json_t *o;

	(void)answer;
	if (!control_done(rq))
		return -EINVAL;
	st = malloc(sizeof(*st));
	o = json_object();
	if (st && o) {
		control_stats_read(rq->view, st);
		set_held(o, st);
		set_busy(o, st);
		if (st->kept.version)
			json_object_set_new(o, "state", kept(&st->kept));
		json_object_set_new(o, "failures", failures(st));
		json_object_set_new(o, "statuses", statuses(st));
		json_object_set_new(o, "operations", operations(st));
		json_object_set_new(o, "limits", limits(st, false));
		json_object_set_new(o, "limits_root", limits(st, true));
		json_object_set_new(o, "limits_met", limits_met(st));
		json_object_set_new(o, "users", users(st));
		json_object_set_new(o, "policy", control_policy_json(rq->view->gd));
		set(o, "tracers", st->tracers);
		control_out_json(out, "end", json_incref(o));
	}
	json_decref(o);
	free(st);
	return st && o ? 0 : -ENOMEM;
}
