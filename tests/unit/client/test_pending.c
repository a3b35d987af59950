/* SPDX-License-Identifier: MIT */
/*
 * client/test_pending.c - whether a signal ends a call: of a process that is stopped, where signals wait
 */
#include "client/pending.h"

#include <check.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the process does with it, what is sent, whether that ends a call. */
struct row {
	const char *what;
	void (*handler)(int);
	int sig;
	bool blocked;
	bool interrupts;
};

static void on_signal(int sig)
{
	(void)sig;
}

static const struct row row[] = {
	{ "nothing", SIG_DFL, 0, false, false },
	{ "handled", on_signal, SIGUSR1, false, true },
	{ "handled and harmless", on_signal, SIGWINCH, false, true },
	{ "handled and blocked", on_signal, SIGUSR1, true, false },
	{ "ignored", SIG_IGN, SIGUSR1, false, false },
	{ "ends the process", SIG_DFL, SIGQUIT, false, true },
	{ "would, if it were not blocked", SIG_DFL, SIGQUIT, true, false },
	{ "stops it", SIG_DFL, SIGTSTP, false, false },
	{ "harmless", SIG_DFL, SIGURG, false, false },
};

static void be(unsigned int i)
{
	struct sigaction sa = { .sa_handler = row[i].handler };
	sigset_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (row[i].sig)
		sigaction(row[i].sig, &sa, NULL);
	sigemptyset(&set);
	if (row[i].blocked)
		sigaddset(&set, row[i].sig);
	sigprocmask(SIG_SETMASK, &set, NULL);
	raise(SIGSTOP);
	for (;;)
		pause();
}

START_TEST(what_waits)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		be((unsigned int)_i);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	ck_assert(!pending_interrupts(pid));
	if (row[_i].sig)
		kill(pid, row[_i].sig);
	ck_assert_msg(pending_interrupts(pid) == row[_i].interrupts, "%s", row[_i].what);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* Who cannot be seen may have been killed. */
	ck_assert(pending_interrupts(pid));
	ck_assert(pending_interrupts(0));
}
END_TEST

Suite *pending_suite(void);
Suite *pending_suite(void)
{
	Suite *s = suite_create("pending");
	TCase *tc = tcase_create("pending");

	tcase_add_loop_test(tc, what_waits, 0, sizeof(row) / sizeof(row[0]));
	suite_add_tcase(s, tc);
	return s;
}
