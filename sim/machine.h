/* SPDX-License-Identifier: MIT */
/*
 * sim/machine.h - the simulated machine's memory: one file, and who owns which page of it
 *
 * A frame is a page of the file. It is free, or belongs to a domain; a reference keeps it while it
 * is mapped, also beyond the owner's giving it up. Any thread may call anything but init and fini.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/kept.h"

#define MACHINE_FILE "machine"

/**
 * struct machine - the memory
 * @memory: the whole file, mapped
 * @kept:   what lasts
 * @frame:  a word per frame, see sim/machine.c; 0 is free. They last, but for the references in them
 * @pages:  frames in all; frame 0 is nobody's
 * @lock:   for the fields below, and for making a frame free or not free
 * @lowest: no frame below is free
 * @top:    no frame from here on was ever used
 * @in_use: frames that are not free
 */
struct machine {
	int dirfd;
	int fd;
	uint8_t *memory;
	struct kept *kept;
	uint64_t *frame;
	uint64_t pages;
	pthread_mutex_t lock;
	uint64_t lowest;
	uint64_t top;
	uint64_t in_use;
	bool off;
};

/**
 * machine_init() - as sim_new() has it
 * @kept: outlives the machine
 * @fd:   -1, or the file that a predecessor has left; the machine's from now on, also on failure
 *
 * After a failure there is nothing to fini.
 */
int machine_init(struct machine *m, int dirfd, struct kept *kept, int fd, const char **why);

/** machine_fini() - free it, and the file unless @leave */
void machine_fini(struct machine *m, bool leave);

/**
 * machine_check() - whether what a predecessor has left of the frames can be
 *
 * Changes nothing. Return: 0 or -EINVAL.
 */
int machine_check(const struct machine *m);

/** machine_was_owned() - whether a frame has an owner, who may have given it up. Nothing else runs yet, as below */
bool machine_was_owned(const struct machine *m, uint16_t domid, uint32_t frame);

/** machine_forget() - after machine_check(): nothing is referenced, and what was being handed over is, or was not */
void machine_forget(struct machine *m);

/** machine_reget() - take a reference on a frame that machine_was_owned(), as machine_get() */
void machine_reget(struct machine *m, uint32_t frame);

/** machine_recount() - all that is referenced is: what was given up and is not, is free; what follows is computed */
void machine_recount(struct machine *m);

/** machine_next() - the first frame from @frame on that a domain owns and has not given up; 0: there is none. Any thread */
uint32_t machine_next(struct machine *m, uint16_t domid, uint64_t frame);

/** machine_off() - as sim_power_off() has it */
void machine_off(struct machine *m);

/** machine_alloc() - as sim_frames_alloc(), without the checks of the domain */
int machine_alloc(struct machine *m, uint16_t domid, size_t n, uint32_t *frames);

/** machine_free() - the owner gives up a frame. Return: 0; -EINVAL if it is not its owner. */
int machine_free(struct machine *m, uint16_t domid, uint32_t frame);

/** machine_free_all() - a domain gives up all its frames */
void machine_free_all(struct machine *m, uint16_t domid);

/** machine_owns() - whether a frame is a domain's, and not given up */
bool machine_owns(struct machine *m, uint16_t domid, uint32_t frame);

/** machine_get() - take a reference. Return: false unless machine_owns(). */
bool machine_get(struct machine *m, uint16_t domid, uint32_t frame);
void machine_put(struct machine *m, uint32_t frame);

/**
 * machine_read(), machine_write() - some bytes of one frame below m->pages
 *
 * Through the descriptor, not the mapping: a client's window can be used to cut the file short, and the
 * daemon must not get SIGBUS for it. Return: whether all of it was there.
 */
bool machine_read(struct machine *m, uint64_t frame, uint32_t offset, void *buf, size_t len);
bool machine_write(struct machine *m, uint64_t frame, uint32_t offset, const void *buf, size_t len);

/** machine_at() - the memory of a frame below m->pages */
static inline void *machine_at(struct machine *m, uint64_t frame)
{
	return m->memory + (frame << 12);
}

/** machine_window() - as window_open() in hypercall.h */
int machine_window(struct machine *m, int dirfd, const char *name, bool readonly);

uint64_t machine_in_use(struct machine *m);

#endif /* SIM_MACHINE_H */
