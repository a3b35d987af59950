/* SPDX-License-Identifier: MIT */
/*
 * base/test_log.c - nobody waits for the log, and what it loses is counted
 *
 * Standard error is a pipe or a file of the test's own; libsystemd's sd_journal_sendv() is ours, and hangs on
 * demand.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "base/logqueue.h"
#include "base/stdfds.h"
#include "tests/unit/suite.h"

/* More than the queue and a pipe of one page take. */
#define MANY (3 * LOGQUEUE_MAX)

static int from; /* the other end of standard error */
static FILE *lines;

/* Closed to let the journal go on. */
static int journal_gate[2];
static unsigned int n_entries;

int sd_journal_sendv(const struct iovec *iov, int n);

int sd_journal_sendv(const struct iovec *iov, int n)
{
	char byte;

	(void)iov;
	(void)n;
	while (read(journal_gate[0], &byte, 1) < 0 && errno == EINTR)
		;
	__atomic_add_fetch(&n_entries, 1, __ATOMIC_RELAXED);
	return 0;
}

static void before(void)
{
	int pair[2];

	ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
	ck_assert_int_gt(fcntl(pair[1], F_SETPIPE_SZ, 4096), 0);
	ck_assert_int_eq(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
	close(pair[1]);
	from = pair[0];
	lines = fdopen(from, "r");
	/* As the daemon does. */
	signal(SIGPIPE, SIG_IGN);
	unsetenv("JOURNAL_STREAM");
	log_init(false);
}

static void after(void)
{
	fclose(lines);
}

static void say(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		log_info("line %u", i);
}

/* What is there until the end of the log: numbers in order, and what is lost in its place. */
static void read_all(unsigned int n, unsigned long *lost)
{
	unsigned long next = 0, number;
	char buf[256];

	*lost = 0;
	while (next < n && fgets(buf, sizeof(buf), lines)) {
		if (sscanf(buf, "cuse_gntdev: line %lu", &number) == 1) {
			assert_each(number == next, "%lu behind %lu", number, next);
			next++;
		} else {
			assert_each(sscanf(buf, "cuse_gntdev: warning: %lu lines", &number) == 1,
				    "%s", buf);
			*lost += number;
			next += number;
		}
	}
	ck_assert_uint_eq(next, n);
}

START_TEST(a_line_is_there_at_once_before_there_is_a_thread)
{
	char buf[64] = "";

	log_err("cannot start");
	ck_assert_int_gt(read(from, buf, sizeof(buf) - 1), 0);
	ck_assert_str_eq(buf, "cuse_gntdev: error: cannot start\n");
}
END_TEST

START_TEST(a_full_pipe_stops_nobody)
{
	unsigned long lost;

	ck_assert_int_eq(log_start(), 0);
	say(MANY);
	read_all(MANY, &lost);
	ck_assert_uint_gt(lost, 0);
	ck_assert(logqueue_flush(60000));
	log_stop();
}
END_TEST

START_TEST(the_end_does_not_wait_for_ever)
{
	ck_assert_int_eq(log_start(), 0);
	say(MANY);
	log_stop();
	/* The thread is left behind, and so is what comes now. */
	say(MANY);
}
END_TEST

static void *read_slowly(void *arg)
{
	usleep(50000);
	read_all(LOGQUEUE_MAX / 2, arg);
	return NULL;
}

START_TEST(all_is_written_at_the_end)
{
	unsigned long lost;
	pthread_t reader;

	ck_assert_int_eq(log_start(), 0);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_slowly, &lost), 0);
	say(LOGQUEUE_MAX / 2);
	log_stop();
	pthread_join(reader, NULL);
	ck_assert_uint_eq(lost, 0);
}
END_TEST

/* Whoever shares the open file description can have set that. */
START_TEST(a_nonblocking_standard_error_loses_nothing)
{
	unsigned long lost;
	pthread_t reader;

	ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(log_start(), 0);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_slowly, &lost), 0);
	say(LOGQUEUE_MAX / 2);
	log_stop();
	pthread_join(reader, NULL);
	ck_assert_uint_eq(lost, 0);
}
END_TEST

START_TEST(it_can_be_started_again)
{
	unsigned long lost;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(log_start(), 0);
		say(2);
		log_stop();
		read_all(2, &lost);
		ck_assert_uint_eq(lost, 0);
	}
}
END_TEST

START_TEST(a_journal_that_hangs_stops_nobody)
{
	struct log_fields f;
	char stream[64];
	struct stat st;

	ck_assert_int_eq(pipe2(journal_gate, O_CLOEXEC), 0);
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%lu:%lu", (unsigned long)st.st_dev,
		 (unsigned long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(false);
	ck_assert_int_eq(log_start(), 0);
	log_fields_init(&f, LOG_WARNING, "023c8816998846e1803e19f1872e475e");
	log_field(&f, "GNTDEV_PID=%d", 17);
	for (int i = 0; i < MANY; i++)
		log_with_fields(&f, "line %d", i);
	ck_assert_uint_eq(__atomic_load_n(&n_entries, __ATOMIC_RELAXED), 0);
	close(journal_gate[1]);
	ck_assert(logqueue_flush(60000));
	ck_assert_uint_ge(n_entries, LOGQUEUE_MAX);
	ck_assert_uint_lt(n_entries, MANY);
	log_stop();
}
END_TEST

START_TEST(what_leads_to_an_abort_is_written_first)
{
	char buf[64] = "";
	int status;
	pid_t child = fork();

	if (!child) {
		log_start();
		log_abort("number %d", 17);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	ck_assert_int_gt(read(from, buf, sizeof(buf) - 1), 0);
	ck_assert_ptr_nonnull(strstr(buf, "number 17\n"));
}
END_TEST

START_TEST(nothing_else_gets_a_standard_number)
{
	int status;
	pid_t child = fork();

	if (!child) {
		close_range(STDIN_FILENO, STDERR_FILENO, 0);
		_exit(!stdfds_occupy() || open("/dev/null", O_RDWR) <= STDERR_FILENO ||
		      write(STDERR_FILENO, "", 1) != -1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

Suite *log_suite(void);

Suite *log_suite(void)
{
	const TTest *const tests[] = {
		a_line_is_there_at_once_before_there_is_a_thread,
		a_full_pipe_stops_nobody,
		the_end_does_not_wait_for_ever,
		all_is_written_at_the_end,
		a_nonblocking_standard_error_loses_nothing,
		it_can_be_started_again,
		a_journal_that_hangs_stops_nobody,
		what_leads_to_an_abort_is_written_first,
		nothing_else_gets_a_standard_number,
	};

	return suite_of("log", tests, sizeof(tests) / sizeof(tests[0]), before, after);
}
