/* SPDX-License-Identifier: MIT */
/*
 * place.h - where tests make their directories
 */
#ifndef PLACE_H
#define PLACE_H

#include <unistd.h>

/* Memory, as a daemon's run directory is, where there is such a place. Short enough for the paths of sockets. */
static inline const char *test_place(void)
{
	return access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
}

#endif /* PLACE_H */
