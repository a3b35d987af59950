/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_daemon.h - gntdevctl doctor: what the daemon's answers tell
 */
#ifndef GNTDEVCTL_DOCTOR_DAEMON_H
#define GNTDEVCTL_DOCTOR_DAEMON_H

#include "gntdevctl/finding.h"

/** doctor_reload() - @stats: the daemon's, as of all of these */
void doctor_reload(const struct doctor *d, const json_t *stats);
void doctor_lease(const struct doctor *d, const json_t *stats);
void doctor_limits(const struct doctor *d, const json_t *stats);

/**
 * doctor_clients() - clients without the preload object
 * @last, @now: when the last of them gave up, as far as it is kept, else 0; and now: ns since 1970
 */
void doctor_clients(const struct doctor *d, const json_t *stats, long long last, long long now);

/** doctor_workers() - @then, @stats: two answers with some time between them */
void doctor_workers(const struct doctor *d, const json_t *then, const json_t *stats);

/**
 * doctor_waiting() - maps whose mmap goes on and on
 * @then, @maps: arrays of objects of "map", with some time between them
 */
void doctor_waiting(const struct doctor *d, const json_t *then, const json_t *maps);

#endif /* GNTDEVCTL_DOCTOR_DAEMON_H */
