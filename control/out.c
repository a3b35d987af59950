/* SPDX-License-Identifier: MIT */
/*
 * control/out.c - what a control connection is to be sent: lines of JSON in a buffer of fixed size
 */
#include "control/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define UTF8_MAX    4

/* Fractions are microseconds, with three digits. */
#define FORM (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

int control_out_init(struct control_out *o)
{
	*o = (struct control_out){ .buf = malloc(CONTROL_OUT_SIZE) };
	control_out_id(o, NULL);
	return o->buf ? 0 : -ENOMEM;
}

void control_out_free(struct control_out *o)
{
	free(o->buf);
	o->buf = NULL;
}

size_t control_out_room(struct control_out *o)
{
	if (o->start) {
		memmove(o->buf, o->buf + o->start, o->end - o->start);
		o->end -= o->start;
		o->start = 0;
	}
	return CONTROL_OUT_SIZE - o->end;
}

void control_out_id(struct control_out *o, const int64_t *id)
{
	if (id)
		snprintf(o->head, sizeof(o->head), "{\"id\":%" PRId64 ",", *id);
	else
		snprintf(o->head, sizeof(o->head), "{");
}

void control_out_printf(struct control_out *o, const char *fmt, ...)
{
	size_t room = CONTROL_OUT_SIZE - o->end;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(o->buf + o->end, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		o->overflow = true;
	else
		o->end += (size_t)n;
}

void control_out_json(struct control_out *o, const char *name, json_t *value)
{
	size_t room, n;

	control_out_printf(o, "%s\"%s\":", o->head, name);
	room = CONTROL_OUT_SIZE - o->end;
	n = value ? json_dumpb(value, o->buf + o->end, room, FORM) : 0;
	json_decref(value);
	if (n && n <= room)
		o->end += n;
	else
		o->overflow = true;
	control_out_printf(o, "}\n");
}

void control_out_error(struct control_out *o, int err, const char *text)
{
	const char *code = strerrorname_np(-err);

	control_out_json(
		o, "error",
		json_pack("{s:s, s:o}", "code", code ? code : "EIO", "text", control_text(text)));
}

/* Return: bytes of the character that a string begins with; 0 if it is none. */
static size_t character(const char *s, size_t len)
{
	for (size_t n = 1; n <= UTF8_MAX && n <= len; n++) {
		json_t *one = json_stringn(s, n);

		if (one) {
			json_decref(one);
			return n;
		}
	}
	return 0;
}

/* Byte by byte: names that are not UTF-8 are rare, and short. */
static json_t *replaced(const char *s)
{
	size_t len = strlen(s), n, at = 0;
	char *text = malloc(len * strlen(REPLACEMENT) + 1);
	json_t *json;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i += n ? n : 1) {
		n = character(s + i, len - i);
		if (n)
			at = (size_t)(mempcpy(text + at, s + i, n) - (void *)text);
		else
			at = (size_t)(stpcpy(text + at, REPLACEMENT) - text);
	}
	json = json_stringn(text, at);
	free(text);
	return json;
}

json_t *control_text(const char *s)
{
	json_t *json = json_string(s);

	return json ? json : replaced(s);
}

void control_set_text(json_t *o, const char *name, const char *s)
{
	if (*s)
		json_object_set_new(o, name, control_text(s));
}
