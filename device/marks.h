/* SPDX-License-Identifier: MIT */
/*
 * device/marks.h - what requests that are executed again have done before
 *
 * Made at adoption: for each request in hand the record that has its mark (device/lasting.c). Whoever finds one looks at
 * the mark itself: the record may have ended since, and be another thing's.
 */
#ifndef DEVICE_MARKS_H
#define DEVICE_MARKS_H

#include <stdint.h>

struct marks;

/** marks_new() - none. Return: NULL: no memory */
struct marks *marks_new(void);

/** marks_free() - @m: or NULL */
void marks_free(struct marks *m);

/** marks_add() - a request and its record. One thread. Return: 0; -ENOMEM */
int marks_add(struct marks *m, uint64_t unique, uint32_t record);

/** marks_made() - after the last one: from now on any thread may look */
void marks_made(struct marks *m);

/** marks_find() - Return: the record that has a request's mark, or had it; 0: there was none. @m: or NULL */
uint32_t marks_find(const struct marks *m, uint64_t unique);

#endif /* DEVICE_MARKS_H */
