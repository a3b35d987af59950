/* SPDX-License-Identifier: MIT */
/*
 * test_table_walk.c - walks through the table that are left and taken up again
 */
#include <check.h>

#include "base/rcu.h"
#include "table.h"

static struct table *table;
static struct gnt_open *open_;

static void setup(void)
{
	uint64_t id;

	rcu_thread_enter();
	table = table_new();
	id = open_new(table, NULL);
	rcu_read_enter();
	open_ = open_get(table, id);
	rcu_read_leave();
}

static void no_dead(struct map *m, void *arg)
{
	(void)arg;
	ck_abort_msg("map at %lu is left", (unsigned long)m->first);
}

static void teardown(void)
{
	ck_assert_int_eq(open_close(table, open_id(open_), no_dead, NULL, NULL), 0);
	table_destroy(table);
	rcu_thread_leave();
}

static struct map *add(uint32_t count)
{
	struct map *m = map_new(count);

	rcu_read_enter();
	ck_assert_int_eq(map_add(open_, m), 0);
	rcu_read_leave();
	return m;
}

static void drop(struct map *m)
{
	rcu_read_enter();
	ck_assert_int_eq(map_unlist(open_, m), MAP_DEAD);
	rcu_read_leave();
	map_free(m);
}

static void collect(const struct map *m, uint64_t sum[2])
{
	sum[0]++;
	sum[1] += m->first;
}

/* Walk all maps of the open, so much at a time. Return: read sides it took. */
static unsigned int walk_in_steps(uint64_t work_each, uint64_t sum[2])
{
	uint64_t page = 0, work;
	unsigned int steps = 0;
	struct map *m;
	bool more = true;

	for (; more; steps++) {
		work = work_each;
		do {
			uint64_t before = work;

			more = map_next(open_, &page, &work, &m);
			ck_assert_uint_le(work, before);
			ck_assert(!m || work < before);
			if (m)
				collect(m, sum);
		} while (more && work);
		ck_assert(!more || !work);
	}
	return steps;
}

START_TEST(a_walk_in_steps_sees_each_map_once)
{
	struct map *m[100];
	uint64_t want[2] = { 0, 0 };

	for (int i = 0; i < 100; i++)
		m[i] = add(1 + i % 9 * 20);
	for (int i = 0; i < 100; i++) {
		if (i % 3 == 0) {
			drop(m[i]);
			m[i] = NULL;
		} else {
			collect(m[i], want);
		}
	}
	for (uint64_t work = 1; work < 200; work += 7) {
		uint64_t sum[2] = { 0, 0 };

		walk_in_steps(work, sum);
		ck_assert_uint_eq(sum[0], want[0]);
		ck_assert_uint_eq(sum[1], want[1]);
	}
	for (int i = 0; i < 100; i++) {
		if (m[i])
			drop(m[i]);
	}
}
END_TEST

START_TEST(a_walk_steps_over_large_maps_and_holes)
{
	struct map *big = add(65536), *hole = add(6400), *last = add(1);
	uint64_t sum[2] = { 0, 0 };
	unsigned int steps;

	drop(hole);
	/* Two maps, and a node for each 64 pages of the hole. */
	steps = walk_in_steps(1, sum);
	ck_assert_uint_ge(steps, 100);
	ck_assert_uint_le(steps, 110);
	ck_assert_uint_eq(sum[0], 2);
	ck_assert_uint_eq(sum[1], last->first);
	drop(big);
	drop(last);
}
END_TEST

START_TEST(opens_are_walked_in_steps)
{
	uint64_t id[10], cursor = 0, work, seen = 0;
	struct gnt_open *o;
	bool more = true;

	for (int i = 0; i < 10; i++)
		id[i] = open_new(table, NULL);
	for (int i = 0; i < 10; i += 2)
		ck_assert_int_eq(open_close(table, id[i], NULL, NULL, NULL), 0);
	while (more) {
		work = 1;
		more = open_next(table, &cursor, &work, &o);
		ck_assert_uint_eq(work, !more);
		if (!o)
			continue;
		ck_assert(o == open_ || open_id(o) == id[2 * (seen - 1) + 1]);
		seen++;
	}
	ck_assert_uint_eq(seen, 6);
	for (int i = 1; i < 10; i += 2)
		ck_assert_int_eq(open_close(table, id[i], NULL, NULL, NULL), 0);
}
END_TEST

Suite *table_walk_suite(void);
Suite *table_walk_suite(void)
{
	Suite *s = suite_create("table_walk");
	TCase *tc = tcase_create("steps");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_walk_in_steps_sees_each_map_once);
	tcase_add_test(tc, a_walk_steps_over_large_maps_and_holes);
	tcase_add_test(tc, opens_are_walked_in_steps);
	suite_add_tcase(s, tc);
	return s;
}
