/* SPDX-License-Identifier: MIT */
/*
 * control/conn.c - one connection of the control socket, or of that for metrics
 *
 * Descriptors that come with what is sent are closed by the kernel, when it is received or when the connection
 * is closed. That may take as long as the sender likes (a TCP socket that lingers), and is cut short: base/wake.h.
 */
#include "control/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/stats.h"
#include "base/log.h"
#include "base/wake.h"

/* When an answer that has nothing now is continued, ms: who traces sees events that much later. */
#define PAUSE_MS 20

int control_conn_start(struct control_conn *c, int fd, enum control_kind kind,
		       struct control_view *view, const struct control_limits *limits, uint64_t now)
{
	*c = (struct control_conn){
		.fd = fd, .kind = kind, .view = view, .limits = limits, .since = now
	};
	if (!control_out_init(&c->out))
		return 0;
	control_conn_close(c);
	return -ENOMEM;
}

static void forget_answer(struct control_conn *c)
{
	if (c->answer)
		c->answer->free(c->answer);
	c->answer = NULL;
}

void control_conn_close(struct control_conn *c)
{
	forget_answer(c);
	control_out_free(&c->out);
	wake_often(true);
	close(c->fd);
	wake_often(false);
	c->fd = -1;
}

static size_t unsent(const struct control_conn *c)
{
	return c->out.end - c->out.start;
}

static bool has_room(const struct control_conn *c)
{
	return CONTROL_OUT_SIZE - unsent(c) >= CONTROL_OUT_STEP;
}

/* --- HTTP --------------------------------------------------------------------------------------- */

static void http_answer(struct control_conn *c, const char *status, const char *type,
			const char *text, size_t len)
{
	control_out_printf(&c->out,
			   "HTTP/1.0 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			   "Connection: close\r\n\r\n%s",
			   status, type, len, text);
	c->closing = true;
}

static void http_refuse(struct control_conn *c, const char *status, const char *text)
{
	http_answer(c, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void http_get(struct control_conn *c)
{
	size_t len;
	char *text;

	if (strncmp(c->in, "GET ", 4) != 0) {
		http_refuse(c, "405 Method Not Allowed", "only GET is known here\n");
		return;
	}
	text = metrics_text(c->view, &len);
	if (text)
		http_answer(c, "200 OK", "text/plain; version=0.0.4; charset=utf-8", text, len);
	else
		http_refuse(c, "503 Service Unavailable", "out of memory\n");
	free(text);
}

/* The first line is a method, a path and a version. */
static bool http_is_request(const struct control_conn *c)
{
	const char *end = memchr(c->in, '\n', c->n_in);
	size_t line = end ? (size_t)(end - c->in) : c->n_in;
	size_t method = strspn(c->in, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return method && c->in[method] == ' ' && memmem(c->in, line, " HTTP/1.", 8);
}

/* All of the request is read before it is answered; what it asks for besides is ignored. */
static void http_take(struct control_conn *c, const char *buf, size_t n)
{
	size_t keep = sizeof(c->in) - 1 - c->n_in;

	keep = n < keep ? n : keep;
	memcpy(c->in + c->n_in, buf, keep);
	c->n_in += keep;
	c->in[c->n_in] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (++c->n_http > CONTROL_HTTP_MAX) {
			http_refuse(c, "400 Bad Request", "the request is too long\n");
			return;
		}
		if (buf[i] == '\n' && !c->http_line) {
			if (http_is_request(c))
				http_get(c);
			else
				http_refuse(c, "400 Bad Request", "this is no HTTP request\n");
			return;
		}
		if (buf[i] == '\n')
			c->http_line = 0;
		else
			c->http_line += buf[i] != '\r';
	}
}

/* --- lines -------------------------------------------------------------------------------------- */

void control_conn_refuse(struct control_conn *c, int err, const char *text)
{
	if (c->kind == CONTROL_HTTP) {
		http_refuse(c, err == -EPERM ? "403 Forbidden" : "503 Service Unavailable", text);
		return;
	}
	control_out_error(&c->out, err, text);
	c->closing = true;
}

/* Answer the next line, if there is a whole one, or first end what it ends. Return: whether there was. */
static bool take_line(struct control_conn *c)
{
	char *end = memchr(c->in, '\n', c->n_in);
	enum control_next next;
	size_t len;

	if (!end && c->n_in < sizeof(c->in))
		return false;
	control_out_room(&c->out);
	if (c->answer) {
		control_end(c->answer, &c->out);
		c->answer = NULL;
		return true;
	}
	if (!end) {
		control_out_id(&c->out, NULL);
		control_conn_refuse(c, -EPROTO, "the line is longer than 4096 bytes");
		return true;
	}
	len = (size_t)(end - c->in);
	next = control_ask(c->view, c->in, len, &c->out, &c->answer);
	c->closing |= next == CONTROL_CLOSES;
	c->n_in -= len + 1;
	memmove(c->in, end + 1, c->n_in);
	return true;
}

/* A line is taken when nothing is under way that has an end. */
static bool wants_line(const struct control_conn *c)
{
	return !c->closing && has_room(c) && (!c->answer || c->answer->endless);
}

/* One step. Return: whether anything was done. */
static bool go_on(struct control_conn *c)
{
	if (c->kind == CONTROL_HTTP || c->closing)
		return false;
	if (wants_line(c) && take_line(c))
		return true;
	if (!c->answer || !has_room(c))
		return false;
	control_out_room(&c->out);
	if (!c->answer->more(c->answer, &c->out))
		forget_answer(c);
	return true;
}

/* --- turns -------------------------------------------------------------------------------------- */

/* Return: false if the connection is dead. */
static bool receive(struct control_conn *c, uint64_t now)
{
	char buf[CONTROL_LINE_MAX];
	size_t room = c->kind == CONTROL_HTTP ? sizeof(buf) : sizeof(c->in) - c->n_in;
	ssize_t n;

	wake_often(true);
	n = recv(c->fd, buf, room, MSG_DONTWAIT);
	wake_often(false);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		c->eof = true;
		return true;
	}
	/* All of a GET has one time limit, and who is to take an answer is asked for that. */
	if (c->kind == CONTROL_HTTP) {
		http_take(c, buf, (size_t)n);
		return true;
	}
	if (!unsent(c))
		c->since = now;
	memcpy(c->in + c->n_in, buf, (size_t)n);
	c->n_in += (size_t)n;
	return true;
}

/* Return: false if the connection is dead. */
static bool transmit(struct control_conn *c, uint64_t now)
{
	ssize_t n;

	if (!unsent(c))
		return true;
	n = send(c->fd, c->out.buf + c->out.start, unsent(c), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->out.start += (size_t)n;
	c->since = now;
	return true;
}

/* Whether it has all it wanted: there is nothing to be sent, and no more to be asked. */
static bool is_finished(const struct control_conn *c)
{
	if (unsent(c))
		return false;
	return c->closing || (c->eof && !c->answer && !memchr(c->in, '\n', c->n_in));
}

static bool wants_input(const struct control_conn *c)
{
	return !c->eof && !c->closing && c->n_in < sizeof(c->in) &&
	       (!c->answer || c->answer->endless);
}

short control_conn_events(const struct control_conn *c)
{
	return (short)((wants_input(c) ? POLLIN : 0) | (unsent(c) ? POLLOUT : 0));
}

/* Its time limit, ms after @since; 0: none. */
static uint64_t limit_of(const struct control_conn *c)
{
	if (unsent(c) || c->closing)
		return c->limits->stall;
	if (c->answer)
		return c->answer->endless ? 0 : c->limits->stall;
	return c->kind == CONTROL_HTTP ? c->limits->http : c->limits->silent;
}

/* Whether go_on() would do something now. */
static bool is_ready(const struct control_conn *c)
{
	if (c->kind == CONTROL_HTTP || c->closing || !has_room(c))
		return false;
	if (c->answer && !c->answer->endless)
		return !c->answer->waiting;
	return c->n_in == sizeof(c->in) || memchr(c->in, '\n', c->n_in);
}

uint64_t control_conn_wait(const struct control_conn *c, uint64_t now)
{
	uint64_t limit = limit_of(c), end = c->since + limit;
	uint64_t left = !limit ? UINT64_MAX : end > now ? end - now : 0;

	if (is_ready(c))
		return 0;
	return c->answer && has_room(c) && left > PAUSE_MS ? PAUSE_MS : left;
}

static bool is_late(const struct control_conn *c, uint64_t now)
{
	uint64_t limit = limit_of(c);

	return limit && now >= c->since + limit;
}

void control_conn_turn(struct control_conn *c, short revents, uint64_t now)
{
	bool alive = !(revents & POLLERR);

	if (alive && (revents & (POLLIN | POLLHUP)) && wants_input(c))
		alive = receive(c, now);
	if (alive) {
		go_on(c);
		alive = transmit(c, now);
	}
	/* Both directions are shut: nobody will take what is left. */
	if (alive && (revents & POLLHUP) && (!wants_input(c) || c->eof))
		alive = false;
	if (c->out.overflow) {
		log_err("an answer on the control socket did not fit its buffer");
		alive = false;
	}
	if (!alive || is_finished(c) || is_late(c, now))
		control_conn_close(c);
}
