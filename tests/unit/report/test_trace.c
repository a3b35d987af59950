/* SPDX-License-Identifier: MIT */
/*
 * report/test_trace.c - events: counted always, recorded while somebody reads, lost in the open only
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hypercall.h"
#include "report/trace.h"

/*
 * The clock of events, ours: it stands for report/trace_clock.c, starts at 0 as that of a machine that has just been
 * started does, and goes on by one with each reading.
 */
static uint64_t now;

uint64_t trace_now(void)
{
	return __atomic_fetch_add(&now, 1, __ATOMIC_RELAXED);
}

/* As many as a thread's ring holds. */
#define RING 4096

static struct trace_event events[2 * RING];

static void tell(enum trace_op op, uint64_t index, int result)
{
	struct trace_event ev = trace_begin(op);

	ev.index = index;
	ev.result = result;
	trace_end(&ev);
}

static uint64_t events_of(enum trace_op op)
{
	struct trace_counts c;

	trace_count(op, &c);
	return c.events;
}

START_TEST(every_op_has_a_name_and_a_kind)
{
	for (int i = 0; i < TRACE_OPS; i++) {
		ck_assert_str_ne(trace_op_name(i), "unknown");
		ck_assert_str_ne(trace_kind_name(trace_op_kind(i)), "unknown");
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(trace_op_name(i), trace_op_name(k));
	}
	ck_assert_str_eq(trace_op_name(TRACE_OPS), "unknown");
	ck_assert_str_eq(trace_kind_name(trace_op_kind(TRACE_GRANT_COPY)), "ioctl");
	ck_assert_str_eq(trace_kind_name(trace_op_kind(TRACE_HV_SEND)), "hypercall");
}
END_TEST

START_TEST(begins_with_nothing_known)
{
	struct trace_event ev;

	trace_client(17, 1000);
	ev = trace_begin(TRACE_MMAP);
	ck_assert_int_eq(ev.tid, 17);
	ck_assert_uint_eq(ev.uid, 1000);
	ck_assert_int_eq(ev.domid, -1);
	ck_assert_int_eq(ev.status, HV_PENDING);
	ck_assert_uint_le(ev.start, trace_now());
}
END_TEST

/* Return: in which bucket of its op an event of @ns has been counted. */
static int bucket_for(uint64_t ns)
{
	struct trace_counts before, after;
	struct trace_event ev = trace_begin(TRACE_OPEN);

	trace_count(TRACE_OPEN, &before);
	now = ev.start + ns;
	trace_end(&ev);
	trace_count(TRACE_OPEN, &after);
	ck_assert_uint_eq(after.events, before.events + 1);
	ck_assert_uint_eq(after.ns, before.ns + ns);
	for (int i = 0; i < TRACE_BUCKETS; i++)
		if (after.bucket[i] != before.bucket[i])
			return i;
	return -1;
}

START_TEST(times_are_counted_by_powers_of_two)
{
	ck_assert_int_eq(bucket_for(3 * 1000000), 12); /* 2048 to 4096 us */
	ck_assert_int_eq(bucket_for(1000 * 1000000ULL), 20);
	ck_assert_int_eq(bucket_for(3600 * 1000000000ULL), TRACE_BUCKETS - 1);
	ck_assert_int_lt(bucket_for(0), 12);
}
END_TEST

START_TEST(failures_are_counted)
{
	struct trace_counts c;

	tell(TRACE_MAP_GRANT_REF, 0, 0);
	tell(TRACE_MAP_GRANT_REF, 0, -EINVAL);
	tell(TRACE_MAP_GRANT_REF, 0, 1); /* an ioctl's result may be positive */
	trace_count(TRACE_MAP_GRANT_REF, &c);
	ck_assert_uint_eq(c.events, 3);
	ck_assert_uint_eq(c.failed, 1);
	tell(TRACE_HV_MAP, 0, 0);
	tell(TRACE_HV_MAP, 0, 2); /* two of its operations */
	tell(TRACE_HV_MAP, 0, -EFAULT);
	trace_count(TRACE_HV_MAP, &c);
	ck_assert_uint_eq(c.failed, 2);
	tell(TRACE_PRELOAD, 0, -EOPNOTSUPP); /* the client connects */
	tell(TRACE_PRELOAD, 0, -ENOTTY);
	trace_count(TRACE_PRELOAD, &c);
	ck_assert_uint_eq(c.events, 2);
	ck_assert_uint_eq(c.failed, 1);
}
END_TEST

START_TEST(a_reader_sees_what_happens_from_then_on)
{
	struct trace_reader *r;
	uint64_t lost;

	tell(TRACE_OPEN, 1, 0);
	r = trace_open();
	ck_assert_ptr_nonnull(r);
	ck_assert_uint_eq(trace_read(r, events, 10, &lost), 0);
	for (uint64_t i = 0; i < 5; i++)
		tell(TRACE_MMAP, i, -(int)i);
	ck_assert_uint_eq(trace_read(r, events, 3, &lost), 3);
	ck_assert_uint_eq(trace_read(r, events + 3, 10, &lost), 2);
	ck_assert_uint_eq(lost, 0);
	for (uint64_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(events[i].index, i);
		ck_assert_int_eq(events[i].result, -(int)i);
		ck_assert_uint_eq(events[i].op, TRACE_MMAP);
		ck_assert_uint_ge(events[i].end, events[i].start);
	}
	trace_close(r);
}
END_TEST

START_TEST(nothing_is_recorded_for_nobody)
{
	struct trace_reader *r = trace_open();
	uint64_t lost;

	tell(TRACE_OPEN, 1, 0);
	trace_close(r);
	tell(TRACE_OPEN, 2, 0);
	r = trace_open();
	tell(TRACE_OPEN, 3, 0);
	ck_assert_uint_eq(trace_read(r, events, 10, &lost), 1);
	ck_assert_uint_eq(events[0].index, 3);
	trace_close(r);
	ck_assert_uint_eq(events_of(TRACE_OPEN), 3);
}
END_TEST

START_TEST(two_readers_have_a_place_each)
{
	struct trace_reader *a = trace_open(), *b;
	uint64_t lost;

	tell(TRACE_OPEN, 1, 0);
	b = trace_open();
	tell(TRACE_OPEN, 2, 0);
	ck_assert_uint_eq(trace_read(a, events, 10, &lost), 2);
	trace_close(a);
	tell(TRACE_OPEN, 3, 0);
	ck_assert_uint_eq(trace_read(b, events, 10, &lost), 2);
	ck_assert_uint_eq(events[0].index, 2);
	ck_assert_uint_eq(events[1].index, 3);
	trace_close(b);
}
END_TEST

START_TEST(what_is_overwritten_is_counted_as_lost)
{
	struct trace_reader *r = trace_open();
	uint64_t lost, n = RING + 100;
	size_t got;

	for (uint64_t i = 0; i < n; i++)
		tell(TRACE_OPEN, i, 0);
	got = trace_read(r, events, 2 * RING, &lost);
	ck_assert_uint_eq(got, RING);
	ck_assert_uint_eq(lost, 100);
	ck_assert_uint_eq(events[0].index, 100);
	ck_assert_uint_eq(events[got - 1].index, n - 1);
	trace_close(r);
}
END_TEST

static void *other_thread(void *arg)
{
	tell(TRACE_RELEASE, (uintptr_t)arg, 0);
	return NULL;
}

static void run_thread(uintptr_t index)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, (void *)index), 0);
	pthread_join(thread, NULL);
}

START_TEST(threads_that_come_and_go_are_seen_in_order)
{
	struct trace_reader *r = trace_open();
	uint64_t lost;

	for (uint64_t i = 0; i < 100; i++) {
		if (i % 2)
			tell(TRACE_OPEN, i, 0);
		else
			run_thread(i);
	}
	ck_assert_uint_eq(trace_read(r, events, 200, &lost), 100);
	ck_assert_uint_eq(lost, 0);
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_uint_eq(events[i].index, i);
	ck_assert_uint_eq(events_of(TRACE_RELEASE), 50);
	trace_close(r);
}
END_TEST

#define WRITERS	  4
#define PER_WRITE 20000

/* Each event says the same in two places, so that one torn in between is seen. */
static void *writer(void *arg)
{
	for (uint64_t i = 0; i < PER_WRITE; i++) {
		struct trace_event ev = trace_begin(TRACE_MUNMAP);

		ev.open_id = (uintptr_t)arg;
		ev.index = i;
		ev.count = (uint32_t)i;
		ev.ref = ~(uint32_t)i;
		trace_end(&ev);
	}
	return NULL;
}

/* Whether what was read goes on in each writer's order, and is whole. */
static void check_read(size_t got, uint64_t *next)
{
	for (size_t i = 0; i < got; i++) {
		const struct trace_event *ev = &events[i];

		ck_assert_uint_lt(ev->open_id, WRITERS);
		ck_assert_uint_ge(ev->index, next[ev->open_id]);
		ck_assert_uint_eq(ev->count, (uint32_t)ev->index);
		ck_assert_uint_eq(ev->ref, ~(uint32_t)ev->index);
		next[ev->open_id] = ev->index + 1;
	}
}

START_TEST(nothing_is_torn_and_nothing_lost_in_silence)
{
	struct trace_reader *r = trace_open();
	uint64_t next[WRITERS] = { 0 }, lost, all = 0;
	pthread_t thread[WRITERS];
	size_t got;

	for (uintptr_t i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, writer, (void *)i), 0);
	while (all < (uint64_t)WRITERS * PER_WRITE) {
		got = trace_read(r, events, 1000, &lost);
		check_read(got, next);
		all += got + lost;
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(all, (uint64_t)WRITERS * PER_WRITE);
	ck_assert_uint_eq(events_of(TRACE_MUNMAP), (uint64_t)WRITERS * PER_WRITE);
	trace_close(r);
}
END_TEST

Suite *trace_suite(void)
{
	Suite *s = suite_create("trace");
	TCase *tc = tcase_create("trace");

	tcase_add_test(tc, every_op_has_a_name_and_a_kind);
	tcase_add_test(tc, begins_with_nothing_known);
	tcase_add_test(tc, times_are_counted_by_powers_of_two);
	tcase_add_test(tc, failures_are_counted);
	tcase_add_test(tc, a_reader_sees_what_happens_from_then_on);
	tcase_add_test(tc, nothing_is_recorded_for_nobody);
	tcase_add_test(tc, two_readers_have_a_place_each);
	tcase_add_test(tc, what_is_overwritten_is_counted_as_lost);
	tcase_add_test(tc, threads_that_come_and_go_are_seen_in_order);
	tcase_add_test(tc, nothing_is_torn_and_nothing_lost_in_silence);
	suite_add_tcase(s, tc);
	return s;
}
