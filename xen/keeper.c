/* SPDX-License-Identifier: MIT */
/*
 * xen/keeper.c - the process that cleans up after a killed daemon
 */
#include "xen/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stdfds.h"
#include "xen/undo.h"

/* Slots looked at together. */
#define CHUNK 4096U

/* Between attempts, and how long the daemon waits for the keeper's end. */
#define AGAIN_S 1
#define WAIT_MS 2000

size_t keeper_recover(struct journal *j, int privcmd, bool translated)
{
	uint32_t slot[CHUNK];
	size_t left = 0;

	for (size_t i = 0; i < JOURNAL_BATCHES; i++)
		journal_harvest(j, &j->batch[i], translated);
	for (uint32_t first = 0; first < j->slots; first += CHUNK) {
		for (uint32_t i = 0; i < CHUNK; i++)
			slot[i] = first + i;
		if (translated)
			undo_all_doubts(privcmd, &j->batch[0], j, slot, CHUNK);
		left += undo_all(privcmd, &j->batch[0], translated, j, slot, CHUNK);
	}
	return left;
}

static void clean_up(struct journal *j, int privcmd, bool translated)
{
	size_t held = journal_held(j), left;

	if (!held)
		return;
	log_warn("keeper: the daemon has died: undoing what it had mapped (%zu pages)", held);
	left = keeper_recover(j, privcmd, translated);
	if (left)
		log_err("keeper: %zu pages cannot be undone yet: keeping them until they can",
			left);
	while (left) {
		sleep(AGAIN_S);
		left = keeper_recover(j, privcmd, translated);
	}
	log_info("keeper: all undone");
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Close all descriptors but these. Return: whether that worked. */
static bool close_others(int *keep, size_t n)
{
	bool good = true;
	int from = 0;

	qsort(keep, n, sizeof(*keep), compare);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] > from)
			good &= !close_range((unsigned int)from, (unsigned int)keep[i] - 1, 0);
		from = keep[i] + 1;
	}
	return !close_range((unsigned int)from, ~0U, 0) && good;
}

/* Whom the kernel chooses when memory is short: not the keeper, rather the daemon. */
static void set_oom_score(const char *score)
{
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char now[8] = "";

	if (fd < 0)
		return;
	/* Only ever to or from the lowest: the daemon's own score is not ours to choose. */
	if (read(fd, now, sizeof(now) - 1) > 0 && (atoi(now) == -1000) != (atoi(score) == -1000) &&
	    pwrite(fd, score, strlen(score), 0) < 0)
		log_debug("keeper: oom_score_adj cannot be set to %s: %s (OOMScoreAdjust=-1000 in "
			  "the unit, or CAP_SYS_RESOURCE)",
			  score, strerror(errno));
	close(fd);
}

static void keep_watch(struct journal *j, int privcmd, int sock, bool translated)
{
	sigset_t all;
	ssize_t n;
	char byte;
	int err;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* Whoever kills the whole group of the daemon does not mean this one. */
	setsid();
	prctl(PR_SET_NAME, "gntdev-keeper");
	set_oom_score("-1000");
	/* What is to be undone does not wait for whoever reads the log. If there is no thread it does. */
	log_start();
	err = journal_lock(j);
	if (err)
		log_warn("keeper: cannot lock memory: %s", strerror(-err));
	/* Nothing is ever sent. */
	do
		n = recv(sock, &byte, 1, 0);
	while (n > 0 || (n < 0 && errno == EINTR));
	clean_up(j, privcmd, translated);
}

int keeper_start(struct keeper *k, struct journal *j, int privcmd, const int *keep, size_t n,
		 bool translated)
{
	int all[KEEPER_FDS + 3], pair[2];

	if (n > KEEPER_FDS)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	k->pid = fork();
	if (k->pid < 0) {
		int err = -errno;

		close(pair[0]);
		close(pair[1]);
		k->pid = 0;
		return err;
	}
	if (!k->pid) {
		/* Or it would never see the daemon's end. */
		close(pair[0]);
		for (size_t i = 0; i < n; i++)
			all[i] = keep[i];
		all[n] = STDERR_FILENO;
		all[n + 1] = privcmd;
		all[n + 2] = pair[1];
		/* The daemon notices that there is no keeper. */
		if (!close_others(all, n + 3) || !stdfds_occupy())
			_exit(1);
		keep_watch(j, privcmd, pair[1], translated);
		log_stop();
		_exit(0);
	}
	close(pair[1]);
	set_oom_score("-900");
	k->sock = pair[0];
	return 0;
}

bool keeper_alive(const struct keeper *k)
{
	struct pollfd p = { .fd = k->sock, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

bool keeper_end(struct keeper *k)
{
	if (!k->pid)
		return true;
	close(k->sock);
	for (int ms = 0; ms < WAIT_MS; ms += 10) {
		pid_t ended = waitpid(k->pid, NULL, WNOHANG);

		if (ended == k->pid || (ended < 0 && errno == ECHILD))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	return false;
}
