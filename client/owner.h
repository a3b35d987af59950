/* SPDX-License-Identifier: MIT */
/*
 * client/owner.h - whose user namespace a process is in
 *
 * Who makes a user namespace has all rights over what is in it. By newuidmap(1) its processes have other user ids
 * than the maker's, 65536 of them as a rule; so a user id alone says little of whose process it is.
 */
#ifndef CLIENT_OWNER_H
#define CLIENT_OWNER_H

#include <sys/types.h>

/* A process's user namespace. */
enum owner_ns {
	OWNER_UNKNOWN, /* it could not be found out */
	OWNER_OURS,    /* the daemon's own */
	OWNER_OTHER,   /* one below it */
};

/**
 * owner_read() - look at a process
 * @tid: the thread, as we see it
 * @uid: out, with OWNER_OTHER: who made the namespace. Of nested ones the outermost counts, the one next to
 *       ours: whoever made that has power over all in it
 *
 * Any thread; opens /proc/TID/ns/user, which takes CAP_SYS_PTRACE for processes of others.
 */
enum owner_ns owner_read(pid_t tid, uid_t *uid);

#endif /* CLIENT_OWNER_H */
