/* SPDX-License-Identifier: MIT */
/*
 * evtchn/evtchn.h - the device xen/evtchn: event channels for the programs of a simulated domain
 *
 * It has the ABI of Linux's xen/evtchn, so that programs on libxenevtchn, and on what is built on that, run on it unchanged.
 * evtchn/evtchn.c tells how a port is bound, evtchn/ring.c how an event comes to who reads.
 *
 * The room evtchn/ promises to clients what that driver does: its answers, in its order of checks. It knows ports; what is
 * between them is sim/'s. It may include device/, sim/ and all below.
 */
#ifndef EVTCHN_EVTCHN_H
#define EVTCHN_EVTCHN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct device;
struct evtchn;
struct records;
struct sim;

/**
 * struct evtchn_config - a device
 * @name:    as in DEVNAME, such as "xen/evtchn"; kept by reference
 * @sim:     the machine
 * @records: where opens and ports have their records, of all such devices; NULL: nothing lasts
 * @number:  which device it is, in the records
 * @domid:   the domain whose programs open it; it is added if it does not exist. One device for each
 */
struct evtchn_config {
	const char *name;
	struct sim *sim;
	struct records *records;
	uint16_t number;
	uint16_t domid;
};

/** evtchn_new() - make a device. Its domain may be dying: then nothing can be bound. Return: 0; -EINVAL of sim_domain_add(); -ENOMEM. */
int evtchn_new(const struct evtchn_config *config, struct evtchn **out);

/**
 * struct evtchn_adoption - what evtchn_adopt() asks of the session
 * @given_up: whether this request is not executed again, and fails; with @unique 0: the one that was to release the open @fh
 * @opened:   told of each open, whom it counts against and its fh. Return: 0 or -errno
 */
struct evtchn_adoption {
	bool (*given_up)(void *arg, uint64_t unique, uint64_t fh);
	int (*opened)(void *arg, uid_t user, uint64_t fh);
	void *arg;
};

/**
 * evtchn_adopt() - take over what a predecessor had
 *
 * After evtchn_new(), with the records and the machine that it left, before the machine's ops->adopted(), and with the device's
 * session: who polls is woken. What a request made, or was to release, that is given up is over. Ports that nobody has any more are
 * closed; events that were on their way arrive. Return: 0; -EINVAL: what was left cannot be; -ENOMEM; what opened() returned.
 */
int evtchn_adopt(struct evtchn *ev, const struct evtchn_adoption *a);

/** evtchn_device() - what a session serves */
struct device *evtchn_device(struct evtchn *ev);

/**
 * evtchn_close_all() - close every open, as if each client had closed its descriptor
 *
 * At shutdown: no session receives for the device any more. Reads that sleep get ECONNABORTED.
 */
void evtchn_close_all(struct evtchn *ev);

/** evtchn_destroy() - free the device, after evtchn_close_all() */
void evtchn_destroy(struct evtchn *ev);

/** evtchn_leave() - instead: free what is ours, and leave opens and ports to a successor. No read sleeps */
void evtchn_leave(struct evtchn *ev);

#endif /* EVTCHN_EVTCHN_H */
