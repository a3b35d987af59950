/* SPDX-License-Identifier: MIT */
/*
 * survive.h - daemons that are killed, and their successors, with a device that tells what was done
 *
 * The kernel and the keeper are ours (fake_cuse.h). What the device has done lies in memory that all daemons share.
 */
#ifndef SURVIVE_H
#define SURVIVE_H

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/step.h"
#include "client/who.h"
#include "device/answer.h"
#include "device/session.h"
#include "device/turns.h"
#include "report/failure.h"
#include "state/state.h"
#include "tests/unit/device/fake_cuse.h"
#include "tests/unit/suite.h"

#ifndef KILL_STEPS
#error "unit tests are built with steps"
#endif

#define PATIENCE_MS 30000
#define OPENS	    16
#define PIECES	    4

enum command {
	MAKE,	    /* one thing, which is marked with the request's number */
	BYTES,	    /* answer as many as there is room for */
	PIECES_ALL, /* each once; the daemon dies behind the second */
	CRASH,	    /* the daemon dies of it */
	REST,	    /* put off, until some daemon is told to go on with it */
	HANG,	    /* waits for its client, until that is let go */
	BUSY,	    /* the same, but for whatever */
	END,	    /* and tell what has been ended */
};

enum order { SERVE, LEAVE, STOP };

/*
 * What outlives daemons.
 * @die_at:  a step and 1 more; @of_next: of the next request, since who has answered the last one is not done with it yet
 * @ended:   how often the device was told that END is over
 * @in_hand: what the last daemon was left
 */
static struct {
	uint32_t die_at;
	bool of_next;
	uint32_t ready;
	uint32_t order;
	uint32_t go_on;
	uint32_t resting;
	uint32_t never_serve;
	uint32_t killed; /* the callers */
	uint32_t no_memory;
	uint32_t told_full;
	uint32_t one_worker;
	uint64_t memory_waits;
	uint32_t die_of_release;
	uint32_t crash_after; /* us */
	uint32_t crash_by;    /* a signal; 0: abort() */
	struct state_header state;
	uint64_t opens[OPENS]; /* by their file handle: number of the request */
	unsigned int n_opens;
	unsigned int made[FAKE_REQUESTS];
	unsigned int pieces[PIECES];
	unsigned int ended;
	size_t in_hand;
	uint32_t slots, areas;
} * w;

static pid_t daemon_pid;

void step_reached(enum step s)
{
	static __thread bool has_next;
	uint32_t die_at = __atomic_load_n(&w->die_at, __ATOMIC_ACQUIRE);

	if (s == STEP_recv_spliced)
		has_next = die_at;
	if (die_at != (uint32_t)s + 1 || (w->of_next && !has_next))
		return;
	__atomic_store_n(&w->die_at, 0, __ATOMIC_RELEASE);
	kill(getpid(), SIGKILL);
	pause();
}

/* Want of memory for slots. */
int madvise(void *at, size_t len, int advice)
{
	if (advice == MADV_POPULATE_WRITE && w &&
	    __atomic_load_n(&w->no_memory, __ATOMIC_ACQUIRE)) {
		errno = ENOMEM;
		return -1;
	}
	return (int)syscall(SYS_madvise, at, len, advice);
}

/* Of report/failure.h, which would ask client/who.h. */
struct failure failure_of(enum failure_reason why, enum trace_op op, pid_t pid, int error)
{
	return (struct failure){ .why = why, .op = op, .pid = pid, .error = error };
}

void failure_report(const struct failure *f, const char *fmt, ...)
{
	(void)fmt;
	w->told_full += f->why == WHY_TOO_MANY_REQUESTS;
}

/* Of client/who.h. */
bool who_killed(pid_t tid)
{
	(void)tid;
	return w->killed;
}

/* --- the device --------------------------------------------------------------------------------- */

static int device_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	(void)dev;
	(void)flags;
	for (uint64_t i = 1; by->again && i < OPENS; i++)
		if (w->opens[i] == by->unique)
			*fh = i;
	for (uint64_t i = 1; !*fh && i < OPENS; i++)
		if (!w->opens[i])
			*fh = i;
	if (!*fh)
		return -ENFILE;
	w->n_opens += !w->opens[*fh];
	w->opens[*fh] = by->unique;
	return 0;
}

static void device_release(struct device *dev, uint64_t fh)
{
	(void)dev;
	if (w->die_of_release)
		abort();
	w->n_opens -= w->opens[fh] != 0;
	w->opens[fh] = 0;
}

static void make(struct request *rq)
{
	unsigned int *made = &w->made[rq->unique / 2];

	if (!rq->again || !*made)
		++*made;
	request_done(rq, 5, NULL, 0);
}

static void answer_bytes(struct request *rq)
{
	static char bytes[131072];
	bool good = true;

	for (size_t i = 0; i < rq->in_len; i++)
		good &= ((const unsigned char *)rq->in)[i] == 0x5a;
	memset(bytes, 0x33, rq->out_len);
	request_done(rq, good ? 5 : -EBADMSG, bytes, rq->out_len);
}

static void do_pieces(struct request *rq)
{
	while (*rq->progress < PIECES) {
		w->pieces[*rq->progress]++;
		if (++*rq->progress == 2)
			kill(getpid(), SIGKILL);
	}
	request_done(rq, 5, NULL, 0);
}

static void rest(struct request *rq)
{
	if (w->go_on)
		request_done(rq, 5, NULL, 0);
	else
		__atomic_store_n(&w->resting, rq->ops->keep(rq) == rq, __ATOMIC_RELEASE);
}

static void busy(void)
{
	__atomic_add_fetch(&w->resting, 1, __ATOMIC_ACQ_REL);
	while (!__atomic_load_n(&w->go_on, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static void hang(struct request *rq)
{
	request_wait_begin(rq);
	busy();
	request_wait_end(rq);
	request_done(rq, 5, NULL, 0);
}

static void crash(void)
{
	usleep(w->crash_after);
	if (w->crash_by)
		kill(getpid(), (int)w->crash_by);
	else
		abort();
	pause();
}

static void device_ioctl(struct device *dev, struct request *rq)
{
	(void)dev;
	switch (rq->cmd) {
	case MAKE:
		make(rq);
		break;
	case BYTES:
		answer_bytes(rq);
		break;
	case PIECES_ALL:
		do_pieces(rq);
		break;
	case CRASH:
		crash();
		break;
	case BUSY:
		busy();
		request_done(rq, 5, NULL, 0);
		break;
	case REST:
		rest(rq);
		break;
	case HANG:
		hang(rq);
		break;
	default:
		*rq->ends = 77;
		request_done(rq, 5, NULL, 0);
	}
}

static void device_ended(struct device *dev, uint64_t what)
{
	(void)dev;
	w->ended += what == 77;
}

static struct device device = {
	.name = "made/up",
	.open = device_open,
	.ioctl = device_ioctl,
	.release = device_release,
	.ended = device_ended,
};

/* --- daemons ------------------------------------------------------------------------------------ */

static void wait_for_order(void)
{
	while (!__atomic_load_n(&w->order, __ATOMIC_ACQUIRE))
		usleep(1000);
}

/* As devices do it. */
static void adopt_open(struct session *s, uint64_t fh)
{
	if (!w->opens[fh])
		return;
	if (!session_given_up(s, w->opens[fh], 0) && !session_given_up(s, 0, fh)) {
		ck_assert_int_eq(session_opened(s, 0, fh), 0);
		return;
	}
	w->opens[fh] = 0;
	w->n_opens--;
}

static void serve(void)
{
	const struct session_config c = {
		.dev = &device,
		.workers = w->one_worker ? 1 : 2,
		.lent = (struct lent *)w,
		.number = 3,
		.state = &w->state,
	};
	const uint64_t *unique;
	struct session_counts counts;
	struct session *s;
	uint64_t pages;
	char why[200];

	ck_assert_int_eq(session_new(&c, &s, why, sizeof(why)), 0);
	w->in_hand = session_in_hand(s, &unique);
	for (uint64_t i = 1; i < OPENS; i++)
		adopt_open(s, i);
	if (!w->never_serve)
		ck_assert_int_eq(session_start(s), 0);
	__atomic_store_n(&w->ready, 1, __ATOMIC_RELEASE);
	wait_for_order();
	if (w->order == LEAVE) {
		session_leave(s, 5000);
		_exit(0);
	}
	/* On a machine that is busy, threads may take their time. */
	while (session_stop(s, 10000) != SESSION_ENDED)
		;
	slots_count(s->ch.slots, &w->slots, &w->areas, &pages);
	session_counts(s, &counts);
	w->memory_waits = counts.memory_waits;
	session_destroy(s);
}

static void begin_daemon(void)
{
	w->ready = w->order = 0;
	daemon_pid = fake_cuse_daemon(serve);
}

/* Return: whether it was killed. */
static bool daemon_died(void)
{
	int status;

	ck_assert_int_eq(waitpid(daemon_pid, &status, 0), daemon_pid);
	ck_assert(WIFSIGNALED(status) || !WEXITSTATUS(status));
	return WIFSIGNALED(status);
}

static void order(enum order o)
{
	while (!__atomic_load_n(&w->ready, __ATOMIC_ACQUIRE))
		usleep(1000);
	__atomic_store_n(&w->order, o, __ATOMIC_RELEASE);
	ck_assert(!daemon_died());
}

static void setup(void)
{
	w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(w, MAP_FAILED);
	fake_cuse_begin();
	begin_daemon();
}

/* Nothing is left: the last daemon is told to end for good. */
static void finish(void)
{
	order(STOP);
	ck_assert_uint_eq(w->slots, 0);
	ck_assert_uint_eq(w->areas, 0);
	fake_cuse_end();
}

static const struct fake_answer *wait_for(uint64_t unique)
{
	const struct fake_answer *a = fake_answer(unique, PATIENCE_MS);

	ck_assert_ptr_nonnull(a);
	ck_assert_int_eq(a->error, 0);
	return a;
}

static uint64_t open_device(void)
{
	return wait_for(fake_open())->fh;
}

static void wait_until_it_rests(void)
{
	while (!__atomic_load_n(&w->resting, __ATOMIC_ACQUIRE))
		usleep(1000);
	w->resting = 0;
}

#endif /* SURVIVE_H */
