/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_policy.c - gntdevctl policy show and explain, on canned answers
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "tests/unit/gntdevctl/rig.h"
#include "tests/unit/suite.h"

/* As it would stand in a file; what is in it is no more trusted than anything else. */
START_TEST(the_policy_is_shown)
{
	static const struct canned canned[] = {
		{ "\"do\":\"policy\"",
		  "{\"rule\":{\"name\":\"a\",\"file\":\"/etc/\\u001bx\",\"line\":4,\"user\":[0],"
		  "\"group\":[4711,4712],\"unit\":[\"q-*.service\"],\"domid\":[\"1-9\",\"12\"],"
		  "\"action\":\"allow\",\"pv_descriptor\":true}}\n"
		  "{\"rule\":{\"name\":\"b\",\"file\":\"/etc/y\",\"line\":1,\"action\":\"deny\","
		  "\"left_out\":true}}\n"
		  "{\"end\":{\"files\":[],\"rules\":2,\"loaded\":1500000000123456789,"
		  "\"error\":\"/etc/z:1: no\",\"limits\":{\"maps\":0,\"pages\":70},"
		  "\"pv_descriptor\":\"root\"}}\n" },
		{ 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "show"), CTL_DONE);
	has(ctl_rig_out, "# /etc/?x:4\nrule \"a\" { user = root  group = {4711, 4712}  unit = "
			 "'q-*.service'  domid = {'1-9', '12'}  action = allow  pv_descriptor = "
			 "yes }\n"
			 "# /etc/y:1\nrule \"b\" { action = deny } # and more in its lists\n"
			 "limit {\n\tpages = 70\n}\npv_descriptor = root\n");
	has(ctl_rig_out, "# a later one was refused: /etc/z:1: no\n");
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "show --json"), CTL_DONE);
	has(ctl_rig_out, "{\"rule\":{\"name\":\"a\"");
	has(ctl_rig_out, "\"pages\":70");
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "show x"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "show --pid 1"), CTL_USAGE);
}
END_TEST

START_TEST(explain_names_the_rule)
{
	static const struct canned canned[] = {
		{ "\"pid\":5,",
		  "{\"end\":{\"action\":\"deny\",\"pv\":false,\"rule\":\"none of it\","
		  "\"file\":\"/etc/x.conf\",\"line\":12,\"default\":false,\"who\":{\"uid\":0,"
		  "\"gid\":0,\"command\":\"sh\",\"unit\":\"\",\"cgroup\":\"/c\"}}}\n" },
		{ "\"pid\":6,", "{\"end\":{\"action\":\"read-only\",\"pv\":true,\"default\":true,"
				"\"who\":{}}}\n" },
		{ "\"pid\":7,", "{\"error\":{\"code\":\"ENOENT\",\"text\":\"no process 7\"}}\n" },
		{ 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "explain --pid 5 --domid 3"), CTL_BAD);
	has(ctl_rig_out,
	    "process 5 may not map pages of domain 3\n"
	    "  why      rule \"none of it\", /etc/x.conf:12, is the first that matches\n");
	has(ctl_rig_out, "user root, group 0, command sh, control group /c\n");
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "explain --pid 6 --domid 3"), CTL_DONE);
	has(ctl_rig_out,
	    "process 6 may map to read only pages of domain 3\n  why      no rule matches");
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "explain --pid 7 --domid 3"), CTL_BAD);
	has(ctl_rig_err, "no process 7");
}
END_TEST

/* --- test ------------------------------------------------------------------------------------- */

static char dir[] = "/tmp/test-policy-XXXXXX", table[64], conf[64], line[256];

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fchmod(fileno(f), 0644);
	fputs(text, f);
	fclose(f);
}

/* Return: the exit status of a test of this table. */
static int tested(const char *text, const char *options)
{
	put(table, text);
	snprintf(line, sizeof(line), "test %s %s %s", table, conf, options);
	return ctl_rig_run(ctl_policy, line);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(table, sizeof(table), "%s/table", dir);
	snprintf(conf, sizeof(conf), "%s/conf", dir);
	put(conf, "rule \"dom0\" { domid = 0  action = deny }\n"
		  "rule \"qemu\" { unit = \"qemu-*.service\"  action = allow }\n"
		  "rule \"shell\" { cgroup = \"/user.slice/*\"  user = 1000  action = read-only }\n"
		  "rule \"group of them\" { group = 4711  action = allow }\n"
		  "rule \"others\" { user = {root, 5}  action = deny }\n");
}

static void teardown(void)
{
	unlink(table);
	unlink(conf);
	rmdir(dir);
}

START_TEST(a_policy_says_what_is_expected)
{
	ck_assert_int_eq(tested("# all\n\n"
				"user=root unit=qemu-3            7  allow  qemu\n"
				"user=root unit=qemu-3.service    0  deny   dom0   # really\n"
				"\tuser=root\t7\tdeny\n"
				"user=1000 cgroup=/user.slice/a   7  read-only shell\n"
				"user=1000                        7  allow\n"
				"user=5 group=4711 group=12       7  allow  group of them  \n"
				"user=5 group=4712                7  deny   others\n",
				""),
			 CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "7 of 7 are as expected\n");
	ck_assert_int_eq(tested("user=5 7 deny", "--no-legend"), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "");
	ck_assert_int_eq(tested("user=5 7 deny", "--json"), CTL_DONE);
	has(ctl_rig_out, "\"line\":1,\"question\":\"user=5 7 deny\",\"good\":true,"
			 "\"action\":\"deny\",\"rule\":\"others\"}}\n");
}
END_TEST

START_TEST(a_policy_says_something_else)
{
	ck_assert_int_eq(
		tested("user=5 7 allow\nuser=6 0 deny qemu\nuser=6 1 deny\nuser=5 7 deny", ""),
		CTL_BAD);
	has(ctl_rig_out, "/table:1: user=5 7 allow\n       it is deny, by rule \"others\", ");
	has(ctl_rig_out, "/conf:5\n");
	has(ctl_rig_out, "/table:2: user=6 0 deny qemu\n       it is deny, by rule \"dom0\", ");
	has(ctl_rig_out, "/table:3: user=6 1 deny\n       it is allow, as no rule matches\n");
	has(ctl_rig_out, "\n1 of 4 are as expected\n");
}
END_TEST

static const struct {
	const char *table;
	const char *said;
} mistakes[] = {
	{ "user=root", "table:1: a domain is wanted, 0 to 32751" },
	{ "user=root 32752 deny", "table:1: 32752: a domain is wanted" },
	{ "user=root -1 deny", "table:1: -1: a domain is wanted" },
	{ "user=root 7", "table:1: \"allow\", \"read-only\" or \"deny\" is wanted" },
	{ "user=root 7 denied", "table:1: denied: \"allow\"" },
	{ "unit=a 7 deny", "table:1: user=NAME is wanted" },
	{ "user= 7 deny", "table:1: user=: a value is wanted" },
	{ "user=nosuchuser 7 deny", "table:1: there is no user \"nosuchuser\"" },
	{ "user=0 group=nosuchgroup 7 deny", "table:1: there is no group \"nosuchgroup\"" },
	{ "user=0 uint=a 7 deny", "table:1: \"uint\": \"user\", \"group\", \"unit\"" },
	{ "user=0 cgroup=a 7 deny", "table:1: cgroup=a: a path from the root is wanted" },
	{ "# nothing\n", "table: there is no line in it that asks anything" },
};

START_TEST(a_table_has_a_mistake)
{
	ck_assert_int_eq(tested(mistakes[_i].table, ""), CTL_BAD);
	has(ctl_rig_err, mistakes[_i].said);
}
END_TEST

START_TEST(what_is_tested_has_to_be_there)
{
	put(conf, "rule { }\n");
	ck_assert_int_eq(tested("user=0 7 deny", ""), CTL_BAD);
	has(ctl_rig_err, "/conf:1: ");
	unlink(conf);
	ck_assert_int_eq(tested("user=0 7 deny", ""), CTL_BAD);
	has(ctl_rig_err, "No such file");
	snprintf(line, sizeof(line), "test %s/none %s", dir, conf);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, line), CTL_FAILED);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "test"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "test a b c"), CTL_USAGE);
}
END_TEST

Suite *policy_suite(void);

Suite *policy_suite(void)
{
	const TTest *const tests[] = { the_policy_is_shown, explain_names_the_rule };
	Suite *s = suite_of("ctl_policy", tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL);
	TCase *tc = tcase_create("test");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_policy_says_what_is_expected);
	tcase_add_test(tc, a_policy_says_something_else);
	tcase_add_loop_test(tc, a_table_has_a_mistake, 0,
			    (int)(sizeof(mistakes) / sizeof(mistakes[0])));
	tcase_add_test(tc, what_is_tested_has_to_be_there);
	suite_add_tcase(s, tc);
	return s;
}
