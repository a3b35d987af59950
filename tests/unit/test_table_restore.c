/* SPDX-License-Identifier: MIT */
/*
 * test_table_restore.c - a table that goes on where a former one has ended
 *
 * Random opens and maps, in all phases and some unlisted, are put into a second table from what would be kept of them. It must
 * find the same as the first one at every id and every page, must go on without giving anything twice, and end empty.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "table.h"
#include "tests/unit/suite.h"

#define OPENS  24
#define MAPS   400
#define PAGES  2048
#define ROUNDS 6

/* What is kept of an open and of a map. */
struct kept_open {
	uint64_t id;
	void *user;
};

struct kept_map {
	struct map *m;
	enum map_phase phase;
	bool listed;
};

static struct kept_open open_[OPENS];
static struct kept_map map[MAPS];
/* Of each the one in the second table. */
static struct map *made[MAPS];
static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static void setup(void)
{
	rcu_thread_enter();
}

static void teardown(void)
{
	rcu_thread_leave();
}

static struct kept_map *free_place(void)
{
	for (int i = 0; i < MAPS; i++)
		if (!map[i].m)
			return &map[i];
	return NULL;
}

static void forget(struct map *m)
{
	for (int i = 0; i < MAPS; i++)
		if (map[i].m == m)
			map[i].m = NULL;
	map_free(m);
}

static void dead(struct map *m, void *arg)
{
	(void)arg;
	forget(m);
}

static void add_map(struct table *t)
{
	const struct kept_open *ko = &open_[rnd(OPENS)];
	struct kept_map *k = free_place();
	struct map *m;
	struct gnt_open *o;

	if (!k || !ko->id)
		return;
	m = map_new(rnd(4) ? 1 : 1 + rnd(9));
	rcu_read_enter();
	o = open_get(t, ko->id);
	ck_assert_int_eq(map_add(o, m), 0);
	*k = (struct kept_map){ .m = m, .listed = true };
	rcu_read_leave();
}

/* A map goes on in its life. */
static void age_map(struct table *t, struct kept_map *k)
{
	struct gnt_open *o;
	enum map_end end = MAP_LIVES;

	if (!k->m)
		return;
	rcu_read_enter();
	o = open_get(t, k->m->open_id);
	switch (rnd(5)) {
	case 0:
		if (k->listed)
			end = map_unlist(o, k->m);
		k->listed = false;
		break;
	case 1:
		if (!map_claim(k->m))
			map_settle(k->m, true);
		break;
	case 2:
		if (map_release_begin(k->m))
			end = map_release_end(k->m);
		break;
	case 3:
		if (!map_claim(k->m))
			end = map_settle(k->m, false);
		break;
	default:
		if (map_release_begin(k->m))
			end = map_renew(k->m);
	}
	k->phase = map_phase(k->m);
	rcu_read_leave();
	if (end == MAP_DEAD)
		forget(k->m);
}

static void close_one(struct table *t, struct kept_open *ko)
{
	ck_assert_int_eq(open_close(t, ko->id, dead, NULL, NULL), 0);
	for (int i = 0; i < MAPS; i++)
		if (map[i].m && map[i].m->open_id == ko->id)
			map[i].listed = false;
	ko->id = 0;
}

/* @last: the highest id of each slot that somebody may still know */
static void open_one(struct table *t, struct kept_open *ko, uint64_t *last)
{
	uint64_t slot;

	ko->user = ko;
	ko->id = open_new(t, ko->user);
	slot = ko->id & 0xfffffff;
	assert_each(slot <= OPENS, "id %llx", (unsigned long long)ko->id);
	assert_each(ko->id > last[slot], "id %llx again", (unsigned long long)ko->id);
	last[slot] = ko->id;
}

static void live(struct table *t, uint64_t *last, int steps)
{
	for (int i = 0; i < steps; i++) {
		struct kept_open *ko = &open_[rnd(OPENS)];

		switch (rnd(8)) {
		case 0:
			if (ko->id && !rnd(3))
				close_one(t, ko);
			else if (!ko->id)
				open_one(t, ko, last);
			break;
		case 1:
		case 2:
		case 3:
			age_map(t, &map[rnd(MAPS)]);
			break;
		default:
			add_map(t);
		}
	}
}

/* What was closed without a map left is known to nobody any more. */
static void note_known(uint64_t *last)
{
	memset(last, 0, (OPENS + 1) * sizeof(*last));
	for (int i = 0; i < OPENS; i++)
		last[open_[i].id & 0xfffffff] = open_[i].id;
	for (int i = 0; i < MAPS; i++) {
		uint64_t id = map[i].m ? map[i].m->open_id : 0;

		if (id > last[id & 0xfffffff])
			last[id & 0xfffffff] = id;
	}
}

/* The same maps, in a table of their own. */
static struct table *restored(void)
{
	struct table *t = table_new();

	for (int i = 0; i < OPENS; i++)
		if (open_[i].id)
			ck_assert_int_eq(open_restore(t, open_[i].id, open_[i].user), 0);
	for (int i = MAPS; i-- > 0;) {
		struct map *m;

		made[i] = NULL;
		if (!map[i].m)
			continue;
		m = made[i] = map_new(map[i].m->count);
		m->open_id = map[i].m->open_id;
		m->first = map[i].m->first;
		m->told = (uint64_t)(uintptr_t)map[i].m;
		assert_each(!map_restore(t, m, map[i].phase, map[i].listed), "map %d", i);
	}
	ck_assert_int_eq(table_restored(t), 0);
	return t;
}

/* @b was made of what was kept of @a. */
static void compare(struct table *a, struct table *b)
{
	for (int i = 0; i < OPENS; i++) {
		struct gnt_open *in_a, *in_b;

		if (!open_[i].id)
			continue;
		rcu_read_enter();
		in_a = open_get(a, open_[i].id);
		in_b = open_get(b, open_[i].id);
		ck_assert(in_a && in_b && open_user(in_a) == open_user(in_b));
		for (uint64_t page = 0; page < PAGES; page++) {
			struct map *m = map_find_page(in_a, page), *n = map_find_page(in_b, page);

			assert_each(!m == !n, "open %d, page %d", i, (int)page);
			if (!m)
				continue;
			assert_each(n->told == (uint64_t)(uintptr_t)m && n->first == m->first &&
					    n->count == m->count && map_phase(m) == map_phase(n),
				    "open %d, page %d", i, (int)page);
		}
		rcu_read_leave();
	}
}

/* A map that nobody maps any more: it ends with its open, or has. */
static void end_map(struct map *m)
{
	if (map_release_begin(m))
		ck_assert_int_eq(map_release_end(m), MAP_DEAD);
	map_free(m);
}

static void end_of_former(struct map *m, void *arg)
{
	(void)arg;
	map_free(m);
}

/* The maps of the second table in place of those of the first, which ends. */
static void adopt(struct table *a)
{
	for (int i = 0; i < OPENS; i++)
		if (open_[i].id)
			open_close(a, open_[i].id, end_of_former, NULL, NULL);
	for (int i = 0; i < MAPS; i++) {
		if (map[i].m && map[i].phase == MAP_MAPPED)
			end_map(map[i].m);
		map[i].m = made[i];
	}
	table_destroy(a);
}

/* No two maps of an open share a page; every page leads to its own. */
static void check_ranges(struct table *t)
{
	for (int i = 0; i < MAPS; i++) {
		struct gnt_open *o;

		if (!map[i].m || !map[i].listed)
			continue;
		rcu_read_enter();
		o = open_get(t, map[i].m->open_id);
		for (uint32_t k = 0; k < map[i].m->count; k++)
			assert_each(map_find_page(o, map[i].m->first + k) == map[i].m,
				    "map %d, page %u", i, k);
		rcu_read_leave();
	}
}

static void end_all(struct table *t)
{
	for (int i = 0; i < OPENS; i++)
		if (open_[i].id)
			close_one(t, &open_[i]);
	for (int i = 0; i < MAPS; i++) {
		if (map[i].m)
			end_map(map[i].m);
		map[i].m = NULL;
	}
	table_destroy(t);
}

START_TEST(it_goes_on_where_the_other_has_ended)
{
	uint64_t last[OPENS + 1] = { 0 };
	struct table *t = table_new(), *next;

	seed = (uint64_t)_i + 1;
	for (int round = 0; round < ROUNDS; round++) {
		live(t, last, 1500);
		check_ranges(t);
		note_known(last);
		next = restored();
		compare(t, next);
		adopt(t);
		t = next;
	}
	live(t, last, 1500);
	check_ranges(t);
	end_all(t);
}
END_TEST

static struct map *a_map(uint64_t id, uint64_t first, uint32_t count)
{
	struct map *m = map_new(count);

	m->open_id = id;
	m->first = first;
	return m;
}

static void refused(struct table *t, uint64_t id, uint64_t first, uint32_t count, int err)
{
	struct map *m = a_map(id, first, count);

	ck_assert_int_eq(map_restore(t, m, MAP_FRESH, true), err);
	map_free(m);
}

/* A close may be carried out again: it must not meet an open that came later. */
START_TEST(an_id_is_not_given_by_a_successor_again)
{
	uint64_t generations = 0, id[9];

	for (int n = 0; n < 9; n += 3) {
		struct table *t = table_new();

		table_last(t, &generations);
		ck_assert_int_eq(table_restored(t), 0);
		for (int i = n; i < n + 3; i++) {
			id[i] = open_new(t, &generations);
			for (int former = 0; former < i; former++)
				ck_assert_uint_ne(id[i], id[former]);
			ck_assert_int_eq(open_close(t, id[i], NULL, NULL, NULL), 0);
		}
		table_destroy(t);
	}
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	struct table *t = table_new();
	const uint64_t id = 5ULL << 28 | 3;

	ck_assert_int_eq(open_restore(t, id, t), 0);
	ck_assert_int_eq(open_restore(t, id, t), -EEXIST);
	ck_assert_int_eq(open_restore(t, id + (1ULL << 28), t), -EEXIST);
	ck_assert_int_eq(open_restore(t, 5ULL << 28, t), -EINVAL);
	ck_assert_int_eq(open_restore(t, 0xfffffff, t), -EINVAL);
	ck_assert_int_eq(map_restore(t, a_map(id, 10, 4), MAP_FRESH, true), 0);
	refused(t, id, 13, 1, -EEXIST);
	refused(t, id, 8, 3, -EEXIST);
	refused(t, id, 8, 9, -EEXIST);
	refused(t, id, 1ULL << 26, 1, -EINVAL);
	refused(t, id, UINT64_MAX, 2, -EINVAL);
	refused(t, id + 1, 0, 1, -ENOENT);
	ck_assert_int_eq(table_restored(t), 0);
	ck_assert_int_eq(open_close(t, id, dead, NULL, NULL), 0);
	table_destroy(t);
}
END_TEST

/* The gap is of the size that is asked for next to it: indexes do not go up. */
START_TEST(gaps_are_used_again)
{
	struct table *t = table_new();
	const uint64_t id = 1;
	struct gnt_open *o;

	ck_assert_int_eq(open_restore(t, id, t), 0);
	ck_assert_int_eq(map_restore(t, a_map(id, 0, 2), MAP_FRESH, true), 0);
	ck_assert_int_eq(map_restore(t, a_map(id, 6, 2), MAP_FRESH, true), 0);
	ck_assert_int_eq(table_restored(t), 0);
	rcu_read_enter();
	o = open_get(t, id);
	for (int i = 0; i < 3; i++) {
		struct map *m = map_new(2);

		ck_assert_int_eq(map_add(o, m), 0);
		ck_assert_uint_eq(m->first, i < 2 ? 2 + 2 * (uint64_t)i : 8);
	}
	rcu_read_leave();
	ck_assert_int_eq(open_close(t, id, dead, NULL, NULL), 0);
	table_destroy(t);
}
END_TEST

Suite *table_restore_suite(void);
Suite *table_restore_suite(void)
{
	Suite *s = suite_create("table_restore");
	TCase *tc = tcase_create("restore");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, an_id_is_not_given_by_a_successor_again);
	tcase_add_test(tc, what_cannot_be_is_refused);
	tcase_add_test(tc, gaps_are_used_again);
	tcase_add_loop_test(tc, it_goes_on_where_the_other_has_ended, 0, 10);
	suite_add_tcase(s, tc);
	return s;
}
