/* SPDX-License-Identifier: MIT */
/*
 * client/who.h - who has opened the device, as an operator knows processes
 *
 * Taken once, while open(2) waits for its answer, and kept with the open: an open descriptor is the
 * authority, as for any device, whoever uses it later. So it is cheap to ask a rule about an open, and
 * a client that changes its name or its ids afterwards changes nothing.
 */
#ifndef CLIENT_WHO_H
#define CLIENT_WHO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "client/owner.h"
#include "client/request.h"

#define WHO_GROUPS_MAX 64
#define WHO_COMM_SIZE  16
/* A longer control group's path is kept by its end, behind "...": the unit is there. */
#define WHO_CGROUP_SIZE 256
/* No unit has a longer name. */
#define WHO_UNIT_SIZE 256

/**
 * struct who - a process at the time of its open
 * @pid:     the process; 0 if it is not visible to us
 * @uid, @gid: its file system ids
 * @ns:      whose user namespace it is in; @owner: who made it, with OWNER_OTHER
 * @visible: what follows is known. Not so for a process of another pid namespace
 * @n_groups: supplementary groups in @groups; @all_groups: there are no more of them
 * @comm:    its name, as ps shows it
 * @cgroup:  path in the unified hierarchy (systemd's own one where there is none), "/..."; "" unknown
 * @unit:    the outermost systemd unit in that path (a service or scope, behind nothing but slices), ""
 *           if none: what is below it, or below a container's payload, is named by others than root
 *
 * Strings are what the process or its manager made them: any bytes but NUL.
 */
struct who {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	enum owner_ns ns;
	uid_t owner;
	bool visible;
	bool all_groups;
	unsigned int n_groups;
	gid_t groups[WHO_GROUPS_MAX];
	char comm[WHO_COMM_SIZE];
	char cgroup[WHO_CGROUP_SIZE];
	char unit[WHO_UNIT_SIZE];
};

/**
 * who_read() - find out who opens a device
 *
 * Any thread; reads /proc of the caller. What cannot be read is left unknown.
 */
void who_read(struct who *w, const struct opener *by);

/**
 * who_now() - a process as if it opened a device now
 *
 * As who_read(), with the ids that the process has. Return: 0; -ENOENT if there is none that is visible.
 */
int who_now(struct who *w, pid_t pid);

/**
 * who_in_group() - whether a group is one of its groups
 *
 * Who has made a user namespace can leave groups behind on the way into it: what is not there is not known then.
 *
 * Return: 1, 0; -1 if that is not known.
 */
int who_in_group(const struct who *w, gid_t gid);

/**
 * who_comm() - the name of a process as it is now
 * @comm: WHO_COMM_SIZE bytes; "" if it is not visible
 */
void who_comm(pid_t pid, char *comm);

/**
 * who_killed() - whether a thread is about to end, by SIGKILL or whatever else ends its process
 * @tid: one that waits for an answer of ours
 *
 * Waits for nothing. Return: false also if that is not known.
 */
bool who_killed(pid_t tid);

#endif /* CLIENT_WHO_H */
