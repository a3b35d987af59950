/* SPDX-License-Identifier: MIT */
/*
 * untraced.c - trace.h without anything behind it
 *
 * Linked into a daemon in the place of trace.c, to measure what tracing costs.
 */
#include "hypercall.h"
#include "report/trace.h"

const char *trace_op_name(enum trace_op op)
{
	(void)op;
	return "";
}

enum trace_kind trace_op_kind(enum trace_op op)
{
	(void)op;
	return TRACE_KIND_IOCTL;
}

const char *trace_kind_name(enum trace_kind kind)
{
	(void)kind;
	return "";
}

void trace_client(pid_t tid, uid_t uid)
{
	(void)tid;
	(void)uid;
}

struct trace_event trace_begin(enum trace_op op)
{
	return (struct trace_event){ .op = op, .domid = -1, .status = HV_PENDING };
}

void trace_end(struct trace_event *ev)
{
	(void)ev;
}

void trace_count(enum trace_op op, struct trace_counts *c)
{
	(void)op;
	*c = (struct trace_counts){ 0 };
}

struct trace_reader *trace_open(void)
{
	return NULL;
}

size_t trace_read(struct trace_reader *r, struct trace_event *ev, size_t max, uint64_t *lost)
{
	(void)r;
	(void)ev;
	(void)max;
	*lost = 0;
	return 0;
}

void trace_close(struct trace_reader *r)
{
	(void)r;
}
