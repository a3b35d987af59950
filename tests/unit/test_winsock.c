/* SPDX-License-Identifier: MIT */
/*
 * test_winsock.c - the window socket, with well-behaved and other clients
 *
 * The device is a double that grants, refuses or keeps each call as it is told, and counts; the
 * window directory is a double that counts what was delivered. A window is a memfd.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "table.h"
#include "window.h"
#include "winsock.h"

#define PAGE	  4096UL
#define WINDOW_ID 0x1234567
#define GRANTER	  0x7123
#define MANY	  10000
/* More than the server has slots. */
#define CROWD 1000

static char path[64];
static struct winsock *ws;

/* --- doubles --------------------------------------------------------------------------------- */

static int delivered;

void window_delivered(struct windows *w, uint64_t id, pid_t client)
{
	ck_assert_ptr_null(w);
	ck_assert_uint_eq(id, WINDOW_ID);
	ck_assert_int_eq(client, getpid());
	__atomic_fetch_add(&delivered, 1, __ATOMIC_SEQ_CST);
}

static struct {
	enum { REFUSE, GRANT, KEEP } what;
	size_t pages; /* to grant, scattered if more than 5 */
	enum hv_pages kind;
	uid_t uid; /* of the client */
	int calls;
	struct mmap_call *kept;
} device;

static int get(const int *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void wait_for(const int *p, int value)
{
	for (int ms = 0; get(p) != value && ms < 8000; ms++)
		usleep(1000);
	ck_assert_int_eq(get(p), value);
}

/* Page 5, 6, 7, then 9, 10: two pieces. Or each page on its own, backwards. */
static void grant(struct mmap_call *mc)
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

static void device_mmap(struct mmap_call *mc, void *arg)
{
	ck_assert_ptr_eq(arg, &device);
	ck_assert_int_eq(mc->pid, getpid());
	ck_assert_uint_eq(mc->uid, device.uid);
	ck_assert_uint_eq(mc->rq.open_id, 77);
	if (device.what == REFUSE)
		mmap_call_refuse(mc, ENXIO);
	else if (device.what == GRANT)
		grant(mc);
	else
		device.kept = mc;
	__atomic_fetch_add(&device.calls, 1, __ATOMIC_SEQ_CST);
}

static void setup(void)
{
	const struct rlimit files = { 4096, 4096 };
	const char *why;

	table_thread_enter();
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

static void teardown(void)
{
	winsock_destroy(ws);
	ck_assert_int_eq(access(path, F_OK), -1);
	table_thread_leave();
}

/* --- clients --------------------------------------------------------------------------------- */

static int try_connect(const char *to)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", to);
	if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -errno;
}

static int client(void)
{
	int fd = try_connect(path);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static struct window_request good_request(void)
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

static void ask(int sock)
{
	struct window_request rq = good_request();

	ck_assert_int_eq(send(sock, &rq, sizeof(rq), MSG_NOSIGNAL), sizeof(rq));
}

union answer {
	struct window_reply reply;
	char buf[WINDOW_REPLY_MAX];
};

/* Receive one message, at most 6 s later. Return: its length; 0 at the end; -1. *@fd: -1 if none. */
static ssize_t receive(int sock, union answer *a, int *fd)
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
	ck_assert_int_eq(poll(&p, 1, 6000 + WINSOCK_TIMEOUT_MS), 1);
	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	if (n > 0 && CMSG_FIRSTHDR(&msg))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*fd));
	return n;
}

/* Whose pages the answer is about. */
static void assert_kind(const struct window_reply *reply)
{
	const bool frames = device.kind == HV_PAGES_FRAMES;

	ck_assert_uint_eq(reply->kind, frames ? WINDOW_FRAMES : WINDOW_FILE);
	ck_assert_uint_eq(reply->domid, frames ? GRANTER : 0);
}

static void expect_refusal(int sock, int error)
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

static void expect_window(int sock)
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

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void wait_descriptors(int n)
{
	for (int ms = 0; open_descriptors() != n && ms < 2000; ms++)
		usleep(1000);
	ck_assert_int_eq(open_descriptors(), n);
}

/* --- answers --------------------------------------------------------------------------------- */

/* _i: frames. */
START_TEST(grants)
{
	int before = open_descriptors();

	device.kind = _i ? HV_PAGES_FRAMES : HV_PAGES_FILE;
	for (int i = 1; i <= 50; i++) {
		int sock = client();

		ask(sock);
		expect_window(sock);
		close(sock);
		wait_for(&delivered, i);
	}
	wait_descriptors(before);
	ck_assert_int_eq(get(&device.calls), 50);
}
END_TEST

START_TEST(refuses)
{
	int sock = client();

	device.what = REFUSE;
	ask(sock);
	expect_refusal(sock, ENXIO);
	close(sock);
	ck_assert_int_eq(get(&delivered), 0);
}
END_TEST

/* It is another user while it connects, if the test may be: that thread alone. */
START_TEST(tells_whose_client)
{
	int sock;

	if (!geteuid())
		ck_assert_int_eq(syscall(SYS_setresuid, -1, 4711, -1), 0);
	device.uid = geteuid();
	sock = client();
	ck_assert_int_eq(syscall(SYS_setresuid, -1, getuid(), -1), 0);
	ck_assert_uint_ne(device.uid, 0);
	ask(sock);
	expect_window(sock);
	close(sock);
	wait_for(&delivered, 1);
}
END_TEST

START_TEST(answers_late)
{
	int sock = client();
	int other;

	device.what = KEEP;
	ask(sock);
	wait_for(&device.calls, 1);
	/* Nobody waits meanwhile. */
	device.what = GRANT;
	other = client();
	ask(other);
	expect_window(other);
	usleep((WINSOCK_TIMEOUT_MS + 500) * 1000U);
	grant(device.kept);
	expect_window(sock);
	close(sock);
	close(other);
	wait_for(&delivered, 2);
}
END_TEST

START_TEST(second_answer_aborts)
{
	int sock = client();

	device.what = KEEP;
	ask(sock);
	wait_for(&device.calls, 1);
	if (_i)
		grant(device.kept);
	else
		mmap_call_refuse(device.kept, ENXIO);
	/* Nobody tears this down. */
	unlink(path);
	mmap_call_refuse(device.kept, ENXIO);
}
END_TEST

START_TEST(many_pieces_slowly)
{
	uint32_t got = 0;
	int sock = client();
	union answer a;
	int fd, other;

	device.pages = MANY;
	device.kind = _i ? HV_PAGES_FRAMES : HV_PAGES_FILE;
	ask(sock);
	wait_for(&device.calls, 1);
	/* It does not read yet: others are served. */
	device.pages = 5;
	for (int i = 0; i < 10; i++) {
		other = client();
		ask(other);
		expect_window(other);
		close(other);
	}
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
	close(sock);
	wait_for(&delivered, 11);
}
END_TEST

/* It never takes its window: it is not told to have it, and costs no more than the time limit. */
START_TEST(many_pieces_unread)
{
	int before = open_descriptors();
	int sock = client();
	struct pollfd p = { .fd = sock, .events = 0 };

	device.pages = MANY;
	ask(sock);
	ck_assert_int_eq(poll(&p, 1, WINSOCK_TIMEOUT_MS + 2000), 1);
	ck_assert_int_eq(get(&delivered), 0);
	close(sock);
	wait_descriptors(before);
}
END_TEST

START_TEST(window_unread)
{
	int sock = client();

	ask(sock);
	wait_for(&device.calls, 1);
	/* The end of what it sends is not the end of its queue. */
	shutdown(sock, SHUT_WR);
	usleep(300000);
	ck_assert_int_eq(get(&delivered), 0);
	expect_window(sock);
	wait_for(&delivered, 1);
	close(sock);
}
END_TEST

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
	BAD(reserved, 1, EINVAL),
	BAD(offset, 1, EINVAL),
	BAD(offset, 0x7800, EINVAL),
	BAD(offset, -4096ULL, EINVAL),
	BAD(offset, UINT64_MAX - 0x3fff, EINVAL),
	BAD(length, 0, EINVAL),
	BAD(length, 4095, EINVAL),
	BAD(length, -4096ULL, EINVAL),
};

START_TEST(bad_field)
{
	struct window_request rq = good_request();
	int sock = client();

	memcpy((char *)&rq + bad[_i].at, &bad[_i].value, (size_t)bad[_i].size);
	ck_assert_int_eq(send(sock, &rq, sizeof(rq), 0), sizeof(rq));
	expect_refusal(sock, bad[_i].error);
	ck_assert_int_eq(get(&device.calls), 0);
	close(sock);
}
END_TEST

START_TEST(bad_length)
{
	static const size_t lengths[] = { 1, 8, 12, 71, 73, 74, 100, 4096, 65536 };
	static char buf[65536];
	struct window_request rq = good_request();
	int sock = client();

	memcpy(buf, &rq, sizeof(rq));
	ck_assert_int_eq(send(sock, buf, lengths[_i], 0), lengths[_i]);
	expect_refusal(sock, ENODEV);
	ck_assert_int_eq(get(&device.calls), 0);
	close(sock);
}
END_TEST

START_TEST(empty_message)
{
	int sock = client();
	union answer a;
	int fd;

	ck_assert_int_eq(send(sock, "", 0, 0), 0);
	ck_assert_int_eq(receive(sock, &a, &fd), 0);
	ck_assert_int_eq(get(&device.calls), 0);
	close(sock);
}
END_TEST

/* A kernel that can refuse descriptors at the sender does so; else they are closed here. */
START_TEST(descriptors_sent)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(3 * sizeof(int))];
	} control = { .h = { .cmsg_len = CMSG_LEN(3 * sizeof(int)),
			     .cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS } };
	struct window_request rq = good_request();
	struct iovec iov = { &rq, sizeof(rq) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fds[3] = { 0, 1, 2 };
	int sock = client();
	int before;

	ask(sock);
	expect_window(sock);
	close(sock);
	wait_for(&delivered, 1);
	before = open_descriptors();
	sock = client();
	memcpy(CMSG_DATA(&control.h), fds, sizeof(fds));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		ck_assert_int_eq(errno, EPERM);
	else
		expect_refusal(sock, EINVAL);
	close(sock);
	wait_descriptors(before);
	ck_assert_int_eq(get(&device.calls), 1);
}
END_TEST

START_TEST(second_request_is_not_read)
{
	int sock = client();

	ask(sock);
	ask(sock);
	expect_window(sock);
	wait_for(&delivered, 1);
	ck_assert_int_eq(get(&device.calls), 1);
	close(sock);
}
END_TEST

/* --- clients that go, or stay ---------------------------------------------------------------- */

START_TEST(disconnects)
{
	int before = open_descriptors();
	int sock = client();

	if (_i == 0) { /* before its request */
		close(sock);
	} else if (_i == 1) { /* while the device has the call */
		device.what = KEEP;
		ask(sock);
		wait_for(&device.calls, 1);
		close(sock);
		grant(device.kept);
		wait_for(&delivered, 1);
	} else if (_i == 2) { /* with the answer in its queue */
		ask(sock);
		wait_for(&device.calls, 1);
		close(sock);
		wait_for(&delivered, 1);
	} else { /* in the middle of a long answer */
		device.pages = MANY;
		ask(sock);
		wait_for(&device.calls, 1);
		close(sock);
		wait_for(&delivered, 1);
	}
	wait_descriptors(before);
}
END_TEST

START_TEST(says_nothing)
{
	int64_t start = now_ms();
	int sock = client();
	union answer a;
	int fd, ms;

	ck_assert_int_eq(receive(sock, &a, &fd), 0);
	ms = (int)(now_ms() - start);
	ck_assert_int_ge(ms, WINSOCK_TIMEOUT_MS - 100);
	ck_assert_int_le(ms, WINSOCK_TIMEOUT_MS + 1500);
	close(sock);
}
END_TEST

START_TEST(crowd)
{
	static int sock[CROWD];

	for (int i = 0; i < CROWD; i++) {
		sock[i] = client();
		ask(sock[i]);
	}
	for (int i = 0; i < CROWD; i++) {
		expect_window(sock[i]);
		close(sock[i]);
	}
	wait_for(&delivered, CROWD);
	ck_assert_int_eq(get(&device.calls), CROWD);
}
END_TEST

/* All slots and more are taken by clients that say nothing: those who speak are served. */
START_TEST(silent_crowd)
{
	static int sock[CROWD];
	int before = open_descriptors();
	int64_t start = now_ms();

	for (int i = 0; i < CROWD; i++)
		sock[i] = client();
	for (int i = 0; i < 3; i++) {
		int speaker = client();

		ask(speaker);
		expect_window(speaker);
		close(speaker);
	}
	/* They did not have to wait for the time limit of the silent. */
	ck_assert_int_lt(now_ms() - start, WINSOCK_TIMEOUT_MS - 1000);
	for (int i = 0; i < CROWD; i++)
		close(sock[i]);
	wait_descriptors(before);
}
END_TEST

/* --- the server ------------------------------------------------------------------------------ */

START_TEST(stop_lets_answer)
{
	int sock = client();
	int idle = client();

	device.what = KEEP;
	ask(sock);
	wait_for(&device.calls, 1);
	winsock_stop(ws);
	ck_assert_int_lt(try_connect(path), 0);
	ask(idle);
	expect_refusal(idle, ENODEV);
	grant(device.kept);
	expect_window(sock);
	ck_assert_int_eq(get(&device.calls), 1);
	close(sock);
	close(idle);
}
END_TEST

static int bound(int type, const char *to)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", to);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

START_TEST(handed_in)
{
	const char *why;
	char other[80];
	int fd, sock;

	winsock_destroy(ws);
	snprintf(other, sizeof(other), "%s.other", path);
	fd = bound(SOCK_SEQPACKET, other);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(winsock_new("/ignored", dup(fd), NULL, device_mmap, &device, &ws, &why),
			 0);
	ck_assert_str_eq(winsock_path(ws), other);
	ck_assert_int_eq(winsock_start(ws), 0);
	sock = try_connect(other);
	ck_assert_int_ge(sock, 0);
	ask(sock);
	expect_window(sock);
	close(sock);
	/* It stays whose it is, and clients wait for its next user. */
	winsock_destroy(ws);
	ck_assert_int_eq(access(other, F_OK), 0);
	sock = try_connect(other);
	ck_assert_int_ge(sock, 0);
	close(sock);
	close(fd);
	unlink(other);
	ck_assert_int_eq(winsock_new(path, -1, NULL, device_mmap, &device, &ws, &why), 0);
}
END_TEST

/* One that cannot be listened on: said, and nothing is left. */
START_TEST(path_is_taken)
{
	int before = open_descriptors();
	struct winsock *other;
	const char *why = NULL;

	ck_assert_int_eq(winsock_new(path, -1, NULL, device_mmap, &device, &other, &why),
			 -EADDRINUSE);
	ck_assert_ptr_nonnull(why);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

Suite *winsock_suite(void);
Suite *winsock_suite(void)
{
	Suite *s = suite_create("winsock");
	TCase *tc = tcase_create("winsock");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, grants, 0, 2);
	tcase_add_test(tc, refuses);
	tcase_add_test(tc, tells_whose_client);
	tcase_add_test(tc, answers_late);
	tcase_add_loop_test_raise_signal(tc, second_answer_aborts, SIGABRT, 0, 2);
	tcase_add_loop_test(tc, many_pieces_slowly, 0, 2);
	tcase_add_test(tc, many_pieces_unread);
	tcase_add_test(tc, window_unread);
	tcase_add_loop_test(tc, bad_field, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_loop_test(tc, bad_length, 0, 9);
	tcase_add_test(tc, empty_message);
	tcase_add_test(tc, descriptors_sent);
	tcase_add_test(tc, second_request_is_not_read);
	tcase_add_loop_test(tc, disconnects, 0, 4);
	tcase_add_test(tc, says_nothing);
	tcase_add_test(tc, crowd);
	tcase_add_test(tc, silent_crowd);
	tcase_add_test(tc, stop_lets_answer);
	tcase_add_test(tc, handed_in);
	tcase_add_test(tc, path_is_taken);
	suite_add_tcase(s, tc);
	return s;
}
