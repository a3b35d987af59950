/* SPDX-License-Identifier: MIT */
/*
 * bench_policy.c - what rules and limits cost a MAP_GRANT_REF, natively
 *
 *   policy_none_ns      no rules: the policy is loaded, and says that it has none
 *   policy_users_ns     20 rules by user, of which the last one matches
 *   policy_units_ns     20 rules by patterns of units, of which the last one matches
 *   policy_domains_ns   one more domain in the same call, with those
 *   quota_ns            a map is counted and given back, with all six limits
 */
#include <stdbool.h>
#include <string.h>

#include "base/rcu.h"
#include "policy/policy.h"
#include "policy/quota.h"
#include "bench.h"

#define ROUNDS 21
#define CALLS  20000
#define RULES  20

static const struct who client = {
	.pid = 1,
	.uid = 1000,
	.visible = true,
	.ns = OWNER_OURS,
	.all_groups = true,
	.cgroup = "/system.slice/xenstored.service",
	.unit = "xenstored.service",
};

static struct policy *policy;
static struct policy_view view;
static struct quota *quota;
static struct quota_user *user;
static volatile unsigned int allowed;

static void load(const char *condition, const char *last)
{
	struct policy_why why;
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < RULES; i++)
		fprintf(f, "rule r%d { %s action = allow }\n", i, i < RULES - 1 ? condition : last);
	fclose(f);
	policy_free(policy);
	if (policy_parse("bench", text, size, &policy, &why)) {
		fprintf(stderr, "%s\n", why.text[0]);
		exit(1);
	}
	free(text);
	policy_view(policy, &client, &view);
}

static void none(void)
{
	allowed += !policy_has_rules(__atomic_load_n(&policy, __ATOMIC_CONSUME));
}

static void decide(void)
{
	struct policy_verdict v;

	policy_decide(policy, &client, 7, &v);
	allowed += v.action == POLICY_ALLOW;
}

static void one_more(void)
{
	struct policy_verdict v;

	policy_view_decide(&view, 7, &v);
	allowed += v.action == POLICY_ALLOW;
}

#define ONE(name, ...) .name = 1,

static void count(void)
{
	static const struct policy_limits l = { POLICY_LIMITS(ONE) };
	static struct quota_held held;

	rcu_read_enter();
	if (quota_charge(quota, user, &held, 1, &l))
		die("quota_charge");
	rcu_read_leave();
	quota_release(quota, user, &held, 1);
}

static void print(const char *name, void (*call)(void))
{
	double ns[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double start = now_us();

		for (int i = 0; i < CALLS; i++)
			call();
		ns[r] = (now_us() - start) * 1000 / CALLS;
	}
	printf("%s %.1f ns\n", name, median(ns, ROUNDS));
}

int main(void)
{
	rcu_thread_enter();
	policy = policy_default();
	quota = quota_new();
	user = quota ? quota_open(quota, 1000, QUOTA_NO_OWNER, NULL, NULL) : NULL;
	if (!policy || !user)
		die("memory");
	print("policy_none_ns", none);
	load("user = 1", "user = 1000");
	print("policy_users_ns", decide);
	load("unit = 'qemu-*.service'", "unit = 'xen*.service'");
	print("policy_units_ns", decide);
	print("policy_domains_ns", one_more);
	print("quota_ns", count);
	rcu_thread_leave();
	return 0;
}
