/* SPDX-License-Identifier: MIT */
/*
 * base/why.h - a message for the operator: why something cannot be
 */
#ifndef BASE_WHY_H
#define BASE_WHY_H

#include <stdbool.h>
#include <stddef.h>

/* Where it goes: a buffer of @size bytes. */
struct why {
	char *text;
	size_t size;
};

/** because() - say what is wrong and what to do. Return: false, for the caller to return */
bool because(const struct why *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif /* BASE_WHY_H */
