/* SPDX-License-Identifier: MIT */
/*
 * device/gntdev.h - the device xen/gntdev: what its parts share
 *
 *   device/ioctl.c    the ioctls, in the driver's order of checks; their table
 *   device/copy.c     GRANT_COPY; device/segments.c: its segments, in batches
 *   device/grant.c    the life of a mapping: mmap, release, notifications
 *   device/enforce.c  what the policy says to all that
 *
 * The room device/ promises to clients what the driver does (docs/gntdev-abi.md): its answers, in its order of
 * checks, one to each request, on a thread that waits for no other client. It knows no particular hypervisor.
 * It may include all that is below: abi/, base/, client/, policy/, report/, window/, hypercall.h, table.h. Of
 * all files device/session.c alone includes libfuse.
 */
#ifndef DEVICE_GNTDEV_H
#define DEVICE_GNTDEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/ioctl.h"
#include "base/rcu.h"
#include "hypercall.h"
#include "policy/quota.h"
#include "client/request.h"
#include "table.h"
#include "device/token.h"
#include "client/who.h"
#include "window/socket.h"

struct defer;
struct ioctl_call;
struct ioctl_table;
struct marks;
struct records;
struct windows;

/* The driver's module parameter `limit`: pages in one MAP_GRANT_REF. */
#define GNTDEV_LIMIT_DEFAULT 65536U
/* As far as an unmap notification's byte can be kept (see device/grant.c). */
#define GNTDEV_LIMIT_MAX (1U << 17)

/**
 * struct gntdev - the device
 * @dev:         what a session serves; first, so that a struct device leads back here
 * @limit:       pages in one MAP_GRANT_REF, at most GNTDEV_LIMIT_MAX
 * @winsock:     the window socket
 * @told:        a clock for map.told
 * @policy:      what clients may; under RCU, see device/enforce.h
 * @quota:       what they hold
 * @limit_met:   how often each limit of the policy has refused something
 * @news:        of the policy, under @news_lock
 * @ending:      the daemon goes down: long calls are cut short
 * @window_miss: where clients were told about the preload object, by hash of the thread id
 * @told_rule:   where clients were told of a rule or limit, by hash of both
 * @records:     of opens and maps, for a successor: device/lasting.h
 * @marks:       what requests that were in hand have done before; NULL: nothing was adopted
 */
struct gntdev {
	struct device dev;
	struct table *table;
	struct hypervisor *hv;
	struct windows *windows;
	struct defer *defer;
	struct winsock *winsock;
	uint32_t limit;
	uint64_t told;
	bool ending;
	struct policy *policy;
	struct quota *quota;
	uint64_t limit_met[POLICY_N_LIMITS];
	pthread_mutex_t news_lock;
	struct policy_news news;
	int32_t window_miss[256];
	uint64_t told_rule[256];
	struct records *records;
	struct marks *marks;
};

/**
 * struct gntdev_open - what the device keeps for an open besides the table's part
 * @rcu:     first: readers may still look at it when it is closed
 * @token: for the window socket
 * @who:   who has opened it, and when: trace_now()
 * @user:  whom it counts against; @held: what counts against it
 * @asked:        a preload object has asked for its token
 * @uses_windows: and has spoken for this open: asked for a window
 * @last_count:   pages of the last map that was mmapped
 */
struct gntdev_open {
	struct rcu_head rcu;
	struct token token;
	struct who who;
	uint64_t opened;
	struct quota_user *user;
	struct quota_held held;
	bool asked;
	bool uses_windows;
	uint32_t last_count;
};

/**
 * gntdev_init() - set the device functions; all other fields are the caller's to set
 */
void gntdev_init(struct gntdev *gd);

/**
 * gntdev_close_all() - close every open, as if each client had closed its descriptor
 *
 * At shutdown: no session serves the device any more.
 */
void gntdev_close_all(struct gntdev *gd);

/**
 * gntdev_adopt() - go on where a predecessor has ended
 * @gd:	     all set, with its records and an empty table; its windows adopted and not started, its hypervisor new
 * @in_hand: `unique` of the requests that the predecessor had received and not answered: they are to be executed again, with
 *	     `again`, after this
 * @n:	     how many
 * @why:     out, on failure: which thing is wrong
 *
 * Afterwards opens and maps are as they were; what was half done is finished, or as if it had not begun; what is charged and
 * counted is charged and counted; the hypervisor has unmapped what nobody had noted. On a thread that is registered with RCU, not
 * under RCU, before any other uses @gd.
 *
 * Return: 0; -EINVAL: a record cannot be; -errno. Then @gd is of no use, and what the clients have is as it was.
 */
int gntdev_adopt(struct gntdev *gd, const uint64_t *in_hand, size_t n, const char **why);

/* Its ioctls. */
extern const struct ioctl_table gntdev_ioctls;

/* --- device/grant.c --- */

/**
 * gntdev_mmap() - answer an mmap: for winsock_new()
 * @arg: the struct gntdev
 *
 * The driver's checks in the driver's order (docs/gntdev-abi.md, section 4). Of those of the kernel's core,
 * which it made before it said ENODEV, the access mode is checked again: who has a token need not
 * have asked the kernel.
 */
void gntdev_mmap(struct mmap_call *mc, void *arg);

/**
 * gntdev_mmap_again() - a WINDOW_MMAP is about to be executed again: what has become of the first time?
 * @unique: the request's
 * @sent:   the answer to the client's mmap waits in its socket
 *
 * With @sent its mapping holds, and the caller has nothing more to do. Else it is undone, as if there had been none, and the
 * request is to be executed.
 */
void gntdev_mmap_again(struct gntdev *gd, uint64_t unique, bool sent);

/**
 * grant_notify_set() - set or replace a map's unmap notification
 * @m:      the map, under RCU
 * @byte:   in the map, from its first
 * @action: UNMAP_NOTIFY_* or 0
 * @port:   if @action has UNMAP_NOTIFY_SEND_EVENT; a reference has been taken on it, which is
 *          given back here on failure
 *
 * Return: 0; -EINVAL for a byte in a read-only mapping; -ENOENT if the map has just ended.
 */
int grant_notify_set(struct gntdev *gd, struct map *m, uint32_t byte, uint32_t action,
		     uint32_t port);

/**
 * grant_finish() - the last thing in the life of a map that was reported MAP_DEAD
 *
 * Sends its event, drops the port, frees the map after a grace period.
 */
void grant_finish(struct gntdev *gd, struct map *m);

/* --- device/copy.c --- */

/**
 * ioctl_copy() - GRANT_COPY, for the table of device/ioctl.c
 *
 * If a grant's page is paged out (GNTST_eagain) the call is kept, and answered later.
 */
int ioctl_copy(struct device *dev, struct ioctl_call *call, void *arg);

/*
 * The driver tries a grant whose page is paged out again after 1, 2, ... 255 ms, then takes it for a
 * bad page (docs/gntdev-abi.md, section 11).
 */
#define GNTDEV_EAGAIN_TRIES 256

#endif /* DEVICE_GNTDEV_H */
