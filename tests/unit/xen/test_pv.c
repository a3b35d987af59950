/* SPDX-License-Identifier: MIT */
/*
 * xen/test_pv.c - the Xen layer in a PV dom0: the daemon holds the grants, clients get frame numbers
 */
#include "tests/unit/xen/rig.h"

static void setup_v1(void)
{
	setup_pv(1);
}

static void setup_v2(void)
{
	setup_pv(2);
}

static void set_frame(uint32_t ref, uint64_t frame)
{
	struct fake_guest *guest = fake_guest(FAKE_FIRST);

	if (guest->version == 1)
		guest->table.v1[ref].frame = (uint32_t)frame;
	else
		guest->table.v2[ref].full_page.frame = frame;
}

START_TEST(map_and_unmap)
{
	const size_t sizes[] = { 1, 2, 512, 513, 1500 };
	size_t n = sizes[_i];
	struct hv_grant *g;

	/* Each in the entry of its own. */
	for (uint32_t ref = 0; ref < FAKE_REFS; ref++)
		set_frame(ref, 0x5000 + ref);
	g = map_ok(100, n, &writable);
	ck_assert_uint_eq(counts().handles, n);
	ck_assert_uint_eq(counts().away, 0);
	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], 0);
	for (size_t i = 0; i < n; i++)
		if (g[i].page != 0x5000 + g[i].ref)
			ck_abort_msg("page 0x%llx of ref %u", (unsigned long long)g[i].page,
				     g[i].ref);
	unmap_ok(g, n);
	ck_assert_uint_eq(counts().handles, 0);
	ck_assert_uint_eq(fake->calls[FAKE_POPULATE], 0);
}
END_TEST

START_TEST(map_readonly)
{
	assert_readonly_grants();
}
END_TEST

START_TEST(several_domains)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 5);

	g[4].domid = FAKE_OTHER;
	ck_assert_int_eq(map(g, 5, &writable), -EXDEV);
	ck_assert_uint_eq(fake->calls[FAKE_MAP], 0);
	g[4].domid = FAKE_FIRST;
	ck_assert_int_eq(map(g, 5, &writable), 0);
	unmap_ok(g, 5);
}
END_TEST

START_TEST(one_bad_then_again)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 600);

	fake_refuse(FAKE_MAP, 555, 1, GNTST_eagain);
	ck_assert_int_eq(map(g, 600, &writable), 0);
	ck_assert_int_eq(g[555].status, GNTST_eagain);
	/* Not read before all are mapped. */
	ck_assert_uint_eq(fake->tables, 0);
	g[555].status = HV_PENDING;
	ck_assert_int_eq(map(g, 600, &writable), 0);
	ck_assert_uint_eq(g[555].page, FAKE_FRAME(g[555].ref));
	unmap_ok(g, 600);
	g = grants(FAKE_NOBODY, 0, 2);
	ck_assert_int_eq(map(g, 2, &writable), 0);
	ck_assert_uint_eq(count_status(g, 2, GNTST_bad_domain), 2);
	ck_assert_int_eq(unmap_all(g, 2), 0);
	free(g);
}
END_TEST

START_TEST(map_fails_midway)
{
	const uint32_t after[] = { 0, 1, 511, 512, 599 };
	struct hv_grant *g = grants(FAKE_FIRST, 0, 600);

	fake_break(FAKE_MAP, after[_i], -EFAULT);
	ck_assert_int_eq(map(g, 600, &writable), -EFAULT);
	ck_assert_uint_eq(fake->ops[FAKE_UNMAP], after[_i]);
	ck_assert_uint_eq(counts().handles, 0);
	ck_assert_int_eq(map(g, 600, &writable), 0);
	unmap_ok(g, 600);
}
END_TEST

/* --- frame numbers ------------------------------------------------------------------------------ */

START_TEST(frame_zero)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 3);

	set_frame(1, 0);
	ck_assert_int_eq(map(g, 3, &writable), -EINVAL);
	ck_assert_uint_eq(counts().handles, 0);
	set_frame(1, 1);
	ck_assert_int_eq(map(g, 3, &writable), 0);
	ck_assert_uint_eq(g[1].page, 1);
	unmap_ok(g, 3);
}
END_TEST

START_TEST(frame_too_large)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 3);

	set_frame(0, 1ULL << 40);
	ck_assert_int_eq(map(g, 3, &writable), -EINVAL);
	set_frame(0, UINT64_MAX);
	ck_assert_int_eq(map(g, 3, &writable), -EINVAL);
	ck_assert_uint_eq(counts().handles, 0);
	set_frame(0, (1ULL << 40) - 1);
	ck_assert_int_eq(map(g, 3, &writable), 0);
	ck_assert_uint_eq(g[2].page, (1ULL << 40) - 1);
	unmap_ok(g, 3);
}
END_TEST

START_TEST(no_table)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 1500);

	for (uint32_t k = 0; k < 3; k++) {
		fake->table_fail = k;
		ck_assert_int_eq(map(g, 1500, &writable), -ENOMEM);
		ck_assert_uint_eq(counts().handles, 0);
		/* Nothing of it is kept for the next round. */
		hv->ops->tend(hv);
		hv->ops->tend(hv);
		ck_assert_uint_eq(fake->tables, 0);
	}
	fake_heal();
	ck_assert_int_eq(map(g, 1500, &writable), 0);
	unmap_ok(g, 1500);
}
END_TEST

START_TEST(no_version)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 2);

	fake_break(FAKE_VERSION, 0, -EPERM);
	ck_assert_int_eq(map(g, 2, &writable), -EPERM);
	ck_assert_uint_eq(counts().handles, 0);
	fake_guest(FAKE_FIRST)->version = 3;
	ck_assert_int_eq(map(g, 2, &writable), -EIO);
	ck_assert_uint_eq(counts().handles, 0);
	free(g);
}
END_TEST

static uint32_t table_frames(uint16_t domid)
{
	const struct fake_guest *guest = fake_guest(domid);

	return FAKE_REFS *
	       (guest->version == 1 ? sizeof(guest->table.v1[0]) : sizeof(guest->table.v2[0])) /
	       4096;
}

/* From the frames of three guests in turn: each is read once. */
START_TEST(scattered_references)
{
	const uint32_t frames = table_frames(FAKE_FIRST), each = FAKE_REFS / frames;
	struct hv_grant *g;

	for (uint32_t round = 0; round < 3; round++)
		for (uint32_t frame = 0; frame < frames; frame++)
			for (uint16_t i = 0; i < 3; i++) {
				g = grants((uint16_t)(FAKE_FIRST + i), frame * each + round, 1);
				ck_assert_int_eq(map(g, 1, &writable), 0);
				ck_assert_uint_eq(g[0].page, FAKE_FRAME(g[0].ref));
				unmap_ok(g, 1);
			}
	ck_assert_uint_eq(fake->calls[FAKE_VERSION], 3 * frames);
	ck_assert_uint_eq(fake->tables, 3 * frames);
}
END_TEST

START_TEST(tables_of_many_guests)
{
	struct hv_grant *g;

	for (int round = 0; round < 3; round++)
		for (uint16_t domid = FAKE_FIRST; domid < FAKE_FIRST + FAKE_GUESTS; domid++) {
			g = grants(domid, 0, FAKE_REFS);
			ck_assert_int_eq(map(g, FAKE_REFS, &writable), 0);
			for (size_t i = 0; i < FAKE_REFS; i++)
				if (g[i].page != FAKE_FRAME(g[i].ref))
					ck_abort_msg("ref %u", g[i].ref);
			unmap_ok(g, FAKE_REFS);
			/* The first and the last of them have the same places. */
			ck_assert_uint_le(fake->tables, 4 * table_frames(domid));
		}
	/* A domain that has ended could not vanish. */
	hv->ops->tend(hv);
	hv->ops->tend(hv);
	ck_assert_uint_eq(fake->tables, 0);
}
END_TEST

/* Its kernel was replaced by another, which wants the other layout. */
START_TEST(version_changes)
{
	struct fake_guest *guest = fake_guest(FAKE_FIRST);

	unmap_ok(map_ok(0, 3, &writable), 3);
	hv->ops->tend(hv);
	hv->ops->tend(hv);
	guest->version = 3 - guest->version;
	memset(&guest->table, 0, sizeof(guest->table));
	grant_all(guest);
	struct hv_grant *g = map_ok(700, 3, &writable);

	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(g[i].page, FAKE_FRAME(g[i].ref));
	unmap_ok(g, 3);
}
END_TEST

/* --- what cannot be unmapped ---------------------------------------------------------------------- */

static void end_with_keeper(void)
{
	hv->ops->destroy(hv);
	end_keeper();
	ck_assert(!fake_pins_held());
	end_machine();
}

START_TEST(unmap_refused)
{
	struct hv_grant *g = map_ok(0, 600, &writable);

	fake_refuse(FAKE_UNMAP, 510, 4, GNTST_general_error);
	ck_assert_int_eq(unmap_all(g, 600), 4);
	ck_assert_uint_eq(count_status(g, 600, GNTST_general_error), 4);
	ck_assert_int_eq(g[510].status, GNTST_general_error);
	free(g);
	ck_assert_uint_eq(counts().quarantined, 4);
	ck_assert_uint_eq(counts().handles, 4);
	/* Its slots are nobody else's. */
	g = map_ok(0, 600, &writable);
	unmap_ok(g, 600);
	ck_assert_uint_eq(counts().handles, 4);
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
	end_with_keeper();
}
END_TEST

START_TEST(unmap_fails_midway)
{
	struct hv_grant *g = map_ok(0, 600, &writable);

	fake_break(FAKE_UNMAP, 515, -EFAULT);
	ck_assert_int_eq(unmap_all(g, 600), 85);
	free(g);
	ck_assert_uint_eq(counts().quarantined, 85);
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
	end_with_keeper();
}
END_TEST

START_TEST(no_slots)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 5);

	map_with_four_slots(g, 0);
	free(g);
}
END_TEST

/* --- windows ------------------------------------------------------------------------------------ */

START_TEST(window_descriptors)
{
	struct hv_grant *g = grants(FAKE_OTHER, 0, 3);
	int fd;

	ck_assert_int_eq(map(g, 3, &readonly), 0);
	fd = hv->ops->window_open(hv, dirfd_, "window", g, 3, &readonly);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_uint_eq(fake->node.domid, FAKE_OTHER);
	ck_assert(fake->node.readonly);
	fd = hv->ops->window_open(hv, dirfd_, "window", g, 3, &writable);
	close(fd);
	ck_assert(!fake->node.readonly);
	fake->node_error = -EPERM;
	ck_assert_int_eq(hv->ops->window_open(hv, dirfd_, "window", g, 3, &writable), -EPERM);
	ck_assert_uint_eq(fake->node.number, 2);
	hv->ops->open_gone(hv, 1);
	unmap_ok(g, 3);
}
END_TEST

static void add(Suite *s, const char *name, void (*with)(void), bool v2)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, with, teardown);
	tcase_add_loop_test(tc, map_and_unmap, 0, 5);
	tcase_add_test(tc, map_readonly);
	tcase_add_test(tc, several_domains);
	tcase_add_test(tc, one_bad_then_again);
	tcase_add_loop_test(tc, map_fails_midway, 0, 5);
	tcase_add_test(tc, frame_zero);
	if (v2)
		tcase_add_test(tc, frame_too_large);
	tcase_add_test(tc, no_table);
	tcase_add_test(tc, no_version);
	tcase_add_test(tc, scattered_references);
	tcase_add_test(tc, tables_of_many_guests);
	tcase_add_test(tc, version_changes);
	tcase_add_test(tc, no_slots);
	tcase_add_test(tc, window_descriptors);
	suite_add_tcase(s, tc);
}

Suite *pv_suite(void)
{
	Suite *s = suite_create("xen_pv");
	TCase *tc = tcase_create("lost");

	add(s, "v1", setup_v1, false);
	add(s, "v2", setup_v2, true);
	tcase_add_checked_fixture(tc, setup_v1, NULL);
	tcase_add_test(tc, unmap_refused);
	tcase_add_test(tc, unmap_fails_midway);
	suite_add_tcase(s, tc);
	return s;
}
