/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_terminal.c - what gntdevctl does if a person reads along: colour, a pager, the same again
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gntdevctl/text.h"
#include "tests/unit/gntdevctl/rig.h"
#include "tests/unit/suite.h"

#define LIST                                                                                       \
	"{\"open\":{\"id\":\"1\",\"pid\":716,\"uid\":0,\"command\":\"a\",\"maps\":1,\"pages\":3}}" \
	"\n"                                                                                       \
	"{\"map\":{\"open\":\"1\",\"id\":\"1:0\",\"pages\":3,\"domid\":1,\"state\":\"mapped\"}}\n" \
	"{\"end\":{\"opens\":1,\"maps\":1,\"pages\":3}}\n"

static const struct canned canned[] = { { "\"do\":\"list\"", LIST },
					{ "\"do\":\"errors\"", "{\"end\":{\"last\":0}}\n" },
					{ 0 } };

static char shown[65536];

/* What a terminal is sent until all that have it open have ended. */
static void read_terminal(int master)
{
	size_t n = 0;
	ssize_t k;

	while ((k = read(master, shown + n, sizeof(shown) - 1 - n)) > 0)
		n += (size_t)k;
	shown[n] = '\0';
	close(master);
}

/* ctl_rig_run() in a process whose standard output is a terminal. Return: its exit status */
static int run_on_terminal(int (*command)(struct ctl *ctl, int argc, char **argv), char *word)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), status;
	struct ctl ctl = { .socket = ctl_rig_path };
	char name[] = "gntdevctl", *argv[] = { name, word, NULL };
	pid_t pid;

	ck_assert(!grantpt(master) && !unlockpt(master));
	pid = fork();
	if (!pid) {
		int slave = open(ptsname(master), O_RDWR | O_NOCTTY);

		dup2(slave, STDOUT_FILENO);
		close(slave);
		close(master);
		stdout = fdopen(STDOUT_FILENO, "w");
		exit(command(&ctl, word ? 2 : 1, argv));
	}
	read_terminal(master);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void setup(void)
{
	static const char *const variables[] = { "GNTDEVCTL_PAGER", "PAGER",
						 "NO_COLOR",	    "LESS",
						 "SUDO_UID",	    "PKEXEC_UID",
						 "DOAS_USER",	    "LESSSECURE" };

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	setenv("TERM", "xterm", 1);
	/* As main() does: a pager may end before it has read. */
	signal(SIGPIPE, SIG_IGN);
	ctl_rig_start(canned);
}

START_TEST(long_output_has_a_pager)
{
	char no_pager[] = "--no-pager";

	setenv("PAGER", "cat >/dev/null; echo the other", 1);
	setenv("GNTDEVCTL_PAGER", "sed s/^/paged:/; echo \"$LESS\"", 1);
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	has(shown, "\r\npaged:1 opens, 1 maps, 3 pages\r\nFRX\r\n");
	ck_assert_int_eq(run_on_terminal(ctl_list, no_pager), CTL_DONE);
	has_not(shown, "paged:");
	unsetenv("GNTDEVCTL_PAGER");
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	ck_assert_str_eq(shown, "the other\r\n");
	setenv("GNTDEVCTL_PAGER", "", 1);
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	has(shown, "\r\n1 opens, 1 maps, 3 pages\r\n");
	/* What is no terminal is sent what it was. */
	setenv("GNTDEVCTL_PAGER", "sed s/^/paged:/", 1);
	ck_assert_int_eq(ctl_rig_run(ctl_list, ""), CTL_DONE);
	has_not(ctl_rig_out, "paged:");
}
END_TEST

START_TEST(a_pager_ends_when_it_likes)
{
	setenv("PAGER", "true", 1);
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	ck_assert_str_eq(shown, "");
}
END_TEST

/* From less as it comes a shell is two keys away, and what PAGER says is a command. */
START_TEST(who_has_lent_rights_gets_no_shell)
{
	static const char *const variables[] = { "SUDO_UID", "PKEXEC_UID", "DOAS_USER" };
	char dir[] = "/tmp/test-pager-XXXXXX", less[64];
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(less, sizeof(less), "%s/less", dir);
	f = fopen(less, "w");
	ck_assert_ptr_nonnull(f);
	fputs("#!/bin/sh\necho \"less $LESS $LESSSECURE ${LESSOPEN-none}\"\n", f);
	fchmod(fileno(f), 0755);
	fclose(f);
	setenv("PATH", dir, 1);
	setenv("GNTDEVCTL_PAGER", "echo a command", 1);
	setenv("PAGER", "echo a command", 1);
	setenv("LESS", "+!sh", 1);
	setenv("LESSOPEN", "|sh", 1);
	setenv(variables[_i], "1000", 1);
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	unlink(less);
	ck_assert_str_eq(shown, "less FRX 1 none\r\n");
	/* Where there is none, there is no pager. */
	snprintf(less, sizeof(less), "%s/cat", dir);
	ck_assert(!symlink("/bin/cat", less));
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	unlink(less);
	rmdir(dir);
	has(shown, "\r\n1 opens, 1 maps, 3 pages\r\n");
}
END_TEST

START_TEST(a_terminal_has_colour)
{
	char never[] = "--color=never", always[] = "--color=always";

	setenv("PAGER", "", 1);
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	has(shown, "\033[32mmapped   \033[0m");
	ck_assert_int_eq(run_on_terminal(ctl_list, never), CTL_DONE);
	has_not(shown, "\033");
	setenv("NO_COLOR", "", 1);
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	has(shown, "\033[32m");
	setenv("NO_COLOR", "1", 1);
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	has_not(shown, "\033");
	ck_assert_int_eq(run_on_terminal(ctl_list, always), CTL_DONE);
	has(shown, "\033[32m");
	unsetenv("NO_COLOR");
	setenv("TERM", "dumb", 1);
	ck_assert_int_eq(run_on_terminal(ctl_list, NULL), CTL_DONE);
	has_not(shown, "\033");
	setenv("TERM", "xterm", 1);
	ck_assert_int_eq(ctl_rig_run(ctl_list, ""), CTL_DONE);
	has_not(ctl_rig_out, "\033");
}
END_TEST

START_TEST(limits_have_colours)
{
	ck_assert_int_eq(ctl_share_paint(80, 100), CTL_PLAIN);
	ck_assert_int_eq(ctl_share_paint(81, 100), CTL_POOR);
	ck_assert_int_eq(ctl_share_paint(100, 100), CTL_WRONG);
	ck_assert_int_eq(ctl_share_paint(100, 0), CTL_PLAIN);
}
END_TEST

/* Once the third is asked for two have been printed. */
static void *interrupt_third(void *arg)
{
	const char *at;
	int n = 0;

	while (n < 3) {
		usleep(10000);
		n = 0;
		for (at = ctl_rig_requests(); (at = strstr(at, "\"do\":\"list\"")); at++)
			n++;
	}
	kill(getpid(), SIGINT);
	return arg;
}

static int watched_list(struct ctl *ctl, int argc, char **argv)
{
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, interrupt_third, NULL), 0);
	pthread_detach(t);
	return ctl_list(ctl, argc, argv);
}

START_TEST(it_is_printed_again_and_again)
{
	const char *second;

	ck_assert_int_eq(ctl_rig_run(watched_list, "--watch=1"), CTL_DONE);
	second = strstr(ctl_rig_out, "\n1 opens, 1 maps, 3 pages\n\nOPEN ");
	ck_assert_ptr_nonnull(second);
	has(second + 2, "\n1 opens, 1 maps, 3 pages\n");
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--watch=0"), CTL_USAGE);
	ck_assert_int_eq(ctl_rig_run(ctl_doctor, "--watch"), CTL_USAGE);
}
END_TEST

START_TEST(output_is_as_asked_for)
{
	ck_assert_int_eq(ctl_rig_run(ctl_list, "-o json"), CTL_DONE);
	ck_assert_int_eq(strncmp(ctl_rig_out, "{\"open\":", 8), 0);
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--output=text"), CTL_DONE);
	has(ctl_rig_out, "\n1 opens, ");
	ck_assert_int_eq(ctl_rig_run(ctl_list, "-o yaml"), CTL_USAGE);
	has(ctl_rig_err, "--output=yaml: \"json\" or \"text\" is wanted");
	ck_assert_int_eq(ctl_rig_run(ctl_list, "--color=red"), CTL_USAGE);
	has(ctl_rig_err, "--color=red: \"auto\", \"always\" or \"never\" is wanted");
	ck_assert_int_eq(ctl_rig_run(ctl_errors, ""), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "no failures so far\n");
	ck_assert_int_eq(ctl_rig_run(ctl_errors, "--no-legend"), CTL_DONE);
	ck_assert_str_eq(ctl_rig_out, "");
}
END_TEST

Suite *terminal_suite(void);

Suite *terminal_suite(void)
{
	Suite *s = suite_create("ctl_terminal");
	TCase *tc = tcase_create("terminal");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, long_output_has_a_pager);
	tcase_add_test(tc, a_pager_ends_when_it_likes);
	tcase_add_loop_test(tc, who_has_lent_rights_gets_no_shell, 0, 3);
	tcase_add_test(tc, a_terminal_has_colour);
	tcase_add_test(tc, limits_have_colours);
	tcase_add_test(tc, it_is_printed_again_and_again);
	tcase_add_test(tc, output_is_as_asked_for);
	suite_add_tcase(s, tc);
	return s;
}
