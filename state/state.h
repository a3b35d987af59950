/* SPDX-License-Identifier: MIT */
/*
 * state/state.h - the header of all that outlives the daemon: its version, and what is known of the whole
 *
 * It lies in a memory of its own, which the keeper holds as "state". That is given last when a daemon starts for the first
 * time: as long as it is not held nothing can be adopted. The records, the slots and the rest lie in memories of their
 * own, with names of their own (state/lent.h), but of this version.
 *
 * Words that change are stored whole (atomic); texts and the CUSE_INIT bytes are stored once, before there is a
 * successor that could read them.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct why;

#define STATE_MAGIC 0x65746174736e6367ULL

/*
 * The version of everything that is kept: of this header, the slots, the contents of all records, the simulator's memory and
 * the journal. Whoever changes one of them counts it up. Versions that this program can adopt: STATE_OLDEST to STATE_VERSION.
 *
 * What is adopted stays of its version. 1 has room for fewer sessions in its header, and none of the devices xen/evtchn.
 */
#define STATE_VERSION 2U
#define STATE_OLDEST  1U

#define STATE_SESSIONS	    34
#define STATE_INIT_BYTES    240
#define STATE_OPTIONS_BYTES 2048

/**
 * struct state_init - what the kernel has said first to a session, to be said again to libfuse
 * @len: bytes; 0: it has not been said yet; stored last
 */
struct state_init {
	uint32_t len;
	uint32_t zero[3];
	unsigned char bytes[STATE_INIT_BYTES];
};
static_assert(sizeof(struct state_init) == 256, "the same for every program of this version");

/**
 * struct state_header - private to state/state.c but for reading, and what is said here
 * @life:      of the windows (window/window.h); their owner's
 * @survived:  how many daemons before this one have left, or been killed
 * @outage_ns: from the end of the last one to when this one served
 * @again:     requests that were executed again (added to atomically by whoever does it)
 * @poison:    requests that were given up, as daemons have died of them (the same)
 * @opens:     generations of the ids of opens (table.h, table_last()); their owner's
 * @made_dir:  whether the run directory was made by a daemon
 * @since:     when the first one began, CLOCK_BOOTTIME in ns
 * @program:   version of the program of the last that served
 * @options:   "name=value\n" lines: what a successor must have been told, too
 */
struct state_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes;
	uint32_t cell_bytes;
	uint32_t sessions;
	uint64_t life;
	uint64_t survived;
	uint64_t outage_ns;
	uint64_t again;
	uint64_t poison;
	uint64_t since;
	uint64_t made_dir;
	uint64_t opens;
	uint64_t zero[4];
	char program[32];
	char options[STATE_OPTIONS_BYTES];
	struct state_init init[STATE_SESSIONS];
};
static_assert(offsetof(struct state_header, life) == 24,
	      "the same for every program of this version");
static_assert(offsetof(struct state_header, program) == 120,
	      "the same for every program of this version");
static_assert(offsetof(struct state_header, init) == 2200,
	      "the same for every program of this version");

struct state;

/**
 * state_new() - the header of a device that begins
 * @options:  what a successor must have been told, too
 * @sessions: at most STATE_SESSIONS
 *
 * Return: 0; -E2BIG: the options are too long; -errno.
 */
int state_new(const char *options, unsigned int sessions, struct state **out);

/**
 * state_adopt() - that of a predecessor
 * @fd:      its memory, which is the state's from now on, also on failure
 * @options: ours: they must be the same
 *
 * Changes nothing in it. Return: 0; -EINVAL: damaged, or nothing of ours; -EPROTONOSUPPORT: of a version that this program cannot
 * adopt; -EEXIST: of other options; @why for each.
 */
int state_adopt(int fd, const char *options, unsigned int sessions, struct state **out,
		const struct why *why);

/** state_fd() - what is to be kept as "state" */
int state_fd(const struct state *s);

/** state_header() - to read, and to count in */
struct state_header *state_header(struct state *s);

/** state_served() - this daemon serves from now on; its predecessor ended at @ended_ns, CLOCK_BOOTTIME. Once, at adoption */
void state_served(struct state *s, uint64_t ended_ns);

/** state_close() - @s: or NULL */
void state_close(struct state *s);

#endif /* STATE_STATE_H */
