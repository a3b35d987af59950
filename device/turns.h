/* SPDX-License-Identifier: MIT */
/*
 * device/turns.h - whose request may have a thread, and whose has to wait for one
 *
 * A request can wait for its client: for memory that the client serves itself, for a lock on its
 * address space. So the threads that carry out requests are counted, against the open that a request
 * came through and against the user who has that open, and of what is left nobody gets all:
 *
 *     Half of the threads are for users who have none yet. Of the other half a user gets another one if it has
 *     fewer than half of what is left of it, and fewer than TURNS_PER_USER.
 *     An open gets one in the same way from what its user may have.
 *
 * So one open gets 6 threads; 20 opens of one user get all of that user's 32; and over 130 users who
 * take what they can, by as many opens as they like, still leave a thread to the next one. A request that
 * gets none waits in a queue of its open. When a thread becomes free users take turns, and so do the opens
 * of a user. Nothing of that is felt where requests end soon: there are hardly more threads at work than
 * clients at once.
 *
 * What an open is asked last, when it is closed, gets a thread in any case (struct turn, @sure).
 *
 * Any thread may call these. The lock is held for a few steps, whatever clients do: the search for whose
 * turn it is passes over those who already have threads, and of these there are few.
 */
#ifndef DEVICE_TURNS_H
#define DEVICE_TURNS_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "state/slot.h"

/* Threads that requests can have at a time: all, and those of one user. */
#define TURNS_MAX      256U
#define TURNS_PER_USER 32U

/*
 * Requests in hand, of all users: such as run, wait for a thread, or were put off. A user gets another one by the rule for
 * threads, so that one user alone has a sixth of them, and nobody is left without. More are refused.
 */
#define TURNS_REQUESTS 65536U

/*
 * Bytes that they keep beside their slots: of one user, four areas for each thread that it can have, and of all, shared by the
 * same rule.
 */
#define TURNS_BYTES	((size_t)4 * TURNS_PER_USER * SLOT_AREA_BYTES)
#define TURNS_BYTES_ALL ((size_t)4096 * SLOT_AREA_BYTES)

static_assert(TURNS_REQUESTS / (SLOT_AREA_BYTES / SLOT_PAGE) + TURNS_BYTES_ALL / SLOT_AREA_BYTES <
		      SLOT_PIECES / 2,
	      "they have slots and areas, and as many are left for answers and for what is never "
	      "refused");

struct turns;
struct turns_open;

/**
 * struct turn - one request; embedded in what it is about
 * @unique: the number that the kernel knows it by; set before turns_enter()
 * @fh:     its open; from turns_enter() on
 * @bytes:  set before turns_enter(): what is kept for it, beside its slot
 * @again:  set before turns_enter(): a predecessor had it in hand: it is not refused
 * @sure:   set before turns_enter(): it waits for nobody, and others may wait for it (a close, from which a
 *          client's other files are closed, which may be what its other requests wait for). One such request
 *          of a user has a thread whatever that user has
 * @told:   set before turns_enter(): its thread may have been sent a signal of which nobody is told any more
 * @signal: its thread has been sent a signal, see turns_signal()
 * @runs:   threads that it has: 1, or 0 while it waits for something else; 2 for a moment, if that has come
 *          before the first one was left
 * @queued: it waits for a thread
 *
 * The rest is private.
 */
struct turn {
	uint64_t unique;
	uint64_t fh;
	size_t bytes;
	bool sure;
	bool told;
	bool again;
	bool signal;
	bool queued;
	unsigned int runs;
	unsigned int look; /* the last in which turns_signalled() came by */
	struct turns_open *open;
	LIST_ENTRY(turn) same;	   /* in the table of numbers */
	TAILQ_ENTRY(turn) queue;   /* of its open */
	TAILQ_ENTRY(turn) signals; /* of its user's that were sent one */
};

/** turns_new() - Return: NULL if there is no memory */
struct turns *turns_new(void);

/** turns_destroy() - free; no request is left. @t: or NULL */
void turns_destroy(struct turns *t);

/**
 * turns_open() - there is an open
 * @user: whom it counts against
 * @fh:   what the device calls it
 *
 * Return: 0, also if it is known already (a request that opens is executed again); -ENOMEM.
 */
int turns_open(struct turns *t, uid_t user, uint64_t fh);

/** turns_close() - it has been closed: no request of it follows. Those under way still count */
void turns_close(struct turns *t, uint64_t fh);

enum turns_answer {
	TURNS_RUN,   /* it has the calling thread */
	TURNS_QUEUE, /* it waits: turns_next() will give it to some thread */
	TURNS_GONE,  /* there is no such open */
	TURNS_FULL,  /* its user has as much in hand as it may */
};

/**
 * turns_enter() - a request has come
 * @fh:   its open
 * @turn: zero, but for what is said there
 */
enum turns_answer turns_enter(struct turns *t, uint64_t fh, struct turn *turn);

/**
 * turns_again() - a request that was kept wants a thread again
 *
 * It is queued, and the caller sees to it that some thread calls turns_next(). Return: false, and
 * nothing was done, after turns_shut().
 */
bool turns_again(struct turns *t, struct turn *turn);

/** turns_shut() - nothing is queued any more: turns_enter() runs everything */
void turns_shut(struct turns *t);

/**
 * turns_leave() - the calling thread is done with a request
 * @answered: it is not to be heard of again; otherwise it is kept, until turns_again() or turns_forget()
 */
void turns_leave(struct turns *t, struct turn *turn, bool answered);

/** turns_forget() - a request that was kept has been answered */
void turns_forget(struct turns *t, struct turn *turn);

/** turns_next() - the next request for the calling thread. Return: NULL if none waits, or none may run */
struct turn *turns_next(struct turns *t);

/** turns_waiting() - how many are queued */
unsigned int turns_waiting(const struct turns *t);

/** turns_may_next() - whether turns_next() would give a request */
bool turns_may_next(struct turns *t);

/**
 * turns_signal() - the kernel says that a caller has been sent a signal
 * @unique: of its request
 *
 * One that has not come yet is remembered, by its number (device/early.h).
 */
void turns_signal(struct turns *t, uint64_t unique);

/** turns_pass() - a request has come that does not enter: signals of its caller are of no interest */
void turns_pass(struct turns *t, uint64_t unique);

/**
 * turns_signalled() - go through requests whose callers were sent a signal
 * @n:  how many at most, each once; next time it goes on behind them. Users take turns
 * @fn: called with the lock held: it may wait for nothing and call nothing here
 *
 * Return: how many such requests there are.
 */
unsigned int turns_signalled(struct turns *t, unsigned int n, void (*fn)(struct turn *, void *),
			     void *arg);

/**
 * turns_take() - look at one request, if it is still there
 * @fn: Return: true to take it out of its queue, if it is in one: it is @fn's to answer then. As above
 */
void turns_take(struct turns *t, uint64_t unique, bool (*fn)(struct turn *, void *), void *arg);

/** turns_for_each() - go through all requests as turns_take(), for the end */
void turns_for_each(struct turns *t, bool (*fn)(struct turn *, void *), void *arg);

#endif /* DEVICE_TURNS_H */
