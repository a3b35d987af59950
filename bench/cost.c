/* SPDX-License-Identifier: MIT */
/*
 * cost.c - what it costs a request that it survives the daemon
 *
 *     cost PREFIX CLOCK DEVICE PID PLAIN PID PLAIN PID
 *
 * Three daemons serve these devices: the daemon, and two that nobody survives (plain.c), which are the same: how far their
 * figures are from each other tells how far the others can be trusted. They take turns, in changing order.
 *
 * CLOCK is "cpu", the processor time of this process and of the daemon's, all threads, on one processor; or "all", all
 * that passes, for a machine that counts instructions and has nothing else to do.
 *
 * Prints "PREFIX_NAME value unit" lines, NAME of empty_ioctl (one that no driver knows), map (MAP_GRANT_REF of a reference) and
 * map_unmap (and its UNMAP_GRANT_REF):
 *
 *   NAME_us            what the daemon takes
 *   NAME_added_us      more than the mean of the plain ones
 *   NAME_ratio         to that mean
 *   NAME_control_ratio of the two plain ones
 *
 * Of each device's rounds that one counts which a tenth is below: what others do to the processor's caches makes all of them
 * dearer, by as much as half, and the best tenth is what was disturbed least.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS 301
/* Where instructions are counted there is no noise. */
#define COUNTED 21
#define WARM_UP 18
#define TURN	60
/* Never mapped, so it need not be granted. */
#define REF 8
/* Nobody's number. */
#define NO_IOCTL _IO('G', 255)

enum {
	OURS,
	PLAIN,
	CONTROL,
	DEVICES,
};

/* All orders of three. */
static const int orders[6][DEVICES] = { { 0, 1, 2 }, { 1, 2, 0 }, { 2, 0, 1 },
					{ 2, 1, 0 }, { 1, 0, 2 }, { 0, 2, 1 } };

static struct {
	int fd;
	clockid_t clock;
} served[DEVICES];
static const char *prefix;
static bool by_processor;
static int rounds = COUNTED;

static double clock_of(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t))
		die("a clock");
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double spent(int i)
{
	if (!by_processor)
		return now_us();
	return clock_of(CLOCK_PROCESS_CPUTIME_ID) + clock_of(served[i].clock);
}

/* --- what is measured: a turn, and what is left by it ------------------------------------------- */

static uint64_t made[TURN];

static void do_empty(int fd)
{
	for (int i = 0; i < TURN; i++)
		if (!ioctl(fd, NO_IOCTL) || errno != ENOTTY)
			die("an ioctl that is none");
}

static void do_map(int fd)
{
	map_many(fd, REF, made, TURN);
}

static void do_map_unmap(int fd)
{
	for (int i = 0; i < TURN; i++) {
		map_many(fd, REF, made, 1);
		unmap_many(fd, made, 1);
	}
}

static void unmap_made(int fd)
{
	unmap_many(fd, made, TURN);
}

static void nothing(int fd)
{
	(void)fd;
}

static double turn(int i, void (*work)(int fd), void (*after)(int fd))
{
	double start = spent(i), us;

	work(served[i].fd);
	us = (spent(i) - start) / TURN;
	after(served[i].fd);
	return us;
}

static double least_disturbed(double *v, int n)
{
	median(v, n);
	return v[n / 10];
}

static void compare(const char *name, void (*work)(int fd), void (*after)(int fd))
{
	double us[DEVICES][ROUNDS], least[DEVICES], plain;

	for (int r = -WARM_UP; r < rounds; r++) {
		const int *order = orders[(r + WARM_UP) % 6];

		for (int i = 0; i < DEVICES; i++)
			us[order[i]][r < 0 ? 0 : r] = turn(order[i], work, after);
	}
	for (int i = 0; i < DEVICES; i++)
		least[i] = least_disturbed(us[i], rounds);
	plain = (least[PLAIN] + least[CONTROL]) / 2;
	printf("%s_%s_us %.2f us\n", prefix, name, least[OURS]);
	printf("%s_%s_added_us %.2f us\n", prefix, name, least[OURS] - plain);
	printf("%s_%s_ratio %.3f ratio\n", prefix, name, least[OURS] / plain);
	printf("%s_%s_control_ratio %.3f ratio\n", prefix, name, least[CONTROL] / least[PLAIN]);
}

static void attach(int i, const char *path, const char *pid)
{
	served[i].fd = open(path, O_RDWR);
	if (served[i].fd < 0)
		die(path);
	errno = clock_getcpuclockid((pid_t)atoi(pid), &served[i].clock);
	if (errno)
		die(pid);
}

int main(int argc, char **argv)
{
	if (argc != 3 + 2 * DEVICES) {
		errno = EINVAL;
		die("cost");
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	prefix = argv[1];
	by_processor = !strcmp(argv[2], "cpu");
	if (by_processor)
		rounds = ROUNDS;
	for (int i = 0; i < DEVICES; i++)
		attach(i, argv[3 + 2 * i], argv[4 + 2 * i]);
	compare("empty_ioctl", do_empty, nothing);
	compare("map", do_map, unmap_made);
	compare("map_unmap", do_map_unmap, nothing);
	return 0;
}
