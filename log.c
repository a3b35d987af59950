/* SPDX-License-Identifier: MIT */
/*
 * log.c - what the daemon says, and how often
 */
#include "log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

/*
 * Clients are told apart by a small hash of their pid. Those that share a bucket share its budget, so
 * all together can never print more than BUCKETS * LOG_CLIENT_BURST lines in an interval.
 */
#define BUCKETS 256

/* One bucket in a word: pid << 32 | interval (20 bits) << 12 | lines so far (12 bits). */
#define BUCKET_LINES	0xfffULL
#define BUCKET_INTERVAL 0xfffffULL

static uint64_t buckets[BUCKETS];
static bool verbose_lines;
static bool journal;

void log_init(bool verbose)
{
	verbose_lines = verbose;
	journal = getenv("JOURNAL_STREAM") != NULL;
}

static void put_line(int prio, const char *prefix, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	size_t n = 0;
	int k;

	if (journal)
		n = (size_t)snprintf(line, sizeof(line), "<%d>", prio);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "cuse_gntdev: %s", prefix);
	k = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	if (k > 0)
		n += (size_t)k;
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* Nowhere to report a failure to. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

#define LOG_FUNCTION(name, prio, prefix)         \
	void name(const char *fmt, ...)          \
	{                                        \
		va_list ap;                      \
                                                 \
		va_start(ap, fmt);               \
		put_line(prio, prefix, fmt, ap); \
		va_end(ap);                      \
	}

LOG_FUNCTION(log_err, LOG_ERR, "error: ")
LOG_FUNCTION(log_warn, LOG_WARNING, "warning: ")
LOG_FUNCTION(log_info, LOG_INFO, "")

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!verbose_lines)
		return;
	va_start(ap, fmt);
	put_line(LOG_DEBUG, "debug: ", fmt, ap);
	va_end(ap);
}

/*
 * bucket_take() - count one line of a client
 * @left_out: lines of this client that were silent in the interval before
 *
 * Return: whether it may be printed.
 */
static bool bucket_take(pid_t pid, unsigned int *left_out)
{
	uint64_t *b = &buckets[((uint32_t)pid * 2654435761U) >> 24];
	struct timespec now;
	uint64_t old, key, lines;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	key = (uint64_t)(uint32_t)pid << 32 |
	      ((uint64_t)now.tv_sec / LOG_CLIENT_INTERVAL_S & BUCKET_INTERVAL) << 12;
	old = __atomic_load_n(b, __ATOMIC_RELAXED);
	do {
		*left_out = 0;
		lines = 1;
		if ((old ^ key) >> 12 << 44 == 0 && old) {
			/* The same interval, whoever it is. */
			lines = (old & BUCKET_LINES) + 1;
			if (lines > BUCKET_LINES)
				lines = BUCKET_LINES;
		} else if (old >> 32 == (uint32_t)pid && (old & BUCKET_LINES) > LOG_CLIENT_BURST) {
			*left_out = (unsigned int)((old & BUCKET_LINES) - LOG_CLIENT_BURST);
		}
	} while (!__atomic_compare_exchange_n(b, &old, key | lines, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return lines <= LOG_CLIENT_BURST;
}

void log_client(pid_t pid, const char *fmt, ...)
{
	unsigned int left_out;
	char prefix[96];
	va_list ap;
	int n;

	if (!bucket_take(pid, &left_out))
		return;
	n = snprintf(prefix, sizeof(prefix), "client %d: ", (int)pid);
	if (left_out)
		snprintf(prefix + n, sizeof(prefix) - (size_t)n,
			 "(%u%s more lines about it left out before this) ", left_out,
			 left_out >= BUCKET_LINES - LOG_CLIENT_BURST ? " or more" : "");
	va_start(ap, fmt);
	put_line(LOG_WARNING, prefix, fmt, ap);
	va_end(ap);
}
