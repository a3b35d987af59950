/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_policy.c - gntdevctl policy show and explain, on canned answers
 */
#include <check.h>
#include <string.h>

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

Suite *policy_suite(void);

Suite *policy_suite(void)
{
	const TTest *const tests[] = { the_policy_is_shown, explain_names_the_rule };

	return suite_of("ctl_policy", tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL);
}
