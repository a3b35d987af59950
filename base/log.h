/* SPDX-License-Identifier: MIT */
/*
 * base/log.h - what the daemon says, and how often
 *
 * One line per event on standard error; if that is the journal, an entry of it, with fields. Lines that a
 * client can provoke come through report/failure.h, which limits them.
 *
 * Any thread may call anything here at any time, and no thread waits for the log: a thread of its own writes
 * the lines, from log_start() to log_stop(). Before and after, whoever has something to say writes it himself. Lines
 * keep their order. If they are not taken as fast as they come (a pipe that nobody reads, a journal that
 * hangs) some are lost, and a line in their place tells how many.
 *
 * This header is the face of the log: base/logqueue.c includes it for struct log_fields.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <sys/types.h>

/**
 * log_init() - choose the form of the lines
 * @verbose: also print log_debug() lines
 *
 * Before any thread is started.
 */
void log_init(bool verbose);

/**
 * log_start() - from now on nobody waits for the log
 *
 * Return: 0; -errno if there is no thread to be had.
 */
int log_start(void);

/**
 * log_stop() - wait until all has been written, but not for long, and end the thread
 *
 * When no other thread has anything more to say.
 */
void log_stop(void);

/** log_abort() - tell of a bug that lets nothing go on, and abort() when it has been written */
void log_abort(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * log_by() - what a library has to say
 * @prio: LOG_ERR and so on (syslog.h)
 * @fmt:  with a newline at its end or without
 */
void log_by(int prio, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

#define LOG_FIELDS_MAX 16
#define LOG_FIELD_SIZE 96

/**
 * struct log_fields - what an entry of the journal has beside its message
 */
struct log_fields {
	int prio;
	unsigned int n;
	char field[LOG_FIELDS_MAX][LOG_FIELD_SIZE];
};

/**
 * log_fields_init() - begin an entry
 * @prio: LOG_ERR and so on (syslog.h)
 * @id:   MESSAGE_ID of entries of its kind, 32 hexadecimal digits
 */
void log_fields_init(struct log_fields *f, int prio, const char *id);

/** log_field() - add "NAME=value" to it; a longer one is cut, one too many left out */
void log_field(struct log_fields *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** log_with_fields() - its message, and out; outside the journal the message alone */
void log_with_fields(const struct log_fields *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* BASE_LOG_H */
