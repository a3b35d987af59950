/* SPDX-License-Identifier: MIT */
/*
 * base/step.c - dying at a step, for tests
 *
 * $GNTDEV_STEPS names a file of one struct step_orders, which the test maps, too: it says where to die while the daemon runs,
 * and reads how often each step was reached.
 */
#include "base/step.h"

#ifdef KILL_STEPS

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct step_orders *orders(void)
{
	static struct step_orders none, *at;
	const char *path = getenv("GNTDEV_STEPS");
	int fd;
	void *p;

	if (__atomic_load_n(&at, __ATOMIC_ACQUIRE))
		return at;
	fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	p = fd >= 0 ? mmap(NULL, sizeof(none), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
		    : MAP_FAILED;
	if (fd >= 0)
		close(fd);
	__atomic_store_n(&at, p == MAP_FAILED ? &none : p, __ATOMIC_RELEASE);
	return at;
}

void step_reached(enum step s)
{
	struct step_orders *o = orders();

	__atomic_add_fetch(&o->reached[s], 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&o->die_at, __ATOMIC_ACQUIRE) != (uint32_t)s + 1)
		return;
	if (__atomic_fetch_sub(&o->die_in, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	__atomic_store_n(&o->die_at, 0, __ATOMIC_RELEASE);
	kill(getpid(), SIGKILL);
}

#else
typedef int step_is_for_tests;
#endif
