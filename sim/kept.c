/* SPDX-License-Identifier: MIT */
/*
 * sim/kept.c - what there is of the simulated machine when its daemon has been killed
 */
#include "sim/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define KEPT_MAGIC 0x6d69732d74706b67ULL

#define PAGE_BYTES 4096UL
#define DOMAINS	   (SIM_DOMID_MAX + 1UL)
#define PORTS	   (SIM_PORT_MAX + 1UL)

static_assert(sizeof(struct kept_head) <= PAGE_BYTES, "the head is a page");

/* The place of @n things of @bytes each; the next one's is behind it, on a page of its own. */
static void *place(struct kept *k, size_t *end, uint64_t n, size_t bytes)
{
	void *at = k->mem.base ? k->mem.base + *end : NULL;

	*end += (n * bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	return at;
}

/* Set all pointers, if the memory is there already. Return: bytes in all. */
static size_t lay_out(struct kept *k, const struct kept_sizes *sizes)
{
	size_t end = PAGE_BYTES;

	k->head = (struct kept_head *)k->mem.base;
	k->fault = place(k, &end, FAULT_MAX, sizeof(*k->fault));
	k->domain = place(k, &end, DOMAINS, sizeof(*k->domain));
	k->track = place(k, &end, sizes->track_max, sizeof(*k->track));
	k->frame = place(k, &end, sizes->pages, sizeof(*k->frame));
	k->port = place(k, &end, DOMAINS * PORTS, sizeof(*k->port));
	k->table = place(k, &end, DOMAINS * sizes->table_max, sizeof(*k->table));
	return end;
}

int kept_make(const void *at, size_t bytes)
{
	uintptr_t from = (uintptr_t)at & ~(PAGE_BYTES - 1);
	uintptr_t to = ((uintptr_t)at + bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);

	return madvise((unsigned char *)at - ((uintptr_t)at - from), to - from, MADV_POPULATE_WRITE)
		       ? -ENOMEM
		       : 0;
}

void kept_wipe(struct kept *k, void *at, size_t bytes)
{
	off_t offset = (unsigned char *)at - k->mem.base;
	int ret;

	do
		ret = fallocate(k->mem.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
				(off_t)bytes);
	while (ret && errno == EINTR);
	if (ret)
		memset(at, 0, bytes);
}

/* What there always is. */
static int make_arrays(struct kept *k)
{
	int err = kept_make(k->fault, FAULT_MAX * sizeof(*k->fault));

	return err ? err : kept_make(k->domain, DOMAINS * sizeof(*k->domain));
}

int kept_new(const struct kept_sizes *sizes, struct kept *out)
{
	struct kept k = { 0 };
	int err = region_new("gntdev-sim", lay_out(&k, sizes), &k.mem);

	*out = (struct kept){ 0 };
	if (err)
		return err;
	lay_out(&k, sizes);
	/* Nearly all of it is holes, and a core file would have them all. */
	madvise(k.mem.base, k.mem.max, MADV_DONTDUMP);
	err = kept_make(k.head, sizeof(*k.head));
	if (!err)
		err = make_arrays(&k);
	if (err) {
		region_close(&k.mem);
		return err;
	}
	*k.head = (struct kept_head){ .bytes = sizeof(*k.head), .sizes = *sizes };
	KEEP(k.head->magic, KEPT_MAGIC);
	*out = k;
	return 0;
}

static const char *head_error(const struct kept_head *h)
{
	const struct kept_sizes *s = &h->sizes;

	if (h->magic != KEPT_MAGIC)
		return "what is kept of the simulated hypervisor is something else, or was never "
		       "complete";
	if (h->bytes != sizeof(*h) || s->pages < 2 || s->pages > UINT32_MAX || !s->track_max ||
	    s->track_max > SIM_MAPTRACK_MAX || !s->table_max ||
	    s->table_max > SIM_GRANT_FRAMES_MAX || s->self > SIM_DOMID_MAX ||
	    h->frames_made > s->pages || h->tracks_made > s->track_max || h->handed > 1)
		return "the head of what is kept of the simulated hypervisor is damaged";
	return NULL;
}

int kept_adopt(int fd, struct kept *out, const char **why)
{
	struct kept k = { 0 };
	int err = region_adopt(fd, 0, &k.mem);

	*out = (struct kept){ 0 };
	*why = "what is kept of the simulated hypervisor cannot be mapped";
	if (err)
		return err;
	madvise(k.mem.base, k.mem.max, MADV_DONTDUMP);
	*why = head_error((struct kept_head *)k.mem.base);
	if (!*why && lay_out(&k, &((struct kept_head *)k.mem.base)->sizes) > k.mem.max)
		*why = "what is kept of the simulated hypervisor is cut short";
	if (*why) {
		region_close(&k.mem);
		return -EINVAL;
	}
	*out = k;
	return 0;
}

void kept_close(struct kept *k)
{
	region_close(&k->mem);
	*k = (struct kept){ 0 };
}

struct kept_port *kept_ports(const struct kept *k, uint16_t domid)
{
	return k->port + domid * PORTS;
}

struct kept_table *kept_tables(const struct kept *k, uint16_t domid)
{
	return k->table + (size_t)domid * k->head->sizes.table_max;
}
