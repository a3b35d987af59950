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
	struct ctl *ctl;
	json_t *request;
};

/* Their options: --pid, --user, --domid, --unit and the global ones; a struct ctl_filter is its input. */
extern const struct argp_child ctl_filters[];

/** ctl_filter_init() - no filter yet. Its request is to be given to ctl_ask() or json_decref() */
struct ctl_filter ctl_filter_init(struct ctl *ctl);

#endif /* GNTDEVCTL_LIST_H */
