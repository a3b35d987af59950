/* SPDX-License-Identifier: MIT */
/*
 * device/open.h - opens of xen/gntdev, for the struct device of device/ioctl.c
 */
#ifndef DEVICE_OPEN_H
#define DEVICE_OPEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/request.h"
#include "report/reason.h"

struct gntdev;
struct gntdev_open;

/** gntdev_open(), gntdev_release() - of struct device */
int gntdev_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh);
void gntdev_release(struct device *dev, uint64_t fh);

/**
 * open_gave_up() - whether this open's maps that were never mmapped say that mmap has failed
 * @why: out, if so
 *
 * They do if none of them ever came to have a window: libxengnttab unmaps, and others end, when the kernel has
 * answered their mmap with ENODEV. The daemon sees no other sign of that. A token that was asked for tells that the
 * preload object is there. Under RCU.
 */
bool open_gave_up(const struct gntdev_open *go, enum failure_reason *why);

/** open_tell_preload() - tell a client that gave up what it needs. @why: of open_gave_up(). Any thread */
void open_tell_preload(struct gntdev *gd, enum failure_reason why, pid_t tid, uid_t uid);

#endif /* DEVICE_OPEN_H */
