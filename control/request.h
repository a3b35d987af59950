/* SPDX-License-Identifier: MIT */
/*
 * control/request.h - the questions of docs/control.md: from a line to its answer
 *
 * Without sockets: control/control.c brings lines and takes what is to be sent. An answer is either written at
 * once, or it is a struct control_answer that is continued as the reader takes what there was.
 *
 * All of it is called by one thread, which is registered with RCU, and not under RCU. Nothing here waits.
 */
#ifndef CONTROL_REQUEST_H
#define CONTROL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/out.h"

struct gntdev;
struct session;
struct state_header;
struct sim;

#define CONTROL_PROTOCOL 1
/* Bytes of a request, its newline included. */
#define CONTROL_LINE_MAX 4096
/* The daemon's patience, ms. */
#define CONTROL_PATIENCE 5000

/**
 * struct control_view - what can be asked about
 * @gd:       the device
 * @sim:      the simulated hypervisor, NULL under Xen
 * @session:  its session, NULL if there is none (in tests)
 * @run_dir:  the run directory
 * @state:    what is counted across daemons, NULL if nothing outlives this one (in tests)
 * @lease:    what becomes of the keeper's lease, unit_lease_kept() of daemon_unit.h; NULL: not known (in tests)
 * @since:    when the daemon was started, CLOCK_REALTIME, ns
 * @patience: how long an answer waits for what /proc has to tell, ms; it goes without then
 * @tracers:  connections that trace now; counted by control/trace.c
 */
struct control_view {
	struct gntdev *gd;
	struct sim *sim;
	const struct session *session;
	const char *run_dir;
	const struct state_header *state;
	const char *lease;
	uint64_t since;
	unsigned int patience;
	unsigned int tracers;
};

/**
 * struct control_answer - an answer under way; the head of each kind's own state
 * @more:    write what comes next, CONTROL_OUT_STEP bytes at most, for which there is room. Return: false
 *           if that was the end
 * @free:    free all of it
 * @endless: it has no end of its own: it is continued now and then, and ended by the next request
 * @waiting: set by more(): there is nothing now, and it is continued in a moment
 */
struct control_answer {
	bool (*more)(struct control_answer *a, struct control_out *out);
	void (*free)(struct control_answer *a);
	bool endless;
	bool waiting;
};

/* What becomes of the connection once an answer, or the beginning of it, has been written. */
enum control_next {
	CONTROL_GOES_ON,
	CONTROL_CLOSES,
};

/**
 * control_ask() - answer a line
 * @line:   @len bytes, without the newline; any bytes
 * @out:    with room for CONTROL_OUT_STEP bytes
 * @answer: out: the answer to be continued; NULL: all of it has been written
 */
enum control_next control_ask(struct control_view *view, const char *line, size_t len,
			      struct control_out *out, struct control_answer **answer);

/**
 * control_end() - end an endless answer because there is another request
 * @out: with room for CONTROL_OUT_STEP bytes
 *
 * What it has to tell is told first, as far as one step goes. Frees it.
 */
void control_end(struct control_answer *a, struct control_out *out);

/* --- for those who answer ----------------------------------------------------------------------- */

/**
 * struct control_request - a request while it is looked at
 * @args: its members that nobody has taken yet
 * @why:  what is wrong with it, if it is refused
 */
struct control_request {
	struct control_view *view;
	const char *what;
	json_t *args;
	char why[384];
};

/**
 * control_number(), control_string(), control_flag() - take an argument
 * @max:  the greatest number allowed
 * @size: of @to
 * @has:  out: whether it was given; if not nothing else is changed
 *
 * Return: false if it is not what it should be: rq->why says so.
 */
bool control_number(struct control_request *rq, const char *name, uint64_t max, uint64_t *to,
		    bool *has);
bool control_string(struct control_request *rq, const char *name, char *to, size_t size, bool *has);
bool control_flag(struct control_request *rq, const char *name, bool *to);

/** control_done() - all arguments have been taken. Return: false if there are others */
bool control_done(struct control_request *rq);

/** control_refuse() - say what is wrong. Return: @err */
int control_refuse(struct control_request *rq, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The requests. Return: 0, with all written or *@answer set; -errno, for which rq->why may tell more.
 */
int control_ask_list(struct control_request *rq, struct control_out *out,
		     struct control_answer **answer);
int control_ask_show(struct control_request *rq, struct control_out *out,
		     struct control_answer **answer);
int control_ask_stats(struct control_request *rq, struct control_out *out,
		      struct control_answer **answer);
int control_ask_metrics(struct control_request *rq, struct control_out *out,
			struct control_answer **answer);
int control_ask_errors(struct control_request *rq, struct control_out *out,
		       struct control_answer **answer);
int control_ask_explain(struct control_request *rq, struct control_out *out,
			struct control_answer **answer);
int control_ask_trace(struct control_request *rq, struct control_out *out,
		      struct control_answer **answer);
int control_ask_policy(struct control_request *rq, struct control_out *out,
		       struct control_answer **answer);
int control_ask_fault(struct control_request *rq, struct control_out *out,
		      struct control_answer **answer);

#endif /* CONTROL_REQUEST_H */
