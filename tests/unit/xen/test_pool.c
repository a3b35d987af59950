/* SPDX-License-Identifier: MIT */
/*
 * xen/test_pool.c - windows that are kept in an auto-translated dom0: who may use them again, how many
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/unit/descriptors.h"
#include "tests/unit/xen/rig.h"

/* As in xen/pvh.c. */
#define POOL_PAGES 4096

static const struct hv_place other_open = { .open_id = 2 };

static void map_unmap(uint32_t first, size_t n, const struct hv_place *at)
{
	unmap_ok(map_ok(first, n, at), n);
}

/* Map and unmap. Return: how many windows had to be made. */
static uint64_t made(size_t n, const struct hv_place *at)
{
	uint64_t before = fake->ops[FAKE_GIVE_BACK];

	map_unmap(0, n, at);
	return (fake->ops[FAKE_GIVE_BACK] - before) / n;
}

/* --- who ---------------------------------------------------------------------------------------- */

START_TEST(same_open_same_size)
{
	ck_assert_uint_eq(made(5, &writable), 1);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(made(5, &writable), 0);
	ck_assert_uint_eq(made(4, &writable), 1);
	ck_assert_uint_eq(made(5, &writable), 0);
	ck_assert_uint_eq(counts().away, 9);
	ck_assert_uint_eq(fake->calls[FAKE_POPULATE], 0);
}
END_TEST

START_TEST(not_while_in_use)
{
	struct hv_grant *a = map_ok(0, 5, &writable), *b = map_ok(0, 5, &writable);

	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], 2);
	unmap_ok(a, 5);
	unmap_ok(b, 5);
	a = map_ok(7, 5, &writable);
	b = map_ok(8, 5, &writable);
	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], 2);
	unmap_ok(a, 5);
	unmap_ok(b, 5);
}
END_TEST

START_TEST(not_another_open)
{
	ck_assert_uint_eq(made(5, &writable), 1);
	ck_assert_uint_eq(made(5, &other_open), 1);
	ck_assert_uint_eq(made(5, &writable), 0);
	ck_assert_uint_eq(made(5, &other_open), 0);
}
END_TEST

/* Many opens share a bucket of the hash. */
START_TEST(not_another_open_of_many)
{
	for (uint64_t id = 1; id <= 3000; id++)
		ck_assert_uint_eq(made(1, &(struct hv_place){ .open_id = id << 32 }), 1);
	ck_assert_uint_eq(counts().away, 3000);
	for (uint64_t id = 1; id <= 3000; id += 100)
		ck_assert_uint_eq(made(1, &(struct hv_place){ .open_id = id << 32 }), 0);
	for (uint64_t id = 1; id <= 3000; id++)
		hv->ops->open_gone(hv, id << 32);
	check_all();
	ck_assert_uint_eq(counts().away, 0);
}
END_TEST

/* More than are looked at in one go, some in use, beside those of another open in the same bucket of the hash. */
START_TEST(many_of_an_open)
{
	static struct hv_grant *g[2000];
	const struct hv_place at[] = { { .open_id = 1 }, { .open_id = 2 }, { .open_id = 988 } };

	for (uint32_t i = 0; i < 2000; i++)
		g[i] = map_ok(i, 1, &at[i % 3]);
	for (uint32_t i = 0; i < 1000; i++)
		unmap_ok(g[i], 1);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(made(1, &at[i]), 0);
		hv->ops->open_gone(hv, at[i].open_id);
		check_all();
		ck_assert_uint_eq(counts().away, 1000 + (i == 0 ? 666 : i == 1 ? 333 : 0));
	}
	for (uint32_t i = 1000; i < 2000; i++)
		unmap_ok(g[i], 1);
	ck_assert_uint_eq(counts().away, 0);
	ck_assert_uint_eq(made(1, &at[0]), 1);
}
END_TEST

START_TEST(not_another_domain)
{
	struct hv_grant *g = grants(FAKE_OTHER, 0, 5);

	ck_assert_uint_eq(made(5, &writable), 1);
	ck_assert_int_eq(map(g, 5, &writable), 0);
	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], 2);
	unmap_ok(g, 5);
	ck_assert_uint_eq(made(5, &writable), 0);
}
END_TEST

/* Of several domains: never again. */
START_TEST(not_after_two_domains)
{
	struct hv_grant *g = grants(FAKE_OTHER, 0, 5);

	g[4].domid = FAKE_FIRST;
	ck_assert_int_eq(map(g, 5, &writable), 0);
	unmap_ok(g, 5);
	ck_assert_uint_eq(counts().away, 0);
}
END_TEST

START_TEST(not_after_close)
{
	struct hv_grant *g = map_ok(0, 5, &writable), *h = map_ok(0, 6, &other_open);

	map_unmap(0, 7, &writable);
	hv->ops->open_gone(hv, writable.open_id);
	check_all();
	/* The idle one went at once, that in use is still there. */
	ck_assert_uint_eq(counts().away, 11);
	ck_assert_uint_eq(counts().handles, 11);
	unmap_ok(g, 5);
	ck_assert_uint_eq(counts().away, 6);
	unmap_ok(h, 6);
	ck_assert_uint_eq(counts().away, 6);
	hv->ops->open_gone(hv, other_open.open_id);
	ck_assert_uint_eq(counts().away, 0);
	hv->ops->open_gone(hv, 12345);
	check_all();
}
END_TEST

/* The bound on frames that are away: what is idle counts, and goes before anybody is refused. */
START_TEST(frames_are_bounded)
{
	struct hv_grant *a, *b = grants(FAKE_FIRST, 20, 5);

	hv->ops->limit_away(hv, 10);
	a = map_ok(0, 6, &writable);
	ck_assert_int_eq(map(b, 5, &other_open), -EDQUOT);
	ck_assert_uint_eq(counts().away, 6);
	unmap_ok(a, 6);
	/* Idle, and of another open. */
	ck_assert_uint_eq(counts().away, 6);
	ck_assert_int_eq(map(b, 5, &other_open), 0);
	ck_assert_uint_eq(counts().away, 5);
	/* Exactly full. */
	a = map_ok(0, 5, &writable);
	ck_assert_uint_eq(counts().away, 10);
	unmap_ok(a, 5);
	unmap_ok(b, 5);
	/* Lowered below what is away: nothing is taken, nothing new is given. */
	a = map_ok(0, 5, &writable);
	hv->ops->limit_away(hv, 3);
	b = grants(FAKE_FIRST, 20, 4);
	ck_assert_int_eq(map(b, 4, &other_open), -EDQUOT);
	hv->ops->limit_away(hv, 0);
	ck_assert_int_eq(map(b, 4, &other_open), 0);
	unmap_ok(b, 4);
	unmap_ok(a, 5);
	check_all();
}
END_TEST

/* What could not be made takes nothing for good. */
START_TEST(a_failed_window_is_not_counted)
{
	hv->ops->limit_away(hv, 5);
	for (int i = 0; i < 3; i++) {
		struct hv_grant *g = grants(FAKE_FIRST, 0, 5);

		fake->pin_error = -ENOMEM;
		ck_assert_int_ne(map(g, 5, &writable), 0);
		free(g);
	}
	fake->pin_error = 0;
	unmap_ok(map_ok(0, 5, &writable), 5);
}
END_TEST

START_TEST(again_after_failure)
{
	struct hv_grant *g = grants(FAKE_FIRST, 0, 5);

	fake_end_grant(FAKE_FIRST, 2);
	ck_assert_int_eq(map(g, 5, &writable), 0);
	ck_assert_int_eq(unmap_all(g, 5), 0);
	free(g);
	g = map_ok(10, 5, &writable);
	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], 1);
	unmap_ok(g, 5);
}
END_TEST

START_TEST(not_after_refused_unmap)
{
	struct hv_grant *g = map_ok(0, 5, &writable);

	fake_refuse(FAKE_UNMAP, 3, 1, GNTST_general_error);
	ck_assert_int_eq(unmap_all(g, 5), 1);
	free(g);
	ck_assert_uint_eq(counts().away, 0);
	ck_assert_uint_eq(made(5, &writable), 1);
}
END_TEST

/* --- how many ----------------------------------------------------------------------------------- */

/* The longest unused goes first. */
START_TEST(bounded)
{
	struct hv_grant *g[9];
	size_t size, total = 0;

	for (size_t i = 0; i < 9; i++)
		g[i] = map_ok(0, 500 + i, &writable);
	for (size_t i = 0; i < 9; i++) {
		size = 500 + i;
		total += size;
		unmap_ok(g[i], size);
		/* Eight of them have room. */
		ck_assert_uint_eq(counts().away, i < 8 ? 4536 : total - 500);
	}
	ck_assert_uint_eq(made(501, &writable), 0);
	/* Now 502 is the longest unused, and has to go for this one. */
	ck_assert_uint_eq(made(500, &writable), 1);
	ck_assert_uint_eq(counts().away, total - 502);
	ck_assert_uint_eq(made(501, &writable), 0);
	ck_assert_uint_eq(made(503, &writable), 0);
	/* Other opens' count, too; and large ones push out several. */
	ck_assert_uint_eq(made(2048, &other_open), 1);
	ck_assert_uint_le(counts().away, POOL_PAGES);
	ck_assert_uint_eq(made(503, &writable), 0);
	ck_assert_uint_eq(made(504, &writable), 1);
}
END_TEST

/* The process may have fewer of them than there are windows. */
START_TEST(windows_hold_no_descriptors)
{
	struct hv_grant *g[50];
	int before = open_descriptors();

	for (uint32_t i = 0; i < 50; i++)
		g[i] = map_ok(i, 1, &writable);
	ck_assert_int_eq(open_descriptors(), before);
	for (uint32_t i = 0; i < 50; i++)
		unmap_ok(g[i], 1);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(exactly_full)
{
	ck_assert_uint_eq(made(POOL_PAGES, &writable), 1);
	ck_assert_uint_eq(counts().away, POOL_PAGES);
	ck_assert_uint_eq(made(POOL_PAGES, &writable), 0);
	ck_assert_uint_eq(made(1, &writable), 1);
	ck_assert_uint_eq(counts().away, 1);
}
END_TEST

START_TEST(too_large)
{
	ck_assert_uint_eq(made(1, &writable), 1);
	ck_assert_uint_eq(made(POOL_PAGES + 1, &writable), 1);
	ck_assert_uint_eq(counts().away, 1);
	ck_assert_uint_eq(made(1, &writable), 0);
}
END_TEST

/* No frame for the one that is pushed out: it is in quarantine, and counts for itself. */
START_TEST(pushed_into_quarantine)
{
	ck_assert_uint_eq(made(4000, &writable), 1);
	fake->frames = 0;
	map_unmap(0, 200, &writable);
	ck_assert_uint_eq(counts().quarantined, 4000);
	ck_assert_uint_eq(counts().away, 4200);
	ck_assert_uint_eq(made(200, &writable), 0);
	fake_heal();
	ck_assert_ptr_null(hv->ops->tend(hv));
	check_all();
	ck_assert_uint_eq(counts().away, 200);
}
END_TEST

/* --- clients that change their file --------------------------------------------------------------- */

enum mischief { TRUNCATE, TRUNCATE_AND_GROW, PUNCH, GROW, ADD_BLOCKS, PUNCH_AND_WRITE };

static void be_mischievous(int fd, enum mischief what)
{
	char byte = 1;

	switch (what) {
	case TRUNCATE:
		ck_assert_int_eq(ftruncate(fd, 4 * 4096), 0);
		break;
	case TRUNCATE_AND_GROW:
		ck_assert_int_eq(ftruncate(fd, 0), 0);
		ck_assert_int_eq(ftruncate(fd, 5 * 4096), 0);
		break;
	case PUNCH:
	case PUNCH_AND_WRITE:
		ck_assert_int_eq(
			fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096), 0);
		if (what == PUNCH_AND_WRITE)
			ck_assert_int_eq(pwrite(fd, &byte, 1, 4096), 1);
		break;
	case GROW:
		ck_assert_int_eq(ftruncate(fd, 6 * 4096), 0);
		break;
	case ADD_BLOCKS:
		ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, 5 * 4096, 4096), 0);
		break;
	}
}

/* Its pages stay where they are; but nobody gets that window again. */
START_TEST(file_changed)
{
	struct hv_grant *g = map_ok(0, 5, &writable);
	int fd = hv->ops->window_open(hv, dirfd_, "window", g, 5, &writable);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	if (_i < 6)
		be_mischievous(fd, (enum mischief)_i);
	check_all();
	unmap_ok(g, 5);
	if (_i >= 6)
		be_mischievous(fd, (enum mischief)(_i - 6));
	g = map_ok(10, 5, &writable);
	/* Pages that it has replaced by others are not noticed, and harm itself. */
	ck_assert_uint_eq(fake->calls[FAKE_GIVE_BACK], _i % 6 == PUNCH_AND_WRITE ? 1 : 2);
	ck_assert_uint_eq(counts().away, 5);
	close(fd);
	fd = hv->ops->window_open(hv, dirfd_, "window", g, 5, &writable);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 5 * 4096);
	ck_assert_int_eq(st.st_blocks, 5 * 8);
	close(fd);
	unmap_ok(g, 5);
}
END_TEST

/* Spoilt ones on the way to a good one all go. */
START_TEST(several_files_changed)
{
	struct hv_grant *g[4];
	int fd;

	for (uint32_t i = 0; i < 4; i++)
		g[i] = map_ok(i, 3, &writable);
	for (int i = 0; i < 4; i++) {
		fd = hv->ops->window_open(hv, dirfd_, "window", g[i], 3, &writable);
		if (i != 2)
			ck_assert_int_eq(ftruncate(fd, 0), 0);
		close(fd);
	}
	for (int i = 0; i < 4; i++)
		unmap_ok(g[i], 3);
	ck_assert_uint_eq(counts().away, 12);
	ck_assert_uint_eq(made(3, &writable), 0);
	map_unmap(0, 3, &writable);
	ck_assert_uint_le(counts().away, 9);
}
END_TEST

/* A descriptor that is kept shows the file, and nothing that another open maps. */
START_TEST(descriptor_kept)
{
	struct hv_grant *g = map_ok(0, 2, &writable), *h;
	int fd = hv->ops->window_open(hv, dirfd_, "window", g, 2, &writable), fd2;
	struct stat st, st2;

	unmap_ok(g, 2);
	hv->ops->open_gone(hv, writable.open_id);
	h = map_ok(0, 2, &other_open);
	fd2 = hv->ops->window_open(hv, dirfd_, "window", h, 2, &other_open);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(fstat(fd2, &st2), 0);
	ck_assert_uint_ne(st.st_ino, st2.st_ino);
	ck_assert_uint_eq(st.st_nlink, 0);
	close(fd);
	close(fd2);
	unmap_ok(h, 2);
}
END_TEST

/* Xen's frames come with what was in them before: whoever still has the file mapped sees new pages. */
START_TEST(nobody_sees_new_frames)
{
	struct hv_grant *g = map_ok(0, 2, &writable);
	int fd = hv->ops->window_open(hv, dirfd_, "window", g, 2, &writable);
	char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct rlimit was;

	getrlimit(RLIMIT_NOFILE, &was);
	ck_assert_ptr_ne(at, MAP_FAILED);
	close(fd);
	memset(at, 'x', 8192);
	unmap_ok(g, 2);
	ck_assert_int_eq(at[4096], 'x');
	/* Also if the daemon has no descriptor left. */
	if (_i)
		setrlimit(RLIMIT_NOFILE,
			  &(struct rlimit){ .rlim_cur = 3, .rlim_max = was.rlim_max });
	hv->ops->open_gone(hv, writable.open_id);
	setrlimit(RLIMIT_NOFILE, &was);
	for (size_t i = 0; i < 8192; i++)
		if (at[i])
			ck_abort_msg("byte %zu is %d", i, at[i]);
	munmap(at, 8192);
}
END_TEST

Suite *pool_suite(void)
{
	Suite *s = suite_create("xen_pool");
	TCase *tc = tcase_create("who");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, same_open_same_size);
	tcase_add_test(tc, not_while_in_use);
	tcase_add_test(tc, not_another_open);
	tcase_add_test(tc, not_another_open_of_many);
	tcase_add_test(tc, many_of_an_open);
	tcase_add_test(tc, not_another_domain);
	tcase_add_test(tc, not_after_two_domains);
	tcase_add_test(tc, not_after_close);
	tcase_add_test(tc, again_after_failure);
	tcase_add_test(tc, not_after_refused_unmap);
	suite_add_tcase(s, tc);
	tc = tcase_create("bounds");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, bounded);
	tcase_add_test(tc, frames_are_bounded);
	tcase_add_test(tc, a_failed_window_is_not_counted);
	tcase_add_test(tc, windows_hold_no_descriptors);
	tcase_add_test(tc, exactly_full);
	tcase_add_test(tc, too_large);
	tcase_add_test(tc, pushed_into_quarantine);
	suite_add_tcase(s, tc);
	tc = tcase_create("mischief");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, file_changed, 0, 12);
	tcase_add_test(tc, several_files_changed);
	tcase_add_test(tc, descriptor_kept);
	tcase_add_loop_test(tc, nobody_sees_new_frames, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
