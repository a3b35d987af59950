/* SPDX-License-Identifier: MIT */
/*
 * load.h - what load.c and kills.c share, in a file: who counts, who tells whom to stop
 */
#ifndef UML_LOAD_H
#define UML_LOAD_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LOAD_THREADS 64

/**
 * struct load_shared - all zero at first
 * @stop:    1: threads come to an end, and hold what they say they hold; 2: and let go of it
 * @started, @done: threads
 * @calls:   that were answered; @errors: that failed; @wrong: whose answer, or what is in memory, is wrong
 * @worst:   the longest call, us
 * @opens, @maps, @windows: what those that are done hold
 */
struct load_shared {
	uint32_t stop;
	uint32_t started;
	uint32_t done;
	uint32_t errors;
	uint32_t wrong;
	uint32_t opens;
	uint32_t maps;
	uint32_t windows;
	uint64_t calls;
	uint64_t worst;
	uint64_t progress[LOAD_THREADS];
};

static inline uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* A file of @size bytes, made if need be. Return: its memory, or NULL. */
static inline void *map_file(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	void *p = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

#endif /* UML_LOAD_H */
