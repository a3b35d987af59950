/* SPDX-License-Identifier: MIT */
/*
 * device/receiver.c - threads that receive requests of a session and see them through
 *
 * A thread has a pipe and a slot for the next request. What it has received is its own until the request is known to be one
 * that may wait: then the slot is the request's, and goes where that goes.
 */
#include "device/receiver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/step.h"
#include "state/state.h"

__thread struct receiver *receiver_me;

/* --- carrying them out -------------------------------------------------------------------------- */

void receiver_answered(struct session_request *sr)
{
	if (receiver_me && receiver_me->running == sr)
		receiver_me->answered = true;
	else
		answer_put(sr);
}

static void run_release(struct session_request *sr)
{
	struct session *s = sr->s;

	turns_close(s->turns, sr->rq.fh);
	s->dev->release(s->dev, sr->rq.fh);
	s->reply_err(sr, 0);
	receiver_answered(sr);
}

/* The next request has the slot of this one, and its memory, as a rule. */
static void keep(struct receiver *r, struct session_request *sr)
{
	if (r->slot) {
		answer_free(sr);
		return;
	}
	slot_clear(sr->s->ch.slots, sr->slot);
	r->slot = sr->slot;
	free(r->spare);
	r->spare = sr;
}

static struct session_request *spare_or_new(struct receiver *r)
{
	struct session_request *sr = r->spare;

	if (!sr)
		return calloc(1, sizeof(*sr));
	r->spare = NULL;
	memset(sr, 0, sizeof(*sr));
	return sr;
}

/*
 * A run is over; @answered by it. As a rule nobody else has the request then. But what goes on may be answered
 * before the run that it was put off by has come to its end.
 */
static void leave(struct session *s, struct session_request *sr, bool answered)
{
	bool last = answered && __atomic_load_n(&sr->refs, __ATOMIC_ACQUIRE) == 2;

	turns_leave(s->turns, &sr->turn, last);
	if (last) {
		keep(receiver_me, sr);
		return;
	}
	if (answered)
		answer_put(sr);
	answer_put(sr);
}

static void carry_out(struct device *dev, struct request *rq)
{
	switch (rq->kind) {
	case REQUEST_IOCTL:
		dev->ioctl(dev, rq);
		break;
	case REQUEST_READ:
		dev->read(dev, rq);
		break;
	case REQUEST_WRITE:
		dev->write(dev, rq);
		break;
	case REQUEST_POLL:
		dev->poll(dev, rq);
		break;
	}
}

void receiver_run(struct session_request *sr)
{
	struct session *s = sr->s;
	void (*fn)(void *arg, bool stopping) = sr->fn;

	receiver_me->running = sr;
	receiver_me->answered = false;
	sr->fn = NULL;
	slot_run(sr->slot, true);
	if (fn) {
		fn(sr->arg, false);
	} else if (sr->release) {
		run_release(sr);
	} else {
		carry_out(s->dev, &sr->rq);
	}
	receiver_me->running = NULL;
	leave(s, sr, receiver_me->answered);
}

struct session_request *receiver_request(const struct request_ops *ops, struct fuse_req *req,
					 uint64_t fh)
{
	struct session_request *sr = spare_or_new(receiver_me);

	if (!sr)
		return NULL;
	sr->rq.ops = ops;
	sr->rq.fh = fh;
	sr->rq.unique = receiver_me->unique;
	sr->rq.again = receiver_me->again;
	sr->rq.progress = &receiver_me->slot->progress;
	sr->rq.ends = &receiver_me->slot->ends;
	sr->req = req;
	sr->s = receiver_me->s;
	sr->slot = receiver_me->slot;
	sr->refs = 2;
	sr->turn.unique = receiver_me->unique;
	sr->turn.told = receiver_me->again;
	sr->turn.again = receiver_me->again;
	/* It may have to wait for a thread. */
	slot_run(sr->slot, false);
	receiver_me->slot = NULL;
	receiver_me->passes = false;
	return sr;
}

void receiver_refuse(struct session_request *sr, int err)
{
	sr->s->reply_err(sr, err);
	answer_free(sr);
}

/* --- crashes ------------------------------------------------------------------------------------ */

/* What a fault of ours raises in the thread that has it. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

#define N_FAULTS (sizeof(faults) / sizeof(faults[0]))

static struct sigaction before[N_FAULTS];

/* The request that this thread carries out, or NULL. */
static struct slot *carried_out(void)
{
	if (!receiver_me)
		return NULL;
	return receiver_me->running ? receiver_me->running->slot : receiver_me->slot;
}

/* Noted in what lasts; then all goes as without this. Sent by another process it is nobody's fault here. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	bool ours = info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == getpid());
	struct slot *slot = ours ? carried_out() : NULL;

	(void)context;
	if (slot)
		slot_crashed(slot);
	for (size_t i = 0; i < N_FAULTS; i++)
		sigaction(faults[i], &before[i], NULL);
	/* What the kernel has raised comes again by itself, and abort() sees to its own. */
	if (!ours)
		raise(sig);
}

void receiver_note_crashes(void)
{
	const struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	static bool noted;

	for (size_t i = 0; !noted && i < N_FAULTS; i++)
		sigaction(faults[i], &act, &before[i]);
	noted = true;
}

/* --- threads ------------------------------------------------------------------------------------ */

static void *receiver_begin(void *arg)
{
	struct session *s = arg;
	struct receiver *r = calloc(1, sizeof(*r));
	int pipe = r ? channel_pipe_take(&s->ch) : -ENOMEM;

	if (pipe < 0) {
		free(r);
		return NULL;
	}
	*r = (struct receiver){ .s = s, .pipe = pipe };
	receiver_me = r;
	return r;
}

static void receiver_end(void *own)
{
	struct receiver *r = own;

	slot_free(r->s->ch.slots, r->slot);
	channel_pipe_give(&r->s->ch, r->pipe);
	free(r->spare);
	free(r);
	receiver_me = NULL;
}

/*
 * What is transient: a signal, a caller that was killed just then, want of memory. With the device gone there is no more to
 * come, and the main thread sees that, too. Anything else is nothing that a thread could be lost of in silence: a
 * successor finds in the pipe and the slot what had come.
 */
static int not_received(struct receiver *r, int err)
{
	switch (err) {
	case -ENOMEM:
		channel_wait_for_memory(&r->s->ch);
		return 0;
	case -EINTR:
	case -EAGAIN:
	case -ENOENT:
		return 0;
	case -ENODEV:
		return -1;
	default:
		log_abort("/dev/%s: a request cannot be received: %s", r->s->dev->name,
			  strerror(-err));
	}
}

static int receiver_receive(void *own)
{
	struct receiver *r = own;
	ssize_t n;

	if (left_settles(&r->s->left)) {
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		return 0;
	}
	if (!r->slot)
		r->slot = slot_take(r->s->ch.slots);
	n = r->slot ? channel_receive(&r->s->ch, r->pipe, r->slot) : -ENOMEM;
	return n > 0 ? 1 : not_received(r, (int)n);
}

/* Libfuse has no more to do for it: there is no answer to it. */
static bool take_interrupt(struct receiver *r, const struct fuse_in_header *h)
{
	const struct fuse_interrupt_in *in = (const void *)(h + 1);

	if (h->opcode != FUSE_INTERRUPT || r->slot->request_len < sizeof(*h) + sizeof(*in))
		return false;
	turns_signal(r->s->turns, in->unique);
	return true;
}

/* The request in the receiver's slot. */
static void receiver_handle(void *own)
{
	struct receiver *r = own;
	const struct fuse_in_header *h = slot_request(r->s->ch.slots, r->slot, 0);

	r->unique = h->unique;
	if (!take_interrupt(r, h)) {
		slot_run(r->slot, true);
		r->passes = true;
		r->s->process(r->s, r->slot);
		if (r->passes)
			turns_pass(r->s->turns, r->unique);
	} else if (r->s->workers) {
		workers_rouse(r->s->workers);
	}
	if (r->slot)
		slot_clear(r->s->ch.slots, r->slot);
}

/* The next daemon would die of it, too. */
static void give_up(struct session *s, struct slot *slot)
{
	const struct fuse_in_header *h = slot_request(s->ch.slots, slot, 0);
	struct fuse_out_header answer = { .len = sizeof(answer),
					  .error = -EIO,
					  .unique = h->unique };

	log_err("/dev/%s: %u daemons have ended while they carried out request %llu (operation %u, "
		"thread %u): it fails (EIO)",
		s->dev->name, slot_deaths(slot), (unsigned long long)h->unique, h->opcode, h->pid);
	if (s->state)
		__atomic_add_fetch(&s->state->poison, 1, __ATOMIC_RELAXED);
	answer_slot(s, slot, &(struct iovec){ &answer, sizeof(answer) }, 1);
	slot_free(s->ch.slots, slot);
}

void receiver_give_up(struct session *s)
{
	while (s->left.n_given_up)
		give_up(s, s->left.given_up[--s->left.n_given_up]);
}

/* Its caller may have been sent a signal, of which the predecessor alone was told (struct turn, @told). */
static void do_again(struct receiver *r, struct slot *slot)
{
	struct session *s = r->s;
	struct slot *own = r->slot;

	if (s->state)
		__atomic_add_fetch(&s->state->again, 1, __ATOMIC_RELAXED);
	step(left_begun);
	r->slot = slot;
	r->again = true;
	receiver_handle(r);
	r->again = false;
	slot_free(s->ch.slots, own);
}

static bool next_left(struct receiver *r)
{
	struct session *s = r->s;
	struct slot *slot = left_begin(&s->left);

	if (!slot)
		return false;
	do_again(r, slot);
	left_end(&s->left, slot);
	return true;
}

static bool receiver_next(void *own)
{
	struct receiver *r = own;
	struct session *s = r->s;
	struct turn *turn;

	if (next_left(r))
		return true;
	turn = turns_next(s->turns);
	if (!turn)
		return false;
	/* What has become free can be enough for two, and this one may take long. */
	if (turns_waiting(s->turns) && turns_may_next(s->turns))
		workers_rouse(s->workers);
	receiver_run(of_turn(turn));
	return true;
}

static bool receiver_tick(void *arg, bool *next)
{
	struct session *s = arg;
	bool left = answer_killed(s);

	*next = (turns_waiting(s->turns) && turns_may_next(s->turns)) || left_may(&s->left);
	return left || turns_waiting(s->turns) || left_waiting(&s->left);
}

const struct workers_ops receiver_ops = {
	.begin = receiver_begin,
	.receive = receiver_receive,
	.handle = receiver_handle,
	.next = receiver_next,
	.tick = receiver_tick,
	.end = receiver_end,
};

/* --- the end ------------------------------------------------------------------------------------ */

static bool is_asked(const struct session *s)
{
	struct pollfd p = { .fd = s->ch.fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && p.revents & POLLIN;
}

/* What clients have asked and no worker has begun: refuse it, so that nobody is left waiting. */
void receiver_drain(struct session *s)
{
	int flags = fcntl(s->ch.fd, F_GETFL);
	int n = 0;

	s->draining = true;
	if (flags < 0 || fcntl(s->ch.fd, F_SETFL, flags | O_NONBLOCK) < 0 || !receiver_begin(s))
		return;
	receiver_give_up(s);
	while (left_waiting(&s->left))
		if (!next_left(receiver_me))
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	while (n >= 0 && is_asked(s)) {
		n = receiver_receive(receiver_me);
		if (n > 0)
			receiver_handle(receiver_me);
	}
	receiver_end(receiver_me);
}
