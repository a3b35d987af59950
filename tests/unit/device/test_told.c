/* SPDX-License-Identifier: MIT */
/*
 * device/test_told.c - where clients say that their windows are
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "device/told.h"

#define PAGE 4096ULL
#define MANY 3000

static struct told told;
static struct told_window w[MANY];
static bool there[MANY];

static void setup(void)
{
	rcu_thread_enter();
	memset(&told, 0, sizeof(told));
	memset(w, 0, sizeof(w));
	memset(there, 0, sizeof(there));
	told_init(&told);
}

static void teardown(void)
{
	rcu_thread_leave();
}

static void put(int i, uint64_t open_id, uint64_t vaddr, uint32_t count)
{
	static uint64_t order;

	w[i] = (struct told_window){ .open_id = open_id,
				     .vaddr = vaddr,
				     .count = count,
				     .index = (uint64_t)i,
				     .order = ++order };
	told_put(&told, &w[i]);
	there[i] = true;
}

static void drop(int i)
{
	told_drop(&told, &w[i]);
	there[i] = false;
}

/* Return: which, -1: none. */
static int found(uint64_t open_id, uint64_t vaddr)
{
	const struct told_window *f;
	int i;

	rcu_read_enter();
	f = told_find(&told, open_id, vaddr);
	i = f ? (int)f->index : -1;
	rcu_read_leave();
	return i;
}

START_TEST(edges)
{
	put(0, 1, 8 * PAGE, 3);
	ck_assert_int_eq(found(1, 8 * PAGE - 1), -1);
	ck_assert_int_eq(found(1, 8 * PAGE), 0);
	ck_assert_int_eq(found(1, 11 * PAGE - 1), 0);
	ck_assert_int_eq(found(1, 11 * PAGE), -1);
	ck_assert_int_eq(found(2, 8 * PAGE), -1);
	ck_assert_int_eq(found(1, 0), -1);
	drop(0);
	ck_assert_int_eq(found(1, 8 * PAGE), -1);
}
END_TEST

/* A client may say what it likes. */
START_TEST(ends_of_memory)
{
	put(0, 1, ~0ULL - 5, 1U << (TOLD_SIZES - 1));
	put(1, 1, 1, 1);
	ck_assert_int_eq(found(1, ~0ULL), 0);
	ck_assert_int_eq(found(1, ~0ULL - 6), -1);
	ck_assert_int_eq(found(1, 0), -1);
	ck_assert_int_eq(found(1, 1), 1);
	ck_assert_int_eq(found(1, PAGE), 1);
	ck_assert_int_eq(found(1, PAGE + 1), -1);
}
END_TEST

START_TEST(the_last_counts)
{
	put(0, 1, 16 * PAGE, 8);
	put(1, 1, 18 * PAGE, 1);
	put(2, 1, 17 * PAGE, 2);
	ck_assert_int_eq(found(1, 16 * PAGE), 0);
	ck_assert_int_eq(found(1, 17 * PAGE), 2);
	ck_assert_int_eq(found(1, 18 * PAGE), 2);
	ck_assert_int_eq(found(1, 19 * PAGE), 0);
	drop(2);
	ck_assert_int_eq(found(1, 17 * PAGE), 0);
	ck_assert_int_eq(found(1, 18 * PAGE), 1);
	drop(0);
	ck_assert_int_eq(found(1, 17 * PAGE), -1);
	ck_assert_int_eq(found(1, 18 * PAGE), 1);
}
END_TEST

static int by_looking_through(uint64_t open_id, uint64_t vaddr)
{
	int last = -1;

	for (int i = 0; i < MANY; i++)
		if (there[i] && w[i].open_id == open_id && vaddr >= w[i].vaddr &&
		    vaddr - w[i].vaddr < w[i].count * PAGE &&
		    (last < 0 || w[i].order > w[last].order))
			last = i;
	return last;
}

/* Anywhere, of any size, on top of each other or not. */
START_TEST(as_by_looking_through)
{
	unsigned int hits = 0;

	srandom(_i);
	for (int i = 0; i < MANY; i++) {
		uint32_t most = 1U << random() % (TOLD_SIZES - 1);

		put(i, 1 + (uint64_t)random() % 3, (uint64_t)random() % 300000 * PAGE,
		    1 + (uint32_t)random() % most);
		if (random() % 4 == 0)
			drop(i);
	}
	for (int i = 0; i < 2000; i++) {
		uint64_t at = (uint64_t)random() % 300000 * PAGE + 77, id = 1 + (uint64_t)i % 3;
		int which = found(id, at);

		hits += which >= 0;
		ck_assert_int_eq(which, by_looking_through(id, at));
	}
	ck_assert_uint_gt(hits, 100);
}
END_TEST

/* Windows side by side fill no bucket: what is looked through to find one does not grow with them. */
START_TEST(buckets_stay_short)
{
	for (int i = 0; i < MANY; i++)
		put(i, 1, (uint64_t)i * 16 * PAGE, i % 2 ? 1 : 16);
	for (unsigned int b = 0; b < TOLD_BUCKETS; b++) {
		int n = 0;

		for (const struct told_window *in = told.bucket[b]; in; in = in->next)
			n++;
		ck_assert_int_lt(n, 8);
	}
}
END_TEST

Suite *told_suite(void);

Suite *told_suite(void)
{
	Suite *s = suite_create("told");
	TCase *tc = tcase_create("told");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, edges);
	tcase_add_test(tc, ends_of_memory);
	tcase_add_test(tc, the_last_counts);
	tcase_add_loop_test(tc, as_by_looking_through, 1, 6);
	tcase_add_test(tc, buckets_stay_short);
	suite_add_tcase(s, tc);
	return s;
}
