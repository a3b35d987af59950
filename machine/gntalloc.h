/* SPDX-License-Identifier: MIT */
/*
 * machine/gntalloc.h - the device xen/gntalloc: clients grant pages as a simulated domain
 *
 * It has Linux's gntalloc ABI, so that programs on libxengnttab's xengntshr_*() functions run on it
 * unchanged. machine/gntalloc.c tells how a page lives and dies.
 *
 * The room machine/ is the rest of the simulated machine: devices by which other programs are its domains. It
 * promises to them what the drivers of those devices do. It may include device/, sim/ and all below.
 */
#ifndef MACHINE_GNTALLOC_H
#define MACHINE_GNTALLOC_H

#include <stdint.h>

#include "client/request.h"
#include "sim/sim.h"
#include "window/socket.h"

struct windows;
struct records;
struct gntalloc;

/* The driver's module parameter `limit`: pages granted at a time, over all clients. */
#define GNTALLOC_LIMIT_DEFAULT 1024U

/**
 * struct gntalloc_config - a granting device
 * @name:    as in DEVNAME, such as "xen/gntalloc"; kept by reference
 * @sim:     the machine
 * @windows: where windows are made
 * @domid:   the domain that grants; it is added if it does not exist, and must not be removed
 *           while the device is there
 * @limit:   pages granted at a time
 * @records: where opens and pages have their records, of all such devices; NULL: nothing lasts
 * @number:  which device it is, in the records
 */
struct gntalloc_config {
	const char *name;
	struct sim *sim;
	struct windows *windows;
	struct records *records;
	uint16_t number;
	uint16_t domid;
	uint32_t limit;
};

/** gntalloc_new() - make a device. Its domain may be dying: then nothing can be granted. Return: 0; -EINVAL of sim_domain_add(); -ENOMEM. */
int gntalloc_new(const struct gntalloc_config *config, struct gntalloc **out);

/**
 * struct gntalloc_adoption - what gntalloc_adopt() asks of the session
 * @given_up: whether this request is not executed again, and fails; with @unique 0: the one that was to release the open @fh
 * @opened:   told of each open, whom it counts against and its fh. Return: 0 or -errno
 */
struct gntalloc_adoption {
	bool (*given_up)(void *arg, uint64_t unique, uint64_t fh);
	int (*opened)(void *arg, uid_t user, uint64_t fh);
	void *arg;
};

/**
 * gntalloc_adopt() - take over what a predecessor had
 *
 * After gntalloc_new(), with the records and the machine that it left, before windows_adopted() and the machine's. Opens that
 * a request made, or was to release, which is given up, are over. Pages that nobody has any more end here, with their notifications; what
 * the domain has that no page knows of is freed. Return: 0; -EINVAL: what was left cannot be; -ENOMEM; what opened() returned.
 */
int gntalloc_adopt(struct gntalloc *ga, const struct gntalloc_adoption *a);

/** gntalloc_device() - what a session serves */
struct device *gntalloc_device(struct gntalloc *ga);

/** gntalloc_set_winsock() - the server that clients are sent to. Before the first ioctl. */
void gntalloc_set_winsock(struct gntalloc *ga, struct winsock *ws);

/**
 * gntalloc_mmap() - answer an mmap: for winsock_new()
 * @arg: the struct gntalloc
 *
 * ENODEV for a bad token, then as the driver: EINVAL if it is not shared, ENOMEM, ENOENT if these
 * pages are not all allocated through this open.
 */
void gntalloc_mmap(struct mmap_call *mc, void *arg);

/**
 * gntalloc_close_all() - close every open, as if each client had closed its descriptor
 *
 * At shutdown: no session serves the device any more. Pages in windows live on.
 */
void gntalloc_close_all(struct gntalloc *ga);

/**
 * gntalloc_destroy() - free the device
 *
 * After gntalloc_close_all() and windows_destroy(): nobody holds any page.
 */
void gntalloc_destroy(struct gntalloc *ga);

/** gntalloc_leave() - instead: free what is ours, and leave all opens and pages to a successor. After windows_leave() */
void gntalloc_leave(struct gntalloc *ga);

/** gntalloc_pages() - pages that count towards the limit, for tests and statistics */
uint32_t gntalloc_pages(struct gntalloc *ga);

#endif /* MACHINE_GNTALLOC_H */
