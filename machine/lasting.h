/* SPDX-License-Identifier: MIT */
/*
 * machine/lasting.h - what outlives the daemon of the devices xen/gntalloc
 *
 * One store of records is all devices'. machine/gntalloc.c tells what is durable when.
 */
#ifndef MACHINE_LASTING_H
#define MACHINE_LASTING_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "state/record.h"

/**
 * struct alloc_lasting - content of a RECORD_ALLOC: a device
 * @generations: of its opens' fh, see ids_last()
 * @serials:     how many opens there have been
 * @number:      which device it is
 */
struct alloc_lasting {
	uint64_t generations;
	uint64_t serials;
	uint32_t number;
	uint32_t zero;
};
static_assert(sizeof(struct alloc_lasting) == 24, "as its predecessors have it");

/* A serial is the number of the device above as many bits. */
#define ALLOC_SERIAL_BITS 48

#define ALLOC_MAY_READ	1U
#define ALLOC_MAY_WRITE 2U

/**
 * struct alloc_open_lasting - content of a RECORD_ALLOC_OPEN
 * @fh:     what open gave
 * @maker:  the request that made it
 * @serial: of no other open ever, of any device; pages and windows say it
 * @next:   index of the next page to be allocated, bytes (atomic)
 * @secret: of its token
 * @user:   whom it counts against
 * @number: of its device, and ALLOC_MAY_* above that
 */
struct alloc_open_lasting {
	uint64_t fh;
	uint64_t maker;
	uint64_t serial;
	uint64_t next;
	uint8_t secret[16];
	uint32_t user;
	uint16_t number;
	uint16_t may;
};
static_assert(sizeof(struct alloc_open_lasting) == RECORD_CELL_BYTES, "an open is one cell");
static_assert(offsetof(struct alloc_open_lasting, user) == 48, "as its predecessors have it");

/*
 * A page is its open's as long as it is LISTED. If it is not, and in no window, it is ending: its notification is to be fired, then
 * its record ends, then its grant.
 */
#define ALLOC_LISTED 1U

/* Of a notification: UNMAP_NOTIFY_*, the byte, the port. */
#define ALLOC_NOTIFY(action, byte, port) \
	((uint64_t)(port) << 32 | (uint64_t)(byte) << 16 | (uint64_t)(action))
#define ALLOC_NOTIFY_ACTION(word) ((uint32_t)(word)&0xffff)
#define ALLOC_NOTIFY_BYTE(word)	  ((uint32_t)(word) >> 16)
#define ALLOC_NOTIFY_PORT(word)	  ((uint32_t)((word) >> 32))

/**
 * struct alloc_page_lasting - content of a RECORD_ALLOC_PAGE
 * @serial: of the open that allocated it, which may be gone
 * @index:  as the client knows it, bytes
 * @notify: ALLOC_NOTIFY() (atomic)
 * @frame, @ref: of the domain
 * @state:  ALLOC_LISTED, or 0 (atomic)
 * @domid:  the domain
 * @number: of the device
 */
struct alloc_page_lasting {
	uint64_t serial;
	uint64_t index;
	uint64_t notify;
	uint32_t frame;
	uint32_t ref;
	uint32_t state;
	uint16_t domid;
	uint16_t number;
};
static_assert(sizeof(struct alloc_page_lasting) == 40, "as its predecessors have it");
static_assert(offsetof(struct alloc_page_lasting, state) == 32, "as its predecessors have it");

#endif /* MACHINE_LASTING_H */
