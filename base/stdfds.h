/* SPDX-License-Identifier: MIT */
/*
 * base/stdfds.h - descriptors 0 to 2 are always open
 */
#ifndef BASE_STDFDS_H
#define BASE_STDFDS_H

#include <stdbool.h>

/**
 * stdfds_occupy() - see to it that nothing else gets the numbers of standard input, output and error
 *
 * Whoever starts us may have closed some of these. A connection or a device that got such a number would be
 * sent what is printed. What stands in can be neither read nor written. First thing in main().
 *
 * Return: false if that cannot be done: there is nowhere to say so.
 */
bool stdfds_occupy(void);

#endif /* BASE_STDFDS_H */
