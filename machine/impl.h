/* SPDX-License-Identifier: MIT */
/*
 * machine/impl.h - the device xen/gntalloc, for the files that it is made of
 */
#ifndef MACHINE_IMPL_H
#define MACHINE_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "client/request.h"
#include "device/token.h"
#include "machine/lasting.h"
#include "machine/pages.h"
#include "policy/quota.h"
#include "window/window.h"

/**
 * struct gntalloc - the device
 * @dev:   first, so that a struct device leads back here
 * @opens: struct alloc_open by fh; looked up and changed under @lock
 * @pages: of all opens and windows, under @lock
 * @quota: who has how many opens; @limits: how many one may: the defaults
 * @own_records: pages.records, if they are ours, and last no longer than we
 * @shown: struct alloc_window, under @lock
 * @loose: at adoption: pages that are in no list of an open
 * @last:  what lasts of the device itself
 */
struct gntalloc {
	struct device dev;
	struct windows *windows;
	struct winsock *winsock;
	pthread_mutex_t lock;
	struct ids *opens;
	struct pages pages;
	struct cds_list_head shown;
	struct cds_list_head loose;
	struct quota *quota;
	struct policy_limits limits;
	struct records *own_records;
	struct alloc_lasting *last;
};

/**
 * struct alloc_open - an open
 * @record: its record, and what is in it
 * @user:   whom it counts against
 */
struct alloc_open {
	struct token token;
	struct page_list pages;
	struct alloc_open_lasting *last;
	uint32_t record;
	struct quota_user *user;
};

/**
 * struct alloc_window - what a window shows
 * @node:   in the device's list
 * @serial: of the open
 */
struct alloc_window {
	struct window_user user;
	struct cds_list_head node;
	struct gntalloc *ga;
	uint64_t serial;
	bool readonly;
	size_t n;
	struct page *page[];
};

/** alloc_window_end() - its pages have one user less; free it */
void alloc_window_end(struct alloc_window *win);

/** alloc_window_gone() - window_user.gone */
void alloc_window_gone(struct window_user *user);

#endif /* MACHINE_IMPL_H */
