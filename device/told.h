/* SPDX-License-Identifier: MIT */
/*
 * device/told.h - where clients say that their windows are
 *
 * A preload object says with each mmap where the window will be. It is only a hint, of any number that a client may like; who
 * looks for the window at an address asks the kernel what is there (client/procmaps.h), if the kernel can see it.
 *
 * To find what covers an address takes the same time however many windows there are: a window of more than 2^(n-1) and at most 2^n
 * pages is kept by the block of 2^n pages that it begins in, so that what covers a page begins in the page's block or in that before, for
 * each n. Windows of one open that lie on top of each other are the only ones to be looked through.
 *
 * Threads: any that is registered with RCU. To put and to drop take a lock for a few steps.
 */
#ifndef DEVICE_TOLD_H
#define DEVICE_TOLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define TOLD_BUCKETS 32768U
#define TOLD_LOCKS   64U
/* Sizes of windows, as powers of 2. */
#define TOLD_SIZES 18U

/**
 * struct told_window - what was said of one; in memory that stays for a grace period after told_drop()
 * @open_id, @vaddr, @index, @count: whose it is; where, bytes; of which map: bytes, pages
 * @order: of those that cover an address the last counts
 * @next: in its bucket (atomic); @before: what points to it
 */
struct told_window {
	uint64_t open_id;
	uint64_t vaddr;
	uint64_t index;
	uint64_t order;
	uint32_t count;
	uint32_t bucket;
	struct told_window *next;
	struct told_window **before;
};

/**
 * struct told - all of them
 * @secret: no client knows what shares a bucket
 * @sizes:  a bit for each that there has ever been (atomic)
 */
struct told {
	uint64_t secret;
	uint32_t sizes;
	pthread_mutex_t lock[TOLD_LOCKS];
	struct told_window *bucket[TOLD_BUCKETS];
};

/** told_init() - none yet. @t: is zero */
void told_init(struct told *t);

/** told_put() - a client has a window, and says where. Its first fields are filled in; @w->count is 1 to 2^(TOLD_SIZES - 1) */
void told_put(struct told *t, struct told_window *w);

/** told_drop() - it is there no more */
void told_drop(struct told *t, struct told_window *w);

/**
 * told_find() - the window that an open has at an address, by what was said last
 *
 * Under RCU. Return: NULL if nothing was said.
 */
const struct told_window *told_find(struct told *t, uint64_t open_id, uint64_t vaddr);

#endif /* DEVICE_TOLD_H */
