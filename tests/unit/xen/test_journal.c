/* SPDX-License-Identifier: MIT */
/*
 * xen/test_journal.c - the journal: what a map hypercall leaves in it, and its slots
 */
#include "xen/journal.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hypercall.h"

#define GROWTH 4096

static struct journal *j;
static struct journal_slots *slots;
static int fd;

static void setup(void)
{
	j = journal_new(true, &fd);
	ck_assert_ptr_nonnull(j);
	slots = journal_slots_new(j);
	ck_assert_ptr_nonnull(slots);
}

static void teardown(void)
{
	journal_slots_free(slots);
	journal_free(j);
	close(fd);
}

/* --- the map that has been made ------------------------------------------------------------------- */

/* A batch of @n maps, of which Xen has carried out the first @done; every third was refused. */
static struct journal_batch *fill(uint32_t n, uint32_t done)
{
	struct journal_batch *b = &j->batch[3];

	ck_assert_int_eq(journal_slots_get(slots, n, b->slot), 0);
	for (uint32_t i = 0; i < n; i++) {
		int status = i % 3 == 2 ? GNTST_bad_gntref : GNTST_okay;

		if (i >= done)
			status = JOURNAL_PENDING;
		j->slot[b->slot[i]].addr = 0x1000 * (i + 1);
		slot_set(&j->slot[b->slot[i]], SLOT_AWAY);
		b->map[i] = (struct gnttab_map_grant_ref){
			.status = (int16_t)status,
			.handle = 500 + i,
			.dev_bus_addr = 0x70000000 + 0x1000 * i,
		};
	}
	b->mapping = n;
	return b;
}

static void check_harvest(const struct journal_batch *b, uint32_t n, uint32_t done, bool translated)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct journal_slot *slot = &j->slot[b->slot[i]];
		bool mapped = i < done && i % 3 != 2;

		ck_assert_uint_eq(slot->state, mapped ? SLOT_MAPPED : SLOT_AWAY);
		ck_assert_uint_eq(slot->addr, mapped && !translated ? 0x70000000 + 0x1000 * i
								    : 0x1000 * (i + 1));
		if (mapped)
			ck_assert_uint_eq(slot->handle, 500 + i);
	}
	ck_assert_uint_eq(b->mapping, 0);
}

START_TEST(harvest)
{
	const uint32_t n[] = { 1, 7, JOURNAL_OPS };
	const bool translated = _i % 2;
	uint32_t size = n[_i / 2 % 3];

	for (uint32_t done = 0; done <= size; done += 1 + size / 20) {
		struct journal_batch *b = fill(size, done);

		journal_harvest(j, b, translated);
		check_harvest(b, size, done, translated);
		/* A second time: nothing is under way. */
		b->map[0].handle = 1;
		journal_harvest(j, b, translated);
		b->map[0].handle = 500;
		check_harvest(b, size, done, translated);
		journal_slots_put(slots, size, b->slot);
	}
}
END_TEST

/* Died while it was entering them: the keeper does it again, all of them. */
START_TEST(harvest_again)
{
	struct journal_batch *b = fill(9, 9);

	journal_harvest(j, b, false);
	for (int i = 4; i < 9; i++)
		slot_set(&j->slot[b->slot[i]], SLOT_AWAY);
	j->slot[b->slot[3]].addr = 0;
	b->mapping = 9;
	for (int i = 5; i < 9; i += 3)
		j->slot[b->slot[i]].addr = 0x1000 * ((uint64_t)i + 1);
	j->slot[b->slot[2]].addr = 0x3000;
	journal_harvest(j, b, false);
	check_harvest(b, 9, 9, false);
}
END_TEST

/* Only as many as count, whatever lies behind them. */
START_TEST(harvest_no_more)
{
	struct journal_batch *b = fill(10, 10);

	b->mapping = 4;
	journal_harvest(j, b, true);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(j->slot[b->slot[i]].state,
				  i < 4 && i != 2 ? SLOT_MAPPED : SLOT_AWAY);
	/* Numbers that nobody wrote do not lead out of the journal. */
	b->mapping = UINT32_MAX;
	for (uint32_t i = 0; i < JOURNAL_OPS; i++) {
		b->slot[i] = UINT32_MAX - i;
		b->map[i].status = GNTST_okay;
	}
	journal_harvest(j, b, true);
	ck_assert_uint_eq(b->mapping, 0);
}
END_TEST

/* --- slots -------------------------------------------------------------------------------------- */

START_TEST(slots_are_distinct)
{
	static uint32_t slot[3 * GROWTH];
	static uint8_t seen[4 * GROWTH];

	ck_assert_int_eq(journal_slots_get(slots, 3 * GROWTH, slot), 0);
	ck_assert_uint_eq(j->slots, 4 * GROWTH);
	for (uint32_t i = 0; i < 3 * GROWTH; i++) {
		if (!slot[i] || slot[i] >= j->slots || seen[slot[i]]++)
			ck_abort_msg("slot %u", slot[i]);
		if (j->slot[slot[i]].state != SLOT_NONE)
			ck_abort_msg("slot %u is in state %u", slot[i], j->slot[slot[i]].state);
	}
	/* Given back with something in them: nothing is to be undone any more. */
	for (uint32_t i = 0; i < 3 * GROWTH; i++)
		slot_set(&j->slot[slot[i]], i % 2 ? SLOT_AWAY : SLOT_MAPPED);
	journal_slots_put(slots, 3 * GROWTH, slot);
	for (uint32_t i = 0; i < j->slots; i++)
		if (j->slot[i].state != SLOT_NONE)
			ck_abort_msg("slot %u is in state %u", i, j->slot[i].state);
	ck_assert_int_eq(journal_slots_get(slots, 3 * GROWTH, slot), 0);
	ck_assert_uint_eq(j->slots, 4 * GROWTH);
}
END_TEST

START_TEST(slots_grow)
{
	uint32_t slot[GROWTH];

	ck_assert_uint_eq(j->slots, 0);
	ck_assert_int_eq(journal_slots_get(slots, 1, slot), 0);
	ck_assert_uint_eq(j->slots, GROWTH);
	/* The first is nobody's. */
	ck_assert_int_eq(journal_slots_get(slots, GROWTH - 2, slot + 1), 0);
	ck_assert_uint_eq(j->slots, GROWTH);
	ck_assert_int_eq(journal_slots_get(slots, 1, slot + GROWTH - 1), 0);
	ck_assert_uint_eq(j->slots, 2 * GROWTH);
	ck_assert_int_eq(journal_slots_get(slots, 0, NULL), 0);
}
END_TEST

START_TEST(slots_run_out)
{
	uint32_t n = JOURNAL_SLOTS - 1, *slot = malloc((size_t)n * sizeof(*slot)), more[10];

	ck_assert_int_eq(journal_slots_get(slots, n, slot), 0);
	ck_assert_int_eq(journal_slots_get(slots, 1, more), -ENOMEM);
	journal_slots_put(slots, 5, slot);
	/* All or none. */
	ck_assert_int_eq(journal_slots_get(slots, 6, more), -ENOMEM);
	ck_assert_int_eq(journal_slots_get(slots, 10, more), -ENOMEM);
	ck_assert_int_eq(journal_slots_get(slots, 5, more), 0);
	ck_assert_int_eq(journal_slots_get(slots, 1, more + 5), -ENOMEM);
	journal_slots_put(slots, 5, more);
	journal_slots_put(slots, n - 5, slot + 5);
	ck_assert_int_eq(journal_slots_get(slots, n, slot), 0);
	free(slot);
}
END_TEST

#define THREADS 4

static void *taker(void *arg)
{
	uint32_t me = (uint32_t)(uintptr_t)arg, slot[300];

	for (int round = 0; round < 300; round++) {
		size_t n = 1 + (size_t)(round * 7 % 300);

		if (journal_slots_get(slots, n, slot))
			return arg;
		for (size_t i = 0; i < n; i++)
			j->slot[slot[i]].addr = me;
		for (size_t i = 0; i < n; i++)
			if (j->slot[slot[i]].addr != me)
				return arg;
		journal_slots_put(slots, n, slot);
	}
	return NULL;
}

START_TEST(slots_by_threads)
{
	pthread_t t[THREADS];
	void *bad;

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, taker, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		ck_assert_ptr_null(bad);
	}
	ck_assert_uint_le(j->slots, 2 * GROWTH);
}
END_TEST

/* --- memory ------------------------------------------------------------------------------------- */

static size_t resident(const void *at, size_t len)
{
	static unsigned char vec[4096];
	size_t n = 0;

	ck_assert_uint_le(len / 4096, sizeof(vec));
	ck_assert_int_eq(mincore((void *)(uintptr_t)at, len, vec), 0);
	for (size_t i = 0; i < len / 4096; i++)
		n += vec[i] & 1;
	return n;
}

START_TEST(memory)
{
	uint32_t slot;

	ck_assert_uint_eq((uintptr_t)j % 4096, 0);
	ck_assert_uint_eq(resident(j->slot, 1 << 20), 0);
	ck_assert_int_eq(journal_slots_get(slots, 1, &slot), 0);
	/* Those slots are there, the others cost nothing. */
	ck_assert_uint_eq(resident(j->slot, 1 << 20), GROWTH * sizeof(j->slot[0]) / 4096);
	ck_assert_int_eq(journal_lock(j), 0);
	/* AddressSanitizer turns mlock() into nothing. */
#ifndef __SANITIZE_ADDRESS__
	ck_assert_uint_eq(resident(j->batch, sizeof(j->batch)), sizeof(j->batch) / 4096);
#endif
}
END_TEST

/* What a child writes is there, also when it has been killed; and the reverse. */
START_TEST(shared)
{
	int pipes[2], status;
	uint32_t slot;
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		if (read(pipes[0], &byte, 1) != 1 || j->batch[1].mapping != 7 ||
		    journal_slots_get(slots, 1, &slot))
			_exit(1);
		slot_set(&j->slot[slot], SLOT_AWAY);
		j->batch[2].mapping = slot;
		kill(getpid(), SIGKILL);
	}
	j->batch[1].mapping = 7;
	ck_assert_int_eq(write(pipes[1], "x", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	slot = j->batch[2].mapping;
	ck_assert_uint_gt(slot, 0);
	ck_assert_uint_gt(j->slots, slot);
	ck_assert_uint_eq(j->slot[slot].state, SLOT_AWAY);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

Suite *journal_suite(void)
{
	Suite *s = suite_create("journal");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, harvest, 0, 6);
	tcase_add_test(tc, harvest_again);
	tcase_add_test(tc, harvest_no_more);
	tcase_add_test(tc, slots_are_distinct);
	tcase_add_test(tc, slots_grow);
	tcase_add_test(tc, slots_run_out);
	tcase_add_test(tc, slots_by_threads);
	tcase_add_test(tc, memory);
	tcase_add_test(tc, shared);
	suite_add_tcase(s, tc);
	return s;
}
