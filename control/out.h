/* SPDX-License-Identifier: MIT */
/*
 * control/out.h - what a control connection is to be sent: lines of JSON in a buffer of fixed size
 *
 * Whoever writes asks first whether there is room (control_out_room()) and goes on later if there is
 * not; so memory is bounded by the buffer, whatever the reader does. One thread at a time.
 */
#ifndef CONTROL_OUT_H
#define CONTROL_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes for each connection. */
#define CONTROL_OUT_SIZE (256UL * 1024)
/* An answer is continued when there is room for this much, and writes no more at once. */
#define CONTROL_OUT_STEP (128UL * 1024)
/* No record of a list is longer. */
#define CONTROL_OUT_RECORD (16UL * 1024)

/**
 * struct control_out - lines to be sent
 * @buf:      CONTROL_OUT_SIZE bytes; those from @start to @end are to be sent
 * @overflow: something did not fit, which is a bug: the rest is of no use
 * @head:     how each line begins: "{" and the request's id if it has one
 */
struct control_out {
	char *buf;
	size_t start;
	size_t end;
	bool overflow;
	char head[40];
};

/** control_out_init() - an empty buffer. Return: 0 or -ENOMEM */
int control_out_init(struct control_out *o);

void control_out_free(struct control_out *o);

/** control_out_room() - how many bytes can be added; moves what there is to make them */
size_t control_out_room(struct control_out *o);

/** control_out_id() - which request the next lines answer. @id: NULL: one without an id */
void control_out_id(struct control_out *o, const int64_t *id);

/**
 * control_out_json() - one line {"id":..., "@name": @value}
 * @value: taken over; NULL: no memory, which is an overflow
 */
void control_out_json(struct control_out *o, const char *name, json_t *value);

/**
 * control_out_printf() - text as it is, for what is not JSON
 */
void control_out_printf(struct control_out *o, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * control_out_error() - the line that ends an answer that failed
 * @err: -errno
 */
void control_out_error(struct control_out *o, int err, const char *text);

/**
 * control_text() - a string of any bytes as JSON
 *
 * What is not UTF-8 becomes U+FFFD. Return: a new string; NULL if there is no memory.
 */
json_t *control_text(const char *s);

/** control_set_text() - a member of an object, left out if it is "": not known */
void control_set_text(json_t *o, const char *name, const char *s);

#endif /* CONTROL_OUT_H */
