/* SPDX-License-Identifier: MIT */
/*
 * daemon_unit.h - the daemon as a service of systemd
 */
#ifndef DAEMON_UNIT_H
#define DAEMON_UNIT_H

#include <stdbool.h>

struct lent;

/** unit_begin() - take what systemd has handed in: first thing, before any descriptor is opened */
void unit_begin(void);

/**
 * unit_lease() - let the keeper see for how long the service exists
 *
 * One end of a connection is systemd's: it keeps it from one daemon to the next, and lets go of it when it will start no other. Its
 * keeper has the other end. Nothing is done where there is no systemd. Return: 0 or -errno.
 */
int unit_lease(struct lent *lent);

/**
 * unit_goes_on() - whether another daemon will be started after this one, which is told to end
 *
 * That is so unless systemd is about to stop the service. Waits for it, not for long. Return: false without systemd, and if it does not answer.
 */
bool unit_goes_on(void);

#endif /* DAEMON_UNIT_H */
