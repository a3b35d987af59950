/* SPDX-License-Identifier: MIT */
/*
 * keeper.c - the process that cleans up after a killed daemon
 */
#include "keeper.h"

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

#include "log.h"
#include "undo.h"

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
		left += undo_all(privcmd, &j->batch[0], translated, j, slot, CHUNK);
	}
	return left;
}

static size_t count_held(const struct journal *j)
{
	size_t n = 0;

	for (size_t i = 0; i < JOURNAL_BATCHES; i++)
		n += j->batch[i].mapping;
	for (uint32_t i = 0; i < j->slots; i++)
		n += j->slot[i].state != SLOT_NONE;
	return n;
}

static void clean_up(struct journal *j, int privcmd, bool translated)
{
	size_t held = count_held(j), left;

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

/* Close all descriptors but these and standard error. */
static void close_others(int *keep, size_t n)
{
	int from = 0;

	qsort(keep, n, sizeof(*keep), compare);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] > from)
			close_range((unsigned int)from, (unsigned int)keep[i] - 1, 0);
		from = keep[i] + 1;
	}
	close_range((unsigned int)from, ~0U, 0);
}

/* The kernel's choice when memory is short: not this one. */
static void be_spared(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "-1000", 5) < 0)
		log_debug("keeper: oom_score_adj: %s", strerror(errno));
	close(fd);
}

static void keep_watch(struct journal *j, int privcmd, int sock, bool translated)
{
	sigset_t all;
	ssize_t n;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* Whoever kills the whole group of the daemon does not mean this one. */
	setsid();
	prctl(PR_SET_NAME, "gntdev-keeper");
	be_spared();
	if (journal_lock(j))
		log_warn("keeper: cannot lock memory: %s", strerror(errno));
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
		memcpy(all, keep, n * sizeof(*keep));
		all[n] = STDERR_FILENO;
		all[n + 1] = privcmd;
		all[n + 2] = pair[1];
		close_others(all, n + 3);
		keep_watch(j, privcmd, pair[1], translated);
		_exit(0);
	}
	close(pair[1]);
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
