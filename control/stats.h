/* SPDX-License-Identifier: MIT */
/*
 * control/stats.h - figures: taken once, told as JSON (stats) or as Prometheus' text (metrics)
 */
#ifndef CONTROL_STATS_H
#define CONTROL_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/policy.h"
#include "control/request.h"
#include "report/failure.h"
#include "hypercall.h"
#include "policy/quota.h"
#include "device/session.h"
#include "report/trace.h"

/* The worst status that Xen has is this, negated; hypercall.c names them. */
#define CONTROL_STATUSES 16

/**
 * struct control_stats - all figures, each as it was when it was read
 * @users:    the first @n_users of them
 * @limits:   of the policy
 * @limits_met: how often each has refused something since the start
 * @kept:     what is counted across daemons; version 0: nothing outlives this one
 * @session:  only if @has_session
 * @slots, @slots_used: of the window socket
 * @failures: by kind
 * @statuses: how often Xen refused a grant, by the status, negated
 */
struct control_stats {
	struct quota_held held;
	size_t n_users;
	struct control_user users[CONTROL_USERS_MAX];
	struct policy_limits limits;
	uint64_t limits_met[POLICY_N_LIMITS];
	uint64_t windows;
	struct hv_counts hv;
	struct control_kept {
		uint32_t version;
		uint64_t survived;
		uint64_t outage_ns;
		uint64_t again;
		uint64_t poison;
		const char *lease;
	} kept;
	bool has_session;
	struct session_counts session;
	unsigned int slots;
	unsigned int slots_used;
	uint64_t failures[FAILURE_KINDS];
	uint64_t statuses[CONTROL_STATUSES];
	struct trace_counts ops[TRACE_OPS];
	unsigned int tracers;
};

/** control_stats_read() - take all figures. A thread registered with RCU, not under RCU */
void control_stats_read(const struct control_view *view, struct control_stats *st);

/**
 * metrics_text() - the figures as Prometheus' text exposition
 *
 * As control_stats_read(). Return: a string to be freed, and its length in *@len; NULL: no memory.
 */
char *metrics_text(const struct control_view *view, size_t *len);

#endif /* CONTROL_STATS_H */
