/* SPDX-License-Identifier: MIT */
/*
 * device/workers.h - threads that take requests, of which some are always free to
 *
 * A handful of threads is at work as a rule. A thread that does not come back from a request within
 * some milliseconds, whatever it does there, is replaced by another: so a request never waits for one that
 * takes long. How many may take long at a time is the business of who hands out the requests
 * (device/turns.h); if they keep to it there is always a thread to be had.
 *
 * That costs nothing as long as requests end: threads count themselves in and out of their waiting for
 * requests, and only if the last one goes out is there somebody who looks.
 */
#ifndef DEVICE_WORKERS_H
#define DEVICE_WORKERS_H

#include <stdbool.h>

/* Threads at the most. */
#define WORKERS_MAX 320

struct workers;

/**
 * struct workers_ops - what they do
 * @begin:   on a new thread; Return: something of its own for the others, or NULL if there is no memory
 * @receive: wait for a request. Return: 1 with one, 0 if woken (base/wake.h), -1 if there will be no more
 * @handle:  carry it out
 * @next:    carry out one that has waited for a thread. Return: false if there is none
 * @tick:    every few milliseconds while something goes on, on a thread of its own. Return: whether
 *           there is something for it to do
 * @end:     of the thread
 *
 * On threads that are registered with RCU.
 */
struct workers_ops {
	void *(*begin)(void *arg);
	int (*receive)(void *own);
	void (*handle)(void *own);
	bool (*next)(void *own);
	bool (*tick)(void *arg, bool *next);
	void (*end)(void *own);
};

/**
 * workers_new() - start them
 * @n:   how many are at work as a rule
 * @out: set before the first one begins, also if this fails
 *
 * Return: 0 or -errno; then those that were started go on until workers_stop().
 */
int workers_new(const struct workers_ops *ops, void *arg, unsigned int n, struct workers **out);

/** workers_rouse() - there is something for @tick or @next. Any thread */
void workers_rouse(struct workers *p);

/**
 * workers_serve() - whether requests are received, for who watches over the process
 *
 * To be called at regular intervals, by one thread. Return: false if there was no thread to receive one since.
 */
bool workers_serve(struct workers *p);

/** workers_counts() - how many threads are at work, and how many of them have a request in hand */
void workers_counts(const struct workers *p, unsigned int *n, unsigned int *busy);

/** workers_stop() - no thread receives anything from now on */
void workers_stop(struct workers *p);

/**
 * workers_join() - wait for those that have ended
 *
 * After workers_stop(); wakes the others. Return: how many have not ended yet.
 */
unsigned int workers_join(struct workers *p);

/** workers_destroy() - free; all have ended. @p: or NULL */
void workers_destroy(struct workers *p);

#endif /* DEVICE_WORKERS_H */
