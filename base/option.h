/* SPDX-License-Identifier: MIT */
/*
 * base/option.h - what command lines share
 */
#ifndef BASE_OPTION_H
#define BASE_OPTION_H

#include <argp.h>

/**
 * option_number() - the number that an option was given
 * @name: the option's, without "--", for the message
 *
 * Return: a number of [@min, @max]; anything else ends the program, with a message.
 */
unsigned long option_number(const struct argp_state *state, const char *name, const char *arg,
			    unsigned long min, unsigned long max);

#endif /* BASE_OPTION_H */
