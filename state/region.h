/* SPDX-License-Identifier: MIT */
/*
 * state/region.h - memory that outlives the daemon
 *
 * A region is a memfd, mapped as a whole at an address that never changes. Of its length only the beginning has been
 * made: it grows, and what has been made is really there, so that nothing that touches it later can fail.
 *
 * The room state/ promises to all who keep something there: what was stored before the daemon was killed is there for
 * its successor, in the order in which it was stored; and that it gets lent what was given to be kept. It knows
 * nothing of what it keeps. It may include abi/ and base/.
 */
#ifndef STATE_REGION_H
#define STATE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct region - private to state/region.c but for reading
 * @base: the first byte
 * @max:  bytes of address space, a multiple of the page size
 * @made: bytes that have been made (atomic)
 */
struct region {
	unsigned char *base;
	size_t max;
	size_t made;
	int fd;
};

/**
 * region_new() - make an empty one
 * @name: for /proc
 * @max:  bytes that it can grow to; rounded up to pages
 *
 * Return: 0 or -errno.
 */
int region_new(const char *name, size_t max, struct region *out);

/**
 * region_adopt() - map what a predecessor has made
 * @fd:   its memfd, which is the region's from now on, also if this fails
 * @made: bytes that had been made, as the predecessor has noted somewhere in it; 0: as much as the file has
 *
 * Return: 0; -EINVAL if it is no memfd that cannot shrink, or has not so many bytes; -errno.
 */
int region_adopt(int fd, size_t made, struct region *out);

/**
 * region_grow() - make its bytes below @to
 *
 * By one thread at a time. Return: 0; -ENOMEM, also beyond @max.
 */
int region_grow(struct region *r, size_t to);

/** region_is_made() - at adoption: whether the pages of its first @bytes bytes are there, all of them */
bool region_is_made(const struct region *r, size_t bytes);

/** region_close() - unmap and close; the memory stays as long as somebody has the memfd. @r: or all zero */
void region_close(struct region *r);

#endif /* STATE_REGION_H */
