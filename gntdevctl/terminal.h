/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/terminal.h - what gntdevctl does if a person reads along: a pager, the same again and again
 *
 * One thread. Colour is in gntdevctl/text.h.
 */
#ifndef GNTDEVCTL_TERMINAL_H
#define GNTDEVCTL_TERMINAL_H

#include "gntdevctl/ctl.h"

/**
 * ctl_page() - have what is printed from now on read through a pager, if that is of use
 *
 * GNTDEVCTL_PAGER, else PAGER, else less, else more; none if it is empty or "cat", with --no-pager, or if standard output is no
 * terminal. Somebody whom sudo and the like have made root gets no shell by it: then it is less in its secure mode
 * alone. The program ends when its reader has: at exit.
 */
void ctl_page(const struct ctl *ctl);

/**
 * ctl_repeat() - do something once, through a pager, or with --watch until a signal comes
 * @once: asks and prints; an enum ctl_status. One that is not CTL_DONE ends it
 *
 * Return: what @once has returned last.
 */
int ctl_repeat(const struct ctl *ctl, int (*once)(void *arg), void *arg);

#endif /* GNTDEVCTL_TERMINAL_H */
