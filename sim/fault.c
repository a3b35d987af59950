/* SPDX-License-Identifier: MIT */
/*
 * sim/fault.c - faults on demand
 */
#include "sim/fault.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "hypercall.h"

#define ERRNO_MAX 4095U

/* Which keys a fault gave: a bit each. */
#define KEY(name, ...) KEY_##name,
enum key { FAULT_KEYS(KEY) KEYS };

#define BIT(n)	      (1U << (n))
#define ONE_OPERATION (BIT(KEY_status) | BIT(KEY_dom) | BIT(KEY_ref))

/* Which operations have a key. */
#define OPS_ANY	  (BIT(FAULT_N_OPS) - 1)
#define OPS_GRANT (BIT(FAULT_map) | BIT(FAULT_unmap) | BIT(FAULT_copy))
#define OPS_SEND  BIT(FAULT_send)

enum value {
	VALUE_NUMBER,
	VALUE_STATUS,
	VALUE_ERRNO,
	VALUE_FLAG,
};

enum part {
	PART_WHICH,
	PART_EFFECT,
};

#define KEY_ROW(name, value, min, max, ops, part) \
	[KEY_##name] = { #name, VALUE_##value, min, max, OPS_##ops, PART_##part },

static const struct {
	const char *name;
	enum value value;
	uint32_t min, max;
	unsigned int ops;
	enum part part;
} keys[KEYS] = { FAULT_KEYS(KEY_ROW) };

#define OP_NAME(name) [FAULT_##name] = #name,
static const char *const op_names[FAULT_N_OPS] = { FAULT_OPS(OP_NAME) };

/**
 * struct fault - one that still waits, or goes on
 * @given:   keys it has
 * @value:   of each key; status and errno as positive numbers
 * @kept:    what lasts, once it is in the list
 */
struct fault {
	struct fault *next;
	struct kept_fault *kept;
	enum fault_op op;
	unsigned int given;
	uint32_t value[KEYS];
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

static int complain(const struct parser *p, const char *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int complain(const struct parser *p, const char *at, const char *fmt, ...)
{
	static _Thread_local char message[384];
	va_list ap;
	int n;

	n = snprintf(message, sizeof(message), "fault \"%.100s\", character %zu: ", p->spec,
		     (size_t)(at - p->spec) + 1);
	va_start(ap, fmt);
	vsnprintf(message + n, sizeof(message) - (size_t)n, fmt, ap);
	va_end(ap);
	*p->why = message;
	return -EINVAL;
}

/* "a, b, c": names of keys. @of: only those of this part; -1: all. */
static const char *key_list(int of)
{
	static _Thread_local char list[128];
	size_t len = 0;

	for (unsigned int i = 0; i < KEYS && len < sizeof(list); i++)
		if (of < 0 || keys[i].part == (enum part)of)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", keys[i].name);
	return list;
}

static const char *op_list(void)
{
	static _Thread_local char list[64];
	size_t len = 0;

	for (unsigned int i = 0; i < FAULT_N_OPS && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", len ? ", " : "",
					op_names[i]);
	return list;
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

	switch (keys[key].value) {
	case VALUE_STATUS:
		if (!status_value(start, len, value))
			return complain(p, start, "no such grant status");
		return 0;
	case VALUE_ERRNO:
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
		return complain(p, start, "no such key: %s", key_list(-1));
	if (!(keys[key].ops & BIT(f->op)))
		return complain(p, start, "this operation has no such thing");
	if (f->given & BIT(key))
		return complain(p, start, "given twice");
	f->given |= BIT(key);
	if (keys[key].value == VALUE_FLAG)
		return *p->at == '=' ? complain(p, p->at, "it has no value") : 0;
	if (*p->at != '=')
		return complain(p, p->at, "\"=\" expected");
	p->at++;
	return parse_value(p, key, &f->value[key]);
}

static int parse_op(struct parser *p, struct fault *f)
{
	const char *start;
	size_t len = word(p, ":", &start);

	for (unsigned int op = 0; op < FAULT_N_OPS; op++) {
		if (!is(start, len, op_names[op]))
			continue;
		f->op = op;
		if (*p->at++ != ':')
			return complain(p, p->at - 1, "\":\" expected");
		return 0;
	}
	return complain(p, start, "no such operation: %s", op_list());
}

static unsigned int effects(const struct fault *f)
{
	unsigned int given = 0;

	for (unsigned int i = 0; i < KEYS; i++)
		if (keys[i].part == PART_EFFECT)
			given |= f->given & BIT(i);
	return given;
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
	if (!effects(f))
		return complain(p, p->at, "nothing happens without one of %s",
				key_list(PART_EFFECT));
	if ((f->given & BIT(KEY_errno)) && (f->given & ONE_OPERATION))
		return complain(p, p->at,
				"errno fails the whole call: no status, dom or ref with it");
	return 0;
}

/* --- the list ----------------------------------------------------------------------------------- */

void faults_init(struct faults *fs, struct kept_fault *kept)
{
	pthread_condattr_t attr;

	*fs = (struct faults){ .kept = kept };
	pthread_mutex_init(&fs->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&fs->go_on, &attr);
	pthread_condattr_destroy(&attr);
}

void faults_fini(struct faults *fs)
{
	struct fault *next;

	for (struct fault *f = fs->list; f; f = next) {
		next = f->next;
		free(f);
	}
	pthread_cond_destroy(&fs->go_on);
	pthread_mutex_destroy(&fs->lock);
}

/* Return: a fault as described, not in the list, or NULL and *@err, *@why. */
static struct fault *fault_new(const char *spec, const char **why, int *err)
{
	struct parser p = { .spec = spec, .at = spec, .why = why };
	struct fault *f = calloc(1, sizeof(*f));

	if (!f) {
		*why = "no memory for a fault";
		*err = -ENOMEM;
	} else if (strlen(spec) > FAULT_SPEC_MAX) {
		*err = complain(&p, spec, "longer than %d characters", FAULT_SPEC_MAX);
	} else {
		*err = parse(&p, f);
	}
	if (!*err)
		return f;
	free(f);
	return NULL;
}

/* Under the lock. */
static void append(struct faults *fs, struct fault *f)
{
	struct fault **last = &fs->list;

	while (*last)
		last = &(*last)->next;
	*last = f;
	__atomic_add_fetch(&fs->armed, 1, __ATOMIC_RELEASE);
}

/* Under the lock: it lasts. Return: false: FAULT_MAX of them do already. */
static bool keep(struct faults *fs, struct fault *f, const char *spec)
{
	struct kept_fault *k = fs->kept;

	while (k < fs->kept + FAULT_MAX && k->order)
		k++;
	if (k == fs->kept + FAULT_MAX)
		return false;
	memset(k, 0, sizeof(*k));
	memcpy(k->spec, spec, strlen(spec));
	k->skip = (f->given & BIT(KEY_nth)) ? f->value[KEY_nth] - 1 : 0;
	k->left = (f->given & BIT(KEY_for_ms)) ? UINT32_MAX : 1;
	if (f->given & BIT(KEY_count))
		k->left = f->value[KEY_count];
	/* It is there from here on. */
	__atomic_store_n(&k->order, ++fs->order, __ATOMIC_RELEASE);
	f->kept = k;
	return true;
}

int faults_add(struct faults *fs, const char *spec, const char **why)
{
	struct fault *f;
	bool kept;
	int err;

	f = fault_new(spec, why, &err);
	if (!f)
		return err;
	pthread_mutex_lock(&fs->lock);
	kept = keep(fs, f, spec);
	if (kept)
		append(fs, f);
	pthread_mutex_unlock(&fs->lock);
	if (kept)
		return 0;
	free(f);
	*why = "too many faults wait already";
	return -ENOSPC;
}

/* Return: the next one that lasts, in the order in which they were added; NULL: there is none. */
static struct kept_fault *next_kept(struct faults *fs)
{
	struct kept_fault *next = NULL;

	for (struct kept_fault *k = fs->kept; k < fs->kept + FAULT_MAX; k++)
		if (k->order > fs->order && (!next || k->order < next->order))
			next = k;
	return next;
}

int faults_adopt(struct faults *fs)
{
	struct kept_fault *k;
	struct fault *f;
	const char *why;
	int err;

	while ((k = next_kept(fs))) {
		if (k->spec[FAULT_SPEC_MAX])
			return -EINVAL;
		f = fault_new(k->spec, &why, &err);
		if (!f)
			return err;
		f->kept = k;
		fs->order = k->order;
		append(fs, f);
	}
	return 0;
}

/* Under the lock: take the fault at @link out. */
static void drop(struct faults *fs, struct fault **link)
{
	struct fault *f = *link;

	*link = f->next;
	__atomic_store_n(&f->kept->order, 0, __ATOMIC_RELEASE);
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
	return !f->kept->left || (f->kept->until && now >= f->kept->until);
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
	return (f->given & BIT(KEY_errno)) || !(BIT(f->op) & OPS_GRANT);
}

static bool matches_target(const struct fault *f, const struct fault_target *t)
{
	return (!(f->given & BIT(KEY_dom)) || f->value[KEY_dom] == t->domid) &&
	       (!(f->given & BIT(KEY_ref)) || f->value[KEY_ref] == t->ref);
}

static bool matches(const struct fault *f, const struct event *ev)
{
	if (f->op != ev->op || befalls_calls(f) != ev->call)
		return false;
	if ((f->given & BIT(KEY_port)) && f->value[KEY_port] != ev->port)
		return false;
	if (!(f->given & (BIT(KEY_dom) | BIT(KEY_ref))))
		return true;
	for (size_t i = 0; i < ev->n; i++)
		if (matches_target(f, &ev->target[i]))
			return true;
	return false;
}

/* Under the lock: whether a fault, which matches, befalls this one; counts it. */
static bool strike(struct fault *f, uint64_t now)
{
	struct kept_fault *k = f->kept;

	if (k->skip) {
		k->skip--;
		return false;
	}
	if (!k->until && (f->given & BIT(KEY_for_ms)))
		k->until = now + f->value[KEY_for_ms];
	if (k->left != UINT32_MAX)
		k->left--;
	return true;
}

#define FOREVER UINT64_MAX

/*
 * Under the lock, which is left meanwhile: wait for so long, or until faults_release() or faults_end(). Those
 * before it do not count, and none after it is missed: the fault has struck under the same lock.
 */
static void wait_ms(struct faults *fs, uint64_t ms)
{
	const uint64_t until = clock_ns() + ms * 1000000;
	const struct timespec ts = { .tv_sec = (time_t)(until / 1000000000),
				     .tv_nsec = (long)(until % 1000000000) };
	const unsigned int released = fs->released;
	int err = 0;

	fs->waiting++;
	while (fs->released == released && !fs->ended && !err)
		err = ms == FOREVER ? pthread_cond_wait(&fs->go_on, &fs->lock)
				    : pthread_cond_timedwait(&fs->go_on, &fs->lock, &ts);
	fs->waiting--;
}

unsigned int faults_waiting(struct faults *fs)
{
	unsigned int n;

	pthread_mutex_lock(&fs->lock);
	n = fs->waiting;
	pthread_mutex_unlock(&fs->lock);
	return n;
}

unsigned int faults_release(struct faults *fs)
{
	unsigned int n;

	pthread_mutex_lock(&fs->lock);
	n = fs->waiting;
	fs->released++;
	pthread_cond_broadcast(&fs->go_on);
	pthread_mutex_unlock(&fs->lock);
	return n;
}

void faults_end(struct faults *fs)
{
	pthread_mutex_lock(&fs->lock);
	fs->ended = true;
	pthread_cond_broadcast(&fs->go_on);
	pthread_mutex_unlock(&fs->lock);
}

void faults_for_each(struct faults *fs, void (*fn)(const char *spec, void *arg), void *arg)
{
	uint64_t now = clock_ms();

	pthread_mutex_lock(&fs->lock);
	for (const struct fault *f = fs->list; f; f = f->next)
		if (!over(f, now))
			fn(f->kept->spec, arg);
	pthread_mutex_unlock(&fs->lock);
}

/* Return: the errno or status, as a positive number, that the event is to fail with; 0 for none. */
static uint32_t befall(struct faults *fs, const struct event *ev)
{
	uint32_t failure = 0, hold = 0;
	struct fault **link, *f;
	uint64_t now = clock_ms(), delay = 0;

	pthread_mutex_lock(&fs->lock);
	link = &fs->list;
	while ((f = *link)) {
		if (matches(f, ev) && !over(f, now) && strike(f, now)) {
			/* Zero where the key was not given. */
			delay += f->value[KEY_delay_ms];
			hold |= f->given & BIT(KEY_hold);
			if (!failure)
				failure = f->value[ev->call ? KEY_errno : KEY_status];
		}
		if (over(f, now))
			drop(fs, link);
		else
			link = &f->next;
	}
	if (delay || hold)
		wait_ms(fs, hold ? FOREVER : delay);
	pthread_mutex_unlock(&fs->lock);
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
