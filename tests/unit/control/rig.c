/* SPDX-License-Identifier: MIT */
/*
 * control/rig.c - a control server on the rig's device, and clients of its sockets
 */
#include "tests/unit/control/rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "state/state.h"

struct control_config control_cfg;
struct control *control;

static const struct state_header kept = {
	.version = 7,
	.survived = 3,
	.outage_ns = 12500000,
	.again = 4,
	.poison = 5,
};

static char run_dir[64], path[96], metrics_path[96];

void control_prepare(void)
{
	rig_setup();
	snprintf(run_dir, sizeof(run_dir), "/tmp/gntdev-control-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(run_dir));
	snprintf(path, sizeof(path), "%s/ctl", run_dir);
	snprintf(metrics_path, sizeof(metrics_path), "%s/metrics", run_dir);
	control_config_init(&control_cfg);
	control_cfg.path = path;
	control_cfg.metrics = metrics_path;
	control_cfg.group = NULL;
	control_cfg.view = (struct control_view){
		.gd = &rig.gd,
		.sim = rig.sim,
		.run_dir = run_dir,
		.state = &kept,
		.since = 1234567890,
		/* Whatever else the machine does: what is asked for is found. */
		.patience = 10 * 60 * 1000,
	};
}

void control_up(void)
{
	char why[256] = "";

	ck_assert_msg(control_start(&control_cfg, &control, why, sizeof(why)) == 0, "%s", why);
}

int control_try(char *why, size_t size)
{
	struct control *c = NULL;
	int err = control_start(&control_cfg, &c, why, size);

	control_stop(c);
	return err;
}

void control_setup(void)
{
	control_prepare();
	control_up();
}

void control_restart(void)
{
	control_stop(control);
	control_up();
}

void control_teardown(void)
{
	control_stop(control);
	ck_assert_int_eq(rmdir(run_dir), 0);
	rig_teardown();
}

static int connect_to(const char *to)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", to);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

int control_connect(void)
{
	return connect_to(path);
}

int control_connect_metrics(void)
{
	return connect_to(metrics_path);
}

void control_say_bytes(int fd, const void *bytes, size_t len)
{
	ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

void control_say(int fd, const char *text)
{
	control_say_bytes(fd, text, strlen(text));
}

/* Lines are long: bytes that came with one are kept for the next of the same connection. */
static struct {
	int fd;
	size_t n;
	size_t taken;
	char buf[CONTROL_OUT_SIZE + 1];
} in = { .fd = -1 };

/* Return: false at the end of the file. */
static bool read_more(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	ck_assert_int_eq(poll(&p, 1, -1), 1);
	ck_assert_uint_lt(in.n, sizeof(in.buf) - 1);
	n = read(fd, in.buf + in.n, sizeof(in.buf) - 1 - in.n);
	if (n <= 0)
		return false;
	in.n += (size_t)n;
	return true;
}

const char *control_line(int fd)
{
	char *end;

	if (in.fd != fd)
		in.n = in.taken = 0;
	in.fd = fd;
	memmove(in.buf, in.buf + in.taken, in.n - in.taken);
	in.n -= in.taken;
	in.taken = 0;
	while (!(end = memchr(in.buf, '\n', in.n)))
		if (!read_more(fd)) {
			ck_assert_uint_eq(in.n, 0);
			in.fd = -1;
			return NULL;
		}
	*end = '\0';
	in.taken = (size_t)(end - in.buf) + 1;
	return in.buf;
}

json_t *control_json(int fd)
{
	const char *line = control_line(fd);
	json_error_t e;
	json_t *o;

	if (!line)
		return NULL;
	o = json_loads(line, JSON_REJECT_DUPLICATES, &e);
	ck_assert_msg(json_is_object(o), "%s in: %s", e.text, line);
	return o;
}

void control_wait_closed(int fd)
{
	char buf[4096];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}

json_t *control_ask_all(int fd, const char *request)
{
	json_t *all = json_pack("{s:[]}", "records"), *o;
	bool end = false;

	control_say(fd, request);
	while (!end) {
		o = control_json(fd);
		ck_assert_ptr_nonnull(o);
		end = json_object_get(o, "end") || json_object_get(o, "error");
		if (end)
			json_object_update(all, o);
		else
			json_array_append(json_object_get(all, "records"), o);
		json_decref(o);
	}
	return all;
}

json_t *control_once(const char *request)
{
	int fd = control_connect();
	json_t *all = control_ask_all(fd, request);

	close(fd);
	return all;
}

unsigned int control_silent_turns(const char *line)
{
	struct control_answer *answer = NULL;
	struct control_out out = { .buf = NULL };
	unsigned int n = 0;

	ck_assert_int_eq(control_out_init(&out), 0);
	ck_assert_int_eq(control_ask(&control_cfg.view, line, strlen(line), &out, &answer),
			 CONTROL_GOES_ON);
	ck_assert_ptr_nonnull(answer);
	while (answer->more(answer, &out) && out.end == out.start)
		if (answer->waiting)
			usleep(1000);
		else
			n++;
	answer->free(answer);
	control_out_free(&out);
	return n;
}

json_t *control_end_of(json_t *all)
{
	json_t *end = json_object_get(all, "end");

	ck_assert_msg(end != NULL, "%s", json_dumps(all, 0));
	return end;
}

const char *control_error(json_t *all, const char *code)
{
	json_t *error = json_object_get(all, "error");

	ck_assert_msg(error != NULL, "no error: %s", json_dumps(all, 0));
	ck_assert_str_eq(json_string_value(json_object_get(error, "code")), code);
	return json_string_value(json_object_get(error, "text"));
}

json_t *control_record(json_t *all, const char *name, size_t i)
{
	json_t *record, *value = NULL;
	size_t k;

	json_array_foreach(json_object_get(all, "records"), k, record) {
		value = json_object_get(record, name);
		if (value && i-- == 0)
			return value;
	}
	ck_abort_msg("no such record %s: %s", name, json_dumps(all, 0));
}

size_t control_count(json_t *all, const char *name)
{
	json_t *record;
	size_t k, n = 0;

	json_array_foreach(json_object_get(all, "records"), k, record)
		n += json_object_get(record, name) != NULL;
	return n;
}

json_int_t control_number_at(json_t *o, const char *where)
{
	char name[64];

	while (*where) {
		size_t n = strcspn(where, ".");

		snprintf(name, sizeof(name), "%.*s", (int)n, where);
		o = json_object_get(o, name);
		where += n + (where[n] == '.');
	}
	ck_assert_msg(json_is_integer(o), "%s", name);
	return json_integer_value(o);
}
