/* SPDX-License-Identifier: MIT */
/*
 * report/trace.h - what the daemon does, counted always, recorded while somebody looks
 *
 * Each thing done for a client (an ioctl, an open, an mmap, ...) and each hypercall is one event, told
 * when it has ended. Always: its time goes into a histogram of its kind, and a USDT probe fires.
 * While there is a reader: the event is also put into a ring of the thread it happened on.
 *
 * No thread ever waits here. A ring that is not read in time loses its oldest events, and the
 * reader learns how many.
 */
#ifndef REPORT_TRACE_H
#define REPORT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Kinds of events. The order is that of report/trace.c's names. */
enum trace_op {
	TRACE_OPEN,
	TRACE_RELEASE,
	TRACE_MAP_GRANT_REF,
	TRACE_UNMAP_GRANT_REF,
	TRACE_GET_OFFSET_FOR_VADDR,
	TRACE_SET_UNMAP_NOTIFY,
	TRACE_GRANT_COPY,
	TRACE_PRELOAD,	   /* what the preload object asks by ioctl */
	TRACE_OTHER_IOCTL, /* one that the device does not have */
	TRACE_MMAP,	   /* from the client's request for a window to its answer */
	TRACE_MUNMAP,	   /* the last user of a window has gone: its grants are unmapped */
	TRACE_HV_MAP,
	TRACE_HV_UNMAP,
	TRACE_HV_COPY,
	TRACE_HV_SEND,
	TRACE_OPS,
};

/* What an operation belongs to. */
enum trace_kind {
	TRACE_KIND_OPEN,
	TRACE_KIND_RELEASE,
	TRACE_KIND_IOCTL,
	TRACE_KIND_MMAP,
	TRACE_KIND_MUNMAP,
	TRACE_KIND_HYPERCALL,
};

/**
 * struct trace_event - one of them
 * @start, @end: trace_now()
 * @open_id: the open, 0 if there is none
 * @index:  what it was about: a map's index (bytes) for MAP (its result), UNMAP, mmap, munmap and hypercalls
 *          that map; an address for GET_OFFSET; the argument otherwise
 * @op:     enum trace_op
 * @result: 0 or more, or -errno; of a hypercall: 0 or more, how many of its operations failed
 * @tid:    the client's thread (mmap, munmap: its process), 0 unknown
 * @uid:    the client's, (uid_t)-1 unknown
 * @count:  pages, segments or operations
 * @domid:  of the first grant, -1 if there is none
 * @ref:    of the first grant; of a hypercall: of the first that failed, if one did
 * @status: that one's GNTST_*, HV_PENDING: none
 */
struct trace_event {
	uint64_t start;
	uint64_t end;
	uint64_t open_id;
	uint64_t index;
	uint32_t op;
	int32_t result;
	pid_t tid;
	uid_t uid;
	uint32_t count;
	int32_t domid;
	uint32_t ref;
	int32_t status;
};

/** trace_op_name() - such as "MAP_GRANT_REF", "mmap", "hypercall_map". Never NULL */
const char *trace_op_name(enum trace_op op);

enum trace_kind trace_op_kind(enum trace_op op);

/** trace_kind_name() - such as "ioctl", "hypercall". Never NULL */
const char *trace_kind_name(enum trace_kind kind);

/**
 * trace_now() - a clock for durations and ages, ns; near to CLOCK_MONOTONIC
 *
 * Any thread. Takes some nanoseconds everywhere, but for the first call, which measures for 2 ms: see
 * report/trace_clock.c. Two threads need not agree on it to the last.
 */
uint64_t trace_now(void);

/**
 * trace_client() - for whom the calling thread works from now on
 * @tid, @uid: as in struct trace_event
 */
void trace_client(pid_t tid, uid_t uid);

/**
 * trace_begin() - an event of a kind begins now
 *
 * Return: one with its start, and the client of trace_client(); nothing else is known.
 */
struct trace_event trace_begin(enum trace_op op);

/**
 * trace_end() - it has ended now
 * @ev: all known; @ev->end is set here
 *
 * Any thread, at any time. Lock-free; the first event of a thread, and its first while somebody reads,
 * take memory (without any they are not recorded).
 */
void trace_end(struct trace_event *ev);

/*
 * Histograms: bucket i counts what took less than 2^i microseconds and not less than half of that,
 * the last one all that took longer.
 */
#define TRACE_BUCKETS 24

struct trace_counts {
	uint64_t events;
	uint64_t failed; /* result below 0, or of a hypercall above 0 */
	uint64_t ns;	 /* all their times together */
	uint64_t bucket[TRACE_BUCKETS];
};

/** trace_count() - all events of a kind so far, of all threads. Any thread */
void trace_count(enum trace_op op, struct trace_counts *c);

struct trace_reader;

/**
 * trace_open() - begin to read what happens from now on
 *
 * Any thread; events are recorded as long as there is any reader. Return: NULL if there is no memory.
 */
struct trace_reader *trace_open(void);

/**
 * trace_read() - take events
 * @ev:   room for @max of them, filled in the order of their ends as far as that is known
 * @lost: out: how many were lost since the last call
 *
 * One thread at a time for each reader. Does not wait. Return: how many.
 */
size_t trace_read(struct trace_reader *r, struct trace_event *ev, size_t max, uint64_t *lost);

void trace_close(struct trace_reader *r);

#endif /* REPORT_TRACE_H */
