/* SPDX-License-Identifier: MIT */
/*
 * state/lent.h - what the keeper lends to the daemon
 *
 * All that has to last longer than the daemon is held by another process, the keeper (keeper/keeper.c), under a name. The
 * daemon gives it what it makes, and a daemon that comes after another takes what is there: it adopts.
 *
 * Names, each of one owner:
 *
 *   state           root: the header, state/state.h. Without it nothing can be adopted
 *   records         root: the records of all rooms, state/record.h
 *   cuse.N          session N: the channel to the kernel (N: 0 is gntdev, then the granters in their order)
 *   slots.N         session N: its requests in hand
 *   pipe.N.K.r, .w  session N: a pipe, of its slot K
 *   windows         window/: the directory, with its lock
 *   inotify.closes, inotify.opens, inotify.hand   window/: the watches on it, and the events in hand
 *   listen.N        the window socket of session N
 *   sim, machine    sim/: its state; the file that is the machine's memory
 *   journal, privcmd, ring.N, port.N   xen/
 *   lease           root: while somebody has the other end the service exists
 */
#ifndef STATE_LENT_H
#define STATE_LENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/keep.h"

struct lent;
struct why;

/*
 * What each may have of the KEEP_THINGS, so that none takes what another needs: pipes (all sessions with all their threads); files of
 * ports, of which clients have as many made as they like; all others together.
 */
#define LENT_PIPES  22016
#define LENT_PORTS  4096
#define LENT_OTHERS 256
static_assert(LENT_PIPES + LENT_PORTS + LENT_OTHERS <= KEEP_THINGS, "there is a place for each");

/* The keeper's program, beside the daemon's. */
#define LENT_PROGRAM "cuse_gntdev-keeper"

/**
 * struct lent_config - how to find the keeper
 * @path:    of its socket
 * @verbose: if it is started it logs more
 * @end:     only to end what a predecessor has left: none is started
 */
struct lent_config {
	const char *path;
	bool verbose;
	bool end;
};

/**
 * lent_open() - find the keeper, or start one
 * @out: NULL on failure
 *
 * Forks if there is none: before there are threads. Return: 0; -EBUSY: another daemon has it, or all is just being ended;
 * -ENOENT: there is none, and nothing to end; -errno. @why for each.
 */
int lent_open(const struct lent_config *c, struct lent **out, const struct why *why);

/** lent_adopting() - whether a predecessor has left something: whoever makes something looks first whether it is there */
bool lent_adopting(const struct lent *l);

/** lent_ended_ns() - when the predecessor ended, CLOCK_BOOTTIME; 0 if there was none. @left: out: whether it meant to */
uint64_t lent_ended_ns(const struct lent *l, bool *left);

/**
 * lent_take() - get what is held under a name
 *
 * Once for each name: it is the caller's then, and stays held. Return: a descriptor, close-on-exec; -ENOENT.
 */
int lent_take(struct lent *l, const char *name);

/**
 * lent_next() - walk all names
 * @name: "" at first; out: the next one
 *
 * Return: 0; -ENOENT: that was all; -errno.
 */
int lent_next(struct lent *l, char name[KEEP_NAME]);

/**
 * lent_give() - have something held
 * @fd: stays the caller's, too
 *
 * What was held under the name before is let go. Any thread; waits for the keeper, which is never long. When it returns it
 * will last. @l: or NULL, for tests of what has no keeper: nothing is done. Return: 0; -ENFILE; -errno if there is no
 * keeper any more.
 */
int lent_give(struct lent *l, const char *name, int fd);

/** lent_drop() - it need not be held any more. Any thread. @l: or NULL. Return: 0; -ENOENT; -errno */
int lent_drop(struct lent *l, const char *name);

/** lent_alive() - whether the keeper is there. Any thread */
bool lent_alive(const struct lent *l);

/**
 * lent_serve() - we serve from now on
 * @command: path and arguments, NULL at the end: run again, with --end behind it, if there is no successor
 * @seconds: how long one is waited for
 * @version: shorter than KEEP_NAME: told to whoever asks the keeper what a successor has to adopt
 *
 * Before it, the end of this daemon is no event: what has been left waits for another, for as long as it would have. Return:
 * 0; -E2BIG: the command is too long; -errno.
 */
int lent_serve(struct lent *l, char *const *command, unsigned int seconds, const char *version);

/** lent_leave() - we are about to end, and leave all to a successor */
void lent_leave(struct lent *l);

/**
 * lent_end() - all has been ended: the keeper ends, too
 *
 * Waits for that. Return: 0; -EBUSY: it stays, as what it holds could not be undone.
 */
int lent_end(struct lent *l);

/** lent_close() - free our side; the keeper takes it for our end. @l: or NULL */
void lent_close(struct lent *l);

#endif /* STATE_LENT_H */
