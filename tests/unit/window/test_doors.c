/* SPDX-License-Identifier: MIT */
/*
 * window/test_doors.c - the window socket's users: what one does with his connections is felt by nobody else
 */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "tests/unit/window/socket_rig.h"
#include "window/doors.h"

#define ATTACKER 4711
#define HONEST	 4712

/* As a user, if the test may be: this thread alone. */
static void become(uid_t uid)
{
	if (!getuid())
		ck_assert_int_eq(syscall(SYS_setresuid, -1, uid, -1), 0);
}

static const char *own_path(uid_t uid)
{
	static char own[WINSOCK_PATH];

	winsock_path_for(ws, uid, gettid(), own);
	return own;
}

static int connect_as(uid_t uid, const char *to)
{
	int sock;

	become(uid);
	sock = try_connect(to);
	become(getuid());
	return sock;
}

START_TEST(each_has_one)
{
	char first[WINSOCK_PATH], expected[80];
	int sock;

	snprintf(expected, sizeof(expected), "%s.%u", path, HONEST);
	snprintf(first, sizeof(first), "%s", own_path(HONEST));
	ck_assert_str_eq(first, expected);
	ck_assert_str_eq(own_path(HONEST), first);
	ck_assert_str_ne(own_path(ATTACKER), first);
	if (!getuid())
		ck_assert_int_lt(connect_as(ATTACKER, first), 0);
	device.uid = getuid() ? getuid() : HONEST;
	sock = connect_as(HONEST, first);
	ck_assert_int_ge(sock, 0);
	ask(sock);
	expect_window(sock);
	close(sock);
	/* Of somebody of whom nothing is known: everybody's. */
	winsock_path_for(ws, 4713, 0, first);
	ck_assert_str_eq(first, path);
}
END_TEST

/* Each is there until somebody else can use its place: if nobody's can be, everybody's is left. */
START_TEST(there_is_one_for_the_last)
{
	for (uid_t uid = 1; uid < 10000; uid += uid < DOORS ? 1 : 1000)
		ck_assert_int_eq(!strcmp(own_path(uid), path), uid >= DOORS);
	ck_assert_str_ne(own_path(1), path);
}
END_TEST

static int stop;

/* Connections without end, held as long as the server holds them. */
static void *flood(void *arg)
{
	static __thread int sock[CROWD];

	become(ATTACKER);
	for (int i = 0; i < CROWD; i++)
		sock[i] = -1;
	for (int i = 0; !get(&stop); i = (i + 1) % CROWD) {
		close(sock[i]);
		sock[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
		if (sock[i] >= 0)
			(void)!connect(sock[i], arg, sizeof(struct sockaddr_un));
	}
	for (int i = 0; i < CROWD; i++)
		close(sock[i]);
	return NULL;
}

/* _i: at the attacker's own door, at everybody's. */
START_TEST(a_flood_is_felt_by_nobody_else)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	pthread_t thread[2];
	const char *own;
	int sock;

	if (getuid())
		return;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", _i ? path : own_path(ATTACKER));
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, flood, &addr), 0);
	usleep(200000);
	own = own_path(HONEST);
	device.uid = HONEST;
	for (int i = 0; i < 20; i++) {
		sock = connect_as(HONEST, own);
		ck_assert_int_ge(sock, 0);
		ask(sock);
		expect_window(sock);
		close(sock);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

/* More of one user's than he can have places: those that say nothing give way to the others, and all of these are answered. */
START_TEST(a_user_waits_for_his_own)
{
	static int silent[400], sock[400];
	char own[WINSOCK_PATH];

	snprintf(own, sizeof(own), "%s", own_path(HONEST));
	device.uid = getuid() ? getuid() : HONEST;
	for (int i = 0; i < 400; i++) {
		silent[i] = connect_as(HONEST, own);
		ck_assert_int_ge(silent[i], 0);
	}
	for (int i = 0; i < 400; i++) {
		sock[i] = connect_as(HONEST, own);
		ck_assert_int_ge(sock[i], 0);
		ask(sock[i]);
	}
	for (int i = 0; i < 400; i++) {
		expect_window(sock[i]);
		close(sock[i]);
		close(silent[i]);
	}
	ck_assert_int_eq(get(&device.calls), 400);
}
END_TEST

/* Of @n connections: which have an answer, or are at their end. */
static int answered(const int *sock, int n)
{
	int some = 0;

	for (int i = 0; i < n; i++)
		some += poll(&(struct pollfd){ sock[i], POLLIN, 0 }, 1, 0) == 1;
	return some;
}

/* More than there are places for at everybody's door: some of these make room there, and none that came through one's own. */
START_TEST(room_is_made_where_it_is_wanted)
{
	static int sock[CONNECTED + 100];
	const int n = sizeof(sock) / sizeof(sock[0]);
	const uid_t he = getuid() ? getuid() : ATTACKER;
	char own[WINSOCK_PATH];
	int mine[100];

	snprintf(own, sizeof(own), "%s", own_path(he));
	device.uid = he;
	__atomic_store_n(&device.held, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 100; i++) {
		mine[i] = connect_as(he, own);
		ask(mine[i]);
	}
	usleep(100000);
	for (int i = 0; i < n; i++) {
		sock[i] = connect_as(he, path);
		ask(sock[i]);
	}
	for (int ms = 0; answered(sock, n) + answered(mine, 100) < 100 && ms < 8000; ms += 10)
		usleep(10000);
	ck_assert_int_ge(answered(sock, n), 100);
	ck_assert_int_eq(answered(mine, 100), 0);
	for (int i = 0; i < n; i++)
		close(sock[i]);
	__atomic_store_n(&device.held, 0, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 100; i++) {
		expect_window(mine[i]);
		close(mine[i]);
	}
}
END_TEST

Suite *doors_suite(void);
Suite *doors_suite(void)
{
	Suite *s = suite_create("doors");
	TCase *tc = tcase_create("doors");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, each_has_one);
	tcase_add_test(tc, there_is_one_for_the_last);
	tcase_add_loop_test(tc, a_flood_is_felt_by_nobody_else, 0, 2);
	tcase_add_test(tc, a_user_waits_for_his_own);
	tcase_add_test(tc, room_is_made_where_it_is_wanted);
	suite_add_tcase(s, tc);
	return s;
}
