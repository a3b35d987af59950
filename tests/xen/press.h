/* SPDX-License-Identifier: MIT */
/*
 * press.h - memory of dom0 that is scarce, and moved about
 */
#ifndef TESTS_XEN_PRESS_H
#define TESTS_XEN_PRESS_H

#include <stdbool.h>

/** press_start() - have a process use up memory, and pages swapped and moved; reports whether they are */
void press_start(void);

/** press_stop() - end it; reports whether its own memory kept what was written to it */
void press_stop(void);

bool press_is_on(void);

/** press_is_felt() - wait until more pages have been swapped and moved. Return: whether they were */
bool press_is_felt(void);

#endif /* TESTS_XEN_PRESS_H */
