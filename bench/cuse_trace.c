/* SPDX-License-Identifier: MIT */
/*
 * cuse_trace.c - what it costs that events are counted, and what it costs that they are traced
 *
 *     cuse_trace          with three daemons running: /dev/xen/gntdev, and two with nothing behind
 *                         report/trace.h, /dev/xen/untraced and /dev/xen/control; on a kernel with CUSE
 *
 * The devices take turns, many times and in changing order, and the ratio of the turns of a round counts;
 * its median is shown. First while nobody traces, then while gntdevctl does. Two daemons that are the
 * same differ by some per cent, by where their memory lies; so the traced one is compared with the mean of
 * two, and their ratio tells how far such a figure can be trusted. trace_on_seen_ratio is how much of
 * what was measured gntdevctl has told.
 */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS	150
#define WARM_UP 18
#define TURN	40
/* Never mapped, so it need not be granted. */
#define REF 8

enum {
	TRACED,
	UNTRACED,
	CONTROL,
	DEVICES,
};

static const char *const paths[DEVICES] = { "/dev/xen/gntdev", "/dev/xen/untraced",
					    "/dev/xen/control" };

/* All orders of three. */
static const int orders[6][DEVICES] = { { 0, 1, 2 }, { 1, 2, 0 }, { 2, 0, 1 },
					{ 2, 1, 0 }, { 1, 0, 2 }, { 0, 2, 1 } };

static int open_device(const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0)
		die(path);
	return fd;
}

static void compare(const int *fd, const char *name)
{
	double overhead[ROUNDS], control[ROUNDS], traced[ROUNDS], us[DEVICES];

	for (int r = -WARM_UP; r < ROUNDS; r++) {
		const int *order = orders[(r + WARM_UP) % 6];
		int at = r < 0 ? 0 : r;

		for (int i = 0; i < DEVICES; i++)
			us[order[i]] = map_ioctls(fd[order[i]], REF, TURN);
		traced[at] = us[TRACED];
		overhead[at] = us[TRACED] / sqrt(us[UNTRACED] * us[CONTROL]);
		control[at] = us[CONTROL] / us[UNTRACED];
	}
	printf("%s_map_ioctl_us %.1f us\n", name, median(traced, ROUNDS));
	printf("%s_overhead_ratio %.3f ratio\n", name, median(overhead, ROUNDS));
	printf("%s_control_ratio %.3f ratio\n", name, median(control, ROUNDS));
}

/* @out: where it writes */
static pid_t start_tracer(FILE *out)
{
	char *argv[] = { "gntdevctl", "trace", "--json", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ))
		die("gntdevctl");
	posix_spawn_file_actions_destroy(&actions);
	sleep(1);
	if (waitpid(pid, NULL, WNOHANG))
		die("gntdevctl trace has ended");
	return pid;
}

/* Return: how many MAPs it has seen. */
static long traced_maps(FILE *out)
{
	char line[1024];
	long n = 0;

	rewind(out);
	while (fgets(line, sizeof(line), out))
		n += strstr(line, "\"MAP_GRANT_REF\"") != NULL;
	return n;
}

int main(void)
{
	FILE *out = tmpfile();
	int fd[DEVICES];
	pid_t tracer;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < DEVICES; i++)
		fd[i] = open_device(paths[i]);
	compare(fd, "trace_off");
	if (!out)
		die("tmpfile");
	tracer = start_tracer(out);
	compare(fd, "trace_on");
	sleep(1);
	kill(tracer, SIGTERM);
	waitpid(tracer, NULL, 0);
	printf("trace_on_seen_ratio %.3f ratio\n",
	       (double)traced_maps(out) / ((ROUNDS + WARM_UP) * TURN));
	return 0;
}
