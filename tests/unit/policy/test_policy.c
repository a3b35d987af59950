/* SPDX-License-Identifier: MIT */
/*
 * policy/test_policy.c - who may map what: every kind of match, order, and what is not known of a process
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

static const struct who qemu = {
	.pid = 10,
	.uid = 1000,
	.gid = 100,
	.visible = true,
	.ns = OWNER_OURS,
	.all_groups = true,
	.n_groups = 2,
	.groups = { 7, 2000 },
	.cgroup = "/system.slice/qemu-3.service",
	.unit = "qemu-3.service",
};

/* Of a process of another pid namespace no more is known. */
static const struct who stranger = { .uid = 1000, .gid = 100 };

static const struct who root = {
	.pid = 1,
	.visible = true,
	.ns = OWNER_OURS,
	.all_groups = true,
	.cgroup = "/init.scope",
	.unit = "init.scope",
};

static struct policy *parse(const char *text)
{
	struct policy_why why;
	struct policy *p = NULL;
	int err = policy_parse("f", text, strlen(text), &p, &why);

	ck_assert_msg(!err, "%s", why.text[0]);
	return p;
}

static void expect(const char *text, const struct who *who, uint16_t domid,
		   enum policy_action action, const char *rule)
{
	struct policy *p = parse(text);
	struct policy_verdict v;

	policy_decide(p, who, domid, &v);
	ck_assert_int_eq(v.action, action);
	ck_assert_str_eq(v.rule, rule);
	if (*rule)
		ck_assert_str_eq(v.file, "f");
	else
		ck_assert_ptr_null(v.file);
	policy_free(p);
}

START_TEST(without_rules)
{
	struct policy *p = policy_default();
	struct policy_verdict v;

	ck_assert(!policy_has_rules(p));
	policy_decide(p, &stranger, 7, &v);
	ck_assert_int_eq(v.action, POLICY_ALLOW);
	ck_assert_str_eq(v.rule, "");
	ck_assert(!v.pv);
	policy_decide(p, &root, 7, &v);
	ck_assert(v.pv);
	ck_assert_uint_eq(policy_limits(p)->pages_per_open, 0);
	policy_free(p);
}
END_TEST

/* One condition each, and whether it is true of the process above, for domain 7. */
static const struct {
	const char *condition;
	bool matches;
} conditions[] = {
	{ "", true },
	{ "user = 1000", true },
	{ "user = root", false },
	{ "user = { root, 1000 }", true },
	{ "group = 100", true },
	{ "group = 2000", true },
	{ "group = 2001", false },
	{ "group = { 2001, 7 }", true },
	{ "unit = qemu-3.service", true },
	{ "unit = 'qemu-*.service'", true },
	{ "unit = 'qemu-[0-9].service'", true },
	{ "unit = qemu.service", false },
	{ "unit = '*.scope'", false },
	{ "unit = { '*.scope', '*-3.service' }", true },
	{ "cgroup = '/system.slice/*'", true },
	{ "cgroup = /system.slice", false },
	{ "cgroup = '/*3.service'", true },
	{ "cgroup = '/user.slice/*'", false },
	{ "domid = 7", true },
	{ "domid = 8", false },
	{ "domid = 1-7", true },
	{ "domid = 7-9", true },
	{ "domid = 8-9", false },
	{ "domid = { 1-3, 5, 7 }", true },
	{ "domid = any", true },
	{ "user = 1000 group = 7 unit = 'q*.service' cgroup = '/*' domid = 7", true },
	{ "user = 1000 group = 7 unit = 'q*.service' cgroup = '/*' domid = 8", false },
	{ "user = 1001 group = 7 unit = 'q*.service' cgroup = '/*' domid = 7", false },
	{ "user = 1000 group = 8 unit = 'q*.service' cgroup = '/*' domid = 7", false },
	{ "user = 1000 group = 7 unit = 'r*.service' cgroup = '/*' domid = 7", false },
	{ "user = 1000 group = 7 unit = 'q*.service' cgroup = '/u*' domid = 7", false },
};

START_TEST(each_condition)
{
	char text[256];
	bool m = conditions[_i].matches;

	snprintf(text, sizeof(text), "rule a { %s action = deny }", conditions[_i].condition);
	expect(text, &qemu, 7, m ? POLICY_DENY : POLICY_ALLOW, m ? "a" : "");
	snprintf(text, sizeof(text), "rule a { %s action = read-only }", conditions[_i].condition);
	expect(text, &qemu, 7, m ? POLICY_READ_ONLY : POLICY_ALLOW, m ? "a" : "");
	snprintf(text, sizeof(text), "rule a { %s action = allow } rule b { action = deny }",
		 conditions[_i].condition);
	expect(text, &qemu, 7, m ? POLICY_ALLOW : POLICY_DENY, m ? "a" : "b");
}
END_TEST

START_TEST(first_match_decides)
{
	static const char text[] = "rule a { domid = 1-9 action = read-only }"
				   "rule b { user = 1000 action = allow }"
				   "rule c { action = deny }";

	expect(text, &qemu, 9, POLICY_READ_ONLY, "a");
	expect(text, &root, 9, POLICY_READ_ONLY, "a");
	expect(text, &qemu, 10, POLICY_ALLOW, "b");
	expect(text, &root, 10, POLICY_DENY, "c");
}
END_TEST

/* All rules have a bit: the last of them, too. */
START_TEST(many_rules)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < POLICY_RULES_MAX; i++)
		fprintf(f, "rule r%d { domid = %d action = %s }\n", i, i,
			i % 2 ? "deny" : "read-only");
	fclose(f);
	expect(text, &qemu, 255, POLICY_DENY, "r255");
	expect(text, &qemu, 64, POLICY_READ_ONLY, "r64");
	expect(text, &qemu, 63, POLICY_DENY, "r63");
	expect(text, &qemu, 256, POLICY_ALLOW, "");
	free(text);
}
END_TEST

/* The conditions that cannot be answered for a stranger. */
static const char *const unknown[] = { "group = 2000",		 "unit = '*'",	"cgroup = '*'",
				       "user = 1000 unit = '*'", "user = 1000", "user = 1" };

START_TEST(what_is_not_known)
{
	const char *c = unknown[_i];
	char text[256];

	snprintf(text, sizeof(text), "rule a { %s action = deny }", c);
	expect(text, &stranger, 7, POLICY_DENY, "a");
	snprintf(text, sizeof(text), "rule a { %s action = allow }", c);
	expect(text, &stranger, 7, POLICY_ALLOW, "");
	snprintf(text, sizeof(text), "rule a { %s action = allow } rule b { action = deny }", c);
	expect(text, &stranger, 7, POLICY_DENY, "b");
	snprintf(text, sizeof(text), "rule a { %s action = read-only }", c);
	expect(text, &stranger, 7, POLICY_READ_ONLY, "a");
	/* It is no shelter from what follows. */
	snprintf(text, sizeof(text), "rule a { %s action = read-only } rule b { action = deny }",
		 c);
	expect(text, &stranger, 7, POLICY_DENY, "b");
	snprintf(text, sizeof(text), "rule a { %s action = read-only } rule b { action = allow }",
		 c);
	expect(text, &stranger, 7, POLICY_READ_ONLY, "a");
	/* What is known to be false decides. */
	snprintf(text, sizeof(text), "rule a { domid = 8 %s action = deny }", "unit = '*'");
	expect(text, &stranger, 7, POLICY_ALLOW, "");
}
END_TEST

/* Not all groups are known; the path is cut off in front. */
START_TEST(half_known)
{
	struct who w = qemu;

	w.all_groups = false;
	expect("rule a { group = 7 action = allow } rule b { action = deny }", &w, 7, POLICY_ALLOW,
	       "a");
	expect("rule a { group = 8 action = allow } rule b { action = deny }", &w, 7, POLICY_DENY,
	       "b");
	expect("rule a { group = 8 action = deny }", &w, 7, POLICY_DENY, "a");
	w = qemu;
	strcpy(w.cgroup, ".../system.slice/qemu-3.service");
	expect("rule a { cgroup = '*qemu*' action = allow } rule b { action = deny }", &w, 7,
	       POLICY_DENY, "b");
	expect("rule a { cgroup = '/other*' action = deny }", &w, 7, POLICY_DENY, "a");
	expect("rule a { unit = qemu-3.service action = allow } rule b { action = deny }", &w, 7,
	       POLICY_ALLOW, "a");
	/* In no unit at all is known. */
	w = qemu;
	strcpy(w.cgroup, "/");
	w.unit[0] = '\0';
	expect("rule a { unit = '*.service' action = deny }", &w, 7, POLICY_ALLOW, "");
	expect("rule a { unit = '*' action = allow } rule b { action = deny }", &w, 7, POLICY_DENY,
	       "b");
}
END_TEST

/* In a user namespace of alice's, 1000, as one of her subordinate users. */
static const struct who sub_of_alice = {
	.pid = 11,
	.uid = 101000,
	.gid = 100,
	.ns = OWNER_OTHER,
	.owner = 1000,
	.visible = true,
	.all_groups = true,
	.cgroup = "/user.slice",
};

START_TEST(users_of_user_namespaces)
{
	struct who own = sub_of_alice, roots = sub_of_alice, lost = qemu;

	/* A rule that denies binds, by either of the two. */
	expect("rule a { user = 1000 action = deny }", &sub_of_alice, 7, POLICY_DENY, "a");
	expect("rule a { user = 101000 action = deny }", &sub_of_alice, 7, POLICY_DENY, "a");
	expect("rule a { user = 1001 action = deny }", &sub_of_alice, 7, POLICY_ALLOW, "");
	expect("rule a { user = 1000 action = read-only }", &sub_of_alice, 7, POLICY_READ_ONLY,
	       "a");
	/* One that allows has to name both. */
	expect("rule a { user = 1000 action = allow } rule b { action = deny }", &sub_of_alice, 7,
	       POLICY_DENY, "b");
	expect("rule a { user = 101000 action = allow } rule b { action = deny }", &sub_of_alice, 7,
	       POLICY_DENY, "b");
	expect("rule a { user = {1000, 101000} action = allow } rule b { action = deny }",
	       &sub_of_alice, 7, POLICY_ALLOW, "a");
	/* As herself in her own. */
	own.uid = 1000;
	expect("rule a { user = 1000 action = allow } rule b { action = deny }", &own, 7,
	       POLICY_ALLOW, "a");
	/* A container of root's is not root. */
	roots.owner = 0;
	expect("rule a { user = 0 action = allow } rule b { action = deny }", &roots, 7,
	       POLICY_DENY, "b");
	/* Whose it is is not known: any rule about users may be about it. */
	lost.ns = OWNER_UNKNOWN;
	expect("rule a { user = 1000 action = allow } rule b { action = deny }", &lost, 7,
	       POLICY_DENY, "b");
	expect("rule a { user = 5 action = deny }", &lost, 7, POLICY_DENY, "a");
	expect("rule a { domid = 7 action = allow } rule b { action = deny }", &lost, 7,
	       POLICY_ALLOW, "a");
}
END_TEST

/* Who has made a user namespace may have left groups behind. */
START_TEST(groups_of_user_namespaces)
{
	struct who roots = sub_of_alice;

	expect("rule a { group = 100 action = allow } rule b { action = deny }", &sub_of_alice, 7,
	       POLICY_ALLOW, "a");
	expect("rule a { group = 200 action = deny }", &sub_of_alice, 7, POLICY_DENY, "a");
	roots.owner = 0;
	expect("rule a { group = 200 action = deny }", &roots, 7, POLICY_ALLOW, "");
}
END_TEST

static void expect_pv(const char *text, const struct who *who, bool pv)
{
	struct policy *p = parse(text);
	struct policy_verdict v;

	policy_decide(p, who, 7, &v);
	ck_assert_msg(v.pv == pv, "%s", text);
	policy_free(p);
}

START_TEST(pv_descriptor)
{
	/* User 0 in a user namespace that somebody else has made. */
	struct who root_of_alice = root;

	root_of_alice.ns = OWNER_OTHER;
	root_of_alice.owner = 1000;
	expect_pv("pv_descriptor = root", &root, true);
	expect_pv("pv_descriptor = root", &qemu, false);
	expect_pv("pv_descriptor = root", &root_of_alice, false);
	expect_pv("pv_descriptor = root", &stranger, false);
	expect_pv("pv_descriptor = any", &qemu, true);
	expect_pv("pv_descriptor = none", &root, false);
	expect_pv("rule a { user = 1000 action = allow pv_descriptor = yes }", &qemu, true);
	expect_pv("rule a { user = 1000 action = allow }", &qemu, false);
	expect_pv("rule a { user = 1000 action = allow pv_descriptor = no } pv_descriptor = any",
		  &qemu, false);
	expect_pv("rule a { user = 1000 action = read-only pv_descriptor = yes }", &qemu, true);
	expect_pv("rule a { user = 1 action = allow pv_descriptor = yes }", &qemu, false);
	expect_pv("rule a { action = allow } rule b { action = allow pv_descriptor = yes }", &qemu,
		  false);
	expect_pv("rule a { user = 0 action = deny pv_descriptor = yes }", &root, false);
	/* What is not known gives nothing, and takes. */
	expect_pv("rule a { unit = '*' action = deny } pv_descriptor = any", &stranger, false);
	expect_pv("rule a { unit = '*' action = read-only pv_descriptor = yes }", &stranger, false);
	expect_pv("rule a { unit = '*' action = allow pv_descriptor = yes }", &stranger, false);
	expect_pv("rule a { unit = '*' action = allow pv_descriptor = no }"
		  "rule b { action = allow pv_descriptor = yes }",
		  &stranger, false);
	expect_pv("rule a { unit = '*' action = allow pv_descriptor = yes }"
		  "rule b { action = allow pv_descriptor = yes }",
		  &stranger, true);
}
END_TEST

static void collect(const char *text, void *arg)
{
	strcat(arg, text);
	strcat(arg, "\n");
}

/* Warned of: a rule that comes too late. */
static const struct {
	const char *first, *second;
	bool late;
} orders[] = {
	{ "", "user = 1", true },
	{ "", "", true },
	{ "user = 1", "", false },
	{ "user = 1", "user = 1", true },
	{ "user = 1", "user = {1, 2}", false },
	{ "user = {1, 2}", "user = 2 domid = 5", true },
	{ "group = 1", "user = 1", false },
	{ "group = {3, 4}", "group = 4 unit = 'x.service'", true },
	{ "domid = 1-9", "domid = 3-5", true },
	{ "domid = 1-9", "domid = 3-10", false },
	{ "domid = any", "domid = 3", true },
	{ "domid = 1-9", "user = 1", false },
	{ "unit = 'a*.service'", "unit = 'a*.service' cgroup = '/*'", true },
	{ "unit = 'a*.service'", "unit = 'ab.service'", false },
	{ "cgroup = '/a'", "cgroup = {'/a', '/b'}", false },
	{ "cgroup = {'/a', '/b'}", "cgroup = '/b'", true },
};

START_TEST(a_rule_that_comes_too_late)
{
	char text[256], warnings[512] = "";
	struct policy *p;

	snprintf(text, sizeof(text), "rule a { %s action = allow }\nrule b { %s action = deny }",
		 orders[_i].first, orders[_i].second);
	p = parse(text);
	policy_for_each_warning(p, collect, warnings);
	ck_assert_str_eq(
		warnings,
		orders[_i].late ? "f:2: rule \"b\" decides nothing: rule \"a\" (f:1) stands before "
				  "it and matches whatever it matches\n"
				: "");
	policy_free(p);
}
END_TEST

START_TEST(a_view_is_the_same)
{
	struct policy *p = parse("rule a { domid = 3 action = deny }"
				 "rule b { unit = '*' domid = 4-5 action = read-only }"
				 "rule c { user = 1000 domid = 5-6 action = deny }");
	const struct who *whos[] = { &qemu, &stranger, &root };

	for (size_t i = 0; i < 3; i++) {
		struct policy_view view;

		policy_view(p, whos[i], &view);
		for (uint16_t domid = 0; domid < 9; domid++) {
			struct policy_verdict a, b;

			policy_decide(p, whos[i], domid, &a);
			policy_view_decide(&view, domid, &b);
			ck_assert_int_eq(a.action, b.action);
			ck_assert_ptr_eq(a.rule, b.rule);
			ck_assert(a.pv == b.pv);
		}
	}
	policy_free(p);
}
END_TEST

Suite *policy_suite(void);

Suite *policy_suite(void)
{
	Suite *s = suite_create("policy");
	TCase *t = tcase_create("policy");

	tcase_add_test(t, without_rules);
	tcase_add_loop_test(t, each_condition, 0,
			    (int)(sizeof(conditions) / sizeof(conditions[0])));
	tcase_add_test(t, first_match_decides);
	tcase_add_test(t, many_rules);
	tcase_add_loop_test(t, what_is_not_known, 0, (int)(sizeof(unknown) / sizeof(unknown[0])));
	tcase_add_test(t, half_known);
	tcase_add_test(t, users_of_user_namespaces);
	tcase_add_test(t, groups_of_user_namespaces);
	tcase_add_test(t, pv_descriptor);
	tcase_add_loop_test(t, a_rule_that_comes_too_late, 0,
			    (int)(sizeof(orders) / sizeof(orders[0])));
	tcase_add_test(t, a_view_is_the_same);
	suite_add_tcase(s, t);
	return s;
}
