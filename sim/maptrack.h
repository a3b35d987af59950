/* SPDX-License-Identifier: MIT */
/*
 * sim/maptrack.h - the handles of the simulator's mapping domain
 *
 * Lock-free, constant time. A handle is a slot and a generation, so a stale one is told from the
 * slot's present user (Xen's handles are slots alone). Any thread may call anything.
 */
#ifndef SIM_MAPTRACK_H
#define SIM_MAPTRACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/kept.h"

/* No handle has this value. */
#define MAPTRACK_NONE UINT32_MAX

/* What a slot holds: refs must be below this, and slots at most as many. */
#define MAPTRACK_REF_BITS  24
#define MAPTRACK_SLOT_BITS 20

/**
 * struct maptrack - all handles
 * @kept:  how many words of @track have been made
 * @track: per slot, what it maps; see sim/maptrack.c. Of all this it alone lasts
 * @named: per slot, somebody knows of the handle; NULL but during adoption
 * @next:  per free slot, the next free one
 * @head:  free list: tag << 32 | slot + 1
 * @used:  slots that were ever used; beyond it none is on the free list
 * @max:   slots in all
 * @grow:  for making more words
 * @live:  published and not yet put
 */
struct maptrack {
	struct kept *kept;
	uint64_t *track;
	uint32_t *next;
	uint8_t *named;
	uint64_t head;
	uint64_t live;
	uint32_t used;
	uint32_t max;
	pthread_mutex_t grow;
};

/** maptrack_init() - @kept: what lasts; it outlives the handles. Return: 0 or -ENOMEM, and maptrack_fini() in either case */
int maptrack_init(struct maptrack *mt, struct kept *kept);
void maptrack_fini(struct maptrack *mt);

/* What a live handle maps. */
struct maptrack_map {
	uint32_t handle;
	uint32_t ref;
	uint16_t domid;
	bool readonly;
};

/**
 * maptrack_walk() - during adoption: all live handles
 * @fn: may end the handle it is told. Return: 0; else the walk ends, with that
 *
 * Return: 0; -EINVAL: a word is damaged; what @fn returned.
 */
int maptrack_walk(struct maptrack *mt, int (*fn)(const struct maptrack_map *map, void *arg),
		  void *arg);

/** maptrack_adopt() - after maptrack_init() with words that a predecessor has left: which are live, which are free. Return: 0 or -ENOMEM */
int maptrack_adopt(struct maptrack *mt);

/** maptrack_name() - during adoption: somebody knows of this handle. Return: false if it is not live, not what is said, or has been named */
bool maptrack_name(struct maptrack *mt, const struct maptrack_map *map);

/** maptrack_named() - whether maptrack_name() was called for a live handle */
bool maptrack_named(const struct maptrack *mt, uint32_t handle);

/** maptrack_adopted() - adoption is over */
void maptrack_adopted(struct maptrack *mt);

/** maptrack_get() - reserve a handle. Return: MAPTRACK_NONE if all are in use. */
uint32_t maptrack_get(struct maptrack *mt);

/** maptrack_publish() - record what a reserved handle maps: it is live from here on */
void maptrack_publish(struct maptrack *mt, uint32_t handle, uint16_t domid, uint32_t ref,
		      bool readonly);

/**
 * maptrack_take() - end a live handle; one caller wins
 * @domid, @ref: what the caller believes it maps
 * @readonly: out
 *
 * The winner must maptrack_put() it after undoing the mapping. Return: GNTST_okay;
 * GNTST_bad_handle if it is not live; GNTST_general_error if it maps something else.
 */
int16_t maptrack_take(struct maptrack *mt, uint32_t handle, uint16_t domid, uint32_t ref,
		      bool *readonly);

/** maptrack_put() - give back a handle that was taken */
void maptrack_put(struct maptrack *mt, uint32_t handle);

/** maptrack_cancel() - give back a handle that was got, but not published */
void maptrack_cancel(struct maptrack *mt, uint32_t handle);

/** maptrack_live() - how many are live */
uint64_t maptrack_live(const struct maptrack *mt);

#endif /* SIM_MAPTRACK_H */
