/* SPDX-License-Identifier: MIT */
/*
 * base/log.h - what the daemon says, and how often
 *
 * One line per event on standard error; if that is the journal, an entry of it, with fields. Lines that a
 * client can provoke come through report/failure.h, which limits them.
 *
 * Any thread may call anything here at any time; a line is written by one system call.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * log_init() - choose the form of the lines
 * @verbose: also print log_debug() lines
 *
 * Before any thread is started. 
 */
void log_init(bool verbose);

void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

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
