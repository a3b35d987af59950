/* SPDX-License-Identifier: MIT */
/*
 * control/test_conn.c - connections of the control socket that do not behave, and who may connect at all
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/rcu.h"
#include "control/peer.h"
#include "tests/unit/control/rig.h"
#include "tests/unit/lingering.h"
#include "gntdevctl/commands.h"

static const char *text_at(json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* Those who have gone may have their places for a moment yet. */
static void check_served(void)
{
	json_t *all;

	while (json_object_get(all = control_once("{\"v\":1,\"do\":\"hello\"}\n"), "error")) {
		control_error(all, "EBUSY");
		json_decref(all);
		usleep(10000);
	}
	control_end_of(all);
	json_decref(all);
}

/* Until so many trace. */
static void wait_tracers(json_int_t wanted)
{
	json_int_t n;

	do {
		json_t *all = control_once("{\"v\":1,\"do\":\"stats\"}\n");

		n = control_number_at(all, "end.tracers");
		json_decref(all);
		usleep(1000);
	} while (n != wanted);
}

/* A limit that is not what a test is about: longer than it takes on a machine that has other work. */
#define LONG_MS (3600 * 1000)

static void up_with(unsigned int stall, unsigned int silent)
{
	control_prepare();
	control_cfg.limits =
		(struct control_limits){ .stall = stall, .silent = silent, .http = silent };
	control_up();
}

static void no_limits(void)
{
	up_with(LONG_MS, LONG_MS);
}

#define STALL_MS 300

static void short_stall(void)
{
	up_with(STALL_MS, LONG_MS);
}

#define SLOW_MS 4000

/* For a reader that is slow, but has to get on. */
static void longer_stall(void)
{
	up_with(SLOW_MS, LONG_MS);
}

#define SILENT_MS 1000

static void short_silence(void)
{
	up_with(LONG_MS, SILENT_MS);
}

/* Many maps that nobody frees one by one. */
static void make_maps(int n)
{
	for (int i = 0; i < n; i++)
		rig_map(rig.fh, (uint32_t)i);
}

/* --- readers and clients that are slow ---------------------------------------------------------- */

/* How many bytes the server has been able to send: what the socket's queue takes, and no more. */
static size_t waiting_bytes(int fd)
{
	static char buf[1 << 20];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK);

	return n < 0 ? 0 : (size_t)n;
}

/* Until there is something to be read, which nobody reads. */
static void wait_waiting(int fd)
{
	while (!waiting_bytes(fd))
		usleep(1000);
}

START_TEST(a_reader_that_does_not_read_is_cut_off)
{
	int fd[4];

	make_maps(20000);
	for (int i = 0; i < 4; i++) {
		fd[i] = control_connect();
		control_say(fd[i], "{\"v\":1,\"do\":\"list\"}\n");
	}
	/* Meanwhile others are served. */
	for (int i = 0; i < 4; i++) {
		wait_waiting(fd[i]);
		check_served();
	}
	usleep(2 * STALL_MS * 1000);
	for (int i = 0; i < 4; i++) {
		control_wait_closed(fd[i]);
		close(fd[i]);
	}
	check_served();
}
END_TEST

/* Say a byte now and then, for as long as somebody listens. */
static void talk_until_cut_off(int fd)
{
	while (send(fd, " ", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 || errno == EAGAIN)
		usleep(50000);
	ck_assert(errno == EPIPE || errno == ECONNRESET);
}

START_TEST(who_talks_on_and_does_not_read_is_cut_off)
{
	int fd = control_connect();

	/* More than the socket's queue and the buffer take. */
	for (int i = 0; i < 64; i++)
		control_say(fd, "{\"v\":1,\"do\":\"metrics\"}\n");
	wait_waiting(fd);
	talk_until_cut_off(fd);
	close(fd);
}
END_TEST

START_TEST(a_get_that_comes_byte_by_byte_is_cut_off)
{
	int fd = control_connect_metrics();

	control_say(fd, "GET");
	talk_until_cut_off(fd);
	close(fd);
}
END_TEST

START_TEST(a_slow_reader_gets_all_of_its_list)
{
	int fd;
	size_t maps = 0;
	bool end = false;

	make_maps(20000);
	fd = control_connect();
	control_say(fd, "{\"v\":1,\"do\":\"list\"}\n");
	for (int i = 0; !end; i++) {
		const char *line = control_line(fd);

		ck_assert_ptr_nonnull(line);
		maps += !strncmp(line, "{\"map\":", 7);
		end = !strncmp(line, "{\"end\":", 7);
		/* For longer than the limit, but never for as long at once. */
		if (i % 500 == 0)
			usleep(SLOW_MS * 1000 / 20);
	}
	ck_assert_uint_eq(maps, 20000);
	close(fd);
}
END_TEST

START_TEST(who_says_nothing_is_cut_off)
{
	int idle = control_connect(), half = control_connect(), http = control_connect_metrics();
	int tracing = control_connect();
	json_t *o;

	control_say(half, "{\"v\":1,");
	control_say(http, "GET / HTTP/1.0\r\n");
	control_say(tracing, "{\"v\":1,\"do\":\"trace\"}\n");
	control_wait_closed(idle);
	control_wait_closed(half);
	control_wait_closed(http);
	/* Who traces has nothing to say. */
	usleep(2 * SILENT_MS * 1000);
	control_say(tracing, "{\"v\":1,\"id\":3,\"do\":\"hello\"}\n");
	o = control_json(tracing);
	ck_assert_ptr_nonnull(o);
	json_decref(o);
	close(idle);
	close(half);
	close(http);
	close(tracing);
}
END_TEST

START_TEST(who_goes_in_the_middle_leaves_nothing)
{
	make_maps(5000);
	for (int i = 0; i < 50; i++) {
		int fd = control_connect();

		control_say(fd,
			    i % 2 ? "{\"v\":1,\"do\":\"list\"}\n" : "{\"v\":1,\"do\":\"trace\"}\n");
		if (i % 3)
			usleep(500);
		close(fd);
	}
	check_served();
	wait_tracers(0);
}
END_TEST

START_TEST(a_tracer_that_does_not_read_loses_events)
{
	int fd = control_connect();
	size_t events = 0, lost = 0;
	json_t *o = NULL;

	control_say(fd, "{\"v\":1,\"do\":\"trace\"}\n");
	wait_tracers(1);
	for (int i = 0; i < 30000; i++)
		rig_unmap(rig.fh, rig_map(rig.fh, 1), 1);
	/* It is there yet, as it has not been full for long; the rest comes when it reads. */
	control_say(fd, "{\"v\":1,\"do\":\"hello\"}\n");
	do {
		json_decref(o);
		o = control_json(fd);
		ck_assert_ptr_nonnull(o);
		events += json_object_get(o, "event") != NULL;
		lost += (size_t)json_integer_value(json_object_get(o, "lost"));
	} while (!json_object_get(o, "end"));
	json_decref(o);
	ck_assert_uint_gt(events, 100);
	ck_assert_uint_lt(events, 60000);
	ck_assert_uint_gt(lost, 0);
	close(fd);
}
END_TEST

/* --- too many ----------------------------------------------------------------------------------- */

START_TEST(one_more_than_there_are_places_is_told_so)
{
	int fd[CONTROL_CONNS], more;
	json_t *o;

	for (int i = 0; i < CONTROL_CONNS; i++) {
		fd[i] = control_connect();
		json_decref(control_ask_all(fd[i], "{\"v\":1,\"do\":\"hello\"}\n"));
	}
	more = control_connect();
	o = control_json(more);
	control_error(o, "EBUSY");
	json_decref(o);
	control_wait_closed(more);
	close(more);
	/* The others are there, the metrics too. */
	json_decref(control_ask_all(fd[7], "{\"v\":1,\"do\":\"hello\"}\n"));
	more = control_connect_metrics();
	control_say(more, "GET / HTTP/1.0\n\n");
	ck_assert_ptr_nonnull(strstr(control_line(more), "200 OK"));
	close(more);
	close(fd[3]);
	usleep(100000);
	check_served();
	for (int i = 0; i < CONTROL_CONNS; i++)
		if (i != 3)
			close(fd[i]);
}
END_TEST

START_TEST(a_thousand_connections_are_no_harm)
{
	static int fd[1000];

	for (int i = 0; i < 1000; i++)
		fd[i] = control_connect();
	for (int i = 0; i < 1000; i++)
		close(fd[i]);
	usleep(100000);
	check_served();
}
END_TEST

/* --- who may ------------------------------------------------------------------------------------ */

#define NOBODY 65534
/* It is on every Debian. Others than root can give a socket to groups of their own only. */
#define SOME_GROUP "daemon"

static void with_group(void)
{
	const struct group *own = getgrgid(getegid());

	control_prepare();
	ck_assert(geteuid() == 0 || own);
	control_cfg.group = geteuid() == 0 ? SOME_GROUP : own->gr_name;
	control_up();
}

/*
 * Who connects is looked at when he does. The system calls themselves are of this thread; the library's would be of
 * the server's, too.
 */
static int connect_as_nobody(gid_t gid, size_t n, const gid_t *groups)
{
	static gid_t ours[65536];
	int n_ours = getgroups(65536, ours), fd;

	ck_assert_int_ge(n_ours, 0);
	ck_assert_int_eq(syscall(SYS_setgroups, n, groups), 0);
	ck_assert_int_eq(syscall(SYS_setresgid, -1, gid, -1), 0);
	ck_assert_int_eq(syscall(SYS_setresuid, -1, NOBODY, -1), 0);
	fd = control_connect();
	ck_assert_int_eq(syscall(SYS_setresuid, -1, 0, -1), 0);
	ck_assert_int_eq(syscall(SYS_setresgid, -1, 0, -1), 0);
	ck_assert_int_eq(syscall(SYS_setgroups, n_ours, ours), 0);
	return fd;
}

/* Connect as nobody, with these groups, and say whether the server answers. */
static bool served_as_nobody(gid_t gid, size_t n, const gid_t *groups)
{
	int fd = connect_as_nobody(gid, n, groups);
	json_t *o;
	bool served;

	/* It may be told before it has asked. */
	send(fd, "{\"v\":1,\"do\":\"hello\"}\n", 22, MSG_NOSIGNAL);
	o = control_json(fd);
	served = json_object_get(o, "end");
	if (!served) {
		control_error(o, "EPERM");
		control_wait_closed(fd);
	}
	json_decref(o);
	close(fd);
	return served;
}

/* The mode of the socket keeps others away: here it is only the peer that is looked at. */
static void open_to_all(void)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "%s", control_cfg.path);
	ck_assert_int_eq(chmod(dir, 0666), 0);
	*strrchr(dir, '/') = '\0';
	ck_assert_int_eq(chmod(dir, 0755), 0);
}

START_TEST(others_may_not_ask)
{
	const gid_t many[] = { 7, 8, 9 };

	if (geteuid() != 0)
		return;
	open_to_all();
	ck_assert(!served_as_nobody(NOBODY, 0, NULL));
	ck_assert(!served_as_nobody(NOBODY, 3, many));
	ck_assert(!served_as_nobody(0, 3, many));
}
END_TEST

START_TEST(members_of_the_group_may_ask)
{
	gid_t group = control_group(control_cfg.group), few[] = { 7, group, 9 };
	static gid_t many[2000];
	struct stat st;

	ck_assert_int_eq(stat(control_cfg.path, &st), 0);
	ck_assert_uint_eq(st.st_gid, group);
	/* Only root can be others. */
	if (geteuid() != 0)
		return;
	open_to_all();
	for (gid_t i = 0; i < 2000; i++)
		many[i] = 100000 + i;
	ck_assert(served_as_nobody(group, 0, NULL));
	ck_assert(served_as_nobody(NOBODY, 3, few));
	ck_assert(!served_as_nobody(NOBODY, 2000, many));
	many[1999] = group;
	ck_assert(served_as_nobody(NOBODY, 2000, many));
	ck_assert(!served_as_nobody(NOBODY, 0, NULL));
}
END_TEST

START_TEST(the_sockets_are_private)
{
	struct stat st;

	ck_assert_int_eq(stat(control_cfg.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	ck_assert_uint_eq(st.st_gid, getegid());
	ck_assert_int_eq(stat(control_cfg.metrics, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	ck_assert_uint_eq(control_group("no-such-group-here"), (gid_t)-1);
	ck_assert_uint_eq(control_group(NULL), (gid_t)-1);
	ck_assert_uint_eq(control_group("root"), 0);
}
END_TEST

START_TEST(a_second_server_is_refused)
{
	char why[256] = "";

	ck_assert_int_eq(control_try(why, sizeof(why)), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(why, "another daemon"));
	check_served();
}
END_TEST

/* --- while things change ------------------------------------------------------------------------ */

static bool churning;

static void *churn(void *arg)
{
	uint64_t *done = arg;

	rcu_thread_enter();
	while (__atomic_load_n(&churning, __ATOMIC_RELAXED)) {
		uint64_t fh = rig_open();

		for (int i = 0; i < 50; i++)
			rig_map(fh, 5);
		for (uint64_t i = 0; i < 25; i++)
			rig_unmap(fh, i << 12, 1);
		rig_close(fh);
		++*done;
	}
	rcu_thread_leave();
	return NULL;
}

START_TEST(a_list_while_maps_come_and_go)
{
	enum { MAPS = 1000 };
	uint64_t done = 0;
	pthread_t thread;
	char mine[40];

	make_maps(MAPS);
	snprintf(mine, sizeof(mine), "%llx", (unsigned long long)rig.fh);
	churning = true;
	ck_assert_int_eq(pthread_create(&thread, NULL, churn, &done), 0);
	for (int round = 0; round < 40; round++) {
		json_t *all = control_once("{\"v\":1,\"do\":\"list\"}\n"), *record;
		size_t i, n = 0;

		json_array_foreach(json_object_get(all, "records"), i, record) {
			json_t *map = json_object_get(record, "map");

			if (map)
				ck_assert_str_eq(text_at(map, "state"), "fresh");
			if (map && !strcmp(text_at(map, "open"), mine))
				ck_assert_int_eq(control_number_at(map, "index"), n++ << 12);
		}
		ck_assert_uint_eq(n, MAPS);
		json_decref(all);
	}
	__atomic_store_n(&churning, false, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert_uint_gt(done, 10);
}
END_TEST

/* It is others' turn between those of an answer: none of them is to be long, however many windows there are. */
START_TEST(many_windows_hold_nobody_up)
{
	enum { WINDOWS = 4096 };
	uint32_t ref = 0;
	char line[64];

	for (int i = 0; i < WINDOWS; i++) {
		/* A grant can be mapped 127 times. */
		if (i % 100 == 0)
			ref = rig_grant(false);
		ck_assert_ptr_ne(
			rig_mmap(rig.fh, rig_map(rig.fh, ref), 4096, PROT_READ, MAP_SHARED),
			MAP_FAILED);
	}
	snprintf(line, sizeof(line), "{\"v\":1,\"do\":\"show\",\"open\":\"%llx\"}",
		 (unsigned long long)rig.fh);
	/* In each of them at most so many are looked for. */
	ck_assert_uint_ge(control_silent_turns(line), WINDOWS / 2000);
}
END_TEST

/* Many times, as the server may be faster than we are at closing ours. */
START_TEST(what_takes_long_to_close_holds_nobody_up)
{
	for (int i = 0; i < 20; i++) {
		int fd = i % 4 ? control_connect() : control_connect_metrics();

		send_lingering(fd, (char[]){ 'x' }, 1);
		check_served();
		close(fd);
	}
}
END_TEST

static unsigned int pictures;

/* top's output: with its first picture the connection ends. */
static ssize_t take_picture(void *cookie, const char *buf, size_t size)
{
	(void)cookie;
	(void)buf;
	if (!pictures++)
		control_restart();
	return (ssize_t)size;
}

/* Between pictures it may have been silent for too long, or the daemon may have been replaced. */
START_TEST(top_goes_on_when_its_connection_was_closed)
{
	char name[] = "top", batch[] = "--batch", count[] = "--count=2";
	char *argv[] = { name, batch, count, NULL };
	struct ctl ctl = { .socket = control_cfg.path };
	FILE *out = stdout;

	stdout = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = take_picture });
	ck_assert_ptr_nonnull(stdout);
	ck_assert_int_eq(ctl_top(&ctl, 3, argv), CTL_DONE);
	fclose(stdout);
	stdout = out;
	ck_assert_uint_eq(pictures, 2);
}
END_TEST

Suite *conn_suite(void);
Suite *conn_suite(void)
{
	Suite *s = suite_create("control_conn");
	TCase *tc = tcase_create("stall");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, short_stall, control_teardown);
	tcase_add_test(tc, a_reader_that_does_not_read_is_cut_off);
	tcase_add_test(tc, who_talks_on_and_does_not_read_is_cut_off);
	suite_add_tcase(s, tc);

	tc = tcase_create("slow");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, longer_stall, control_teardown);
	tcase_add_test(tc, a_slow_reader_gets_all_of_its_list);
	suite_add_tcase(s, tc);

	tc = tcase_create("silence");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, short_silence, control_teardown);
	tcase_add_test(tc, a_get_that_comes_byte_by_byte_is_cut_off);
	tcase_add_test(tc, who_says_nothing_is_cut_off);
	suite_add_tcase(s, tc);

	tc = tcase_create("many");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, no_limits, control_teardown);
	tcase_add_test(tc, who_goes_in_the_middle_leaves_nothing);
	tcase_add_test(tc, a_tracer_that_does_not_read_loses_events);
	tcase_add_test(tc, one_more_than_there_are_places_is_told_so);
	tcase_add_test(tc, a_thousand_connections_are_no_harm);
	tcase_add_test(tc, others_may_not_ask);
	tcase_add_test(tc, the_sockets_are_private);
	tcase_add_test(tc, a_second_server_is_refused);
	tcase_add_test(tc, a_list_while_maps_come_and_go);
	tcase_add_test(tc, many_windows_hold_nobody_up);
	tcase_add_test(tc, what_takes_long_to_close_holds_nobody_up);
	tcase_add_test(tc, top_goes_on_when_its_connection_was_closed);
	suite_add_tcase(s, tc);

	tc = tcase_create("group");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, with_group, control_teardown);
	tcase_add_test(tc, members_of_the_group_may_ask);
	suite_add_tcase(s, tc);
	return s;
}
