/* SPDX-License-Identifier: MIT */
/*
 * random.c - a long random sequence of a client's operations, always the same for a seed
 *
 *     random DEVICE SEED STEPS >TRACE
 *
 * Several processes share descriptors of the device and mappings as forks do, and each step is one
 * operation of one of them. All that clients observe is written down, so that the trace of the
 * kernel's device and that of the daemon's can be compared line by line. After every SETTLE steps
 * it waits until what was to be released is, and looks at the granter: pins, cleared bytes, events.
 *
 * This process is the granter, and does not use the device. random_ops.c says what the sequence
 * leaves out.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "random_ops.h"

#define SETTLE	     250
#define GRANT_FRAMES 16
#define ANSWER_S     60

static void die(const char *what)
{
	perror(what);
	exit(1);
}

void ask(struct run *r, uint32_t w, const struct order *o, struct answer *a)
{
	if (send(r->socket[w], o, sizeof(*o), 0) != sizeof(*o) ||
	    recv(r->socket[w], a, sizeof(*a), 0) != sizeof(*a))
		die("random: a worker does not answer");
	fprintf(r->trace, "w%u ", w);
}

void hear(struct run *r, uint32_t w)
{
	struct answer a;

	if (recv(r->socket[w], &a, sizeof(a), 0) != sizeof(a))
		die("random: a worker does not come up");
}

/* Any of them may come to be by a fork of any other, so each has the ends of all. */
static void make_sockets(struct run *r)
{
	const struct timeval limit = { .tv_sec = ANSWER_S };
	int pair[2];

	for (uint32_t w = 0; w < WORKERS; w++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) ||
		    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
		    dup2(pair[1], SOCKET_FD(w)) < 0)
			die("random: sockets");
		close(pair[1]);
		r->socket[w] = pair[0];
	}
}

static void first_worker(struct run *r)
{
	pid_t pid = fork();

	if (pid < 0)
		die("random: fork");
	if (!pid)
		worker(0, r->device);
	r->m.pid[0] = pid;
	hear(r, 0);
}

static void settle(struct run *r)
{
	char state[128];

	model_settle(&r->m, state, sizeof(state));
	fprintf(r->trace, "settled: %s\n", state);
}

static void sequence(struct run *r, uint64_t seed, uint32_t steps)
{
	r->random = seed * 0x9e3779b97f4a7c15ULL | 1;
	make_sockets(r);
	first_worker(r);
	for (uint32_t i = 0, next = SETTLE; i < steps;) {
		fprintf(r->trace, "%u ", i);
		i += step(r);
		if (i < next)
			continue;
		settle(r);
		next += SETTLE;
	}
	finish(r);
	settle(r);
}

int main(int argc, char **argv)
{
	static struct run run;
	struct domain *granter;
	int err;

	if (argc != 4) {
		fprintf(stderr, "usage: random DEVICE SEED STEPS\n");
		return 2;
	}
	if (!strcmp(argv[1], "-w"))
		worker((uint32_t)strtoul(argv[2], NULL, 10), argv[3]);
	granter = domain_new(PAGES, GRANT_FRAMES);
	if (!granter || model_init(&run.m, granter))
		die("random: no granter");
	run.device = argv[1];
	run.trace = stdout;
	sequence(&run, strtoull(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10));
	xenevtchn_close(run.m.evtchn);
	err = domain_destroy(granter);
	return fflush(stdout) || err;
}
