/* SPDX-License-Identifier: MIT */
/*
 * device/gntdev.h - the device xen/gntdev: what its parts share
 *
 *   device/ioctl.c    the ioctls, in the driver's order of checks; their table
 *   device/open.c     open(2) and the last close
 *   device/copy.c     GRANT_COPY; device/segments.c: its segments, in batches
 *   device/grant.c    mmap
 *   device/mapping.c  the life of a mapping, notifications, the end of a map
 *   device/lasting.c  what outlives the daemon of it all; device/adopt.c makes it anew
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
#include "device/told.h"
#include "device/token.h"
#include "client/who.h"
#include "window/socket.h"

struct defer;
struct ioctl_call;
struct ioctl_table;
struct mapping;
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
 * @told_at:     where clients say that their windows are
 * @policy:      what clients may; under RCU, see device/enforce.h
 * @quota:       what they hold
 * @limit_met:   how often each limit of the policy has refused something
 * @news:        of the policy, under @news_lock
 * @ending:      the daemon goes down: long calls are cut short
 * @window_miss: where clients were told about the preload object, by hash of the thread id
 * @told_rule:   where clients were told of a rule or limit, by hash of both
 * @records:     of opens and maps, for a successor: device/lasting.h
 * @marks:       what requests that were in hand have done before; NULL: nothing was adopted
 * @unsure:      adopted mappings of which it is not known whether their clients have got them, under @unsure_lock
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
	struct told told_at;
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
	struct mapping *unsure;
	pthread_mutex_t unsure_lock;
};

/**
 * struct gntdev_open - what the device keeps for an open besides the table's part
 * @rcu:     first: readers may still look at it when it is closed
 * @token: for the window socket
 * @who:   who has opened it, and when: trace_now()
 * @user:  whom it counts against; @held: what counts against it
 * @record:       what outlives the daemon of it
 * @asked:        a preload object has asked for its token
 * @uses_windows: and has spoken for this open: asked for a window
 */
struct gntdev_open {
	struct rcu_head rcu;
	struct token token;
	struct who who;
	uint64_t opened;
	struct quota_user *user;
	struct quota_held held;
	uint32_t record;
	bool asked;
	bool uses_windows;
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
 * struct gntdev_adoption - what gntdev_adopt() asks of the session
 * @in_hand: whether the predecessor had received this request and not answered it: it is executed again, after this
 * @given_up: whether this request is not executed again, and fails; with @unique 0: the one that was to release the open @fh
 * @opened:  this open is there, and counts against @user. Return: 0 or -errno
 * @why:     out, on failure: which thing is wrong
 */
struct gntdev_adoption {
	bool (*in_hand)(void *arg, uint64_t unique);
	bool (*given_up)(void *arg, uint64_t unique, uint64_t fh);
	int (*opened)(void *arg, uid_t user, uint64_t fh);
	void *arg;
	const char *why;
};

/**
 * gntdev_adopt() - go on where a predecessor has ended
 * @gd: all set, with its records and an empty table; its windows adopted and not started, its hypervisor new
 *
 * Afterwards opens and maps are as they were; what was half done is finished, or as if it had not begun; what is charged and
 * counted is charged and counted; the hypervisor has unmapped what nobody had noted. On a thread that is registered with RCU, not
 * under RCU, before anybody else uses @gd.
 *
 * Return: 0; -EINVAL: a record cannot be; -errno. Then the daemon has to end; what the clients have is as it was.
 */
int gntdev_adopt(struct gntdev *gd, struct gntdev_adoption *a);

/** gntdev_user() - whom an open of this client counts against */
uid_t gntdev_user(const struct who *w);

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
 * gntdev_mmap_sent() - the answer to the mmap of a WINDOW_MMAP that is executed again waits in the client's socket
 * @unique: the request's
 *
 * So its mapping holds, if there is one. Any thread registered with RCU.
 */
void gntdev_mmap_sent(struct gntdev *gd, uint64_t unique);

/* --- device/mapping.c --- */

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
 * grant_notify_restore() - hold a map's notification to what can be, and take a reference on its port
 * @tid: as for port_get()
 *
 * At adoption, not under RCU. If the port has gone, the event is not sent. Return: false if there can be no such notification.
 */
bool grant_notify_restore(struct gntdev *gd, struct map *m, pid_t tid);

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
