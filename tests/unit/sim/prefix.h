/* SPDX-License-Identifier: MIT */
/*
 * sim/prefix.h - what a kill can leave: every prefix of an operation's stores
 *
 * The operation runs in a child that is stepped, instruction by instruction (ptrace(2)). After each that has changed what lasts,
 * the memory is what a kill would have left there: tests adopt a copy of it. So the order is tried that the compiler has
 * made of the source.
 */
#ifndef TEST_SIM_PREFIX_H
#define TEST_SIM_PREFIX_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct prefix_part - a part of the memory to be watched
 */
struct prefix_part {
	const void *at;
	size_t bytes;
};

/**
 * prefix_each() - run an operation, stop after each of its stores
 * @op:    runs in a child, which shares with us what is mapped so
 * @parts, @n: what the stores are looked for in
 * @fn:    called after each
 *
 * Fails the test if the child does not come to its end. Return: how many there were.
 */
unsigned int prefix_each(void (*op)(void *arg), void *op_arg, const struct prefix_part *parts,
			 size_t n, void (*fn)(void *arg), void *fn_arg);

/**
 * prefix_kill() - run an operation, kill it after its @nth store
 *
 * Return: false if it came to its end before that.
 */
bool prefix_kill(void (*op)(void *arg), void *op_arg, const struct prefix_part *parts, size_t n,
		 unsigned int nth);

#endif /* TEST_SIM_PREFIX_H */
