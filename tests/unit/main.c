/* SPDX-License-Identifier: MIT */
/*
 * main.c - runs one suite of unit tests and reports it as TAP
 *
 * Each test_NAME.c in tests/unit or a room of it is a program of its own: it defines `Suite *NAME_suite(void)` and may
 * bring doubles of whole modules, since the daemon's modules are linked from an archive. The
 * Makefile passes that name as SUITE, and ROOM/NAME as SUITE_NAME.
 *
 * Check forks for each test: a crash, a sanitizer's report (leaks included) or a time-out fails
 * that test alone. CK_RUN_CASE=name runs one case; CK_FORK=no is for debuggers.
 *
 * What a test prints, and the daemon's modules in it, goes to a file that is shown, as comments, below the line of a
 * test that has failed, and forgotten otherwise. Check writes its line when a test has ended and the next has not
 * begun; it writes it to stdout, which is a stream of ours. What this process itself has to complain of, such as a
 * leak, goes to its standard error.
 */
#include <check.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* For a test that says nothing else, seconds; CK_TIMEOUT_MULTIPLIER makes all longer. */
#define TIMEOUT "60"
/* More of what a failed test has printed is left out: its beginning. */
#define LOG_BYTES 16384

Suite *SUITE(void);

static SRunner *suite_runner;
static FILE *tap;
/* What tests print, appended. */
static int log_fd;
static pid_t runner;
static struct timespec last;

static double seconds_since_last(void)
{
	struct timespec now;
	double s;

	clock_gettime(CLOCK_MONOTONIC, &now);
	s = (double)(now.tv_sec - last.tv_sec) + (double)(now.tv_nsec - last.tv_nsec) / 1e9;
	last = now;
	return s;
}

/* The end of what the test that has just ended has printed. */
static void show_log(void)
{
	off_t size = lseek(log_fd, 0, SEEK_END);
	off_t from = size > LOG_BYTES ? size - LOG_BYTES : 0;
	static char text[LOG_BYTES + 1];
	ssize_t n = pread(log_fd, text, LOG_BYTES, from);

	text[n > 0 ? n : 0] = '\0';
	if (from)
		fprintf(tap, "#   (%lld bytes before this)\n", (long long)from);
	for (char *next = text, *line; (line = strsep(&next, "\n"));)
		if (*line || next)
			fprintf(tap, "#   %s\n", line);
}

/*
 * print_name() - what a test is called: SUITE:CASE:TEST, and of one that runs in a loop which of them it is
 * @file: as check has it, or "(null)"
 * @what: of check's own line: FILE:CASE:TEST: MESSAGE
 */
static void print_name(const char *file, const char *what)
{
	static char previous[256];
	static int repeated;
	char name[256];

	what += strlen(file) + 1;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(what, " ") - 1, what);
	repeated = strcmp(name, previous) ? 0 : repeated + 1;
	memcpy(previous, name, sizeof(name));
	fprintf(tap, SUITE_NAME ":%s", name);
	if (repeated)
		fprintf(tap, "[%d]", repeated);
}

/* As comments but for the first line. */
static void print_lines(const char *text)
{
	for (; *text; text++) {
		putc(*text, tap);
		if (*text == '\n')
			fputs("#   ", tap);
	}
}

/* @line: "ok N - FILE:CASE:TEST: MESSAGE", "1..N", or the rest of a MESSAGE of several lines. */
static void tell(char *line)
{
	char *what = strstr(line, " - ");
	double s = seconds_since_last();
	TestResult **results, *result;
	const char *file, *message;

	if (!strncmp(line, "1..", 3))
		fprintf(tap, "%s\n", line);
	if (!what || (strncmp(line, "ok ", 3) && strncmp(line, "not ok ", 7)))
		return;
	results = srunner_results(suite_runner);
	result = results[srunner_ntests_run(suite_runner) - 1];
	/* There is none before a test's first check; printf() in check writes that. */
	file = tr_lfile(result) ? tr_lfile(result) : "(null)";
	message = tr_msg(result) ? tr_msg(result) : "";
	*what = '\0';
	fprintf(tap, "%s - ", line);
	print_name(file, what + 3);
	if (tr_rtype(result) != CK_PASS) {
		fprintf(tap, " - %s:%d: ", file, tr_lno(result));
		print_lines(message);
		if (strstr(message, "timeout"))
			fprintf(tap, ", after %.0f s", s);
	}
	putc('\n', tap);
	if (tr_rtype(result) != CK_PASS)
		show_log();
	free(results);
	if (ftruncate(log_fd, 0))
		warn("ftruncate");
}

static ssize_t tap_write(void *cookie, const char *buffer, size_t size)
{
	static char line[8192];
	static size_t have;

	(void)cookie;
	for (size_t i = 0; i < size; i++) {
		if (buffer[i] != '\n') {
			if (have < sizeof(line) - 1)
				line[have++] = buffer[i];
			continue;
		}
		line[have] = '\0';
		have = 0;
		tell(line);
	}
	fflush(tap);
	return (ssize_t)size;
}

/* In a child; a test's own children have what the test gives them. */
static void begin_test(void)
{
	if (getppid() == runner) {
		stdout = tap;
		dup2(log_fd, STDOUT_FILENO);
		dup2(log_fd, STDERR_FILENO);
	}
}

static void keep_what_tests_print(void)
{
	runner = getpid();
	tap = stdout;
	stdout = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = tap_write });
	log_fd = memfd_create("log", MFD_CLOEXEC);
	if (!stdout || log_fd < 0 || fcntl(log_fd, F_SETFL, O_APPEND) ||
	    pthread_atfork(NULL, NULL, begin_test))
		err(EXIT_FAILURE, "%s: no place for what tests print", SUITE_NAME);
}

int main(void)
{
	const char *fork = getenv("CK_FORK");
	int failed;

	setenv("CK_DEFAULT_TIMEOUT", TIMEOUT, false);
	if (!fork || strcmp(fork, "no") != 0)
		keep_what_tests_print();
	seconds_since_last();
	suite_runner = srunner_create(SUITE());
	srunner_set_tap(suite_runner, "-");
	srunner_run_all(suite_runner, CK_SILENT);
	failed = srunner_ntests_failed(suite_runner);
	srunner_free(suite_runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
