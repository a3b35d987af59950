/* SPDX-License-Identifier: MIT */
/*
 * client/masked.h - whether a client is in the midst of an exchange with the daemon
 */
#ifndef CLIENT_MASKED_H
#define CLIENT_MASKED_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * masked_any() - whether a thread of a process has every signal blocked
 *
 * As the preload object has, from before it asks for a window until it has received it (preload/preload.c); hardly anybody else
 * blocks those that the C library keeps for itself. Any thread; reads /proc, and waits for nobody.
 *
 * Return: true also if it cannot be told; false if there is no such process.
 */
bool masked_any(pid_t pid);

#endif /* CLIENT_MASKED_H */
