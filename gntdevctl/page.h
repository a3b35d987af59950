/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/page.h - gntdevctl graph --html: all that is known, as a page for a browser
 */
#ifndef GNTDEVCTL_PAGE_H
#define GNTDEVCTL_PAGE_H

#include <jansson.h>
#include <stdio.h>

#include "gntdevctl/ctl.h"

/* Records of "list" that a page is given: a browser sorts no more at once. */
#define CTL_PAGE_ROWS 20000

/**
 * ctl_page_write() - write it: one file that loads nothing
 * @stats: "end" of stats
 * @list:  array of records of "list", each an object with "open" or "map". The failures are asked for here
 *
 * What clients have chosen is data in it, and never markup. Return: an enum ctl_status; a message was printed if it is not
 * CTL_DONE.
 */
int ctl_page_write(const struct ctl *ctl, const json_t *stats, const json_t *list, FILE *out);

#endif /* GNTDEVCTL_PAGE_H */
