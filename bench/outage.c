/* SPDX-License-Identifier: MIT */
/*
 * outage.c - how long clients wait when the daemon is killed
 *
 *     outage PREFIX KILLS DEVICE DAEMON [ARGUMENT...]
 *
 * Starts the daemon, as a service manager would do it: again as soon as it has ended. A client makes one call after the other.
 * An outage is the time from kill(SIGKILL) to the first answer to a call that was made after it.
 *
 * Prints PREFIX_median_ms, _p95_ms and _max_ms.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define REF 8
/* A daemon serves for as long as this before it is killed, ms, and up to twice. */
#define SERVES_MS 40
#define START_S	  30

extern char **environ;

static int device = -1;
/* When the last call was made that has been answered, and when that was, us. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	double made, done;
} last = { .lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER };

static void call(void)
{
	uint64_t index;

	map_many(device, REF, &index, 1);
	unmap_many(device, &index, 1);
}

static void *client(void *arg)
{
	(void)arg;
	for (;;) {
		double made = now_us(), done;

		call();
		done = now_us();
		pthread_mutex_lock(&last.lock);
		last.made = made;
		last.done = done;
		pthread_cond_signal(&last.answered);
		pthread_mutex_unlock(&last.lock);
	}
	return NULL;
}

/* Return: when the first call was answered that had been made after @since. */
static double answer_since(double since)
{
	double done;

	pthread_mutex_lock(&last.lock);
	while (last.made < since)
		pthread_cond_wait(&last.answered, &last.lock);
	done = last.done;
	pthread_mutex_unlock(&last.lock);
	return done;
}

static pid_t start(char **command)
{
	pid_t pid;

	errno = posix_spawn(&pid, command[0], NULL, NULL, command, environ);
	if (errno)
		die(command[0]);
	return pid;
}

/* There may be a file that is not the device yet. */
static bool serves(const char *path)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1, .refs = { { 1, REF } } };
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool mapped = fd >= 0 && !ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &op);

	/* What is no CUSE device asks its server at each close, until it was told once that nobody wants to know. */
	if (fd >= 0)
		close(fd);
	return mapped;
}

static void open_device(const char *path)
{
	double end = now_us() + START_S * 1e6;

	while (!serves(path)) {
		if (now_us() > end)
			die(path);
		usleep(10000);
	}
	device = open(path, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die(path);
}

static double outage(pid_t *daemon, char **command)
{
	double killed;

	usleep((useconds_t)(1000 * (SERVES_MS + rand() % SERVES_MS)));
	killed = now_us();
	if (kill(*daemon, SIGKILL) || waitpid(*daemon, NULL, 0) != *daemon)
		die("the daemon had ended");
	*daemon = start(command);
	return (answer_since(killed) - killed) / 1e3;
}

int main(int argc, char **argv)
{
	int n = argc > 4 ? atoi(argv[2]) : 0;
	double *ms = calloc((size_t)n + 1, sizeof(*ms));
	pthread_t thread;
	pid_t daemon;

	if (n <= 0 || !ms) {
		errno = EINVAL;
		die("outage");
	}
	daemon = start(argv + 4);
	open_device(argv[3]);
	if (pthread_create(&thread, NULL, client, NULL))
		die("a thread");
	for (int i = 0; i < n; i++)
		ms[i] = outage(&daemon, argv + 4);
	median(ms, n);
	printf("%s_median_ms %.1f ms\n", argv[1], ms[n / 2]);
	printf("%s_p95_ms %.1f ms\n", argv[1], ms[n * 95 / 100]);
	printf("%s_max_ms %.1f ms\n", argv[1], ms[n - 1]);
	kill(daemon, SIGTERM);
	return 0;
}
