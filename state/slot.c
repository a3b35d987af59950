/* SPDX-License-Identifier: MIT */
/*
 * state/slot.c - requests in hand, in memory that outlives the daemon
 *
 * Behind some pages of its own the memory is divided into pieces of SLOT_AREA_BYTES: each is one area, or 34 slots. What a piece is
 * stands in the first pages, is said before the piece is counted, and never changes. Free slots and areas are kept on the
 * heap. As many as are of use soon keep their memory; that of the others is given back to the machine, so a peak does not last, and is
 * made again when one is taken.
 *
 * Numbers of slots and areas count from 1, in the order in which they lie; 0 is none.
 */
#include "state/slot.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/radix.h"
#include "state/region.h"

#define SLOTS_MAGIC  0x73746f6c73636e67ULL
#define PER_PIECE    (SLOT_AREA_BYTES / SLOT_PAGE)
#define BEFORE_BYTES (SLOT_PAGE + SLOT_PIECES)

enum piece {
	PIECE_SLOTS = 1,
	PIECE_AREA = 2,
};

/* The first pages; @pieces are made (atomic). */
struct slots_head {
	uint64_t magic;
	uint32_t slot_bytes;
	uint32_t area_bytes;
	uint32_t pieces;
	unsigned char zero[SLOT_PAGE - 20];
	unsigned char piece[SLOT_PIECES];
};
static_assert(sizeof(struct slots_head) == BEFORE_BYTES, "whole pages");
static_assert(offsetof(struct slots_head, piece) == SLOT_PAGE,
	      "the same for every program of this version");

/* Free slots, and areas, that keep their memory: 4 MiB each. */
#define WARM_SLOTS 1024U
#define WARM_AREAS 32U

/*
 * struct stack - free numbers: two stacks of them
 * @links: a word for each number: a link while it is free
 * @warm:  with memory, @n_warm of them (atomic), some more than @most_warm at times
 * @cold:  without
 * @taken: how many are not free (atomic)
 * @bytes: of each
 */
struct stack {
	struct radix links;
	uint64_t warm;
	uint64_t cold;
	uint32_t n_warm;
	uint32_t most_warm;
	uint32_t taken;
	uint32_t bytes;
};

/* What the word of a number says that is taken. */
#define TAKEN 2

struct slots {
	struct region mem;
	struct stack slots;
	struct stack areas;
	pthread_mutex_t grow;
};

static struct slots_head *head_of(const struct slots *s)
{
	return (struct slots_head *)s->mem.base;
}

static unsigned char *piece_at(const struct slots *s, uint32_t piece)
{
	return s->mem.base + BEFORE_BYTES + (size_t)piece * SLOT_AREA_BYTES;
}

static struct slot *slot_at(const struct slots *s, uint32_t number)
{
	return (struct slot *)piece_at(s, 0) + (number - 1);
}

static uint32_t number_of(const struct slots *s, const struct slot *slot)
{
	return (uint32_t)(slot - (const struct slot *)piece_at(s, 0)) + 1;
}

/* --- what is free ------------------------------------------------------------------------------- */

static unsigned char *memory_of(const struct slots *s, const struct stack *k, uint32_t number)
{
	return piece_at(s, 0) + (size_t)(number - 1) * k->bytes;
}

/* Return: 0 if none is; *@cold: it has no memory. */
static uint32_t pop(struct stack *k, bool *cold)
{
	uint64_t number = radix_pop(&k->links, &k->warm);

	*cold = number == RADIX_STACK_NONE;
	if (*cold)
		number = radix_pop(&k->links, &k->cold);
	else
		__atomic_fetch_sub(&k->n_warm, 1, __ATOMIC_RELAXED);
	if (number == RADIX_STACK_NONE)
		return 0;
	__atomic_fetch_add(&k->taken, 1, __ATOMIC_RELAXED);
	word_store(radix_find(&k->links, number), TAKEN);
	return (uint32_t)number;
}

static bool remove_memory(const struct slots *s, const struct stack *k, uint32_t number)
{
	return !madvise(memory_of(s, k, number), k->bytes, MADV_REMOVE);
}

static void push_cold(struct stack *k, uint32_t number)
{
	__atomic_fetch_sub(&k->taken, 1, __ATOMIC_RELAXED);
	radix_push(&k->links, &k->cold, number);
}

/* It has its memory, and keeps it where that is of use, or cannot be given back. */
static void push(struct slots *s, struct stack *k, uint32_t number)
{
	if (__atomic_load_n(&k->n_warm, __ATOMIC_RELAXED) >= k->most_warm &&
	    remove_memory(s, k, number)) {
		push_cold(k, number);
		return;
	}
	__atomic_fetch_sub(&k->taken, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&k->n_warm, 1, __ATOMIC_RELAXED);
	radix_push(&k->links, &k->warm, number);
}

/* Numbers of a piece that are known from now on, and taken. */
static int know(struct slots *s, uint32_t piece, enum piece kind)
{
	uint32_t first = kind == PIECE_SLOTS ? piece * PER_PIECE : piece;
	uint32_t n = kind == PIECE_SLOTS ? PER_PIECE : 1;
	struct stack *k = kind == PIECE_SLOTS ? &s->slots : &s->areas;

	for (uint32_t i = 1; i <= n; i++)
		if (!radix_make(&k->links, first + i))
			return -ENOMEM;
	__atomic_fetch_add(&k->taken, n, __ATOMIC_RELAXED);
	return 0;
}

static int add_piece(struct slots *s, enum piece kind)
{
	struct slots_head *h = head_of(s);
	uint32_t piece = h->pieces;
	int err = -ENOMEM;

	if (piece < SLOT_PIECES)
		err = region_grow(&s->mem, (size_t)(piece_at(s, piece + 1) - s->mem.base));
	if (!err)
		err = know(s, piece, kind);
	if (err)
		return err;
	h->piece[piece] = (unsigned char)kind;
	__atomic_store_n(&h->pieces, piece + 1, __ATOMIC_RELEASE);
	if (kind == PIECE_AREA)
		push(s, &s->areas, piece + 1);
	for (uint32_t i = PER_PIECE; kind == PIECE_SLOTS && i; i--)
		push(s, &s->slots, piece * PER_PIECE + i);
	return 0;
}

/* Return: 0 if there is no memory; *@cold: what is there is to be made, and is all zero then. */
static uint32_t take_or_grow(struct slots *s, struct stack *k, enum piece kind, bool *cold)
{
	uint32_t number = pop(k, cold);

	if (number)
		return number;
	pthread_mutex_lock(&s->grow);
	/* Another thread may have made more. */
	number = pop(k, cold);
	while (!number && !add_piece(s, kind))
		number = pop(k, cold);
	pthread_mutex_unlock(&s->grow);
	return number;
}

/* Return: 0 if there is no memory. */
static uint32_t take(struct slots *s, struct stack *k, enum piece kind)
{
	bool cold;
	uint32_t number = take_or_grow(s, k, kind, &cold);

	if (!number || !cold || !madvise(memory_of(s, k, number), k->bytes, MADV_POPULATE_WRITE))
		return number;
	push_cold(k, number);
	return 0;
}

/* --- slots -------------------------------------------------------------------------------------- */

static void set_state(struct slot *slot, enum slot_state state)
{
	__atomic_store_n(&slot->state, state, __ATOMIC_RELEASE);
}

struct slot *slot_take(struct slots *s)
{
	uint32_t number = take(s, &s->slots, PIECE_SLOTS);

	return number ? slot_at(s, number) : NULL;
}

void slot_clear(struct slots *s, struct slot *slot)
{
	set_state(slot, SLOT_IDLE);
	for (int i = 0; i < 2; i++)
		if (slot->areas[i])
			push(s, &s->areas, slot->areas[i]);
	memset(slot, 0, SLOT_HEAD);
	memset(slot->request, 0, sizeof(uint32_t));
}

void slot_free(struct slots *s, struct slot *slot)
{
	if (!slot)
		return;
	slot_clear(s, slot);
	push(s, &s->slots, number_of(s, slot));
}

void slot_expect(struct slot *slot, uint32_t pipe)
{
	slot->pipe = pipe;
	set_state(slot, SLOT_RECEIVING);
}

void slot_received(struct slot *slot, size_t len)
{
	slot->request_len = (uint32_t)len;
	set_state(slot, SLOT_TAKEN);
}

void slot_run(struct slot *slot, bool runs)
{
	uint32_t tries = slot->tries & ~1U;

	__atomic_store_n(&slot->tries, tries | runs, __ATOMIC_RELEASE);
}

bool slot_runs(const struct slot *slot)
{
	return __atomic_load_n(&slot->tries, __ATOMIC_RELAXED) & 1;
}

/* One store: who is killed before or after it has counted once. */
void slot_died(struct slot *slot)
{
	if (slot_runs(slot))
		__atomic_store_n(&slot->tries, slot->tries + 1, __ATOMIC_RELEASE);
}

void slot_crashed(struct slot *slot)
{
	if (slot_runs(slot) && __atomic_load_n(&slot->state, __ATOMIC_RELAXED) == SLOT_TAKEN)
		__atomic_fetch_add(&slot->crashes, 1, __ATOMIC_RELEASE);
}

uint32_t slot_deaths(const struct slot *slot)
{
	return __atomic_load_n(&slot->tries, __ATOMIC_RELAXED) / 2;
}

void slot_done(struct slot *slot, size_t len)
{
	slot->answer_len = (uint32_t)len;
	set_state(slot, SLOT_DONE);
}

/* An area that is too small cannot be: there is one size. */
static void *place(struct slots *s, uint32_t *area, void *own, size_t own_bytes, size_t len)
{
	uint32_t number = *area;

	if (len > SLOT_AREA_BYTES)
		return NULL;
	if (!number && len <= own_bytes)
		return own;
	if (!number) {
		number = take(s, &s->areas, PIECE_AREA);
		if (!number)
			return NULL;
		/* As in a slot: nothing has been read into it. */
		memset(piece_at(s, number - 1), 0, sizeof(uint32_t));
		__atomic_store_n(area, number, __ATOMIC_RELEASE);
	}
	return piece_at(s, number - 1);
}

void *slot_request(struct slots *s, struct slot *slot, size_t len)
{
	return place(s, &slot->areas[0], slot->request, SLOT_REQUEST_BYTES, len);
}

void *slot_answer(struct slots *s, struct slot *slot, size_t len)
{
	return place(s, &slot->areas[1], slot->answer, SLOT_ANSWER_BYTES, len);
}

struct slot *slots_next(struct slots *s, uint32_t *cursor)
{
	const struct slots_head *h = head_of(s);

	while (++*cursor <= h->pieces * PER_PIECE) {
		struct slot *slot = slot_at(s, *cursor);

		/* What is free is not looked at: that alone would make its memory. */
		if (h->piece[(*cursor - 1) / PER_PIECE] == PIECE_SLOTS &&
		    !radix_is_link(word_load(radix_find(&s->slots.links, *cursor))) &&
		    slot->state != SLOT_IDLE)
			return slot;
	}
	return NULL;
}

void slots_count(struct slots *s, uint32_t *slots, uint32_t *areas, uint64_t *pages)
{
	*slots = __atomic_load_n(&s->slots.taken, __ATOMIC_RELAXED);
	*areas = __atomic_load_n(&s->areas.taken, __ATOMIC_RELAXED);
	*pages = __atomic_load_n(&s->mem.made, __ATOMIC_RELAXED) / SLOT_PAGE;
}

/* --- adoption ----------------------------------------------------------------------------------- */

static bool fits(uint32_t area, uint32_t own_bytes, uint32_t len)
{
	return len <= (area ? SLOT_AREA_BYTES : own_bytes);
}

static bool is_sound(const struct slot *slot)
{
	if (slot->state == SLOT_RECEIVING)
		return true;
	return slot->request_len >= sizeof(uint32_t) &&
	       fits(slot->areas[0], SLOT_REQUEST_BYTES, slot->request_len) &&
	       (slot->state != SLOT_DONE ||
		fits(slot->areas[1], SLOT_ANSWER_BYTES, slot->answer_len));
}

/* During adoption an area's word says whether it is some slot's. */
static int claim_areas(struct slots *s, const struct slot *slot)
{
	const struct slots_head *h = head_of(s);

	for (int i = 0; i < 2; i++) {
		uint32_t area = slot->areas[i];
		uint64_t *word;

		if (!area)
			continue;
		if (area > h->pieces || h->piece[area - 1] != PIECE_AREA)
			return -EINVAL;
		word = radix_find(&s->areas.links, area);
		if (*word)
			return -EINVAL;
		*word = TAKEN;
	}
	return 0;
}

static int know_all(struct slots *s)
{
	const struct slots_head *h = head_of(s);
	int err = 0;

	for (uint32_t i = 0; !err && i < h->pieces; i++) {
		if (h->piece[i] != PIECE_SLOTS && h->piece[i] != PIECE_AREA)
			return -EINVAL;
		err = know(s, i, (enum piece)h->piece[i]);
	}
	return err;
}

static int claim_all(struct slots *s)
{
	uint32_t cursor = 0;
	struct slot *slot;

	while ((slot = slots_next(s, &cursor)))
		if (slot->state >= SLOT_STATES || !is_sound(slot) || claim_areas(s, slot))
			return -EINVAL;
	return 0;
}

/* Whether they have memory is not known. */
static void free_slots(struct slots *s, uint32_t piece)
{
	for (uint32_t i = PER_PIECE; i; i--) {
		uint32_t number = piece * PER_PIECE + i;
		struct slot *slot = slot_at(s, number);

		if (slot->state != SLOT_IDLE)
			continue;
		/* Also of what an area belonged to that was just being given back. */
		memset(slot, 0, SLOT_HEAD + sizeof(uint32_t));
		remove_memory(s, &s->slots, number);
		push_cold(&s->slots, number);
	}
}

static void free_unclaimed(struct slots *s)
{
	const struct slots_head *h = head_of(s);

	for (uint32_t i = h->pieces; i--;) {
		if (h->piece[i] == PIECE_SLOTS) {
			free_slots(s, i);
		} else if (!*radix_find(&s->areas.links, i + 1)) {
			remove_memory(s, &s->areas, i + 1);
			push_cold(&s->areas, i + 1);
		}
	}
}

/* --- the whole ---------------------------------------------------------------------------------- */

void slots_close(struct slots *s)
{
	if (!s)
		return;
	region_close(&s->mem);
	radix_destroy(&s->slots.links);
	radix_destroy(&s->areas.links);
	pthread_mutex_destroy(&s->grow);
	free(s);
}

int slots_fd(const struct slots *s)
{
	return s->mem.fd;
}

static struct slots *new_store(void)
{
	struct slots *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->grow, NULL);
	s->slots.bytes = SLOT_PAGE;
	s->slots.most_warm = WARM_SLOTS;
	s->areas.bytes = SLOT_AREA_BYTES;
	s->areas.most_warm = WARM_AREAS;
	return s;
}

int slots_new(struct slots **out)
{
	struct slots *s = new_store();
	int err = -ENOMEM;

	*out = NULL;
	if (s)
		err = region_new("gntdev-slots",
				 BEFORE_BYTES + (size_t)SLOT_PIECES * SLOT_AREA_BYTES, &s->mem);
	if (!err)
		err = region_grow(&s->mem, BEFORE_BYTES);
	if (err) {
		slots_close(s);
		return err;
	}
	head_of(s)->slot_bytes = sizeof(struct slot);
	head_of(s)->area_bytes = SLOT_AREA_BYTES;
	__atomic_store_n(&head_of(s)->magic, SLOTS_MAGIC, __ATOMIC_RELEASE);
	*out = s;
	return 0;
}

/* What a piece is was said of each, and at most of one more. */
static bool pieces_can_be(const struct slots_head *h)
{
	if (h->pieces > SLOT_PIECES)
		return false;
	for (uint32_t i = h->pieces + 1; i < SLOT_PIECES; i++)
		if (h->piece[i])
			return false;
	return !h->pieces || h->piece[h->pieces - 1];
}

static int adopt(struct slots *s)
{
	const struct slots_head *h = head_of(s);
	int err;

	if (s->mem.max < BEFORE_BYTES + (size_t)SLOT_PIECES * SLOT_AREA_BYTES ||
	    h->magic != SLOTS_MAGIC || h->slot_bytes != sizeof(struct slot) ||
	    h->area_bytes != SLOT_AREA_BYTES || !pieces_can_be(h))
		return -EINVAL;
	s->mem.made = (size_t)(piece_at(s, h->pieces) - s->mem.base);
	err = know_all(s);
	if (!err)
		err = claim_all(s);
	if (!err)
		free_unclaimed(s);
	return err;
}

int slots_adopt(int fd, struct slots **out)
{
	struct slots *s = new_store();
	int err;

	*out = NULL;
	if (!s) {
		close(fd);
		return -ENOMEM;
	}
	err = region_adopt(fd, 0, &s->mem);
	if (!err)
		err = adopt(s);
	if (err)
		slots_close(s);
	else
		*out = s;
	return err;
}
