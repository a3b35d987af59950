/* SPDX-License-Identifier: MIT */
/*
 * device/test_dispatch.c - the runner of ioctls, with a device that has one of each kind
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device/dispatch.h"
#include "report/failure.h"
#include "tests/unit/double.h"

#define in_both_modes(tc, test) tcase_add_loop_test(tc, test, DOUBLE_DIRECT, DOUBLE_RETRY + 1)

/* An argument: how many numbers follow, and their sum back. */
struct sum {
	uint32_t n;
	uint32_t sum;
	uint32_t number[];
};

#define SUM	_IOC(_IOC_NONE, 'T', 1, sizeof(struct sum))
#define SQUARES _IOC(_IOC_NONE, 'T', 2, sizeof(struct sum))
#define LATER	_IOC(_IOC_NONE, 'T', 3, sizeof(uint32_t))
#define NOT	_IOC(_IOC_NONE, 'T', 4, sizeof(uint32_t))
#define NEAR	_IOC(_IOC_NONE, 'T', 5, sizeof(uint32_t))
#define EMPTY	_IOC(_IOC_NONE, 'T', 6, 0)

/* What has happened so far. */
static int runs, undone, made, dropped;
static struct ioctl_call *kept;
static const struct ioctl_table table;

static int numbers(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct sum *s = arg;

	ck_assert_str_eq(dev->name, "double");
	if (s->n > 1000)
		return caller_why(&call->c, -EINVAL, WHY_MAP_COUNT, "more than 1000");
	call->object = calloc(s->n + 1, sizeof(uint32_t));
	ck_assert_ptr_nonnull(call->object);
	made++;
	call->more = (struct iovec){ call->object, s->n * sizeof(uint32_t) };
	return 0;
}

static void numbers_drop(struct ioctl_call *call)
{
	free(call->object);
	dropped++;
}

static int sum(struct device *dev, struct ioctl_call *call, void *arg)
{
	const uint32_t *number = call->object;
	struct sum *s = arg;

	(void)dev;
	runs++;
	s->sum = 0;
	for (uint32_t i = 0; i < s->n; i++)
		s->sum += number[i];
	return s->sum == 13 ? -EPERM : 0;
}

static int squares(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct sum *s = arg;
	uint32_t *number = call->object;

	(void)dev;
	runs++;
	for (uint32_t i = 0; i < s->n; i++)
		number[i] = i * i;
	return 0;
}

static void undo(struct device *dev, struct ioctl_call *call, void *arg)
{
	(void)dev;
	(void)call;
	ck_assert_uint_le(((struct sum *)arg)->n, 1000);
	undone++;
}

static int later(struct device *dev, struct ioctl_call *call, void *arg)
{
	(void)dev;
	(void)arg;
	kept = ioctl_keep(call);
	ck_assert_ptr_nonnull(kept);
	ck_assert_ptr_eq(ioctl_keep(kept), kept);
	ioctl_end(&table, kept, -ENOENT);
	return IOCTL_KEPT;
}

static int add(struct device *dev, struct ioctl_call *call, void *arg)
{
	(void)dev;
	(void)call;
	(void)arg;
	runs++;
	return 0;
}

static const struct ioctl_row rows[] = {
	{ IOCTL_CMD(SUM), TRACE_OTHER_IOCTL, "SUM", .flags = IOCTL_BACK | IOCTL_MORE_IN, .fn = sum,
	  .more = numbers, .undo = undo, .drop = numbers_drop },
	{ IOCTL_CMD(SQUARES), TRACE_OTHER_IOCTL, "SQUARES", .flags = IOCTL_BACK | IOCTL_MORE_BACK,
	  .fn = squares, .more = numbers, .undo = undo, .drop = numbers_drop },
	{ IOCTL_CMD(LATER), TRACE_OTHER_IOCTL, "LATER", .fn = later },
	{ IOCTL_CMD(NOT), TRACE_OTHER_IOCTL, "NOT", .flags = IOCTL_UNTOLD },
	{ IOCTL_CMD(NEAR), TRACE_PRELOAD, "NEAR", .flags = IOCTL_DIRECT, .fn = add },
};

static const struct ioctl_table table = { .row = rows,
					  .n = sizeof(rows) / sizeof(rows[0]),
					  .named = true };

static void device_ioctl(struct device *dev, struct request *rq)
{
	ioctl_dispatch(&table, dev, rq);
}

static struct device device = { .name = "double", .ioctl = device_ioctl };

static int ask(uint32_t cmd, const void *arg, int mode)
{
	return double_ioctl(&device, 1, cmd, arg, (enum double_mode)mode);
}

/* Two pages, the second of them out of reach. Return: its first byte. */
static char *edge_of_memory(void)
{
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_int_eq(mprotect(two + 4096, 4096, PROT_NONE), 0);
	return two + 4096;
}

START_TEST(there_and_back)
{
	uint32_t arg[6] = { 4, 77, 1, 2, 3, 40 };

	ck_assert_int_eq(ask(SUM, arg, _i), 0);
	ck_assert_uint_eq(arg[1], 46);
	ck_assert_uint_eq(arg[5], 40);
	ck_assert_int_eq(ask(SQUARES, arg, _i), 0);
	ck_assert_uint_eq(arg[5], 9);
	arg[0] = 0;
	ck_assert_int_eq(ask(SUM, arg, _i), 0);
	ck_assert_uint_eq(arg[1], 0);
	ck_assert_int_eq(runs, 3);
	ck_assert_int_eq(undone, 0);
	ck_assert_int_eq(dropped, made);
}
END_TEST

/* What is wrong with the fixed part comes before the variable one, and that before the handler. */
START_TEST(in_order)
{
	uint32_t *last = (uint32_t *)edge_of_memory() - 3;

	ck_assert_int_eq(ask(SUM, NULL, _i), -EFAULT);
	ck_assert_int_eq(ask(SUM, last + 2, _i), -EFAULT);
	last[1] = 1001;
	ck_assert_int_eq(ask(SUM, last + 1, _i), -EINVAL);
	ck_assert_int_eq(made, 0);
	last[0] = 2;
	ck_assert_int_eq(ask(SUM, last, _i), -EFAULT);
	ck_assert_int_eq(runs, 0);
	last[0] = 1;
	last[2] = 13;
	ck_assert_int_eq(ask(SUM, last, _i), -EPERM);
	ck_assert_int_eq(runs, 1);
	/* Nothing is written back with an error of the handler. */
	ck_assert_uint_eq(last[1], 1001);
	ck_assert_int_eq(undone, 0);
	ck_assert_int_eq(dropped, made);
}
END_TEST

/* Either part cannot be written. */
START_TEST(undone_if_it_cannot_be_told)
{
	uint32_t *last = (uint32_t *)edge_of_memory() - 2, *page = last - 1022;

	last[0] = 1;
	ck_assert_int_eq(ask(SQUARES, last, DOUBLE_DIRECT), -EFAULT);
	ck_assert_int_eq(undone, 1);
	page[0] = 1;
	ck_assert_int_eq(mprotect(page, 4096, PROT_READ), 0);
	ck_assert_int_eq(ask(SUM, page, DOUBLE_DIRECT), -EFAULT);
	ck_assert_int_eq(runs, 2);
	ck_assert_int_eq(undone, 2);
	ck_assert_int_eq(dropped, made);
}
END_TEST

START_TEST(the_word_is_matched_whole)
{
	uint32_t arg[2] = { 0, 0 };
	struct double_result r;

	ck_assert_int_eq(ask(SUM + (1U << 16), arg, _i), -ENOTTY);
	ck_assert_int_eq(ask(SUM | _IOC(_IOC_READ, 0, 0, 0), arg, _i), -ENOTTY);
	ck_assert_int_eq(ask(EMPTY, NULL, _i), -ENOTTY);
	r = double_ioctl_full(&device, 1, SUM, (uintptr_t)arg, (enum double_mode)_i, true);
	ck_assert_int_eq(r.result, -ENOTTY);
	ck_assert_uint_eq(r.trips, 1);
	ck_assert_int_eq(made, 0);
}
END_TEST

/* Known not to be there: without a look at the argument, and no news. */
START_TEST(known_not_to_be_there)
{
	uint64_t told = failure_count(FAILURE_REQUEST);

	ck_assert_int_eq(ask(NOT, NULL, _i), -ENOTTY);
	ck_assert_uint_eq(failure_count(FAILURE_REQUEST), told);
	ck_assert_int_eq(ask(EMPTY, NULL, _i), -ENOTTY);
	ck_assert_uint_eq(failure_count(FAILURE_REQUEST), told + 1);
}
END_TEST

/* The double counts the answers: one. */
START_TEST(answered_later)
{
	uint32_t arg = 0;

	ck_assert_int_eq(ask(LATER, &arg, _i), -ENOENT);
	ck_assert_uint_eq(double_requests, double_answers);
}
END_TEST

START_TEST(not_by_the_kernel)
{
	uint32_t arg = 0;

	ck_assert_int_eq(ask(NEAR, &arg, DOUBLE_DIRECT), 0);
	ck_assert_int_eq(ask(NEAR, NULL, DOUBLE_DIRECT), -EOPNOTSUPP);
	ck_assert_int_eq(ask(NEAR, &arg, DOUBLE_RETRY), -EOPNOTSUPP);
	ck_assert_int_eq(runs, 1);
}
END_TEST

/* It is answered by others, once; nothing is done, nothing is told. */
START_TEST(killed_while_waited_for)
{
	uint64_t told = failure_count(FAILURE_REQUEST);
	uint32_t arg = 0;

	double_killed_at = 1;
	ck_assert_int_eq(ask(NEAR, &arg, DOUBLE_DIRECT), -EINTR);
	double_killed_at = 1;
	ck_assert_int_eq(ask(LATER, &arg, DOUBLE_DIRECT), -EINTR);
	ck_assert_int_eq(runs, 0);
	ck_assert_uint_eq(failure_count(FAILURE_REQUEST), told);
	ck_assert_uint_eq(double_requests, double_answers);
}
END_TEST

Suite *dispatch_suite(void);

Suite *dispatch_suite(void)
{
	Suite *s = suite_create("dispatch");
	TCase *tc = tcase_create("dispatch");

	in_both_modes(tc, there_and_back);
	in_both_modes(tc, in_order);
	tcase_add_test(tc, undone_if_it_cannot_be_told);
	in_both_modes(tc, the_word_is_matched_whole);
	in_both_modes(tc, known_not_to_be_there);
	in_both_modes(tc, answered_later);
	tcase_add_test(tc, not_by_the_kernel);
	tcase_add_test(tc, killed_while_waited_for);
	suite_add_tcase(s, tc);
	return s;
}
