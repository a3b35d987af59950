/* SPDX-License-Identifier: MIT */
/*
 * device/left.h - requests that a predecessor had in hand, to be carried out again
 *
 * They get threads as all others do, but one after the other: if one of them is what the predecessor has died of, the others
 * are not with it when it happens again. Who waits for the client does not hold up the others, though.
 */
#ifndef DEVICE_LEFT_H
#define DEVICE_LEFT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/slot.h"

/*
 * So many daemons begin a request: if none has survived it, it gets EIO. Enough for that not to happen to one whose
 * daemons were killed by others, a few in a row.
 */
#define LEFT_ATTEMPTS 5

/**
 * struct left - requests in hand
 * @slot:   of each, @n of them; @unique: their numbers, sorted
 * @next:   the first that has not been begun (atomic)
 * @begun:  such as have not ended (atomic), the last of them at @since, CLOCK_MONOTONIC ms
 */
struct left {
	pthread_mutex_t lock;
	struct slot **slot;
	uint64_t *unique;
	size_t n;
	size_t next;
	unsigned int begun;
	uint64_t since;
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

/** left_end() - one of them has been answered, or waits for something else */
void left_end(struct left *l);

#endif /* DEVICE_LEFT_H */
