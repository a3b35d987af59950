/* SPDX-License-Identifier: MIT */
/*
 * window/lasting.h - what outlives the daemon of its windows: a record for each, and the events in hand
 *
 * window/durable.c's essay tells what is durable when.
 */
#ifndef WINDOW_LASTING_H
#define WINDOW_LASTING_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/record.h"

/*
 * What is known of a window: bits that are set (and WINDOW_DOUBT cleared) by one atomic operation each.
 *
 * WINDOW_GNTALLOC:  of gntalloc, not of gntdev (enum window_kind)
 * WINDOW_READONLY:  cannot be written through
 * WINDOW_LIVE:      it has been opened, and its inode is known
 * WINDOW_SENDING:   its descriptor may have gone to a client
 * WINDOW_SENT:      all of the reply that brings it is in the client's queue
 * WINDOW_DELIVERED: the client has received it, or nobody will: see window_delivered()
 * WINDOW_UNLINKED:  its entry has been removed: whoever opens it now is somebody else
 * WINDOW_SHARED:    others may have opened it: a close need not be its end
 * WINDOW_DOUBT:     it may have ended
 * WINDOW_ENDED:     it has; its user is to be told, or was
 */
#define WINDOW_GNTALLOC	 (1U << 0)
#define WINDOW_READONLY	 (1U << 1)
#define WINDOW_LIVE	 (1U << 2)
#define WINDOW_SENDING	 (1U << 3)
#define WINDOW_SENT	 (1U << 4)
#define WINDOW_DELIVERED (1U << 5)
#define WINDOW_UNLINKED	 (1U << 6)
#define WINDOW_SHARED	 (1U << 7)
#define WINDOW_DOUBT	 (1U << 8)
#define WINDOW_ENDED	 (1U << 9)
#define WINDOW_STATES	 ((1U << 10) - 1)

/**
 * struct window_lasting - content of a RECORD_WINDOW: one cell
 * @id:      the window's
 * @open_id: of the open of its map, which may be gone
 * @ino:     of its file, stored before WINDOW_LIVE
 * @born:    procwalk_now() when it was made
 * @first:   first page index of the map in its open
 * @count:   pages
 * @state:   WINDOW_* (atomic)
 * @client:  who is to receive it, stored before WINDOW_SENDING; 0: not visible to us
 * @domid:   of the first grant
 *
 * All else is stored before the record is committed.
 */
struct window_lasting {
	uint64_t id;
	uint64_t open_id;
	uint64_t ino;
	uint64_t born;
	uint64_t first;
	uint32_t count;
	uint32_t state;
	int32_t client;
	uint16_t domid;
	uint16_t zero;
};
static_assert(sizeof(struct window_lasting) == RECORD_CELL_BYTES, "a window is one cell");
static_assert(offsetof(struct window_lasting, count) == 40, "as its predecessors have it");
static_assert(offsetof(struct window_lasting, state) == 44, "as its predecessors have it");
static_assert(offsetof(struct window_lasting, domid) == 52, "as its predecessors have it");

/* Bytes of events that are taken at a time: some 1,000. A whole event of zeros is always behind them. */
#define WINDOW_EVENTS_BYTES 65536U

/**
 * struct window_queue_hand - events of one queue, from their read(2) until all have been handled
 * @at:    how far they have been handled, bytes
 * @bytes: the events; behind them zeros. How many there are is kept nowhere else: who is killed in read(2) could
 *         not say
 */
struct window_queue_hand {
	uint32_t at;
	uint32_t zero[3];
	_Alignas(16) unsigned char bytes[WINDOW_EVENTS_BYTES];
};

/**
 * struct window_hand - events that have left the kernel's queues: a memory of its own ("inotify.hand")
 * @generations: of windows' ids, see ids_last()
 */
struct window_hand {
	uint64_t magic;
	uint64_t generations;
	struct window_queue_hand closes;
	struct window_queue_hand opens;
};
#define WINDOW_HAND_MAGIC 0x646e6168776e6177ULL
static_assert(offsetof(struct window_hand, closes) == 16, "as its predecessors have it");
static_assert(offsetof(struct window_hand, opens) == 32 + WINDOW_EVENTS_BYTES,
	      "as its predecessors have it");

#endif /* WINDOW_LASTING_H */
