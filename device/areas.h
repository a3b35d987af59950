/* SPDX-License-Identifier: MIT */
/*
 * device/areas.h - several areas of a caller's memory, at one go
 *
 * For what device/caller.c reaches directly. Each area costs a third of a microsecond, however small it is, so
 * neighbours are put together.
 */
#ifndef DEVICE_AREAS_H
#define DEVICE_AREAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "device/caller.h"

#define AREAS_MAX 64

/**
 * struct areas - areas of the caller's and of ours, in pairs
 * @n: how many; what lies side by side in both is one
 */
struct areas {
	size_t n;
	struct iovec local[AREAS_MAX];
	struct iovec remote[AREAS_MAX];
};

static inline void areas_init(struct areas *a)
{
	a->n = 0;
}

/** areas_add() - @len bytes, not 0, of ours at @local, and of the caller's at @remote. AREAS_MAX times */
void areas_add(struct areas *a, void *local, uint64_t remote, size_t len);

/** areas_fetch() - read the caller's. Return: whether all was read; nothing to read is all */
bool areas_fetch(const struct areas *a, struct caller *c);

/** areas_store() - write the caller's, in order. Return: whether all was written */
bool areas_store(const struct areas *a, struct caller *c);

/**
 * struct probes - memory of the caller's that is to be found writable or not, without a change to it
 * @page: the last one
 */
struct probes {
	size_t n;
	uint64_t page;
	struct iovec remote[2 * AREAS_MAX];
	uint32_t which[2 * AREAS_MAX];
};

static inline void probes_init(struct probes *p)
{
	p->n = 0;
}

/** probes_add() - @len bytes, 1 to a page, at @addr, as number @which. AREAS_MAX times */
void probes_add(struct probes *p, uint32_t which, uint64_t addr, size_t len);

/**
 * probes_try() - write a byte of each page as it was read
 * @none: what to return if all can be written
 *
 * What the caller itself writes there at the same time may be undone.
 *
 * Return: the number of the first that cannot.
 */
uint32_t probes_try(const struct probes *p, struct caller *c, uint32_t none);

#endif /* DEVICE_AREAS_H */
