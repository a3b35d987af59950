/* SPDX-License-Identifier: MIT */
/*
 * cuse_evtchn.c - what an event between two simulated domains costs, beside a pipe and an eventfd
 *
 *     cuse_evtchn         with the daemon running, on a kernel with CUSE
 *
 * An echo is an event to another process, which sleeps until it comes, and one back. An event by itself is sent, read and
 * unmasked by one process. In each round the things compared take turns.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/sys/evtchn.h>

#include "bench.h"

#define ROUNDS	9
#define WARM_UP 2
#define N	100

/**
 * struct way - a way to send to another process, and back
 * @fd:   what each of the two sends by, and hears from
 * @port: of event channels
 */
struct way {
	int out[2], in[2];
	uint32_t port[2];
	void (*send)(const struct way *w, int side);
	void (*hear)(const struct way *w, int side);
};

/* --- the ways ----------------------------------------------------------------------------------- */

static void notify(const struct way *w, int side)
{
	struct ioctl_evtchn_notify op = { w->port[side] };

	if (ioctl(w->out[side], IOCTL_EVTCHN_NOTIFY, &op))
		die("NOTIFY");
}

static void hear_event(const struct way *w, int side)
{
	uint32_t port;

	if (read(w->in[side], &port, sizeof(port)) != sizeof(port) ||
	    write(w->in[side], &port, sizeof(port)) != sizeof(port))
		die("read of an event");
}

static void write_8(const struct way *w, int side)
{
	const uint64_t one = 1;

	if (write(w->out[side], &one, sizeof(one)) != sizeof(one))
		die("write");
}

static void read_8(const struct way *w, int side)
{
	uint64_t value;

	if (read(w->in[side], &value, sizeof(value)) != sizeof(value))
		die("read");
}

static struct way by_evtchn(void)
{
	struct way w = { .send = notify, .hear = hear_event };
	struct ioctl_evtchn_bind_unbound_port unbound = { 0 };
	struct ioctl_evtchn_bind_interdomain to = { .remote_domain = 1 };
	int ports[2];

	w.in[0] = w.out[0] = open("/dev/xen/evtchn", O_RDWR);
	w.in[1] = w.out[1] = open("/dev/xen/dom1/evtchn", O_RDWR);
	if (w.in[0] < 0 || w.in[1] < 0)
		die("evtchn");
	ports[1] = ioctl(w.in[1], IOCTL_EVTCHN_BIND_UNBOUND_PORT, &unbound);
	to.remote_port = (uint32_t)ports[1];
	ports[0] = ioctl(w.in[0], IOCTL_EVTCHN_BIND_INTERDOMAIN, &to);
	if (ports[0] < 0 || ports[1] < 0)
		die("bind");
	w.port[0] = (uint32_t)ports[0];
	w.port[1] = (uint32_t)ports[1];
	/* The one that it has at once. */
	hear_event(&w, 0);
	return w;
}

static struct way by_pipe(void)
{
	struct way w = { .send = write_8, .hear = read_8 };
	int there[2], back[2];

	if (pipe(there) || pipe(back))
		die("pipe");
	w.out[0] = there[1];
	w.in[1] = there[0];
	w.out[1] = back[1];
	w.in[0] = back[0];
	return w;
}

static struct way by_eventfd(void)
{
	struct way w = { .send = write_8, .hear = read_8 };

	w.out[0] = w.in[1] = eventfd(0, 0);
	w.out[1] = w.in[0] = eventfd(0, 0);
	if (w.out[0] < 0 || w.out[1] < 0)
		die("eventfd");
	return w;
}

/* --- figures ------------------------------------------------------------------------------------ */

/* Each has a process that echoes, until we end. */
static void start_echo(const struct way *w)
{
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		w->hear(w, 1);
		w->send(w, 1);
	}
}

static double echo(const struct way *w)
{
	double start = now_us();

	for (int i = 0; i < N; i++) {
		w->send(w, 0);
		w->hear(w, 0);
	}
	return (now_us() - start) / N;
}

/* To itself. */
static double one_process(const struct way *w)
{
	double start = now_us();

	for (int i = 0; i < N; i++) {
		w->send(w, 0);
		w->hear(w, 1);
	}
	return (now_us() - start) / N;
}

static void figures(const char *what, double (*measure)(const struct way *w), const struct way w[3])
{
	static const char *const name[] = { "evtchn", "pipe", "eventfd" };
	double us[3][ROUNDS], over_pipe[ROUNDS];

	for (int r = -WARM_UP; r < ROUNDS; r++) {
		int at = r < 0 ? 0 : r;

		for (int i = 0; i < 3; i++)
			us[i][at] = measure(&w[i]);
		over_pipe[at] = us[0][at] / us[1][at];
	}
	for (int i = 0; i < 3; i++)
		printf("%s_%s_us %.1f us\n", name[i], what, median(us[i], ROUNDS));
	printf("evtchn_%s_over_pipe_ratio %.1f ratio\n", what, median(over_pipe, ROUNDS));
}

int main(void)
{
	struct way alone[3] = { by_evtchn(), by_pipe(), by_eventfd() };
	struct way pair[3] = { by_evtchn(), by_pipe(), by_eventfd() };

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < 3; i++)
		start_echo(&pair[i]);
	figures("echo", echo, pair);
	figures("event", one_process, alone);
	return 0;
}
