/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/share.c - how much of a limit of the policy is used, from the answer to "stats"
 */
#include "gntdevctl/share.h"

#include "gntdevctl/client.h"

static long long positive(const json_t *o, const char *key)
{
	long long n = ctl_integer(o, key, 0);

	return n > 0 ? n : 0;
}

struct ctl_use ctl_use(const json_t *held, const json_t *limits, enum policy_scope scope,
		       enum policy_thing thing)
{
	enum policy_limit limit = policy_limit_of(scope, thing);
	struct ctl_use use = { .held = positive(held, policy_thing_name(thing)) };

	if (limit == POLICY_N_LIMITS)
		return use;
	use.name = policy_limit_name(limit);
	use.limit = positive(limits, use.name);
	return use;
}

const json_t *ctl_limits_of(const json_t *stats, const json_t *user)
{
	const json_t *root = json_object_get(stats, "limits_root");

	if (root && ctl_integer(user, "uid", -1) == 0 && !json_object_get(user, "owner"))
		return root;
	return json_object_get(stats, "limits");
}
