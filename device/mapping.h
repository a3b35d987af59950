/* SPDX-License-Identifier: MIT */
/*
 * device/mapping.h - the grants of a map, from its mmap to their release
 *
 * device/grant.c makes a mapping, device/adopt.c makes those anew that a predecessor has made, device/mapping.c ends them.
 */
#ifndef DEVICE_MAPPING_H
#define DEVICE_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defer.h"
#include "device/gntdev.h"
#include "hypercall.h"
#include "report/trace.h"
#include "window/window.h"

/**
 * struct mapping - exactly one while the grants of a map are mapped
 * @user:  what the window directory knows
 * @retry: waiting to try again the grants whose status is GNTST_eagain
 * @mc:    the client's call, until it is answered
 * @tries: so far, for a page that is paged out; @waits: for what others give back
 * @ends:  windows_ended() before the last try
 * @at:    where the client says that it is, from mapping_show() on; @shown
 * @ev:    that call; its client is whom all that follows is done for
 * @next_unsure: the others like it, while it is adopted, and not known whether its client has got the window
 */
struct mapping {
	struct window_user user;
	struct defer_item retry;
	struct gntdev *gd;
	struct map *map;
	struct mmap_call *mc;
	unsigned int tries;
	unsigned int waits;
	uint64_t ends;
	struct told_window at;
	bool shown;
	struct rcu_head rcu;
	struct trace_event ev;
	struct mapping *next_unsure;
	struct hv_grant g[];
};

/**
 * mapping_new() - nothing of it is mapped
 *
 * For a map that is the caller's: MAPPING, or being adopted. Return: NULL: no memory.
 */
struct mapping *mapping_new(struct gntdev *gd, struct map *m);

/** mapping_show() - the client has it, or is about to: GET_OFFSET_FOR_VADDR may ask for it */
void mapping_show(struct mapping *mp);

/** mapping_free() - nothing of it is mapped any more; readers may still see where it was */
void mapping_free(struct mapping *mp);

/** mapping_event() - what a map's events have in common */
struct trace_event mapping_event(enum trace_op op, const struct map *m);

/** mapping_place() - of a map, as hypercalls want it */
struct hv_place mapping_place(const struct map *m);

/** mapping_unmap() - give back whatever of it is mapped. What Xen refuses to unmap is lost, and said */
void mapping_unmap(struct mapping *mp);

/** mapping_release() - nobody has it any more: of a map that is MAPPED. @notify: a client has had it */
void mapping_release(struct mapping *mp, bool notify);

/** mapping_end() - the same, of one that is RELEASING. Whatever of it is still mapped is unmapped; it and the map may be gone then */
void mapping_end(struct mapping *mp, bool notify);

/**
 * mapping_unsure() - at adoption: it is not known whether the client has got its window
 *
 * It counts as got, until the client asks again or the end of the window is seen: then it is undone. (A window that is still held
 * after the daemon that made it has gone was got; see window_join().)
 */
void mapping_unsure(struct mapping *mp);

/**
 * mapping_settle() - now that is known, if it was not
 * @record: of its map
 * @sent:   the client has got it, or will; else the map is fresh afterwards
 *
 * Any thread registered with RCU. Not @sent, it may wait for a thread that sees the end of that window just now. Nothing happens
 * if that map is not one of these. Return: false: not @sent, but somebody may hold the window still: nothing was done.
 */
bool mapping_settle(struct gntdev *gd, uint32_t record, bool sent);

#endif /* DEVICE_MAPPING_H */
