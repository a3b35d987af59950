/* SPDX-License-Identifier: MIT */
/*
 * state/region.c - memory that outlives the daemon
 *
 * The file has its whole length from the beginning and is sealed against shrinking, so that there is no SIGBUS but for
 * want of memory; and that is found out when it grows, as pages are made by then.
 */
#include "state/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_BYTES 4096UL
/* Made at a time: a system call for each would be felt. */
#define STEP_BYTES (64 * PAGE_BYTES)

static size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static int map(struct region *r)
{
	void *p = mmap(NULL, r->max, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, r->fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	r->base = p;
	return 0;
}

int region_new(const char *name, size_t max, struct region *out)
{
	int err = 0;

	*out = (struct region){ .max = round_up(max, STEP_BYTES) };
	out->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (out->fd < 0)
		return -errno;
	if (ftruncate(out->fd, (off_t)out->max) ||
	    fcntl(out->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		err = -errno;
	if (!err)
		err = map(out);
	if (err) {
		close(out->fd);
		*out = (struct region){ .fd = -1 };
	}
	return err;
}

int region_adopt(int fd, size_t made, struct region *out)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	int err = 0;

	*out = (struct region){ .fd = fd, .made = made };
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) || !st.st_size ||
	    st.st_size % (off_t)PAGE_BYTES || made > (size_t)st.st_size)
		err = -EINVAL;
	if (!err) {
		out->max = (size_t)st.st_size;
		err = map(out);
	}
	if (err) {
		close(fd);
		*out = (struct region){ .fd = -1 };
	}
	return err;
}

int region_grow(struct region *r, size_t to)
{
	size_t made = __atomic_load_n(&r->made, __ATOMIC_RELAXED);

	if (to <= made)
		return 0;
	if (to > r->max)
		return -ENOMEM;
	to = round_up(to, STEP_BYTES);
	to = to < r->max ? to : r->max;
	if (madvise(r->base + made, to - made, MADV_POPULATE_WRITE))
		return -ENOMEM;
	__atomic_store_n(&r->made, to, __ATOMIC_RELEASE);
	return 0;
}

bool region_is_made(const struct region *r, size_t bytes)
{
	return bytes <= r->max && (!bytes || lseek(r->fd, 0, SEEK_HOLE) >= (off_t)bytes);
}

void region_close(struct region *r)
{
	if (!r->base)
		return;
	munmap(r->base, r->max);
	close(r->fd);
	*r = (struct region){ .fd = -1 };
}
