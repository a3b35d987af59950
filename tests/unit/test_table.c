/* SPDX-License-Identifier: MIT */
/*
 * test_table.c - the table by one thread: indexes, lookups, phases, deaths, closing
 *
 * Random sequences are test_table_model.c's, races are torture_table.c's, want of memory is test_table_memory.c's.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "base/rcu.h"
#include "table.h"
#include "tests/unit/suite.h"

static struct table *table;
static struct gnt_open *open_;
static uint64_t open_no;
static int deaths;

static void dead_count(struct map *m, void *arg)
{
	(void)arg;
	deaths++;
	map_free(m);
}

static void setup(void)
{
	rcu_thread_enter();
	table = table_new();
	ck_assert_ptr_nonnull(table);
	open_no = open_new(table, &table);
	ck_assert_uint_ne(open_no, 0);
	rcu_read_enter();
	open_ = open_get(table, open_no);
	ck_assert_ptr_nonnull(open_);
	deaths = 0;
}

/* Tests may have closed the open. */
static void teardown(void)
{
	rcu_read_leave();
	open_close(table, open_no, dead_count, NULL, NULL);
	table_destroy(table);
	rcu_thread_leave();
}

static struct map *add(uint32_t count)
{
	struct map *m = map_new(count);

	ck_assert_ptr_nonnull(m);
	for (uint32_t i = 0; i < count; i++)
		m->refs[i] = (struct table_ref){ .domid = count, .ref = i };
	ck_assert_int_eq(map_add(open_, m), 0);
	return m;
}

static struct map *add_at(uint32_t count, uint64_t first)
{
	struct map *m = add(count);

	ck_assert_uint_eq(m->first, first);
	return m;
}

static void drop(struct map *m)
{
	ck_assert_int_eq(map_unlist(open_, m), MAP_DEAD);
	map_free(m);
}

/* A map that has got to a phase in the allowed way. */
static struct map *add_in(enum map_phase phase)
{
	struct map *m = add(1);

	if (phase == MAP_FRESH)
		return m;
	ck_assert_int_eq(map_claim(m), 0);
	if (phase == MAP_MAPPING)
		return m;
	ck_assert_int_eq(map_settle(m, phase != MAP_UNUSABLE), MAP_LIVES);
	if (phase == MAP_MAPPED || phase == MAP_UNUSABLE)
		return m;
	ck_assert(map_release_begin(m));
	if (phase == MAP_RELEASING)
		return m;
	ck_assert_int_eq(map_release_end(m), MAP_LIVES);
	return m;
}

static bool phase_is_terminal(enum map_phase phase)
{
	return phase == MAP_FRESH || phase == MAP_UNUSABLE || phase == MAP_RELEASED;
}

/* Bring an unlisted map to its end and free it. Return: how many deaths were reported. */
static int finish(struct map *m)
{
	int n = 0;

	if (map_phase(m) == MAP_MAPPING)
		n += map_settle(m, true) == MAP_DEAD;
	if (map_phase(m) == MAP_MAPPED)
		ck_assert(map_release_begin(m));
	if (map_phase(m) == MAP_RELEASING)
		n += map_release_end(m) == MAP_DEAD;
	map_free(m);
	return n;
}

/* --- indexes -------------------------------------------------------------------------------- */

START_TEST(first_index_is_0_and_the_rest_follow)
{
	struct map *a = add_at(1, 0), *b = add_at(3, 1), *c = add_at(70, 4), *d = add_at(1, 74);

	ck_assert_uint_eq(a->open_id, open_no);
	drop(d);
	drop(c);
	drop(b);
	drop(a);
}
END_TEST

START_TEST(map_unmap_cycle_stays_at_0)
{
	for (int i = 0; i < 1000; i++)
		drop(add_at(1 + i % 100, 0));
}
END_TEST

START_TEST(last_range_is_given_back_to_the_end)
{
	struct map *a = add_at(2, 0), *b = add_at(5, 2);

	drop(b);
	b = add_at(9, 2);
	drop(b);
	b = add_at(1, 2);
	drop(b);
	drop(a);
}
END_TEST

START_TEST(hole_of_the_exact_size_is_used_first)
{
	struct map *a = add_at(2, 0), *b = add_at(3, 2), *c = add_at(2, 5), *d = add_at(1, 7), *e;

	drop(b);
	e = add_at(2, 8);
	drop(a);
	a = add_at(2, 0);
	b = add_at(3, 2);
	drop(a);
	drop(c);
	/* The hole that was left last comes first. */
	c = add_at(2, 5);
	a = add_at(2, 0);
	drop(a);
	drop(b);
	drop(c);
	drop(d);
	drop(e);
}
END_TEST

START_TEST(hole_of_another_size_is_left_alone)
{
	struct map *a = add_at(4, 0), *b = add_at(1, 4), *c;

	drop(a);
	a = add_at(3, 5);
	c = add_at(5, 8);
	drop(a);
	drop(b);
	drop(c);
}
END_TEST

START_TEST(index_is_0_again_after_all_are_unlisted)
{
	struct map *m[50];

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 50; i++)
			m[i] = add(1 + (i * 7 + round) % 13);
		ck_assert_uint_eq(m[0]->first, 0);
		for (int i = 0; i < 50; i++)
			drop(m[(i * 17 + round) % 50]);
		drop(add_at(3, 0));
	}
}
END_TEST

START_TEST(a_mapped_map_that_is_unlisted_holds_no_index)
{
	struct map *m = add_in(MAP_MAPPED), *n;

	ck_assert_uint_eq(m->first, 0);
	ck_assert_int_eq(map_unlist(open_, m), MAP_LIVES);
	n = add_at(1, 0);
	ck_assert_ptr_eq(map_find(open_, 0, 1), n);
	drop(n);
	ck_assert_int_eq(finish(m), 1);
}
END_TEST

START_TEST(index_space_is_bounded)
{
	/* Only address space: nothing of it is touched. */
	struct map *m = map_new(1U << 26), *a = add_at(1, 0);

	ck_assert_ptr_null(map_new((1U << 26) + 1));
	ck_assert_ptr_null(map_new(UINT32_MAX));
	ck_assert_ptr_null(map_new(0));
	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(map_add(open_, m), -ENOMEM);
	ck_assert_int_eq(map_claim(m), -EINVAL);
	ck_assert_int_eq(map_unlist(open_, m), MAP_LOST);
	drop(add_at(1, 1));
	ck_assert_int_eq(map_add(open_, m), -ENOMEM);
	drop(a);
	map_free(m);
	drop(add_at(1, 0));
}
END_TEST

START_TEST(map_of_65536_pages)
{
	struct map *a = add_at(3, 0), *m = add_at(65536, 3), *b = add_at(1, 65539);

	for (uint64_t page = 3; page < 65539; page++)
		assert_each(map_find_page(open_, page) == m, "page %" PRIu64, page);
	ck_assert_ptr_eq(map_find(open_, 3, 65536), m);
	ck_assert_ptr_eq(map_find_page(open_, 2), a);
	ck_assert_ptr_eq(map_find_page(open_, 65539), b);
	drop(m);
	for (uint64_t page = 3; page < 65539; page++)
		assert_each(!map_find_page(open_, page), "page %" PRIu64, page);
	m = add_at(65536, 3);
	drop(a);
	drop(b);
	drop(m);
	drop(add_at(65536, 0));
	drop(add_at(1, 0));
}
END_TEST

/* --- lookups -------------------------------------------------------------------------------- */

START_TEST(find_by_first_and_count)
{
	struct map *a = add(2), *b = add(3);

	ck_assert_ptr_eq(map_find(open_, 0, 2), a);
	ck_assert_ptr_eq(map_find(open_, 0, 0), a);
	ck_assert_ptr_eq(map_find(open_, 2, 3), b);
	ck_assert_ptr_null(map_find(open_, 0, 1));
	ck_assert_ptr_null(map_find(open_, 0, 3));
	ck_assert_ptr_null(map_find(open_, 1, 1));
	ck_assert_ptr_null(map_find(open_, 1, 0));
	ck_assert_ptr_null(map_find(open_, 3, 2));
	ck_assert_ptr_null(map_find(open_, 5, 0));
	drop(a);
	ck_assert_ptr_null(map_find(open_, 0, 2));
	ck_assert_ptr_null(map_find(open_, 0, 0));
	drop(b);
}
END_TEST

START_TEST(find_any_page)
{
	struct map *a = add(2), *b = add(130);

	for (uint64_t page = 0; page < 200; page++)
		ck_assert_ptr_eq(map_find_page(open_, page), page < 2 ? a : page < 132 ? b : NULL);
	drop(a);
	ck_assert_ptr_null(map_find_page(open_, 0));
	ck_assert_ptr_null(map_find_page(open_, 1));
	ck_assert_ptr_eq(map_find_page(open_, 2), b);
	drop(b);
}
END_TEST

START_TEST(find_with_hostile_indexes)
{
	static const uint64_t index[] = {
		8,	    63,		64,	    4096,	1ULL << 26,	 1ULL << 40,
		1ULL << 52, 1ULL << 54, 1ULL << 63, UINT64_MAX, UINT64_MAX >> 12
	};
	struct map *a;

	for (int with_tree = 0; with_tree < 2; with_tree++) {
		for (size_t i = 0; i < sizeof(index) / sizeof(index[0]); i++) {
			ck_assert_ptr_null(map_find(open_, index[i], 0));
			ck_assert_ptr_null(map_find_page(open_, index[i]));
		}
		a = add(7);
		if (with_tree)
			drop(a);
	}
	drop(map_find(open_, 0, 0));
}
END_TEST

START_TEST(a_hole_on_a_stack_is_not_a_map)
{
	struct map *keep = NULL, *m[20];

	for (int i = 0; i < 20; i++)
		m[i] = add(1);
	keep = add(1);
	for (int i = 0; i < 20; i++)
		drop(m[i]);
	for (uint64_t page = 0; page < 20; page++) {
		ck_assert_ptr_null(map_find_page(open_, page));
		ck_assert_ptr_null(map_find(open_, page, 0));
	}
	drop(keep);
}
END_TEST

static void collect(struct map *m, void *arg)
{
	uint64_t *sum = arg;

	sum[0]++;
	sum[1] += m->first;
}

START_TEST(for_each_map_sees_the_listed_ones_once)
{
	struct map *m[100];
	uint64_t sum[2] = { 0, 0 }, want[2] = { 0, 0 };

	open_for_each_map(open_, collect, sum);
	ck_assert_uint_eq(sum[0], 0);
	for (int i = 0; i < 100; i++)
		m[i] = add(1 + i % 9 * 20);
	for (int i = 0; i < 100; i++) {
		if (i % 3 == 0) {
			drop(m[i]);
			m[i] = NULL;
		} else {
			want[0]++;
			want[1] += m[i]->first;
		}
	}
	open_for_each_map(open_, collect, sum);
	ck_assert_uint_eq(sum[0], want[0]);
	ck_assert_uint_eq(sum[1], want[1]);
	for (int i = 0; i < 100; i++) {
		if (m[i])
			drop(m[i]);
	}
}
END_TEST

/* --- phases --------------------------------------------------------------------------------- */

START_TEST(only_the_allowed_transitions_work)
{
	enum map_phase phase = (enum map_phase)_i;
	struct map *m = add_in(phase);

	ck_assert_int_eq(map_phase(m), phase);
	ck_assert(map_is_listed(m));
	if (phase != MAP_FRESH)
		ck_assert_int_eq(map_claim(m), -EINVAL);
	if (phase != MAP_MAPPING) {
		ck_assert_int_eq(map_settle(m, true), MAP_LOST);
		ck_assert_int_eq(map_settle(m, false), MAP_LOST);
	}
	if (phase != MAP_MAPPED)
		ck_assert(!map_release_begin(m));
	if (phase != MAP_RELEASING)
		ck_assert_int_eq(map_release_end(m), MAP_LOST);
	ck_assert_int_eq(map_phase(m), phase);
	ck_assert(map_is_listed(m));
	ck_assert_ptr_eq(map_find(open_, m->first, 1), m);
	ck_assert_int_eq(map_unlist(open_, m), phase_is_terminal(phase) ? MAP_DEAD : MAP_LIVES);
	ck_assert_int_eq(map_phase(m), phase);
	ck_assert(!map_is_listed(m));
	ck_assert_int_eq(map_unlist(open_, m), MAP_LOST);
	ck_assert_int_eq(map_claim(m), -EINVAL);
	finish(m);
}
END_TEST

START_TEST(the_last_of_unlist_and_the_phases_reports_the_death)
{
	enum map_phase phase = (enum map_phase)_i;
	struct map *m = add_in(phase);
	int n = map_unlist(open_, m) == MAP_DEAD;

	ck_assert_int_eq(n, phase_is_terminal(phase));
	ck_assert_int_eq(n + finish(m), 1);
}
END_TEST

START_TEST(a_failed_mmap_after_unlist_is_the_death)
{
	struct map *m = add_in(MAP_MAPPING);

	ck_assert_int_eq(map_unlist(open_, m), MAP_LIVES);
	ck_assert_int_eq(map_settle(m, false), MAP_DEAD);
	ck_assert_int_eq(map_phase(m), MAP_UNUSABLE);
	map_free(m);
}
END_TEST

START_TEST(a_map_never_added_is_just_freed)
{
	struct map *m = map_new(5);

	ck_assert(!map_is_listed(m));
	ck_assert_int_eq(map_unlist(open_, m), MAP_LOST);
	ck_assert_int_eq(map_claim(m), -EINVAL);
	ck_assert_uint_eq(m->count, 5);
	ck_assert_uint_eq(m->notify, 0);
	map_free(m);
}
END_TEST

/* --- opens ---------------------------------------------------------------------------------- */

/* Close the test's own open, as its owner does: not under RCU. */
static int close_open(void **user)
{
	int err;

	rcu_read_leave();
	err = open_close(table, open_no, dead_count, NULL, user);
	rcu_read_enter();
	return err;
}

START_TEST(close_against_each_phase)
{
	enum map_phase phase = (enum map_phase)_i;
	struct map *m = add_in(phase);
	void *user = NULL;

	ck_assert_int_eq(close_open(&user), 0);
	ck_assert_ptr_eq(user, &table);
	ck_assert_int_eq(deaths, phase_is_terminal(phase));
	if (!phase_is_terminal(phase)) {
		ck_assert(!map_is_listed(m));
		ck_assert_int_eq(map_phase(m), phase);
		ck_assert_int_eq(finish(m), 1);
	}
}
END_TEST

START_TEST(close_takes_all_maps)
{
	int dropped = 0;

	for (int i = 0; i < 3000; i++)
		add(1 + i % 20);
	for (uint64_t page = 0; page < 1000; page += 7) {
		struct map *m = map_find_page(open_, page);

		if (m) {
			drop(m);
			dropped++;
		}
	}
	ck_assert_int_gt(dropped, 50);
	ck_assert_int_eq(close_open(NULL), 0);
	ck_assert_int_eq(deaths, 3000 - dropped);
}
END_TEST

START_TEST(a_closed_open_is_not_found)
{
	ck_assert_int_eq(close_open(NULL), 0);
	ck_assert_ptr_null(open_get(table, open_no));
	ck_assert_int_eq(close_open(NULL), -ENOENT);
}
END_TEST

START_TEST(add_to_a_closing_open_is_refused)
{
	struct gnt_open *o = open_;
	struct map *m = map_new(70);
	struct map *found = NULL;

	/* Still under RCU since before the close, as a racing map_add() would be. */
	rcu_read_enter();
	ck_assert_int_eq(close_open(NULL), 0);
	ck_assert_int_eq(map_add(o, m), -EBADF);
	ck_assert(!map_is_listed(m));
	found = map_find_page(o, 0);
	ck_assert_ptr_null(found);
	map_free(m);
	rcu_read_leave();
}
END_TEST

static void count_open(struct gnt_open *o, void *arg)
{
	*(uint64_t *)arg += (uintptr_t)open_user(o);
}

START_TEST(many_opens)
{
	enum { N = 2000 };
	static uint64_t id[N];
	uint64_t sum = 0;

	ck_assert_int_eq(close_open(NULL), 0);
	for (uintptr_t i = 0; i < N; i++)
		id[i] = open_new(table, (void *)(i + 1));
	for (uintptr_t i = 0; i < N; i++) {
		open_ = open_get(table, id[i]);
		ck_assert_ptr_nonnull(open_);
		ck_assert_uint_eq(open_id(open_), id[i]);
		ck_assert_ptr_eq(open_user(open_), (void *)(i + 1));
		add_at(1, 0);
		add_at(2, 1);
	}
	table_for_each_open(table, count_open, &sum);
	ck_assert_uint_eq(sum, (uint64_t)N * (N + 1) / 2);
	rcu_read_leave();
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(open_close(table, id[i], dead_count, NULL, NULL), 0);
	rcu_read_enter();
	ck_assert_int_eq(deaths, N + N);
	sum = 0;
	table_for_each_open(table, count_open, &sum);
	ck_assert_uint_eq(sum, 0);
}
END_TEST

START_TEST(maps_of_one_open_are_not_in_another)
{
	uint64_t id = open_new(table, NULL);
	struct gnt_open *other = open_get(table, id);
	struct map *m = add(3);

	ck_assert_ptr_null(map_find(other, 0, 0));
	ck_assert_ptr_null(map_find_page(other, 0));
	drop(m);
	rcu_read_leave();
	ck_assert_int_eq(open_close(table, id, dead_count, NULL, NULL), 0);
	rcu_read_enter();
}
END_TEST

Suite *table_suite(void);

static TCase *tcase(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return tc;
}

static void add_index_tests(TCase *tc)
{
	tcase_add_test(tc, first_index_is_0_and_the_rest_follow);
	tcase_add_test(tc, map_unmap_cycle_stays_at_0);
	tcase_add_test(tc, last_range_is_given_back_to_the_end);
	tcase_add_test(tc, hole_of_the_exact_size_is_used_first);
	tcase_add_test(tc, hole_of_another_size_is_left_alone);
	tcase_add_test(tc, index_is_0_again_after_all_are_unlisted);
	tcase_add_test(tc, a_mapped_map_that_is_unlisted_holds_no_index);
	tcase_add_test(tc, index_space_is_bounded);
	tcase_add_test(tc, map_of_65536_pages);
}

static void add_find_tests(TCase *tc)
{
	tcase_add_test(tc, find_by_first_and_count);
	tcase_add_test(tc, find_any_page);
	tcase_add_test(tc, find_with_hostile_indexes);
	tcase_add_test(tc, a_hole_on_a_stack_is_not_a_map);
	tcase_add_test(tc, for_each_map_sees_the_listed_ones_once);
}

static void add_phase_tests(TCase *tc)
{
	tcase_add_loop_test(tc, only_the_allowed_transitions_work, MAP_FRESH, MAP_RELEASED + 1);
	tcase_add_loop_test(tc, the_last_of_unlist_and_the_phases_reports_the_death, MAP_FRESH,
			    MAP_RELEASED + 1);
	tcase_add_test(tc, a_failed_mmap_after_unlist_is_the_death);
	tcase_add_test(tc, a_map_never_added_is_just_freed);
}

static void add_open_tests(TCase *tc)
{
	tcase_add_loop_test(tc, close_against_each_phase, MAP_FRESH, MAP_RELEASED + 1);
	tcase_add_test(tc, close_takes_all_maps);
	tcase_add_test(tc, a_closed_open_is_not_found);
	tcase_add_test(tc, add_to_a_closing_open_is_refused);
	tcase_add_test(tc, many_opens);
	tcase_add_test(tc, maps_of_one_open_are_not_in_another);
}

Suite *table_suite(void)
{
	Suite *s = suite_create("table");

	add_index_tests(tcase(s, "indexes"));
	add_find_tests(tcase(s, "lookups"));
	add_phase_tests(tcase(s, "phases"));
	add_open_tests(tcase(s, "opens"));
	return s;
}
