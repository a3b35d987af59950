/* SPDX-License-Identifier: MIT */
/*
 * sim/test_sim.c - the simulated hypervisor: statuses and their order, pins, handles, copies
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/sim/rig.h"
#include "tests/unit/suite.h"

/* --- statuses ---------------------------------------------------------------------------------- */

START_TEST(status_names)
{
	ck_assert_str_eq(hv_status_name(GNTST_okay), "okay");
	ck_assert_str_eq(hv_status_name(GNTST_bad_gntref), "bad_gntref");
	ck_assert_str_eq(hv_status_name(GNTST_no_space), "no_space");
	ck_assert_str_eq(hv_status_name(1), "unknown");
	ck_assert_str_eq(hv_status_name(-14), "unknown");
	ck_assert_int_eq(hv_status_check(GNTST_no_space), GNTST_no_space);
	ck_assert_int_eq(hv_status_check(-14), GNTST_general_error);
	ck_assert_int_eq(hv_status_check(1), GNTST_general_error);
	ck_assert_int_eq(hv_status_check(INT32_MIN), GNTST_general_error);
}
END_TEST

START_TEST(map_and_unmap)
{
	struct hv_grant g = op(GRANTER, grant(frame[3], false));
	struct hv_counts c;

	ck_assert_int_eq(flags(g.ref), GTF_permit_access);
	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	ck_assert_uint_eq(g.page, frame[3]);
	ck_assert_int_eq(flags(g.ref), GTF_permit_access | GTF_reading | GTF_writing);
	hv->ops->counts(hv, &c);
	ck_assert_uint_eq(c.handles, 1);
	ck_assert_uint_eq(c.handle_max, HANDLES);
	unmap1(&g);
	ck_assert_int_eq(flags(g.ref), GTF_permit_access);
	hv->ops->counts(hv, &c);
	ck_assert_uint_eq(c.handles, 0);
}
END_TEST

START_TEST(map_skips_what_is_not_pending)
{
	struct hv_grant g[3] = { op(GRANTER, grant(frame[0], false)), op(NOBODY, 1),
				 op(GRANTER, grant(frame[1], false)) };

	g[1].status = GNTST_eagain;
	ck_assert_int_eq(hv->ops->map(hv, g, 3, &writable), 0);
	ck_assert_int_eq(g[0].status, GNTST_okay);
	ck_assert_int_eq(g[1].status, GNTST_eagain);
	ck_assert_int_eq(g[2].status, GNTST_okay);
	/* A second call leaves what is mapped alone. */
	ck_assert_int_eq(hv->ops->map(hv, g, 3, &writable), 0);
	ck_assert_uint_eq(counts().pins, 2);
	/* And unmap passes over what is not mapped. */
	ck_assert_int_eq(hv->ops->unmap(hv, g, 3), 0);
	ck_assert_int_eq(g[1].status, GNTST_eagain);
	ck_assert_uint_eq(counts().pins, 0);
}
END_TEST

START_TEST(map_later_ones_although_one_failed)
{
	struct hv_grant g[3] = { op(GRANTER, grant(frame[0], false)), op(GRANTER, 400),
				 op(GRANTER, grant(frame[1], false)) };

	ck_assert_int_eq(hv->ops->map(hv, g, 3, &writable), 0);
	ck_assert_int_eq(g[0].status, GNTST_okay);
	ck_assert_int_eq(g[1].status, GNTST_general_error);
	ck_assert_int_eq(g[2].status, GNTST_okay);
	ck_assert_int_eq(hv->ops->unmap(hv, g, 3), 0);
}
END_TEST

START_TEST(map_bad_domain)
{
	ck_assert_int_eq(map_ref(NOBODY, 8, &writable), GNTST_bad_domain);
	ck_assert_int_eq(map_ref(DOMID_SELF, 8, &writable), GNTST_bad_domain);
	ck_assert_int_eq(map_ref(SIM_DOMID_MAX, 8, &writable), GNTST_bad_domain);
	ck_assert_int_eq(map_ref(0xffff, 8, &writable), GNTST_bad_domain);
}
END_TEST

START_TEST(map_bad_gntref)
{
	ck_assert_int_eq(map_ref(GRANTER, SIM_GRANTS_PER_FRAME, &writable), GNTST_bad_gntref);
	ck_assert_int_eq(map_ref(GRANTER, UINT32_MAX, &writable), GNTST_bad_gntref);
	/* Inside the table, but not granted. */
	ck_assert_int_eq(map_ref(GRANTER, SIM_GRANTS_PER_FRAME - 1, &writable),
			 GNTST_general_error);
	ck_assert_int_eq(map_ref(GRANTER, 0, &writable), GNTST_general_error);
}
END_TEST

START_TEST(map_general_error)
{
	uint32_t ro = grant(frame[0], true), wrong, rw = grant(frame[1], false);
	struct hv_grant g = op(GRANTER, ro);

	ck_assert_int_eq(map_ref(GRANTER, ro, &writable), GNTST_general_error);
	ck_assert_int_eq(flags(ro), GTF_permit_access | GTF_readonly);
	ck_assert_int_eq(map1(&g, &readonly), GNTST_okay);
	ck_assert_int_eq(flags(ro), GTF_permit_access | GTF_readonly | GTF_reading);
	/* Also when it is mapped already. */
	ck_assert_int_eq(map_ref(GRANTER, ro, &writable), GNTST_general_error);
	unmap1(&g);

	ck_assert_int_eq(sim_grant(sim, GRANTER, OTHER, frame[0], false, &wrong), 0);
	ck_assert_int_eq(map_ref(GRANTER, wrong, &readonly), GNTST_general_error);

	sim_grant_entry(sim, GRANTER, rw)->flags = GTF_permit_access | GTF_sub_page;
	ck_assert_int_eq(map_ref(GRANTER, rw, &readonly), GNTST_general_error);
	sim_grant_entry(sim, GRANTER, rw)->flags = GTF_accept_transfer;
	ck_assert_int_eq(map_ref(GRANTER, rw, &readonly), GNTST_general_error);
	ck_assert_uint_eq(counts().pins, 0);
	ck_assert_uint_eq(counts().handles, 0);
}
END_TEST

START_TEST(map_bad_page)
{
	uint32_t ref = grant(frame[0], false), theirs;

	ck_assert_int_eq(sim_domain_add(sim, OTHER), 0);
	ck_assert_int_eq(sim_frames_alloc(sim, OTHER, 1, &theirs), 0);
	/* A guest that grants what it does not have. */
	sim_grant_entry(sim, GRANTER, ref)->frame = theirs;
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_bad_page);
	sim_grant_entry(sim, GRANTER, ref)->frame = 0;
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_bad_page);
	sim_grant_entry(sim, GRANTER, ref)->frame = UINT32_MAX;
	ck_assert_int_eq(map_ref(GRANTER, ref, &readonly), GNTST_bad_page);
	ck_assert_int_eq(flags(ref), GTF_permit_access);
	sim_grant_entry(sim, GRANTER, ref)->frame = frame[0];
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, frame, 1), 0);
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_bad_page);
	ck_assert_uint_eq(counts().pins, 0);
}
END_TEST

/* bad_domain before no_space before bad_gntref before all that is in the entry. */
START_TEST(map_order_of_checks)
{
	struct hv_grant g[HANDLES];
	uint32_t ref = grant(frame[0], false);

	for (int i = 0; i < HANDLES; i++)
		g[i] = op(GRANTER, ref);
	ck_assert_int_eq(hv->ops->map(hv, g, HANDLES, &writable), 0);
	ck_assert_int_eq(g[HANDLES - 1].status, GNTST_okay);
	ck_assert_int_eq(map_ref(NOBODY, 8, &writable), GNTST_bad_domain);
	ck_assert_int_eq(map_ref(GRANTER, UINT32_MAX, &writable), GNTST_no_space);
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_no_space);
	ck_assert_int_eq(hv->ops->unmap(hv, g, 1), 0);
	ck_assert_int_eq(map_ref(GRANTER, UINT32_MAX, &writable), GNTST_bad_gntref);
	ck_assert_int_eq(map1(&g[0], &writable), GNTST_okay);
	ck_assert_int_eq(hv->ops->unmap(hv, g, HANDLES), 0);
	ck_assert_uint_eq(counts().handles, 0);
}
END_TEST

START_TEST(reserved_refs)
{
	uint32_t ref;

	for (int i = 0; i < 20; i++)
		ck_assert_uint_ge(grant(frame[0], false), GNTTAB_NR_RESERVED_ENTRIES);
	ck_assert_int_eq(sim_grant_reserved(sim, GRANTER, 1, 0, frame[1], false), 0);
	ck_assert_int_eq(sim_grant_reserved(sim, GRANTER, 1, 0, frame[2], false), -EBUSY);
	ck_assert_int_eq(sim_grant_reserved(sim, GRANTER, 2, 0, 0, false), -EINVAL);
	ck_assert_int_eq(
		sim_grant_reserved(sim, GRANTER, GNTTAB_NR_RESERVED_ENTRIES, 0, frame[1], false),
		-EINVAL);
	ck_assert_int_eq(sim_grant_reserved(sim, NOBODY, 1, 0, frame[1], false), -ENOENT);
	ck_assert_int_eq(map_ref(GRANTER, 1, &writable), GNTST_okay);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, 1), -EBUSY);
	ck_assert_int_eq(sim_grant(sim, GRANTER, 0, PAGES + 1, false, &ref), -EINVAL);
	ck_assert_int_eq(sim_grant(sim, NOBODY, 0, frame[1], false, &ref), -ENOENT);
}
END_TEST

/* --- pins -------------------------------------------------------------------------------------- */

static void map_many(struct hv_grant *g, int n, uint32_t ref, const struct hv_place *at)
{
	for (int i = 0; i < n; i++)
		g[i] = op(GRANTER, ref);
	ck_assert_int_eq(hv->ops->map(hv, g, (size_t)n, at), 0);
}

START_TEST(pin_overflow)
{
	struct hv_grant rw[129], ro[129];
	uint32_t ref;

	teardown();
	make_sim(&(struct sim_config){ .memory_pages = PAGES });
	ref = grant(frame[0], false);
	map_many(rw, 129, ref, &writable);
	ck_assert_int_eq(rw[127].status, GNTST_okay);
	ck_assert_int_eq(rw[128].status, GNTST_general_error);
	/* Readers are counted apart. */
	map_many(ro, 129, ref, &readonly);
	ck_assert_int_eq(ro[127].status, GNTST_okay);
	ck_assert_int_eq(ro[128].status, GNTST_general_error);
	ck_assert_uint_eq(counts().pins, 256);
	ck_assert_int_eq(hv->ops->unmap(hv, rw, 128), 0);
	ck_assert_int_eq(flags(ref), GTF_permit_access | GTF_reading);
	ck_assert_int_eq(hv->ops->unmap(hv, ro, 128), 0);
	ck_assert_int_eq(flags(ref), GTF_permit_access);
	ck_assert_uint_eq(counts().handles, 0);
}
END_TEST

START_TEST(pins_decide_flags)
{
	uint32_t ref = grant(frame[0], false);
	struct hv_grant ro = op(GRANTER, ref), rw = ro, rw2 = ro;

	ck_assert_int_eq(map1(&ro, &readonly), GNTST_okay);
	ck_assert_int_eq(flags(ref), GTF_permit_access | GTF_reading);
	ck_assert_int_eq(map1(&rw, &writable), GNTST_okay);
	ck_assert_int_eq(map1(&rw2, &writable), GNTST_okay);
	ck_assert_int_eq(flags(ref), GTF_permit_access | GTF_reading | GTF_writing);
	unmap1(&rw);
	ck_assert_int_eq(flags(ref), GTF_permit_access | GTF_reading | GTF_writing);
	unmap1(&ro);
	ck_assert_int_eq(flags(ref), GTF_permit_access | GTF_reading | GTF_writing);
	unmap1(&rw2);
	ck_assert_int_eq(flags(ref), GTF_permit_access);
}
END_TEST

/* A guest clears or changes its entry under a mapping: nothing happens to the mapping. */
START_TEST(entry_changes_while_pinned)
{
	uint32_t ref = grant(frame[0], false);
	struct hv_grant g = op(GRANTER, ref), again = g;

	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	sim_grant_entry(sim, GRANTER, ref)->flags = 0;
	sim_grant_entry(sim, GRANTER, ref)->frame = frame[1];
	ck_assert_int_eq(map1(&again, &writable), GNTST_okay);
	ck_assert_uint_eq(again.page, frame[0]);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, ref), -EBUSY);
	unmap1(&again);
	/* Mapped writable already: Xen does not look at the entry again. */
	sim_grant_entry(sim, GRANTER, ref)->flags = GTF_permit_access | GTF_readonly;
	again.status = HV_PENDING;
	ck_assert_int_eq(map1(&again, &writable), GNTST_okay);
	unmap1(&again);
	unmap1(&g);
	sim_grant_entry(sim, GRANTER, ref)->flags = 0;
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_general_error);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, ref), 0);
}
END_TEST

/* A flag that is not the hypervisor's doing is not the hypervisor's to clear. */
START_TEST(guest_sets_writing)
{
	struct hv_grant g = op(GRANTER, grant(frame[0], false));

	sim_grant_entry(sim, GRANTER, g.ref)->flags |= GTF_writing;
	ck_assert_int_eq(map1(&g, &readonly), GNTST_okay);
	unmap1(&g);
	ck_assert_int_eq(flags(g.ref), GTF_permit_access | GTF_writing);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, g.ref), -EBUSY);
}
END_TEST

START_TEST(self_grant)
{
	uint32_t f, ref;
	struct hv_grant g;

	ck_assert_int_eq(sim_frames_alloc(sim, 0, 1, &f), 0);
	ck_assert_int_eq(sim_grant(sim, 0, 0, f, false, &ref), 0);
	g = op(0, ref);
	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	unmap1(&g);
}
END_TEST

/* --- handles ----------------------------------------------------------------------------------- */

START_TEST(handles_are_checked)
{
	struct hv_grant g = op(GRANTER, grant(frame[0], false)), other, bad;

	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	bad = g;
	bad.handle = g.handle + 1;
	ck_assert_int_eq(hv->ops->unmap(hv, &bad, 1), 1);
	ck_assert_int_eq(bad.status, GNTST_bad_handle);
	bad = g;
	bad.handle = UINT32_MAX;
	ck_assert_int_eq(hv->ops->unmap(hv, &bad, 1), 1);
	ck_assert_int_eq(bad.status, GNTST_bad_handle);
	bad = g;
	bad.ref++;
	ck_assert_int_eq(hv->ops->unmap(hv, &bad, 1), 1);
	ck_assert_int_eq(bad.status, GNTST_general_error);
	bad = g;
	bad.domid = NOBODY;
	ck_assert_int_eq(hv->ops->unmap(hv, &bad, 1), 1);
	ck_assert_int_eq(bad.status, GNTST_general_error);
	ck_assert_uint_eq(counts().handles, 1);

	/* Unmapped once, then its slot is used by a map of the same grant: still a bad handle. */
	other = g;
	unmap1(&g);
	g.status = HV_PENDING;
	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	ck_assert_int_eq(hv->ops->unmap(hv, &other, 1), 1);
	ck_assert_int_eq(other.status, GNTST_bad_handle);
	ck_assert_uint_eq(counts().handles, 1);
	unmap1(&g);
}
END_TEST

START_TEST(failed_maps_cost_no_handle)
{
	for (int i = 0; i < 3 * HANDLES; i++)
		ck_assert_int_eq(map_ref(GRANTER, 100, &writable), GNTST_general_error);
	ck_assert_int_eq(map_ref(GRANTER, grant(frame[0], false), &writable), GNTST_okay);
}
END_TEST

/* --- revoking ---------------------------------------------------------------------------------- */

START_TEST(revoke_now)
{
	uint32_t ref = grant(frame[0], false);
	struct hv_grant g = op(GRANTER, ref);

	ck_assert_int_eq(sim_revoke(sim, GRANTER, 400), -ENOENT);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, UINT32_MAX), -ENOENT);
	ck_assert_int_eq(sim_revoke(sim, NOBODY, ref), -ENOENT);
	ck_assert_int_eq(map1(&g, &readonly), GNTST_okay);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, ref), -EBUSY);
	ck_assert_int_eq(flags(ref), GTF_permit_access | GTF_reading);
	unmap1(&g);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, ref), 0);
	ck_assert_int_eq(flags(ref), 0);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, ref), -ENOENT);
	ck_assert_int_eq(map_ref(GRANTER, ref, &readonly), GNTST_general_error);
	ck_assert_uint_eq(counts().grants, 0);
	/* The reference is used again. */
	ck_assert_uint_eq(grant(frame[1], false), ref);
}
END_TEST

START_TEST(revoke_later)
{
	uint32_t ref = grant(frame[0], false);
	struct hv_grant g = op(GRANTER, ref), again = g;
	uint64_t frames = counts().frames;

	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	ck_assert_int_eq(sim_revoke_later(sim, GRANTER, ref, true), 1);
	ck_assert_int_eq(sim_revoke_later(sim, GRANTER, ref, true), -ENOENT);
	ck_assert_uint_eq(counts().grants, 1);
	ck_assert_uint_ne(grant(frame[1], false), ref);
	ck_assert_int_eq(map1(&again, &writable), GNTST_okay);
	unmap1(&g);
	ck_assert_uint_eq(counts().frames, frames);
	unmap1(&again);
	ck_assert_uint_eq(counts().frames, frames - 1);
	ck_assert_uint_eq(counts().grants, 1);
	ck_assert_int_eq(flags(ref), 0);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, frame, 1), -EINVAL);

	/* At once if it is not mapped; without the frame if so asked. */
	ref = grant(frame[2], false);
	ck_assert_int_eq(sim_revoke_later(sim, GRANTER, ref, false), 0);
	ck_assert_int_eq(sim_revoke_later(sim, GRANTER, ref, false), -ENOENT);
	ck_assert_int_eq(sim_revoke_later(sim, GRANTER, 9999, false), -ENOENT);
	ck_assert_uint_eq(counts().frames, frames - 1);
}
END_TEST

START_TEST(table_grows_to_its_limit)
{
	uint32_t limit = 2 * SIM_GRANTS_PER_FRAME, ref;

	teardown();
	make_sim(&(struct sim_config){ .memory_pages = PAGES, .grant_frames_max = 2 });
	ck_assert_ptr_null(sim_grant_entry(sim, GRANTER, SIM_GRANTS_PER_FRAME));
	for (uint32_t i = GNTTAB_NR_RESERVED_ENTRIES; i < limit; i++)
		ck_assert_uint_eq(grant(frame[i % N_FRAMES], false), i);
	ck_assert_int_eq(sim_grant(sim, GRANTER, 0, frame[0], false, &ref), -ENOSPC);
	ck_assert_int_eq(map_ref(GRANTER, limit - 1, &writable), GNTST_okay);
	ck_assert_int_eq(map_ref(GRANTER, limit, &writable), GNTST_bad_gntref);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, 100), 0);
	ck_assert_uint_eq(grant(frame[0], false), 100);
}
END_TEST

/* --- copy -------------------------------------------------------------------------------------- */

static int16_t copy1(struct hv_copy c)
{
	c.status = HV_PENDING;
	ck_assert_int_eq(hv->ops->copy(hv, &c, 1), 0);
	ck_assert_uint_eq(counts().pins, 0);
	return c.status;
}

static struct hv_copy_ref side(uint32_t ref, uint16_t offset)
{
	return (struct hv_copy_ref){ .ref = ref, .domid = GRANTER, .offset = offset };
}

START_TEST(copy_each_way)
{
	uint32_t a = grant(frame[0], true), b = grant(frame[1], false);
	char *mem_a = sim_frame_memory(sim, frame[0]), *mem_b = sim_frame_memory(sim, frame[1]);
	char buf[4096] = "from the daemon";

	put(mem_a + 100, "from the guest");
	ck_assert_int_eq(
		copy1((struct hv_copy){ .src = side(a, 100), .dst = side(b, 4000), .len = 15 }),
		GNTST_okay);
	ck_assert_str_eq(mem_b + 4000, "from the guest");
	ck_assert_int_eq(copy1((struct hv_copy){ .src_local = buf, .dst = side(b, 7), .len = 16 }),
			 GNTST_okay);
	ck_assert_str_eq(mem_b + 7, "from the daemon");
	ck_assert_int_eq(
		copy1((struct hv_copy){ .src = side(b, 0), .dst_local = buf, .len = 4096 }),
		GNTST_okay);
	ck_assert_mem_eq(buf, mem_b, 4096);
	/* Within one page, overlapping. */
	put(mem_b, "abcdef");
	ck_assert_int_eq(copy1((struct hv_copy){ .src = side(b, 0), .dst = side(b, 2), .len = 6 }),
			 GNTST_okay);
	ck_assert_mem_eq(mem_b, "ababcdef", 8);
	ck_assert_int_eq(flags(a), GTF_permit_access | GTF_readonly);
	ck_assert_int_eq(flags(b), GTF_permit_access);
}
END_TEST

START_TEST(copy_statuses)
{
	uint32_t ro = grant(frame[0], true), rw = grant(frame[1], false);
	struct hv_copy_ref nobody = { .domid = NOBODY, .ref = 8 };
	struct hv_copy_ref bad = side(UINT32_MAX, 0), in = side(rw, 0);
	char buf[4096];

#define COPY(...) copy1((struct hv_copy){ __VA_ARGS__ })
	ck_assert_int_eq(COPY(.src = nobody, .dst_local = buf, .len = 1), GNTST_bad_domain);
	ck_assert_int_eq(COPY(.src_local = buf, .dst = nobody, .len = 1), GNTST_bad_domain);
	ck_assert_int_eq(COPY(.src = bad, .dst_local = buf, .len = 1), GNTST_bad_gntref);
	ck_assert_int_eq(COPY(.src_local = buf, .dst = bad, .len = 1), GNTST_bad_gntref);
	ck_assert_int_eq(COPY(.src_local = buf, .dst = side(ro, 0), .len = 1), GNTST_general_error);
	ck_assert_int_eq(COPY(.src = side(100, 0), .dst_local = buf, .len = 1),
			 GNTST_general_error);
	ck_assert_int_eq(COPY(.src = side(rw, 4090), .dst_local = buf, .len = 7),
			 GNTST_bad_copy_arg);
	ck_assert_int_eq(COPY(.src_local = buf, .dst = side(rw, 1), .len = 4096),
			 GNTST_bad_copy_arg);
	ck_assert_int_eq(COPY(.src_local = buf, .dst_local = buf, .len = 4097), GNTST_bad_copy_arg);
	ck_assert_int_eq(COPY(.src = side(rw, 65535), .dst_local = buf, .len = 65535),
			 GNTST_bad_copy_arg);
	/* Order: both domains before any reference, references before bounds, source first. */
	ck_assert_int_eq(COPY(.src = bad, .dst = nobody, .len = 1), GNTST_bad_domain);
	ck_assert_int_eq(COPY(.src = side(100, 0), .dst = bad, .len = 1), GNTST_general_error);
	ck_assert_int_eq(COPY(.src = side(rw, 4096), .dst = side(ro, 0), .len = 1),
			 GNTST_general_error);
	/* Nothing to copy: nothing is looked at. */
	ck_assert_int_eq(COPY(.src = nobody, .dst = bad, .len = 0), GNTST_okay);
	/* Unlike map. */
	in.domid = DOMID_SELF;
	ck_assert_int_eq(COPY(.src = in, .dst_local = buf, .len = 1), GNTST_general_error);
	in.domid = DOMID_IO;
	ck_assert_int_eq(COPY(.src = in, .dst_local = buf, .len = 1), GNTST_bad_domain);
	sim_grant_entry(sim, GRANTER, rw)->frame = 0;
	ck_assert_int_eq(COPY(.src = side(rw, 0), .dst_local = buf, .len = 1), GNTST_bad_page);
#undef COPY
}
END_TEST

START_TEST(copy_later_ones_although_one_failed)
{
	uint32_t rw = grant(frame[1], false);
	struct hv_copy c[4] = {
		{ .src_local = "1", .dst = side(rw, 0), .len = 1, .status = HV_PENDING },
		{ .src_local = "2", .dst = side(100, 0), .len = 1, .status = HV_PENDING },
		{ .src_local = "3", .dst = side(rw, 1), .len = 1, .status = HV_PENDING },
		{ .src_local = "4", .dst = side(rw, 2), .len = 1, .status = GNTST_bad_page },
	};

	ck_assert_int_eq(hv->ops->copy(hv, c, 4), 0);
	ck_assert_int_eq(c[0].status, GNTST_okay);
	ck_assert_int_eq(c[1].status, GNTST_general_error);
	ck_assert_int_eq(c[2].status, GNTST_okay);
	/* Not pending: passed over. */
	ck_assert_int_eq(c[3].status, GNTST_bad_page);
	ck_assert_mem_eq(sim_frame_memory(sim, frame[1]), "13\0", 3);
}
END_TEST

START_TEST(clear_byte)
{
	struct hv_grant g = op(GRANTER, grant(frame[1], false));
	char *mem = sim_frame_memory(sim, frame[1]);

	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	memset(mem, 'x', 4096);
	hv->ops->clear_byte(hv, &g, 4095);
	ck_assert_int_eq(mem[4095], 0);
	ck_assert_int_eq(mem[4094], 'x');
	unmap1(&g);
}
END_TEST

Suite *sim_suite(void);

Suite *sim_suite(void)
{
	const TTest *const tests[] = {
		status_names,
		map_and_unmap,
		map_skips_what_is_not_pending,
		map_later_ones_although_one_failed,
		map_bad_domain,
		map_bad_gntref,
		map_general_error,
		map_bad_page,
		map_order_of_checks,
		reserved_refs,
		pin_overflow,
		pins_decide_flags,
		entry_changes_while_pinned,
		guest_sets_writing,
		self_grant,
		handles_are_checked,
		failed_maps_cost_no_handle,
		revoke_now,
		revoke_later,
		table_grows_to_its_limit,
		copy_each_way,
		copy_statuses,
		copy_later_ones_although_one_failed,
		clear_byte,
	};

	return suite_of("sim", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
