/* SPDX-License-Identifier: MIT */
/*
 * machine/test_adopt.c - what a successor makes of what it finds of xen/gntalloc, if not all is as it should be
 */
#include "tests/unit/machine/survive.h"

/* What daemons have died of is not done again: but nothing is left that nobody has. */
START_TEST(given_up)
{
	ck_assert_int_eq(run(OPEN), 0);
	fh = shared->fh;
	given_up_unique = shared->unique;
	succeed();
	ck_assert_uint_eq(n_opened, 0);
	ck_assert_int_eq(run(OPEN), 0);
	fh = shared->fh;
	set_alloc();
	ck_assert_int_eq(run(ALLOC), 0);
	succeed();
	check_held(N, 0, "open", 1);
	given_up_fh = fh;
	succeed();
	check_held(0, 0, "its release is given up", 0);
}
END_TEST

/* It dies with its pages: what is left of them is no reason not to go on. */
START_TEST(domain_gone)
{
	ck_assert_int_eq(run(OPEN), 0);
	fh = shared->fh;
	set_alloc();
	ck_assert_int_eq(run(ALLOC), 0);
	ck_assert_int_eq(sim_domain_remove(sim, DOMID), 0);
	succeed();
	check_held(0, 0, "its domain has gone", 0);
	ck_assert_uint_eq(n_opened, 1);
}
END_TEST

/* One page is mapped, and so the domain is dying still. */
START_TEST(domain_dies)
{
	struct hv_place at = { 0 };
	struct hv_grant g = { .domid = DOMID, .status = HV_PENDING };

	ck_assert_int_eq(run(OPEN), 0);
	fh = shared->fh;
	set_alloc();
	ck_assert_int_eq(run(ALLOC), 0);
	memcpy(&g.ref, shared->arg.bytes + ABI_ALLOC_GREFS_OFFSET, sizeof(g.ref));
	ck_assert_int_eq(hv->ops->map(hv, &g, 1, &at), 0);
	ck_assert_int_eq(g.status, GNTST_okay);
	ck_assert_int_eq(sim_domain_remove(sim, DOMID), 0);
	ck_assert_int_eq(sim_domain_state(sim, DOMID), SIM_DOMAIN_DYING);
	succeed();
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
	set_alloc();
	ck_assert_int_ne(run(ALLOC), 0);
}
END_TEST

START_TEST(a_user_has_so_many_opens)
{
	for (int nth = 0; nth < 2; nth++) {
		policy_limit_set(&ga->limits, POLICY_LIMIT_opens_per_user, 3);
		for (int i = nth ? 3 : 0; i < 3; i++)
			ck_assert_int_eq(run(OPEN), 0);
		fh = nth ? fh : shared->fh;
		ck_assert_int_eq(run(OPEN), -ENOSPC);
		succeed();
	}
	policy_limit_set(&ga->limits, POLICY_LIMIT_opens_per_user, 3);
	shared->fh = fh;
	run(RELEASE);
	ck_assert_int_eq(run(OPEN), 0);
	ck_assert_int_eq(run(OPEN), -ENOSPC);
	gntalloc_close_all(ga);
	ck_assert_int_eq(run(OPEN), 0);
}
END_TEST

static void *first_record(enum record_kind kind)
{
	uint32_t cursor = 0;

	return record_head(records, record_next(records, kind, &cursor));
}

/* Another device on the same records. */
static int try_to_adopt(void)
{
	struct gntalloc_config gc = { .name = "xen/gntalloc",
				      .sim = sim,
				      .windows = windows,
				      .domid = DOMID,
				      .limit = LIMIT,
				      .number = 1,
				      .records = records };
	struct gntalloc *other;
	int err;

	ck_assert_int_eq(gntalloc_new(&gc, &other), 0);
	err = gntalloc_adopt(other, &adoption);
	gntalloc_leave(other);
	return err;
}

/* Refused, and nothing is touched. */
START_TEST(damaged)
{
	struct alloc_page_lasting *p, page;
	struct alloc_open_lasting *o, open;

	ck_assert_int_eq(run(OPEN), 0);
	set_alloc();
	ck_assert_int_eq(run(ALLOC), 0);
	p = first_record(RECORD_ALLOC_PAGE);
	o = first_record(RECORD_ALLOC_OPEN);
	page = *p;
	open = *o;
#define WRONG(what, was, value)                                             \
	do {                                                                \
		(what) = (value);                                           \
		ck_assert_msg(try_to_adopt() == -EINVAL, #what " " #value); \
		(what) = (was);                                             \
	} while (0)
	WRONG(p->ref, page.ref, page.ref + 40);
	WRONG(p->ref, page.ref, 0);
	WRONG(p->frame, page.frame, page.frame + 1);
	WRONG(p->domid, page.domid, DOMID + 1);
	WRONG(p->index, page.index, page.index + 1);
	WRONG(p->state, page.state, 4);
	WRONG(o->next, open.next, 4097);
	WRONG(o->fh, open.fh, 0);
#undef WRONG
	ck_assert_int_eq(try_to_adopt(), 0);
	check_held(N, 0, "damaged", 0);
}
END_TEST

Suite *adopt_suite(void);

Suite *adopt_suite(void)
{
	const TTest *const tests[] = {
		given_up, domain_gone, domain_dies, a_user_has_so_many_opens, damaged,
	};

	return suite_of("gntalloc_adopt", tests, sizeof(tests) / sizeof(tests[0]), survive_setup,
			survive_teardown);
}
