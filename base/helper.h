/* SPDX-License-Identifier: MIT */
/*
 * base/helper.h - a thread that does what may last for ever, and can be left behind with it
 *
 * Some system calls wait for another process, and only the end of ours interrupts them. Whoever has to make
 * one has a helper make it, and goes on without an answer if that takes too long. The helper stays where it is
 * until the call returns; how many may be left like that is for the caller to bound.
 */
#ifndef BASE_HELPER_H
#define BASE_HELPER_H

struct helper;

/**
 * struct helper_task - what is to be done; embedded in what it is about
 * @run:      called on a helper, which is registered with RCU, not under RCU
 * @free:     called once, on either thread, when it is over and whoever asked has called helper_put()
 * @progress: changed by @run whenever it gets on (atomic)
 *
 * The rest is the helper's.
 */
struct helper_task {
	void (*run)(struct helper_task *t);
	void (*free)(struct helper_task *t);
	unsigned int progress;
	unsigned int users;
};

/**
 * helper_run() - have something done, and wait until it is, within limits
 * @h:     the caller's helper; NULL at first, and after one was left behind
 * @still: how long it may make no progress, ms; @most: how long it may take in all
 *
 * One thread at a time for each @h. helper_put() is due in any case. Return: 0; -ETIMEDOUT if it was left
 * behind: it goes on; -EAGAIN if there is no thread to be had: it is not done.
 */
int helper_run(struct helper **h, struct helper_task *t, unsigned int still, unsigned int most);

/** helper_put() - whoever asked for it needs it no more */
void helper_put(struct helper_task *t);

/** helper_end() - end the helper, if there is one; it has nothing to do */
void helper_end(struct helper **h);

#endif /* BASE_HELPER_H */
