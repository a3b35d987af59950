/* SPDX-License-Identifier: MIT */
/*
 * base/wake.h - make a thread's system call return
 */
#ifndef BASE_WAKE_H
#define BASE_WAKE_H

#include <pthread.h>
#include <stdbool.h>

/** wake_init() - to be called before wake_thread(); any number of times */
void wake_init(void);

/**
 * wake_thread() - send a thread a signal that does nothing but interrupt
 *
 * One that is just about to make its system call is not woken: call it again until it has moved.
 */
void wake_thread(pthread_t thread);

/**
 * wake_often() - have the calling thread's system calls interrupted every few milliseconds from now on, or no more
 *
 * For one that may wait for as long as somebody else likes, and comes to its end by a signal. Any thread. Leaves
 * errno alone.
 */
void wake_often(bool on);

#endif /* BASE_WAKE_H */
