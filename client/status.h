/* SPDX-License-Identifier: MIT */
/*
 * client/status.h - what the kernel shows of a thread in its /proc file "status"
 */
#ifndef CLIENT_STATUS_H
#define CLIENT_STATUS_H

#include <stddef.h>
#include <stdint.h>

/* Room for one: the lines of signals stand behind that of the groups, of which there can be 65536. */
#define STATUS_MAX (1U << 20)

/**
 * status_read() - read one
 * @dirfd, @path: as of openat(2)
 * @buf:   of STATUS_MAX bytes
 *
 * Any thread; waits for nobody. Return: bytes, with a NUL behind them; 0 if it cannot be read, or is longer: errno may tell.
 */
size_t status_read(int dirfd, const char *path, char *buf);

/**
 * status_signals() - a set of signals, bit 0 for signal 1
 * @name: such as "SigBlk"
 * @set:  out
 *
 * Return: 0; -1: there is no such line.
 */
int status_signals(const char *status, const char *name, uint64_t *set);

#endif /* CLIENT_STATUS_H */
