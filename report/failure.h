/* SPDX-License-Identifier: MIT */
/*
 * report/failure.h - what went wrong for a client: told to the log, kept for gntdevctl errors
 *
 * A failure is told once, as a whole: who, what, which grant, what Xen said. From that come a line on
 * standard error or an entry of the journal with fields, an entry in the list of the last failures, and
 * counts. Lines and entries that a client can provoke are limited per thread or process, so that one that
 * fails all the time neither floods the log nor pushes others' failures out of the list; who has the device
 * open and starts very many can do both. Who has not is limited together with all such. Counts are exact.
 *
 * Any thread may call anything here at any time; nothing waits.
 *
 * The room report/ is what is told and counted: failures and what would mend them, events, hypercalls. It
 * promises to all above it that telling never waits, and that no client can have others' news lost. It may
 * include abi/, base/, client/ and hypercall.h.
 */
#ifndef REPORT_FAILURE_H
#define REPORT_FAILURE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "report/reason.h"
#include "report/trace.h"
#include "client/who.h"

/* Whose fault it is, in a word: what kind of remedy there is. */
enum failure_kind {
	FAILURE_REQUEST, /* the client asked for what the device does not do */
	FAILURE_GRANT,	 /* Xen refused a grant: see status */
	FAILURE_SYSTEM,	 /* a hypercall or system call failed, or memory was out */
	FAILURE_RULE,	 /* a rule of the policy */
	FAILURE_LIMIT,	 /* a limit of the policy */
	FAILURE_PRELOAD, /* a client without the preload object, or one that cannot use it */
	FAILURE_KINDS,
};

/**
 * struct failure - one of them
 * @why:    the reason; it says whose fault it is
 * @op:     what was done
 * @pid:    the client's process or thread, 0 if it is not visible to us
 * @uid:    the client's, (uid_t)-1 unknown
 * @error:  positive errno that the client gets; 0: none
 * @domid:  the granter, -1: none is known
 * @ref:    the grant, -1: none is known
 * @status: GNTST_*, or HV_PENDING if Xen was not asked
 * @rule:   name of the rule or limit, or NULL
 * @stranger: the client has not shown that it holds the device open: any local user may be it
 */
struct failure {
	enum failure_reason why;
	enum trace_op op;
	bool stranger;
	pid_t pid;
	uid_t uid;
	int error;
	int32_t domid;
	int64_t ref;
	int status;
	const char *rule;
};

/** failure_of() - a failure of which only that much is known. @error: 0, or an errno of either sign */
struct failure failure_of(enum failure_reason why, enum trace_op op, pid_t pid, int error);

/**
 * failure_report() - tell a failure
 * @fmt: the line, without the client: "mmap of index 0x0: grant 8 of domain 1 ..."
 */
void failure_report(const struct failure *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** failure_vreport() - the same with a va_list */
void failure_vreport(const struct failure *f, const char *fmt, va_list ap);

/** failure_silent() - count a failure that the client has been told of before, and is not told again */
void failure_silent(const struct failure *f);

/* Failures per client, or of all strangers, and interval that are told; the rest of the interval is silent. */
#define FAILURE_BURST	   10
#define FAILURE_INTERVAL_S 10

/* How many of the last ones are kept. */
#define FAILURE_KEPT	  512
#define FAILURE_TEXT_SIZE 256
#define FAILURE_RULE_SIZE 64

/**
 * struct failure_entry - one that is kept
 * @seq:      counts up from 1
 * @time:     CLOCK_REALTIME, ns
 * @left_out: how many of this client were told to nobody before this one
 * @comm:     the client's name then, "" if it is not visible
 */
struct failure_entry {
	uint64_t seq;
	uint64_t time;
	enum failure_reason why;
	enum trace_op op;
	pid_t pid;
	uid_t uid;
	int error;
	int32_t domid;
	int64_t ref;
	int status;
	unsigned int left_out;
	char comm[WHO_COMM_SIZE];
	char rule[FAILURE_RULE_SIZE];
	char text[FAILURE_TEXT_SIZE];
};

/**
 * failure_read() - the failures that are kept
 * @after: only those with a greater seq
 * @e:     room for @max of them; filled with the last ones, oldest first
 *
 * Return: how many.
 */
size_t failure_read(uint64_t after, struct failure_entry *e, size_t max);

/** failure_count() - how many of a kind there have been, told or not */
uint64_t failure_count(enum failure_kind kind);

/** failure_saw_status() - Xen has said this of a grant. @status: GNTST_* */
void failure_saw_status(int status);

/** failure_status_count() - how often it has */
uint64_t failure_status_count(int status);

/** failure_kind_name() - such as "request", "grant". Never NULL */
const char *failure_kind_name(enum failure_kind kind);

/* --- report/remedy.c --- */

/** failure_reason_kind() - whose fault that is */
enum failure_kind failure_reason_kind(enum failure_reason why);

/** failure_reason_name() - such as "map_count": what does not change when texts do. Never NULL */
const char *failure_reason_name(enum failure_reason why);

/** failure_status_words() - what a status of Xen means, in a sentence. Never NULL */
const char *failure_status_words(int status);

/** failure_reason_cause() - what is behind it, where Xen has said nothing. Never NULL */
const char *failure_reason_cause(enum failure_reason why);

/** failure_cause() - what is behind a failure, in a sentence. Never NULL */
const char *failure_cause(const struct failure_entry *e);

/* No remedy is longer. */
#define FAILURE_REMEDY_SIZE 512

/** failure_remedy() - what to do about it, in a sentence. @out: FAILURE_REMEDY_SIZE bytes take all of it */
void failure_remedy(const struct failure_entry *e, char *out, size_t size);

#endif /* REPORT_FAILURE_H */
