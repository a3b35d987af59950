/* SPDX-License-Identifier: MIT */
/*
 * test_table_model.c - random maps of one open, against an array of pages
 */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "table.h"
#include "tests/unit/suite.h"

static struct table *table;
static struct gnt_open *open_;
static uint64_t open_no;

static void setup(void)
{
	rcu_thread_enter();
	table = table_new();
	ck_assert_ptr_nonnull(table);
	open_no = open_new(table, NULL);
	ck_assert_uint_ne(open_no, 0);
	rcu_read_enter();
	open_ = open_get(table, open_no);
}

static void dead(struct map *m, void *arg)
{
	(void)arg;
	map_free(m);
	ck_abort_msg("a map was left");
}

static void teardown(void)
{
	rcu_read_leave();
	ck_assert_int_eq(open_close(table, open_no, dead, NULL, NULL), 0);
	table_destroy(table);
	rcu_thread_leave();
}

/* What the open should be: an array of pages, and the holes in the order they were left. */
#define MODEL_PAGES 4096
#define MODEL_MAPS  200

struct model {
	struct map *page[MODEL_PAGES];
	struct {
		uint64_t first, count;
	} hole[MODEL_PAGES];
	uint32_t holes;
	uint64_t end;
	struct map *map[MODEL_MAPS];
	uint32_t maps;
	uint64_t random;
};

static uint32_t model_random(struct model *md, uint32_t below)
{
	md->random = md->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (md->random >> 33) % below;
}

static uint64_t model_take(struct model *md, uint64_t count)
{
	uint64_t first = md->end;

	for (uint32_t i = md->holes; i-- > 0;) {
		if (md->hole[i].count != count)
			continue;
		first = md->hole[i].first;
		md->holes--;
		memmove(&md->hole[i], &md->hole[i + 1], (md->holes - i) * sizeof(md->hole[0]));
		return first;
	}
	md->end += count;
	return first;
}

static void model_add(struct model *md)
{
	uint32_t count = model_random(md, 4) ? 1 + model_random(md, 3) : 1 + model_random(md, 20);
	uint64_t first = model_take(md, count);

	ck_assert_uint_lt(md->end, MODEL_PAGES);
	md->map[md->maps] = map_new(count);
	ck_assert_int_eq(map_add(open_, md->map[md->maps]), 0);
	ck_assert_uint_eq(md->map[md->maps]->first, first);
	for (uint64_t i = 0; i < count; i++) {
		ck_assert_ptr_null(md->page[first + i]);
		md->page[first + i] = md->map[md->maps];
	}
	md->maps++;
}

static void model_remove(struct model *md, uint32_t i)
{
	struct map *m = md->map[i];
	uint64_t first = m->first, count = m->count;

	md->map[i] = md->map[--md->maps];
	for (uint64_t page = first; page < first + count; page++)
		md->page[page] = NULL;
	if (md->maps == 0) {
		md->end = 0;
		md->holes = 0;
	} else if (first + count == md->end) {
		md->end = first;
	} else {
		md->hole[md->holes].first = first;
		md->hole[md->holes++].count = count;
	}
	ck_assert_int_eq(map_unlist(open_, m), MAP_DEAD);
	map_free(m);
}

static void model_check(struct model *md)
{
	for (uint64_t i = 0; i < MODEL_PAGES; i++) {
		struct map *m = md->page[i];
		uint32_t count = m ? m->count : 0;

		assert_each(map_find_page(open_, i) == m, "page %" PRIu64, i);
		assert_each(map_find(open_, i, count) == (m && m->first == i ? m : NULL),
			    "page %" PRIu64 ", count %u", i, count);
		assert_each(!map_find(open_, i, count + 1), "page %" PRIu64 ", count %u", i,
			    count + 1);
	}
}

START_TEST(random_against_a_model)
{
	static struct model md;

	memset(&md, 0, sizeof(md));
	md.random = (uint64_t)_i;
	for (int step = 0; step < 3000; step++) {
		/* Now and then everything goes, so that the open starts again. */
		uint32_t wish = step / 150 % 3 == 2 ? 0 : MODEL_MAPS / 2;
		bool grow = md.maps < MODEL_MAPS && model_random(&md, MODEL_MAPS) < wish;

		/* Keep the space of this model small: start again when it is used up. */
		if (md.end > MODEL_PAGES - 32)
			grow = false;
		if (grow || (md.maps == 0 && wish))
			model_add(&md);
		else if (md.maps)
			model_remove(&md, model_random(&md, md.maps));
		if (step % 50 == 0)
			model_check(&md);
	}
	while (md.maps)
		model_remove(&md, md.maps - 1);
	model_check(&md);
}
END_TEST

Suite *table_model_suite(void);

Suite *table_model_suite(void)
{
	Suite *s = suite_create("table model");
	TCase *tc = tcase_create("model");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, random_against_a_model, 1, 21);
	suite_add_tcase(s, tc);
	return s;
}
