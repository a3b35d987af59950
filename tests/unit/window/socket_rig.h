/* SPDX-License-Identifier: MIT */
/*
 * window/socket_rig.h - a window socket with a device and a window directory of the test's own
 *
 * The device is a double that grants, refuses or keeps each call as it is told, and counts; the
 * window directory is a double that counts what was delivered. A window is a memfd.
 */
#ifndef TEST_WINDOW_SOCKET_RIG_H
#define TEST_WINDOW_SOCKET_RIG_H

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/rcu.h"
#include "tests/unit/descriptors.h"
#include "window/window.h"
#include "window/socket.h"

#define PAGE	  4096UL
#define WINDOW_ID 0x1234567
#define GRANTER	  0x7123
#define UNIQUE	  0x5432
#define MANY	  10000
/* More than the server has slots, and so many that all are served. */
#define CROWD  3500
#define SERVED 1000

static char path[64];
static struct winsock *ws;

/* --- doubles --------------------------------------------------------------------------------- */

/* What the windows' records would say. */
static int sending, sent, delivered;

void window_sending(struct windows *w, uint64_t id, pid_t client)
{
	ck_assert_ptr_null(w);
	ck_assert_uint_eq(id, WINDOW_ID);
	ck_assert_int_eq(client, getpid());
	__atomic_fetch_add(&sending, 1, __ATOMIC_SEQ_CST);
}

void window_sent(struct windows *w, uint64_t id)
{
	ck_assert_ptr_null(w);
	ck_assert_uint_eq(id, WINDOW_ID);
	ck_assert_int_lt(__atomic_fetch_add(&sent, 1, __ATOMIC_SEQ_CST),
			 __atomic_load_n(&sending, __ATOMIC_SEQ_CST));
}

void window_delivered(struct windows *w, uint64_t id, pid_t client)
{
	ck_assert_ptr_null(w);
	ck_assert_uint_eq(id, WINDOW_ID);
	ck_assert_int_eq(client, getpid());
	__atomic_fetch_add(&delivered, 1, __ATOMIC_SEQ_CST);
}

static struct {
	enum { REFUSE, GRANT, KEEP, GRANT_SLOWLY } what;
	int held;     /* until this is 0 all calls wait */
	size_t pages; /* to grant, scattered if more than 5 */
	enum hv_pages kind;
	uid_t uid; /* of the client */
	int begun;
	int calls;
	struct mmap_call *kept;
} device;

static inline int get(const int *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static inline void wait_for(const int *p, int value)
{
	for (int ms = 0; get(p) != value && ms < 8000; ms++)
		usleep(1000);
	ck_assert_int_eq(get(p), value);
}

/* Page 5, 6, 7, then 9, 10: two pieces. Or each page on its own, backwards. */
static inline void grant(struct mmap_call *mc)
{
	static const uint64_t pages[] = { 5, 6, 7, 9, 10 };
	struct hv_grant *g = calloc(device.pages, sizeof(*g));
	int fd = memfd_create("window", MFD_CLOEXEC);

	ck_assert_ptr_nonnull(g);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 64 * PAGE), 0);
	for (size_t i = 0; i < device.pages; i++) {
		g[i].page = device.pages <= 5 ? pages[i] : 2 * (device.pages - i);
		g[i].domid = GRANTER;
	}
	mmap_call_grant(mc, fd, WINDOW_ID, g, device.pages, device.kind);
	free(g);
}

static inline void device_mmap(struct mmap_call *mc, void *arg)
{
	ck_assert_ptr_eq(arg, &device);
	ck_assert_int_eq(mc->pid, getpid());
	ck_assert_uint_eq(mc->uid, device.uid);
	ck_assert_uint_eq(mc->rq.open_id, 77);
	__atomic_fetch_add(&device.begun, 1, __ATOMIC_SEQ_CST);
	if (device.what == GRANT_SLOWLY)
		usleep(200000);
	while (get(&device.held))
		usleep(1000);
	if (device.what == REFUSE)
		mmap_call_refuse(mc, ENXIO);
	else if (device.what == KEEP)
		device.kept = mc;
	else
		grant(mc);
	__atomic_fetch_add(&device.calls, 1, __ATOMIC_SEQ_CST);
}

static inline void setup(void)
{
	const struct rlimit files = { 8192, 8192 };
	const char *why;

	rcu_thread_enter();
	setrlimit(RLIMIT_NOFILE, &files);
	snprintf(path, sizeof(path), "/tmp/test-winsock-%d", (int)getpid());
	memset(&device, 0, sizeof(device));
	device.what = GRANT;
	device.pages = 5;
	device.uid = geteuid();
	ck_assert_int_eq(winsock_new(path, -1, NULL, device_mmap, &device, &ws, &why), 0);
	ck_assert_str_eq(winsock_path(ws), path);
	ck_assert_int_eq(winsock_start(ws), 0);
}

static inline void teardown(void)
{
	winsock_destroy(ws);
	ck_assert_int_eq(access(path, F_OK), -1);
	rcu_thread_leave();
}

/* --- clients --------------------------------------------------------------------------------- */

static inline int client(void)
{
	int fd = try_connect(path);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static inline struct window_request good_request(void)
{
	return (struct window_request){
		.magic = WINDOW_MAGIC,
		.version = WINDOW_VERSION,
		.prot = PROT_READ,
		.flags = MAP_SHARED,
		.open_id = 77,
		.offset = 0x7000,
		.length = 5 * PAGE,
	};
}

static inline void ask(int sock)
{
	struct window_request rq = good_request();

	ck_assert_int_eq(send(sock, &rq, sizeof(rq), MSG_NOSIGNAL), sizeof(rq));
}

union answer {
	struct window_reply reply;
	char buf[WINDOW_REPLY_MAX];
};

/* Receive one message, whenever it comes. Return: its length; 0 at the end; -1. *@fd: -1 if none. */
static inline ssize_t receive(int sock, union answer *a, int *fd)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { a, sizeof(*a) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct pollfd p = { .fd = sock, .events = POLLIN };
	ssize_t n;

	*fd = -1;
	ck_assert_int_eq(poll(&p, 1, -1), 1);
	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	if (n > 0 && CMSG_FIRSTHDR(&msg))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*fd));
	return n;
}

/* Whose pages the answer is about. */
static inline void assert_kind(const struct window_reply *reply)
{
	const bool frames = device.kind == HV_PAGES_FRAMES;

	ck_assert_uint_eq(reply->kind, frames ? WINDOW_FRAMES : WINDOW_FILE);
	ck_assert_uint_eq(reply->domid, frames ? GRANTER : 0);
}

static inline void expect_refusal(int sock, int error)
{
	union answer a;
	int fd;

	ck_assert_int_eq(receive(sock, &a, &fd), sizeof(a.reply));
	ck_assert_int_eq(fd, -1);
	ck_assert_uint_eq(a.reply.magic, WINDOW_MAGIC);
	ck_assert_int_eq(a.reply.error, error);
	ck_assert_uint_eq(a.reply.pieces, 0);
	ck_assert_uint_eq(a.reply.kind, 0);
	ck_assert_uint_eq(a.reply.domid, 0);
	ck_assert_int_eq(receive(sock, &a, &fd), 0);
}

static inline void expect_window(int sock)
{
	static const struct window_piece pieces[] = { { 5 * PAGE, 3 * PAGE },
						      { 9 * PAGE, 2 * PAGE } };
	union answer a;
	struct stat st;
	int fd;

	ck_assert_int_eq(receive(sock, &a, &fd), sizeof(a.reply) + sizeof(pieces));
	ck_assert_uint_eq(a.reply.magic, WINDOW_MAGIC);
	ck_assert_int_eq(a.reply.error, 0);
	ck_assert_uint_eq(a.reply.pieces, 2);
	ck_assert_uint_eq(a.reply.here, 2);
	assert_kind(&a.reply);
	ck_assert_int_eq(memcmp(a.reply.piece, pieces, sizeof(pieces)), 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 64 * PAGE);
	close(fd);
}

/* One of MANY pieces, taken slowly. */
static inline void expect_many(int sock)
{
	uint32_t got = 0;
	union answer a;
	int fd;

	while (got < MANY) {
		ck_assert_int_gt(receive(sock, &a, &fd), sizeof(a.reply));
		ck_assert_int_eq(fd >= 0, got == 0);
		if (fd >= 0)
			close(fd);
		ck_assert_uint_eq(a.reply.pieces, MANY);
		assert_kind(&a.reply);
		ck_assert_uint_le(a.reply.here, WINDOW_PIECES_PER_MESSAGE);
		for (uint32_t i = 0; i < a.reply.here; i++, got++) {
			ck_assert_uint_eq(a.reply.piece[i].offset, 2 * PAGE * (MANY - got));
			ck_assert_uint_eq(a.reply.piece[i].length, PAGE);
		}
		usleep(5000);
	}
	ck_assert_uint_eq(got, MANY);
}

static inline int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- requests that are none ------------------------------------------------------------------ */

static const struct {
	size_t at;
	uint64_t value;
	int size;
	int error;
} bad[] = {
#define BAD(field, value, error)                                           \
	{                                                                  \
		offsetof(struct window_request, field), value,             \
			sizeof(((struct window_request *)0)->field), error \
	}
	BAD(magic, 0, ENODEV),
	BAD(magic, WINDOW_MAGIC + 1, ENODEV),
	BAD(version, 0, ENODEV),
	BAD(version, WINDOW_VERSION + 1, ENODEV),
	BAD(again, 2, EINVAL),
	BAD(offset, 1, EINVAL),
	BAD(offset, 0x7800, EINVAL),
	BAD(offset, -4096ULL, EINVAL),
	BAD(offset, UINT64_MAX - 0x3fff, EINVAL),
	BAD(length, 0, EINVAL),
	BAD(length, 4095, EINVAL),
	BAD(length, -4096ULL, EINVAL),
};
#define N_BAD ((int)(sizeof(bad) / sizeof(bad[0])))

static inline struct window_request bad_request(int i)
{
	struct window_request rq = good_request();

	memcpy((char *)&rq + bad[i].at, &bad[i].value, (size_t)bad[i].size);
	return rq;
}

/* --- the end of connections -------------------------------------------------------------------- */

/*
 * The server has closed all that it has accepted. Who is still in the queue of the listening socket
 * counts for nothing, and for one when it is accepted: that is over when a last one is answered. That
 * a client has gone is to be seen, not waited out.
 */
static inline void wait_descriptors(int n)
{
	struct window_request rq = bad_request(0);
	int sock = client();
	int64_t end;
	int have;

	ck_assert_int_eq(send(sock, &rq, sizeof(rq), MSG_NOSIGNAL), sizeof(rq));
	expect_refusal(sock, bad[0].error);
	close(sock);
	end = now_ms() + WINSOCK_TIMEOUT_MS / 2;
	while ((have = open_descriptors()) != n && now_ms() < end)
		usleep(1000);
	ck_assert_int_eq(have, n);
}

#endif /* TEST_WINDOW_SOCKET_RIG_H */
