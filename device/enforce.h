/* SPDX-License-Identifier: MIT */
/*
 * device/enforce.h - the policy, asked and obeyed: what an open of the device may do now
 *
 * Who opened it decides (client/who.h), whoever uses it; and the policy at the time of each call. What is mapped
 * already stays, whatever a new policy says.
 */
#ifndef DEVICE_ENFORCE_H
#define DEVICE_ENFORCE_H

#include <stdbool.h>
#include <stdint.h>

#include "report/failure.h"
#include "policy/policy.h"
#include "table.h"

struct caller;
struct gntdev;
struct gntdev_open;

/**
 * struct refusal - what stands in the way
 * @why:   WHY_RULE, WHY_PV_DESCRIPTOR (EPERM) or WHY_LIMIT (ENOSPC)
 * @rule:  the rule's name, or the limit's
 * @pid:   the client: of the open, 0 if it is not visible
 * @domid, @ref: the first grant that is refused; -1 for a limit
 * @text:  in words
 */
struct refusal {
	enum failure_reason why;
	pid_t pid;
	int32_t domid;
	int64_t ref;
	char rule[POLICY_NAME_SIZE];
	char text[192];
};

/**
 * enforce_map() - may this be listed? If so it is counted, until enforce_release()
 * @m: refs filled in, not listed yet
 *
 * Under RCU. Return: 0; -EPERM, -ENOSPC with *@r; -EBADF if the open is being closed.
 */
int enforce_map(struct gntdev *gd, struct gntdev_open *go, struct map *m, struct refusal *r);

/**
 * enforce_open() - may this user open the device once more? If so it is counted, until quota_close()
 * @go: its who is known; go->user is set
 *
 * Not under RCU. Return: 0; -ENOSPC with *@r; -ENOMEM.
 */
int enforce_open(struct gntdev *gd, struct gntdev_open *go, struct refusal *r);

/** enforce_owner() - who has made its user namespace, as policy/quota.h counts */
uid_t enforce_owner(const struct who *w);

/**
 * enforce_restore_open(), enforce_restore_map() - what a predecessor had counted is counted, whatever the limits
 * @go:	 its who is known; go->user is set. Of a map: of the open that made it, or NULL: it is closed
 * @uid, @owner: whose the map is
 *
 * Not under RCU. Return: 0; -ENOMEM.
 */
int enforce_restore_open(struct gntdev *gd, struct gntdev_open *go);
int enforce_restore_map(struct gntdev *gd, struct gntdev_open *go, struct map *m, uid_t uid,
			uid_t owner);

/**
 * enforce_frames() - a mmap was refused by the limit of frames (see hypercall.h, limit_away())
 * @n: pages that it wanted
 *
 * Counts that. Return: -ENOSPC with *@r.
 */
int enforce_frames(struct gntdev *gd, const struct gntdev_open *go, uint32_t n, struct refusal *r);

/** enforce_bound() - tell the hypervisor layer what the policy says about it; also at each new policy */
void enforce_bound(struct gntdev *gd);

/** enforce_met() - how often a limit has refused something since the start. Any thread */
uint64_t enforce_met(const struct gntdev *gd, enum policy_limit limit);

/** enforce_release() - a map that was counted is no more. Not that, but before map_free(). Any thread */
void enforce_release(struct gntdev *gd, struct map *m);

/**
 * enforce_mmap() - may this be shown?
 * @write: to be written to as well
 * @asks:  user id of the process that wants to see it. Of use in a PV dom0 only, where a window opens all
 *         of the granter's memory: that is not passed on with a descriptor of the device
 *
 * Under RCU. Return: 0; -EPERM with *@r.
 */
int enforce_mmap(struct gntdev *gd, struct gntdev_open *go, const struct map *m, bool write,
		 uid_t asks, struct refusal *r);

/** enforce_any() - whether the policy has rules. Under RCU */
bool enforce_any(struct gntdev *gd);

/* A grant that GRANT_COPY uses. */
struct enforce_copy {
	uint32_t ref;
	uint16_t domid;
	bool write; /* it is copied to */
};

/**
 * enforce_copies() - may these be copied from and to?
 *
 * Under RCU. Return: how many of them, from the first, may be: @n, or less with *@r.
 */
size_t enforce_copies(struct gntdev *gd, struct gntdev_open *go, const struct enforce_copy *c,
		      size_t n, struct refusal *r);

/**
 * enforce_told() - whether this client was told of this rule or limit, and remember that it is now
 *
 * Never, of a client that is not visible.
 */
bool enforce_told(struct gntdev *gd, const struct refusal *r);

/** enforce_failed() - have caller_failed() tell it, unless the client has been told */
void enforce_failed(struct gntdev *gd, struct caller *c, const struct refusal *r);

/** enforce_policy() - the one in force. Under RCU */
const struct policy *enforce_policy(struct gntdev *gd);

/**
 * enforce_new_policy() - this one is in force from now on
 *
 * Not under RCU: waits until nobody uses the old one, which is freed. The new one is @gd's.
 */
void enforce_new_policy(struct gntdev *gd, struct policy *p);

/** enforce_refused_policy() - one was to be in force, and is not fit for it. Any thread */
void enforce_refused_policy(struct gntdev *gd, const char *why);

/** enforce_news() - what became of the last attempts. Any thread; waits for the main thread, shortly */
void enforce_news(struct gntdev *gd, struct policy_news *news);

#endif /* DEVICE_ENFORCE_H */
