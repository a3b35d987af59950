/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/client.h - the client's side of docs/control.md
 *
 * One connection, one request at a time: ctl_ask(), then ctl_next() until it says CTL_END (or use
 * ctl_each(), ctl_query()). One thread. A server that sends nonsense, or nothing, is an error with
 * a message, never a wait without end.
 */
#ifndef GNTDEVCTL_CLIENT_H
#define GNTDEVCTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gntdevctl/ctl.h"

/* How long a daemon may take for the next line, ms. */
#define CTL_PATIENCE_MS 10000
/* Nobody sends longer lines. */
#define CTL_LINE_MAX (16U << 20)

/**
 * struct ctl_client - a connection
 * @status: why ctl_open(), ctl_ask() or ctl_next() failed, an enum ctl_status
 * @code:   the daemon's word for it, such as "ENOENT"; "" if it was not the daemon that refused
 * @why:    and a message
 * The rest is private.
 */
struct ctl_client {
	int status;
	char code[16];
	char why[512];
	int fd;
	char *buf;
	size_t size, from, to;
	json_t *line;
};

/**
 * struct ctl_record - one line of an answer, valid until the next call
 * @name:  "open", "map", ..., "end"
 * @value: what it holds; anything, check its type
 * @text, @size: the line itself, without its end
 */
struct ctl_record {
	const char *name;
	json_t *value;
	const char *text;
	size_t size;
};

enum ctl_answer {
	CTL_RECORD,
	CTL_END,     /* the answer is complete; @value is the object of "end" */
	CTL_TIMEOUT, /* nothing came in time, or ctl_stop is set; the answer goes on */
	CTL_BROKEN,  /* see @status and @why */
};

/** ctl_open() - connect. Return: 0; else c->status, c->why. End with ctl_close() either way */
int ctl_open(struct ctl_client *c, const char *path);

/** ctl_close() - also after a failed ctl_open(), and twice */
void ctl_close(struct ctl_client *c);

/** ctl_request() - the object for a request of this name. Never NULL: ends the program without memory */
json_t *ctl_request(const char *what);

/** ctl_set() - give it an argument, or end the program without memory. @value: taken over; NULL: no memory */
void ctl_set(json_t *request, const char *key, json_t *value);

/** ctl_ask() - send a request, which is given away. Return: 0; else c->status, c->why */
int ctl_ask(struct ctl_client *c, json_t *request);

/** ctl_next() - take a line of the answer. @timeout_ms: how long to wait; anew after a signal that does not end us */
enum ctl_answer ctl_next(struct ctl_client *c, struct ctl_record *r, int timeout_ms);

/* Return: whether to go on. */
typedef bool (*ctl_record_fn)(const struct ctl_record *r, void *arg);

/**
 * ctl_each() - ask, and see all records of the answer
 * @end: out: the object of "end", to be released with json_decref(); NULL if @fn did not want to go on
 *       or a signal came; may be NULL itself
 *
 * Return: 0; else c->status, c->why.
 */
int ctl_each(struct ctl_client *c, json_t *request, ctl_record_fn fn, void *arg, json_t **end);

/**
 * ctl_connect() - ctl_open() where these options say; tells what went wrong
 *
 * Return: 0, or the exit status.
 */
int ctl_connect(const struct ctl *ctl, struct ctl_client *c);

/**
 * ctl_query() - connect, ask, see all records; tells what went wrong
 * @request: given away
 * @fn:  may be NULL; @end: as of ctl_each()
 *
 * Return: 0, or the exit status.
 */
int ctl_query(const struct ctl *ctl, json_t *request, ctl_record_fn fn, void *arg, json_t **end);

/**
 * ctl_query_object() - ask for what is one object; tells what went wrong
 * @what:  the request's name
 * @print: takes the object, unless JSON is wanted: that is printed here
 *
 * Return: 0, or the exit status.
 */
int ctl_query_object(const struct ctl *ctl, const char *what, void (*print)(const json_t *end));

/** ctl_print_record() - a record as a line of JSON, in ASCII. Return: whether standard output takes more */
bool ctl_print_record(const struct ctl_record *r);

/** ctl_print_object() - an object as JSON over several lines, in ASCII */
void ctl_print_object(const json_t *object);

/* Members of objects that may be absent or of another type: then "", or @other. */
const char *ctl_string(const json_t *object, const char *key);
long long ctl_integer(const json_t *object, const char *key, long long other);
double ctl_real(const json_t *object, const char *key, double other);

#endif /* GNTDEVCTL_CLIENT_H */
