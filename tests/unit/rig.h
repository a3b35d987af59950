/* SPDX-License-Identifier: MIT */
/*
 * rig.h - a whole xen/gntdev on the simulator, without CUSE and without sockets
 *
 * Requests come from double.h; a client's mmap is rig_mmap(), which does what the preload object
 * and the window socket do between them.
 */
#ifndef RIG_H
#define RIG_H

#include <check.h>
#include <stdint.h>

#include "tests/unit/double.h"
#include "device/gntdev.h"
#include "sim/sim.h"

/* The simulated domain that grants. */
#define RIG_GRANTER 7

/* Where clients are told to connect. */
#define RIG_SOCKET "/run/cuse-gntdev/xen-gntdev.sock"

/* Places of that socket, one of them taken. */
#define RIG_SLOTS 10

struct rig {
	struct gntdev gd;
	struct sim *sim;
	uint64_t fh;
	unsigned char *frame[64]; /* the granter's memory behind rig_grant() */
	unsigned int n_frames;
};

extern struct rig rig;

/* Checked fixture: a machine, a granter, a device with one open. The teardown checks that nothing
 * is held, and that every request was answered. */
void rig_setup(void);
void rig_teardown(void);

uint64_t rig_open(void);
uint64_t rig_open_as(int flags);
void rig_close(uint64_t fh);

/* Grant a fresh page of RIG_GRANTER to us. Return: the ref. */
uint32_t rig_grant(bool readonly);

/* MAP_GRANT_REF of @n refs. Return: the ioctl's result. */
int rig_map_refs(uint64_t fh, const uint32_t *refs, uint32_t n, uint64_t *index);
/* The same of one ref, which must succeed. Return: the index. */
uint64_t rig_map(uint64_t fh, uint32_t ref);
int rig_unmap(uint64_t fh, uint64_t index, uint32_t count);
int rig_notify(uint64_t fh, uint64_t index, uint32_t action, uint32_t port);

/* mmap(2) as a preloaded client. Return: the address, or MAP_FAILED with errno set. */
void *rig_mmap(uint64_t fh, uint64_t index, size_t length, int prot, int flags);

/* The same by WINDOW_MMAP. */
void *rig_mmap_by_ioctl(uint64_t fh, uint64_t index, size_t length, int prot, int flags);

/* The same with a token of the test's choosing. */
void *rig_mmap_with(uint64_t open_id, const uint8_t *secret, uint64_t index, size_t length,
		    int prot, int flags);

/* Begin one, and ask later for how it went: -1 while it has not been answered, else an errno. */
void rig_mmap_begin(uint64_t fh, uint64_t index, size_t length, int prot, int flags);
int rig_mmap_answer(void **addr);

/* Grants that the hypervisor has mapped for us. */
uint64_t rig_handles(void);

/* Wait up to 20 s for the number of mapped grants to become @n. Return: milliseconds, -1 never. */
int rig_wait_handles(uint64_t n);

/* Stop the defer thread before the teardown does. */
void rig_stop_defer(void);

/* Have the teardown expect that @n grants could not be unmapped. */
void rig_expect_left(uint64_t n);

/* A page that can be read only, one that cannot be reached, in this process. */
void *rig_readonly_page(const void *content, size_t len);
void *rig_no_page(void);

#endif /* RIG_H */
