/* SPDX-License-Identifier: MIT */
/*
 * state/record.h - records: what is known of a thing, in memory that outlives the daemon
 *
 * A record is a head cell and, if its 56 bytes are not enough, a chain of more cells. What is in it, and what its kind
 * means, is its owner's business: a struct with static_asserted offsets in the room whose thing it is.
 *
 * A record lasts from record_commit() to record_end(): each is one store of one word. Who is killed before the first, or
 * after the second, leaves nothing; in between all is there that was stored before. Fields that change in between
 * are words, changed by one atomic store or compare-and-swap each, and their owner says in which order.
 *
 * Which cells are free is kept nowhere: it is what no lasting record reaches, and found out at adoption.
 *
 * Threads: any, at any time, without a lock but the one by which cells are made (once for thousands of them).
 */
#ifndef STATE_RECORD_H
#define STATE_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct records;

/* Kinds: numbers that are never used again for something else. */
enum record_kind {
	RECORD_NONE = 0,
	RECORD_OPEN = 1,	 /* device/: an open of xen/gntdev */
	RECORD_MAP = 2,		 /* device/: a map */
	RECORD_WINDOW = 3,	 /* window/: a window */
	RECORD_ALLOC_OPEN = 4,	 /* machine/: an open of xen/gntalloc */
	RECORD_ALLOC_PAGE = 5,	 /* machine/: a page that it allocated */
	RECORD_ALLOC = 6,	 /* machine/: a device xen/gntalloc */
	RECORD_EVTCHN = 7,	 /* evtchn/: a device xen/evtchn */
	RECORD_EVTCHN_OPEN = 8,	 /* evtchn/: an open of it */
	RECORD_EVTCHN_PORT = 9,	 /* evtchn/: a port of an open */
	RECORD_EVTCHN_RING = 10, /* evtchn/: its ring */
	RECORD_KINDS
};

/* Content of a cell. */
#define RECORD_CELL_BYTES 56

/**
 * struct record_cell - 64 bytes, a cache line
 * @kind: of a head: enum record_kind, RECORD_NONE: it does not last (atomic). Of others always RECORD_NONE
 * @more: number of the next cell of the record, 0: there is none
 */
struct record_cell {
	uint32_t kind;
	uint32_t more;
	unsigned char content[RECORD_CELL_BYTES];
};
static_assert(sizeof(struct record_cell) == 64, "a cell is a cache line");
static_assert(offsetof(struct record_cell, content) == 8, "what is in a head can be words");

/**
 * records_new() - a store of records in fresh memory
 * @max: cells
 * @out: NULL on failure
 *
 * Return: 0 or -errno.
 */
int records_new(uint32_t max, struct records **out);

/**
 * records_adopt() - the records that a predecessor has left
 * @fd: the memory, which is the store's from now on, also on failure
 *
 * All that is there is held to what can be: numbers in range, no cell in two records, kinds that are known. What was begun and not
 * committed is forgotten. Return: 0; -EINVAL: it is damaged; -errno.
 */
int records_adopt(int fd, struct records **out);

/** records_close() - the memory stays as long as somebody has its descriptor. @s: or NULL */
void records_close(struct records *s);

/** records_fd() - what is to be kept */
int records_fd(const struct records *s);

/**
 * record_new() - take the cells of a record; it does not last yet
 * @bytes: of content, all zero
 *
 * Return: its number; 0 if there is no memory.
 */
uint32_t record_new(struct records *s, size_t bytes);

/** record_head() - the first RECORD_CELL_BYTES bytes of content, at a multiple of 8 */
void *record_head(struct records *s, uint32_t record);

/** record_write(), record_read() - content by offset, across cells; within the record, else an abort: a fault of ours */
void record_write(struct records *s, uint32_t record, size_t offset, const void *buf, size_t len);
void record_read(struct records *s, uint32_t record, size_t offset, void *buf, size_t len);

/* Where a byte of a record is, for going through a long one. */
struct record_spot {
	uint32_t cell;
	uint32_t offset;
};

/** record_spot() - the place of a byte that is in the record, else an abort */
struct record_spot record_spot(struct records *s, uint32_t record, size_t offset);

/** record_put(), record_get() - write, read, from a spot on; it is behind that then */
void record_put(struct records *s, struct record_spot *at, const void *buf, size_t len);
void record_get(struct records *s, struct record_spot *at, void *buf, size_t len);

/** record_bytes() - content that fits: at least what was asked for */
size_t record_bytes(struct records *s, uint32_t record);

/** record_commit() - it lasts from now on, with all that has been stored in it */
void record_commit(struct records *s, uint32_t record, enum record_kind kind);

/** record_end() - it does not last any more, and its cells are free; also of one that was never committed. @record: or 0 */
void record_end(struct records *s, uint32_t record);

/** record_kind() - RECORD_NONE if it does not last, or there is none of this number */
enum record_kind record_kind(struct records *s, uint32_t record);

/**
 * record_next() - walk the records of one kind, in no order
 * @cursor: 0 at first
 *
 * At adoption: before anybody makes or ends some, but for those that the caller ends itself. Return: the next one, 0 at the end.
 */
uint32_t record_next(struct records *s, enum record_kind kind, uint32_t *cursor);

/** records_count() - cells in use, and made, for statistics and tests */
void records_count(struct records *s, uint64_t *used, uint64_t *made);

/**
 * records_most() - how many records there can have been at a time, generously
 *
 * For who has given numbers to what has a record, and is to take one for damaged that is far beyond that.
 */
uint64_t records_most(struct records *s);

#endif /* STATE_RECORD_H */
