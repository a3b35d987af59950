/* SPDX-License-Identifier: MIT */
/*
 * kills.c - kill a daemon again and again, and start the next: kills FILE STEPS PID N SEED PROGRAM [ARG...]
 *
 * FILE is load.c's, whose clients run meanwhile; STEPS is what the daemon's $GNTDEV_STEPS names (base/step.c); PID is the
 * daemon that runs. Every other kill is at a step, each in its turn, the others at a random time, of which one in four falls
 * into the successor's start. Ends when the last successor serves; its process id is the last line. Prints what the outages were.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/step.h"
#include "tests/uml/load.h"

#define KILLS_MAX  100000
#define HANG_US	   (60 * 1000000ULL)
#define MOST_US	   30000
#define AT_STEP_US 300000

static struct load_shared *shared;
static struct step_orders *orders;
static uint64_t outage[KILLS_MAX];

static const char *const step_names[] = {
#define STEP_NAME(name, what) #name,
	STEPS_ALL(STEP_NAME)
};

static pid_t start(char **argv)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	execv(argv[0], argv);
	_exit(127);
}

/* Whether the daemon has gone, with all its threads; waits for that at most @us. */
static bool has_gone(int pidfd, uint64_t us)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	uint64_t until = now_us() + us;

	do
		if (poll(&p, 1, (int)(us / 1000) + 1) > 0)
			return true;
	while (now_us() < until);
	return false;
}

static void kill_at_step(pid_t pid, int pidfd, unsigned int step, unsigned int *seed)
{
	__atomic_store_n(&orders->die_in, 1 + (uint32_t)rand_r(seed) % 8, __ATOMIC_RELAXED);
	__atomic_store_n(&orders->die_at, step + 1, __ATOMIC_RELEASE);
	if (has_gone(pidfd, AT_STEP_US))
		return;
	__atomic_store_n(&orders->die_at, 0, __ATOMIC_RELEASE);
	kill(pid, SIGKILL);
}

static void kill_some_time(pid_t pid, unsigned int *seed)
{
	usleep((useconds_t)(rand_r(seed) % MOST_US));
	kill(pid, SIGKILL);
}

/* Wait until clients get answers again. Return: false if they do not. */
static bool serves_again(uint64_t before, uint64_t since, uint64_t *us)
{
	while (__atomic_load_n(&shared->calls, __ATOMIC_RELAXED) == before) {
		if (now_us() - since > HANG_US)
			return false;
		usleep(1000);
	}
	*us = now_us() - since;
	return true;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void tell(unsigned int n)
{
	qsort(outage, n, sizeof(outage[0]), by_value);
	if (n)
		printf("outage_median %llu us\noutage_p95 %llu us\noutage_worst %llu us\n",
		       (unsigned long long)outage[n / 2], (unsigned long long)outage[n * 95 / 100],
		       (unsigned long long)outage[n - 1]);
	for (unsigned int i = 0; i < STEPS_N; i++)
		printf("step_%s %llu times\n", step_names[i],
		       (unsigned long long)orders->reached[i]);
}

/* One kill, and the successor. Return: its process id, 0 if it does not serve. */
static pid_t once(pid_t pid, unsigned int i, unsigned int *seed, char **argv, unsigned int *n)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status;
	uint64_t before, since;

	if (i % 2)
		kill_at_step(pid, pidfd, (i / 2) % STEPS_N, seed);
	else
		kill_some_time(pid, seed);
	if (!has_gone(pidfd, HANG_US)) {
		printf("kill %u: the daemon does not go\n", i);
		return 0;
	}
	close(pidfd);
	waitpid(pid, &status, WNOHANG);
	before = __atomic_load_n(&shared->calls, __ATOMIC_RELAXED);
	since = now_us();
	pid = start(argv);
	/* The successor dies while it adopts. */
	if (i % 8 == 6)
		return pid;
	if (serves_again(before, since, &outage[*n])) {
		++*n;
		return pid;
	}
	if (waitpid(pid, &status, WNOHANG) == pid)
		printf("kill %u: the successor has ended, status 0x%x\n", i, (unsigned int)status);
	else
		printf("kill %u: the successor serves nobody\n", i);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int kills, seed, n = 0;
	pid_t pid;

	if (argc < 7 || !(shared = map_file(argv[1], sizeof(*shared))) ||
	    !(orders = map_file(argv[2], sizeof(*orders)))) {
		fprintf(stderr, "usage: kills FILE STEPS PID N SEED PROGRAM [ARG...]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	setenv("GNTDEV_STEPS", argv[2], 1);
	pid = (pid_t)atoi(argv[3]);
	kills = (unsigned int)atoi(argv[4]);
	seed = (unsigned int)atoi(argv[5]);
	for (unsigned int i = 0; pid && i < kills && i < KILLS_MAX; i++)
		pid = once(pid, i, &seed, argv + 6, &n);
	tell(n);
	printf("daemon %d\n", (int)pid);
	return !pid;
}
