/* SPDX-License-Identifier: MIT */
/*
 * evtchn/lasting.h - what outlives the daemon of the devices xen/evtchn
 *
 * One store of records is all devices'. evtchn/evtchn.c and evtchn/ring.c tell what is durable when. Whether an event waits at
 * a port is the machine's to keep.
 */
#ifndef EVTCHN_LASTING_H
#define EVTCHN_LASTING_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "state/record.h"

/**
 * struct evtchn_lasting - content of a RECORD_EVTCHN: a device
 * @generations: of its opens' fh, see ids_last()
 * @number:      which device it is
 */
struct evtchn_lasting {
	uint64_t generations;
	uint32_t number;
	uint32_t zero;
};
static_assert(sizeof(struct evtchn_lasting) == 16, "as its predecessors have it");

/**
 * struct evtchn_open_lasting - content of a RECORD_EVTCHN_OPEN
 * @fh:         what open gave
 * @maker:      the request that made it
 * @wake:       whom to wake when there is something to read; 0: nobody (atomic)
 * @ends:       of the ring: what was read, ever, above 32; what was put in, ever, below (atomic)
 * @ring:       record of the ring, 0: there is none yet (atomic)
 * @user:       whom it counts against
 * @number:     of its device
 * @restricted: the only domain that it may bind to, 0: any (atomic)
 * @overflow:   an event has found the ring full (atomic)
 */
struct evtchn_open_lasting {
	uint64_t fh;
	uint64_t maker;
	uint64_t wake;
	uint64_t ends;
	uint32_t ring;
	uint32_t user;
	uint16_t number;
	uint16_t restricted;
	uint32_t overflow;
};
static_assert(sizeof(struct evtchn_open_lasting) == 48, "as its predecessors have it");
static_assert(sizeof(struct evtchn_open_lasting) <= RECORD_CELL_BYTES, "an open is one cell");

/**
 * struct evtchn_port_lasting - content of a RECORD_EVTCHN_PORT: a port of an open
 * @fh:      of the open
 * @maker:   the request that bound it
 * @port:    its number in the domain
 * @number:  of the device
 * @enabled: its next event is put into the ring (atomic)
 */
struct evtchn_port_lasting {
	uint64_t fh;
	uint64_t maker;
	uint32_t port;
	uint16_t number;
	uint16_t enabled;
};
static_assert(sizeof(struct evtchn_port_lasting) == 24, "as its predecessors have it");

/**
 * struct evtchn_ring_lasting - content of a RECORD_EVTCHN_RING: its head, @size port numbers behind it
 * @size:   a power of two
 * @number: of the device
 */
struct evtchn_ring_lasting {
	uint32_t size;
	uint32_t number;
};
static_assert(sizeof(struct evtchn_ring_lasting) == 8, "as its predecessors have it");

#endif /* EVTCHN_LASTING_H */
