/* SPDX-License-Identifier: MIT */
/*
 * base/rcu.h - the one flavour of RCU that the daemon uses, so that its users need not know which
 *
 * "Under RCU" means between rcu_read_enter() and rcu_read_leave(). What a reader has found there it may use
 * until it leaves; whoever has taken an object out of sight frees it by rcu_call() or rcu_free_later().
 *
 * Names are other ones than liburcu's rcu_read_lock() and its like, which are macros of <urcu.h>.
 *
 * The room base/ is what any part of the program may need, and knows no grant, no client and no device: RCU,
 * lock-free trees and ids, clocks, the log, threads for later. Each header promises to whoever includes it that
 * nothing in it waits unless it says so. It may include nothing of ours.
 */
#ifndef BASE_RCU_H
#define BASE_RCU_H

#include <urcu/urcu-memb.h>

/* For tests: what the thread sanitizer has to be told. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define RCU_TSAN 1
#endif

/* What frees an object after a grace period; tests put their own here, to poison what is freed. */
#ifndef RCU_FREE
#define RCU_FREE(ptr) free(ptr)
#endif

/**
 * rcu_thread_enter() - register the calling thread
 *
 * Every thread that is ever under RCU, or calls rcu_call(), must have done so once; rcu_thread_leave()
 * undoes it.
 */
void rcu_thread_enter(void);
void rcu_thread_leave(void);

/** rcu_read_enter(), rcu_read_leave() - the read side. Wait-free; may be nested. */
void rcu_read_enter(void);
void rcu_read_leave(void);

/** rcu_wait_for_readers() - until all who are under RCU now have left it. Not under RCU */
void rcu_wait_for_readers(void);

/**
 * rcu_start() - make the thread that frees
 *
 * Else the first rcu_call() does so, under a mutex.
 */
void rcu_start(void);

/**
 * rcu_call() - have a function called once no reader can see an object any more
 * @head: in the object; nothing may find the object from here on
 * @fn:   called on a thread of liburcu's; its first act is rcu_grace_period_over()
 *
 * Any registered thread, also under RCU. Wait-free but for waking that thread.
 */
void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head));

/** rcu_free_later() - the same with free(). @head: the first member of an object from malloc() */
void rcu_free_later(struct rcu_head *head);

/** rcu_wait_for_calls() - until all that was given to rcu_call() has been called. Not under RCU */
void rcu_wait_for_calls(void);

/*
 * The thread sanitizer does not see that liburcu orders the end of a read side before the frees
 * of the grace period that waited for it, so it is told. A reader that is still inside has not told
 * it anything, and a free under its feet is reported.
 */
#ifdef RCU_TSAN
void rcu_grace_period_over(void);
#else
static inline void rcu_grace_period_over(void)
{
}
#endif

#endif /* BASE_RCU_H */
