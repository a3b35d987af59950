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
 *   dom=N, ref=N operations on this domain, this reference only (not with errno; map, unmap, copy)
 *   port=N       events from this port only (send)
 *
 * One of status, errno and delay_ms is needed. Where several faults befall one operation, all
 * delays happen, and the failure is that of the first added. Numbers are decimal, or hexadecimal
 * after 0x.
 *
 * Any thread may call anything but init and fini. An operation costs one load while no fault waits.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum fault_op {
	FAULT_MAP,
	FAULT_UNMAP,
	FAULT_COPY,
	FAULT_SEND,
	FAULT_WINDOW,
};

struct fault;

/**
 * struct faults - the faults of a machine
 * @armed: how many are in the list
 */
struct faults {
	pthread_mutex_t lock;
	struct fault *list;
	unsigned int armed;
};

/* What an operation is about: a granted page. */
struct fault_target {
	uint32_t ref;
	uint16_t domid;
};

void faults_init(struct faults *fs);
void faults_fini(struct faults *fs);

/* As the functions of sim/sim.h of these names. */
int faults_add(struct faults *fs, const char *spec, const char **why);
void faults_clear(struct faults *fs);
unsigned int faults_pending(struct faults *fs);

/**
 * faults_call() - before a hypercall
 * @port: of a FAULT_SEND
 *
 * Sleeps if a fault says so. Return: 0, or the -errno that the hypercall is to fail with.
 */
int faults_call(struct faults *fs, enum fault_op op, uint32_t port);

/**
 * faults_operation() - before one operation of a hypercall
 * @target, @n: what it is about; a fault matches if it matches one of these
 *
 * Sleeps if a fault says so. Return: GNTST_okay, or the status that the operation is to fail with.
 */
int16_t faults_operation(struct faults *fs, enum fault_op op, const struct fault_target *target,
			 size_t n);

#endif /* SIM_FAULT_H */
