/* SPDX-License-Identifier: MIT */
/*
 * xen/test_start.c - the Xen layer when there is no memory as it starts
 */
#include <stdlib.h>

/* Memory runs out at the allocation whose turn it is: the sources are compiled in for that. */
static int allocations_left;

static void *scarce_calloc(size_t n, size_t size)
{
	return --allocations_left == 0 ? NULL : calloc(n, size);
}

#define calloc(n, size) scarce_calloc(n, size)
/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "xen/event.c"
#include "xen/start.c"
/* NOLINTEND(bugprone-suspicious-include) */
#undef calloc

#include "tests/unit/xen/rig.h"

static void check_nothing_is_pinned(void)
{
	/* Our end is open until pins are made. */
	ck_assert(fake_pins_pipe[1] >= 0 || !fake_pins_held());
}

/* On a machine of its own. Return: whether @allocations were more than enough. */
static bool start_with(const struct xen_mode *mode, int allocations)
{
	const char *why = NULL;
	int err;

	fake_new(mode->translated, 1);
	make_dir();
	allocations_left = allocations;
	hv = NULL;
	err = xen_start(mode, dirfd_, NULL, &hv, &why);
	if (err) {
		ck_assert_int_eq(err, -ENOMEM);
		ck_assert_str_eq(why, "no memory");
		ck_assert_ptr_null(hv);
	} else {
		hv->ops->destroy(hv);
	}
	check_nothing_is_pinned();
	fake_free();
	remove_dir();
	return !err;
}

/* Whichever allocation fails, it is said, and nothing is left of the start. */
START_TEST(no_memory)
{
	const struct xen_mode *modes[] = { &xen_pvh, &xen_pv };
	int failed = 0;

	while (!start_with(modes[_i], failed + 1))
		failed++;
	ck_assert_int_ge(failed, 2);
}
END_TEST

Suite *start_suite(void);

Suite *start_suite(void)
{
	Suite *s = suite_create("xen_start");
	TCase *t = tcase_create("start");

	tcase_add_loop_test(t, no_memory, 0, 2);
	suite_add_tcase(s, t);
	return s;
}
