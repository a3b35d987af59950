/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_daemon.c - gntdevctl doctor: what the daemon's answers tell
 */
#include "gntdevctl/doctor_daemon.h"

#include <stdio.h>
#include <string.h>

#include "gntdevctl/client.h"
#include "gntdevctl/share.h"
#include "gntdevctl/text.h"

/* How full something may be before it is told, per cent. */
#define FULL 90
/* How long an mmap may take, ms. */
#define LONG_MS 5000
/* For how long a client that gave up is a warning: as long as somebody may be looking for the reason, s. */
#define RECENT_S 600

void doctor_reload(const struct doctor *d, const json_t *stats)
{
	const char *error = ctl_string(json_object_get(stats, "policy"), "error");

	if (*error)
		doctor_tell(d, FINDING_FAULT, "reload/refused",
			    "gntdevctl policy check; systemctl reload " CTL_UNIT,
			    "the daemon goes on with the policy before: mend the file first",
			    "the policy was not taken: %s", error);
	else
		doctor_tell(d, FINDING_OK, "reload/ok", "", "",
			    "the daemon uses the policy it was last told");
}

/* Of the unit's drop-ins. */
#define STORE_DIR "/etc/systemd/system/" CTL_UNIT ".d"

void doctor_lease(const struct doctor *d, const json_t *stats)
{
	const char *lease = ctl_string(json_object_get(stats, "state"), "lease");

	if (!strcmp(lease, "refused"))
		doctor_tell(d, FINDING_WARNING, "lease/refused",
			    "mkdir -p " STORE_DIR " && printf "
			    "'[Service]\\nFileDescriptorStoreMax=4\\n' >" STORE_DIR
			    "/store.conf && systemctl daemon-reload && systemctl restart " CTL_UNIT,
			    "the keeper does not see that the service has failed: clients wait for "
			    "--successor seconds then, and a daemon that cannot start for its "
			    "options does not wait for who mends them",
			    "systemd keeps no descriptor for the daemon's service");
	else if (!strcmp(lease, "kept"))
		doctor_tell(d, FINDING_OK, "lease/ok", "", "",
			    "systemd and the keeper know of each other");
}

/* --- limits ----------------------------------------------------------------------------------- */

/* Return: whether it is so full that it was told. */
static bool full(const struct doctor *d, const char *what, long long n, long long limit,
		 const char *why, const char *mend)
{
	if (limit <= 0 || n < 0 || (double)n * 100 < (double)limit * FULL)
		return false;
	doctor_tell(d, n >= limit ? FINDING_FAULT : FINDING_WARNING, "limits/full", mend, why,
		    "%s: %s", what, ctl_share((uint64_t)n, (uint64_t)limit).s);
	return true;
}

static bool full_table(const struct doctor *d, const json_t *s)
{
	return full(d, "grants mapped, of what Xen's maptrack table takes",
		    ctl_integer(s, "handles", 0), ctl_integer(s, "handle_limit", 0),
		    "beyond it mmap fails, with status no_space",
		    "gntdevctl top --sort=pages (who holds them?); a larger "
		    "gnttab_max_maptrack_frames= on Xen's command line");
}

static bool full_windows(const struct doctor *d, const json_t *s)
{
	return full(d, "places of the window socket", ctl_integer(s, "window_slots_used", 0),
		    ctl_integer(s, "window_slots", 0), "beyond it clients wait, or mmap fails",
		    "gntdevctl list --opens (who has so many?)");
}

/* @whose: "", or " of user X". */
static bool full_count(const struct doctor *d, const json_t *held, const json_t *limits,
		       enum policy_scope scope, const char *whose)
{
	bool any = false;
	char what[128];

	for (int i = 0; i < POLICY_N_THINGS; i++) {
		const struct ctl_use use = ctl_use(held, limits, scope, (enum policy_thing)i);

		snprintf(what, sizeof(what), "%s%s, of the policy's limit %s",
			 policy_thing_name((enum policy_thing)i), whose, use.name ? use.name : "");
		any |= full(d, what, use.held, use.limit,
			    "beyond it open(2) or MAP_GRANT_REF fails with ENOSPC",
			    "gntdevctl stats (who holds how much?); raise the limit in " CTL_POLICY
			    ", systemctl reload " CTL_UNIT);
	}
	return any;
}

static bool full_policy(const struct doctor *d, const json_t *s)
{
	const json_t *limits = json_object_get(s, "limits");
	bool any = full_count(d, s, limits, POLICY_SCOPE_ALL, "");

	any |= full(d,
		    "frames of this machine's memory that are given to Xen, of the policy's limit "
		    "frames",
		    ctl_integer(s, "away", 0), ctl_integer(limits, "frames", 0),
		    "beyond it mmap fails with ENOSPC",
		    "gntdevctl top --sort=pages (who maps so much?); raise the limit in " CTL_POLICY
		    ", systemctl reload " CTL_UNIT);
	char whose[64];
	json_t *u;
	size_t i;

	json_array_foreach(json_object_get(s, "users"), i, u) {
		const struct ctl_text user = ctl_user((uid_t)ctl_integer(u, "uid", -1));

		snprintf(whose, sizeof(whose), " of user %s", user.s);
		any |= full_count(d, u, ctl_limits_of(s, u), POLICY_SCOPE_USER, whose);
	}
	return any;
}

/* Such as "pages (3 times)". Return: whether any limit has refused something. */
static bool limits_met(const json_t *s, char *text, size_t size)
{
	const json_t *met = json_object_get(s, "limits_met");
	size_t len = 0;

	for (int i = 0; i < POLICY_N_LIMITS && len < size; i++) {
		const char *name = policy_limit_name((enum policy_limit)i);
		long long n = ctl_integer(met, name, 0);

		if (n > 0)
			len += (size_t)snprintf(text + len, size - len, "%s%s (%lld times)",
						len ? ", " : "", name, n);
	}
	return len;
}

void doctor_limits(const struct doctor *d, const json_t *stats)
{
	long long quarantined = ctl_integer(stats, "quarantined", 0);
	bool any = full_table(d, stats);
	char met[256];

	any |= full_windows(d, stats);
	any |= full_policy(d, stats);
	if (quarantined > 0) {
		any = true;
		doctor_tell(
			d, FINDING_WARNING, "limits/quarantined",
			"xl mem-set 0 MIB (less, so that Xen has frames)",
			"Xen had no frame for them, or does not unmap their grants; they are tried "
			"again",
			"%lld pages are quarantined", quarantined);
	}
	if (any)
		return;
	if (limits_met(stats, met, sizeof(met)))
		doctor_tell(d, FINDING_INFO, "limits/met", "",
			    "gntdevctl errors names who was refused",
			    "none is near now; since the start these have refused: %s", met);
	else
		doctor_tell(d, FINDING_OK, "limits/ok", "", "", "none is near");
}

/* --- clients ---------------------------------------------------------------------------------- */

void doctor_clients(const struct doctor *d, const json_t *stats, long long last, long long now)
{
	long long n = ctl_integer(json_object_get(stats, "failures"), "preload", 0);
	char times[48] = "once";

	if (n > 1)
		snprintf(times, sizeof(times), "%lld times", n);
	if (n > 0 && last > 0 && now - last < RECENT_S * 1000000000LL)
		doctor_tell(d, FINDING_WARNING, "clients/gave-up", "gntdevctl errors",
			    "mmap gave it ENODEV; the errors of kind preload say which it was, and "
			    "what helps it",
			    "a client gave up for want of mmap %s, the last time %s ago", times,
			    ctl_age((uint64_t)(now > last ? now - last : 0) / 1000000).s);
	else if (n > 0)
		doctor_tell(d, FINDING_INFO, "clients/gave-up-before", "",
			    "mmap gave it ENODEV; what has been started anew since then can map",
			    "a client gave up for want of mmap %s, and none in the last %d minutes",
			    times, RECENT_S / 60);
	else
		doctor_tell(d, FINDING_OK, "clients/ok", "", "", "none gave up for want of mmap");
}

static bool all_busy(const json_t *s)
{
	long long workers = ctl_integer(s, "workers", 0);

	return workers > 0 && ctl_integer(s, "workers_busy", 0) >= workers &&
	       ctl_integer(s, "waiting", 0) > 0;
}

static long long events(const json_t *s)
{
	const char *name;
	long long sum = 0;
	json_t *op;

	json_object_foreach(json_object_get(s, "operations"), name, op)
		sum += ctl_integer(op, "events", 0);
	return sum;
}

void doctor_workers(const struct doctor *d, const json_t *then, const json_t *stats)
{
	if (!all_busy(then) || !all_busy(stats))
		doctor_tell(d, FINDING_OK, "workers/ok", "", "", "requests are served");
	else if (events(then) == events(stats))
		doctor_tell(
			d, FINDING_FAULT, "workers/stuck",
			"gntdevctl list --opens (whose memory?); systemctl restart " CTL_UNIT,
			"a worker waits for a client's memory (on a dead network file system, a "
			"stopped "
			"userfaultfd) or for Xen; nobody is served meanwhile",
			"all %lld workers are busy, %lld requests wait, and none has ended for a "
			"second",
			ctl_integer(stats, "workers", 0), ctl_integer(stats, "waiting", 0));
	else
		doctor_tell(
			d, FINDING_WARNING, "workers/busy",
			"OPTIONS=\"--workers=N\" in /etc/default/cuse-gntdev",
			"requests wait for each other: more workers help if there are processors",
			"all %lld workers are busy, and %lld requests wait",
			ctl_integer(stats, "workers", 0), ctl_integer(stats, "waiting", 0));
}

static bool is_mapping(const json_t *map, const char *id)
{
	return !strcmp(ctl_string(map, "state"), "mapping") && !strcmp(ctl_string(map, "id"), id) &&
	       ctl_integer(map, "age_ms", 0) >= LONG_MS;
}

static bool was_mapping(const json_t *maps, const char *id)
{
	json_t *m;
	size_t i;

	json_array_foreach(maps, i, m)
		if (is_mapping(m, id))
			return true;
	return false;
}

void doctor_waiting(const struct doctor *d, const json_t *then, const json_t *maps)
{
	char mend[128], id[64];
	bool any = false;
	json_t *m;
	size_t i;

	json_array_foreach(maps, i, m) {
		if (!is_mapping(m, ctl_string(m, "id")) || !was_mapping(then, ctl_string(m, "id")))
			continue;
		any = true;
		ctl_clean(id, sizeof(id), ctl_string(m, "id"));
		snprintf(mend, sizeof(mend), "gntdevctl show %s; xl list %lld", id,
			 ctl_integer(m, "domid", -1));
		doctor_tell(
			d, FINDING_WARNING, "waiting/long", mend,
			"its granter has paged the page out (status eagain) and does not bring it "
			"back, or Xen does not answer; only this client waits",
			"the mmap of %s, pages of domain %lld, goes on and on", id,
			ctl_integer(m, "domid", -1));
	}
	if (!any)
		doctor_tell(d, FINDING_OK, "waiting/ok", "", "", "no client waits for a page");
}
