/* SPDX-License-Identifier: MIT */
/*
 * bench_trace.c - what one event costs the thread that tells it, natively
 *
 *   trace_event_off_ns    counted: two looks at the clock, a histogram, a probe that is off
 *   trace_event_on_ns     put into the thread's ring, too, while another thread reads that
 *   trace_clock_ns        one look at the clock
 */
#include <pthread.h>
#include <stdbool.h>

#include "report/trace.h"
#include "bench.h"

#define ROUNDS 21
#define EVENTS 100000

static bool ending;

static void *read_events(void *arg)
{
	static struct trace_event ev[512];
	uint64_t lost;

	while (!__atomic_load_n(&ending, __ATOMIC_RELAXED))
		trace_read(arg, ev, sizeof(ev) / sizeof(ev[0]), &lost);
	return NULL;
}

static double event_ns(void)
{
	double start = now_us();

	for (int i = 0; i < EVENTS; i++) {
		struct trace_event ev = trace_begin(TRACE_MAP_GRANT_REF);

		trace_end(&ev);
	}
	return (now_us() - start) * 1000 / EVENTS;
}

static double clock_ns(void)
{
	double start = now_us();
	uint64_t sum = 0;

	for (int i = 0; i < EVENTS; i++)
		sum += trace_now();
	return sum ? (now_us() - start) * 1000 / EVENTS : 0;
}

static void print(const char *name, double (*measure)(void))
{
	double ns[ROUNDS];

	for (int r = 0; r < ROUNDS; r++)
		ns[r] = measure();
	printf("%s %.1f ns\n", name, median(ns, ROUNDS));
}

int main(void)
{
	struct trace_reader *reader;
	pthread_t thread;

	print("trace_event_off_ns", event_ns);
	reader = trace_open();
	if (!reader || pthread_create(&thread, NULL, read_events, reader))
		die("a reader");
	print("trace_event_on_ns", event_ns);
	__atomic_store_n(&ending, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	trace_close(reader);
	print("trace_clock_ns", clock_ns);
	return 0;
}
