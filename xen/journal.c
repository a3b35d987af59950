/* SPDX-License-Identifier: MIT */
/*
 * xen/journal.c - what is mapped, in memory that outlives the daemon
 */
#include "xen/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Slots whose memory is made at once. */
#define GROW 4096U

/**
 * struct journal_slots - a stack of free slots, linked through their handles
 * @free: the topmost, 0 if there is none
 */
struct journal_slots {
	pthread_mutex_t lock;
	struct journal *j;
	uint32_t free;
};

static struct journal *map(int fd)
{
	struct journal *j = mmap(NULL, sizeof(*j), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return j == MAP_FAILED ? NULL : j;
}

struct journal *journal_new(bool translated, int *fd)
{
	struct journal *j = NULL;
	int err;

	*fd = memfd_create("journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		return NULL;
	if (!ftruncate(*fd, sizeof(*j)) &&
	    !fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		j = map(*fd);
	if (j) {
		j->translated = translated;
		return j;
	}
	err = errno;
	close(*fd);
	*fd = -1;
	errno = err;
	return NULL;
}

struct journal *journal_adopt(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct journal *j;
	struct stat st;

	errno = EINVAL;
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) || st.st_size != sizeof(*j))
		return NULL;
	j = map(fd);
	if (!j || j->slots <= JOURNAL_SLOTS)
		return j;
	journal_free(j);
	errno = EINVAL;
	return NULL;
}

int journal_lock(struct journal *j)
{
	return mlock(j->batch, sizeof(j->batch)) ? -errno : 0;
}

static struct journal_slot *slot_of(struct journal *j, const struct journal_batch *b, uint32_t i)
{
	return &j->slot[b->slot[i] % JOURNAL_SLOTS];
}

static void harvest_unmapped(struct journal *j, struct journal_batch *b, bool translated)
{
	for (uint32_t i = 0; i < b->unmapping && i < JOURNAL_OPS; i++)
		if (b->unmap[i].status == GNTST_okay)
			slot_set(slot_of(j, b, i), translated ? SLOT_AWAY : SLOT_NONE);
	__atomic_store_n(&b->unmapping, 0, __ATOMIC_RELEASE);
}

static void harvest_mapped(struct journal *j, struct journal_batch *b, bool translated)
{
	for (uint32_t i = 0; i < b->mapping && i < JOURNAL_OPS; i++) {
		const struct gnttab_map_grant_ref *op = &b->map[i];
		struct journal_slot *slot = slot_of(j, b, i);

		if (op->status != GNTST_okay)
			continue;
		slot->handle = op->handle;
		if (!translated)
			slot->addr = op->dev_bus_addr;
		slot_set(slot, SLOT_MAPPED);
	}
	__atomic_store_n(&b->mapping, 0, __ATOMIC_RELEASE);
}

void journal_harvest(struct journal *j, struct journal_batch *b, bool translated)
{
	harvest_mapped(j, b, translated);
	harvest_unmapped(j, b, translated);
}

size_t journal_held(const struct journal *j)
{
	size_t n = 0;

	for (size_t i = 0; i < JOURNAL_BATCHES; i++)
		n += j->batch[i].mapping;
	for (uint32_t i = 0; i < j->slots; i++)
		n += j->slot[i].state != SLOT_NONE;
	return n;
}

void journal_free(struct journal *j)
{
	if (j)
		munmap(j, sizeof(*j));
}

/* --- windows ------------------------------------------------------------------------------------ */

void journal_window_note(struct journal *j, const uint32_t *slot, const struct journal_window *w)
{
	struct journal_window *kept = &j->window[slot[0]];
	const uint32_t n = w->n;

	for (uint32_t i = 0; i < n; i++)
		j->next[slot[i]] = i + 1 < n ? slot[i + 1] : 0;
	*kept = *w;
	kept->n = 0;
	__atomic_store_n(&kept->n, n, __ATOMIC_RELEASE);
}

void journal_window_forget(struct journal *j, uint32_t first)
{
	__atomic_store_n(&j->window[first].n, 0, __ATOMIC_RELEASE);
}

int journal_window_slots(struct journal *j, uint32_t first, uint32_t *slot, uint8_t *claimed)
{
	uint32_t at = first;

	for (uint32_t i = 0; i < j->window[first].n; i++, at = j->next[at]) {
		if (!at || at >= j->slots || claimed[at])
			return -EINVAL;
		claimed[at] = 1;
		slot[i] = at;
	}
	return at ? -EINVAL : 0;
}

/* --- slots -------------------------------------------------------------------------------------- */

struct journal_slots *journal_slots_new(struct journal *j)
{
	struct journal_slots *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->j = j;
	return s;
}

void journal_slots_free(struct journal_slots *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void push(struct journal_slots *s, uint32_t slot)
{
	s->j->slot[slot].handle = s->free;
	s->free = slot;
}

/* More free slots. Their memory is really there from now on: no SIGBUS later. */
static int grow(struct journal_slots *s)
{
	uint32_t first = s->j->slots;

	if (first == JOURNAL_SLOTS)
		return -ENOMEM;
	if (madvise(&s->j->slot[first], GROW * sizeof(s->j->slot[0]), MADV_POPULATE_WRITE) ||
	    madvise(&s->j->next[first], GROW * sizeof(s->j->next[0]), MADV_POPULATE_WRITE) ||
	    madvise(&s->j->window[first], GROW * sizeof(s->j->window[0]), MADV_POPULATE_WRITE))
		return -ENOMEM;
	for (uint32_t i = GROW; i-- > 0;)
		if (first + i)
			push(s, first + i);
	__atomic_store_n(&s->j->slots, first + GROW, __ATOMIC_RELEASE);
	return 0;
}

static_assert(JOURNAL_SLOTS % GROW == 0, "grow() ends at the last slot");
static_assert(GROW * sizeof(struct journal_slot) % 4096 == 0 &&
		      GROW * sizeof(struct journal_window) % 4096 == 0 &&
		      GROW * sizeof(uint32_t) % 4096 == 0,
	      "grow() makes whole pages");

static void put_locked(struct journal_slots *s, size_t n, const uint32_t *slot)
{
	while (n-- > 0) {
		slot_set(&s->j->slot[slot[n]], SLOT_NONE);
		push(s, slot[n]);
	}
}

int journal_slots_get(struct journal_slots *s, size_t n, uint32_t *slot)
{
	int err = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++) {
		if (!s->free)
			err = grow(s);
		if (err) {
			put_locked(s, i, slot);
			break;
		}
		slot[i] = s->free;
		s->free = s->j->slot[s->free].handle;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

void journal_slots_put(struct journal_slots *s, size_t n, const uint32_t *slot)
{
	pthread_mutex_lock(&s->lock);
	put_locked(s, n, slot);
	pthread_mutex_unlock(&s->lock);
}

int journal_slots_adopt(struct journal_slots *s, const uint8_t *claimed)
{
	int err = 0;

	pthread_mutex_lock(&s->lock);
	for (uint32_t i = s->j->slots; i-- > 1;) {
		if (claimed[i])
			continue;
		if (s->j->slot[i].state != SLOT_NONE)
			err = -EINVAL;
		push(s, i);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}
