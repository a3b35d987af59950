/* SPDX-License-Identifier: MIT */
/*
 * sim/fault.c - faults on demand
 */
#include "sim/fault.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "hypercall.h"

#define MS_MAX	  86400000U
#define ERRNO_MAX 4095U

/* Which keys a fault gave: a bit each, by the key's place in keys[]. */
enum key {
	KEY_NTH,
	KEY_COUNT,
	KEY_FOR_MS,
	KEY_STATUS,
	KEY_ERRNO,
	KEY_DELAY_MS,
	KEY_DOM,
	KEY_REF,
	KEY_PORT,
	KEYS,
};

#define BIT(key)      (1U << (key))
#define ONE_OPERATION (BIT(KEY_STATUS) | BIT(KEY_DOM) | BIT(KEY_REF))
#define ANY_OP \
	(BIT(FAULT_MAP) | BIT(FAULT_UNMAP) | BIT(FAULT_COPY) | BIT(FAULT_SEND) | BIT(FAULT_WINDOW))
#define GRANT_OP (BIT(FAULT_MAP) | BIT(FAULT_UNMAP) | BIT(FAULT_COPY))

/* Keys whose value is a number: from and up to what, and for which operations. */
static const struct {
	const char *name;
	uint32_t min, max;
	unsigned int ops;
} keys[KEYS] = {
	[KEY_NTH] = { "nth", 1, UINT32_MAX, ANY_OP },
	[KEY_COUNT] = { "count", 1, UINT32_MAX, ANY_OP },
	[KEY_FOR_MS] = { "for_ms", 1, MS_MAX, ANY_OP },
	[KEY_STATUS] = { "status", 0, 0, GRANT_OP },
	[KEY_ERRNO] = { "errno", 0, 0, ANY_OP },
	[KEY_DELAY_MS] = { "delay_ms", 1, MS_MAX, ANY_OP },
	[KEY_DOM] = { "dom", 0, UINT16_MAX, GRANT_OP },
	[KEY_REF] = { "ref", 0, UINT32_MAX, GRANT_OP },
	[KEY_PORT] = { "port", 0, UINT32_MAX, BIT(FAULT_SEND) },
};

static const char *const op_names[] = {
	[FAULT_MAP] = "map",   [FAULT_UNMAP] = "unmap",	  [FAULT_COPY] = "copy",
	[FAULT_SEND] = "send", [FAULT_WINDOW] = "window",
};

#define OPS (sizeof(op_names) / sizeof(op_names[0]))

/**
 * struct fault - one that still waits, or goes on
 * @given:   keys it has
 * @value:   of each key; status and errno as positive numbers
 * @skip:    matches to let pass first
 * @left:    how many more it befalls
 * @until:   when it ends, CLOCK_MONOTONIC ms; 0: no match yet, or no limit
 */
struct fault {
	struct fault *next;
	enum fault_op op;
	unsigned int given;
	uint32_t value[KEYS];
	uint32_t skip;
	uint32_t left;
	uint64_t until;
};

/* --- reading a description ---------------------------------------------------------------------- */

/**
 * struct parser - where in a description
 * @at:  not yet read
 */
struct parser {
	const char *spec;
	const char *at;
	const char **why;
};

static int complain(const struct parser *p, const char *at, const char *what)
{
	static _Thread_local char message[256];

	snprintf(message, sizeof(message), "fault \"%.100s\", character %zu: %s", p->spec,
		 (size_t)(at - p->spec) + 1, what);
	*p->why = message;
	return -EINVAL;
}

/* Read up to one of the characters in @stop, or the end. Return: its length. */
static size_t word(struct parser *p, const char *stop, const char **start)
{
	size_t len = strcspn(p->at, stop);

	*start = p->at;
	p->at += len;
	return len;
}

static bool is(const char *start, size_t len, const char *name)
{
	return strlen(name) == len && !strncmp(start, name, len);
}

/* The whole of a word as a number. */
static bool number(const char *start, size_t len, uint32_t *value)
{
	unsigned long long v;
	char *end;

	if (!len || !isdigit((unsigned char)*start))
		return false;
	errno = 0;
	v = strtoull(start, &end, start[1] == 'x' ? 16 : 10);
	if (errno || end != start + len || v > UINT32_MAX)
		return false;
	*value = (uint32_t)v;
	return true;
}

/* A status: by name, or by number with or without its sign. */
static bool status_value(const char *start, size_t len, uint32_t *value)
{
	if (len > 1 && *start == '-')
		return number(start + 1, len - 1, value) && *value &&
		       hv_status_check(-(int)*value) == -(int)*value;
	if (number(start, len, value))
		return *value && *value <= INT16_MAX &&
		       hv_status_check(-(int)*value) == -(int)*value;
	for (int s = GNTST_general_error; hv_status_check(s) == s; s--) {
		if (is(start, len, hv_status_name(s))) {
			*value = (uint32_t)-s;
			return true;
		}
	}
	return false;
}

static bool errno_value(const char *start, size_t len, uint32_t *value)
{
	if (number(start, len, value))
		return *value && *value <= ERRNO_MAX;
	for (unsigned int e = 1; e <= ERRNO_MAX; e++) {
		const char *name = strerrorname_np((int)e);

		if (name && is(start, len, name)) {
			*value = e;
			return true;
		}
	}
	return false;
}

static int parse_value(struct parser *p, enum key key, uint32_t *value)
{
	const char *start;
	size_t len = word(p, ",", &start);

	switch (key) {
	case KEY_STATUS:
		if (!status_value(start, len, value))
			return complain(p, start, "no such grant status");
		return 0;
	case KEY_ERRNO:
		if (!errno_value(start, len, value))
			return complain(p, start, "no such errno");
		return 0;
	default:
		if (!number(start, len, value))
			return complain(p, start, "not a number");
		if (*value < keys[key].min || *value > keys[key].max)
			return complain(p, start, "number out of range");
		return 0;
	}
}

static int parse_key(struct parser *p, struct fault *f)
{
	const char *start;
	size_t len = word(p, "=,", &start);
	unsigned int key;

	for (key = 0; key < KEYS; key++)
		if (is(start, len, keys[key].name))
			break;
	if (key == KEYS)
		return complain(p, start,
				"no such key: nth, count, for_ms, status, errno, delay_ms, dom, "
				"ref, port");
	if (!(keys[key].ops & BIT(f->op)))
		return complain(p, start, "this operation has no such thing");
	if (f->given & BIT(key))
		return complain(p, start, "given twice");
	if (*p->at != '=')
		return complain(p, p->at, "\"=\" expected");
	p->at++;
	f->given |= BIT(key);
	return parse_value(p, key, &f->value[key]);
}

static int parse_op(struct parser *p, struct fault *f)
{
	const char *start;
	size_t len = word(p, ":", &start);

	for (unsigned int op = 0; op < OPS; op++) {
		if (!is(start, len, op_names[op]))
			continue;
		f->op = op;
		if (*p->at++ != ':')
			return complain(p, p->at - 1, "\":\" expected");
		return 0;
	}
	return complain(p, start, "no such operation: map, unmap, copy, send, window");
}

static int parse(struct parser *p, struct fault *f)
{
	int err = parse_op(p, f);

	while (!err) {
		err = parse_key(p, f);
		if (err || !*p->at)
			break;
		p->at++;
	}
	if (err)
		return err;
	if (!(f->given & (BIT(KEY_STATUS) | BIT(KEY_ERRNO) | BIT(KEY_DELAY_MS))))
		return complain(p, p->at, "nothing happens without status, errno or delay_ms");
	if ((f->given & BIT(KEY_ERRNO)) && (f->given & ONE_OPERATION))
		return complain(p, p->at,
				"errno fails the whole call: no status, dom or ref with it");
	f->skip = (f->given & BIT(KEY_NTH)) ? f->value[KEY_NTH] - 1 : 0;
	f->left = (f->given & BIT(KEY_FOR_MS)) ? UINT32_MAX : 1;
	if (f->given & BIT(KEY_COUNT))
		f->left = f->value[KEY_COUNT];
	return 0;
}

/* --- the list ----------------------------------------------------------------------------------- */

void faults_init(struct faults *fs)
{
	*fs = (struct faults){ 0 };
	pthread_mutex_init(&fs->lock, NULL);
}

void faults_fini(struct faults *fs)
{
	faults_clear(fs);
	pthread_mutex_destroy(&fs->lock);
}

int faults_add(struct faults *fs, const char *spec, const char **why)
{
	struct parser p = { .spec = spec, .at = spec, .why = why };
	struct fault *f = calloc(1, sizeof(*f)), **last;
	int err;

	if (!f) {
		*why = "no memory for a fault";
		return -ENOMEM;
	}
	err = parse(&p, f);
	if (err) {
		free(f);
		return err;
	}
	pthread_mutex_lock(&fs->lock);
	for (last = &fs->list; *last; last = &(*last)->next)
		;
	*last = f;
	__atomic_add_fetch(&fs->armed, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

/* Under the lock: take the fault at @link out. */
static void drop(struct faults *fs, struct fault **link)
{
	struct fault *f = *link;

	*link = f->next;
	free(f);
	__atomic_sub_fetch(&fs->armed, 1, __ATOMIC_RELAXED);
}

void faults_clear(struct faults *fs)
{
	pthread_mutex_lock(&fs->lock);
	while (fs->list)
		drop(fs, &fs->list);
	pthread_mutex_unlock(&fs->lock);
}

static bool over(const struct fault *f, uint64_t now)
{
	return !f->left || (f->until && now >= f->until);
}

unsigned int faults_pending(struct faults *fs)
{
	uint64_t now = clock_ms();
	unsigned int n = 0;

	pthread_mutex_lock(&fs->lock);
	for (const struct fault *f = fs->list; f; f = f->next)
		n += !over(f, now);
	pthread_mutex_unlock(&fs->lock);
	return n;
}

/* --- what befalls an operation -------------------------------------------------------------------- */

/**
 * struct event - what is about to happen
 * @call: a hypercall as a whole, not one operation of it
 */
struct event {
	enum fault_op op;
	bool call;
	uint32_t port;
	const struct fault_target *target;
	size_t n;
};

/* Send and window are hypercalls of one operation, and are asked about as calls only. */
static bool befalls_calls(const struct fault *f)
{
	return (f->given & BIT(KEY_ERRNO)) || !(BIT(f->op) & GRANT_OP);
}

static bool matches_target(const struct fault *f, const struct fault_target *t)
{
	return (!(f->given & BIT(KEY_DOM)) || f->value[KEY_DOM] == t->domid) &&
	       (!(f->given & BIT(KEY_REF)) || f->value[KEY_REF] == t->ref);
}

static bool matches(const struct fault *f, const struct event *ev)
{
	if (f->op != ev->op || befalls_calls(f) != ev->call)
		return false;
	if ((f->given & BIT(KEY_PORT)) && f->value[KEY_PORT] != ev->port)
		return false;
	if (!(f->given & (BIT(KEY_DOM) | BIT(KEY_REF))))
		return true;
	for (size_t i = 0; i < ev->n; i++)
		if (matches_target(f, &ev->target[i]))
			return true;
	return false;
}

/* Under the lock: whether a fault, which matches, befalls this one; counts it. */
static bool strike(struct fault *f, uint64_t now)
{
	if (f->skip) {
		f->skip--;
		return false;
	}
	if (!f->until && (f->given & BIT(KEY_FOR_MS)))
		f->until = now + f->value[KEY_FOR_MS];
	if (f->left != UINT32_MAX)
		f->left--;
	return true;
}

static void sleep_ms(uint32_t ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* Return: the errno or status, as a positive number, that the event is to fail with; 0 for none. */
static uint32_t befall(struct faults *fs, const struct event *ev)
{
	uint32_t failure = 0, delay = 0;
	struct fault **link, *f;
	uint64_t now = clock_ms();

	pthread_mutex_lock(&fs->lock);
	link = &fs->list;
	while ((f = *link)) {
		if (matches(f, ev) && !over(f, now) && strike(f, now)) {
			/* Zero where the key was not given. */
			delay += f->value[KEY_DELAY_MS];
			if (!failure)
				failure = f->value[ev->call ? KEY_ERRNO : KEY_STATUS];
		}
		if (over(f, now))
			drop(fs, link);
		else
			link = &f->next;
	}
	pthread_mutex_unlock(&fs->lock);
	if (delay)
		sleep_ms(delay);
	return failure;
}

static bool none_armed(const struct faults *fs)
{
	return !__atomic_load_n(&fs->armed, __ATOMIC_RELAXED);
}

int faults_call(struct faults *fs, enum fault_op op, uint32_t port)
{
	struct event ev = { .op = op, .call = true, .port = port };

	return none_armed(fs) ? 0 : -(int)befall(fs, &ev);
}

int16_t faults_operation(struct faults *fs, enum fault_op op, const struct fault_target *target,
			 size_t n)
{
	struct event ev = { .op = op, .target = target, .n = n };

	if (none_armed(fs))
		return GNTST_okay;
	return hv_status_check(-(int)befall(fs, &ev));
}
