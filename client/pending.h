/* SPDX-License-Identifier: MIT */
/*
 * client/pending.h - whether a thread has a signal that ends a call in which it sleeps
 */
#ifndef CLIENT_PENDING_H
#define CLIENT_PENDING_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * pending_interrupts() - whether a call of a thread is to be answered with EINTR
 * @tid: one that waits for an answer of ours
 *
 * That is so when a signal waits for it that is not blocked and has a handler, or ends the process. A signal that stops it, or
 * that is ignored, is none. Reads /proc, and waits for nobody. Return: true also if that is not known (a thread of another pid
 * namespace): one that is killed must be able to end.
 */
bool pending_interrupts(pid_t tid);

#endif /* CLIENT_PENDING_H */
