/* SPDX-License-Identifier: MIT */
/*
 * sim/kept.h - what there is of the simulated machine when its daemon has been killed
 *
 * One memfd, laid out once: a head, then an array for each thing, at an offset that follows from the head. All of it
 * reads as zero until it is used, and takes no memory until then. sim/sim.c tells in which order it is written.
 *
 * Here are the layout and the memory; what is in an array is changed by those whose it is: sim/fault.c, sim/life.c,
 * sim/maptrack.c, sim/machine.c, sim/event.c, sim/grant.c. Nothing here is ever read by a client.
 */
#ifndef SIM_KEPT_H
#define SIM_KEPT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/fault.h"
#include "sim/sim.h"
#include "state/region.h"

/* Store what lasts, in the order of the source. */
#define KEEP(lvalue, value) __atomic_store_n(&(lvalue), (value), __ATOMIC_RELEASE)

/**
 * struct kept_sizes - what the layout follows from
 * @pages:       of the machine's memory
 * @track_max:   handles
 * @table_max:   frames of a grant table
 * @self:        the daemon's domain
 */
struct kept_sizes {
	uint64_t pages;
	uint32_t track_max;
	uint32_t table_max;
	uint16_t self;
	uint16_t zero[3];
};
static_assert(sizeof(struct kept_sizes) == 24, "the layout lasts");

/**
 * struct kept_head - the first page
 * @bytes:       of this struct
 * @frames_made: frame words that have been made; no frame beyond was ever used
 * @tracks_made: the same for handles
 * @handed:      frames that are being handed over are their owner's already, see sim/machine.c
 */
struct kept_head {
	uint64_t magic;
	uint64_t bytes;
	struct kept_sizes sizes;
	uint64_t frames_made;
	uint64_t tracks_made;
	uint64_t handed;
};
static_assert(sizeof(struct kept_head) == 64, "the layout lasts");

/**
 * struct kept_domain - a domid
 * @state: enum sim_domain_state
 * @ports: its ports have been made
 * @table_frames: of its grant table, made
 */
struct kept_domain {
	uint8_t state;
	uint8_t ports;
	uint16_t zero;
	uint32_t table_frames;
};
static_assert(sizeof(struct kept_domain) == 8, "the layout lasts");

/* Ports: SIM_PORT_MAX + 1 of each domain. */
struct kept_port {
	uint64_t word; /* sim/event.c */
	uint64_t sent;
};
static_assert(sizeof(struct kept_port) == 16, "the layout lasts");
#define KEPT_PORTS_BYTES ((SIM_PORT_MAX + 1) * sizeof(struct kept_port))
static_assert(KEPT_PORTS_BYTES % 4096 == 0, "those of a domain are whole pages");

/* An entry of a grant table, and its head (flags and domid) as one word to swap. */
union kept_entry {
	struct grant_entry_v1 v1;
	uint32_t head;
};

/**
 * struct kept_grant - what the hypervisor, and the granter's kernel, know of a reference
 * @frame:   pinned, while a handle maps it
 * @granted: the frame that sim_grant() was given
 * @state:   enum grant_state of sim/grant.c
 */
struct kept_grant {
	uint32_t frame;
	uint32_t granted;
	uint32_t state;
};

struct kept_table {
	union kept_entry entry[SIM_GRANTS_PER_FRAME];
	struct kept_grant grant[SIM_GRANTS_PER_FRAME];
	unsigned char unused[2048];
};
static_assert(sizeof(struct kept_table) == 3 * 4096UL, "whole pages");

/**
 * struct kept - the memory, and where in it things are
 * @track: a word per handle; @frame: a word per frame
 */
struct kept {
	struct region mem;
	struct kept_head *head;
	struct kept_fault *fault;
	struct kept_domain *domain;
	uint64_t *track;
	uint64_t *frame;
	struct kept_port *port;
	struct kept_table *table;
};

/** kept_new() - memory for a machine that has just been made. Return: 0 or -errno. */
int kept_new(const struct kept_sizes *sizes, struct kept *out);

/**
 * kept_adopt() - memory that a predecessor has left
 * @fd:  becomes the memory's, also on failure
 * @why: out: on failure
 *
 * The head and the length are checked, nothing else. Return: 0; -EINVAL; -errno.
 */
int kept_adopt(int fd, struct kept *out, const char **why);

/** kept_close() - the memory stays as long as somebody has its descriptor. @k: or all zero */
void kept_close(struct kept *k);

/** kept_make() - have memory for @bytes from @at on: nothing that touches it later can fail. Return: 0 or -ENOMEM. */
int kept_make(const void *at, size_t bytes);

/** kept_wipe() - @bytes from @at on, whole pages, read as zero again and take no memory */
void kept_wipe(struct kept *k, void *at, size_t bytes);

/** kept_ports() - those of a domain; kept_tables() - the frames of its grant table */
struct kept_port *kept_ports(const struct kept *k, uint16_t domid);
struct kept_table *kept_tables(const struct kept *k, uint16_t domid);

#endif /* SIM_KEPT_H */
