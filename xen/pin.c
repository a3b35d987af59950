/* SPDX-License-Identifier: MIT */
/*
 * xen/pin.c - pages that stay where they are
 */
#include "xen/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fixed buffers of a ring: as many as Linux allows. */
#define PER_RING 16384U
#define PINS_MAX (PINS_FDS * PER_RING)

#define PAGE_BYTES 4096

/* In /proc/self/pagemap: the page is there; its number. */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN	((1ULL << 55) - 1)

/**
 * struct pins - the rings
 * @pagemap: /proc/self/pagemap
 * @adopted: the rings were made by another process: all that is known of them here is their descriptors
 * @ready:   rings whose table of buffers has been made
 * @used:    ids below this have been in use
 * @freed:   @n_freed ids to be used again
 */
struct pins {
	pthread_mutex_t lock;
	int pagemap;
	bool adopted;
	unsigned int rings;
	unsigned int ready;
	uint32_t used;
	uint32_t n_freed;
	struct io_uring ring[PINS_FDS];
	uint32_t freed[PINS_MAX];
};

int pins_new(struct pins **out, const char **why)
{
	struct pins *p = calloc(1, sizeof(*p));
	int err = 0;

	*why = "no memory";
	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	*why = "cannot open /proc/self/pagemap";
	p->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (p->pagemap < 0)
		err = -errno;
	while (!err && p->rings < PINS_FDS) {
		*why = "cannot make an io_uring, needed to pin memory (see the sysctl "
		       "kernel.io_uring_disabled)";
		err = io_uring_queue_init(1, &p->ring[p->rings], 0);
		if (!err)
			p->rings++;
	}
	if (err) {
		pins_free(p);
		return err;
	}
	*out = p;
	return 0;
}

void pins_free(struct pins *p)
{
	if (!p)
		return;
	while (p->rings--)
		if (p->adopted)
			close(p->ring[p->rings].ring_fd);
		else
			io_uring_queue_exit(&p->ring[p->rings]);
	if (p->pagemap >= 0)
		close(p->pagemap);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void pins_fds(const struct pins *p, int fds[PINS_FDS])
{
	for (unsigned int i = 0; i < PINS_FDS; i++)
		fds[i] = p->ring[i].ring_fd;
}

/* Return: 0; -EINVAL. */
static int mark_used(uint8_t *used, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ids[i] >= PINS_MAX || used[ids[i]])
			return -EINVAL;
		used[ids[i]] = 1;
	}
	return 0;
}

/* Ids that are below the highest that is wanted, and not wanted themselves, are free. */
static int find_freed(struct pins *p, const uint32_t *ids, size_t n)
{
	uint8_t *used = calloc(PINS_MAX, 1);
	int err = used ? mark_used(used, ids, n) : -ENOMEM;

	for (uint32_t id = PINS_MAX; !err && id-- > 0;) {
		if (used[id] && !p->used)
			p->used = id + 1;
		else if (!used[id] && p->used)
			p->freed[p->n_freed++] = id;
	}
	free(used);
	p->ready = (p->used + PER_RING - 1) / PER_RING;
	return err;
}

int pins_adopt(const int fds[PINS_FDS], const uint32_t *ids, size_t n, struct pins **out,
	       const char **why)
{
	struct pins *p = calloc(1, sizeof(*p));
	int err;

	*why = "no memory";
	if (!p) {
		for (unsigned int i = 0; i < PINS_FDS; i++)
			close(fds[i]);
		return -ENOMEM;
	}
	pthread_mutex_init(&p->lock, NULL);
	p->adopted = true;
	for (; p->rings < PINS_FDS; p->rings++)
		p->ring[p->rings].ring_fd = p->ring[p->rings].enter_ring_fd = fds[p->rings];
	*why = "cannot open /proc/self/pagemap";
	p->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	err = p->pagemap < 0 ? -errno : 0;
	if (!err) {
		*why = "the pins of a predecessor are damaged";
		err = find_freed(p, ids, n);
	}
	if (err)
		pins_free(p);
	else
		*out = p;
	return err;
}

/* The lock is held. Return: an id of a ring that has its table, or -errno. */
static int new_id(struct pins *p, uint32_t *id)
{
	int err;

	if (p->n_freed) {
		*id = p->freed[--p->n_freed];
		return 0;
	}
	if (p->used == PINS_MAX)
		return -ENOMEM;
	if (p->used == p->ready * PER_RING) {
		err = io_uring_register_buffers_sparse(&p->ring[p->ready], PER_RING);
		/* A predecessor has made it. */
		if (err && err != -EBUSY)
			return err;
		p->ready++;
	}
	*id = p->used++;
	return 0;
}

static int update(struct pins *p, uint32_t id, void *addr, size_t len)
{
	struct iovec iov = { .iov_base = addr, .iov_len = len };
	__u64 tag = 0;
	int ret;

	ret = io_uring_register_buffers_update_tag(&p->ring[id / PER_RING], id % PER_RING, &iov,
						   &tag, 1);
	return ret < 0 ? ret : 0;
}

/* A pin keeps the page, not its page table entry: a touch brings that back. */
static bool look_again(const struct pins *p, const unsigned char *page, uint64_t *pfn)
{
	off_t at = (off_t)((uintptr_t)page / PAGE_BYTES * sizeof(*pfn));

	for (int tries = 0; tries < 10; tries++) {
		(void)*(const volatile unsigned char *)page;
		if (pread(p->pagemap, pfn, sizeof(*pfn), at) != sizeof(*pfn))
			return false;
		if (*pfn & PAGEMAP_PRESENT)
			return true;
	}
	return false;
}

static int tell_pfns(const struct pins *p, const void *addr, size_t pages, uint64_t *pfn)
{
	off_t at = (off_t)((uintptr_t)addr / PAGE_BYTES * sizeof(*pfn));
	ssize_t want = (ssize_t)(pages * sizeof(*pfn));

	if (pread(p->pagemap, pfn, (size_t)want, at) != want)
		return -EIO;
	for (size_t i = 0; i < pages; i++) {
		if (!(pfn[i] & PAGEMAP_PRESENT) &&
		    !look_again(p, (const unsigned char *)addr + i * PAGE_BYTES, &pfn[i]))
			return -EIO;
		pfn[i] &= PAGEMAP_PFN;
		if (!pfn[i])
			return -EPERM;
	}
	return 0;
}

int pins_add(struct pins *p, void *addr, size_t pages, uint32_t *id, uint64_t *pfn)
{
	int err;

	pthread_mutex_lock(&p->lock);
	err = new_id(p, id);
	pthread_mutex_unlock(&p->lock);
	if (err)
		return err;
	err = update(p, *id, addr, pages * PAGE_BYTES);
	if (!err && pfn)
		err = tell_pfns(p, addr, pages, pfn);
	if (err)
		pins_remove(p, *id);
	return err;
}

void pins_remove(struct pins *p, uint32_t id)
{
	update(p, id, NULL, 0);
	pthread_mutex_lock(&p->lock);
	p->freed[p->n_freed++] = id;
	pthread_mutex_unlock(&p->lock);
}
