/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_gntdevctl.c - gntdevctl's subcommands, on canned answers
 *
 * Each runs in a process of its own, as a user would run it: what it prints, what it asks, how it ends.
 */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "tests/unit/gntdevctl/rig.h"
#include "tests/unit/suite.h"

#define OPEN                                                                              \
	"{\"open\":{\"id\":\"100000001\",\"pid\":716,\"uid\":0,\"gid\":0,"                \
	"\"command\":\"evil\\u001b[2J\\u009b\",\"unit\":\"a.service\",\"cgroup\":\"/a\"," \
	"\"age_ms\":61000,\"maps\":2,\"pages\":33,\"windows\":true}}\n"
#define MAP                                                                                       \
	"{\"map\":{\"open\":\"100000001\",\"id\":\"100000001:3000\",\"index\":12288,\"pages\":3," \
	"\"domid\":1,\"state\":\"mapped\",\"readonly\":false,\"age_ms\":5000,\"holder\":717}}\n"
#define LIST OPEN MAP "{\"end\":{\"opens\":1,\"maps\":1,\"pages\":3}}\n"

/* --- list, show ------------------------------------------------------------------------------- */

START_TEST(list_prints_a_table)
{
	static const struct canned canned[] = { { "\"do\":\"list\"", LIST }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, ""), CTL_DONE);
	has(ctl_rig_out, "\n100000001        716 root       evil?[2J?             2       33  1m "
			 "1s    a.service\n");
	has(ctl_rig_out,
	    "\n  100000001:3000              1       3  rw   mapped         5s  717\n");
	has(ctl_rig_out, "\n1 opens, 1 maps, 3 pages\n");
	harmless(ctl_rig_out);
	ck_assert_str_eq(ctl_rig_err, "");
}
END_TEST

START_TEST(list_without_legend)
{
	static const struct canned canned[] = { { "\"do\":\"list\"", LIST }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--no-legend"), CTL_DONE);
	has(ctl_rig_out, "  100000001:3000  ");
	ck_assert_int_eq(strncmp(ctl_rig_out, "100000001  ", 11), 0);
	has_not(ctl_rig_out, "OPEN");
	has_not(ctl_rig_out, "opens,");
}
END_TEST

/* Without its maps the daemon counts none: what the opens say is added up. */
START_TEST(opens_have_sums)
{
	static const struct canned canned[] = {
		{ "\"maps\":false", OPEN OPEN "{\"end\":{\"opens\":2,\"maps\":0,\"pages\":0}}\n" },
		{ 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--opens"), CTL_DONE);
	has(ctl_rig_out, "\n2 opens, 4 maps, 66 pages\n");
}
END_TEST

START_TEST(an_empty_list_says_so)
{
	static const struct canned canned[] = {
		{ "", "{\"end\":{\"opens\":0,\"maps\":0,\"pages\":0}}\n" }, { 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, ""), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "nobody has the device open\n0 opens, 0 maps, 0 pages\n");
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--domid=9"), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out,
			 "no open and no map is as asked for\n0 opens, 0 maps, 0 pages\n");
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--domid=9 -j"), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "");
}
END_TEST

/* As with systemctl: a name alone is a service's. */
START_TEST(a_unit_without_suffix_is_a_service)
{
	static const struct canned canned[] = { { "", LIST }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "-U backend-net"), CTL_DONE);
	has(ctl_rig_requests(), "\"unit\":\"backend-net.service\"");
	ck_assert_int_eq(ctl_rig_run(ctl_list, "-U qemu@1.2"), CTL_DONE);
	has(ctl_rig_requests(), "\"unit\":\"qemu@1.2.service\"");
	ck_assert_int_eq(ctl_rig_run(ctl_graph, "--unit=session-3.scope"), CTL_DONE);
	has(ctl_rig_requests(), "\"unit\":\"session-3.scope\"");
}
END_TEST

/* Each letter stands for one word, in all subcommands. */
START_TEST(a_letter_has_one_meaning)
{
	static int (*const commands[])(struct ctl * ctl, int argc, char **argv) = {
		ctl_list,  ctl_show,	ctl_stats,  ctl_top,	ctl_trace, ctl_errors,
		ctl_graph, ctl_metrics, ctl_policy, ctl_doctor, ctl_fault,
	};
	char meaning[128][32] = { "" }, letter, word[32];

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		ck_assert_int_eq(ctl_rig_run(commands[i], "-h"), CTL_DONE);
		has(ctl_rig_out, "\nExamples:\n\n  gntdevctl ");
		has(ctl_rig_out, "\nThe manual: man gntdevctl\n");
		for (char *line = strtok(ctl_rig_out, "\n"); line; line = strtok(NULL, "\n")) {
			if (sscanf(line, "  -%c, --%31[a-z-]", &letter, word) != 2)
				continue;
			if (!*meaning[(int)letter])
				strcpy(meaning[(int)letter], word);
			ck_assert_str_eq(meaning[(int)letter], word);
		}
	}
	ck_assert_str_eq(meaning['n'], "count");
}
END_TEST

START_TEST(list_prints_records)
{
	static const struct canned canned[] = { { "\"do\":\"list\"", LIST }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--json"), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, OPEN MAP);
}
END_TEST

START_TEST(json_is_ascii)
{
	static const struct canned canned[] = {
		{ "", "{\"id\":1,\"open\":{\"command\":\"\xc2\x9b\u202e\"}}\n{\"end\":{}}\n" },
		{ 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--json"), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "{\"open\":{\"command\":\"\\u009B\\u202E\"}}\n");
}
END_TEST

START_TEST(list_asks_for_what_is_wanted)
{
	static const struct canned canned[] = { { "", LIST }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--opens --pid 5 --user root -d 7 --unit=x.service"),
			 CTL_DONE);
	ck_assert_str_eq(ctl_rig_requests(),
			 "{\"v\":1,\"do\":\"list\",\"maps\":false,\"pid\":5,\"uid\":0,\"domid\":7,"
			 "\"unit\":\"x.service\"}\n");
}
END_TEST

START_TEST(a_wrong_command_line_asks_nothing)
{
	static const struct canned canned[] = { { "", LIST }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--domid 65536"), CTL_USAGE);
	has(ctl_rig_err, "--domid=65536: not a number from 0 to 65535");
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--pid -3"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--user=nosuchuser"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "extra"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_stats, "extra"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_show, ""), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_show, "xyz"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_show, "1:"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_show, "1:-1"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_show, "11111111111111111"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_show, "1 2"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, ""), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "explain --pid 1"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "explain x --pid 1 --domid 1"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "check --pid 1"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "approve"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_trace, "--count 0"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_errors, "-n x"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_top, "--sort=colour"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_top, "--json"), CTL_USAGE);
	ck_assert_str_eq(ctl_rig_requests(), "");
}
END_TEST

START_TEST(show_prints_one)
{
	static const struct canned canned[] = {
		{ "\"open\":\"dead\"",
		  "{\"error\":{\"code\":\"ENOENT\",\"text\":\"show: no such open\"}}\n" },
		{ "\"do\":\"show\"", OPEN
		  "{\"map\":{\"id\":\"100000001:3000\",\"pages\":5,\"domid\":1,\"domids\":[1,2],"
		  "\"state\":\"mapped\",\"readonly\":true,\"age_ms\":5,\"holder\":0,\"refs\":[8,9],"
		  "\"holders\":[{\"pid\":7,\"command\":\"a\\n\"},{\"pid\":8,\"command\":\"b\"}]}}\n"
		  "{\"end\":{}}\n" },
		{ 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_show, "100000001:3000"), CTL_DONE);
	has(ctl_rig_requests(), "\"open\":\"100000001\",\"index\":12288}");
	has(ctl_rig_out, "  user       root (uid 0, gid 0)\n");
	has(ctl_rig_out, "  pages      5 of domain 1,2\n  state      mapped, to read\n");
	has(ctl_rig_out, "  mapped by  hidden\n  refs       8 9 and 3 more\n");
	has(ctl_rig_out, "  held by    7 a?\n             8 b\n");
	harmless(ctl_rig_out);
	ck_assert_int_eq(ctl_rig_run(ctl_show, "dead"), CTL_BAD);
	ck_assert_str_eq(ctl_rig_err, "gntdevctl: show: no such open\n");
}
END_TEST

/* --- stats, metrics, errors, trace, policy, graph, top ------------------------------------------ */

#define STATS                                                                                      \
	"{\"end\":{\"opens\":3,\"maps\":9,\"pages\":300,\"windows\":2,\"handles\":64,"             \
	"\"handle_limit\":128,\"quarantined\":2,\"workers\":2,\"workers_busy\":1,\"waiting\":"     \
	"null,\"memory_waits\":3,"                                                                 \
	"\"window_slots\":256,\"window_slots_used\":8,\"failures\":{\"request\":3,\"grant\":0},"   \
	"\"statuses\":{\"bad_gntref\":3},\"limits\":{\"pages\":1000,\"maps\":0},"                  \
	"\"users\":[{\"uid\":0,\"opens\":3,\"maps\":9,\"pages\":300}],\"operations\":{"            \
	"\"mmap\":{\"events\":100,\"failed\":1,\"us\":1250,\"histogram\":[[16,90],[32,9],[null,1]" \
	"]},"                                                                                      \
	"\"open\":{\"events\":0}},\"policy\":{\"files\":[\"/etc/x\"],\"rules\":3,\"loaded\":1,"    \
	"\"error\":\"/etc/x:3: no\"},\"tracers\":0}}\n"

START_TEST(stats_are_readable)
{
	static const struct canned canned[] = { { "\"do\":\"stats\"", STATS }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_stats, ""), CTL_DONE);
	has(ctl_rig_out, "  pages            300 of 1000 (30.0 %)\n");
	has(ctl_rig_out, "  grants           64 of 128 (50.0 %) ");
	has(ctl_rig_out, "  memory waits     3 ");
	has(ctl_rig_out, "  not reloaded:    /etc/x:3: no\n");
	has(ctl_rig_out, "  mmap                   100, 1 failed, mean 12 us\n"
			 "    <    16 us         90 ########################################\n"
			 "    <    32 us          9 ####\n"
			 "    >    32 us          1 #\n");
	has_not(ctl_rig_out, "requests");
	has_not(ctl_rig_out, "  open ");
	has_not(ctl_rig_out, "  grant  ");
	has(ctl_rig_out, "\n  bad_gntref       3\n");
	ck_assert_int_eq(ctl_rig_run(ctl_stats, "--json"), CTL_DONE);
	has(ctl_rig_out, "  \"handle_limit\": 128,\n");
}
END_TEST

#define LATER                                                                                      \
	"{\"end\":{\"opens\":4,\"maps\":7,\"pages\":300,\"windows\":2,\"handles\":64,"             \
	"\"failures\":{"                                                                           \
	"\"request\":5,\"grant\":0},\"operations\":{\"mmap\":{\"events\":300,\"failed\":4,\"us\":" \
	"5250,"                                                                                    \
	"\"histogram\":[[16,190],[32,109],[null,1]]},\"open\":{\"events\":0}}}}\n"

/* What "stats --json" has printed at one time, and what a daemon says at another one. */
START_TEST(stats_tell_of_changes)
{
	static const struct canned canned[] = { { "\"do\":\"stats\"", LATER }, { 0 } };
	char path[64], line[128];
	const char *object = strchr(STATS, ':') + 1;
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/test-ctl-%d.since", (int)getpid());
	snprintf(line, sizeof(line), "--since=%s", path);
	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_stats, line), CTL_FAILED);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	/* Without the brace that ends the line. */
	fprintf(f, "%.*s\n", (int)strlen(object) - 2, object);
	fclose(f);
	ck_assert_int_eq(ctl_rig_run(ctl_stats, line), CTL_DONE);
	has(ctl_rig_out, "  opens            4 (+1)\n  maps             7 (-2)\n"
			 "  pages            300 (+0)\n");
	has(ctl_rig_out, "\nfailures\n  request          +2\noperations ");
	has(ctl_rig_out,
	    "\n  mmap                         200         3         -      16 us      32 us\n");
	has_not(ctl_rig_out, "open ");
	/* Less than before: of another daemon. */
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("{\"operations\":{\"mmap\":{\"events\":301}}}", f);
	fclose(f);
	ck_assert_int_eq(ctl_rig_run(ctl_stats, line), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "another daemon serves since then, and counts anew\n");
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("[]", f);
	fclose(f);
	ck_assert_int_eq(ctl_rig_run(ctl_stats, line), CTL_FAILED);
	has(ctl_rig_err, "what \"gntdevctl stats --json\" prints is wanted");
	unlink(path);
}
END_TEST

#define RESTARTED                                                                              \
	"{\"end\":{\"waiting\":2,\"state\":{\"version\":2,\"survived\":3,\"outage_ms\":12.54," \
	"\"again\":4,\"poison\":5}}}\n"

START_TEST(stats_tell_of_restarts)
{
	static const struct canned canned[] = { { "\"do\":\"stats\"", RESTARTED }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_stats, ""), CTL_DONE);
	has(ctl_rig_out, "  survived         3 ");
	has(ctl_rig_out, "  last outage      12.5 ms ");
	has(ctl_rig_out, "  again            4 ");
	has(ctl_rig_out, "  poison           5 ");
}
END_TEST

/* A daemon's program, as far as it is asked. Return: "--check=PROGRAM" */
static const char *program(const char *script)
{
	static char option[64] = "--check=/tmp/gntdev-adopts.XXXXXX";
	char *path = option + strlen("--check=");
	int fd;

	strcpy(path, "/tmp/gntdev-adopts.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	dprintf(fd, "#!/bin/sh\ntest \"$1\" = --adopts || exit 1\n%s\n", script);
	ck_assert_int_eq(fchmod(fd, 0700), 0);
	close(fd);
	return option;
}

START_TEST(upgrade_asks_both)
{
	static const struct canned canned[] = { { "\"do\":\"stats\"", RESTARTED }, { 0 } };
	static const struct {
		const char *script;
		int status;
	} programs[] = {
		{ "echo 2", CTL_DONE },		{ "echo 1; echo 2; echo 3", CTL_DONE },
		{ "echo 1; echo 3", CTL_BAD },	{ "echo 22", CTL_BAD },
		{ "echo 2x", CTL_BAD },		{ "", CTL_BAD },
		{ "echo 2; exit 64", CTL_BAD },
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_upgrade, "--running"), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "2\n");
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		const char *option = program(programs[i].script);
		int status = ctl_rig_run(ctl_upgrade, option);

		unlink(option + strlen("--check="));
		assert_each(status == programs[i].status, "\"%s\": %d", programs[i].script, status);
	}
	ck_assert_int_eq(ctl_rig_run(ctl_upgrade, "--check=/nowhere/at/all"), CTL_FAILED);
}
END_TEST

START_TEST(upgrade_of_one_without_a_keeper)
{
	static const struct canned canned[] = { { "\"do\":\"stats\"", STATS }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_upgrade, "--running"), CTL_BAD);
	ck_assert_int_eq(ctl_rig_run(ctl_upgrade, "--check=/bin/true"), CTL_BAD);
	has(ctl_rig_err, "takes away what its clients have");
}
END_TEST

START_TEST(metrics_are_the_daemons_text)
{
	static const struct canned canned[] = {
		{ "\"do\":\"metrics\"", "{\"end\":{\"text\":\"# HELP a\\na 1\\n\"}}\n" }, { 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_metrics, ""), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "# HELP a\na 1\n");
}
END_TEST

#define FAILURE                                                                                    \
	"{\"failure\":{\"seq\":7,\"time\":1500000000123456789,\"kind\":\"grant\",\"op\":\"mmap\"," \
	"\"pid\":731,\"uid\":0,\"command\":\"q\\u0007\",\"errno\":\"EINVAL\",\"domid\":1,\"ref\":" \
	"8,"                                                                                       \
	"\"status\":\"bad_gntref\",\"status_words\":\"no such grant\",\"text\":\"it failed\","     \
	"\"cause\":\"this\",\"remedy\":\"that\",\"left_out\":4}}\n"

START_TEST(errors_tell_cause_and_remedy)
{
	static const struct canned canned[] = {
		{ "\"do\":\"errors\"",
		  FAILURE "{\"failure\":{\"seq\":8,\"op\":\"MAP_GRANT_REF\",\"rule\":\"r\"}}\n"
			  "{\"end\":{\"last\":8}}\n" },
		{ 0 }
	};

	setenv("TZ", "UTC", 1);
	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_errors, "-n 2"), CTL_DONE);
	has(ctl_rig_requests(), "\"max\":2}");
	has(ctl_rig_out, "[7] 2017-07-14 02:40:00.123456 mmap: EINVAL, client 731 q? of user root\n"
			 "    what    it failed\n"
			 "    grant   8 of domain 1: bad_gntref, no such grant\n"
			 "    cause   this\n"
			 "    remedy  that\n"
			 "    4 more of this client before this one are not listed\n[8] ");
	has(ctl_rig_out, " MAP_GRANT_REF\n    rule    r\n");
	ck_assert_int_eq(ctl_rig_run(ctl_errors, "--json"), CTL_DONE);
	ck_assert_int_eq(strncmp(ctl_rig_out, FAILURE, strlen(FAILURE)), 0);
}
END_TEST

#define EVENTS                                                                                   \
	"{\"event\":{\"time\":1500000000123456789,\"us\":12.3,\"kind\":\"ioctl\","               \
	"\"op\":\"MAP_GRANT_REF\",\"pid\":716,\"uid\":0,\"open\":\"100000001\",\"index\":12288," \
	"\"pages\":3,\"domid\":1,\"ref\":8,\"result\":0}}\n"                                     \
	"{\"lost\":7}\n"                                                                         \
	"{\"event\":{\"time\":1500000000123456789,\"us\":1234,\"kind\":\"hypercall\","           \
	"\"op\":\"hypercall_map\",\"pages\":3,\"result\":1,\"status\":\"bad_gntref\"}}\n"        \
	"{\"event\":{\"time\":1500000000123456789,\"us\":1,\"kind\":\"ioctl\",\"pid\":9,"        \
	"\"op\":\"GET_OFFSET_FOR_VADDR\",\"addr\":4096,\"errno\":\"EINVAL\"}}\n"

START_TEST(trace_is_like_strace)
{
	static const struct canned canned[] = { { "\"do\":\"trace\"", EVENTS }, { 0 } };

	setenv("TZ", "UTC", 1);
	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_trace, "--count=3 --pid 716 --domid 1 --failed"),
			 CTL_DONE);
	has(ctl_rig_requests(), "\"pid\":716,\"domid\":1,\"failed\":true}");
	ck_assert_str_eq(
		ctl_rig_out,
		"02:40:00.123456    716 MAP_GRANT_REF(open 100000001, index 0x3000, pages 3, "
		"domid 1, ref 8) = 0 <12 us>\n"
		"... 7 events lost: more of them than can be read\n"
		"02:40:00.123456      - hypercall_map(pages 3) = 1 failed (bad_gntref) <1.2 ms>\n"
		"02:40:00.123456      9 GET_OFFSET_FOR_VADDR(addr 0x1000) = -1 EINVAL <1.0 us>\n");
	ck_assert_int_eq(ctl_rig_run(ctl_trace, "--count=3 --json"), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, EVENTS);
}
END_TEST

START_TEST(trace_ends_after_its_time)
{
	static const struct canned canned[] = { { "\"do\":\"trace\"", EVENTS }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_trace, "--seconds=1"), CTL_DONE);
	has(ctl_rig_out, "MAP_GRANT_REF(");
}
END_TEST

static void *interrupt(void *arg)
{
	(void)arg;
	usleep(300000);
	kill(getpid(), SIGINT);
	return NULL;
}

static int interrupted_trace(struct ctl *ctl, int argc, char **argv)
{
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, interrupt, NULL), 0);
	pthread_detach(t);
	return ctl_trace(ctl, argc, argv);
}

START_TEST(trace_ends_well_by_a_signal)
{
	static const struct canned canned[] = { { "\"do\":\"trace\"", EVENTS }, { 0 } };

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(interrupted_trace, ""), CTL_DONE);
	has(ctl_rig_out, "MAP_GRANT_REF(");
}
END_TEST

START_TEST(a_policy_file_is_checked)
{
	char path[64], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/test-ctl-%d.conf", (int)getpid());
	snprintf(line, sizeof(line), "check %s", path);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, line), CTL_BAD);
	has(ctl_rig_err, "No such file");
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("# nothing\n", f);
	fclose(f);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, line), CTL_DONE);
	has(ctl_rig_out, ": good, rules: 0, limits: 0\n");
	/* The daemon reads another one. */
	has_not(ctl_rig_out, "reload");
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("nonsense = {\n", f);
	for (int i = 0; i < 22; i++)
		fputs("rule r { action = }\n", f);
	fclose(f);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, line), CTL_BAD);
	has(ctl_rig_err, path);
	has(ctl_rig_err, ":2: unexpected token '}'\n");
	/* 1 of the first line, 22 values. */
	has(ctl_rig_err, "gntdevctl: and 3 more\n");
	strcat(line, " --json");
	ck_assert_int_eq(ctl_rig_run(ctl_policy, line), CTL_BAD);
	has(ctl_rig_out, "\"good\": false");
	has(ctl_rig_out, "\"more_errors\": 3");
	/* What is wrong may be no text at all. */
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("rule \"x\" { action = \xff }\n", f);
	fclose(f);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, line), CTL_BAD);
	has(ctl_rig_out, ":1: action \\\"\\uFFFD\\\": allow, deny or read-only is wanted\"");
	unlink(path);
	ck_assert_int_eq(ctl_rig_run(ctl_policy, "check /tmp/\xff --json"), CTL_BAD);
	has(ctl_rig_out, "\"file\": \"/tmp/\\uFFFD\"");
}
END_TEST

START_TEST(doctor_tells_what_is_no_text)
{
	char dir[64], etc[80], path[128], line[128];
	FILE *f;

	snprintf(dir, sizeof(dir), "/tmp/test-ctl-%d.root", (int)getpid());
	snprintf(etc, sizeof(etc), "%s/etc", dir);
	snprintf(path, sizeof(path), "%s/cuse-gntdev.conf", etc);
	ck_assert(!mkdir(dir, 0755) && !mkdir(etc, 0755));
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("rule \"x\" { action = \xff }\n", f);
	fclose(f);
	snprintf(line, sizeof(line), "--json --root=%s", dir);
	ck_assert_int_eq(ctl_rig_run(ctl_doctor, line), CTL_BAD);
	has(ctl_rig_out, "\"check\":\"policy\",\"level\":\"fault\"");
	has(ctl_rig_out, "\"check\":\"node\"");
	unlink(path);
	rmdir(etc);
	rmdir(dir);
}
END_TEST

START_TEST(a_graph_is_text_or_a_drawing)
{
	static const struct canned canned[] = { { "\"do\":\"list\"", LIST },
						{ "\"do\":\"stats\"", STATS },
						{ 0 } };
	char path[64], line[128], bin[64], dot[80];
	struct stat st;

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_graph, ""), CTL_DONE);
	has(ctl_rig_out, "p717 -> d1 [label=\"  3 pages rw, 1 map  \", penwidth=1];");
	ck_assert_int_eq(ctl_rig_run(ctl_graph, "--json"), CTL_DONE);
	has(ctl_rig_out, "{\n  \"dot\": \"digraph gntdev {");
	snprintf(path, sizeof(path), "/tmp/test-ctl-%d.svg", (int)getpid());
	snprintf(line, sizeof(line), "--svg=%s", path);
	/* A directory of a dot that copies: what it is given is what comes out. */
	snprintf(bin, sizeof(bin), "/tmp/test-ctl-%d.bin", (int)getpid());
	snprintf(dot, sizeof(dot), "%s/dot", bin);
	ck_assert_int_eq(mkdir(bin, 0755), 0);
	ck_assert_int_eq(symlink("/bin/cat", dot), 0);
	setenv("PATH", bin, 1);
	ck_assert_int_eq(ctl_rig_run(ctl_graph, line), CTL_FAILED);
	has(ctl_rig_err, "dot has failed");
	setenv("PATH", "/nonexistent", 1);
	ck_assert_int_eq(ctl_rig_run(ctl_graph, line), CTL_FAILED);
	has(ctl_rig_err, "apt-get install graphviz");
	/* What could not be drawn is no file. */
	ck_assert_int_eq(stat(path, &st), -1);
	setenv("PATH", bin, 1);
	unlink(dot);
	ck_assert_int_eq(symlink("/bin/true", dot), 0);
	ck_assert_int_eq(ctl_rig_run(ctl_graph, line), CTL_DONE);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(ctl_rig_run(ctl_graph, "--svg=/nonexistent/x"), CTL_FAILED);
	has(ctl_rig_err, "/nonexistent/x: No such file");
	ck_assert_int_eq(ctl_rig_run(ctl_graph, "--svg --html"), CTL_USAGE);
	unlink(path);
	unlink(dot);
	rmdir(bin);
}
END_TEST

START_TEST(a_page_loads_nothing)
{
	static const struct canned canned[] = {
		{ "\"do\":\"list\"", "{\"open\":{\"id\":\"1\",\"pid\":7,\"uid\":0,\"command\":"
				     "\"</script><img src=x>&\"}}\n{\"end\":{}}\n" },
		{ "\"do\":\"stats\"", STATS },
		{ "\"do\":\"errors\"", FAILURE "{\"end\":{\"last\":7}}\n" },
		{ 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_graph, "--html"), CTL_DONE);
	ck_assert_int_eq(strncmp(ctl_rig_out, "<!DOCTYPE html>", 15), 0);
	has(ctl_rig_out, "\"command\":\"\\u003c/script\\u003e\\u003cimg src=x\\u003e\\u0026\"");
	has_not(ctl_rig_out, "<img");
	has_not(ctl_rig_out, "@DATA@");
	has(ctl_rig_out, "\"users\":{\"0\":\"root\"}");
	has(ctl_rig_out, "\"things\":[[\"opens\",\"\",\"opens_per_user\"],");
	has(ctl_rig_out, "\"remedy\":\"that\"");
	has(ctl_rig_out, "default-src 'none'");
	ck_assert_str_eq(strrchr(ctl_rig_out, '<'), "</html>\n");
}
END_TEST

START_TEST(top_prints_pictures)
{
	static const struct canned canned[] = {
		{ "\"do\":\"hello\"",
		  "{\"end\":{\"device\":\"xen/gntdev\",\"hypervisor\":\"sim\",\"pid\":7,"
		  "\"version\":\"1\"}}\n" },
		{ "\"do\":\"stats\"", STATS },
		{ "\"maps\":false", OPEN "{\"end\":{}}\n" },
		{ 0 }
	};

	ctl_rig_start(canned);
	ck_assert_int_eq(ctl_rig_run(ctl_top, "--batch --count 2"), CTL_DONE);
	has(ctl_rig_out, "/dev/xen/gntdev  hypervisor sim  daemon 7  version 1\n");
	has(ctl_rig_out,
	    "grants 64 of 128 (50.0 %)  quarantined 2  window places 8 of 256 (3.1 %)\n");
	has(ctl_rig_out,
	    "    716 root              33       2    1m 1s  evil?[2J?        a.service\n");
	harmless(ctl_rig_out);
	ck_assert_int_eq(ctl_rig_run(ctl_top, "--batch --count 1 --json"), CTL_DONE);
	has(ctl_rig_out, "{\"stats\":{\"opens\":3,");
	/* There is no terminal here. */
	ck_assert_int_eq(ctl_rig_run(ctl_top, ""), CTL_FAILED);
	has(ctl_rig_err, "top --batch");
}
END_TEST

Suite *gntdevctl_suite(void)
{
	Suite *s = suite_create("gntdevctl");
	TCase *tc = tcase_create("commands");

	/* More than CTL_PATIENCE_MS. */
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, list_prints_a_table);
	tcase_add_test(tc, list_without_legend);
	tcase_add_test(tc, opens_have_sums);
	tcase_add_test(tc, an_empty_list_says_so);
	tcase_add_test(tc, a_unit_without_suffix_is_a_service);
	tcase_add_test(tc, a_letter_has_one_meaning);
	tcase_add_test(tc, list_prints_records);
	tcase_add_test(tc, json_is_ascii);
	tcase_add_test(tc, list_asks_for_what_is_wanted);
	tcase_add_test(tc, a_wrong_command_line_asks_nothing);
	tcase_add_test(tc, show_prints_one);
	tcase_add_test(tc, stats_are_readable);
	tcase_add_test(tc, stats_tell_of_restarts);
	tcase_add_test(tc, stats_tell_of_changes);
	tcase_add_test(tc, upgrade_asks_both);
	tcase_add_test(tc, upgrade_of_one_without_a_keeper);
	tcase_add_test(tc, metrics_are_the_daemons_text);
	tcase_add_test(tc, errors_tell_cause_and_remedy);
	tcase_add_test(tc, trace_is_like_strace);
	tcase_add_test(tc, trace_ends_after_its_time);
	tcase_add_test(tc, trace_ends_well_by_a_signal);
	tcase_add_test(tc, a_policy_file_is_checked);
	tcase_add_test(tc, doctor_tells_what_is_no_text);
	tcase_add_test(tc, a_graph_is_text_or_a_drawing);
	tcase_add_test(tc, a_page_loads_nothing);
	tcase_add_test(tc, top_prints_pictures);
	suite_add_tcase(s, tc);
	return s;
}
