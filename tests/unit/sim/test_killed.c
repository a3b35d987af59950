/* SPDX-License-Identifier: MIT */
/*
 * sim/test_killed.c - the daemon is killed at random times, while several threads work, and a successor adopts
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/unit/sim/left.h"
#include "tests/unit/suite.h"

enum phase {
	IDLE,
	MAPPING,
	MAPPED,
	UNMAPPING,
};

#define THREADS 3

/**
 * struct log - what threads of the killed process have done, in memory that we share
 * @phase:  of its handle
 * @rounds: how many it has mapped
 */
static struct log {
	enum phase phase;
	uint32_t ref;
	uint32_t handle;
	uint64_t rounds;
} * logs;

/* Maps and unmaps a reference, and does what else there is with frames and grants of its own. */
static void *busy(void *arg)
{
	struct log *log = arg;

	for (;;) {
		struct hv_grant g = op(GRANTER, log->ref);
		uint32_t frames[2], ref;

		KEEP(log->phase, MAPPING);
		hv->ops->map(hv, &g, 1, &writable);
		KEEP(log->handle, g.handle);
		KEEP(log->phase, MAPPED);
		if (sim_frames_alloc(sim, GRANTER, 2, frames) ||
		    sim_grant(sim, GRANTER, MAPPER, frames[0], false, &ref) ||
		    sim_revoke_later(sim, GRANTER, ref, true) ||
		    sim_frames_free(sim, GRANTER, &frames[1], 1))
			abort();
		KEEP(log->phase, UNMAPPING);
		hv->ops->unmap(hv, &g, 1);
		KEEP(log->phase, IDLE);
		KEEP(log->rounds, log->rounds + 1);
	}
	return NULL;
}

static void run_until_killed(uint32_t us)
{
	pthread_t thread;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		for (int i = 0; i < THREADS; i++)
			pthread_create(&thread, NULL, busy, &logs[i]);
		pause();
	}
	usleep(us);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static void succeed_killed(void)
{
	const struct sim_kept left = sim_kept(sim), copy = { dup(left.state), dup(left.memory) };
	struct sim_counts c;
	unsigned int there = 0;

	sim_leave(sim);
	sim = adopt(&copy, dirfd_, false);
	hv = sim_hypervisor(sim);
	close(copy.state);
	close(copy.memory);
	for (int i = 0; i < THREADS; i++) {
		struct maptrack_handle h = { logs[i].ref, logs[i].handle, GRANTER, false };
		bool named = logs[i].phase >= MAPPED && name_handle(hv, &h);

		/* Where it was under way it may or may not be. */
		ck_assert(named || logs[i].phase != MAPPED);
		there += named;
		logs[i].phase = named ? MAPPED : IDLE;
	}
	adopted(sim);
	c = counts();
	ck_assert_uint_eq(c.handles, there);
	ck_assert_uint_eq(c.pins, there);
}

/* What the threads had mapped is unmapped; what they had granted and not ended is theirs no more than ours. */
static void clean_up(void)
{
	struct sim_counts c;
	struct sim_granted g;
	uint32_t ref = UINT32_MAX, f;

	for (int i = 0; i < THREADS; i++) {
		struct hv_grant m = op(GRANTER, logs[i].ref);

		m.handle = logs[i].handle;
		m.status = GNTST_okay;
		if (logs[i].phase == MAPPED)
			unmap1(&m);
		logs[i].phase = IDLE;
	}
	while (sim_grant_next(sim, GRANTER, &ref, &g))
		if (!g.ending && ref > logs[THREADS - 1].ref)
			ck_assert_int_eq(sim_revoke_later(sim, GRANTER, ref, true), 0);
	for (f = 0; (f = sim_frame_next(sim, GRANTER, f + 1));)
		if (f > frame[N_FRAMES - 1])
			ck_assert_int_eq(sim_frames_free(sim, GRANTER, &f, 1), 0);
	c = counts();
	ck_assert_uint_eq(c.handles, 0);
	ck_assert_uint_eq(c.pins, 0);
	ck_assert_uint_eq(c.grants, THREADS);
	ck_assert_uint_eq(c.frames, N_FRAMES);
}

static void make_logs(void)
{
	logs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(logs, MAP_FAILED);
	for (int i = 0; i < THREADS; i++)
		logs[i].ref = grant(frame[i], false);
}

START_TEST(killed_at_random)
{
	uint64_t rounds = 0;

	make_logs();
	seed = (unsigned int)getpid();
	for (int i = 0; i < 150 || rounds < 1000; i++) {
		run_until_killed(draw(2000));
		succeed_killed();
		clean_up();
		rounds = logs[0].rounds + logs[1].rounds + logs[2].rounds;
	}
	munmap(logs, 4096);
}
END_TEST

/* A successor that is killed while it adopts leaves nothing that the next one cannot. */
START_TEST(killed_while_adopting)
{
	struct sim_kept left = sim_kept(sim);
	pid_t pid;

	make_logs();
	seed = (unsigned int)getpid();
	for (int i = 0; i < 60; i++) {
		run_until_killed(1000 + draw(1000));
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (!pid) {
			adopted(adopt(&left, dirfd_, true));
			pause();
		}
		usleep(draw(3000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		succeed_killed();
		clean_up();
		left = sim_kept(sim);
	}
	munmap(logs, 4096);
}
END_TEST

Suite *killed_suite(void);

Suite *killed_suite(void)
{
	const TTest *const tests[] = { killed_at_random, killed_while_adopting };

	return suite_of("sim_killed", tests, sizeof(tests) / sizeof(tests[0]), make_machine,
			end_machine);
}
