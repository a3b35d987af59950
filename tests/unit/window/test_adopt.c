/* SPDX-License-Identifier: MIT */
/*
 * window/test_adopt.c - the window socket, with clients that did not connect: winsock_adopt()
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rcu.h"
#include "tests/unit/window/socket_rig.h"

/* What epoll watches when nobody is there: the socket, a timer, two events. */
#define WATCHED 4

/* Hand in the daemon's end of a pair. Return: what became of it. *@sock: the client's end. */
static int try_adopt(const struct window_request *rq, int *sock)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	*sock = pair[0];
	return winsock_adopt(ws, pair[1], getpid(), device.uid, rq, UNIQUE);
}

static int adopted(void)
{
	struct window_request rq = good_request();
	int sock;

	ck_assert_int_eq(try_adopt(&rq, &sock), 0);
	return sock;
}

static bool is_there(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void expect_end(int sock)
{
	union answer a;
	int fd;

	ck_assert_int_eq(receive(sock, &a, &fd), 0);
	close(sock);
}

/* Descriptors that epoll knows of. */
static int watched(void)
{
	char file[300], line[256];
	struct dirent *d;
	int n = 0;
	FILE *f;
	DIR *dir = opendir("/proc/self/fdinfo");

	while ((d = readdir(dir))) {
		snprintf(file, sizeof(file), "/proc/self/fdinfo/%s", d->d_name);
		f = fopen(file, "re");
		while (f && fgets(line, sizeof(line), f))
			n += !strncmp(line, "tfd:", 4);
		if (f)
			fclose(f);
	}
	closedir(dir);
	return n;
}

/* --- answers --------------------------------------------------------------------------------- */

/* _i: frames. The client need not wait, and nobody else has to run for it. */
START_TEST(answered_at_once)
{
	int before = open_descriptors();

	device.kind = _i ? HV_PAGES_FRAMES : HV_PAGES_FILE;
	for (int i = 1; i <= 50; i++) {
		int sock = adopted();

		ck_assert(is_there(sock));
		ck_assert_int_eq(watched(), WATCHED);
		expect_window(sock);
		close(sock);
	}
	wait_for(&delivered, 50);
	wait_descriptors(before);
	ck_assert_int_eq(get(&device.calls), 50);
}
END_TEST

START_TEST(refused)
{
	int before = open_descriptors();
	int sock;

	device.what = REFUSE;
	sock = adopted();
	ck_assert(is_there(sock));
	expect_refusal(sock, ENXIO);
	close(sock);
	ck_assert_int_eq(open_descriptors(), before);
	ck_assert_int_eq(get(&delivered), 0);
}
END_TEST

START_TEST(whose_client)
{
	int sock;

	device.uid = 4711;
	sock = adopted();
	expect_window(sock);
	close(sock);
}
END_TEST

START_TEST(answered_late)
{
	int sock;

	device.what = KEEP;
	sock = adopted();
	usleep(300000);
	ck_assert(!is_there(sock));
	grant(device.kept);
	ck_assert(is_there(sock));
	expect_window(sock);
	wait_for(&delivered, 1);
	expect_end(sock);
}
END_TEST

/* Delivered is what the client has received, not what was sent to it. */
START_TEST(unread)
{
	int sock = adopted();

	usleep(300000);
	ck_assert_int_eq(get(&delivered), 0);
	expect_window(sock);
	wait_for(&delivered, 1);
	expect_end(sock);
}
END_TEST

/* The largest window that is to come this way: in as many pieces as can be. */
START_TEST(largest)
{
	int sock;

	device.pages = WINDOW_MMAP_PAGES;
	sock = adopted();
	ck_assert(is_there(sock));
	ck_assert_int_eq(watched(), WATCHED);
	ck_assert_int_eq(get(&delivered), 0);
	close(sock);
	wait_for(&delivered, 1);
}
END_TEST

START_TEST(queue_is_full)
{
	int before = open_descriptors();
	int sock;

	device.pages = MANY;
	device.kind = _i ? HV_PAGES_FRAMES : HV_PAGES_FILE;
	sock = adopted();
	ck_assert_int_eq(watched(), WATCHED + 1);
	expect_many(sock);
	wait_for(&delivered, 1);
	close(sock);
	wait_descriptors(before);
	ck_assert_int_eq(watched(), WATCHED);
}
END_TEST

/* It keeps a copy of the daemon's end, and never reads: nothing of it stays, here or in epoll. */
START_TEST(queue_stays_full)
{
	struct window_request rq = good_request();
	int before = open_descriptors();
	int pair[2], copy;

	device.pages = MANY;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	copy = dup(pair[1]);
	ck_assert_int_eq(winsock_adopt(ws, pair[1], getpid(), device.uid, &rq, UNIQUE), 0);
	ck_assert_int_eq(watched(), WATCHED + 1);
	/* What has been sent may still be taken, so it waits until the place is wanted, or this. */
	usleep((WINSOCK_TIMEOUT_MS + 500) * 1000U);
	ck_assert_int_eq(get(&delivered), 0);
	ck_assert_int_eq(watched(), WATCHED);
	close(pair[0]);
	close(copy);
	wait_descriptors(before);
}
END_TEST

/* --- what is none ---------------------------------------------------------------------------- */

START_TEST(bad_field)
{
	struct window_request rq = bad_request(_i);
	int before = open_descriptors();
	int sock;

	ck_assert_int_eq(try_adopt(&rq, &sock), 0);
	expect_refusal(sock, bad[_i].error);
	close(sock);
	ck_assert_int_eq(get(&device.calls), 0);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* Whatever the client named: it is only written to as a socket. The window ends. */
START_TEST(no_socket)
{
	struct window_request rq = good_request();
	int before = open_descriptors();
	int ends[2];
	char c;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	for (int i = 1; i <= 3; i++) {
		device.pages = i == 3 ? MANY : 5;
		ck_assert_int_eq(winsock_adopt(ws, dup(ends[1]), getpid(), device.uid, &rq, UNIQUE),
				 0);
		ck_assert_int_eq(get(&delivered), i);
	}
	ck_assert_int_eq(read(ends[0], &c, 1), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(ends[0]);
	close(ends[1]);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* --- clients that go ------------------------------------------------------------------------- */

START_TEST(gone)
{
	int before = open_descriptors();
	int sock;

	if (_i == 0) { /* while the device has the call */
		device.what = KEEP;
		sock = adopted();
		close(sock);
		grant(device.kept);
		ck_assert_int_eq(get(&delivered), 1);
	} else if (_i == 1) { /* the same, and it is refused */
		device.what = KEEP;
		sock = adopted();
		close(sock);
		mmap_call_refuse(device.kept, ENXIO);
	} else { /* with the answer in its queue, with a part of it */
		device.pages = _i == 2 ? 5 : MANY;
		sock = adopted();
		close(sock);
		wait_for(&delivered, 1);
	}
	wait_descriptors(before);
}
END_TEST

/* --- the server ------------------------------------------------------------------------------ */

START_TEST(no_place)
{
	static int sock[CROWD];
	struct window_request rq = good_request();
	int before = open_descriptors();
	int n = 0, err, other;

	while (n < CROWD && !(err = try_adopt(&rq, &sock[n])))
		n++;
	ck_assert_int_lt(n, CROWD);
	ck_assert_int_eq(err, -EBUSY);
	expect_end(sock[n]);
	ck_assert_int_eq(get(&device.calls), n);
	/* Who connects gets the place of one that has not yet taken its answer, which it takes later. */
	other = client();
	ask(other);
	expect_window(other);
	close(other);
	for (int i = 0; i < n; i++)
		expect_window(sock[i]);
	for (int i = 0; i < n; i++)
		expect_end(sock[i]);
	wait_descriptors(before);
	close(adopted());
}
END_TEST

/* Whether the server has closed its end. */
static bool has_ended(int sock)
{
	struct pollfd p = { .fd = sock };

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

/* One user has taken nearly all places, another a few: whatever their numbers, it is the first who loses some. */
START_TEST(whose_places)
{
	enum { FEW = 40 };
	static int greedy[CROWD], modest[FEW];
	const uid_t user = device.uid;
	struct window_request rq = good_request();
	int n = 0, ended = 0, other[3];

	for (int i = 0; i < FEW; i++) {
		device.uid = 100256;
		modest[i] = adopted();
	}
	device.uid = 100000;
	while (n < CROWD && !try_adopt(&rq, &greedy[n]))
		n++;
	close(greedy[n]);
	ck_assert_int_gt(n, 4 * FEW);
	device.uid = user;
	usleep(50000);
	for (int i = 0; i < 3; i++) {
		other[i] = client();
		ask(other[i]);
		expect_window(other[i]);
	}
	for (int i = 0; i < n; i++)
		ended += has_ended(greedy[i]);
	ck_assert_int_gt(ended, 0);
	for (int i = 0; i < FEW; i++)
		ck_assert(!has_ended(modest[i]));
	for (int i = 0; i < n; i++)
		close(greedy[i]);
	for (int i = 0; i < FEW; i++)
		close(modest[i]);
	for (int i = 0; i < 3; i++)
		close(other[i]);
}
END_TEST

/* All that connect can have is taken: who need not connect has places of his own. */
START_TEST(beside_a_crowd)
{
	static int sock[CROWD];
	int before = open_descriptors();

	for (int i = 0; i < CROWD; i++)
		sock[i] = client();
	for (int i = 0; i < 50; i++) {
		int own = adopted();

		expect_window(own);
		close(own);
	}
	for (int i = 0; i < CROWD; i++)
		close(sock[i]);
	wait_descriptors(before);
}
END_TEST

/* A client that does nothing else: places come back as fast as they are taken. */
START_TEST(busy)
{
	for (int i = 0; i < 4 * CROWD; i++) {
		int sock = adopted();

		expect_window(sock);
		close(sock);
	}
	wait_for(&delivered, 4 * CROWD);
}
END_TEST

static void *adopt_slowly(void *sock)
{
	rcu_thread_enter();
	*(int *)sock = adopted();
	rcu_thread_leave();
	return NULL;
}

/* A call under way is waited for; there are no more then. */
START_TEST(stopping)
{
	struct window_request rq = good_request();
	pthread_t t;
	int sock, other;

	device.what = GRANT_SLOWLY;
	ck_assert_int_eq(pthread_create(&t, NULL, adopt_slowly, &sock), 0);
	wait_for(&device.begun, 1);
	winsock_stop(ws);
	ck_assert_int_eq(get(&device.calls), 1);
	ck_assert_int_eq(try_adopt(&rq, &other), -EBUSY);
	expect_end(other);
	ck_assert_int_eq(get(&device.begun), 1);
	pthread_join(t, NULL);
	expect_window(sock);
	wait_for(&delivered, 1);
	close(sock);
}
END_TEST

/* What was not answered in full, or not taken, ends with the server. */
START_TEST(destroyed)
{
	const char *why;
	int before, sock[3];

	sock[0] = adopted();
	device.pages = MANY;
	sock[1] = adopted();
	device.what = KEEP;
	device.pages = 5;
	sock[2] = adopted();
	winsock_stop(ws);
	grant(device.kept);
	winsock_destroy(ws);
	before = open_descriptors();
	expect_window(sock[0]);
	expect_window(sock[2]);
	for (int i = 0; i < 3; i++)
		close(sock[i]);
	ck_assert_int_eq(open_descriptors(), before - 3);
	ck_assert_int_eq(get(&delivered), 0);
	ck_assert_int_eq(winsock_new(path, -1, NULL, device_mmap, &device, &ws, &why), 0);
}
END_TEST

Suite *adopt_suite(void);

Suite *adopt_suite(void)
{
	Suite *s = suite_create("winadopt");
	TCase *tc = tcase_create("winadopt");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, answered_at_once, 0, 2);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, whose_client);
	tcase_add_test(tc, answered_late);
	tcase_add_test(tc, unread);
	tcase_add_test(tc, largest);
	tcase_add_loop_test(tc, queue_is_full, 0, 2);
	tcase_add_test(tc, queue_stays_full);
	tcase_add_loop_test(tc, bad_field, 0, N_BAD);
	tcase_add_test(tc, no_socket);
	tcase_add_loop_test(tc, gone, 0, 4);
	tcase_add_test(tc, no_place);
	tcase_add_test(tc, whose_places);
	tcase_add_test(tc, beside_a_crowd);
	tcase_add_test(tc, busy);
	tcase_add_test(tc, stopping);
	tcase_add_test(tc, destroyed);
	suite_add_tcase(s, tc);
	return s;
}
