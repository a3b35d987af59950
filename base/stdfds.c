/* SPDX-License-Identifier: MIT */
/*
 * base/stdfds.c - descriptors 0 to 2 are always open
 */
#include "base/stdfds.h"

#include <fcntl.h>
#include <unistd.h>

bool stdfds_occupy(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}
