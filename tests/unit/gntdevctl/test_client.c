/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_client.c - a daemon that is not there, denies, hangs, goes away or talks nonsense
 *
 * As a user meets it: by a subcommand that runs in a process of its own.
 */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "tests/unit/gntdevctl/rig.h"

static void ends_with(const char *answer, int status, const char *message)
{
	const struct canned canned[] = { { "", answer }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, ""), status);
	has(ctl_rig_err, message);
	harmless(ctl_rig_err);
}

START_TEST(no_daemon)
{
	/* A path at which nobody listens. */
	strcpy(ctl_rig_path, "/tmp/test-ctl-nobody");
	ck_assert_int_eq(ctl_rig_run(ctl_list, ""), CTL_UNREACHABLE);
	has(ctl_rig_err,
	    "no daemon listens on /tmp/test-ctl-nobody: is it running? See: systemctl status");
	ctl_rig_path[0] = '\0';
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--run-dir=/tmp/nowhere --name=xen/a/b"),
			 CTL_UNREACHABLE);
	has(ctl_rig_err, " /tmp/nowhere/xen-a-b.ctl:");
	ck_assert_int_eq(ctl_rig_run(ctl_list,
				     "--run-dir=/"
				     "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"
				     "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"),
			 CTL_USAGE);
	has(ctl_rig_err, "longer than a socket's path can be");
}
END_TEST

static int list_as_nobody(struct ctl *ctl, int argc, char **argv)
{
	int status;

	ck_assert_int_eq(seteuid(65534), 0);
	status = ctl_list(ctl, argc, argv);
	ck_assert_int_eq(seteuid(0), 0);
	return status;
}

START_TEST(no_permission_for_the_socket)
{
	static const struct canned canned[] = {
		{ "", "{\"end\":{\"opens\":0,\"maps\":0,\"pages\":0}}\n" }, { 0 }
	};

	if (geteuid())
		return;
	ctl_rig_start(canned);
	ck_assert_int_eq(chmod(ctl_rig_path, 0600), 0);
	ck_assert_int_eq(ctl_rig_run(list_as_nobody, ""), CTL_DENIED);
	has(ctl_rig_err, "xen-gnt");
}
END_TEST

START_TEST(the_daemon_denies)
{
	ends_with("{\"error\":{\"code\":\"EPERM\",\"text\":\"you \\u001b may not ask\"}}\n",
		  CTL_DENIED, "you ? may not ask: root and members of group xen-gnt");
}
END_TEST

START_TEST(the_daemon_refuses)
{
	ends_with("{\"error\":{\"code\":\"EINVAL\",\"text\":\"list: what?\"}}\n", CTL_FAILED,
		  "the daemon refuses (EINVAL): list: what?");
}
END_TEST

START_TEST(the_daemon_is_busy)
{
	ends_with("{\"error\":{\"code\":\"EBUSY\",\"text\":\"16 connections\"}}\n", CTL_UNREACHABLE,
		  "too many connections");
}
END_TEST

START_TEST(the_daemon_goes_away)
{
	ends_with(NULL, CTL_UNREACHABLE, "closed the connection in the middle");
}
END_TEST

START_TEST(nonsense_is_an_error)
{
	static const char *const lines[] = {
		"\n",
		"{}\n",
		"[1]\n",
		"HTTP/1.1 400 Bad Request\r\n",
		"{\"id\":1}\n",
		"{\"open\":{},\"map\":{}}\n",
		"{\"end\":7}\n",
		"{\"open\":{\"command\":\"\xff\"}}\n",
	};

	ends_with(lines[_i], CTL_FAILED, "is it of another version?");
}
END_TEST

/* Members that are absent, or of other types, are no reason to fall. */
START_TEST(odd_records_are_survived)
{
	static const char odd[] =
		"{\"open\":{}}\n{\"open\":[]}\n{\"map\":null}\n{\"map\":{\"id\":7,"
		"\"domids\":[\"a\",{}],\"age_ms\":-4,\"refs\":7,\"holders\":{\"a\":1}}}\n"
		"{\"failure\":5}\n{\"failure\":{\"time\":-9}}\n{\"event\":\"x\"}\n"
		"{\"lost\":\"many\"}\n{\"new\":{}}\n"
		"{\"end\":{\"operations\":[],\"policy\":3,\"users\":[1,{}],\"text\":1,"
		"\"limits\":\"none\",\"failures\":[1],\"statuses\":{\"a\":\"b\"}}}\n";
	static int (*const commands[])(struct ctl * ctl, int argc, char **argv) = {
		ctl_list,  ctl_show,	ctl_stats,  ctl_errors,
		ctl_graph, ctl_metrics, ctl_policy, ctl_top,
	};
	static const char *const args[] = {
		"", "1", "", "", "", "", "explain --pid 1 --domid 1", "--batch --count 1",
	};
	static const struct canned canned[] = { { "", odd }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(commands[_i], args[_i]),
			 commands[_i] == ctl_policy ? CTL_BAD : CTL_DONE);
	harmless(ctl_rig_out);
}
END_TEST

START_TEST(answers_come_in_pieces)
{
	static const struct canned canned[] = { { "", "{\"open\":{\"id\":\"1\"}}\n{\"op" }, { 0 } };
	struct ctl_client c;
	struct ctl_record r;

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_open(&c, ctl_rig_path), 0);
	ck_assert_int_eq(ctl_ask(&c, ctl_request("list")), 0);
	ck_assert_int_eq(ctl_next(&c, &r, 5000), CTL_RECORD);
	ck_assert_str_eq(r.name, "open");
	ck_assert_str_eq(ctl_string(r.value, "id"), "1");
	ck_assert_int_eq(ctl_next(&c, &r, 50), CTL_TIMEOUT);
	ck_assert_int_eq(ctl_next(&c, &r, 0), CTL_TIMEOUT);
	ctl_close(&c);
	ctl_close(&c);
}
END_TEST

static void nothing(int sig)
{
	(void)sig;
}

/* As a terminal does whose size changes. */
static void *resize(void *arg)
{
	pthread_t *to = arg;

	for (int i = 0; i < 10; i++) {
		usleep(20000);
		pthread_kill(*to, SIGWINCH);
	}
	return NULL;
}

START_TEST(a_signal_is_no_silence)
{
	static const struct canned canned[] = { { "", "{\"open\":{}}\n" }, { 0 } };
	const struct sigaction sa = { .sa_handler = nothing };
	pthread_t t, self = pthread_self();
	struct timespec start, now;
	struct ctl_client c;
	struct ctl_record r;

	ctl_rig_start(canned);
	ck_assert(!sigaction(SIGWINCH, &sa, NULL));
	ck_assert_int_eq(ctl_open(&c, ctl_rig_path), 0);
	ck_assert_int_eq(ctl_ask(&c, ctl_request("list")), 0);
	ck_assert_int_eq(ctl_next(&c, &r, 5000), CTL_RECORD);
	clock_gettime(CLOCK_MONOTONIC, &start);
	ck_assert_int_eq(pthread_create(&t, NULL, resize, &self), 0);
	ck_assert_int_eq(ctl_next(&c, &r, 300), CTL_TIMEOUT);
	clock_gettime(CLOCK_MONOTONIC, &now);
	ck_assert_int_ge(
		(now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000, 299);
	pthread_join(t, NULL);
	ctl_close(&c);
}
END_TEST

/* One that hangs: connections wait in its queue, until there is no room. */
START_TEST(nobody_takes_the_connection)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct ctl_client c[2];

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/test-ctl-%d.hangs", (int)getpid());
	unlink(addr.sun_path);
	ck_assert(!bind(listener, (struct sockaddr *)&addr, sizeof(addr)) && !listen(listener, 0));
	ck_assert_int_eq(ctl_open(&c[0], addr.sun_path), 0);
	ck_assert_int_eq(ctl_open(&c[1], addr.sun_path), CTL_UNREACHABLE);
	has(c[1].why, "has not answered for 10 s");
	ctl_close(&c[0]);
	ctl_close(&c[1]);
	close(listener);
	unlink(addr.sun_path);
}
END_TEST

START_TEST(a_long_line_is_read_whole)
{
	static char line[400000];
	const struct canned canned[] = { { "", line }, { 0 } };
	size_t at = (size_t)sprintf(line, "{\"end\":{\"text\":\"");

	memset(line + at, 'x', 300000);
	strcpy(line + at + 300000, "\"}}\n");
	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_metrics, ""), CTL_DONE);
	ck_assert_uint_eq(strspn(ctl_rig_out, "x"), sizeof(ctl_rig_out) - 1);
}
END_TEST

Suite *client_suite(void);

Suite *client_suite(void)
{
	Suite *s = suite_create("client");
	TCase *tc = tcase_create("daemon");

	/* More than CTL_PATIENCE_MS. */
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, no_daemon);
	tcase_add_test(tc, no_permission_for_the_socket);
	tcase_add_test(tc, the_daemon_denies);
	tcase_add_test(tc, the_daemon_refuses);
	tcase_add_test(tc, the_daemon_is_busy);
	tcase_add_test(tc, the_daemon_goes_away);
	tcase_add_loop_test(tc, nonsense_is_an_error, 0, 8);
	tcase_add_loop_test(tc, odd_records_are_survived, 0, 8);
	tcase_add_test(tc, answers_come_in_pieces);
	tcase_add_test(tc, a_signal_is_no_silence);
	tcase_add_test(tc, nobody_takes_the_connection);
	tcase_add_test(tc, a_long_line_is_read_whole);
	suite_add_tcase(s, tc);
	return s;
}
