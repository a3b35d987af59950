/* SPDX-License-Identifier: MIT */
/*
 * xen/test_xen.c - the Xen layer in an auto-translated dom0: mapping, failing, unmapping, quarantine
 */
#include "tests/unit/xen/rig.h"

#define MANY 1500

static const size_t sizes[] = { 1, 2, 512, 513, MANY };
#define N_SIZES (int)(sizeof(sizes) / sizeof(sizes[0]))

static uint64_t hypercalls(size_t n)
{
	return (n + JOURNAL_OPS - 1) / JOURNAL_OPS;
}

/* --- mapping ------------------------------------------------------------------------------------ */

START_TEST(map_and_unmap)
{
	size_t n = sizes[_i];
	struct hv_grant *g = map_ok(0, n, &writable);

	ck_assert_uint_eq(counts().handles, n);
	ck_assert_uint_eq(counts().away, n);
	ck_assert_uint_eq(fake->calls[FAKE_MAP], hypercalls(n));
	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], hypercalls(n));
	for (size_t i = 0; i < n; i++) {
		const struct fake_handle *h = &fake->handle[g[i].handle - FAKE_HANDLE_0];

		if (g[i].page != i || h->ref != g[i].ref || h->readonly)
			ck_abort_msg("grant %zu", i);
	}
	unmap_ok(g, n);
	ck_assert_uint_eq(counts().handles, 0);
	ck_assert_uint_eq(fake->calls[FAKE_UNMAP], hypercalls(n));
	/* Kept for the same open. */
	ck_assert_uint_eq(counts().away, n);
	ck_assert_uint_eq(fake->calls[FAKE_POPULATE], 0);
	hv->ops->open_gone(hv, writable.open_id);
	check_all();
	ck_assert_uint_eq(counts().away, 0);
	ck_assert_uint_eq(fake->calls[FAKE_POPULATE], hypercalls(n));
}
END_TEST

START_TEST(map_readonly)
{
	assert_readonly_grants();
}
END_TEST

/* The pages of one window are nobody else's, and those of several granters may be in one. */
START_TEST(map_of_two_domains)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 6);

	g[2].domid = g[5].domid = FAKE_OTHER;
	ck_assert_int_eq(map(g, 6, &writable), 0);
	ck_assert_uint_eq(count_status(g, 6, GNTST_okay), 6);
	ck_assert_uint_eq(fake_guest(FAKE_OTHER)->mapped[g[2].ref], 1);
	unmap_ok(g, 6);
}
END_TEST

START_TEST(one_bad_among_many)
{
	const size_t at[] = { 0, 511, 512, 700, MANY - 1 };
	struct hv_grant *g = grants(FAKE_FIRST, 0, MANY);
	int16_t status = GNTST_general_error;
	size_t bad = at[_i % 5];

	if (_i < 5) {
		fake_end_grant(FAKE_FIRST, g[bad].ref);
	} else if (_i < 10) {
		g[bad].ref = UINT32_MAX;
		status = GNTST_bad_gntref;
	} else {
		g[bad].domid = FAKE_NOBODY;
		status = GNTST_bad_domain;
	}
	ck_assert_int_eq(map(g, MANY, &writable), 0);
	ck_assert_int_eq(g[bad].status, status);
	ck_assert_uint_eq(count_status(g, MANY, GNTST_okay), MANY - 1);
	ck_assert_uint_eq(counts().handles, MANY - 1);
	ck_assert_uint_eq(counts().away, MANY);
	ck_assert_int_eq(unmap_all(g, MANY), 0);
	ck_assert_int_eq(g[bad].status, status);
	ck_assert_uint_eq(fake->ops[FAKE_UNMAP], MANY - 1);
	free(g);
}
END_TEST

START_TEST(statuses_that_xen_does_not_have)
{
	const int status[] = { 2, 32767, -14, -32768 };
	struct hv_grant *g = grants(FAKE_FIRST, 0, 2);

	for (int i = 0; i < 4; i++) {
		fake_refuse(FAKE_MAP, 0, 1, status[i]);
		ck_assert_int_eq(map(g, 2, &writable), 0);
		ck_assert_int_eq(g[0].status, GNTST_general_error);
		ck_assert_int_eq(g[1].status, GNTST_okay);
		ck_assert_int_eq(unmap_all(g, 2), 0);
		g[0].status = HV_PENDING;
	}
	/* JOURNAL_PENDING, although the hypercall went well. */
	fake_refuse(FAKE_MAP, 1, 1, JOURNAL_PENDING);
	ck_assert_int_eq(map(g, 2, &writable), 0);
	ck_assert_int_eq(g[1].status, GNTST_general_error);
	ck_assert_int_eq(unmap_all(g, 2), 0);
	free(g);
}
END_TEST

START_TEST(eagain_then_again)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, MANY);
	uint32_t slot;

	fake_refuse(FAKE_MAP, 510, 4, GNTST_eagain);
	ck_assert_int_eq(map(g, MANY, &writable), 0);
	ck_assert_uint_eq(count_status(g, MANY, GNTST_eagain), 4);
	ck_assert_int_eq(g[510].status, GNTST_eagain);
	ck_assert_int_eq(g[513].status, GNTST_eagain);
	slot = g[510].slot;
	for (size_t i = 510; i < 514; i++)
		g[i].status = HV_PENDING;
	/* Once more, for one of them. */
	fake_refuse(FAKE_MAP, 1, 1, GNTST_eagain);
	ck_assert_int_eq(map(g, MANY, &writable), 0);
	ck_assert_int_eq(g[511].status, GNTST_eagain);
	ck_assert_uint_eq(count_status(g, MANY, GNTST_okay), MANY - 1);
	g[511].status = HV_PENDING;
	ck_assert_int_eq(map(g, MANY, &writable), 0);
	ck_assert_uint_eq(count_status(g, MANY, GNTST_okay), MANY);
	ck_assert_uint_eq(g[510].slot, slot);
	ck_assert_uint_eq(g[511].page, 511);
	ck_assert_uint_eq(fake->ops[FAKE_MAP], MANY + 4 + 1);
	ck_assert_uint_eq(counts().away, MANY);
	unmap_ok(g, MANY);
}
END_TEST

/* What was given up after an eagain: the rest is unmapped, the window is as good as new. */
START_TEST(eagain_given_up)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 5);

	fake_refuse(FAKE_MAP, 2, 1, GNTST_eagain);
	ck_assert_int_eq(map(g, 5, &writable), 0);
	g[2].status = HV_PENDING;
	ck_assert_int_eq(unmap_all(g, 5), 0);
	ck_assert_uint_eq(count_status(g, 5, HV_PENDING), 5);
	free(g);
	g = map_ok(10, 5, &writable);
	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], 1);
	unmap_ok(g, 5);
}
END_TEST

/* The hypercall ends with an error when it has done some: those are not lost. */
START_TEST(map_fails_midway)
{
	const uint32_t after[] = { 0, 1, 3, 511, 512, 513, 1023, 1024, MANY - 1 };
	struct hv_grant *g = grants(FAKE_FIRST, 0, MANY);

	fake_break(FAKE_MAP, after[_i], -EFAULT);
	ck_assert_int_eq(map(g, MANY, &writable), -EFAULT);
	ck_assert_uint_eq(fake->ops[FAKE_MAP], after[_i]);
	ck_assert_uint_eq(fake->ops[FAKE_UNMAP], after[_i]);
	ck_assert_uint_eq(counts().handles, 0);
	/* A failed map() needs no unmap(), and bears one. */
	ck_assert_int_eq(unmap_all(g, MANY), 0);
	ck_assert_int_eq(map(g, MANY, &writable), 0);
	unmap_ok(g, MANY);
}
END_TEST

START_TEST(retry_fails_midway)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 9);

	fake_refuse(FAKE_MAP, 3, 3, GNTST_eagain);
	ck_assert_int_eq(map(g, 9, &writable), 0);
	for (int i = 3; i < 6; i++)
		g[i].status = HV_PENDING;
	fake_break(FAKE_MAP, 1, -EFAULT);
	ck_assert_int_eq(map(g, 9, &writable), -EFAULT);
	ck_assert_uint_eq(counts().handles, 0);
	ck_assert_uint_eq(fake->ops[FAKE_UNMAP], 7);
	free(g);
}
END_TEST

START_TEST(no_handles)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 600);

	fake->handle_max = 550;
	ck_assert_int_eq(map(g, 600, &writable), 0);
	ck_assert_uint_eq(count_status(g, 600, GNTST_okay), 550);
	ck_assert_uint_eq(count_status(g, 600, GNTST_no_space), 50);
	ck_assert_int_eq(unmap_all(g, 600), 0);
	free(g);
}
END_TEST

/* --- nothing to map with ------------------------------------------------------------------------ */

START_TEST(no_pins)
{
	const int err[] = { -ENOMEM, -EPERM, -EIO };
	struct hv_grant *g = grants(FAKE_FIRST, 0, 5);

	fake->pin_error = err[_i];
	ck_assert_int_eq(map(g, 5, &writable), err[_i]);
	ck_assert_uint_eq(counts().away, 0);
	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], 0);
	fake_heal();
	ck_assert_int_eq(map(g, 5, &writable), 0);
	unmap_ok(g, 5);
}
END_TEST

START_TEST(no_slots)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 5);

	/* The window is kept for the same open, with its slots. */
	map_with_four_slots(g, -ENOMEM);
	ck_assert_int_eq(map(g, 5, &writable), 0);
	unmap_ok(g, 5);
}
END_TEST

START_TEST(no_directory)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 2);

	ck_assert_int_eq(unlinkat(dirfd_, "pages", AT_REMOVEDIR), 0);
	ck_assert_int_eq(map(g, 2, &writable), -ENOENT);
	ck_assert_uint_eq(counts().away, 0);
	free(g);
}
END_TEST

/* Xen takes no more frames, or the call fails: those taken come back. */
START_TEST(frames_not_taken)
{
	const uint32_t takes[] = { 0, 1, 511, 512, 700, 1024, MANY - 1 };
	struct hv_grant *g = grants(FAKE_FIRST, 0, MANY);

	fake->take = takes[_i];
	ck_assert_int_eq(map(g, MANY, &writable), -ENOMEM);
	ck_assert_uint_eq(counts().away, 0);
	ck_assert_uint_eq(fake->ops[FAKE_POPULATE], takes[_i]);
	ck_assert_uint_eq(fake->calls[FAKE_MAP], 0);
	fake_heal();
	/* The call fails as a whole: its first pages stay, those of the calls before come back. */
	fake_break(FAKE_GIVE_BACK, takes[_i] / JOURNAL_OPS * JOURNAL_OPS, -EPERM);
	ck_assert_int_eq(map(g, MANY, &writable), -EPERM);
	ck_assert_uint_eq(counts().away, 0);
	ck_assert_int_eq(map(g, MANY, &writable), 0);
	unmap_ok(g, MANY);
}
END_TEST

START_TEST(frames_not_taken_and_none_to_give)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, MANY);

	fake->take = 700;
	fake->frames = 300;
	ck_assert_int_eq(map(g, MANY, &writable), -ENOMEM);
	ck_assert_uint_eq(counts().quarantined, 400);
	ck_assert_uint_eq(counts().away, 400);
	free(g);
}
END_TEST

/* --- quarantine --------------------------------------------------------------------------------- */

/* Pages in quarantine, after it was tried again. */
static void tend_leaves(uint64_t pages)
{
	ck_assert_ptr_null(hv->ops->tend(hv));
	check_all();
	ck_assert_uint_eq(counts().quarantined, pages);
}

START_TEST(refused_once)
{
	struct hv_grant *g = map_ok(0, 600, &writable);

	fake_refuse(FAKE_UNMAP, 520, 1, GNTST_general_error);
	ck_assert_int_eq(unmap_all(g, 600), 1);
	ck_assert_int_eq(g[520].status, GNTST_general_error);
	ck_assert_uint_eq(count_status(g, 600, HV_PENDING), 599);
	/* Tried again at once. */
	ck_assert_uint_eq(counts().quarantined, 0);
	ck_assert_uint_eq(counts().handles, 0);
	ck_assert_uint_eq(counts().away, 0);
	free(g);
}
END_TEST

START_TEST(refused_for_long)
{
	struct hv_grant *g = map_ok(0, 600, &writable);

	fake_refuse(FAKE_UNMAP, 520, UINT32_MAX, GNTST_general_error);
	ck_assert_int_eq(unmap_all(g, 600), 80);
	free(g);
	ck_assert_uint_eq(counts().quarantined, 80);
	ck_assert_uint_eq(counts().away, 80);
	ck_assert_uint_eq(counts().handles, 80);
	for (int i = 0; i < 3; i++) {
		tend_leaves(80);
	}
	/* It is nobody's window any more. */
	g = map_ok(0, 600, &writable);
	ck_assert_uint_eq(counts().handles, 680);
	fake_heal();
	fake_refuse(FAKE_UNMAP, 10, 70, GNTST_general_error);
	tend_leaves(70);
	fake_heal();
	tend_leaves(0);
	ck_assert_uint_eq(counts().handles, 600);
	ck_assert_uint_eq(counts().away, 600);
	unmap_ok(g, 600);
}
END_TEST

START_TEST(unmap_fails_midway)
{
	const uint32_t after[] = { 0, 1, 511, 512, 599 };
	struct hv_grant *g = map_ok(0, 600, &writable);

	/* Once: tried again when the window is put away. */
	fake_break(FAKE_UNMAP, after[_i], -EFAULT);
	ck_assert_int_gt(unmap_all(g, 600), 0);
	ck_assert_int_eq(g[after[_i]].status, GNTST_general_error);
	ck_assert_uint_eq(counts().handles, 0);
	ck_assert_uint_eq(counts().away, 0);
	free(g);
}
END_TEST

/* A map fails, and what it had mapped cannot be unmapped. */
START_TEST(map_and_unmap_fail)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 10);

	fake_break(FAKE_MAP, 5, -EFAULT);
	fake_refuse(FAKE_UNMAP, 3, UINT32_MAX, GNTST_general_error);
	ck_assert_int_eq(map(g, 10, &writable), -EFAULT);
	ck_assert_uint_eq(counts().quarantined, 2);
	ck_assert_uint_eq(counts().handles, 2);
	free(g);
}
END_TEST

/* Somebody else in dom0 unmapped it: the handle means nothing, the page has no frame. */
START_TEST(handle_gone)
{
	struct hv_grant *g = map_ok(0, 3, &writable);
	uint64_t addr = fake->handle[g[1].handle - FAKE_HANDLE_0].addr;
	struct gnttab_unmap_grant_ref op = { .host_addr = addr, .handle = g[1].handle };

	ck_assert_int_eq(privcmd_call(privcmd_fd(x->pc), __HYPERVISOR_grant_table_op,
				      GNTTABOP_unmap_grant_ref, (uintptr_t)&op, 1),
			 0);
	ck_assert_int_eq(unmap_all(g, 3), 1);
	ck_assert_int_eq(g[1].status, GNTST_bad_handle);
	ck_assert_uint_eq(counts().handles, 0);
	ck_assert_uint_eq(counts().quarantined, 0);
	ck_assert_uint_eq(counts().away, 0);
	free(g);
}
END_TEST

START_TEST(no_frames)
{
	struct hv_grant *g = map_ok(0, MANY, &writable);

	unmap_ok(g, MANY);
	fake->frames = 700;
	hv->ops->open_gone(hv, writable.open_id);
	check_all();
	ck_assert_uint_eq(counts().quarantined, 800);
	ck_assert_uint_eq(counts().away, 800);
	tend_leaves(800);
	fake->frames = 100;
	tend_leaves(700);
	/* A hypercall that fails is no reason to believe anything. */
	fake->frames = FAKE_FRAMES;
	fake_break(FAKE_POPULATE, 0, -EPERM);
	ck_assert_ptr_null(hv->ops->tend(hv));
	check_all();
	ck_assert_uint_gt(counts().quarantined, 0);
}
END_TEST

/* Several windows in quarantine, made and mended in different orders. */
START_TEST(many_in_quarantine)
{
	struct hv_grant *g[8];

	for (uint32_t i = 0; i < 8; i++)
		g[i] = map_ok(i * 16, 16, &(struct hv_place){ .open_id = 1 + i });
	fake->frames = 0;
	for (int i = 0; i < 8; i++) {
		fake_refuse(FAKE_UNMAP, 0, i % 2 ? UINT32_MAX : 0, GNTST_general_error);
		unmap_all(g[i], 16);
		free(g[i]);
	}
	for (uint64_t id = 1; id <= 8; id++)
		hv->ops->open_gone(hv, id);
	check_all();
	ck_assert_uint_eq(counts().quarantined, 128);
	for (uint32_t left = 128; left > 0; left -= 8) {
		fake_refuse(FAKE_UNMAP, 0, 0, 0);
		fake->frames = 8;
		tend_leaves(left - 8);
	}
}
END_TEST

/* --- windows for clients ------------------------------------------------------------------------ */

START_TEST(window_files)
{
	struct hv_grant *g = map_ok(0, 5, &writable), *r = map_ok(10, 3, &readonly);
	int fd[3], i;
	struct stat st[3];

	fd[0] = hv->ops->window_open(hv, dirfd_, "one", g, 5, &writable);
	fd[1] = hv->ops->window_open(hv, dirfd_, "two", g, 5, &writable);
	fd[2] = hv->ops->window_open(hv, dirfd_, "three", r, 3, &readonly);
	for (i = 0; i < 3; i++) {
		ck_assert_int_ge(fd[i], 0);
		ck_assert_int_eq(fstat(fd[i], &st[i]), 0);
		ck_assert_int_eq(fcntl(fd[i], F_GETFL) & O_ACCMODE, i < 2 ? O_RDWR : O_RDONLY);
		ck_assert_int_eq(fcntl(fd[i], F_GETFD), FD_CLOEXEC);
	}
	ck_assert_int_eq(faccessat(dirfd_, "one", F_OK, 0), -1);
	ck_assert_int_eq(st[0].st_size, 5 * 4096);
	ck_assert_int_eq(st[2].st_size, 3 * 4096);
	ck_assert_uint_eq(st[0].st_ino, st[1].st_ino);
	ck_assert_uint_ne(st[0].st_ino, st[2].st_ino);
	/* The name must not be there. */
	ck_assert_int_eq(mkdirat(dirfd_, "four", 0700), 0);
	ck_assert_int_eq(hv->ops->window_open(hv, dirfd_, "four", g, 5, &writable), -EEXIST);
	ck_assert_int_eq(unlinkat(dirfd_, "four", AT_REMOVEDIR), 0);
	for (i = 0; i < 3; i++)
		close(fd[i]);
	unmap_ok(g, 5);
	unmap_ok(r, 3);
}
END_TEST

/* --- the layer itself --------------------------------------------------------------------------- */

/* Xen has no frames when the daemon ends: the keeper stays with the pages, until it has. */
START_TEST(ends_in_quarantine)
{
	struct hv_grant *g = map_ok(0, 20, &writable);

	fake_refuse(FAKE_UNMAP, 0, UINT32_MAX, GNTST_general_error);
	fake->frames = 7;
	ck_assert_int_eq(unmap_all(g, 20), 20);
	free(g);
	g = map_ok(100, 10, &readonly);
	fake_refuse(FAKE_UNMAP, 0, 0, 0);
	unmap_ok(g, 10);
	fake_refuse(FAKE_UNMAP, 0, UINT32_MAX, GNTST_general_error);
	hv->ops->destroy(hv);
	release_keeper();
	ck_assert(fake_pins_held());
	fake_check();
	ck_assert_uint_eq(fake->handles, 20);
	fake_heal();
	for (int ms = 0; fake_pins_held(); ms += 10) {
		ck_assert_int_lt(ms, 5000);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	ck_assert(!fake->wrong[0]);
	ck_assert_uint_eq(fake->handles, 0);
	ck_assert_uint_eq(fake_pages(FAKE_HOLE) + fake_pages(FAKE_GRANT), 0);
	ck_assert_uint_eq(fake->reservation, FAKE_FRAMES);
	fake_free();
}
END_TEST

START_TEST(cannot_start)
{
	const char *why = NULL;
	struct hypervisor *none = NULL;

	fake_new(true, 1);
	make_dir();
	if (_i == 0) {
		fake->share_error = -ENOENT;
		ck_assert_int_eq(xen_start(&xen_pvh, dirfd_, NULL, &none, &why), -ENOENT);
		ck_assert_ptr_nonnull(strstr(why, "gntalloc"));
	} else if (_i == 1) {
		fake->pin_error = -ENOMEM;
		ck_assert_int_eq(xen_start(&xen_pvh, dirfd_, NULL, &none, &why), -ENOMEM);
		ck_assert_ptr_nonnull(strstr(why, "pin"));
	} else {
		int fd = openat(dirfd_, "pages", O_CREAT | O_WRONLY, 0600);

		ck_assert_int_eq(xen_start(&xen_pvh, dirfd_, NULL, &none, &why), -ENOTDIR);
		ck_assert_ptr_nonnull(strstr(why, "directory"));
		close(fd);
		unlinkat(dirfd_, "pages", 0);
	}
	ck_assert_ptr_null(none);
	ck_assert(!fake_pins_held());
	fake->batches = (1U << JOURNAL_BATCHES) - 1;
	end_machine();
}
END_TEST

static void add_mapping(Suite *s)
{
	TCase *tc = tcase_create("map");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, map_and_unmap, 0, N_SIZES);
	tcase_add_test(tc, map_readonly);
	tcase_add_test(tc, map_of_two_domains);
	tcase_add_loop_test(tc, one_bad_among_many, 0, 15);
	tcase_add_test(tc, statuses_that_xen_does_not_have);
	tcase_add_test(tc, eagain_then_again);
	tcase_add_test(tc, eagain_given_up);
	tcase_add_loop_test(tc, map_fails_midway, 0, 9);
	tcase_add_test(tc, retry_fails_midway);
	tcase_add_test(tc, no_handles);
	tcase_add_loop_test(tc, no_pins, 0, 3);
	tcase_add_test(tc, no_slots);
	tcase_add_test(tc, no_directory);
	tcase_add_loop_test(tc, frames_not_taken, 0, 7);
	tcase_add_test(tc, frames_not_taken_and_none_to_give);
	tcase_add_test(tc, window_files);
	suite_add_tcase(s, tc);
}

static void add_quarantine(Suite *s)
{
	TCase *tc = tcase_create("quarantine");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, refused_once);
	tcase_add_test(tc, refused_for_long);
	tcase_add_loop_test(tc, unmap_fails_midway, 0, 5);
	tcase_add_test(tc, map_and_unmap_fail);
	tcase_add_test(tc, handle_gone);
	tcase_add_test(tc, no_frames);
	tcase_add_test(tc, many_in_quarantine);
	suite_add_tcase(s, tc);
}

/* What Xen says of its limit is a number in a text, or is not believed. */
static const struct {
	struct fake_param param;
	uint64_t max;
} params[] = {
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, 5, "1024" }, 1024 * 256 },
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, 2, "64" }, 64 * 256 },
	{ { -ENOSYS, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, 5, "1024" }, 0 },
	{ { 0, XEN_HYPFS_TYPE_UINT, XEN_HYPFS_ENC_PLAIN, 5, "1024" }, 0 },
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_GZIP, 5, "1024" }, 0 },
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, 65, "1024" }, 0 },
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, UINT32_MAX, "1024" }, 0 },
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, 0, "1024" }, 0 },
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, 5, "many" }, 0 },
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, 6, "1024k" }, 0 },
	{ { 0, XEN_HYPFS_TYPE_STRING, XEN_HYPFS_ENC_PLAIN, 12, "99999999999" }, 0 },
};

START_TEST(maptrack_limit_is_told)
{
	fake_maptrack_frames = params[_i].param;
	setup();
	ck_assert_uint_eq(counts().handle_max, params[_i].max);
	teardown();
}
END_TEST

Suite *xen_suite(void)
{
	Suite *s = suite_create("xen");
	TCase *tc;

	add_mapping(s);
	add_quarantine(s);
	tc = tcase_create("life");
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, ends_in_quarantine);
	suite_add_tcase(s, tc);
	tc = tcase_create("start");
	tcase_add_loop_test(tc, cannot_start, 0, 3);
	tcase_add_loop_test(tc, maptrack_limit_is_told, 0,
			    (int)(sizeof(params) / sizeof(params[0])));
	suite_add_tcase(s, tc);
	return s;
}
