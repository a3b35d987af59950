/* SPDX-License-Identifier: MIT */
/*
 * base/defer.h - do it later, on a thread of its own
 *
 * For what the kernel's driver sleeps for (GNTST_eagain): a worker that slept would keep other
 * clients waiting.
 */
#ifndef BASE_DEFER_H
#define BASE_DEFER_H

#include <stdbool.h>
#include <stdint.h>

struct defer;

/**
 * struct defer_item - one thing to do; embedded in what it is about
 * @fn: called once on the defer thread (registered with RCU, not under RCU), with @stopping true
 *      when the daemon is going down: then nothing may be deferred again
 */
struct defer_item {
	struct defer_item *next;
	uint64_t due_ns;
	void (*fn)(struct defer_item *item, bool stopping);
};

/** defer_new() - start the thread. Return: NULL if there is no memory or no thread to be had. */
struct defer *defer_new(void);

/**
 * defer_after() - have item->fn called in @ms milliseconds
 *
 * Any thread. Return: true; false if the thread is stopping: the item is not taken, the caller
 * must end the matter itself.
 */
bool defer_after(struct defer *d, struct defer_item *item, unsigned int ms);

/** defer_stop() - call everything that waits with @stopping set; take no more. Joins the thread. */
void defer_stop(struct defer *d);

/** defer_destroy() - free; after defer_stop() */
void defer_destroy(struct defer *d);

#endif /* BASE_DEFER_H */
