/* SPDX-License-Identifier: MIT */
/*
 * state/slot.h - requests in hand, in memory that outlives the daemon
 *
 * A slot is a page. It has a request from before it is received until it has been answered, and says how far that has come: who
 * is killed at any time leaves slots from which a successor sees what is still to be done.
 *
 *     SLOT_IDLE       nothing
 *     SLOT_RECEIVING  what is in the pipe @pipe belongs in here; SLOT_REQUEST's first word, its length, tells what has been
 *                     read: 0 before that
 *     SLOT_TAKEN      the request is in the slot, and is being carried out, or waits
 *     SLOT_DONE       it has been carried out, and the answer is in the slot: it may have been sent or not
 *
 * A request or an answer that is too long for its part of the page gets an area.
 *
 * Which slots and areas are free is kept nowhere but on the heap: it is what is idle, or not reached, at adoption. A store keeps
 * the addresses that it has had at its peak; the memory behind them goes back to the machine but for some MiB.
 *
 * Threads: any, without a lock but for making more. What is in a slot belongs to who has it.
 */
#ifndef STATE_SLOT_H
#define STATE_SLOT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slots;

#define SLOT_PAGE 4096U
#define SLOT_HEAD 64U
/* Bytes of a request, and of an answer, that need no area. */
#define SLOT_REQUEST_BYTES 2016U
#define SLOT_ANSWER_BYTES  2016U
/* Bytes of an area, at a multiple of SLOT_PAGE: 34 pages. The kernel sends and takes 32 of data, and some header. */
#define SLOT_AREA_BYTES 139264U

/* Areas, and for each other one 34 slots, that there are at the most. */
#define SLOT_PIECES 16384U

enum slot_state { SLOT_IDLE = 0, SLOT_RECEIVING = 1, SLOT_TAKEN = 2, SLOT_DONE = 3, SLOT_STATES };

/**
 * struct slot - a request in hand
 * @state:       enum slot_state (atomic)
 * @tries:       2 for each daemon that died while a thread of it was carrying the request out, and 1 while one is (atomic):
 *               slot_run(). Waiting for whatever is no such time
 * @pipe:        number of the pipe that it is received by
 * @request_len: bytes; from SLOT_TAKEN on
 * @answer_len:  bytes; from SLOT_DONE on
 * @areas:       of the request and of the answer; 0: none
 * @crashes:     how many daemons have crashed in the thread that was carrying it out (atomic)
 * @progress, @ends: words of the handler's (client/request.h)
 */
struct slot {
	uint32_t state;
	uint32_t tries;
	uint32_t pipe;
	uint32_t request_len;
	uint32_t answer_len;
	uint32_t areas[2];
	uint32_t crashes;
	uint64_t progress;
	uint64_t ends;
	uint64_t reserved[2];
	unsigned char request[SLOT_REQUEST_BYTES];
	unsigned char answer[SLOT_ANSWER_BYTES];
};
static_assert(sizeof(struct slot) == SLOT_PAGE, "the answer lies in one page");
static_assert(SLOT_AREA_BYTES % SLOT_PAGE == 0, "an area is as many slots");
static_assert(offsetof(struct slot, progress) == 32 && offsetof(struct slot, request) == SLOT_HEAD,
	      "the same for every program of this version");

/**
 * slots_new() - a store of slots in fresh memory
 * @out: NULL on failure
 *
 * Return: 0 or -errno.
 */
int slots_new(struct slots **out);

/**
 * slots_adopt() - what a predecessor had in hand
 * @fd: the memory, which is the store's from now on, also on failure
 *
 * All that is there is held to what can be. Slots that are not idle are taken: slots_next() gives them. Return: 0; -EINVAL: it is
 * damaged; -errno.
 */
int slots_adopt(int fd, struct slots **out);

/** slots_close() - the memory stays as long as somebody has its descriptor. @s: or NULL */
void slots_close(struct slots *s);

/** slots_fd() - what is to be kept */
int slots_fd(const struct slots *s);

/** slot_take() - a free slot, idle and empty. Return: NULL if there is no memory */
struct slot *slot_take(struct slots *s);

/**
 * slot_free() - give back a slot
 *
 * It is made idle, with all that it has been given: nothing of its request is needed any more. @slot: or NULL
 */
void slot_free(struct slots *s, struct slot *slot);

/** slot_clear() - the same, and keep it, empty */
void slot_clear(struct slots *s, struct slot *slot);

/**
 * slot_expect() - what is in a pipe is about to be read into this slot
 */
void slot_expect(struct slot *slot, uint32_t pipe);

/** slot_received() - the request is in the slot: @len bytes */
void slot_received(struct slot *slot, size_t len);

/**
 * slot_run() - a thread is carrying the request out from now on, or, with @runs false, it waits
 *
 * By whoever has it. If the daemon dies meanwhile it may have died of this request: slot_died() counts that.
 */
void slot_run(struct slot *slot, bool runs);

/** slot_runs() - whether one is. Any thread */
bool slot_runs(const struct slot *slot);

/** slot_died() - at adoption, before it is carried out again: count the predecessor, if it may have died of this */
void slot_died(struct slot *slot);

/** slot_crashed() - the calling thread, which is carrying it out, is about to end the daemon. In a signal handler, too */
void slot_crashed(struct slot *slot);

/** slot_deaths() - how many daemons may have */
uint32_t slot_deaths(const struct slot *slot);

/** slot_done() - and so is its answer: it has been carried out */
void slot_done(struct slot *slot, size_t len);

/**
 * slot_request() - room for a request
 * @len: bytes; 0: only where it is, if it is there already
 *
 * Return: the place of @len bytes, an area if need be; NULL if there is no memory.
 */
void *slot_request(struct slots *s, struct slot *slot, size_t len);

/** slot_answer() - the same for an answer; it lies in one page if @len is at most SLOT_PAGE */
void *slot_answer(struct slots *s, struct slot *slot, size_t len);

/**
 * slots_next() - walk slots that are not idle, in no order
 * @cursor: 0 at first
 *
 * Before others use the store. Return: NULL at the end.
 */
struct slot *slots_next(struct slots *s, uint32_t *cursor);

/** slots_count() - slots and areas in use, and pages made, for statistics and tests */
void slots_count(struct slots *s, uint32_t *slots, uint32_t *areas, uint64_t *pages);

#endif /* STATE_SLOT_H */
