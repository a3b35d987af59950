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
#include "machine/lasting.h"
#include "sim/sim.h"

/**
 * struct pages - those of a device together
 * @name:  the device's, for messages
 * @records: where each has its record
 * @number:  the device's, in records
 * @domid: whose they are
 * @lost:  at adoption: the domain that had granted those of a predecessor has gone, or is dying
 * @limit: how many there may be
 * @count: how many there are, or are promised
 */
struct pages {
	struct sim *sim;
	const char *name;
	struct records *records;
	uint16_t number;
	uint16_t domid;
	bool lost;
	uint32_t limit;
	uint32_t count;
};

/**
 * struct page_list - the pages of an open, in the order of their indexes
 * @serial: the open's
 */
struct page_list {
	struct cds_list_head head;
	uint64_t serial;
};

/**
 * struct page - a page that is granted
 * @node:   in a list, while it is in one
 * @record: its record, and what is in it: all that is known of the page
 * @users:  its list, and windows
 */
struct page {
	struct cds_list_head node;
	struct alloc_page_lasting *last;
	uint32_t record;
	uint32_t users;
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
int pages_add(struct pages *ps, struct page_list *list, const struct ioctl_gntalloc_alloc_gref *op,
	      uint32_t *refs);

/**
 * pages_find() - the first of @count pages in a row
 *
 * Return: NULL if not all are in the list, or @count is 0.
 */
struct page *pages_find(const struct page_list *list, uint64_t index, uint64_t count);

/** page_after() - the one after @p, or the first. Return: NULL if there is none */
struct page *page_after(const struct page_list *list, const struct page *p);

/** pages_unlist() - take up to @count pages, from @first on, out of their list, which lets go of them */
void pages_unlist(struct pages *ps, const struct page_list *list, struct page *first,
		  uint64_t count);

/** page_put() - a user lets go of a page; the last one ends it */
void page_put(struct pages *ps, struct page *p);

/** page_end() - the last user has gone */
void page_end(struct pages *ps, struct page *p);

/**
 * page_notify() - what is to happen when a page ends
 *
 * Return: 0; -EINVAL for an unknown action, or a port that is not bound.
 */
int page_notify(struct pages *ps, struct page *p, const struct ioctl_gntalloc_unmap_notify *op);

/**
 * page_adopt() - a page that a predecessor has left
 * @open: its open is there
 * @out:  out: a page that is in no list yet, with a user for the list that it belongs into, if it does. NULL: on failure, or it has
 *        gone with its domain, and so has its record
 *
 * Windows that use it still have to join. Return: 0; -EINVAL: it cannot be; -ENOMEM.
 */
int page_adopt(struct pages *ps, uint32_t record, bool open, struct page **out);

/** pages_drop_unknown() - after page_adopt() for all of a domain's pages, of all devices: end its other grants, free its other frames */
int pages_drop_unknown(struct pages *ps);

#endif /* MACHINE_PAGES_H */
