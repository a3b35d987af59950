/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - the parts of the daemon, put together and taken apart
 *
 * This header is the face of the daemon: its files include it for its types.
 *
 * The root, which is this, platform.h and cuse_gntdev.c, may include all rooms but preload/ and gntdevctl/.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"

#define DAEMON_GRANTERS_MAX 16
/* One for each granter, and the daemon's domain's */
#define DAEMON_EVTCHNS_MAX (1 + DAEMON_GRANTERS_MAX)
/* gntdev, and these */
#define DAEMON_SESSIONS_MAX (1 + DAEMON_GRANTERS_MAX + DAEMON_EVTCHNS_MAX)
/* Messages about why it does not start. */
#define DAEMON_WHY_MAX 640

/* A device of a simulated domain: xen/gntalloc, xen/evtchn; of the latter @name can be NULL, for the one that it has by default. */
struct daemon_node {
	const char *name;
	uint16_t domid;
};

/**
 * struct daemon_config - what the command line says
 *
 * Strings are the caller's and live as long as the daemon.
 */
struct daemon_config {
	const char *name;
	const char *run_dir;
	const char *policy;	/* its main file */
	char *const *command;	/* path and arguments of this program, NULL at the end */
	unsigned int successor; /* seconds for which the keeper waits for one */
	bool end;		/* what a predecessor has left, and serve nobody */
	bool adopts;		/* only say which versions of its state this program can adopt */
	bool check;		/* only say what is wrong */
	bool policy_given;	/* that file has to be there */
	unsigned int workers;
	uint32_t limit;		 /* pages in one MAP_GRANT_REF */
	uint32_t gntalloc_limit; /* pages granted by one device */
	bool verbose;
	bool granters_given;
	unsigned int n_granters;
	struct daemon_node granter[DAEMON_GRANTERS_MAX];
	bool evtchns_given;
	unsigned int n_evtchns;
	struct daemon_node evtchn[DAEMON_EVTCHNS_MAX];
	struct platform_config platform;
};

/** daemon_config_init() - set the defaults */
void daemon_config_init(struct daemon_config *c);

struct daemon;

/**
 * daemon_check() - look at options and policy as daemon_start() would, and start nothing
 *
 * Return: whether they are right; if not @why has a message of at most @size bytes.
 */
bool daemon_check(const struct daemon_config *c, char *why, size_t size);

enum daemon_failure {
	DAEMON_FAILED, /* starting again may help */
	DAEMON_WRONG_OPTIONS, /* others are needed, or what they ask for, such as a Xen; also for what a predecessor has left */
	DAEMON_WRONG_FILES, /* policy or run directory, until somebody mends them */
};

/**
 * daemon_start() - bring everything up
 * @c:   what is wanted; kept by reference
 * @failure: out: on failure
 * @why: a buffer of @size bytes for a message on failure: what is wrong and what to do
 *
 * By the main thread, with the signals it wants to wait for blocked. When it returns the devices
 * work. Return: the daemon, or NULL with nothing left behind.
 */
struct daemon *daemon_start(const struct daemon_config *c, enum daemon_failure *failure, char *why,
			    size_t size);

/** daemon_mended() - after DAEMON_WRONG_FILES: whether these are right now. The log is told nothing. @c: struct daemon_config */
bool daemon_mended(const void *c);

/**
 * daemon_pollfds() - what to poll(2) now and then
 * @p: room for DAEMON_SESSIONS_MAX
 *
 * Any event on one of them: a device was aborted by the kernel. Return: how many.
 */
nfds_t daemon_pollfds(const struct daemon *d, struct pollfd *p);

/**
 * daemon_relieve() - see that no client holds up the others at the window sockets, see winsock_relieve()
 *
 * Return: whether clients are served, see session_serves().
 */
bool daemon_relieve(struct daemon *d);

/** daemon_tend() - what else is to be done regularly. Return: NULL, or why the daemon must end. */
const char *daemon_tend(struct daemon *d);

enum daemon_reloaded {
	DAEMON_RELOADED, /* the new policy is in force */
	DAEMON_REFUSED,	 /* it is not right: the old one stays, and the log has the message */
	DAEMON_READING,	 /* it is still being read */
};

/**
 * daemon_reload() - begin to read the policy again
 *
 * Looking up users may take long: it is done elsewhere. By the main thread. Return: 0; -errno.
 */
int daemon_reload(struct daemon *d);

/** daemon_reload_fd() - a descriptor: readable when daemon_reload_end() is to be called */
int daemon_reload_fd(const struct daemon *d);

/** daemon_reload_end() - take what was read. By the main thread */
enum daemon_reloaded daemon_reload_end(struct daemon *d);

/** daemon_report() - log what is held right now, in one line of name=value pairs */
void daemon_report(struct daemon *d);

/**
 * daemon_leave() - leave all to a successor, and end the process
 *
 * Workers finish what they have, as far as that does not take long; all else is in hand for the next one.
 */
void daemon_leave(struct daemon *d) __attribute__((noreturn));

/**
 * daemon_stop() - no new work, answer all that is pending, unmap every grant, free everything
 *
 * Return: 0; -EBUSY if the hypervisor still had something of ours, or a client holds up a worker (see
 * session_stop()), so that not all could be taken apart: both logged, to be followed by exit().
 */
int daemon_stop(struct daemon *d);

#endif /* DAEMON_H */
