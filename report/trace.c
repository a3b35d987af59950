/* SPDX-License-Identifier: MIT */
/*
 * report/trace.c - what the daemon does, counted always, recorded while somebody looks
 *
 * Each thread that tells events has a track of its own: counts, and a ring once somebody has looked.
 * Only that thread writes it, so that nothing is ever contended for; readers sum the counts of all
 * tracks, and follow all rings. A track is given to another thread when its own has ended, and is never
 * freed, so the list of tracks needs no lock and no grace period.
 *
 * A slot of a ring is guarded by its sequence number: odd while it is written, and another one for each
 * event that it has held. A reader copies it and looks at the number again: what was overwritten
 * meanwhile is counted as lost. (The words in between are relaxed atomics, as a seqlock's have to be.)
 */
#include "report/trace.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sdt.h>

#include "hypercall.h"

#define RING_EVENTS 4096U

#define EVENT_WORDS (sizeof(struct trace_event) / sizeof(uint64_t))
static_assert(sizeof(struct trace_event) % sizeof(uint64_t) == 0, "copied by words");

/* @seq: 2 * n + 1 while event n is written, 2 * n + 2 when it has been. */
struct slot {
	uint64_t seq;
	uint64_t word[EVENT_WORDS];
};

/* @head: how many events have been put in, ever */
struct ring {
	uint64_t head;
	struct slot slot[RING_EVENTS];
};

/**
 * struct track - one thread's
 * @next:  on the list of all of them
 * @index: its place in that list, from its end
 * @taken: by a thread that lives (atomic)
 * @ring:  set once
 */
struct track {
	struct track *next;
	unsigned int index;
	bool taken;
	struct ring *ring;
	struct trace_counts counts[TRACE_OPS];
};

static struct track *tracks;
static unsigned int readers;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_works;

static __thread struct track *mine;
static __thread pid_t client_tid;
static __thread uid_t client_uid = (uid_t)-1;

static const char *const op_names[TRACE_OPS] = {
	[TRACE_OPEN] = "open",
	[TRACE_RELEASE] = "release",
	[TRACE_MAP_GRANT_REF] = "MAP_GRANT_REF",
	[TRACE_UNMAP_GRANT_REF] = "UNMAP_GRANT_REF",
	[TRACE_GET_OFFSET_FOR_VADDR] = "GET_OFFSET_FOR_VADDR",
	[TRACE_SET_UNMAP_NOTIFY] = "SET_UNMAP_NOTIFY",
	[TRACE_GRANT_COPY] = "GRANT_COPY",
	[TRACE_PRELOAD] = "preload",
	[TRACE_OTHER_IOCTL] = "ioctl",
	[TRACE_MMAP] = "mmap",
	[TRACE_MUNMAP] = "munmap",
	[TRACE_HV_MAP] = "hypercall_map",
	[TRACE_HV_UNMAP] = "hypercall_unmap",
	[TRACE_HV_COPY] = "hypercall_copy",
	[TRACE_HV_SEND] = "hypercall_send",
};

const char *trace_op_name(enum trace_op op)
{
	return op < TRACE_OPS ? op_names[op] : "unknown";
}

enum trace_kind trace_op_kind(enum trace_op op)
{
	switch (op) {
	case TRACE_OPEN:
		return TRACE_KIND_OPEN;
	case TRACE_RELEASE:
		return TRACE_KIND_RELEASE;
	case TRACE_MMAP:
		return TRACE_KIND_MMAP;
	case TRACE_MUNMAP:
		return TRACE_KIND_MUNMAP;
	case TRACE_HV_MAP:
	case TRACE_HV_UNMAP:
	case TRACE_HV_COPY:
	case TRACE_HV_SEND:
		return TRACE_KIND_HYPERCALL;
	default:
		return TRACE_KIND_IOCTL;
	}
}

const char *trace_kind_name(enum trace_kind kind)
{
	static const char *const names[] = { "open", "release", "ioctl",
					     "mmap", "munmap",	"hypercall" };

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

/* --- tracks ---------------------------------------------------------------------------------- */

static void give_back(void *arg)
{
	struct track *t = arg;

	__atomic_store_n(&t->taken, false, __ATOMIC_RELEASE);
}

static void make_key(void)
{
	key_works = !pthread_key_create(&key, give_back);
}

static struct track *take_used(void)
{
	for (struct track *t = __atomic_load_n(&tracks, __ATOMIC_ACQUIRE); t; t = t->next)
		if (!__atomic_load_n(&t->taken, __ATOMIC_RELAXED) &&
		    !__atomic_exchange_n(&t->taken, true, __ATOMIC_ACQUIRE))
			return t;
	return NULL;
}

static struct track *make_track(void)
{
	struct track *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->taken = true;
	t->next = __atomic_load_n(&tracks, __ATOMIC_RELAXED);
	do
		t->index = t->next ? t->next->index + 1 : 0;
	while (!__atomic_compare_exchange_n(&tracks, &t->next, t, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE));
	return t;
}

/* The calling thread's track; NULL: no memory. */
static struct track *my_track(void)
{
	if (mine)
		return mine;
	pthread_once(&once, make_key);
	mine = take_used();
	if (!mine)
		mine = make_track();
	if (mine && key_works)
		pthread_setspecific(key, mine);
	return mine;
}

/* --- telling ----------------------------------------------------------------------------------- */

void trace_client(pid_t tid, uid_t uid)
{
	client_tid = tid;
	client_uid = uid;
}

struct trace_event trace_begin(enum trace_op op)
{
	return (struct trace_event){
		.start = trace_now(),
		.op = op,
		.tid = client_tid,
		.uid = client_uid,
		.domid = -1,
		.status = HV_PENDING,
	};
}

static bool has_failed(const struct trace_event *ev)
{
	/* The preload object's short way is for root only: others are told so, and connect. */
	if (ev->op == TRACE_PRELOAD && ev->result == -EOPNOTSUPP)
		return false;
	return ev->result < 0 || (ev->result > 0 && trace_op_kind(ev->op) == TRACE_KIND_HYPERCALL);
}

/* Only its own thread writes a count, so this need not be one operation. */
static void add(uint64_t *count, uint64_t n)
{
	__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

static unsigned int bucket_of(uint64_t ns)
{
	uint64_t us = ns / 1000;
	unsigned int i = us ? 64 - (unsigned int)__builtin_clzll(us) : 0;

	return i < TRACE_BUCKETS ? i : TRACE_BUCKETS - 1;
}

static void count(struct track *t, const struct trace_event *ev)
{
	struct trace_counts *c = &t->counts[ev->op];
	uint64_t ns = ev->end - ev->start;

	add(&c->events, 1);
	add(&c->ns, ns);
	add(&c->bucket[bucket_of(ns)], 1);
	if (has_failed(ev))
		add(&c->failed, 1);
}

static void record(struct track *t, const struct trace_event *ev)
{
	struct ring *r = t->ring;
	uint64_t word[EVENT_WORDS];
	struct slot *s;
	uint64_t n;

	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			return;
		__atomic_store_n(&t->ring, r, __ATOMIC_RELEASE);
	}
	n = r->head;
	s = &r->slot[n % RING_EVENTS];
	memcpy(word, ev, sizeof(word));
	__atomic_store_n(&s->seq, 2 * n + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (size_t i = 0; i < EVENT_WORDS; i++)
		__atomic_store_n(&s->word[i], word[i], __ATOMIC_RELAXED);
	__atomic_store_n(&s->seq, 2 * n + 2, __ATOMIC_RELEASE);
	__atomic_store_n(&r->head, n + 1, __ATOMIC_RELEASE);
}

/*
 * A nop each, until somebody patches it. All have the same arguments (docs/trace.bt lists them), six, as
 * bpftrace takes no more; the rest is in the event.
 */
#define PROBE(probe) STAP_PROBE6(cuse_gntdev, probe, name, ev->tid, ev->domid, ev->result, ns, ev)

static void fire(const struct trace_event *ev)
{
	const char *name = op_names[ev->op];
	uint64_t ns = ev->end - ev->start;

	switch (trace_op_kind(ev->op)) {
	case TRACE_KIND_OPEN:
		PROBE(open);
		break;
	case TRACE_KIND_RELEASE:
		PROBE(release);
		break;
	case TRACE_KIND_IOCTL:
		PROBE(ioctl);
		break;
	case TRACE_KIND_MMAP:
		PROBE(mmap);
		break;
	case TRACE_KIND_MUNMAP:
		PROBE(munmap);
		break;
	case TRACE_KIND_HYPERCALL:
		PROBE(hypercall);
		break;
	}
}

void trace_end(struct trace_event *ev)
{
	struct track *t = my_track();

	ev->end = trace_now();
	if (ev->end < ev->start)
		ev->end = ev->start;
	fire(ev);
	if (!t)
		return;
	count(t, ev);
	if (__atomic_load_n(&readers, __ATOMIC_RELAXED))
		record(t, ev);
}

/* --- reading ----------------------------------------------------------------------------------- */

void trace_count(enum trace_op op, struct trace_counts *c)
{
	memset(c, 0, sizeof(*c));
	for (struct track *t = __atomic_load_n(&tracks, __ATOMIC_ACQUIRE); t; t = t->next) {
		const struct trace_counts *from = &t->counts[op];

		c->events += __atomic_load_n(&from->events, __ATOMIC_RELAXED);
		c->failed += __atomic_load_n(&from->failed, __ATOMIC_RELAXED);
		c->ns += __atomic_load_n(&from->ns, __ATOMIC_RELAXED);
		for (unsigned int i = 0; i < TRACE_BUCKETS; i++)
			c->bucket[i] += __atomic_load_n(&from->bucket[i], __ATOMIC_RELAXED);
	}
}

/**
 * struct place - how far a reader is in a ring
 * @at:   the next event to be read from it
 * @have: @ev is the one before that, and not given out yet
 */
struct place {
	uint64_t at;
	bool have;
	struct trace_event ev;
};

/* @place: of each track, by its index; @n of them */
struct trace_reader {
	unsigned int n;
	struct place *place;
};

static uint64_t ring_head(struct track *t)
{
	struct ring *r = __atomic_load_n(&t->ring, __ATOMIC_ACQUIRE);

	return r ? __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) : 0;
}

/* See that there is a place for each track. New ones begin at the first event. */
static bool make_places(struct trace_reader *r)
{
	struct track *t = __atomic_load_n(&tracks, __ATOMIC_ACQUIRE);
	unsigned int n = t ? t->index + 1 : 0;
	struct place *p;

	if (n <= r->n)
		return true;
	p = realloc(r->place, n * sizeof(*p));
	if (!p)
		return false;
	memset(p + r->n, 0, (n - r->n) * sizeof(*p));
	r->place = p;
	r->n = n;
	return true;
}

struct trace_reader *trace_open(void)
{
	struct trace_reader *r = calloc(1, sizeof(*r));

	if (!r || !make_places(r)) {
		free(r);
		return NULL;
	}
	for (struct track *t = __atomic_load_n(&tracks, __ATOMIC_ACQUIRE); t; t = t->next)
		if (t->index < r->n)
			r->place[t->index].at = ring_head(t);
	__atomic_fetch_add(&readers, 1, __ATOMIC_RELAXED);
	return r;
}

/* Return: whether the slot held event @n all the time that it was copied. */
static bool copy_slot(struct slot *s, uint64_t n, struct trace_event *ev)
{
	uint64_t word[EVENT_WORDS];

	if (__atomic_load_n(&s->seq, __ATOMIC_ACQUIRE) != 2 * n + 2)
		return false;
	for (size_t i = 0; i < EVENT_WORDS; i++)
		word[i] = __atomic_load_n(&s->word[i], __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	memcpy(ev, word, sizeof(*ev));
	return __atomic_load_n(&s->seq, __ATOMIC_RELAXED) == 2 * n + 2;
}

/* Have the next event of a track at hand, if there is one. */
static void peek(struct track *t, struct place *p, uint64_t *lost)
{
	uint64_t head = ring_head(t);

	while (!p->have && p->at < head) {
		if (head - p->at > RING_EVENTS) {
			*lost += head - p->at - RING_EVENTS;
			p->at = head - RING_EVENTS;
		}
		p->have = copy_slot(&t->ring->slot[p->at % RING_EVENTS], p->at, &p->ev);
		*lost += !p->have;
		p->at++;
	}
}

static struct place *earliest(struct trace_reader *r, uint64_t *lost)
{
	struct place *first = NULL;

	for (struct track *t = __atomic_load_n(&tracks, __ATOMIC_ACQUIRE); t; t = t->next) {
		struct place *p = t->index < r->n ? &r->place[t->index] : NULL;

		if (!p)
			continue;
		peek(t, p, lost);
		if (p->have && (!first || p->ev.end < first->ev.end))
			first = p;
	}
	return first;
}

size_t trace_read(struct trace_reader *r, struct trace_event *ev, size_t max, uint64_t *lost)
{
	struct place *p;
	size_t n = 0;

	*lost = 0;
	/* Without memory the events of new threads wait. */
	make_places(r);
	while (n < max && (p = earliest(r, lost))) {
		ev[n++] = p->ev;
		p->have = false;
	}
	return n;
}

void trace_close(struct trace_reader *r)
{
	__atomic_fetch_sub(&readers, 1, __ATOMIC_RELAXED);
	free(r->place);
	free(r);
}
