/* SPDX-License-Identifier: MIT */
/*
 * sim/test_threads.c - the simulated hypervisor, called by several threads at once
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/sim/rig.h"
#include "tests/unit/suite.h"

#define THREADS 4
#define ROUNDS	4000

/*
 * All threads map and unmap the same few grants, which their owner revokes and grants again
 * meanwhile, and race for each handle: of two unmaps of one handle exactly one succeeds.
 */
static uint32_t shared_ref[N_FRAMES];
static struct hv_grant contested;
static int contested_wins;

static void *mapper_thread(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct hv_grant g[3];
		const struct hv_place *at = rand_r(&seed) % 2 ? &writable : &readonly;

		for (int k = 0; k < 3; k++)
			g[k] = op(GRANTER, __atomic_load_n(&shared_ref[rand_r(&seed) % N_FRAMES],
							   __ATOMIC_RELAXED));
		hv->ops->map(hv, g, 3, at);
		for (int k = 0; k < 3; k++)
			if (g[k].status == GNTST_okay &&
			    (g[k].page < frame[0] || g[k].page > frame[N_FRAMES - 1]))
				abort();
		if (hv->ops->unmap(hv, g, 3))
			abort();
	}
	return NULL;
}

static void *revoker_thread(void *arg)
{
	unsigned int seed = 77;
	uint32_t ref;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		int k = (int)(rand_r(&seed) % N_FRAMES);

		if (i % 2)
			sim_revoke_later(sim, GRANTER, shared_ref[k], false);
		else if (sim_revoke(sim, GRANTER, shared_ref[k]))
			continue;
		if (sim_grant(sim, GRANTER, 0, frame[k], false, &ref))
			abort();
		__atomic_store_n(&shared_ref[k], ref, __ATOMIC_RELAXED);
	}
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[THREADS + 1];

	teardown();
	make_sim(&(struct sim_config){ .memory_pages = PAGES, .maptrack_max = 6 });
	for (int i = 0; i < N_FRAMES; i++)
		shared_ref[i] = grant(frame[i], false);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, mapper_thread, (void *)(i + 1)), 0);
	ck_assert_int_eq(pthread_create(&t[THREADS], NULL, revoker_thread, NULL), 0);
	for (int i = 0; i <= THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(counts().handles, 0);
	ck_assert_uint_eq(counts().pins, 0);
	ck_assert_uint_eq(counts().grants, N_FRAMES);
	ck_assert_uint_eq(counts().frames, N_FRAMES);
	for (int i = 0; i < N_FRAMES; i++)
		ck_assert_int_eq(sim_revoke(sim, GRANTER, shared_ref[i]), 0);
}
END_TEST

static void *unmapper_thread(void *arg)
{
	pthread_barrier_t *barrier = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct hv_grant g;

		pthread_barrier_wait(barrier);
		g = contested;
		if (!hv->ops->unmap(hv, &g, 1))
			__atomic_add_fetch(&contested_wins, 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(barrier);
	}
	return NULL;
}

START_TEST(one_unmap_wins)
{
	uint32_t ref = grant(frame[0], false);
	pthread_barrier_t barrier;
	pthread_t t[2];

	pthread_barrier_init(&barrier, NULL, 3);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, unmapper_thread, &barrier), 0);
	for (int i = 0; i < ROUNDS; i++) {
		contested = op(GRANTER, ref);
		ck_assert_int_eq(map1(&contested, &writable), GNTST_okay);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		ck_assert_int_eq(__atomic_load_n(&contested_wins, __ATOMIC_RELAXED), i + 1);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&barrier);
	ck_assert_uint_eq(counts().handles, 0);
}
END_TEST

/* A domain that is removed and added again under the mappers' hands. */
static bool stop;

static void *reborn_thread(void *arg)
{
	uint32_t f, ref;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (sim_domain_add(sim, OTHER))
			continue;
		if (sim_frames_alloc(sim, OTHER, 1, &f) || sim_grant(sim, OTHER, 0, f, false, &ref))
			abort();
		memset(sim_frame_memory(sim, f), 1, 64);
		if (sim_domain_remove(sim, OTHER))
			abort();
	}
	return NULL;
}

START_TEST(domain_comes_and_goes)
{
	uint64_t frames_before = counts().frames, mapped = 0;
	char buf[64];
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, reborn_thread, NULL), 0);
	for (int i = 0; i < 20000 || (!mapped && i < 2000000); i++) {
		struct hv_grant g = op(OTHER, GNTTAB_NR_RESERVED_ENTRIES);
		struct hv_copy c = { .src = { .domid = OTHER, .ref = g.ref },
				     .dst_local = buf,
				     .len = sizeof(buf),
				     .status = HV_PENDING };

		if (map1(&g, &writable) == GNTST_okay) {
			*(char *)sim_frame_memory(sim, (uint32_t)g.page) = 2;
			unmap1(&g);
			mapped++;
		}
		ck_assert_int_eq(hv->ops->copy(hv, &c, 1), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	ck_assert_uint_gt(mapped, 0);
	ck_assert_int_eq(sim_domain_state(sim, OTHER), SIM_DOMAIN_ABSENT);
	ck_assert_uint_eq(counts().frames, frames_before);
	ck_assert_uint_eq(counts().pins, 0);
}
END_TEST

Suite *threads_suite(void);

Suite *threads_suite(void)
{
	const TTest *const tests[] = {
		threads,
		one_unmap_wins,
		domain_comes_and_goes,
	};

	return suite_of("sim_threads", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
