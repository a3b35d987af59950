/* SPDX-License-Identifier: MIT */
/*
 * client/procmaps.c - what a process has mapped at an address
 */
#include "client/procmaps.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client/mapstext.h"

/* Linux 6.11, <linux/fs.h>: newer than the headers this has to build with. */
struct map_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};
static_assert(sizeof(struct map_query) == 104, "struct procmap_query");
static_assert(offsetof(struct map_query, inode) == 64, "struct procmap_query");
static_assert(offsetof(struct map_query, vma_name_addr) == 88, "struct procmap_query");

#define MAP_QUERY	  _IOWR('f', 17, struct map_query)
#define MAP_QUERY_OR_NEXT 0x10
static_assert(MAP_QUERY == 0xc0686611, "PROCMAP_QUERY");

static int first_above(int fd, uint64_t vaddr, struct procmaps_file *file)
{
	struct mapstext t = { .fd = fd };
	uint64_t end;
	int ret;

	while ((ret = mapstext_next(&t, &end, file)) > 0)
		if (end > vaddr)
			return 0;
	return ret ? -EPERM : -ENOENT;
}

static int open_maps(pid_t tid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)tid);
	return tid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static int query(int fd, uint64_t vaddr, struct procmaps_file *file)
{
	char path[PATH_MAX];
	struct map_query q = {
		.size = sizeof(q),
		.query_flags = MAP_QUERY_OR_NEXT,
		.query_addr = vaddr,
		.vma_name_size = sizeof(path),
		.vma_name_addr = (uintptr_t)path,
	};

	memset(file, 0, sizeof(*file));
	if (!ioctl(fd, MAP_QUERY, &q)) {
		file->dev = makedev(q.dev_major, q.dev_minor);
		file->ino = q.inode;
		/* The size counts the NUL, and is 0 for a mapping without a name. */
		if (q.vma_name_size)
			mapstext_name(file, path, q.vma_name_size - 1);
		return 0;
	}
	if (errno == ENAMETOOLONG)
		return 0;
	return errno == ENOENT || errno == ENOTTY ? -errno : -EPERM;
}

int procmaps_at(pid_t tid, uint64_t vaddr, struct procmaps_file *file)
{
	int fd = open_maps(tid);
	int ret;

	if (fd < 0)
		return -EPERM;
	ret = query(fd, vaddr, file);
	if (ret == -ENOTTY)
		ret = first_above(fd, vaddr, file);
	close(fd);
	return ret;
}

bool procmaps_exact(pid_t tid, uint64_t start, uint64_t end, struct procmaps_file *file)
{
	char link[80], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)tid, start,
		 end);
	n = readlink(link, path, sizeof(path));
	if (n <= 0)
		return false;
	file->dev = 0;
	file->ino = 0;
	mapstext_name(file, path, (size_t)n);
	return true;
}

int procmaps_at_text(pid_t tid, uint64_t vaddr, struct procmaps_file *file)
{
	int fd = open_maps(tid);
	int ret;

	if (fd < 0)
		return -EPERM;
	ret = first_above(fd, vaddr, file);
	close(fd);
	return ret;
}
