/* SPDX-License-Identifier: MIT */
/*
 * platform.h - what the daemon stands on: the real Xen, or the simulated machine
 *
 * By the main thread, in the order in which the functions are here.
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct hypervisor;
struct lent;
struct sim;
struct why;

#define PLATFORM_PORTS_MAX  64
#define PLATFORM_FAULTS_MAX 64

/* An event channel of the simulated domain 0. */
struct platform_port {
	uint32_t port;
	uint16_t remote;
};

/**
 * struct platform_config - what the command line says of it
 *
 * Strings are the caller's and live as long as the platform.
 */
struct platform_config {
	bool sim;
	bool xen;
	uint64_t sim_pages;
	unsigned int n_ports;
	unsigned int n_faults;
	struct platform_port port[PLATFORM_PORTS_MAX];
	const char *fault[PLATFORM_FAULTS_MAX];
};

/**
 * struct platform - all 0 at first
 * @xen: it is the real one
 * @hv:  NULL until platform_start()
 * @sim: NULL with the real Xen
 */
struct platform {
	bool xen;
	struct hypervisor *hv;
	struct sim *sim;
	char mounted[PATH_MAX];
};

/**
 * platform_choose() - real Xen or the simulator: what was asked for, else what the machine is
 * @granters: other options that are for the simulator were given, too
 *
 * Makes nothing. Return: false, and @why, if that cannot be.
 */
bool platform_choose(struct platform *p, const struct platform_config *c, bool granters,
		     const struct why *why);

/**
 * platform_mount() - see that windows can be made in the directory @path, which is about to be made
 * @left: a predecessor did, and has left it
 */
bool platform_mount(struct platform *p, const char *path, bool left, const struct why *why);

/**
 * platform_start() - start the hypervisor layer
 * @dirfd: the window directory
 * @lent:  what outlives the daemon
 *
 * From here on all its hypercalls are counted and traced.
 */
bool platform_start(struct platform *p, const struct platform_config *c, int dirfd,
		    struct lent *lent, const struct why *why);

/** platform_report() - log what is held, in one line of name=value pairs; the first of them are the caller's */
void platform_report(const struct platform *p, uint64_t opens, uint64_t maps, uint64_t windows);

/** platform_power_off() - the simulated machine is about to go, see sim_power_off(); nothing with the real Xen */
void platform_power_off(struct platform *p);

/** platform_check_empty() - Return: 0, or -EBUSY and a line in the log if a grant or a port of ours is left */
int platform_check_empty(const struct platform *p);

/** platform_leave() - instead of platform_stop(), where a thread may still use it: nothing but the mount goes */
void platform_leave(const struct platform *p);

/** platform_stop() - free all, also after a start that failed */
void platform_stop(struct platform *p);

#endif /* PLATFORM_H */
