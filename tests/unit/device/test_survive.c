/* SPDX-License-Identifier: MIT */
/*
 * device/test_survive.c - a daemon that is killed at any step, and its successor: each request is answered, and what it does
 * is done once
 *
 * The kernel and the keeper are ours (fake_cuse.h). What the device has done lies in memory that all daemons share.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/step.h"
#include "client/who.h"
#include "device/answer.h"
#include "device/session.h"
#include "device/turns.h"
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

static void hang(struct request *rq)
{
	request_wait_begin(rq);
	__atomic_add_fetch(&w->resting, 1, __ATOMIC_ACQ_REL);
	while (!__atomic_load_n(&w->go_on, __ATOMIC_ACQUIRE))
		usleep(1000);
	request_wait_end(rq);
	request_done(rq, 5, NULL, 0);
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
		kill(getpid(), SIGKILL);
		pause();
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

static void serve(void)
{
	const struct session_config c = {
		.dev = &device,
		.workers = 2,
		.lent = (struct lent *)w,
		.number = 3,
		.state = &w->state,
	};
	const uint64_t *unique;
	struct session *s;
	uint64_t pages;
	char why[200];

	ck_assert_int_eq(session_new(&c, &s, why, sizeof(why)), 0);
	w->in_hand = session_in_hand(s, &unique);
	for (uint64_t i = 1; i < OPENS; i++)
		if (w->opens[i])
			ck_assert_int_eq(session_opened(s, 0, i), 0);
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

/* --- tests -------------------------------------------------------------------------------------- */

static const enum step steps[] = {
	STEP_recv_spliced, STEP_recv_read,	STEP_answer_stored,
	STEP_answer_done,  STEP_answer_written,
};

#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

static void die_at(enum step s, bool of_next)
{
	w->of_next = of_next;
	__atomic_store_n(&w->die_at, (uint32_t)s + 1, __ATOMIC_RELEASE);
}

/* One of each kind of request. */
static uint64_t ask(unsigned int kind, uint64_t fh)
{
	switch (kind) {
	case 0:
		return fake_ioctl(fh, MAKE, 0, 0);
	case 1:
		return fake_ioctl(fh, BYTES, 100, 100);
	case 2:
		return fake_ioctl(fh, BYTES, 3000, 3000);
	case 3:
		return fake_ioctl(fh, BYTES, 131072, 131072);
	case 4:
		return fake_open();
	default:
		return fake_release(fh);
	}
}

#define KINDS 6

static void check(unsigned int kind, uint64_t unique)
{
	const struct fake_answer *a = wait_for(unique);

	if (kind < 4)
		ck_assert_int_eq(a->result, 5);
	if (kind == 0)
		ck_assert_uint_eq(w->made[unique / 2], 1);
	if (kind == 4)
		wait_for(fake_release(a->fh));
	ck_assert_uint_eq(w->n_opens, kind < 5);
}

START_TEST(killed_at_each_step)
{
	uint64_t unique, fh = open_device();

	for (size_t i = 0; i < N_STEPS; i++) {
		for (unsigned int kind = 0; kind < KINDS; kind++) {
			die_at(steps[i], true);
			unique = ask(kind, fh);
			ck_assert(daemon_died());
			begin_daemon();
			check(kind, unique);
		}
		fh = open_device();
	}
	ck_assert_uint_eq(w->state.poison, 0);
	/* All but those that had been carried out. */
	ck_assert_uint_eq(w->state.again, 3 * KINDS);
	finish();
}
END_TEST

/* The successor is killed, too. */
static void killed_twice(enum step first, enum step then, uint64_t fh)
{
	for (unsigned int kind = 0; kind < KINDS - 1; kind++) {
		uint64_t unique;

		die_at(first, true);
		unique = ask(kind, fh);
		ck_assert(daemon_died());
		die_at(then, false);
		begin_daemon();
		ck_assert(daemon_died());
		begin_daemon();
		check(kind, unique);
	}
}

START_TEST(killed_as_it_adopts)
{
	uint64_t fh = open_device();

	killed_twice(STEP_recv_spliced, STEP_left_received, fh);
	killed_twice(STEP_recv_spliced, STEP_left_begun, fh);
	killed_twice(STEP_recv_read, STEP_left_begun, fh);
	killed_twice(STEP_recv_read, STEP_answer_stored, fh);
	killed_twice(STEP_answer_done, STEP_left_answered, fh);
	ck_assert_uint_eq(w->state.poison, 0);
	finish();
}
END_TEST

static int pipe_end(const struct slot *slot, char end)
{
	char name[KEEP_NAME];
	int fd;

	snprintf(name, sizeof(name), "pipe.3.%u.%c", slot->pipe, end);
	fd = lent_take((struct lent *)w, name);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* The one whose request is in its pipe. */
static struct slot *slot_in_pipe(struct slots **store)
{
	struct slot *slot, *found = NULL;
	uint32_t cursor = 0;

	ck_assert_int_eq(slots_adopt(lent_take((struct lent *)w, "slots.3"), store), 0);
	while ((slot = slots_next(*store, &cursor))) {
		int fd, n = 0;

		/* Another may have been received by that pipe, and not be done with. */
		if (slot->state != SLOT_RECEIVING)
			continue;
		fd = pipe_end(slot, 'r');
		ck_assert_int_eq(ioctl(fd, FIONREAD, &n), 0);
		close(fd);
		if (n)
			found = slot;
	}
	ck_assert_ptr_nonnull(found);
	return found;
}

/* Killed while it reads: the slot has the first bytes, and the pipe may have them, too, or not. */
static void half_read(uint64_t fh, size_t bytes, bool consumed)
{
	char buf[SLOT_PAGE];
	struct slots *store;
	struct slot *slot;
	uint64_t unique;
	ssize_t n;
	int r, wr;

	die_at(STEP_recv_spliced, true);
	unique = fake_ioctl(fh, BYTES, 1500, 10);
	ck_assert(daemon_died());
	slot = slot_in_pipe(&store);
	r = pipe_end(slot, 'r');
	wr = pipe_end(slot, 'w');
	n = read(r, buf, sizeof(buf));
	ck_assert_int_gt(n, (ssize_t)bytes);
	memcpy(slot->request, buf, bytes);
	/* The rest, or all of it, goes back. */
	bytes = consumed ? bytes : 0;
	ck_assert_int_eq(write(wr, buf + bytes, (size_t)n - bytes), n - (ssize_t)bytes);
	close(r);
	close(wr);
	slots_close(store);
	begin_daemon();
	ck_assert_int_eq(wait_for(unique)->result, 5);
}

START_TEST(killed_while_it_reads)
{
	uint64_t fh = open_device();

	for (size_t bytes = 4; bytes < 1500; bytes += 500) {
		half_read(fh, bytes, true);
		half_read(fh, bytes, false);
	}
	finish();
}
END_TEST

START_TEST(a_word_lasts)
{
	uint64_t fh = open_device();
	uint64_t unique = fake_ioctl(fh, PIECES_ALL, 0, 0);

	ck_assert(daemon_died());
	begin_daemon();
	ck_assert_int_eq(wait_for(unique)->result, 5);
	for (int i = 0; i < PIECES; i++)
		ck_assert_uint_eq(w->pieces[i], 1);
	finish();
}
END_TEST

START_TEST(the_device_is_told_what_has_ended)
{
	uint64_t unique, fh = open_device();

	wait_for(fake_ioctl(fh, END, 0, 0));
	wait_for(fake_ioctl(fh, MAKE, 0, 0));
	die_at(STEP_answer_stored, true);
	unique = fake_ioctl(fh, END, 0, 0);
	ck_assert(daemon_died());
	/* It would be carried out again. */
	ck_assert_uint_eq(w->ended, 1);
	begin_daemon();
	wait_for(unique);
	finish();
	ck_assert_uint_eq(w->ended, 2);
}
END_TEST

static void wait_until_it_rests(void)
{
	while (!__atomic_load_n(&w->resting, __ATOMIC_ACQUIRE))
		usleep(1000);
	w->resting = 0;
}

START_TEST(what_kills_each_daemon_fails)
{
	uint64_t other, unique, fh = open_device();

	other = fake_ioctl(fh, REST, 0, 0);
	wait_until_it_rests();
	unique = fake_ioctl(fh, CRASH, 0, 0);
	w->go_on = 1;
	for (int i = 0; i < LEFT_ATTEMPTS; i++) {
		ck_assert(daemon_died());
		begin_daemon();
	}
	ck_assert_ptr_nonnull(fake_answer(unique, PATIENCE_MS));
	ck_assert_int_eq(fake_answer(unique, 0)->error, -EIO);
	ck_assert_int_eq(wait_for(other)->result, 5);
	wait_for(fake_ioctl(fh, MAKE, 0, 0));
	ck_assert_uint_eq(w->state.poison, 1);
	finish();
}
END_TEST

/* Both are carried out again: one waits for its client, and the other not for that. */
START_TEST(who_waits_holds_up_nobody)
{
	uint64_t hanging, unique, fh = open_device();

	hanging = fake_ioctl(fh, HANG, 0, 0);
	wait_until_it_rests();
	die_at(STEP_recv_read, true);
	unique = fake_ioctl(fh, MAKE, 0, 0);
	ck_assert(daemon_died());
	begin_daemon();
	wait_for(unique);
	ck_assert_uint_eq(w->in_hand, 2);
	ck_assert_ptr_null(fake_answer(hanging, 0));
	w->go_on = 1;
	wait_for(hanging);
	finish();
}
END_TEST

/* The kernel has told of that but once, the predecessor. */
START_TEST(a_caller_that_was_killed_is_let_go)
{
	uint64_t hanging, fh = open_device();

	hanging = fake_ioctl(fh, HANG, 0, 0);
	wait_until_it_rests();
	kill(daemon_pid, SIGKILL);
	ck_assert(daemon_died());
	w->killed = 1;
	begin_daemon();
	ck_assert_ptr_nonnull(fake_answer(hanging, PATIENCE_MS));
	ck_assert_int_eq(fake_answer(hanging, 0)->error, -EINTR);
	w->go_on = 1;
	finish();
}
END_TEST

START_TEST(it_leaves_what_it_has)
{
	uint64_t unique, later, fh = open_device();

	unique = fake_ioctl(fh, REST, 0, 0);
	for (int i = 0; i < 5; i++) {
		wait_until_it_rests();
		order(LEAVE);
		ck_assert_ptr_null(fake_answer(unique, 0));
		begin_daemon();
	}
	wait_until_it_rests();
	order(LEAVE);
	later = fake_ioctl(fh, MAKE, 0, 0);
	w->go_on = 1;
	begin_daemon();
	ck_assert_int_eq(wait_for(unique)->result, 5);
	ck_assert_int_eq(wait_for(later)->result, 5);
	ck_assert_uint_eq(w->in_hand, 1);
	ck_assert_uint_eq(w->state.poison, 0);
	finish();
}
END_TEST

/* As when nobody has come in time, and a program is run to end all: nobody is left waiting. */
START_TEST(it_ends_for_its_predecessor)
{
	uint64_t unique, fh = open_device();

	unique = fake_ioctl(fh, REST, 0, 0);
	wait_until_it_rests();
	order(LEAVE);
	w->never_serve = 1;
	begin_daemon();
	order(STOP);
	ck_assert_ptr_nonnull(fake_answer(unique, PATIENCE_MS));
	ck_assert_int_eq(fake_answer(unique, 0)->error, -ECONNABORTED);
	fake_cuse_end();
}
END_TEST

START_TEST(a_signal_is_not_answered)
{
	uint64_t unique, fh = open_device();

	unique = fake_ioctl(fh, REST, 0, 0);
	wait_until_it_rests();
	die_at(STEP_recv_read, true);
	fake_interrupt(unique);
	ck_assert(daemon_died());
	w->go_on = 1;
	begin_daemon();
	wait_for(unique);
	ck_assert_uint_eq(w->in_hand, 1);
	fake_interrupt(unique);
	wait_for(fake_ioctl(fh, MAKE, 0, 0));
	finish();
}
END_TEST

#define WAITING (TURNS_BYTES / SLOT_AREA_BYTES)

static unsigned int refused(const uint64_t *unique, unsigned int n, unsigned int ms)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct fake_answer *a = fake_answer(unique[i], ms);

		sum += a && a->error == -ENOMEM;
	}
	return sum;
}

/* A request that is just too long for its slot has as much memory as the longest. */
START_TEST(areas_that_wait_are_bounded)
{
	uint64_t hanging[8], unique[WAITING + 1], fh = open_device();

	for (unsigned int i = 0; i < 8; i++)
		hanging[i] = fake_ioctl(fh, HANG, 0, 0);
	/* All threads that an open can have. */
	while (__atomic_load_n(&w->resting, __ATOMIC_ACQUIRE) < 6)
		usleep(1000);
	for (unsigned int i = 0; i <= WAITING; i++)
		unique[i] = fake_ioctl(fh, BYTES, SLOT_REQUEST_BYTES, 0);
	/* Not before all have come: that is when one of them was refused. */
	while (!refused(unique, WAITING + 1, 0))
		usleep(1000);
	w->go_on = 1;
	ck_assert_uint_eq(refused(unique, WAITING + 1, PATIENCE_MS), 1);
	for (unsigned int i = 0; i < 8; i++)
		wait_for(hanging[i]);
	finish();
}
END_TEST

Suite *survive_suite(void);

Suite *survive_suite(void)
{
	const TTest *const tests[] = {
		killed_at_each_step,
		killed_as_it_adopts,
		killed_while_it_reads,
		a_word_lasts,
		the_device_is_told_what_has_ended,
		what_kills_each_daemon_fails,
		who_waits_holds_up_nobody,
		a_caller_that_was_killed_is_let_go,
		it_leaves_what_it_has,
		it_ends_for_its_predecessor,
		a_signal_is_not_answered,
		areas_that_wait_are_bounded,
	};

	return suite_of("survive", tests, sizeof(tests) / sizeof(tests[0]), setup, NULL);
}
