/* SPDX-License-Identifier: MIT */
/*
 * evtchn/test_threads.c - both domains at once: no event is lost, and nobody waits for ever
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "tests/unit/evtchn/rig.h"
#include "tests/unit/suite.h"

#define THEM	9
#define NUMBERS 3000
#define ROUNDS	400
#define THREADS 4

static struct side them = { .domid = THEM };
static uint64_t fh, theirs;
static int port, their_port;

static void setup(void)
{
	make_dir();
	start_machine(NULL);
	start_side(&us, NULL, 0);
	start_side(&them, NULL, 1);
	fh = open_of(&us);
	theirs = open_of(&them);
	their_port = bind_unbound(&them, theirs, US);
	port = bind_to(&us, fh, THEM, (uint32_t)their_port);
	ck_assert(reads(&us, fh, port));
	unmask(&us, fh, port);
}

static void teardown(void)
{
	end_side(&us);
	end_side(&them);
	sim_hypervisor(sim)->ops->destroy(sim_hypervisor(sim));
	remove_dir();
}

/* --- a number that is told by events ---------------------------------------------------------------- */

static unsigned int number[2];

static void *tell(void *arg)
{
	bool we = arg;

	rcu_thread_enter();
	for (unsigned int i = 1; i <= NUMBERS; i++) {
		__atomic_store_n(&number[we], i, __ATOMIC_SEQ_CST);
		if (notify(we ? &us : &them, we ? fh : theirs, (uint32_t)(we ? port : their_port)))
			abort();
	}
	rcu_thread_leave();
	return NULL;
}

/* Of the others: an event may stand for several, but the last one stands for the last number. */
static void *hear(void *arg)
{
	bool we = arg;
	const struct side *s = we ? &us : &them;
	unsigned int last = 0;
	uint32_t got[8];

	rcu_thread_enter();
	while (last < NUMBERS) {
		if (read_ports(s, we ? fh : theirs, sizeof(got), got) <= 0) {
			sched_yield();
			continue;
		}
		/* What is sent from here on comes again. */
		unmask(s, we ? fh : theirs, we ? port : their_port);
		last = __atomic_load_n(&number[!we], __ATOMIC_SEQ_CST);
	}
	rcu_thread_leave();
	return NULL;
}

START_TEST(no_event_is_lost)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(
			pthread_create(&t[i], NULL, i & 1 ? hear : tell, i & 2 ? (void *)1 : NULL),
			0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}
END_TEST

/* --- all that takes both domains' locks ------------------------------------------------------------- */

static void *connect_and_part(void *arg)
{
	const struct side *a = (uintptr_t)arg & 1 ? &us : &them, *b = a == &us ? &them : &us;
	uint64_t of_a, of_b;

	rcu_thread_enter();
	of_a = open_of(a);
	of_b = open_of(b);
	for (int i = 0; i < ROUNDS; i++) {
		int p = bind_unbound(a, of_a, b->domid);
		int q = bind_to(b, of_b, a->domid, (uint32_t)p);

		if (p <= 0 || q <= 0 || notify(a, of_a, (uint32_t)p) ||
		    notify(b, of_b, (uint32_t)q))
			abort();
		/* The one or the other end first. */
		if (i & 1 ? unbind(a, of_a, (uint32_t)p) || unbind(b, of_b, (uint32_t)q)
			  : unbind(b, of_b, (uint32_t)q) || unbind(a, of_a, (uint32_t)p))
			abort();
	}
	a->dev->release(a->dev, of_a);
	b->dev->release(b->dev, of_b);
	rcu_thread_leave();
	return NULL;
}

START_TEST(both_ways_at_once)
{
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, connect_and_part, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}
END_TEST

Suite *threads_suite(void);
Suite *threads_suite(void)
{
	const TTest *const tests[] = { no_event_is_lost, both_ways_at_once };

	return suite_of("evtchn_threads", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
