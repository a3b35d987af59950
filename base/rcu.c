/* SPDX-License-Identifier: MIT */
/*
 * base/rcu.c - liburcu's flavour "memb"
 *
 * Its readers need no barrier where the kernel has membarrier(2), and no thread has to announce quiescent
 * states, which one that waits in a system call could not.
 */
#include "base/rcu.h"

#include <stdlib.h>

/*
 * Have the read side inline in here: it is on every lookup's path, and one more call into the library is
 * twice the lookup. liburcu says of these functions that they are short enough for code of any licence.
 */
#ifndef RCU_TSAN
#include <urcu/static/urcu-memb.h>
#define read_enter()	 _urcu_memb_read_lock()
#define read_leave()	 _urcu_memb_read_unlock()
#define read_side_over() ((void)0)
#else
/* The sanitizer would see liburcu's own words, but not what orders them. */
#include <sanitizer/tsan_interface.h>
#define read_enter()	 urcu_memb_read_lock()
#define read_leave()	 urcu_memb_read_unlock()
#define read_side_over() __tsan_release(&grace_period)

static char grace_period;

void rcu_grace_period_over(void)
{
	__tsan_acquire(&grace_period);
}
#endif

void rcu_thread_enter(void)
{
	urcu_memb_register_thread();
}

void rcu_thread_leave(void)
{
	urcu_memb_unregister_thread();
}

void rcu_read_enter(void)
{
	read_enter();
}

void rcu_read_leave(void)
{
	read_side_over();
	read_leave();
}

void rcu_wait_for_readers(void)
{
	urcu_memb_synchronize_rcu();
	rcu_grace_period_over();
}

void rcu_start(void)
{
	urcu_memb_get_default_call_rcu_data();
}

void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	read_side_over();
	urcu_memb_call_rcu(head, fn);
}

static void free_head(struct rcu_head *head)
{
	rcu_grace_period_over();
	RCU_FREE(head);
}

void rcu_free_later(struct rcu_head *head)
{
	rcu_call(head, free_head);
}

void rcu_wait_for_calls(void)
{
	urcu_memb_barrier();
}
