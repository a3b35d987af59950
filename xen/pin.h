/* SPDX-License-Identifier: MIT */
/*
 * xen/pin.h - pages that stay where they are
 *
 * A page is pinned by registering it as a fixed buffer of an io_uring: the kernel takes a long-term
 * pin then, as for hardware that does DMA. Such a page is not migrated, swapped, merged or handed
 * to anybody else, whatever becomes of its file, of its mappings, and of the process that
 * registered it, until it is unregistered or the last descriptor of the ring is closed. mlock(2) gives
 * none of that.
 */
#ifndef XEN_PIN_H
#define XEN_PIN_H

#include <stddef.h>
#include <stdint.h>

struct pins;

/* Descriptors of the rings, see pins_fds(). */
#define PINS_FDS 16

/**
 * pins_new() - make the rings
 * @why: out: on failure, a message for the user
 *
 * All of them, at once: the keeper gets them by fork (Linux does not let them be sent over sockets).
 * Return: 0 and *@out, -errno.
 */
int pins_new(struct pins **out, const char **why);

/**
 * pins_adopt() - go on with the rings of a predecessor
 * @fds: its rings, in the order of pins_fds(); ours from now on, also on failure
 * @ids: pins that are still wanted, @n of them, in any order; the others end when their ids are used again
 *
 * Return: 0 and *@out; -EINVAL: an id cannot be, or is there twice; -errno.
 */
int pins_adopt(const int fds[PINS_FDS], const uint32_t *ids, size_t n, struct pins **out,
	       const char **why);

/** pins_free() - unpin everything; in so far as no other process holds the rings, too */
void pins_free(struct pins *p);

/** pins_fds() - the rings' descriptors: whoever holds them holds the pins */
void pins_fds(const struct pins *p, int fds[PINS_FDS]);

/**
 * pins_add() - pin a range of shared memory
 * @addr:  writable, whole pages. It need not stay mapped
 * @pages: its length, at most 1 GiB
 * @id:    out: what pins_remove() wants
 * @pfn:   out: for each page, its number in this domain's physical memory; NULL if not wanted
 *
 * Any thread. Return: 0; -ENOMEM if there is no memory or too much is pinned; -EPERM if the kernel does
 * not tell page numbers (CAP_SYS_ADMIN); -errno of io_uring.
 */
int pins_add(struct pins *p, void *addr, size_t pages, uint32_t *id, uint64_t *pfn);

/** pins_remove() - unpin: within a second or so. Any thread. */
void pins_remove(struct pins *p, uint32_t id);

#endif /* XEN_PIN_H */
