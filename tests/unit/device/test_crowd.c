/* SPDX-License-Identifier: MIT */
/*
 * device/test_crowd.c - what it costs one client that another one has very much
 *
 * Processor time of the thread that answers, medians, in one run: what else the machine does makes no difference.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/ioctl.h"
#include "tests/unit/double.h"
#include "tests/unit/rig.h"
#include "tests/unit/suite.h"

#define PAGE 4096UL

#define OPENS	1000
#define WINDOWS 20000
#define VMAS	60000

/* Of each grant: as in Xen it can be mapped 128 times to read. */
#define PINS 100

#define ROUNDS 301

static struct ioctl_gntdev_get_offset_for_vaddr op;

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t own_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A process with what we have mapped now, which does as @fn says, and stays. */
static pid_t client(void (*fn)(void))
{
	int done[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe(done), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fn)
			fn();
		while (write(done[1], "", 1) == 1)
			pause();
	}
	ck_assert_int_eq(read(done[0], &c, 1), 1);
	close(done[0]);
	close(done[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The median of GET_OFFSET_FOR_VADDR by a process of one window, ns. */
static uint64_t cost(uint64_t fh, pid_t pid)
{
	static uint64_t ns[ROUNDS];

	double_tid = pid;
	for (int i = 0; i < ROUNDS; i++) {
		const uint64_t start = own_ns();

		ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR,
					      &op, DOUBLE_DIRECT),
				 0);
		ns[i] = own_ns() - start;
	}
	double_tid = 0;
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	return ns[ROUNDS / 2];
}

static void *window(uint64_t fh, uint32_t ref)
{
	void *p = rig_mmap(fh, rig_map(fh, ref), PAGE, PROT_READ, MAP_SHARED);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* Each second page of other protection: none can be merged with its neighbour. */
static void have_vmas(void)
{
	const size_t n = VMAS - WINDOWS;
	char *p =
		mmap(NULL, n * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	for (size_t i = 0; p != MAP_FAILED && i < n; i += 2)
		if (mprotect(p + i * PAGE, PAGE, PROT_READ))
			_exit(1);
}

/* 1,000 opens, 20,000 windows, 60,000 mappings in one process: another's calls cost what they did. */
START_TEST(beside_a_client_that_has_much)
{
	static void *windows[WINDOWS];
	static uint64_t opens[OPENS];
	uint64_t quiet, crowd;
	pid_t modest, greedy;
	uint32_t ref = 0;

	op.vaddr = (uintptr_t)window(rig.fh, rig_grant(false));
	modest = client(NULL);
	cost(rig.fh, modest);
	quiet = cost(rig.fh, modest);
	for (int i = 0; i < WINDOWS; i++) {
		if (i % PINS == 0)
			ref = rig_grant(false);
		if (i < OPENS)
			opens[i] = rig_open();
		windows[i] = window(opens[i % OPENS], ref);
	}
	greedy = client(have_vmas);
	for (int i = 0; i < WINDOWS; i++)
		munmap(windows[i], PAGE);
	ck_assert_uint_eq(rig_handles(), WINDOWS + 1);
	crowd = cost(rig.fh, modest);
	assert_each(crowd <= 2 * quiet, "%lu ns beside it, %lu ns before", crowd, quiet);
	end(greedy);
	end(modest);
	munmap((void *)(uintptr_t)op.vaddr, PAGE);
	for (int i = 0; i < OPENS; i++)
		rig_close(opens[i]);
}
END_TEST

Suite *crowd_suite(void);

Suite *crowd_suite(void)
{
	Suite *s = suite_create("crowd");
	TCase *tc = tcase_create("crowd");

	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, beside_a_client_that_has_much);
	suite_add_tcase(s, tc);
	return s;
}
