/* SPDX-License-Identifier: MIT */
/*
 * test_table_memory.c - the table when there is no memory
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tests/unit/suite.h"

/* Memory runs out at the allocation whose turn it is: the sources are compiled in for that. */
static int allocations_left = -1;

static bool memory_is_out(void)
{
	if (allocations_left < 0)
		return false;
	return allocations_left == 0 || --allocations_left == 0;
}

static void *scarce_malloc(size_t size)
{
	return memory_is_out() ? NULL : malloc(size);
}

static void *scarce_calloc(size_t n, size_t size)
{
	return memory_is_out() ? NULL : calloc(n, size);
}

#define malloc(size)	scarce_malloc(size)
#define calloc(n, size) scarce_calloc(n, size)
/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "base/radix.c"
#include "base/ids.c"
#include "base/arena.c"
#include "table.c"
/* NOLINTEND(bugprone-suspicious-include) */
#undef malloc
#undef calloc

static struct table *table;
static struct gnt_open *open_;
static uint64_t open_no;

static void dead_free(struct map *m, void *arg)
{
	(void)arg;
	map_free(m);
}

static void setup(void)
{
	rcu_thread_enter();
	table = table_new();
	ck_assert_ptr_nonnull(table);
	open_no = open_new(table, NULL);
	rcu_read_enter();
	open_ = open_get(table, open_no);
	ck_assert_ptr_nonnull(open_);
}

static void teardown(void)
{
	rcu_read_leave();
	open_close(table, open_no, dead_free, NULL, NULL);
	table_destroy(table);
	rcu_thread_leave();
}

static struct map *add_at(uint32_t count, uint64_t first)
{
	struct map *m = map_new(count);

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(map_add(open_, m), 0);
	ck_assert_uint_eq(m->first, first);
	return m;
}

static void drop(struct map *m)
{
	ck_assert_int_eq(map_unlist(open_, m), MAP_DEAD);
	map_free(m);
}

#define SCARCE_MAPS 12

static void scarce_check(struct map **m, uint64_t pages)
{
	for (int i = 0; i < SCARCE_MAPS; i++) {
		if (m[i])
			ck_assert_ptr_eq(map_find(open_, m[i]->first, m[i]->count), m[i]);
	}
	for (uint64_t page = 0; page < pages; page++) {
		struct map *found = map_find_page(open_, page);

		assert_each(!found || page - found->first < found->count,
			    "page %" PRIu64 ": %u from %" PRIu64, page, found->count, found->first);
	}
}

/* Maps that need small words, a leaf, several, another level; and holes of each size. */
START_TEST(without_memory_all_stays_consistent)
{
	static const uint32_t count[] = { 1, 7, 60, 1, 4200, 3, 9, 130, 1, 64 };
	struct map *m[SCARCE_MAPS] = { NULL }, *spare;
	int refused = 0;

	for (int i = 0; i < SCARCE_MAPS; i++) {
		struct map *one = map_new(count[i % 10]);
		int err;

		/* The _i-th allocation from here fails, and all after it: then it is there again. */
		allocations_left = _i + 1;
		err = map_add(open_, one);
		allocations_left = -1;
		if (err) {
			ck_assert_int_eq(err, -ENOMEM);
			ck_assert(!map_is_listed(one));
			refused++;
			map_free(one);
			continue;
		}
		m[i] = one;
		if (i % 3 == 1) {
			drop(m[i - 1] ? m[i - 1] : m[i]);
			m[m[i - 1] ? i - 1 : i] = NULL;
		}
		scarce_check(m, 5000);
	}
	ck_assert(_i < 60 ? refused > 0 : _i < 80 || refused == 0);
	for (int i = 0; i < SCARCE_MAPS; i++) {
		if (m[i])
			drop(m[i]);
	}
	spare = add_at(100, 0);
	add_at(1, 100);
	drop(spare);
}
END_TEST

START_TEST(without_memory_nothing_is_made)
{
	allocations_left = 1;
	ck_assert_ptr_null(map_new(1));
	ck_assert_ptr_null(table_new());
	ck_assert_uint_eq(open_new(table, NULL), 0);
	/* A table without its ids. */
	allocations_left = 2;
	ck_assert_ptr_null(table_new());
	allocations_left = -1;
}
END_TEST

Suite *table_memory_suite(void);

Suite *table_memory_suite(void)
{
	Suite *s = suite_create("table_memory");
	TCase *tc = tcase_create("memory");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, without_memory_all_stays_consistent, 0, 90);
	tcase_add_test(tc, without_memory_nothing_is_made);
	suite_add_tcase(s, tc);
	return s;
}
