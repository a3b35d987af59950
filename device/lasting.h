/* SPDX-License-Identifier: MIT */
/*
 * device/lasting.h - what outlives the daemon of opens and maps: a record for each
 *
 * device/lasting.c's essay tells what is durable when. Threads: as is said; none takes a lock or makes a system call,
 * but for the memory of new records (state/record.h).
 */
#ifndef DEVICE_LASTING_H
#define DEVICE_LASTING_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/who.h"
#include "device/token.h"
#include "hypercall.h"
#include "state/record.h"
#include "table.h"

/* What is known of an open: bits of its flags. ASKED and WINDOWS are set later (struct gntdev_open). */
#define LASTING_MAY_READ   (1U << 0)
#define LASTING_MAY_WRITE  (1U << 1)
#define LASTING_VISIBLE	   (1U << 2)
#define LASTING_ALL_GROUPS (1U << 3)
#define LASTING_ASKED	   (1U << 4)
#define LASTING_WINDOWS	   (1U << 5)
#define LASTING_FLAGS	   ((1U << 6) - 1)

/**
 * struct lasting_open - the head of a RECORD_OPEN
 * @id:	   the table's
 * @maker: `unique` of the open(2) that made it
 * @flags: LASTING_* (atomic)
 * @ns:	   enum owner_ns
 * @n_groups, @n_cgroup, @n_unit: how much of each is behind, see struct lasting_who
 *
 * The rest as in struct who and struct token.
 */
struct lasting_open {
	uint64_t id;
	uint64_t maker;
	uint8_t secret[16];
	int32_t pid;
	uint32_t uid;
	uint32_t gid;
	uint32_t owner;
	uint32_t flags;
	uint8_t ns;
	uint8_t n_groups;
	uint8_t n_cgroup;
	uint8_t n_unit;
};
static_assert(sizeof(struct lasting_open) == RECORD_CELL_BYTES, "it is the head cell");
static_assert(offsetof(struct lasting_open, secret) == 16, "as its predecessors have it");
static_assert(offsetof(struct lasting_open, flags) == 48, "as its predecessors have it");

/**
 * struct lasting_who - what is behind it, and behind this: the groups, 4 bytes each, and both strings without their NUL
 * @opened: trace_now()
 * @comm:   with a NUL
 */
struct lasting_who {
	uint64_t opened;
	char comm[WHO_COMM_SIZE];
};
static_assert(sizeof(struct lasting_who) == 24, "as its predecessors have it");
static_assert(sizeof(gid_t) == 4 && WHO_GROUPS_MAX <= UINT8_MAX &&
		      WHO_CGROUP_SIZE - 1 <= UINT8_MAX && WHO_UNIT_SIZE - 1 <= UINT8_MAX,
	      "the lengths fit");

/* Phases of a map that last. One that is being mapped is fresh: what has been mapped for it is nobody's. */
enum lasting_phase {
	LASTING_FRESH = 0,
	LASTING_MAPPED = 1,
	LASTING_UNUSABLE = 2,
	LASTING_RELEASING = 3,
	LASTING_RELEASED = 4,
	LASTING_PHASES
};

/*
 * Who needs the record no more: bits of its `over`.
 *
 * LASTING_FINISHED: nothing is left to be done for the map, its event has been sent
 * LASTING_FREED:    nobody in this process can reach the map
 * LASTING_ANSWERED: the request that ended it will not be executed again
 */
#define LASTING_FINISHED (1U << 0)
#define LASTING_FREED	 (1U << 1)
#define LASTING_ANSWERED (1U << 2)
#define LASTING_OVER	 ((1U << 3) - 1)

/**
 * struct lasting_map - the head of a RECORD_MAP
 * @maker:   `unique` of its MAP_GRANT_REF
 * @ender:   of what unlisted it, an UNMAP_GRANT_REF mostly; 0: nothing has (swapped in, once)
 * @claim:   of the WINDOW_MMAP that it was mapped by; 0: that came through a connection
 * @open_id: of its open. It is listed if that open has a record, and @ender is 0
 * @first, @count: page index and pages
 * @phase:   enum lasting_phase (atomic)
 * @over:    LASTING_FINISHED and so on (atomic)
 * @notify:  as in struct map (atomic)
 */
struct lasting_map {
	uint64_t maker;
	uint64_t ender;
	uint64_t claim;
	uint64_t open_id;
	uint32_t first;
	uint32_t count;
	uint32_t phase;
	uint32_t over;
	uint64_t notify;
};
static_assert(sizeof(struct lasting_map) == RECORD_CELL_BYTES, "it is the head cell");
static_assert(offsetof(struct lasting_map, phase) == 40, "as its predecessors have it");
static_assert(offsetof(struct lasting_map, notify) == 48, "as its predecessors have it");

/**
 * struct lasting_shown - what is behind it; then a struct table_ref for each page, then a struct lasting_grant for each
 * @uid, @owner: whose quota it counts against (policy/quota.h)
 *
 * The rest is struct map's; @uid, @owner and @born are stored before the record is committed, @told, too, and
 * again with all others before LASTING_MAPPED.
 */
struct lasting_shown {
	uint64_t window;
	uint64_t vaddr;
	uint64_t told;
	uint64_t born;
	int32_t holder;
	uint32_t readonly;
	uint32_t uid;
	uint32_t owner;
};
static_assert(sizeof(struct lasting_shown) == 48, "as its predecessors have it");
static_assert(offsetof(struct lasting_shown, holder) == 32, "as its predecessors have it");
static_assert(sizeof(struct table_ref) == 8, "as its predecessors have it");

/* Of a struct hv_grant; stored before LASTING_MAPPED. */
struct lasting_grant {
	uint32_t slot;
	uint32_t handle;
	int16_t status;
	uint16_t zero;
};
static_assert(sizeof(struct lasting_grant) == 12, "as its predecessors have it");

/* --- opens -------------------------------------------------------------------------------------- */

/**
 * lasting_open_new() - have an open last
 * @id:	    the table's
 * @maker:  `unique` of the request
 * @opened: trace_now()
 *
 * Return: its record; 0: no memory.
 */
uint32_t lasting_open_new(struct records *s, uint64_t id, uint64_t maker, uint64_t opened,
			  const struct who *w, const struct token *t);

/** lasting_open_flag() - LASTING_ASKED or LASTING_WINDOWS. Any thread that holds the open (RCU), any number of times */
void lasting_open_flag(struct records *s, uint32_t record, uint32_t flag);

/**
 * lasting_open_read() - what was said of it
 * @w, @t, @opened: out
 *
 * At adoption. Return: its head; NULL: there can be no such open.
 */
const struct lasting_open *lasting_open_read(struct records *s, uint32_t record, struct who *w,
					     struct token *t, uint64_t *opened);

/* --- maps --------------------------------------------------------------------------------------- */

/**
 * lasting_map_new() - prepare the record of a map, which is not listed yet
 * @m:	   refs, told and born are filled in; m->records and m->record are set
 * @maker: `unique` of the request
 * @uid, @owner: whose quota
 *
 * Return: 0; -ENOMEM.
 */
int lasting_map_new(struct records *s, struct map *m, uint64_t maker, uid_t uid, uid_t owner);

/** lasting_map_placed() - it lasts, and is listed. Between map_place() and map_list() */
void lasting_map_placed(struct map *m);

/** lasting_map_drop() - nobody has ever found it. @m: also one without a record */
void lasting_map_drop(struct map *m);

/**
 * lasting_map_end() - it is unlisted, by this request
 *
 * Under RCU. Return: false if another one has. To true, map_unlist() must follow; and lasting_answered() when it is
 * certain that the request is not executed again.
 */
bool lasting_map_end(struct map *m, uint64_t unique);

/** lasting_map_mapped() - LASTING_MAPPED, with all that is known of it: before the client can get its window */
void lasting_map_mapped(struct map *m, const struct hv_grant *g, uint64_t claim);

/** lasting_map_phase() - any other phase; by whoever owns it (table.h) */
void lasting_map_phase(struct map *m, enum lasting_phase phase);

/** lasting_map_unusable() - its one mmap has failed; @claim: as for lasting_map_mapped() */
void lasting_map_unusable(struct map *m, uint64_t claim);

/** lasting_map_notify() - m->notify has been changed. Under RCU, any thread */
void lasting_map_notify(struct map *m);

/** lasting_map_finished() - nothing is left to be done for it; map_free_after(m, lasting_map_freed) is next */
void lasting_map_finished(struct map *m);
void lasting_map_freed(struct map *m);

/**
 * lasting_what() - a record and the request that ended it, for request.ends
 *
 * As few bits of the number are kept as fit; what is told by them is told apart from later users of the record.
 */
uint64_t lasting_what(uint32_t record, uint64_t unique);

/** lasting_answered() - that request will not be executed again. @what: lasting_what(); also of what has ended. Any thread */
void lasting_answered(struct records *s, uint64_t what);

/* --- at adoption -------------------------------------------------------------------------------- */

/** lasting_map_head() - Return: NULL: there can be no such map */
struct lasting_map *lasting_map_head(struct records *s, uint32_t record);

/**
 * lasting_map_read() - fill in a map from its record
 * @m:	   of head->count pages
 * @shown: out
 */
void lasting_map_read(struct records *s, uint32_t record, struct map *m,
		      struct lasting_shown *shown);

/** lasting_map_grants() - and what was mapped for it. @g: a map's worth; domid and ref are filled in from @m, too */
void lasting_map_grants(const struct map *m, struct hv_grant *g);

/** lasting_map_over() - set bits of `over`: it ends if nobody needs it any more. By its number, as there may be no map */
void lasting_map_over(struct records *s, uint32_t record, uint32_t bits);

#endif /* DEVICE_LASTING_H */
