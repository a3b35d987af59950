/* SPDX-License-Identifier: MIT */
/*
 * base/log.c - what the daemon says, and how often
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "base/logqueue.h"

/* Where in the source a line was written does not help who reads the journal. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define LINE_MAX_BYTES 1024

/* Standard error can have been made nonblocking by others who have it, too: how long it may be full, ms. */
#define FULL_MS 1000

/* How long the end of the process waits for the last lines to be taken, ms. */
#define END_MS 2000

static bool verbose_lines;
static bool journal;

/* systemd says which stream it made of standard error; it may have been redirected since. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

void log_init(bool verbose)
{
	verbose_lines = verbose;
	journal = stderr_is_journal();
}

/* Return: whether all of it was taken. */
static bool put_all(const char *s, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	while (len) {
		ssize_t n = write(STDERR_FILENO, s, len);

		if (n < 0 && errno == EAGAIN && poll(&p, 1, FULL_MS) == 1)
			continue;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		s += n;
		len -= (size_t)n;
	}
	return true;
}

/* For the journal with its priority, as sd-daemon(3) has it; who says it is known there. */
static bool put_line(int prio, const char *line)
{
	const char level[] = { '<', (char)('0' + prio), '>', '\0' };
	char buf[LINE_MAX_BYTES + 32];
	int n = snprintf(buf, sizeof(buf), "%s%s\n", journal ? level : "cuse_gntdev: ", line);

	return put_all(buf, (size_t)n);
}

static struct iovec piece(const char *s)
{
	return (struct iovec){ (void *)(uintptr_t)s, strlen(s) };
}

static bool put_entry(int prio, const char *line, const struct log_fields *f)
{
	char message[LINE_MAX_BYTES + 16], priority[16];
	struct iovec iov[LOG_FIELDS_MAX + 3];
	int n = 0;

	snprintf(message, sizeof(message), "MESSAGE=%s", line);
	snprintf(priority, sizeof(priority), "PRIORITY=%d", prio);
	iov[n++] = piece(message);
	iov[n++] = piece(priority);
	iov[n++] = piece("SYSLOG_IDENTIFIER=cuse_gntdev");
	for (unsigned int i = 0; i < f->n; i++)
		iov[n++] = piece(f->field[i]);
	return sd_journal_sendv(iov, n) >= 0 || put_line(prio, line);
}

static bool write_out(int prio, const char *line, const struct log_fields *f)
{
	return journal && f ? put_entry(prio, line, f) : put_line(prio, line);
}

static bool tell_lost(unsigned long n)
{
	char line[LINE_MAX_BYTES];

	snprintf(line, sizeof(line),
		 "%s%lu lines of the log are lost here: nobody took them in time",
		 journal ? "" : "warning: ", n);
	return put_line(LOG_WARNING, line);
}

/*
 * Only what has fields goes by the journal's own protocol. The journal finds out whose entry it is when
 * it reads it: what a process says that ends at once, such as why it does not start, would be shown for
 * no unit. A line on standard error is the unit's from the start.
 *
 * @prefix: on a terminal, where there is no priority to see
 */
static void put(int prio, const char *prefix, const struct log_fields *f, const char *fmt,
		va_list ap)
{
	char line[LINE_MAX_BYTES];
	int n = journal ? 0 : snprintf(line, sizeof(line), "%s", prefix);

	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	n = (int)strlen(line);
	if (n && line[n - 1] == '\n')
		line[n - 1] = '\0';
	if (!logqueue_put(prio, line, f))
		write_out(prio, line, f);
}

#define LOG_FUNCTION(name, prio, prefix)          \
	void name(const char *fmt, ...)           \
	{                                         \
		va_list ap;                       \
                                                  \
		va_start(ap, fmt);                \
		put(prio, prefix, NULL, fmt, ap); \
		va_end(ap);                       \
	}

LOG_FUNCTION(log_err, LOG_ERR, "error: ")
LOG_FUNCTION(log_warn, LOG_WARNING, "warning: ")
LOG_FUNCTION(log_info, LOG_INFO, "")

void log_by(int prio, const char *fmt, va_list ap)
{
	if (prio < LOG_DEBUG || verbose_lines)
		put(prio, "", NULL, fmt, ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!verbose_lines)
		return;
	va_start(ap, fmt);
	put(LOG_DEBUG, "debug: ", NULL, fmt, ap);
	va_end(ap);
}

void log_fields_init(struct log_fields *f, int prio, const char *id)
{
	f->prio = prio;
	f->n = 0;
	log_field(f, "MESSAGE_ID=%s", id);
}

void log_field(struct log_fields *f, const char *fmt, ...)
{
	va_list ap;

	if (f->n == LOG_FIELDS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(f->field[f->n++], LOG_FIELD_SIZE, fmt, ap);
	va_end(ap);
}

void log_with_fields(const struct log_fields *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(f->prio, f->prio <= LOG_ERR ? "error: " : "", f, fmt, ap);
	va_end(ap);
}

int log_start(void)
{
	return logqueue_start(write_out, tell_lost);
}

void log_stop(void)
{
	logqueue_stop(END_MS);
}

void log_abort(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(LOG_CRIT, "bug: ", NULL, fmt, ap);
	va_end(ap);
	logqueue_flush(END_MS);
	abort();
}
