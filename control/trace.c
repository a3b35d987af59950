/* SPDX-License-Identifier: MIT */
/*
 * control/trace.c - errors and trace: what has gone wrong, what happens
 *
 * Events are taken from their ring only when there is room for them: if the reader is slow they are lost
 * in the ring, which counts them, and nobody waits.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "control/request.h"
#include "report/failure.h"
#include "device/gntdev.h"
#include "hypercall.h"
#include "table.h"
#include "report/trace.h"

/* --- errors ------------------------------------------------------------------------------------- */

/**
 * struct errors - failures to be told
 * @last: the number of the last one there was
 */
struct errors {
	struct control_answer answer;
	uint64_t last;
	size_t at;
	size_t n;
	struct failure_entry e[FAILURE_KEPT];
};

static void set_grant(json_t *o, const struct failure_entry *e)
{
	if (e->domid >= 0)
		json_object_set_new(o, "domid", json_integer(e->domid));
	if (e->ref >= 0)
		json_object_set_new(o, "ref", json_integer(e->ref));
	if (e->status == HV_PENDING)
		return;
	json_object_set_new(o, "status", json_string(hv_status_name(e->status)));
	json_object_set_new(o, "status_words", control_text(failure_status_words(e->status)));
}

static void set_client(json_t *o, const struct failure_entry *e)
{
	const char *code = e->error ? strerrorname_np(e->error) : NULL;

	if (e->pid > 0)
		json_object_set_new(o, "pid", json_integer(e->pid));
	if (e->uid != (uid_t)-1)
		json_object_set_new(o, "uid", json_integer(e->uid));
	if (e->comm[0])
		json_object_set_new(o, "command", control_text(e->comm));
	if (code)
		json_object_set_new(o, "errno", json_string(code));
}

static void tell_failure(struct control_out *out, const struct failure_entry *e)
{
	char remedy[FAILURE_REMEDY_SIZE];
	json_t *o;

	failure_remedy(e, remedy, sizeof(remedy));
	o = json_pack("{s:I, s:I, s:s, s:s, s:s, s:o, s:o, s:o}", "seq", (json_int_t)e->seq, "time",
		      (json_int_t)e->time, "kind", failure_kind_name(failure_reason_kind(e->why)),
		      "reason", failure_reason_name(e->why), "op", trace_op_name(e->op), "text",
		      control_text(e->text), "cause", control_text(failure_cause(e)), "remedy",
		      control_text(remedy));
	if (o) {
		set_client(o, e);
		set_grant(o, e);
		if (e->rule[0])
			json_object_set_new(o, "rule", control_text(e->rule));
		if (e->left_out)
			json_object_set_new(o, "left_out", json_integer(e->left_out));
	}
	control_out_json(out, "failure", o);
}

static bool errors_more(struct control_answer *a, struct control_out *out)
{
	struct errors *er = (struct errors *)a;
	size_t start = out->end;

	while (er->at < er->n && out->end - start < CONTROL_OUT_STEP - 2 * CONTROL_OUT_RECORD)
		tell_failure(out, &er->e[er->at++]);
	if (er->at < er->n)
		return true;
	control_out_json(out, "end", json_pack("{s:I}", "last", (json_int_t)er->last));
	return false;
}

static void errors_free(struct control_answer *a)
{
	free(a);
}

int control_ask_errors(struct control_request *rq, struct control_out *out,
		       struct control_answer **answer)
{
	uint64_t after = 0, max = FAILURE_KEPT;
	struct errors *er;
	bool has;

	(void)out;
	if (!control_number(rq, "after", INT64_MAX, &after, &has) ||
	    !control_number(rq, "max", FAILURE_KEPT, &max, &has) || !control_done(rq))
		return -EINVAL;
	er = calloc(1, sizeof(*er));
	if (!er)
		return -ENOMEM;
	er->answer = (struct control_answer){ .more = errors_more, .free = errors_free };
	er->last = failure_read(0, er->e, 1) ? er->e[0].seq : 0;
	er->n = max ? failure_read(after, er->e, max) : 0;
	if (er->n)
		er->last = er->e[er->n - 1].seq;
	*answer = &er->answer;
	return 0;
}

/* --- trace -------------------------------------------------------------------------------------- */

#define EVENTS_AT_ONCE 64
/* No event's line is longer. */
#define EVENT_BYTES 512

/**
 * struct tracing - a subscription
 * @lost: events that nobody has been told of
 */
struct tracing {
	struct control_answer answer;
	struct control_view *view;
	struct trace_reader *reader;
	bool want_pid, want_domid, failed;
	uint64_t pid, domid;
	uint64_t lost;
	struct trace_event ev[EVENTS_AT_ONCE];
};

static bool has_failed(const struct trace_event *ev)
{
	if (trace_op_kind((enum trace_op)ev->op) == TRACE_KIND_HYPERCALL)
		return ev->result != 0;
	return ev->result < 0;
}

/* A thread is known by its process, if that has opened the device. */
static bool is_of(const struct tracing *t, const struct trace_event *ev)
{
	struct gnt_open *o;
	bool is = (uint64_t)ev->tid == t->pid;

	if (is || !ev->open_id)
		return is;
	rcu_read_enter();
	o = open_get(t->view->gd->table, ev->open_id);
	is = o && (uint64_t)((struct gntdev_open *)open_user(o))->who.pid == t->pid;
	rcu_read_leave();
	return is;
}

static bool wants(const struct tracing *t, const struct trace_event *ev)
{
	return (!t->failed || has_failed(ev)) &&
	       (!t->want_domid || (ev->domid >= 0 && (uint64_t)ev->domid == t->domid)) &&
	       (!t->want_pid || is_of(t, ev));
}

/* What struct trace_event's @index is of an operation. NULL: nothing that is told. */
static const char *index_name(enum trace_op op)
{
	switch (op) {
	case TRACE_MAP_GRANT_REF:
	case TRACE_UNMAP_GRANT_REF:
	case TRACE_SET_UNMAP_NOTIFY:
	case TRACE_MMAP:
	case TRACE_MUNMAP:
	case TRACE_HV_MAP:
	case TRACE_HV_UNMAP:
		return "index";
	case TRACE_GET_OFFSET_FOR_VADDR:
		return "addr";
	default:
		return NULL;
	}
}

static void set(json_t *o, const char *name, uint64_t value)
{
	json_object_set_new(o, name, json_integer((json_int_t)value));
}

static void set_arguments(json_t *o, const struct trace_event *ev)
{
	const char *index = index_name((enum trace_op)ev->op);
	char id[20];

	if (ev->tid > 0)
		set(o, "pid", (uint64_t)ev->tid);
	if (ev->uid != (uid_t)-1)
		set(o, "uid", ev->uid);
	snprintf(id, sizeof(id), "%" PRIx64, ev->open_id);
	if (ev->open_id)
		json_object_set_new(o, "open", json_string(id));
	if (index)
		set(o, index, ev->index);
	if (ev->count)
		set(o, "pages", ev->count);
	if (ev->domid < 0)
		return;
	set(o, "domid", (uint64_t)ev->domid);
	set(o, "ref", ev->ref);
}

static void set_result(json_t *o, const struct trace_event *ev)
{
	const char *code = ev->result < 0 ? strerrorname_np(-ev->result) : NULL;

	json_object_set_new(o, code ? "errno" : "result",
			    code ? json_string(code) : json_integer(ev->result));
	if (ev->status != HV_PENDING && ev->status != GNTST_okay)
		json_object_set_new(o, "status", json_string(hv_status_name(ev->status)));
}

/* @to_real: what to add to the clock of events for that of the day. */
static void tell_event(struct control_out *out, const struct trace_event *ev, uint64_t to_real)
{
	enum trace_op op = (enum trace_op)ev->op;
	uint64_t when = ev->start + to_real;
	json_t *o = json_pack("{s:I, s:f, s:s, s:s}", "time", (json_int_t)when, "us",
			      (double)(ev->end - ev->start) / 1000, "kind",
			      trace_kind_name(trace_op_kind(op)), "op", trace_op_name(op));

	set_arguments(o, ev);
	set_result(o, ev);
	control_out_json(out, "event", o);
}

static void tell_lost(struct tracing *t, struct control_out *out)
{
	if (t->lost)
		control_out_json(out, "lost", json_integer((json_int_t)t->lost));
	t->lost = 0;
}

static uint64_t to_realtime(void)
{
	return clock_realtime_ns() - trace_now();
}

/* For as long as there are events and room, but no longer than one step. */
static bool trace_more(struct control_answer *a, struct control_out *out)
{
	struct tracing *t = (struct tracing *)a;
	uint64_t to_real = to_realtime(), lost;
	size_t start = out->end, n;

	do {
		n = trace_read(t->reader, t->ev, EVENTS_AT_ONCE, &lost);
		t->lost += lost;
		tell_lost(t, out);
		for (size_t i = 0; i < n; i++)
			if (wants(t, &t->ev[i]))
				tell_event(out, &t->ev[i], to_real);
	} while (n == EVENTS_AT_ONCE &&
		 out->end - start + (size_t)EVENTS_AT_ONCE * EVENT_BYTES < CONTROL_OUT_STEP);
	return true;
}

static void trace_free(struct control_answer *a)
{
	struct tracing *t = (struct tracing *)a;

	t->view->tracers--;
	trace_close(t->reader);
	free(t);
}

int control_ask_trace(struct control_request *rq, struct control_out *out,
		      struct control_answer **answer)
{
	struct tracing *t = calloc(1, sizeof(*t));

	(void)out;
	if (!t)
		return -ENOMEM;
	t->answer =
		(struct control_answer){ .more = trace_more, .free = trace_free, .endless = true };
	t->view = rq->view;
	if (!control_number(rq, "pid", INT32_MAX, &t->pid, &t->want_pid) ||
	    !control_number(rq, "domid", UINT16_MAX, &t->domid, &t->want_domid) ||
	    !control_flag(rq, "failed", &t->failed) || !control_done(rq)) {
		free(t);
		return -EINVAL;
	}
	t->reader = trace_open();
	if (!t->reader) {
		free(t);
		return -ENOMEM;
	}
	t->view->tracers++;
	*answer = &t->answer;
	return 0;
}
