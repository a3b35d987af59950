/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_upgrade.c - what can take over is asked of the keeper where no daemon answers
 */
#include "gntdevctl/commands.h"
#include "tests/unit/gntdevctl/rig.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/suite.h"

static int running(void)
{
	char line[128];

	snprintf(line, sizeof(line), "--running --run-dir=%s", dir);
	return ctl_rig_run(ctl_upgrade, line);
}

START_TEST(a_keeper_knows_it)
{
	int held = start_other(true, -1, 3600, "/bin/false", sizeof("/bin/false"));

	/* Its daemon serves, but no control socket: it may hang. Then it is dead. */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(running(), CTL_DONE);
		ck_assert_str_eq(ctl_rig_out, "7\n");
		if (!i)
			other_dies();
	}
	close(held);
}
END_TEST

START_TEST(nobody_is_there)
{
	/* It listens when it answers. */
	first_hello();
	ck_assert_int_eq(running(), CTL_FAILED);
	ck_assert_ptr_nonnull(strstr(ctl_rig_err, "has not been told what it holds"));
	kill(keeper, SIGSTOP);
	ck_assert_int_eq(running(), CTL_FAILED);
	ck_assert_ptr_nonnull(strstr(ctl_rig_err, "nor does the keeper"));
	kill(keeper, SIGKILL);
	ck_assert_int_eq(waitpid(keeper, NULL, 0), keeper);
	/* One that was killed holds nothing. */
	ck_assert_int_eq(running(), CTL_UNREACHABLE);
	unlink(path);
	ck_assert_int_eq(running(), CTL_UNREACHABLE);
}
END_TEST

Suite *upgrade_suite(void);

Suite *upgrade_suite(void)
{
	const TTest *const tests[] = { a_keeper_knows_it, nobody_is_there };

	return suite_of("upgrade", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
