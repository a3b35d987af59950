/* SPDX-License-Identifier: MIT */
/*
 * state/record.c - records in cells
 *
 * Free cells form a stack of numbers on the heap, linked through an array of its own: lasting memory holds nothing that
 * a kill could leave half done. Its head has a tag, so that a pop that was overtaken fails its compare-and-swap.
 * Cell 0 is the store's own head: magic number and how many cells have been made.
 */
#include "state/record.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state/region.h"

#define RECORDS_MAGIC 0x7364726f63657267ULL
/* Cells made at a time: 64 pages. */
#define GROW 4096U

static_assert(GROW * sizeof(struct record_cell) % 4096 == 0, "whole pages");

/* In cell 0. */
struct records_head {
	uint64_t magic;
	uint32_t cell_bytes;
	uint32_t made;
};
static_assert(sizeof(struct records_head) <= sizeof(struct record_cell), "it fits");

/**
 * struct records - a store
 * @next: the next free cell, for each that is free; @max of them
 * @free: tag and number of the first one (atomic)
 * @used: cells taken (atomic)
 * @grow: for making more
 */
struct records {
	struct region mem;
	uint32_t max;
	uint32_t *next;
	uint64_t free;
	uint64_t used;
	pthread_mutex_t grow;
};

static struct records_head *head_of(struct records *s)
{
	return (struct records_head *)s->mem.base;
}

static struct record_cell *cell(struct records *s, uint32_t number)
{
	return (struct record_cell *)s->mem.base + number;
}

static uint32_t made(struct records *s)
{
	return __atomic_load_n(&head_of(s)->made, __ATOMIC_ACQUIRE);
}

/* --- free cells --------------------------------------------------------------------------------- */

static uint64_t with_tag(uint64_t old, uint32_t number)
{
	return ((old >> 32) + 1) << 32 | number;
}

static void push(struct records *s, uint32_t number)
{
	uint64_t old = __atomic_load_n(&s->free, __ATOMIC_RELAXED);

	do
		__atomic_store_n(&s->next[number], (uint32_t)old, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&s->free, &old, with_tag(old, number), false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* Return: 0 if none is free. */
static uint32_t pop(struct records *s)
{
	uint64_t old = __atomic_load_n(&s->free, __ATOMIC_ACQUIRE);
	uint32_t next;

	do {
		if (!(uint32_t)old)
			return 0;
		next = __atomic_load_n(&s->next[(uint32_t)old], __ATOMIC_RELAXED);
	} while (!__atomic_compare_exchange_n(&s->free, &old, with_tag(old, next), false,
					      __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
	return (uint32_t)old;
}

static int make_more(struct records *s)
{
	uint32_t first, last;
	int err = 0;

	pthread_mutex_lock(&s->grow);
	first = made(s);
	last = s->max - first < GROW ? s->max : first + GROW;
	if (!(uint32_t)__atomic_load_n(&s->free, __ATOMIC_RELAXED)) {
		err = first == last ? -ENOMEM
				    : region_grow(&s->mem, (size_t)last * sizeof(*cell(s, 0)));
		if (!err) {
			__atomic_store_n(&head_of(s)->made, last, __ATOMIC_RELEASE);
			for (uint32_t i = last; i-- > first;)
				if (i)
					push(s, i);
		}
	}
	pthread_mutex_unlock(&s->grow);
	return err;
}

static uint32_t take_cell(struct records *s)
{
	uint32_t number;

	while (!(number = pop(s)))
		if (make_more(s))
			return 0;
	__atomic_fetch_add(&s->used, 1, __ATOMIC_RELAXED);
	memset(cell(s, number), 0, sizeof(struct record_cell));
	return number;
}

static void give_cells(struct records *s, uint32_t number)
{
	while (number) {
		uint32_t more = cell(s, number)->more;

		__atomic_fetch_sub(&s->used, 1, __ATOMIC_RELAXED);
		push(s, number);
		number = more;
	}
}

/* --- records ------------------------------------------------------------------------------------ */

uint32_t record_new(struct records *s, size_t bytes)
{
	uint32_t head = take_cell(s), last = head;

	for (size_t have = RECORD_CELL_BYTES; last && have < bytes; have += RECORD_CELL_BYTES) {
		uint32_t more = take_cell(s);

		cell(s, last)->more = more;
		last = more;
	}
	if (head && !last) {
		give_cells(s, head);
		head = 0;
	}
	return head;
}

void *record_head(struct records *s, uint32_t record)
{
	return cell(s, record)->content;
}

size_t record_bytes(struct records *s, uint32_t record)
{
	size_t bytes = RECORD_CELL_BYTES;

	while ((record = cell(s, record)->more))
		bytes += RECORD_CELL_BYTES;
	return bytes;
}

struct record_spot record_spot(struct records *s, uint32_t record, size_t offset)
{
	for (; offset >= RECORD_CELL_BYTES; offset -= RECORD_CELL_BYTES) {
		record = cell(s, record)->more;
		if (!record)
			abort();
	}
	return (struct record_spot){ record, (uint32_t)offset };
}

/* The bytes from a spot to the end of its cell, at most @len; it goes on behind them. */
static unsigned char *pass(struct records *s, struct record_spot *at, size_t len, size_t *n)
{
	unsigned char *bytes;

	if (at->offset == RECORD_CELL_BYTES)
		*at = record_spot(s, at->cell, RECORD_CELL_BYTES);
	bytes = cell(s, at->cell)->content + at->offset;
	*n = RECORD_CELL_BYTES - at->offset;
	*n = *n < len ? *n : len;
	at->offset += (uint32_t)*n;
	return bytes;
}

void record_put(struct records *s, struct record_spot *at, const void *buf, size_t len)
{
	const unsigned char *from = buf;
	size_t n;

	for (; len; len -= n, from += n) {
		unsigned char *to = pass(s, at, len, &n);

		memcpy(to, from, n);
	}
}

void record_get(struct records *s, struct record_spot *at, void *buf, size_t len)
{
	unsigned char *to = buf;
	size_t n;

	for (; len; len -= n, to += n) {
		const unsigned char *from = pass(s, at, len, &n);

		memcpy(to, from, n);
	}
}

void record_write(struct records *s, uint32_t record, size_t offset, const void *buf, size_t len)
{
	struct record_spot at = record_spot(s, record, offset);

	record_put(s, &at, buf, len);
}

void record_read(struct records *s, uint32_t record, size_t offset, void *buf, size_t len)
{
	struct record_spot at = record_spot(s, record, offset);

	record_get(s, &at, buf, len);
}

void record_commit(struct records *s, uint32_t record, enum record_kind kind)
{
	__atomic_store_n(&cell(s, record)->kind, kind, __ATOMIC_RELEASE);
}

void record_end(struct records *s, uint32_t record)
{
	if (!record)
		return;
	__atomic_store_n(&cell(s, record)->kind, RECORD_NONE, __ATOMIC_RELEASE);
	give_cells(s, record);
}

enum record_kind record_kind(struct records *s, uint32_t record)
{
	if (record >= made(s))
		return RECORD_NONE;
	return (enum record_kind)__atomic_load_n(&cell(s, record)->kind, __ATOMIC_ACQUIRE);
}

void records_count(struct records *s, uint64_t *used, uint64_t *cells)
{
	*used = __atomic_load_n(&s->used, __ATOMIC_RELAXED);
	*cells = made(s);
}

/* Each has a cell of its own; threads that were just making, or ending, one may have had a number for it without. */
uint64_t records_most(struct records *s)
{
	return (uint64_t)made(s) + GROW;
}

/* --- adoption ----------------------------------------------------------------------------------- */

/* During adoption next[] says whose a cell is: its record's number. */
static int claim_cells(struct records *s, uint32_t head)
{
	for (uint32_t i = head; i; i = cell(s, i)->more) {
		if (i >= made(s) || s->next[i] || (i != head && record_kind(s, i) != RECORD_NONE))
			return -EINVAL;
		s->next[i] = head;
		s->used++;
	}
	return 0;
}

static int claim_all(struct records *s)
{
	int err = 0;

	for (uint32_t i = 1; !err && i < made(s); i++) {
		enum record_kind kind = record_kind(s, i);

		if (kind >= RECORD_KINDS)
			err = -EINVAL;
		else if (kind != RECORD_NONE)
			err = claim_cells(s, i);
	}
	return err;
}

static void free_unclaimed(struct records *s)
{
	for (uint32_t i = made(s); i-- > 1;) {
		if (s->next[i]) {
			s->next[i] = 0;
		} else {
			memset(cell(s, i), 0, sizeof(struct record_cell));
			push(s, i);
		}
	}
}

uint32_t record_next(struct records *s, enum record_kind kind, uint32_t *cursor)
{
	while (++*cursor < made(s))
		if (record_kind(s, *cursor) == kind)
			return *cursor;
	return 0;
}

/* --- the whole ---------------------------------------------------------------------------------- */

static struct records *new_store(uint32_t max)
{
	struct records *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->grow, NULL);
	s->mem.fd = -1;
	s->max = max;
	/* Zero pages as far as cells have never been used. */
	s->next = mmap(NULL, max * sizeof(*s->next), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->next != MAP_FAILED)
		return s;
	s->next = NULL;
	records_close(s);
	return NULL;
}

void records_close(struct records *s)
{
	if (!s)
		return;
	region_close(&s->mem);
	if (s->next)
		munmap(s->next, s->max * sizeof(*s->next));
	pthread_mutex_destroy(&s->grow);
	free(s);
}

int records_fd(const struct records *s)
{
	return s->mem.fd;
}

int records_new(uint32_t max, struct records **out)
{
	struct records *s = new_store(max);
	int err = s ? region_new("gntdev-records", max * sizeof(struct record_cell), &s->mem)
		    : -ENOMEM;

	*out = NULL;
	if (!err)
		err = region_grow(&s->mem, sizeof(struct records_head));
	if (err) {
		records_close(s);
		return err;
	}
	*head_of(s) = (struct records_head){ .cell_bytes = sizeof(struct record_cell) };
	__atomic_store_n(&head_of(s)->magic, RECORDS_MAGIC, __ATOMIC_RELEASE);
	*out = s;
	return 0;
}

/* Cells that were made are there; behind them is nothing that ever was in use: so none is missing, and none is made by looking. */
static bool made_can_be(struct records *s)
{
	static const struct record_cell zero;
	uint32_t n = made(s), last = s->max - n < GROW ? s->max : n + GROW;

	if (n > s->max || !region_is_made(&s->mem, n * sizeof(struct record_cell)))
		return false;
	if (!region_is_made(&s->mem, last * sizeof(struct record_cell)))
		return true;
	for (uint32_t i = n ? n : 1; i < last; i++)
		if (memcmp(cell(s, i), &zero, sizeof(zero)) != 0)
			return false;
	return true;
}

static int adopt(struct records *s)
{
	const struct records_head *h = head_of(s);
	int err;

	if (h->magic != RECORDS_MAGIC || h->cell_bytes != sizeof(struct record_cell) ||
	    !made_can_be(s))
		return -EINVAL;
	s->mem.made = (size_t)h->made * sizeof(struct record_cell);
	err = claim_all(s);
	if (!err)
		free_unclaimed(s);
	return err;
}

int records_adopt(int fd, struct records **out)
{
	struct region mem;
	struct records *s;
	int err = region_adopt(fd, 0, &mem);

	*out = NULL;
	if (err)
		return err;
	s = new_store((uint32_t)(mem.max / sizeof(struct record_cell)));
	if (!s) {
		region_close(&mem);
		return -ENOMEM;
	}
	s->mem = mem;
	err = adopt(s);
	if (err)
		records_close(s);
	else
		*out = s;
	return err;
}
