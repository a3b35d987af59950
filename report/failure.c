/* SPDX-License-Identifier: MIT */
/*
 * report/failure.c - what went wrong for a client: told to the log, kept for gntdevctl errors
 *
 * The list of the last failures is a ring whose slots are guarded by sequence numbers, as those of
 * report/trace.c are; here several threads write. Each takes a number, which is its place. One that
 * finds its place still being written, by a thread that the whole ring has overtaken, drops its entry.
 */
#include "report/failure.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "hypercall.h"
#include "base/clock.h"
#include "base/log.h"

#define ENTRY_WORDS (sizeof(struct failure_entry) / sizeof(uint64_t))
static_assert(sizeof(struct failure_entry) % sizeof(uint64_t) == 0, "copied by words");

/* @seq: 2 * n + 1 while entry n is written, 2 * n + 2 when it has been; n counts from 0. */
struct slot {
	uint64_t seq;
	uint64_t word[ENTRY_WORDS];
};

static struct slot kept[FAILURE_KEPT];
static uint64_t n_kept;

static uint64_t counts[FAILURE_KINDS];

#define STATUSES 32
static uint64_t statuses[STATUSES];

/*
 * Clients are told apart by a small hash of their pid. Those that share a bucket share its budget, so
 * all together can never print more than (BUCKETS + 1) * FAILURE_BURST lines in an interval. The one more is
 * for strangers, who can have any number of pids.
 */
#define BUCKETS 256

/* One bucket in a word: pid << 32 | interval (20 bits) << 12 | lines so far (12 bits). */
#define BUCKET_LINES	0xfffULL
#define BUCKET_INTERVAL 0xfffffULL

static uint64_t buckets[BUCKETS + 1];

/*
 * bucket_take() - count one line of a client
 * @left_out: lines of this client that were silent in the interval before
 *
 * Return: whether it may be printed.
 */
static bool bucket_take(const struct failure *f, unsigned int *left_out)
{
	uint32_t pid = f->stranger ? 0 : (uint32_t)f->pid;
	uint64_t *b = &buckets[f->stranger ? BUCKETS : (pid * 2654435761U) >> 24];
	uint64_t old, key, lines;

	key = (uint64_t)pid << 32 |
	      (clock_coarse_ms() / 1000 / FAILURE_INTERVAL_S & BUCKET_INTERVAL) << 12;
	old = __atomic_load_n(b, __ATOMIC_RELAXED);
	do {
		*left_out = 0;
		lines = 1;
		if ((old ^ key) >> 12 << 44 == 0 && old) {
			/* The same interval, whoever it is. */
			lines = (old & BUCKET_LINES) + 1;
			if (lines > BUCKET_LINES)
				lines = BUCKET_LINES;
		} else if (old >> 32 == pid && (old & BUCKET_LINES) > FAILURE_BURST) {
			*left_out = (unsigned int)((old & BUCKET_LINES) - FAILURE_BURST);
		}
	} while (!__atomic_compare_exchange_n(b, &old, key | lines, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return lines <= FAILURE_BURST;
}

struct failure failure_of(enum failure_reason why, enum trace_op op, pid_t pid, int error)
{
	return (struct failure){
		.why = why,
		.op = op,
		.pid = pid,
		.uid = (uid_t)-1,
		.error = abs(error),
		.domid = -1,
		.ref = -1,
		.status = HV_PENDING,
	};
}

const char *failure_kind_name(enum failure_kind kind)
{
	static const char *const names[FAILURE_KINDS] = {
		[FAILURE_REQUEST] = "request", [FAILURE_GRANT] = "grant",
		[FAILURE_SYSTEM] = "system",   [FAILURE_RULE] = "rule",
		[FAILURE_LIMIT] = "limit",     [FAILURE_PRELOAD] = "preload",
	};

	return kind < FAILURE_KINDS ? names[kind] : "unknown";
}

/* --- the list ----------------------------------------------------------------------------------- */

static void keep(const struct failure_entry *e)
{
	uint64_t n = __atomic_fetch_add(&n_kept, 1, __ATOMIC_RELAXED);
	struct slot *s = &kept[n % FAILURE_KEPT];
	uint64_t seq = __atomic_load_n(&s->seq, __ATOMIC_RELAXED);
	struct failure_entry entry = *e;
	uint64_t word[ENTRY_WORDS];

	entry.seq = n + 1;
	memcpy(word, &entry, sizeof(word));
	if (seq & 1 || seq > 2 * n ||
	    !__atomic_compare_exchange_n(&s->seq, &seq, 2 * n + 1, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (size_t i = 0; i < ENTRY_WORDS; i++)
		__atomic_store_n(&s->word[i], word[i], __ATOMIC_RELAXED);
	__atomic_store_n(&s->seq, 2 * n + 2, __ATOMIC_RELEASE);
}

/* Return: whether the slot held entry @n all the time that it was copied. */
static bool copy_slot(struct slot *s, uint64_t n, struct failure_entry *e)
{
	uint64_t word[ENTRY_WORDS];

	if (__atomic_load_n(&s->seq, __ATOMIC_ACQUIRE) != 2 * n + 2)
		return false;
	for (size_t i = 0; i < ENTRY_WORDS; i++)
		word[i] = __atomic_load_n(&s->word[i], __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	memcpy(e, word, sizeof(*e));
	return __atomic_load_n(&s->seq, __ATOMIC_RELAXED) == 2 * n + 2;
}

size_t failure_read(uint64_t after, struct failure_entry *e, size_t max)
{
	uint64_t end = __atomic_load_n(&n_kept, __ATOMIC_ACQUIRE);
	uint64_t n = end > FAILURE_KEPT ? end - FAILURE_KEPT : 0;
	size_t got = 0;

	if (n < after)
		n = after;
	if (n < end && end - n > max)
		n = end - max;
	for (; n < end; n++)
		got += copy_slot(&kept[n % FAILURE_KEPT], n, &e[got]);
	return got;
}

uint64_t failure_count(enum failure_kind kind)
{
	return __atomic_load_n(&counts[kind], __ATOMIC_RELAXED);
}

void failure_saw_status(int status)
{
	if (status <= 0 && status > -STATUSES)
		__atomic_fetch_add(&statuses[-status], 1, __ATOMIC_RELAXED);
}

uint64_t failure_status_count(int status)
{
	return status <= 0 && status > -STATUSES
		       ? __atomic_load_n(&statuses[-status], __ATOMIC_RELAXED)
		       : 0;
}

/* --- telling ------------------------------------------------------------------------------------ */

/* What is looked for in the journal: journalctl MESSAGE_ID=... See docs/operator.md. */
static const char *const message_ids[FAILURE_KINDS] = {
	[FAILURE_REQUEST] = "023c8816998846e1803e19f1872e475e",
	[FAILURE_GRANT] = "e56279b65a95480382e1a31786283e63",
	[FAILURE_SYSTEM] = "f21f44b282334fbf8a10fbf43cf58cf3",
	[FAILURE_RULE] = "85442b012a954492aa4ec57beda160a2",
	[FAILURE_LIMIT] = "f127ae462a5f408d90787a412ee8a2c4",
	[FAILURE_PRELOAD] = "429b320f83bb42b79c28be853d3f35f6",
};

static void tell_numbers(struct log_fields *f, const struct failure_entry *e)
{
	if (e->pid > 0)
		log_field(f, "GNTDEV_PID=%d", (int)e->pid);
	if (e->uid != (uid_t)-1)
		log_field(f, "GNTDEV_UID=%u", e->uid);
	if (e->domid >= 0)
		log_field(f, "GNTDEV_DOMID=%d", (int)e->domid);
	if (e->ref >= 0)
		log_field(f, "GNTDEV_REF=%" PRId64, e->ref);
	if (e->error)
		log_field(f, "ERRNO=%d", e->error);
}

static void tell(const struct failure_entry *e)
{
	enum failure_kind kind = failure_reason_kind(e->why);
	struct log_fields f;
	char left_out[64] = "";

	log_fields_init(&f, e->op == TRACE_HV_UNMAP ? LOG_ERR : LOG_WARNING, message_ids[kind]);
	log_field(&f, "GNTDEV_KIND=%s", failure_kind_name(kind));
	log_field(&f, "GNTDEV_REASON=%s", failure_reason_name(e->why));
	log_field(&f, "GNTDEV_OPERATION=%s", trace_op_name(e->op));
	tell_numbers(&f, e);
	if (e->comm[0])
		log_field(&f, "GNTDEV_COMMAND=%s", e->comm);
	if (e->status != HV_PENDING)
		log_field(&f, "GNTDEV_GNTST=%s", hv_status_name(e->status));
	if (e->rule[0])
		log_field(&f, "GNTDEV_RULE=%s", e->rule);
	if (e->left_out)
		snprintf(left_out, sizeof(left_out),
			 "(%u%s more lines about it left out before this) ", e->left_out,
			 e->left_out >= BUCKET_LINES - FAILURE_BURST ? " or more" : "");
	log_with_fields(&f, "client %d: %s%s", (int)e->pid, left_out, e->text);
}

void failure_silent(const struct failure *f)
{
	__atomic_fetch_add(&counts[failure_reason_kind(f->why)], 1, __ATOMIC_RELAXED);
}

void failure_vreport(const struct failure *f, const char *fmt, va_list ap)
{
	/* No padding that is not 0: entries are copied as words. */
	struct failure_entry e;

	failure_silent(f);
	memset(&e, 0, sizeof(e));
	if (!bucket_take(f, &e.left_out))
		return;
	e.time = clock_realtime_ns();
	e.why = f->why;
	e.op = f->op;
	e.pid = f->pid;
	e.uid = f->uid;
	e.error = f->error;
	e.domid = f->domid;
	e.ref = f->ref;
	e.status = f->status;
	who_comm(f->pid, e.comm);
	if (f->rule)
		snprintf(e.rule, sizeof(e.rule), "%s", f->rule);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	keep(&e);
	tell(&e);
}

void failure_report(const struct failure *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	failure_vreport(f, fmt, ap);
	va_end(ap);
}
