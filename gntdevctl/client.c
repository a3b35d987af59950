/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/client.c - the client's side of docs/control.md
 */
#include "gntdevctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "gntdevctl/text.h"

static int fail(struct ctl_client *c, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct ctl_client *c, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	c->status = status;
	return status;
}

static int denied(struct ctl_client *c, const char *who, const char *what)
{
	return fail(
		c, CTL_DENIED,
		"%s: %s: root and members of group xen-gnt may ask (usermod -aG xen-gnt USER, then "
		"log in anew)",
		who, what);
}

static int cannot_connect(struct ctl_client *c, const char *path, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return fail(
			c, CTL_UNREACHABLE,
			"no daemon listens on %s: is it running? See: systemctl status " CTL_UNIT
			" (for another device or run directory: --name, --run-dir)",
			path);
	case EAGAIN:
		return fail(c, CTL_UNREACHABLE,
			    "%s: the daemon has not answered for %d s: it hangs", path,
			    CTL_PATIENCE_MS / 1000);
	case EACCES:
	case EPERM:
		return denied(c, path, "no permission");
	default:
		return fail(c, CTL_UNREACHABLE, "cannot connect to %s: %s", path, strerror(error));
	}
}

int ctl_open(struct ctl_client *c, const char *path)
{
	const struct timeval patience = { .tv_sec = CTL_PATIENCE_MS / 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memset(c, 0, sizeof(*c));
	c->fd = -1;
	if (strlen(path) >= sizeof(addr.sun_path))
		return fail(c, CTL_USAGE, "%s: longer than a socket's path can be (%zu bytes)",
			    path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return fail(c, CTL_FAILED, "socket: %s", strerror(errno));
	/* It is for connect(), too, which waits where a daemon that hangs has its queue full. */
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)))
		return cannot_connect(c, path, errno);
	return 0;
}

void ctl_close(struct ctl_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->buf);
	c->buf = NULL;
	json_decref(c->line);
	c->line = NULL;
}

json_t *ctl_request(const char *what)
{
	json_t *r = json_pack("{s:i, s:s}", "v", 1, "do", what);

	if (!r)
		exit(ctl_error(CTL_FAILED, "no memory"));
	return r;
}

void ctl_set(json_t *request, const char *key, json_t *value)
{
	if (json_object_set_new(request, key, value))
		exit(ctl_error(CTL_FAILED, "no memory"));
}

/*
 * A daemon that refuses us says so in a line and closes: then there is no sending, but an answer to
 * read. So a closed connection is no error here.
 */
static int send_all(struct ctl_client *c, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (k < 0)
			return fail(c, CTL_UNREACHABLE, "cannot ask the daemon: %s",
				    strerror(errno));
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int ctl_ask(struct ctl_client *c, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	int n = text ? asprintf(&line, "%s\n", text) : -1;
	int status = n < 0 ? fail(c, CTL_FAILED, "no memory") : send_all(c, line, (size_t)n);

	json_decref(request);
	free(text);
	if (n >= 0)
		free(line);
	return status;
}

static int room_for_more(struct ctl_client *c)
{
	size_t size = c->size ? 2 * c->size : 65536;
	char *buf;

	if (c->from) {
		memmove(c->buf, c->buf + c->from, c->to - c->from);
		c->to -= c->from;
		c->from = 0;
	}
	if (c->to < c->size)
		return 0;
	if (size > CTL_LINE_MAX)
		return fail(c, CTL_FAILED, "the daemon sends a line without end");
	buf = realloc(c->buf, size);
	if (!buf)
		return fail(c, CTL_FAILED, "no memory");
	c->buf = buf;
	c->size = size;
	return 0;
}

static enum ctl_answer receive(struct ctl_client *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	ssize_t n;
	int k = poll(&p, 1, timeout_ms);

	/* A terminal whose size has changed, say, is no reason to give up. */
	if (k < 0 && errno == EINTR && !ctl_stop)
		return CTL_RECORD;
	if (k == 0 || (k < 0 && errno == EINTR))
		return CTL_TIMEOUT;
	if (room_for_more(c))
		return CTL_BROKEN;
	n = recv(c->fd, c->buf + c->to, c->size - c->to, 0);
	if (n < 0 && errno == EINTR)
		return CTL_TIMEOUT;
	if (n < 0) {
		fail(c, CTL_UNREACHABLE, "the daemon's answer: %s", strerror(errno));
		return CTL_BROKEN;
	}
	if (n == 0) {
		fail(c, CTL_UNREACHABLE,
		     "the daemon has closed the connection in the middle of its answer; has it "
		     "ended? "
		     "See: systemctl status " CTL_UNIT);
		return CTL_BROKEN;
	}
	c->to += (size_t)n;
	return CTL_RECORD;
}

/* The daemon has refused. */
static enum ctl_answer refused(struct ctl_client *c, const json_t *error)
{
	const char *text = ctl_string(error, "text");

	snprintf(c->code, sizeof(c->code), "%s", ctl_string(error, "code"));
	if (!strcmp(c->code, "EPERM"))
		denied(c, "the daemon refuses", text);
	else if (!strcmp(c->code, "ENOENT"))
		fail(c, CTL_BAD, "%s", text);
	else if (!strcmp(c->code, "EBUSY"))
		fail(c, CTL_UNREACHABLE, "the daemon has too many connections: %s", text);
	else
		fail(c, CTL_FAILED, "the daemon refuses (%s): %s", c->code, text);
	return CTL_BROKEN;
}

static enum ctl_answer nonsense(struct ctl_client *c, const char *what)
{
	fail(c, CTL_FAILED, "the daemon's answer is %s; is it of another version?", what);
	return CTL_BROKEN;
}

/* What a line says: its one member besides "id". */
static enum ctl_answer understand(struct ctl_client *c, struct ctl_record *r)
{
	const char *key;
	json_t *value;

	json_decref(c->line);
	c->line = json_loadb(r->text, r->size, 0, NULL);
	if (!json_is_object(c->line))
		return nonsense(c, "no JSON object");
	r->name = NULL;
	json_object_foreach(c->line, key, value) {
		if (!strcmp(key, "id"))
			continue;
		if (r->name)
			return nonsense(c, "of a form that this gntdevctl does not know");
		r->name = key;
		r->value = value;
	}
	if (!r->name)
		return nonsense(c, "empty");
	if (!strcmp(r->name, "error"))
		return refused(c, r->value);
	if (strcmp(r->name, "end") != 0)
		return CTL_RECORD;
	return json_is_object(r->value) ? CTL_END : nonsense(c, "without a proper end");
}

enum ctl_answer ctl_next(struct ctl_client *c, struct ctl_record *r, int timeout_ms)
{
	size_t seen = 0;

	for (;;) {
		char *end = c->to - c->from > seen
				    ? memchr(c->buf + c->from + seen, '\n', c->to - c->from - seen)
				    : NULL;
		enum ctl_answer got;

		if (end) {
			r->text = c->buf + c->from;
			r->size = (size_t)(end - r->text);
			c->from += r->size + 1;
			return understand(c, r);
		}
		seen = c->to - c->from;
		got = receive(c, timeout_ms);
		if (got != CTL_RECORD)
			return got;
	}
}

/* A silent daemon is an error here, a signal is not. */
static int answer_ended(struct ctl_client *c, enum ctl_answer a)
{
	if (a == CTL_BROKEN)
		return c->status;
	if (a == CTL_TIMEOUT && !ctl_stop)
		return fail(c, CTL_UNREACHABLE, "the daemon has not answered for %d s",
			    CTL_PATIENCE_MS / 1000);
	return 0;
}

int ctl_each(struct ctl_client *c, json_t *request, ctl_record_fn fn, void *arg, json_t **end)
{
	int status = ctl_ask(c, request);
	struct ctl_record r;
	enum ctl_answer a;

	if (end)
		*end = NULL;
	if (status)
		return status;
	while ((a = ctl_next(c, &r, CTL_PATIENCE_MS)) == CTL_RECORD)
		if (fn && !fn(&r, arg))
			return 0;
	if (a == CTL_END && end)
		*end = json_incref(r.value);
	return answer_ended(c, a);
}

int ctl_connect(const struct ctl *ctl, struct ctl_client *c)
{
	char path[512];
	int status = ctl_socket_path(ctl, path, sizeof(path));

	if (status) {
		memset(c, 0, sizeof(*c));
		c->fd = -1;
		return status;
	}
	return ctl_open(c, path) ? ctl_error(c->status, "%s", c->why) : 0;
}

int ctl_query(const struct ctl *ctl, json_t *request, ctl_record_fn fn, void *arg, json_t **end)
{
	struct ctl_client c;
	int status = ctl_connect(ctl, &c);

	*end = NULL;
	if (status) {
		json_decref(request);
		return status;
	}
	status = ctl_each(&c, request, fn, arg, end);
	if (status)
		ctl_error(status, "%s", c.why);
	ctl_close(&c);
	return status;
}

int ctl_query_object(const struct ctl *ctl, const char *what, void (*print)(const json_t *end))
{
	json_t *end;
	int status = ctl_query(ctl, ctl_request(what), NULL, NULL, &end);

	if (end && ctl->json)
		ctl_print_object(end);
	else if (end)
		print(end);
	json_decref(end);
	return status;
}

/*
 * JSON needs no escapes for what is not ASCII, and some of that controls terminals. So what is not
 * plain is written anew, with escapes.
 */
bool ctl_print_record(const struct ctl_record *r)
{
	bool plain = true;
	json_t *o;

	for (size_t i = 0; i < r->size && plain; i++)
		plain = r->text[i] >= ' ' && r->text[i] <= '~';
	if (plain) {
		fwrite(r->text, 1, r->size, stdout);
		putchar('\n');
		return !ferror(stdout);
	}
	o = json_pack("{s:O}", r->name, r->value);
	json_dumpf(o, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(o);
	putchar('\n');
	return !ferror(stdout);
}

void ctl_print_object(const json_t *object)
{
	json_dumpf(object, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
}

const char *ctl_string(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

long long ctl_integer(const json_t *object, const char *key, long long other)
{
	const json_t *v = json_object_get(object, key);

	return json_is_integer(v) ? json_integer_value(v) : other;
}

double ctl_real(const json_t *object, const char *key, double other)
{
	const json_t *v = json_object_get(object, key);

	return json_is_number(v) ? json_number_value(v) : other;
}
