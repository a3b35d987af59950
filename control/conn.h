/* SPDX-License-Identifier: MIT */
/*
 * control/conn.h - one connection of the control socket, or of that for metrics
 *
 * Nothing here waits. What a connection can cost is bounded: CONTROL_LINE_MAX bytes of what it says,
 * CONTROL_OUT_SIZE of what it is told, one step of one answer each time it is its turn.
 *
 * By one thread, registered with RCU, not under RCU.
 */
#ifndef CONTROL_CONN_H
#define CONTROL_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/request.h"

/* Bytes of an HTTP request. */
#define CONTROL_HTTP_MAX 8192

enum control_kind {
	CONTROL_LINES, /* docs/control.md */
	CONTROL_HTTP,  /* GET of the metrics */
};

/**
 * struct control_limits - how long a connection may last, ms
 * @stall:  while an answer is under way and it takes nothing
 * @silent: without saying anything
 * @http:   until a GET has come
 */
struct control_limits {
	unsigned int stall;
	unsigned int silent;
	unsigned int http;
};

/**
 * struct control_conn - a connection
 * @fd:      -1: a free place
 * @in:      what it has said, up to @n_in; of HTTP the beginning only
 * @n_http:  bytes of HTTP so far; @http_line: bytes of its line
 * @answer:  the answer under way
 * @eof:     it says no more
 * @closing: to be closed when @out has been taken
 * @since:   when it last took something or, with nothing to take, said something; of HTTP: when it came, first
 */
struct control_conn {
	int fd;
	enum control_kind kind;
	struct control_view *view;
	const struct control_limits *limits;
	char in[CONTROL_LINE_MAX];
	size_t n_in;
	size_t n_http;
	size_t http_line;
	struct control_out out;
	struct control_answer *answer;
	bool eof;
	bool closing;
	uint64_t since;
};

/**
 * control_conn_start() - begin with a connection that was accepted
 * @fd:  nonblocking; taken over
 * @now: ms of any clock that goes on
 *
 * Return: 0; -ENOMEM, and it is closed.
 */
int control_conn_start(struct control_conn *c, int fd, enum control_kind kind,
		       struct control_view *view, const struct control_limits *limits,
		       uint64_t now);

/** control_conn_close() - close it, whatever it is doing */
void control_conn_close(struct control_conn *c);

/** control_conn_refuse() - tell it why it is not served, and close it when it has been told. @err: -errno */
void control_conn_refuse(struct control_conn *c, int err, const char *text);

/** control_conn_events() - what to poll(2) it for */
short control_conn_events(const struct control_conn *c);

/**
 * control_conn_wait() - how long until it is its turn whatever poll(2) says
 *
 * Return: ms from @now; 0: at once; never more than its time limit.
 */
uint64_t control_conn_wait(const struct control_conn *c, uint64_t now);

/**
 * control_conn_turn() - go on with it
 * @revents: of poll(2)
 *
 * It may be closed afterwards: its fd is -1 then.
 */
void control_conn_turn(struct control_conn *c, short revents, uint64_t now);

#endif /* CONTROL_CONN_H */
