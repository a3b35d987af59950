/* SPDX-License-Identifier: MIT */
/*
 * daemon_unit.h - the daemon as a service of systemd
 */
#ifndef DAEMON_UNIT_H
#define DAEMON_UNIT_H

#include <stdbool.h>

#include <stddef.h>

struct lent;

/**
 * unit_begin() - take what systemd has handed in: first thing, before any descriptor is opened
 *
 * It has kept one end of a connection, whose other end is the last daemon's keeper's: the lease.
 */
void unit_begin(void);

/**
 * unit_has_predecessor() - whether a daemon of this service has left something to a keeper, wherever that is
 *
 * Waits a moment for one that is just ending. Return: false without systemd.
 */
bool unit_has_predecessor(void);

/**
 * unit_lease() - let the keeper see for how long the service exists
 *
 * One end of a connection is systemd's: it keeps it from one daemon to the next, and lets go of it when it will start no other. Its
 * keeper has the other end. Nothing is done where there is no systemd, and where it does not keep it: the log says what is missing in
 * the unit. Return: 0 or -errno.
 */
int unit_lease(struct lent *lent);

/** unit_lease_kept() - what systemd does with the lease, for people: "kept", "refused"; "none": there is no systemd */
const char *unit_lease_kept(void);

enum unit_wait {
	UNIT_MENDED, /* it may be started again */
	UNIT_STOPPED, /* it is told to end: others will say what becomes of the predecessor's clients */
	UNIT_OVER, /* nobody waits for a successor, or no longer */
};

/**
 * unit_wait() - what this daemon was started with is not right, while a predecessor's clients wait: wait for who mends it
 * @signals: a signalfd: any signal is for the daemon to end
 * @why:     what is wrong, for people
 * @mended:  looked at each second; NULL: only another command line helps, so only another process
 *
 * The service is being started as long as this waits, so systemd keeps the lease, and the keeper waits for a successor until its time
 * is up. What is wrong, and what to do, is in the log and in what "systemctl status" shows. Return: at once, UNIT_OVER, if there
 * is no predecessor, and without systemd.
 */
enum unit_wait unit_wait(int signals, const char *why, bool (*mended)(const void *arg),
			 const void *arg);

/**
 * unit_goes_on() - whether another daemon will be started after this one, which is told to end
 *
 * That is so unless systemd is about to stop the service. Waits for it, not for long. Return: false without systemd, and if it does not answer.
 */
bool unit_goes_on(void);

#endif /* DAEMON_UNIT_H */
