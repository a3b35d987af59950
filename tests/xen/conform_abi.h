/* SPDX-License-Identifier: MIT */
/*
 * conform_abi.h - the device's ABI, written down once more
 *
 * From the specification, not from the daemon's headers or Xen's: the tests do not believe what
 * those believe.
 */
#ifndef TESTS_XEN_CONFORM_ABI_H
#define TESTS_XEN_CONFORM_ABI_H

#include <stdint.h>

#define GNTDEV_MAP		  0x00184700UL
#define GNTDEV_UNMAP		  0x00104701UL
#define GNTDEV_GET_OFFSET	  0x00184702UL
#define GNTDEV_SET_MAX		  0x00044703UL
#define GNTDEV_NOTIFY		  0x00104707UL
#define GNTDEV_COPY		  0x00104708UL
#define GNTDEV_DMABUF_EXP	  0x00144709UL
#define GNTDEV_DMABUF_EXP_WAIT	  0x0008470aUL
#define GNTDEV_DMABUF_IMP	  0x0014470bUL
#define GNTDEV_DMABUF_IMP_RELEASE 0x0008470cUL

#define NOTIFY_BYTE  1U
#define NOTIFY_EVENT 2U
#define COPY_SOURCE  1U
#define COPY_DEST    2U

struct gntdev_ref {
	uint32_t domid, ref;
};

struct gntdev_map {
	uint32_t count, pad;
	uint64_t index;
	struct gntdev_ref refs[];
};

struct gntdev_unmap {
	uint64_t index;
	uint32_t count, pad;
};

struct gntdev_get_offset {
	uint64_t vaddr, offset;
	uint32_t count, pad;
};

struct gntdev_notify {
	uint64_t index;
	uint32_t action, port;
};

union gntdev_place {
	const void *virt;
	struct {
		uint32_t ref;
		uint16_t offset, domid;
	} foreign;
};

struct gntdev_segment {
	union gntdev_place source, dest;
	uint16_t len, flags;
	int16_t status;
};

struct gntdev_copy {
	uint32_t count;
	struct gntdev_segment *segments;
};

#endif
