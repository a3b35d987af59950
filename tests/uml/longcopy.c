/* SPDX-License-Identifier: MIT */
/*
 * longcopy.c - one GRANT_COPY of as many segments as a minute has use for: longcopy SEGMENTS
 *
 * They are of length 0, and the same few over and over: a small file, mapped side by side.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/sys/gntdev.h>

typedef struct ioctl_gntdev_grant_copy_segment segment_t;

/* Whole pages and whole segments. */
#define CHUNK (4096 * sizeof(segment_t) * 128)

static segment_t *make_segments(size_t n)
{
	int fd = memfd_create("segments", 0);
	size_t chunks = (n * sizeof(segment_t) + CHUNK - 1) / CHUNK;
	char *base = mmap(NULL, chunks * CHUNK, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	segment_t *s = (void *)base;

	if (fd < 0 || ftruncate(fd, CHUNK) || base == MAP_FAILED)
		err(1, "memory");
	for (size_t i = 0; i < chunks; i++)
		if (mmap(base + i * CHUNK, CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 fd, 0) == MAP_FAILED)
			err(1, "mmap");
	for (size_t i = 0; i < CHUNK / sizeof(*s); i++)
		s[i].flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
	return s;
}

int main(int argc, char **argv)
{
	struct ioctl_gntdev_grant_copy op;
	int fd = open("/dev/xen/gntdev", O_RDWR);

	if (argc != 2 || fd < 0)
		errx(1, "usage: longcopy SEGMENTS, with /dev/xen/gntdev there");
	op.count = (uint32_t)strtoul(argv[1], NULL, 0);
	op.segments = make_segments(op.count);
	puts("copying");
	fflush(stdout);
	printf("copied: %d\n", ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &op));
	return 0;
}
