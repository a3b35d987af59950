/* SPDX-License-Identifier: MIT */
/*
 * state/test_slot.c - slots: a successor sees how far a request had come, and no memory is lost or given twice
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/slot.h"
#include "tests/unit/suite.h"

static struct slots *s;

static void setup(void)
{
	ck_assert_int_eq(slots_new(&s), 0);
}

static void teardown(void)
{
	slots_close(s);
	s = NULL;
}

/* As if the daemon had been killed here. Return: of slots_adopt(). */
static int succeed(void)
{
	int fd = fcntl(slots_fd(s), F_DUPFD_CLOEXEC, 0);

	slots_close(s);
	return slots_adopt(fd, &s);
}

static void expect_used(uint32_t slots, uint32_t areas)
{
	uint32_t n_slots, n_areas;
	uint64_t pages;

	slots_count(s, &n_slots, &n_areas, &pages);
	ck_assert_uint_eq(n_slots, slots);
	ck_assert_uint_eq(n_areas, areas);
}

/* The one slot that is not idle. */
static struct slot *only(void)
{
	uint32_t cursor = 0;
	struct slot *slot = slots_next(s, &cursor);

	ck_assert_ptr_nonnull(slot);
	ck_assert_ptr_null(slots_next(s, &cursor));
	return slot;
}

static void no_slot(void)
{
	uint32_t cursor = 0;

	ck_assert_ptr_null(slots_next(s, &cursor));
}

static void put_request(struct slot *slot, const char *text, size_t len)
{
	char *at = slot_request(s, slot, len);

	ck_assert_ptr_nonnull(at);
	memset(at, 'x', len);
	memcpy(at, text, strlen(text) + 1);
	slot_received(slot, len);
}

static void put_answer(struct slot *slot, const char *text, size_t len)
{
	char *at = slot_answer(s, slot, len);

	ck_assert_ptr_nonnull(at);
	memset(at, 'y', len);
	memcpy(at, text, strlen(text) + 1);
	slot_done(slot, len);
}

START_TEST(it_says_how_far_it_has_come)
{
	struct slot *slot = slot_take(s);

	ck_assert_ptr_nonnull(slot);
	ck_assert_int_eq(succeed(), 0);
	no_slot();
	expect_used(0, 0);
	slot_expect(slot_take(s), 7);
	ck_assert_int_eq(succeed(), 0);
	slot = only();
	ck_assert_uint_eq(slot->state, SLOT_RECEIVING);
	ck_assert_uint_eq(slot->pipe, 7);
	ck_assert_uint_eq(*(uint32_t *)slot_request(s, slot, 0), 0);
	put_request(slot, "what is asked", 100);
	slot_run(slot, true);
	slot->progress = 3;
	slot->ends = 4;
	ck_assert_int_eq(succeed(), 0);
	slot = only();
	ck_assert_uint_eq(slot->state, SLOT_TAKEN);
	ck_assert_str_eq(slot_request(s, slot, 0), "what is asked");
	ck_assert_uint_eq(slot->request_len, 100);
	ck_assert(slot_runs(slot));
	ck_assert_uint_eq(slot->progress, 3);
	put_answer(slot, "what is said", SLOT_ANSWER_BYTES);
	ck_assert_int_eq(succeed(), 0);
	slot = only();
	ck_assert_uint_eq(slot->state, SLOT_DONE);
	ck_assert_str_eq(slot_answer(s, slot, 0), "what is said");
	ck_assert_uint_eq(slot->ends, 4);
	expect_used(1, 0);
	slot_free(s, slot);
	ck_assert_int_eq(succeed(), 0);
	no_slot();
	expect_used(0, 0);
}
END_TEST

START_TEST(deaths_are_counted_once)
{
	struct slot *slot = slot_take(s);

	slot_expect(slot, 1);
	put_request(slot, "short", 6);
	slot_died(slot);
	ck_assert_uint_eq(slot_deaths(slot), 0);
	for (unsigned int i = 1; i <= 3; i++) {
		slot_run(slot, true);
		slot_run(slot, true);
		ck_assert_int_eq(succeed(), 0);
		slot = only();
		slot_died(slot);
		slot_died(slot);
		ck_assert_uint_eq(slot_deaths(slot), i);
		slot_run(slot, true);
		slot_run(slot, false);
		slot_died(slot);
		ck_assert_uint_eq(slot_deaths(slot), i);
	}
	slot_free(s, slot);
}
END_TEST

START_TEST(what_is_cleared_is_as_new)
{
	struct slot *slot = slot_take(s);

	slot_expect(slot, 1);
	put_request(slot, "long", SLOT_REQUEST_BYTES + 1);
	put_answer(slot, "short", 6);
	slot->tries = 4;
	slot->progress = slot->ends = 9;
	slot_clear(s, slot);
	ck_assert_mem_eq(slot, (char[SLOT_HEAD]){ 0 }, SLOT_HEAD);
	ck_assert_uint_eq(*(uint32_t *)slot_request(s, slot, 0), 0);
	expect_used(1, 0);
	slot_free(s, slot);
	slot_free(s, NULL);
	expect_used(0, 0);
}
END_TEST

START_TEST(what_is_long_has_an_area)
{
	struct slot *slot = slot_take(s);
	char *at;

	put_request(slot, "asked", SLOT_AREA_BYTES);
	put_answer(slot, "said", SLOT_PAGE);
	at = slot_answer(s, slot, SLOT_PAGE);
	ck_assert_uint_eq((uintptr_t)at % SLOT_PAGE, 0);
	expect_used(1, 2);
	ck_assert_int_eq(succeed(), 0);
	expect_used(1, 2);
	slot = only();
	ck_assert_str_eq(slot_request(s, slot, 0), "asked");
	ck_assert_str_eq(slot_answer(s, slot, 0), "said");
	ck_assert_int_eq(((char *)slot_request(s, slot, 0))[SLOT_AREA_BYTES - 1], 'x');
	ck_assert_ptr_null(slot_answer(s, slot, SLOT_AREA_BYTES + 1));
	slot_free(s, slot);
	expect_used(0, 0);
	/* What was in an area is not taken for what has been read into it. */
	slot = slot_take(s);
	slot_expect(slot, 1);
	ck_assert_uint_eq(*(uint32_t *)slot_request(s, slot, SLOT_REQUEST_BYTES + 1), 0);
	expect_used(1, 1);
	/* Killed as it was given back: */
	slot->state = SLOT_IDLE;
	ck_assert_int_eq(succeed(), 0);
	expect_used(0, 0);
}
END_TEST

START_TEST(there_are_as_many_as_are_needed)
{
	struct slot *slot[1000];
	uint32_t n, areas;
	uint64_t pages, more;

	for (int i = 0; i < 1000; i++) {
		slot[i] = slot_take(s);
		ck_assert_ptr_nonnull(slot[i]);
		slot_expect(slot[i], (uint32_t)i);
		if (i % 100 == 0)
			ck_assert_ptr_nonnull(slot_request(s, slot[i], SLOT_PAGE));
	}
	for (int i = 0; i < 1000; i++)
		assert_each(slot[i]->pipe == (uint32_t)i, "slot %d was given twice", i);
	slots_count(s, &n, &areas, &pages);
	ck_assert_uint_eq(n, 1000);
	ck_assert_uint_eq(areas, 10);
	for (int i = 0; i < 1000; i++)
		slot_free(s, slot[i]);
	for (int i = 0; i < 1000; i++)
		ck_assert_ptr_nonnull(slot[i] = slot_take(s));
	slots_count(s, &n, &areas, &more);
	ck_assert_uint_eq(more, pages);
	ck_assert_int_eq(succeed(), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_ptr_nonnull(slot_take(s));
	slots_count(s, &n, &areas, &more);
	ck_assert_uint_le(more, pages);
}
END_TEST

static void *take_and_give(void *arg)
{
	for (uint32_t i = 0; i < 20000; i++) {
		struct slot *slot = slot_take(s);
		uint32_t *at;

		slot_expect(slot, 1);
		at = slot_request(s, slot, i % 2 ? SLOT_PAGE : 8);
		at[1] = (uint32_t)(uintptr_t)arg;
		sched_yield();
		if (at[1] != (uint32_t)(uintptr_t)arg)
			return arg;
		slot_free(s, slot);
	}
	return NULL;
}

static uint64_t blocks(void)
{
	struct stat st;

	ck_assert_int_eq(fstat(slots_fd(s), &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* What a peak has had goes back to the machine, and what is taken then is as new. */
START_TEST(a_peak_does_not_last)
{
	enum { N = 5000, LONG = 60 };
	static struct slot *slot[N];
	uint64_t most, rest;

	for (int again = 0; again < 2; again++) {
		for (int i = 0; i < N; i++) {
			slot[i] = slot_take(s);
			ck_assert_ptr_nonnull(slot[i]);
			ck_assert_mem_eq(slot[i], (char[SLOT_HEAD]){ 0 }, SLOT_HEAD);
			ck_assert_uint_eq(*(uint32_t *)slot[i]->request, 0);
			slot_expect(slot[i], 1);
			put_request(slot[i], "asked", i < LONG ? SLOT_AREA_BYTES : 100);
		}
		most = blocks();
		for (int i = 0; i < N; i++)
			slot_free(s, slot[i]);
		rest = blocks();
		ck_assert_uint_gt(most, N * (uint64_t)SLOT_PAGE + LONG * (uint64_t)SLOT_AREA_BYTES);
		ck_assert_uint_lt(rest, 10 << 20);
		expect_used(0, 0);
		/* Nor does looking make it again. */
		ck_assert_int_eq(succeed(), 0);
		no_slot();
		ck_assert_uint_lt(blocks(), 10 << 20);
	}
}
END_TEST

START_TEST(no_two_threads_have_the_same)
{
	pthread_t thread[4];
	void *bad;

	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, take_and_give, (void *)(i + 1)),
				 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], &bad);
		ck_assert_ptr_null(bad);
	}
	expect_used(0, 0);
}
END_TEST

static void no_magic(struct slot *slot, unsigned char *head)
{
	(void)slot;
	head[0]++;
}

static void no_such_piece(struct slot *slot, unsigned char *head)
{
	(void)slot;
	head[SLOT_PAGE] = 3;
}

/* How many there are lies behind the sizes. */
static void fewer_pieces(struct slot *slot, unsigned char *head)
{
	(void)slot;
	((uint32_t *)head)[4] = 0;
}

static void more_pieces(struct slot *slot, unsigned char *head)
{
	(void)slot;
	((uint32_t *)head)[4] = SLOT_PIECES;
}

static void no_such_state(struct slot *slot, unsigned char *head)
{
	(void)head;
	slot->state = SLOT_STATES;
}

static void longer_than_there_is_room(struct slot *slot, unsigned char *head)
{
	(void)head;
	slot->request_len = SLOT_AREA_BYTES + 1;
}

static void answer_longer_than_a_slot(struct slot *slot, unsigned char *head)
{
	(void)head;
	slot->answer_len = SLOT_ANSWER_BYTES + 1;
}

static void no_such_area(struct slot *slot, unsigned char *head)
{
	(void)head;
	slot->areas[0] = 1000;
}

static void slots_for_an_area(struct slot *slot, unsigned char *head)
{
	(void)head;
	slot->areas[0] = 1;
}

static void one_area_for_two(struct slot *slot, unsigned char *head)
{
	(void)head;
	slot->areas[1] = slot->areas[0];
}

static void (*const damages[])(struct slot *, unsigned char *) = {
	no_magic,
	no_such_piece,
	fewer_pieces,
	more_pieces,
	no_such_state,
	longer_than_there_is_room,
	answer_longer_than_a_slot,
	no_such_area,
	slots_for_an_area,
	one_area_for_two,
};

START_TEST(damage_is_refused)
{
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct slot *slot = slot_take(s);

		put_request(slot, "long", SLOT_PAGE);
		put_answer(slot, "short", 8);
		/* The first slot is the first page behind the head. */
		damages[i](slot, (unsigned char *)slot - (size_t)5 * SLOT_PAGE);
		assert_each(succeed() == -EINVAL && !s, "damage %zu", i);
		setup();
	}
}
END_TEST

START_TEST(what_is_no_store_is_refused)
{
	int fd = memfd_create("other", MFD_CLOEXEC);
	struct slots *other;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(slots_adopt(fd, &other), -EINVAL);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

Suite *slot_suite(void);

Suite *slot_suite(void)
{
	const TTest *const tests[] = {
		it_says_how_far_it_has_come,	 what_is_cleared_is_as_new,
		deaths_are_counted_once,	 what_is_long_has_an_area,
		there_are_as_many_as_are_needed, a_peak_does_not_last,
		no_two_threads_have_the_same,	 damage_is_refused,
		what_is_no_store_is_refused,
	};

	return suite_of("slot", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
