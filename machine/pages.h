/* SPDX-License-Identifier: MIT */
/*
 * machine/pages.h - pages that a domain of the simulated machine grants
 *
 * Nothing here locks: all functions are called under the lock of the device whose pages they are. None
 * touches a client's memory or waits.
 */
#ifndef MACHINE_PAGES_H
#define MACHINE_PAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "abi/ioctl.h"
#include "sim/sim.h"

/**
 * struct pages - those of a device together
 * @name:  the device's, for messages
 * @domid: whose they are
 * @limit: how many there may be
 * @count: how many there are, or are promised
 */
struct pages {
	struct sim *sim;
	const char *name;
	uint16_t domid;
	uint32_t limit;
	uint32_t count;
};

/**
 * struct page - a page that is granted
 * @node:   in a list, while it is in one
 * @index:  as the client knows it, bytes
 * @users:  its list, and windows
 * @action: of its notification, UNMAP_NOTIFY_*
 * @byte:   to be cleared, in the page
 * @port:   to send an event on; referenced while @action says so
 */
struct page {
	struct cds_list_head node;
	uint64_t index;
	uint32_t users;
	uint32_t frame;
	uint32_t ref;
	uint32_t action;
	uint32_t byte;
	uint32_t port;
};

/** pages_promise() - count @n more pages. Return: false, and nothing counted, if they exceed the limit */
bool pages_promise(struct pages *ps, uint32_t n);

/**
 * pages_add() - allocate and grant pages that were promised, at the end of a list
 * @list: in the order of their indexes
 * @op:   how many, to whom, how, and the index of the first
 * @refs: out: the references; room for op->count
 *
 * All or none. Return: 0; -ENOSPC if the grant table has no room for them; -ENOMEM. Then they do not count
 * any more.
 */
int pages_add(struct pages *ps, struct cds_list_head *list,
	      const struct ioctl_gntalloc_alloc_gref *op, uint32_t *refs);

/**
 * pages_find() - the first of @count pages in a row
 *
 * Return: NULL if not all are in the list, or @count is 0.
 */
struct page *pages_find(const struct cds_list_head *list, uint64_t index, uint64_t count);

/** page_after() - the one after @p, or the first. Return: NULL if there is none */
struct page *page_after(const struct cds_list_head *list, const struct page *p);

/** pages_unlist() - take up to @count pages, from @first on, out of their list, which lets go of them */
void pages_unlist(struct pages *ps, const struct cds_list_head *list, struct page *first,
		  uint64_t count);

/** page_put() - a user lets go of a page; the last one ends it */
void page_put(struct pages *ps, struct page *p);

/**
 * page_notify() - what is to happen when a page ends
 *
 * Return: 0; -EINVAL for an unknown action, or a port that is not bound.
 */
int page_notify(struct pages *ps, struct page *p, const struct ioctl_gntalloc_unmap_notify *op);

#endif /* MACHINE_PAGES_H */
