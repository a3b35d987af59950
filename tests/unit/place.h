/* SPDX-License-Identifier: MIT */
/*
 * place.h - where tests make their directories
 */
#ifndef PLACE_H
#define PLACE_H

#include <time.h>
#include <unistd.h>

/* Memory, as a daemon's run directory is, where there is such a place. Short enough for the paths of sockets. */
static inline const char *test_place(void)
{
	return access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
}

/* For names that no other run has: process numbers come again, and what was killed leaves its directory. */
static inline unsigned int test_moment(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (unsigned int)t.tv_sec * 1000000 + (unsigned int)t.tv_nsec / 1000;
}

#endif /* PLACE_H */
