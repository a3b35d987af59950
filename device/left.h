/* SPDX-License-Identifier: MIT */
/*
 * device/left.h - requests that a predecessor had in hand, to be carried out again
 *
 * Which of them has a daemon died of? Of one that a thread was just carrying out, if it was of a request at all:
 * these are suspects (slot_deaths()). They come first, one after the other, and nothing else is carried out beside them: so a
 * culprit is alone when it happens again. It is given up when LEFT_CRASHES daemons have crashed in its thread, or LEFT_DEATHS have ended in
 * whatever way while it was carried out, as of want of memory: who is killed from outside may be so a few times in a row. Others are carried out again
 * however often that was. A suspect that waits for its client, or takes long, does not hold up others, though.
 *
 * What is given up is known before the device is adopted: what it had made by then is undone there, and nobody is left without
 * an owner. It is answered with EIO.
 */
#ifndef DEVICE_LEFT_H
#define DEVICE_LEFT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/slot.h"

/* Daemons that end with a request before it is given up: that crash in its thread; that end anyhow. */
#define LEFT_CRASHES 3
#define LEFT_DEATHS  12

/**
 * struct left - requests in hand
 * @slot:     of each, @n of them, the first @suspects of which may be what a daemon has died of; @unique: their numbers, sorted
 * @given_up: such as are not carried out again, @n_given_up of them
 * @next:     the first that has not been begun (atomic)
 * @last:     the last one that was begun, at @since, CLOCK_MONOTONIC ms; NULL: it has ended
 * @settled:  no suspect is left (atomic)
 */
struct left {
	pthread_mutex_t lock;
	struct slots *slots;
	struct slot **slot;
	uint64_t *unique;
	size_t n;
	size_t suspects;
	struct slot **given_up;
	size_t n_given_up;
	size_t next;
	const struct slot *last;
	uint64_t since;
	bool settled;
};

/**
 * left_new() - find them
 * @slots: as adopted, and nothing in it half received or half answered
 *
 * What needs no answer is given back. Return: 0 or -ENOMEM.
 */
int left_new(struct left *l, struct slots *slots);

/** left_free() - all have been carried out. @l: or all zero */
void left_free(struct left *l);

/** left_waiting() - how many have not been begun */
size_t left_waiting(const struct left *l);

/** left_may() - whether left_begin() would give one */
bool left_may(struct left *l);

/** left_begin() - the next one. Return: NULL if there is none, or another one is to end first. Any thread */
struct slot *left_begin(struct left *l);

/** left_end() - one of them has been answered, or waits for something else. @slot: as it was begun: it may be another's by now */
void left_end(struct left *l, const struct slot *slot);

/** left_settles() - whether nothing new is to be carried out now, beside a suspect. Any thread; costs nothing once that is over */
bool left_settles(struct left *l);

/**
 * left_given_up() - whether a request of the predecessor is one that is given up
 * @unique: its number; 0: the release of open @fh is asked for, whatever its number
 */
bool left_given_up(const struct left *l, uint64_t unique, uint64_t fh);

#endif /* DEVICE_LEFT_H */
