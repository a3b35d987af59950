/* SPDX-License-Identifier: MIT */
/*
 * fuzz_control.c - any bytes on the control socket, or on that for metrics
 *
 * The first byte says on which, and in how large pieces the rest comes. It goes through a real connection
 * (control/conn.c) by a pair of sockets, to a device that has opens, maps in all phases and failures. What is
 * held against the server: each line it says is JSON, an object with one member besides the id; an answer
 * over HTTP begins like one; its buffer is never too small; a client that has gone leaves no connection.
 *
 * No input is left out. What is not the real thing: the look through /proc for holders, which takes too
 * long; the window server, which is not asked for anything but its path and places.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rcu.h"
#include "control/conn.h"
#include "control/holders.h"
#include "report/failure.h"
#include "device/gntdev.h"
#include "sim/sim.h"
#include "state/record.h"
#include "tests/unit/place.h"
#include "window/window.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool ok)
{
	if (!ok)
		abort();
}

/* --- what is not the real thing ----------------------------------------------------------------- */

struct control_holders {
	struct control_holder one;
};

struct control_holders *control_holders_start(void)
{
	static struct control_holders h = { .one = { .pid = 1, .comm = "in\xfft" } };

	return &h;
}

bool control_holders_done(struct control_holders *h)
{
	(void)h;
	return true;
}

const struct control_holder *control_holders_list(const struct control_holders *h, size_t *n)
{
	*n = 1;
	return &h->one;
}

void control_holders_put(struct control_holders *h)
{
	(void)h;
}

const char *winsock_path(const struct winsock *ws)
{
	(void)ws;
	return "/run/x.sock";
}

void winsock_path_for(struct winsock *ws, uid_t uid, pid_t tid, char path[WINSOCK_PATH])
{
	(void)uid;
	(void)tid;
	strncpy(path, winsock_path(ws), WINSOCK_PATH - 1);
}

void winsock_slots(struct winsock *ws, unsigned int *slots, unsigned int *used)
{
	(void)ws;
	*slots = 512;
	*used = 3;
}

int winsock_adopt(struct winsock *ws, int fd, pid_t pid, uid_t uid, const struct window_request *rq,
		  uint64_t unique)
{
	(void)ws;
	(void)fd;
	(void)pid;
	(void)uid;
	(void)rq;
	(void)unique;
	abort();
}

void mmap_call_refuse(struct mmap_call *mc, int error)
{
	(void)mc;
	(void)error;
	abort();
}

void mmap_call_grant(struct mmap_call *mc, int fd, uint64_t window, const struct hv_grant *g,
		     size_t n, enum hv_pages kind)
{
	(void)mc;
	(void)fd;
	(void)window;
	(void)g;
	(void)n;
	(void)kind;
	abort();
}

/* --- the device --------------------------------------------------------------------------------- */

static struct gntdev gd;
static struct control_view view = { .gd = &gd, .run_dir = "/run/x", .since = 1 };
static uint64_t first_open;

static void request_answered(struct request *rq, int result, const void *out, size_t len)
{
	(void)rq;
	(void)out;
	(void)len;
	demand(!result);
}

static bool request_waiting(struct request *rq)
{
	(void)rq;
	return true;
}

static const struct request_ops ops = { .done = request_answered, .waiting = request_waiting };

static void do_ioctl(uint64_t fh, uint32_t cmd, void *arg)
{
	static uint64_t unique;
	uint64_t progress = 0, ends = 0;
	struct request rq = {
		.ops = &ops,
		.fh = fh,
		.arg = (uintptr_t)arg,
		.unique = unique += 2,
		.progress = &progress,
		.ends = &ends,
		.cmd = cmd,
		.tid = gettid(),
	};

	gd.dev.ioctl(&gd.dev, &rq);
	if (ends && gd.dev.ended)
		gd.dev.ended(&gd.dev, ends);
}

static uint64_t make_map(uint64_t fh, uint16_t domid)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1, .refs = { { domid, 8 } } };

	do_ioctl(fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op);
	return op.index;
}

/* Something to be traced. */
static void make_event(void)
{
	uint64_t index = make_map(first_open, 5);
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = 1 };

	do_ioctl(first_open, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op);
}

/* The grants of no map are mapped: these only look like it. */
static void set_phase(uint64_t fh, uint64_t index, enum map_phase phase)
{
	struct map *m;

	rcu_read_enter();
	m = map_find(open_get(gd.table, fh), index >> ABI_PAGE_SHIFT, 0);
	if (phase > MAP_FRESH)
		map_claim(m);
	if (phase > MAP_MAPPING)
		map_settle(m, phase != MAP_UNUSABLE);
	if (phase >= MAP_RELEASING)
		map_release_begin(m);
	if (phase == MAP_RELEASED)
		map_release_end(m);
	rcu_read_leave();
}

static void fill_device(void)
{
	const struct opener by = { .tid = gettid() };
	struct failure f = failure_of(WHY_GRANT, TRACE_MMAP, getpid(), EINVAL);
	uint64_t fh;

	for (uint16_t i = 0; i < 4; i++) {
		demand(!gd.dev.open(&gd.dev, &by, O_RDWR, &fh));
		first_open = i ? first_open : fh;
		for (int phase = MAP_FRESH; phase <= MAP_RELEASED; phase++)
			set_phase(fh, make_map(fh, i), (enum map_phase)phase);
	}
	f.status = GNTST_bad_gntref;
	f.domid = 3;
	f.ref = 8;
	f.rule = "a \"rule\"";
	failure_report(&f, "text with \xff and \"quotes\"");
}

/* Once. */
static void set_up(void)
{
	char dir[64], path[96];
	struct sim_config sc = { .memory_pages = 64 };
	struct sim *sim;
	const char *why;

	if (gd.table)
		return;
	rcu_thread_enter();
	snprintf(dir, sizeof(dir), "%s/gntdev-fuzz-XXXXXX", test_place());
	demand(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/windows", dir);
	demand(!windows_new(path, NULL, &gd.windows, &why));
	sc.dirfd = windows_dirfd(gd.windows);
	demand(!sim_new(&sc, &sim, &why));
	view.sim = sim;
	/* Nobody looks at them by name. */
	rmdir(path);
	rmdir(dir);
	gntdev_init(&gd);
	gd.dev.name = "xen/gntdev";
	gd.hv = sim_hypervisor(sim);
	gd.table = table_new();
	gd.policy = policy_default();
	gd.quota = quota_new();
	demand(!records_new(1 << 16, &gd.records));
	gd.limit = GNTDEV_LIMIT_DEFAULT;
	fill_device();
}

/* --- the client --------------------------------------------------------------------------------- */

/* What the server has said and that has not been looked at yet. */
static char said[2 * CONTROL_OUT_SIZE];
static size_t n_said;

static void check_line(const char *line, size_t len)
{
	json_error_t e;
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);

	demand(json_is_object(o));
	demand(json_object_size(o) == 1 + (json_object_get(o, "id") != NULL));
	json_decref(o);
}

static void check_lines(void)
{
	char *end;

	while ((end = memchr(said, '\n', n_said))) {
		check_line(said, (size_t)(end - said));
		n_said -= (size_t)(end - said) + 1;
		memmove(said, end + 1, n_said);
	}
}

static void listen_to(int fd, enum control_kind kind)
{
	ssize_t n = recv(fd, said + n_said, sizeof(said) - n_said, MSG_DONTWAIT);

	if (n <= 0)
		return;
	n_said += (size_t)n;
	if (kind == CONTROL_LINES) {
		check_lines();
		return;
	}
	demand(n_said < 9 || !memcmp(said, "HTTP/1.0 ", 9));
}

/* One turn of the server. */
static void turn(struct control_conn *c, uint64_t *now)
{
	struct pollfd p = { .fd = c->fd, .events = control_conn_events(c) };

	poll(&p, 1, 0);
	control_conn_turn(c, p.revents, ++*now);
	demand(!c->out.overflow);
}

/* Turns that a server needs at most for the longest answer here, and to see that a client has gone. */
#define TURNS 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct control_limits limits = { 1000000, 1000000, 1000000 };
	enum control_kind kind = size && *data & 1 ? CONTROL_HTTP : CONTROL_LINES;
	size_t piece = size ? 1 + (size_t)*data / 2 * 16 : 1;
	struct control_conn c;
	uint64_t now = 1;
	int pair[2], i;

	set_up();
	n_said = 0;
	demand(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
	demand(!control_conn_start(&c, pair[0], kind, &view, &limits, now));
	for (size_t at = 1; at < size && c.fd >= 0; turn(&c, &now)) {
		ssize_t n = send(pair[1], data + at, piece < size - at ? piece : size - at,
				 MSG_NOSIGNAL);

		at += n > 0 ? (size_t)n : 0;
		if (view.tracers)
			make_event();
		listen_to(pair[1], kind);
	}
	shutdown(pair[1], SHUT_WR);
	for (i = 0; i < TURNS && c.fd >= 0; i++) {
		turn(&c, &now);
		listen_to(pair[1], kind);
	}
	listen_to(pair[1], kind);
	demand(c.fd < 0 || view.tracers || memchr(c.in, '\n', c.n_in));
	demand(c.fd >= 0 || kind == CONTROL_HTTP || !n_said);
	close(pair[1]);
	for (i = 0; i < TURNS && c.fd >= 0; i++)
		turn(&c, &now);
	demand(c.fd < 0 && !view.tracers);
	return 0;
}
