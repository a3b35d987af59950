/* SPDX-License-Identifier: MIT */
/*
 * base/oom.c - whom the kernel chooses when memory is short
 */
#include "base/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define LOWEST (-1000)

void oom_score_set(int score)
{
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char now[8] = "", text[8];
	int n = snprintf(text, sizeof(text), "%d", score);

	if (fd < 0)
		return;
	/* Only ever to or from the lowest: the daemon's own score is not ours to choose. */
	if (read(fd, now, sizeof(now) - 1) > 0 && (atoi(now) == LOWEST) != (score == LOWEST) &&
	    pwrite(fd, text, (size_t)n, 0) < 0)
		log_debug("oom_score_adj cannot be set to %s: %s (OOMScoreAdjust=-1000 in the "
			  "unit, or "
			  "CAP_SYS_RESOURCE)",
			  text, strerror(errno));
	close(fd);
}
