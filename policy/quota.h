/* SPDX-License-Identifier: MIT */
/*
 * policy/quota.h - what is held: per open, per user, in all
 *
 * Every map counts from its MAP_GRANT_REF until its grants are unmapped and its index is free,
 * whatever ends it. It counts against three: the open that made it, the user who has opened that, and all
 * users together. What they may hold is a policy's to say (policy/policy.h); it is asked at each charge, so that
 * another policy holds at once.
 *
 * A user is there as long as it has an open or a map: there is no table of users that could be filled up.
 *
 * Threads: any that is registered with RCU, at any time, without a lock.
 */
#ifndef POLICY_QUOTA_H
#define POLICY_QUOTA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/policy.h"

struct quota;
struct quota_user;

#define QUOTA_MEMBER(name, ...) uint64_t name;

/* What one of the three holds, of each of POLICY_THINGS. Changed by the functions below only. */
struct quota_held {
	POLICY_THINGS(QUOTA_MEMBER)
};

/** quota_held_of() - a count by its number, as it is now */
uint64_t quota_held_of(const struct quota_held *held, enum policy_thing thing);

/** quota_new() - nobody holds anything. Return: NULL if there is no memory */
struct quota *quota_new(void);

/** quota_destroy() - when all users have gone; not under RCU. @q: or NULL */
void quota_destroy(struct quota *q);

/* Nobody's user id. As an owner: there is none, the user is in no user namespace but the daemon's. */
#define QUOTA_NO_OWNER ((uid_t)-1)
/* As an owner: all together whose user namespace could not be found out. */
#define QUOTA_UNKNOWN ((uid_t)-2)

/**
 * quota_open() - a user opens the device
 * @owner: who has made the user namespace that it is in, or one of the two above. What the user holds is held
 *         by the owner, too, and limits of users hold for both. (A user of several namespaces counts as several.)
 * @l:     how much of that it may; NULL: without limits
 * @limit: out, if it may not: the limit's name; NULL: there is no memory. May be NULL if @l is
 *
 * Not under RCU. Return: the user, until quota_close(); NULL if it may not.
 */
struct quota_user *quota_open(struct quota *q, uid_t uid, uid_t owner,
			      const struct policy_limits *l, const char **limit);

/** quota_close() - and closes it; its maps may live on. Not under RCU */
void quota_close(struct quota *q, struct quota_user *u);

/**
 * quota_charge() - take what a map needs
 * @u:     from quota_open(), which may have been closed meanwhile
 * @open:  of the same open; NULL: that is closed
 * @pages: the map's
 * @l:     what may be held; a limit that was lowered below what is held refuses everything new. NULL: without limits
 *
 * Under RCU, since before @u was read from an open that is not closed. Return: NULL, or the name of the
 * limit that is in the way, or QUOTA_CLOSED; nothing has been taken then.
 */
const char *quota_charge(struct quota *q, struct quota_user *u, struct quota_held *open,
			 uint64_t pages, const struct policy_limits *l);

/* The user is gone: all its opens are closed. */
extern const char QUOTA_CLOSED[];

/**
 * quota_release() - give it back
 * @u:    whom it was charged to
 * @open: as it was charged, or NULL if that open is no more
 */
void quota_release(struct quota *q, struct quota_user *u, struct quota_held *open, uint64_t pages);

/**
 * quota_for_each_user() - all users who have something open or mapped
 *
 * Not under RCU; @fn is called under RCU. Users who come or go meanwhile may be missed, and the
 * numbers are not of one moment.
 */
void quota_for_each_user(struct quota *q,
			 void (*fn)(uid_t uid, uid_t owner, const struct quota_held *held,
				    void *arg),
			 void *arg);

/** quota_totals() - what all users hold together */
void quota_totals(const struct quota *q, struct quota_held *held);

#endif /* POLICY_QUOTA_H */
