/* SPDX-License-Identifier: MIT */
/*
 * random_ops.h - the steps of a random sequence
 */
#ifndef TESTS_XEN_RANDOM_OPS_H
#define TESTS_XEN_RANDOM_OPS_H

#include <stdio.h>
#include "random.h"

/**
 * struct run - one sequence
 * @trace: what clients observed, a line for each step
 * @socket: our ends
 */
struct run {
	struct model m;
	FILE *trace;
	uint64_t random;
	int socket[WORKERS];
	const char *device;
};

/**
 * pick() - a random number below @n
 */
uint32_t pick(struct run *r, uint32_t n);

/**
 * ask() - have a worker obey; ends the program if there is no answer
 */
void ask(struct run *r, uint32_t w, const struct order *o, struct answer *a);

/**
 * hear() - an answer that was not asked for: a worker says that it is there
 */
void hear(struct run *r, uint32_t w);

/**
 * outcome() - a result, as the trace has it
 */
const char *outcome(const struct answer *a);

/**
 * step() - choose a step that is possible, have it done, write it down
 *
 * Return: how many operations it was
 */
uint32_t step(struct run *r);

/**
 * finish() - end every worker
 */
void finish(struct run *r);

#endif
