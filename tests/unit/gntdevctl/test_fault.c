/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_fault.c - gntdevctl fault, on canned answers
 */
#include <check.h>
#include <string.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "tests/unit/gntdevctl/rig.h"

#define END "{\"end\":{\"waiting\":2,\"released\":3}}\n"

static const struct canned canned[] = {
	{ "\"add\":\"map:x\"", "{\"error\":{\"code\":\"EINVAL\",\"text\":\"no such key\"}}\n" },
	{ "\"do\":\"fault\"", "{\"fault\":{\"spec\":\"map:status=\\u001beagain\"}}\n" END },
	{ 0 },
};

START_TEST(asks_for_what_was_said)
{
	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_fault, ""), CTL_DONE);
	has(ctl_rig_out, "map:status=?eagain\n2 operations wait\n");
	ck_assert_ptr_null(strstr(ctl_rig_requests(), "\"add\""));
	ck_assert_ptr_null(strstr(ctl_rig_requests(), "\"list\""));
	ck_assert_int_eq(ctl_rig_run(ctl_fault, "add map:status=eagain"), CTL_DONE);
	has(ctl_rig_requests(), "\"add\":\"map:status=eagain\"");
	ck_assert_int_eq(ctl_rig_run(ctl_fault, "clear"), CTL_DONE);
	has(ctl_rig_requests(), "\"clear\":true");
	ck_assert_int_eq(ctl_rig_run(ctl_fault, "release"), CTL_DONE);
	has(ctl_rig_requests(), "\"release\":true");
	has(ctl_rig_out, "3 operations that waited go on\n");
	ck_assert_int_eq(ctl_rig_run(ctl_fault, "--json"), CTL_DONE);
	has(ctl_rig_out, "\"waiting\":2");
}
END_TEST

START_TEST(what_is_wrong_is_told)
{
	ctl_rig_start(canned);
	ck_assert_int_ne(ctl_rig_run(ctl_fault, "add map:x"), CTL_DONE);
	has(ctl_rig_err, "no such key");
	ck_assert_int_eq(ctl_rig_run(ctl_fault, "add"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_fault, "release x"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_fault, "add x y"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_fault, "begin"), CTL_USAGE);
	has(ctl_rig_err, "\"begin\": \"list\", \"add\", \"clear\" or \"release\" is wanted");
}
END_TEST

Suite *fault_suite(void);
Suite *fault_suite(void)
{
	Suite *s = suite_create("ctl_fault");
	TCase *tc = tcase_create("fault");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, asks_for_what_was_said);
	tcase_add_test(tc, what_is_wrong_is_told);
	suite_add_tcase(s, tc);
	return s;
}
