/* SPDX-License-Identifier: MIT */
/*
 * sim/test_fault.c - faults on demand: how they are described, what they befall
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sim/fault.h"
#include "tests/unit/sim/rig.h"
#include "tests/unit/suite.h"

static void fault(const char *spec)
{
	const char *why = "";

	ck_assert_msg(!sim_fault_add(sim, spec, &why), "%s", why);
}

static uint64_t ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

START_TEST(bad_descriptions)
{
	static const struct {
		const char *spec, *why;
	} bad[] = {
		{ "", "character 1: no such operation" },
		{ "mop:nth=1", "character 1: no such operation" },
		{ "map", "character 4: \":\" expected" },
		{ "map:", "character 5: no such key" },
		{ "map:nth", "character 8: \"=\" expected" },
		{ "map:nth,status=eagain", "character 8: \"=\" expected" },
		{ "map:nth=", "character 9: not a number" },
		{ "map:nth=0,status=eagain", "character 9: number out of range" },
		{ "map:nth=-1,status=eagain", "character 9: not a number" },
		{ "map:nth= 1,status=eagain", "character 9: not a number" },
		{ "map:nth=1x,status=eagain", "character 9: not a number" },
		{ "map:nth=4294967296,status=eagain", "character 9: not a number" },
		{ "map:nth=1,nth=2,status=eagain", "character 11: given twice" },
		{ "map:status=okay", "character 12: no such grant status" },
		{ "map:status=0", "character 12: no such grant status" },
		{ "map:status=-14", "character 12: no such grant status" },
		{ "map:status=14", "character 12: no such grant status" },
		{ "map:status=eag", "character 12: no such grant status" },
		{ "map:status=eagain2", "character 12: no such grant status" },
		{ "map:status=unknown", "character 12: no such grant status" },
		{ "map:status=65535", "character 12: no such grant status" },
		{ "map:errno=EWHAT", "character 11: no such errno" },
		{ "map:errno=0", "character 11: no such errno" },
		{ "map:errno=4096", "character 11: no such errno" },
		{ "map:status=eagain,", "character 19: no such key" },
		{ "map:status=eagain,,nth=1", "character 19: no such key" },
		{ "map:nth=1", "character 10: nothing happens" },
		{ "map:errno=EFAULT,dom=1", "errno fails the whole call" },
		{ "map:errno=EFAULT,status=eagain", "errno fails the whole call" },
		{ "map:port=1,status=eagain", "character 5: this operation has no such thing" },
		{ "send:status=eagain", "character 6: this operation has no such thing" },
		{ "send:dom=1,errno=EINVAL", "character 6: this operation has no such thing" },
		{ "window:ref=1,errno=EINVAL", "character 8: this operation has no such thing" },
		{ "map:dom=65536,status=eagain", "character 9: number out of range" },
		{ "map:delay_ms=0", "character 14: number out of range" },
		{ "map:hold=1", "character 9: it has no value" },
		{ "map:hold,hold", "character 10: given twice" },
		{ "map:holds", "character 5: no such key: nth, count, for_ms, status, errno, "
			       "delay_ms, hold, dom, ref, port" },
		{ "map:for_ms=99999999999,status=1", "character 12: not a number" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;

		ck_assert_int_eq(sim_fault_add(sim, bad[i].spec, &why), -EINVAL);
		ck_assert_ptr_nonnull(why);
		ck_assert_msg(strstr(why, bad[i].why), "%s: expected %s", why, bad[i].why);
	}
	ck_assert_uint_eq(sim_fault_pending(sim), 0);
}
END_TEST

START_TEST(status_by_name_and_number)
{
	uint32_t ref = grant(frame[0], false);

	for (int s = GNTST_general_error; s >= GNTST_no_space; s--) {
		char spec[64];

		snprintf(spec, sizeof(spec), "map:status=%s", hv_status_name(s));
		fault(spec);
		ck_assert_int_eq(map_ref(GRANTER, ref, &writable), s);
		snprintf(spec, sizeof(spec), "map:status=%d", s);
		fault(spec);
		ck_assert_int_eq(map_ref(GRANTER, ref, &writable), s);
		snprintf(spec, sizeof(spec), "map:status=%d", -s);
		fault(spec);
		ck_assert_int_eq(map_ref(GRANTER, ref, &writable), s);
	}
	ck_assert_uint_eq(counts().pins, 0);
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_okay);
}
END_TEST

START_TEST(nth_and_count)
{
	struct hv_grant g[8];
	uint32_t ref = grant(frame[0], false);

	for (int i = 0; i < 8; i++)
		g[i] = op(GRANTER, ref);
	fault("map:nth=3,status=eagain,count=2");
	ck_assert_uint_eq(sim_fault_pending(sim), 1);
	ck_assert_int_eq(hv->ops->map(hv, g, 8, &writable), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(g[i].status, i == 2 || i == 3 ? GNTST_eagain : GNTST_okay);
	ck_assert_uint_eq(sim_fault_pending(sim), 0);
	/* The failed ones are tried again, as gntdev does. */
	g[2].status = g[3].status = HV_PENDING;
	ck_assert_int_eq(hv->ops->map(hv, g, 8, &writable), 0);
	ck_assert_int_eq(g[2].status, GNTST_okay);
	ck_assert_int_eq(g[3].status, GNTST_okay);
	ck_assert_int_eq(hv->ops->unmap(hv, g, 8), 0);
}
END_TEST

START_TEST(for_a_time)
{
	uint32_t ref = grant(frame[0], false);
	uint64_t start;

	fault("map:status=eagain,for_ms=150");
	/* It begins with the first one befallen. */
	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	ck_assert_uint_eq(sim_fault_pending(sim), 1);
	start = ms();
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_eagain);
	while (map_ref(GRANTER, ref, &writable) == GNTST_eagain)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	ck_assert_uint_ge(ms() - start, 150);
	ck_assert_uint_eq(sim_fault_pending(sim), 0);
	fault("map:status=eagain,for_ms=10000,count=2");
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_eagain);
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_eagain);
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_okay);
}
END_TEST

static int16_t copy(struct hv_copy *c)
{
	c->status = HV_PENDING;
	ck_assert_int_eq(hv->ops->copy(hv, c, 1), 0);
	return c->status;
}

START_TEST(filters)
{
	uint32_t a = grant(frame[0], false), b = grant(frame[1], false);
	char spec[64], buf[1];
	struct hv_copy from_b = { .src = { .domid = GRANTER, .ref = b },
				  .dst_local = buf,
				  .len = 1 };
	struct hv_copy to_a = { .src_local = "", .dst = { .domid = GRANTER, .ref = a }, .len = 1 };
	struct hv_copy to_b = { .src_local = "", .dst = { .domid = GRANTER, .ref = b }, .len = 1 };

	snprintf(spec, sizeof(spec), "map:ref=%u,dom=0x%x,status=bad_page", b, GRANTER);
	fault(spec);
	fault("map:dom=9,status=bad_page");
	ck_assert_int_eq(map_ref(GRANTER, a, &writable), GNTST_okay);
	ck_assert_int_eq(map_ref(GRANTER, b, &writable), GNTST_bad_page);
	ck_assert_int_eq(map_ref(GRANTER, b, &writable), GNTST_okay);
	ck_assert_uint_eq(sim_fault_pending(sim), 1);
	sim_fault_clear(sim);
	ck_assert_uint_eq(sim_fault_pending(sim), 0);

	/* A copy matches on either side; it takes the nth that matches. */
	snprintf(spec, sizeof(spec), "copy:nth=2,ref=%u,status=bad_copy_arg", b);
	fault(spec);
	ck_assert_int_eq(copy(&from_b), GNTST_okay);
	ck_assert_int_eq(copy(&to_a), GNTST_okay);
	ck_assert_int_eq(copy(&to_b), GNTST_bad_copy_arg);
}
END_TEST

START_TEST(whole_calls)
{
	struct hv_grant g[2] = { op(GRANTER, grant(frame[0], false)),
				 op(GRANTER, grant(frame[1], false)) };
	struct hv_copy c = { .src_local = "x",
			     .dst = { .domid = GRANTER, .ref = g[0].ref },
			     .len = 1,
			     .status = HV_PENDING };

	fault("map:errno=ENOMEM,nth=2");
	ck_assert_int_eq(hv->ops->map(hv, &g[0], 1, &writable), 0);
	ck_assert_int_eq(hv->ops->map(hv, g, 2, &writable), -ENOMEM);
	ck_assert_int_eq(g[1].status, HV_PENDING);
	ck_assert_int_eq(hv->ops->map(hv, g, 2, &writable), 0);
	fault("unmap:errno=14");
	ck_assert_int_eq(hv->ops->unmap(hv, g, 2), -EFAULT);
	ck_assert_int_eq(g[0].status, GNTST_okay);
	ck_assert_uint_eq(counts().handles, 2);
	fault("copy:errno=EFAULT");
	ck_assert_int_eq(hv->ops->copy(hv, &c, 1), -EFAULT);
	ck_assert_int_eq(c.status, HV_PENDING);
	ck_assert_int_eq(hv->ops->unmap(hv, g, 2), 0);
}
END_TEST

/* An unmap that fails: the grant stays mapped, and can be unmapped later. */
START_TEST(unmap_fails)
{
	struct hv_grant g[2] = { op(GRANTER, grant(frame[0], false)),
				 op(GRANTER, grant(frame[1], false)) };

	ck_assert_int_eq(hv->ops->map(hv, g, 2, &writable), 0);
	fault("unmap:status=general_error");
	ck_assert_int_eq(hv->ops->unmap(hv, g, 2), 1);
	ck_assert_int_eq(g[0].status, GNTST_general_error);
	ck_assert_int_eq(g[1].status, HV_PENDING);
	ck_assert_uint_eq(counts().handles, 1);
	g[0].status = GNTST_okay;
	ck_assert_int_eq(hv->ops->unmap(hv, g, 1), 0);
}
END_TEST

START_TEST(send_and_window)
{
	struct hv_grant g = op(GRANTER, grant(frame[0], false));
	uint64_t sent;

	ck_assert_int_eq(sim_port_bind(sim, 0, 5, 1, NULL, NULL), 0);
	fault("send:port=6,errno=EINVAL");
	ck_assert_int_eq(hv->ops->port_send(hv, 5), 0);
	fault("send:port=5,errno=EPERM");
	ck_assert_int_eq(hv->ops->port_send(hv, 5), -EPERM);
	ck_assert_int_eq(sim_port_sent(sim, 0, 5, &sent), 0);
	ck_assert_uint_eq(sent, 1);
	fault("window:errno=ENOSPC");
	ck_assert_int_eq(hv->ops->window_open(hv, dirfd_, "1.1", &g, 1, &writable), -ENOSPC);
	close(hv->ops->window_open(hv, dirfd_, "1.1", &g, 1, &writable));
}
END_TEST

START_TEST(delays)
{
	uint32_t ref = grant(frame[0], false);
	uint64_t start = ms();

	fault("map:delay_ms=60");
	fault("map:delay_ms=60,status=eagain");
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_eagain);
	ck_assert_uint_ge(ms() - start, 120);
	start = ms();
	fault("window:delay_ms=60");
	close(hv->ops->window_open(hv, dirfd_, "1.1", NULL, 0, &writable));
	ck_assert_uint_ge(ms() - start, 60);
}
END_TEST

/* --- waiting ------------------------------------------------------------------------------------ */

static uint32_t waited_ref;

static void *map_and_wait(void *arg)
{
	*(int16_t *)arg = map_ref(GRANTER, waited_ref, &writable);
	return NULL;
}

/* A minute at most. */
static void wait_for_waiting(unsigned int n)
{
	for (int i = 0; i < 60000 && sim_fault_waiting(sim) != n; i++)
		usleep(1000);
	ck_assert_uint_eq(sim_fault_waiting(sim), n);
}

/* Two operations that wait for a day: they go on when they are told, and fail as they were to. */
START_TEST(released)
{
	pthread_t thread[2];
	int16_t status[2];

	waited_ref = grant(frame[0], false);
	fault("map:delay_ms=86400000,status=eagain");
	fault("map:nth=2,delay_ms=86400000");
	ck_assert_uint_eq(sim_fault_release(sim), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert(!pthread_create(&thread[i], NULL, map_and_wait, &status[i]));
		wait_for_waiting((unsigned int)i + 1);
	}
	/* What waits already is nothing that is still to happen. */
	ck_assert_uint_eq(sim_fault_pending(sim), 0);
	sim_fault_clear(sim);
	ck_assert_uint_eq(sim_fault_waiting(sim), 2);
	ck_assert_uint_eq(sim_fault_release(sim), 2);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	ck_assert_int_eq(status[0], GNTST_eagain);
	ck_assert_int_eq(status[1], GNTST_okay);
	ck_assert_uint_eq(sim_fault_waiting(sim), 0);
}
END_TEST

/* Nothing but release lets it go on: not the end of another fault's delay, not that it is forgotten. */
START_TEST(held)
{
	pthread_t thread;
	int16_t status;

	waited_ref = grant(frame[0], false);
	fault("map:hold,status=bad_page");
	fault("map:delay_ms=1");
	ck_assert(!pthread_create(&thread, NULL, map_and_wait, &status));
	wait_for_waiting(1);
	sim_fault_clear(sim);
	usleep(20000);
	ck_assert_uint_eq(sim_fault_waiting(sim), 1);
	/* Others are not held up. */
	ck_assert_int_eq(map_ref(GRANTER, waited_ref, &writable), GNTST_okay);
	ck_assert_uint_eq(sim_fault_release(sim), 1);
	pthread_join(thread, NULL);
	ck_assert_int_eq(status, GNTST_bad_page);
}
END_TEST

/* As the daemon ends: nothing waits any more, what fails still does. */
START_TEST(ended)
{
	pthread_t thread;
	int16_t status;

	waited_ref = grant(frame[0], false);
	fault("map:hold");
	fault("map:nth=2,count=2,delay_ms=86400000,status=eagain");
	ck_assert(!pthread_create(&thread, NULL, map_and_wait, &status));
	wait_for_waiting(1);
	sim_fault_end(sim);
	pthread_join(thread, NULL);
	ck_assert_int_eq(status, GNTST_okay);
	ck_assert_int_eq(map_ref(GRANTER, waited_ref, &writable), GNTST_eagain);
}
END_TEST

static void count_spec(const char *spec, void *arg)
{
	ck_assert_str_eq(spec, "map:status=eagain");
	++*(unsigned int *)arg;
}

START_TEST(no_more_than_there_may_be)
{
	char long_one[FAULT_SPEC_MAX + 32] = "map:status=eagain,nth=";
	unsigned int n = 0;
	const char *why;

	for (int i = 0; i < FAULT_MAX; i++)
		fault("map:status=eagain");
	ck_assert_int_eq(sim_fault_add(sim, "map:status=eagain", &why), -ENOSPC);
	ck_assert_str_eq(why, "too many faults wait already");
	sim_fault_for_each(sim, count_spec, &n);
	ck_assert_uint_eq(n, FAULT_MAX);
	sim_fault_clear(sim);
	memset(long_one + strlen(long_one), '1', FAULT_SPEC_MAX);
	long_one[FAULT_SPEC_MAX + 1] = '\0';
	ck_assert_int_eq(sim_fault_add(sim, long_one, &why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "longer than 255 characters"));
}
END_TEST

Suite *fault_suite(void);

Suite *fault_suite(void)
{
	const TTest *const tests[] = {
		bad_descriptions,
		status_by_name_and_number,
		nth_and_count,
		for_a_time,
		filters,
		whole_calls,
		unmap_fails,
		send_and_window,
		delays,
		released,
		ended,
		no_more_than_there_may_be,
		held,
	};

	return suite_of("sim_fault", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
