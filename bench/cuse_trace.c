/* SPDX-License-Identifier: MIT */
/*
 * cuse_trace.c - what it costs that events are counted, and what it costs that they are traced
 *
 *     cuse_trace          with two daemons running: /dev/xen/gntdev, and /dev/xen/untraced, the same
 *                         with nothing behind trace.h; on a kernel with CUSE
 *
 * The two devices take turns, many times and in changing order, and the ratio of each pair of turns
 * counts; its median is shown. First while nobody traces, then while gntdevctl does.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PAIRS	151
#define WARM_UP 15
#define TURN	40
/* Never mapped, so it need not be granted. */
#define REF 8

static int open_device(const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0)
		die(path);
	return fd;
}

/* One turn of each, @other first or last. Return: how much longer the first took. */
static double pair(int traced, int untraced, int other_first, double *us)
{
	double other = 0;

	if (other_first)
		other = map_ioctls(untraced, REF, TURN);
	*us = map_ioctls(traced, REF, TURN);
	if (!other_first)
		other = map_ioctls(untraced, REF, TURN);
	return *us / other;
}

static void compare(int traced, int untraced, const char *name)
{
	double ratio[PAIRS], us[PAIRS];

	for (int i = -WARM_UP; i < PAIRS; i++) {
		int at = i < 0 ? 0 : i;

		ratio[at] = pair(traced, untraced, i & 1, &us[at]);
	}
	printf("%s_map_ioctl_us %.1f us\n", name, median(us, PAIRS));
	printf("%s_overhead_ratio %.3f ratio\n", name, median(ratio, PAIRS));
}

static pid_t start_tracer(void)
{
	char *argv[] = { "gntdevctl", "trace", "--json", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ))
		die("gntdevctl");
	posix_spawn_file_actions_destroy(&actions);
	sleep(1);
	if (waitpid(pid, NULL, WNOHANG))
		die("gntdevctl trace has ended");
	return pid;
}

int main(void)
{
	int traced = open_device("/dev/xen/gntdev");
	int untraced = open_device("/dev/xen/untraced");
	pid_t tracer;

	setvbuf(stdout, NULL, _IOLBF, 0);
	compare(traced, untraced, "trace_off");
	tracer = start_tracer();
	compare(traced, untraced, "trace_on");
	kill(tracer, SIGTERM);
	waitpid(tracer, NULL, 0);
	return 0;
}
