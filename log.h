/* SPDX-License-Identifier: MIT */
/*
 * log.h - what the daemon says, and how often
 *
 * One line per event on standard error; under systemd with the priority prefix that the journal
 * takes. Lines that a client can provoke are limited per client, so that none can flood the log
 * or hide another's failures.
 *
 * Any thread may call anything here at any time; a line is written by one write(2).
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * log_init() - choose the form of the lines
 * @verbose: also print log_debug() lines
 *
 * Before any thread is started. Priority prefixes are used if standard error is the journal.
 */
void log_init(bool verbose);

void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Lines per client and interval before the rest of the interval is silent. */
#define LOG_CLIENT_BURST      10
#define LOG_CLIENT_INTERVAL_S 10

/**
 * log_client() - a warning about what a client did, limited per client
 * @pid: the client's process or thread, 0 if it is not visible to us: part of the line
 *
 * The first line after a silence says how many were left out.
 */
void log_client(pid_t pid, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif /* LOG_H */
