/* SPDX-License-Identifier: MIT */
/*
 * sim/fault.h - faults on demand: operations of the simulator that fail, or take long
 *
 * A fault is described by OP:KEY=VALUE,KEY=VALUE...:
 *
 *   OP           what it befalls: map, unmap, copy (one operation of an array), send, window
 *   nth=N        begin with the Nth that matches from now on (default 1, the next)
 *   count=N      befall N of them in a row (default 1; with for_ms, any number)
 *   for_ms=N     go on for N milliseconds after the first one befallen
 *   status=S     the operation's status: a name without GNTST_, such as eagain, or a number
 *                (map, unmap, copy)
 *   errno=E      the hypercall itself fails, with no operation done: a name or a number. N then
 *                counts calls, not operations
 *   delay_ms=N   take that long before doing it, or before failing
 *   hold         the same, until faults_release() or faults_end()
 *   dom=N, ref=N operations on this domain, this reference only (not with errno; map, unmap, copy)
 *   port=N       events from this port only (send)
 *
 * One of status, errno, delay_ms and hold is needed. Where several faults befall one operation, all
 * delays happen, and the failure is that of the first added. Numbers are decimal, or hexadecimal
 * after 0x.
 *
 * They outlive the daemon, with what they still wait for: a fault that has happened does not happen again because the
 * daemon was killed. Operations that wait end with it.
 *
 * What they are is told by the two tables below, which the reader of descriptions and its messages follow;
 * make lint sees to it that the man page and docs/developer.md name each of them.
 *
 * Any thread may call anything but init and fini. An operation costs one load while no fault waits.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a fault can befall: X(name). */
#define FAULT_OPS(X) \
	X(map)       \
	X(unmap)     \
	X(copy)      \
	X(send)      \
	X(window)

/*
 * What can be said of one: X(name, what its value is, from, to, operations that have it, its part).
 *
 * Parts are WHICH operations a fault befalls, and the EFFECT, one of which is needed. Values are a NUMBER, a
 * STATUS or an ERRNO; a FLAG has none. Operations: ANY, GRANT (map, unmap, copy), SEND.
 */
#define FAULT_KEYS(X)                                     \
	X(nth, NUMBER, 1, UINT32_MAX, ANY, WHICH)         \
	X(count, NUMBER, 1, UINT32_MAX, ANY, WHICH)       \
	X(for_ms, NUMBER, 1, FAULT_MS_MAX, ANY, WHICH)    \
	X(status, STATUS, 0, 0, GRANT, EFFECT)            \
	X(errno, ERRNO, 0, 0, ANY, EFFECT)                \
	X(delay_ms, NUMBER, 1, FAULT_MS_MAX, ANY, EFFECT) \
	X(hold, FLAG, 0, 0, ANY, EFFECT)                  \
	X(dom, NUMBER, 0, UINT16_MAX, GRANT, WHICH)       \
	X(ref, NUMBER, 0, UINT32_MAX, GRANT, WHICH)       \
	X(port, NUMBER, 0, UINT32_MAX, SEND, WHICH)

#define FAULT_MS_MAX 86400000U
/* How many there can be at once, and how long a description. */
#define FAULT_MAX      256
#define FAULT_SPEC_MAX 255

#define FAULT_OP(name) FAULT_##name,
enum fault_op { FAULT_OPS(FAULT_OP) FAULT_N_OPS };

struct fault;

/**
 * struct kept_fault - what lasts of a fault that waits, or goes on
 * @order: 0: there is none; others come one after the other
 * @spec:  as it was described
 * @skip:  matches to let pass first
 * @left:  how many more it befalls
 * @until: when it ends, CLOCK_MONOTONIC ms; 0: no match yet, or no limit
 */
struct kept_fault {
	uint64_t order;
	uint64_t until;
	uint32_t skip;
	uint32_t left;
	char spec[FAULT_SPEC_MAX + 1];
};
static_assert(sizeof(struct kept_fault) == 280, "the layout lasts");

/**
 * struct faults - the faults of a machine
 * @kept:     FAULT_MAX of them: what lasts of each
 * @order:    of the last one added
 * @armed:    how many are in the list
 * @go_on:    broadcast when @released or @ended changes
 * @released: how often those that wait have been told to go on
 * @waiting:  operations that wait now
 * @ended:    nobody waits any more
 */
struct faults {
	pthread_mutex_t lock;
	pthread_cond_t go_on;
	struct kept_fault *kept;
	uint64_t order;
	struct fault *list;
	unsigned int armed;
	unsigned int released;
	unsigned int waiting;
	bool ended;
};

/* What an operation is about: a granted page. */
struct fault_target {
	uint32_t ref;
	uint16_t domid;
};

/** faults_init() - @kept: all zero, or what a predecessor has left: then faults_adopt() follows */
void faults_init(struct faults *fs, struct kept_fault *kept);

/** faults_fini() - free what does not last */
void faults_fini(struct faults *fs);

/** faults_adopt() - go on with those that a predecessor has left, as far as they have got. Return: 0; -EINVAL: damaged; -ENOMEM */
int faults_adopt(struct faults *fs);

/* As the functions of sim/sim.h of these names. */
int faults_add(struct faults *fs, const char *spec, const char **why);
void faults_clear(struct faults *fs);
unsigned int faults_pending(struct faults *fs);
unsigned int faults_waiting(struct faults *fs);
unsigned int faults_release(struct faults *fs);
void faults_end(struct faults *fs);
void faults_for_each(struct faults *fs, void (*fn)(const char *spec, void *arg), void *arg);

/**
 * faults_call() - before a hypercall
 * @port: of a FAULT_send
 *
 * Waits if a fault says so. Return: 0, or the -errno that the hypercall is to fail with.
 */
int faults_call(struct faults *fs, enum fault_op op, uint32_t port);

/**
 * faults_operation() - before one operation of a hypercall
 * @target, @n: what it is about; a fault matches if it matches one of these
 *
 * Waits if a fault says so. Return: GNTST_okay, or the status that the operation is to fail with.
 */
int16_t faults_operation(struct faults *fs, enum fault_op op, const struct fault_target *target,
			 size_t n);

#endif /* SIM_FAULT_H */
