/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/list.h - which opens and maps: the filters that list and graph share
 */
#ifndef GNTDEVCTL_LIST_H
#define GNTDEVCTL_LIST_H

#include "gntdevctl/ctl.h"

/**
 * struct ctl_filter - the arguments of those subcommands
 * @request: of docs/control.md's "list", with its filters
 */
struct ctl_filter {
	json_t *request;
};

/* Their options: --pid, --user, --domid, --unit. Its input begins with a struct ctl_filter. */
extern const struct argp ctl_filters;

/** ctl_filter_init() - no filter yet. Its request is to be given to ctl_ask() or json_decref() */
struct ctl_filter ctl_filter_init(void);

#endif /* GNTDEVCTL_LIST_H */
