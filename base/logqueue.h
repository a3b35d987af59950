/* SPDX-License-Identifier: MIT */
/*
 * base/logqueue.h - lines on their way to the log, and the thread that takes them there
 *
 * Whoever takes the log's lines can stop to take them: a reader of a pipe, journald. Then one thread waits,
 * this one, and no more than LOGQUEUE_MAX lines. Those that do not fit are counted, and told of in their place
 * when lines go out again. base/log.c's own.
 */
#ifndef BASE_LOGQUEUE_H
#define BASE_LOGQUEUE_H

#include <stdbool.h>

struct log_fields;

/* Some MiB if all have many fields. */
#define LOGQUEUE_MAX 1000

/**
 * logqueue_start() - start the thread
 * @write: called on it for each line, one after the other, with what logqueue_put() was given; may wait.
 *         Return: whether it was written
 * @lost:  called on it when @n lines that belonged here are lost. Return: whether that was written
 *
 * Return: 0, also if there is one; -errno.
 */
int logqueue_start(bool (*write)(int prio, const char *line, const struct log_fields *f),
		   bool (*lost)(unsigned long n));

/**
 * logqueue_put() - have a line written
 * @f: or NULL; copied, as @line is
 *
 * Any thread; waits for nothing. Return: false if there is no thread: the caller is to write it.
 */
bool logqueue_put(int prio, const char *line, const struct log_fields *f);

/** logqueue_flush() - wait until all is written, at most @ms. Return: whether it is */
bool logqueue_flush(unsigned int ms);

/**
 * logqueue_stop() - the same, and end the thread
 *
 * One that cannot be ended in time is left behind with what it has, and what comes after that is lost.
 */
void logqueue_stop(unsigned int ms);

#endif /* BASE_LOGQUEUE_H */
