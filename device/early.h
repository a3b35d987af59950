/* SPDX-License-Identifier: MIT */
/*
 * device/early.h - signals that are told of before their requests have come: device/turns.c's own
 *
 * The kernel tells that a caller was sent a signal by the number of its request, and only after some thread has been given
 * that request. That thread may come later with it than another with the signal. But as a rule such a request has come
 * and been answered just before, and there is nothing to remember. Which it is decides what is remembered of numbers: the kernel
 * counts them up, and gives requests in that order. So what is kept are the signals of requests that threads have in their
 * hands and have not brought yet, and there is room for one for each thread: clients can make no more of them, whatever
 * signals they send each other.
 */
#ifndef DEVICE_EARLY_H
#define DEVICE_EARLY_H

#include <stdbool.h>
#include <stdint.h>

/* More than threads that receive. */
#define EARLY_MAX 1024U

/* Numbers that are remembered. A thread brings what it has been given before so many others have come. */
#define EARLY_NUMBERS 65536U

/**
 * struct early - all zero at first; with the lock of its owner
 * @last:   the highest number that has come, counted as the kernel does
 * @come:   a bit for each of the latest EARLY_NUMBERS numbers
 * @n:      signals whose requests have not come, @unique theirs
 */
struct early {
	uint64_t last;
	uint64_t come[EARLY_NUMBERS / 64];
	unsigned int n;
	uint64_t unique[EARLY_MAX];
};

/** early_signal() - the caller of a request was sent a signal, and the request is not here */
void early_signal(struct early *e, uint64_t unique);

/** early_come() - a request has come. Return: whether its caller had been sent a signal */
bool early_come(struct early *e, uint64_t unique);

#endif /* DEVICE_EARLY_H */
