/* SPDX-License-Identifier: MIT */
/*
 * control/request.c - from a line to whoever answers it
 *
 * A member of a request is taken out of it when it is looked at. What is left at the end is unknown to
 * the request, and it is refused.
 */
#include "control/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/version.h"
#include "device/gntdev.h"
#include "device/session.h"

int control_refuse(struct control_request *rq, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(rq->why, sizeof(rq->why), fmt, ap);
	va_end(ap);
	return err;
}

/* Take a member out. Return: NULL if there is none, else a reference of the caller's. */
static json_t *take(struct control_request *rq, const char *name)
{
	json_t *value = json_incref(json_object_get(rq->args, name));

	json_object_del(rq->args, name);
	return value;
}

bool control_number(struct control_request *rq, const char *name, uint64_t max, uint64_t *to,
		    bool *has)
{
	json_t *value = take(rq, name);
	json_int_t n = json_integer_value(value);
	bool good = !value || (json_is_integer(value) && n >= 0 && (uint64_t)n <= max);

	*has = value != NULL;
	if (value && good)
		*to = (uint64_t)n;
	json_decref(value);
	if (!good)
		control_refuse(rq, -EINVAL, "%s: \"%s\" is not a number from 0 to %" PRIu64,
			       rq->what, name, max);
	return good;
}

bool control_string(struct control_request *rq, const char *name, char *to, size_t size, bool *has)
{
	json_t *value = take(rq, name);
	bool good = !value || (json_is_string(value) && json_string_length(value) < size);

	*has = value != NULL;
	if (value && good)
		memcpy(to, json_string_value(value), json_string_length(value) + 1);
	json_decref(value);
	if (!good)
		control_refuse(rq, -EINVAL, "%s: \"%s\" is not a string of less than %zu bytes",
			       rq->what, name, size);
	return good;
}

bool control_flag(struct control_request *rq, const char *name, bool *to)
{
	json_t *value = take(rq, name);
	bool good = !value || json_is_boolean(value);

	if (value && good)
		*to = json_is_true(value);
	json_decref(value);
	if (!good)
		control_refuse(rq, -EINVAL, "%s: \"%s\" is neither true nor false", rq->what, name);
	return good;
}

bool control_done(struct control_request *rq)
{
	const char *name = json_object_iter_key(json_object_iter(rq->args));

	if (name)
		control_refuse(rq, -EINVAL, "%s has no argument \"%.40s\"", rq->what, name);
	return !name;
}

static int ask_hello(struct control_request *rq, struct control_out *out,
		     struct control_answer **answer)
{
	const struct control_view *v = rq->view;
	struct session_counts n = { 0 };

	(void)answer;
	if (!control_done(rq))
		return -EINVAL;
	if (v->session)
		session_counts(v->session, &n);
	control_out_json(out, "end",
			 json_pack("{s:i, s:s, s:i, s:o, s:s, s:I, s:i, s:o, s:o}", "protocol",
				   CONTROL_PROTOCOL, "version", VERSION, "pid", (int)getpid(),
				   "device", control_text(v->gd->dev.name), "hypervisor",
				   v->gd->hv->name, "since", (json_int_t)v->since, "workers",
				   (int)n.workers, "run_dir", control_text(v->run_dir),
				   "window_socket", control_text(winsock_path(v->gd->winsock))));
	return 0;
}

static const struct question {
	const char *name;
	int (*ask)(struct control_request *rq, struct control_out *out,
		   struct control_answer **answer);
} questions[] = {
	{ "hello", ask_hello },
	{ "list", control_ask_list },
	{ "show", control_ask_show },
	{ "stats", control_ask_stats },
	{ "errors", control_ask_errors },
	{ "trace", control_ask_trace },
	{ "metrics", control_ask_metrics },
	{ "explain", control_ask_explain },
	{ "policy", control_ask_policy },
	{ "fault", control_ask_fault },
};

/* Return: 0 or -errno: rq->why, if it says anything, tells more. */
static int dispatch(struct control_request *rq, struct control_out *out,
		    struct control_answer **answer)
{
	char name[16] = "";
	bool has;

	rq->what = "the request";
	if (!control_string(rq, "do", name, sizeof(name), &has))
		return control_refuse(rq, -EINVAL, "\"do\" names no request of this protocol");
	if (!has)
		return control_refuse(rq, -EINVAL, "\"do\" is missing: what is asked?");
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		if (strcmp(name, questions[i].name) != 0)
			continue;
		rq->what = questions[i].name;
		return questions[i].ask(rq, out, answer);
	}
	return control_refuse(rq, -EINVAL, "\"do\" names no request of this protocol");
}

/* The members that each request has. Return: 0, -EPROTO, -EINVAL. */
static int take_common(struct control_request *rq, struct control_out *out)
{
	json_t *v = take(rq, "v"), *id = take(rq, "id");
	int64_t number = json_integer_value(id);
	int err = 0;

	if (json_is_integer(id))
		control_out_id(out, &number);
	if (!json_is_integer(v) || json_integer_value(v) != CONTROL_PROTOCOL)
		err = control_refuse(rq, -EPROTO,
				     "\"v\" is not %d, the version of the protocol that this "
				     "daemon speaks",
				     CONTROL_PROTOCOL);
	else if (id && !json_is_integer(id))
		err = control_refuse(rq, -EINVAL, "\"id\" is not an integer");
	json_decref(v);
	json_decref(id);
	return err;
}

static int parse(struct control_request *rq, const char *line, size_t len)
{
	json_error_t e;

	rq->args = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
	if (!rq->args)
		return control_refuse(rq, -EPROTO, "no JSON in this line, at byte %d: %.100s",
				      e.position, e.text);
	if (!json_is_object(rq->args))
		return control_refuse(rq, -EPROTO, "the line is JSON, but no object");
	return 0;
}

enum control_next control_ask(struct control_view *view, const char *line, size_t len,
			      struct control_out *out, struct control_answer **answer)
{
	struct control_request rq = { .view = view };
	int err;

	*answer = NULL;
	control_out_id(out, NULL);
	err = parse(&rq, line, len);
	if (!err)
		err = take_common(&rq, out);
	if (!err)
		err = dispatch(&rq, out, answer);
	json_decref(rq.args);
	if (err)
		control_out_error(out, err, rq.why[0] ? rq.why : strerror(-err));
	return err == -EPROTO ? CONTROL_CLOSES : CONTROL_GOES_ON;
}

void control_end(struct control_answer *a, struct control_out *out)
{
	a->more(a, out);
	control_out_json(out, "end", json_object());
	a->free(a);
}
