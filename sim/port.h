/* SPDX-License-Identifier: MIT */
/*
 * sim/port.h - the word of an event channel port, for sim/event.c and sim/channel.c
 *
 *   bit 63: bound | 62: the owner's reference is gone | 61: an event waits | 32..36: VIRQ | 28..29: enum port_kind
 *   16..27: the port at the other end | 0..15: the domain there
 *
 * The word lasts: a port is changed by one store of it, under its domain's lock.
 */
#ifndef SIM_PORT_H
#define SIM_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/domain.h"

#define PORT_BOUND	(1ULL << 63)
#define PORT_CLOSED	(1ULL << 62)
#define PORT_PENDING	(1ULL << 61)
#define PORT_REMOTE	0xffffULL
#define PORT_PEER	(0xfffULL << 16)
#define PORT_PEER_SHIFT 16
#define PORT_KIND	(3ULL << 28)
#define PORT_KIND_SHIFT 28
#define PORT_VIRQ	(0x1fULL << 32)
#define PORT_VIRQ_SHIFT 32
#define PORT_WORD \
	(PORT_BOUND | PORT_CLOSED | PORT_PENDING | PORT_REMOTE | PORT_PEER | PORT_KIND | PORT_VIRQ)

static_assert(SIM_PORT_MAX <= PORT_PEER >> PORT_PEER_SHIFT, "a port has its place in a word");
static_assert(SIM_VIRQS <= (PORT_VIRQ >> PORT_VIRQ_SHIFT) + 1, "and so has a VIRQ");

/**
 * enum port_kind - what is at the other end
 * @PORT_PLAIN:       a domain, and no port of it: what is sent goes to nobody but the port's own callback
 * @PORT_UNBOUND:     nothing yet: the remote domain may bind to it
 * @PORT_INTERDOMAIN: a port, of this kind as well
 * @PORT_VIRQ:        Xen
 */
enum port_kind { PORT_PLAIN, PORT_UNBOUND, PORT_INTERDOMAIN, PORT_VIRQ_BOUND };

static inline enum port_kind port_kind(uint64_t word)
{
	return (enum port_kind)((word & PORT_KIND) >> PORT_KIND_SHIFT);
}

static inline uint16_t port_remote(uint64_t word)
{
	return word & PORT_REMOTE;
}

static inline uint32_t port_peer(uint64_t word)
{
	return (uint32_t)((word & PORT_PEER) >> PORT_PEER_SHIFT);
}

static inline uint32_t port_virq(uint64_t word)
{
	return (uint32_t)((word & PORT_VIRQ) >> PORT_VIRQ_SHIFT);
}

static inline uint64_t port_make(enum port_kind kind, uint16_t remote, uint32_t peer)
{
	return PORT_BOUND | (uint64_t)kind << PORT_KIND_SHIFT | (uint64_t)peer << PORT_PEER_SHIFT |
	       remote;
}

/* Under the lock. Return: 0 if it is not bound, or out of range. */
static inline uint64_t port_word(const struct domain *d, uint32_t number)
{
	return number && number <= SIM_PORT_MAX && d->ports ? d->kept_port[number].word : 0;
}

/* The same, while it is bound. */
static inline void port_store(struct domain *d, uint32_t number, uint64_t word)
{
	KEEP(d->kept_port[number].word, word);
}

/**
 * struct port_ends - a port and the domain at the other end, both locked
 * @word: the port's
 * @peer: NULL: it is not interdomain. Can be @d
 */
struct port_ends {
	struct domain *d;
	struct domain *peer;
	uint32_t number;
	uint64_t word;
};

/** ports_lock() - lock a domain and the one at the other end of a port of it, in the order of their domids */
void ports_lock(struct domains *ds, struct domain *d, uint32_t number, struct port_ends *e);
void ports_unlock(const struct port_ends *e);

/** ports_part() - under both locks: what is at the other end is unbound from now on, for whoever binds to it next */
void ports_part(const struct port_ends *e);

/** port_close() - under both locks: the port is free, and its other end unbound */
void port_close(const struct port_ends *e);

/** ports_make() - under the lock: the domain has ports from now on. Return: 0 or -ENOMEM */
int ports_make(struct domain *d);

/** port_free() - under the lock, with ports made: the first that is not bound. Return: 0: there is none */
uint32_t port_free(const struct domain *d);

#endif /* SIM_PORT_H */
