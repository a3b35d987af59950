/* SPDX-License-Identifier: MIT */
/*
 * base/test_ids.c - ids, and the radix tree that they and the table are made of
 */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Memory runs out at the allocation whose turn it is: the sources are compiled in for that. */
static int allocations_left = -1;

static bool memory_is_out(void)
{
	if (allocations_left < 0)
		return false;
	return allocations_left == 0 || --allocations_left == 0;
}

static void *scarce_calloc(size_t n, size_t size)
{
	return memory_is_out() ? NULL : calloc(n, size);
}

#define calloc(n, size) scarce_calloc(n, size)
/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "base/radix.c"
#include "base/ids.c"
/* NOLINTEND(bugprone-suspicious-include) */
#undef calloc

/* --- ids ------------------------------------------------------------------------------------ */

START_TEST(a_stale_id_is_not_found)
{
	struct ids *s = ids_new();
	int obj[2];
	uint64_t a = ids_add(s, &obj[0]), b;

	ck_assert_uint_ne(a, 0);
	ck_assert_ptr_eq(ids_get(s, a), &obj[0]);
	ck_assert_ptr_eq(ids_remove(s, a), &obj[0]);
	ck_assert_ptr_null(ids_get(s, a));
	ck_assert_ptr_null(ids_remove(s, a));
	b = ids_add(s, &obj[1]);
	ck_assert_uint_ne(a, b);
	ck_assert_ptr_null(ids_get(s, a));
	ck_assert_ptr_null(ids_remove(s, a));
	ck_assert_ptr_eq(ids_get(s, b), &obj[1]);
	ck_assert_ptr_eq(ids_remove(s, b), &obj[1]);
	ids_destroy(s);
	ids_destroy(NULL);
}
END_TEST

START_TEST(hostile_ids_are_not_found)
{
	struct ids *s = ids_new();
	int obj;
	uint64_t id = ids_add(s, &obj);

	ck_assert_ptr_null(ids_get(s, 0));
	ck_assert_ptr_null(ids_remove(s, 0));
	ck_assert_ptr_null(ids_get(s, UINT64_MAX));
	for (int bit = 0; bit < 64; bit++) {
		ck_assert_ptr_null(ids_get(s, id ^ (1ULL << bit)));
		ck_assert_ptr_null(ids_remove(s, id ^ (1ULL << bit)));
	}
	ck_assert_ptr_eq(ids_get(s, id), &obj);
	ids_destroy(s);
}
END_TEST

static void count_id(uint64_t id, void *obj, void *arg)
{
	uint64_t *sum = arg;

	ck_assert_uint_ne(id, 0);
	sum[0]++;
	sum[1] += *(uint64_t *)obj;
}

START_TEST(slots_are_reused_and_ids_are_not)
{
	enum { N = 300 };
	static uint64_t obj[N], id[N], old[N];
	struct ids *s = ids_new();
	uint64_t sum[2] = { 0, 0 };

	for (int i = 0; i < N; i++) {
		obj[i] = i;
		id[i] = ids_add(s, &obj[i]);
	}
	for (int round = 0; round < 10; round++) {
		memcpy(old, id, sizeof(id));
		for (int i = 0; i < N; i++)
			ck_assert_ptr_eq(ids_remove(s, id[i * 7 % N]), &obj[i * 7 % N]);
		for (int i = 0; i < N; i++)
			id[i] = ids_add(s, &obj[i]);
		for (int i = 0; i < N; i++) {
			ck_assert_ptr_eq(ids_get(s, id[i]), &obj[i]);
			ck_assert_ptr_null(ids_get(s, old[i]));
			/* As many slots as ever. */
			ck_assert_uint_le(id[i] & ((1 << 28) - 1), N);
		}
	}
	ids_for_each(s, count_id, sum);
	ck_assert_uint_eq(sum[0], N);
	ck_assert_uint_eq(sum[1], (uint64_t)N * (N - 1) / 2);
	ids_destroy(s);
}
END_TEST

START_TEST(a_reserved_id_is_found_once_it_is_published)
{
	struct ids *s = ids_new();
	int obj;
	uint64_t id = ids_reserve(s);

	ck_assert_uint_ne(id, 0);
	ck_assert_ptr_null(ids_get(s, id));
	ids_publish(s, id, &obj);
	ck_assert_ptr_eq(ids_get(s, id), &obj);
	ids_destroy(s);
}
END_TEST

/* What a successor finds of a set with some objects, @n ids of which have been given in all. */
static void leave_ids(uint64_t *generations, uint64_t *id, unsigned int n, uint64_t *newest)
{
	struct ids *s = ids_new();
	static int obj[3];

	ids_last(s, generations);
	for (int i = 0; i < 3; i++)
		id[i] = ids_add(s, &obj[i]);
	*newest = 0;
	for (unsigned int i = 3; i < n; i++) {
		uint64_t next = ids_add(s, &obj[0]);

		ids_remove(s, next);
		*newest = id_gen(next) > *newest ? id_gen(next) : *newest;
	}
	ids_remove(s, id[1]);
	ids_destroy(s);
}

static void restore_after(unsigned int n)
{
	uint64_t generations = 0, id[3], newest, more[4];
	struct ids *s = ids_new();
	int obj[4];

	leave_ids(&generations, id, n, &newest);
	ids_last(s, &generations);
	ck_assert_int_eq(ids_restore(s, id[2], &obj[2]), 0);
	ck_assert_int_eq(ids_restore(s, id[0], &obj[0]), 0);
	ck_assert_int_eq(ids_restore(s, id[0], &obj[1]), -EEXIST);
	ids_restored(s);
	ck_assert_ptr_eq(ids_get(s, id[0]), &obj[0]);
	ck_assert_ptr_null(ids_get(s, id[1]));
	ck_assert_ptr_eq(ids_get(s, id[2]), &obj[2]);
	for (int i = 0; i < 4; i++) {
		more[i] = ids_add(s, &obj[i]);
		ck_assert_uint_gt(id_gen(more[i]), newest);
		ck_assert_uint_ne(more[i], id[1]);
	}
	/* The hole between them was found. */
	ck_assert_uint_eq(more[0] & IDS_SLOT_MASK, id[1] & IDS_SLOT_MASK);
	ck_assert_ptr_eq(ids_remove(s, id[2]), &obj[2]);
	ids_destroy(s);
}

START_TEST(ids_are_restored)
{
	restore_after(3);
	restore_after(4);
}
END_TEST

START_TEST(ids_outlive_many_generations)
{
	restore_after(200000);
}
END_TEST

START_TEST(an_id_without_an_object_is_not_given_again)
{
	struct ids *s = ids_new();
	int obj;
	uint64_t id = 5ULL << IDS_SLOT_BITS | 1;

	ck_assert_int_eq(ids_restore(s, id, NULL), 0);
	ck_assert_int_eq(ids_restore(s, 3ULL << IDS_SLOT_BITS | 1, NULL), 0);
	ids_restored(s);
	ck_assert_ptr_null(ids_get(s, id));
	ck_assert_uint_eq(ids_add(s, &obj), 6ULL << IDS_SLOT_BITS | 1);
	ids_destroy(s);
}
END_TEST

START_TEST(what_is_no_id_is_not_restored)
{
	uint64_t generations = 65536;
	struct ids *s = ids_new();
	int obj;

	ck_assert_int_eq(ids_restore(s, 0, &obj), -EINVAL);
	ck_assert_int_eq(ids_restore(s, 1ULL << IDS_SLOT_BITS, &obj), -EINVAL);
	ck_assert_int_eq(ids_restore(s, IDS_SLOT_MASK, &obj), -EINVAL);
	/* Nothing is made for what cannot have been. */
	ids_restoring(s, 1000);
	ck_assert_int_eq(ids_restore(s, 1001, &obj), -EINVAL);
	ck_assert_ptr_null(radix_find(&s->words, 1000));
	ck_assert_int_eq(ids_restore(s, 1000, &obj), 0);
	ids_destroy(s);
	/* Nor one of a generation that was not reached. */
	s = ids_new();
	ids_last(s, &generations);
	ck_assert_int_eq(ids_restore(s, generations << IDS_SLOT_BITS | 1, &obj), -EINVAL);
	ck_assert_int_eq(ids_restore(s, 65535ULL << IDS_SLOT_BITS | 1, &obj), 0);
	ids_destroy(s);
}
END_TEST

/* --- the tree ------------------------------------------------------------------------------- */

START_TEST(radix_words_do_not_move)
{
	static const uint64_t key[] = {
		100, 0, 7, 8, 63, 64, 4095, 4096, 262144, 1ULL << 26, 1ULL << 40, RADIX_KEYS - 1
	};
	enum { N = sizeof(key) / sizeof(key[0]) };
	struct radix r = { 0 };
	uint64_t *word[N];

	for (int i = 0; i < N; i++) {
		word[i] = radix_make(&r, key[i]);
		ck_assert_ptr_nonnull(word[i]);
		ck_assert_uint_eq(*word[i], 0);
		*word[i] = key[i] + 1;
	}
	for (int i = 0; i < N; i++) {
		ck_assert_ptr_eq(radix_find(&r, key[i]), word[i]);
		ck_assert_ptr_eq(radix_make(&r, key[i]), word[i]);
		ck_assert_uint_eq(*word[i], key[i] + 1);
	}
	ck_assert_ptr_null(radix_make(&r, RADIX_KEYS));
	ck_assert_ptr_null(radix_make(&r, UINT64_MAX));
	ck_assert_ptr_null(radix_find(&r, RADIX_KEYS));
	ck_assert_ptr_null(radix_find(&r, 1ULL << 30));
	radix_destroy(&r);
	ck_assert_ptr_null(radix_find(&r, 100));
}
END_TEST

START_TEST(radix_runs_are_neighbours)
{
	struct radix r = { 0 };

	for (uint64_t key = 0; key < 1000; key++)
		radix_make(&r, key);
	for (uint64_t key = 0; key < 1000; key += radix_run(key)) {
		uint64_t n = radix_run(key);

		for (uint64_t i = 0; i < n && key + i < 1000; i++)
			ck_assert_ptr_eq(radix_find(&r, key + i), radix_find(&r, key) + i);
	}
	radix_destroy(&r);
}
END_TEST

START_TEST(radix_stack_is_last_in_first_out)
{
	struct radix r = { 0 };
	uint64_t head = 0;

	ck_assert_uint_eq(radix_pop(&r, &head), RADIX_STACK_NONE);
	for (uint64_t key = 0; key < 200; key++) {
		radix_make(&r, key);
		radix_push(&r, &head, key);
		ck_assert(radix_is_link(*radix_find(&r, key)));
	}
	for (uint64_t key = 200; key-- > 0;)
		ck_assert_uint_eq(radix_pop(&r, &head), key);
	ck_assert_uint_eq(radix_pop(&r, &head), RADIX_STACK_NONE);
	radix_destroy(&r);
}
END_TEST

/* --- no memory -------------------------------------------------------------------------------- */

START_TEST(without_memory_no_id_is_made)
{
	struct ids *s;

	allocations_left = 1;
	ck_assert_ptr_null(ids_new());
	allocations_left = -1;

	s = ids_new();
	for (int i = 0; i < 4; i++)
		ck_assert_uint_ne(ids_add(s, &s), 0);
	/* The fifth needs a node. */
	allocations_left = 1;
	ck_assert_uint_eq(ids_add(s, &s), 0);
	allocations_left = -1;
	ck_assert_uint_ne(ids_add(s, &s), 0);
	ids_destroy(s);
}
END_TEST

START_TEST(without_memory_no_word_is_made)
{
	struct radix r = { 0 };

	allocations_left = 1;
	ck_assert_ptr_nonnull(radix_make(&r, 7));
	ck_assert_ptr_null(radix_make(&r, 8));
	/* A root of two levels, but no leaf. */
	allocations_left = 2;
	ck_assert_ptr_null(radix_make(&r, 100));
	ck_assert_ptr_null(radix_find(&r, 100));
	allocations_left = -1;
	ck_assert_ptr_nonnull(radix_make(&r, 100));
	radix_destroy(&r);
}
END_TEST

Suite *ids_suite(void);

static void add_id_tests(TCase *tc)
{
	tcase_add_test(tc, a_stale_id_is_not_found);
	tcase_add_test(tc, hostile_ids_are_not_found);
	tcase_add_test(tc, slots_are_reused_and_ids_are_not);
	tcase_add_test(tc, a_reserved_id_is_found_once_it_is_published);
	tcase_add_test(tc, without_memory_no_id_is_made);
	tcase_add_test(tc, ids_are_restored);
	tcase_add_test(tc, ids_outlive_many_generations);
	tcase_add_test(tc, an_id_without_an_object_is_not_given_again);
	tcase_add_test(tc, what_is_no_id_is_not_restored);
}

static void add_radix_tests(TCase *tc)
{
	tcase_add_test(tc, radix_words_do_not_move);
	tcase_add_test(tc, radix_runs_are_neighbours);
	tcase_add_test(tc, radix_stack_is_last_in_first_out);
	tcase_add_test(tc, without_memory_no_word_is_made);
}

Suite *ids_suite(void)
{
	Suite *s = suite_create("ids");
	TCase *ids = tcase_create("ids");
	TCase *radix = tcase_create("radix");

	add_id_tests(ids);
	add_radix_tests(radix);
	suite_add_tcase(s, ids);
	suite_add_tcase(s, radix);
	return s;
}
