/* SPDX-License-Identifier: MIT */
/*
 * daemon_impl.h - what the files of the daemon share: daemon.c, daemon_start.c, daemon_keep.c
 */
#ifndef DAEMON_IMPL_H
#define DAEMON_IMPL_H

#include "daemon.h"
#include "device/gntdev.h"
#include "platform.h"

struct control;
struct defer;
struct device;
struct evtchn;
struct gntalloc;
struct lent;
struct policy;
struct policy_loader;
struct policy_why;
struct records;
struct session;
struct state;
struct table;
struct why;
struct windows;
struct windows_keep;
struct winsock;

/* Longest path of a socket, its NUL included. */
#define PATH_BYTES 108

/* One device: its node, and its socket, but for one without windows: NULL. */
struct served {
	struct device *dev;
	struct session *session;
	struct winsock *winsock;
	char socket[PATH_BYTES];
};

struct daemon {
	const struct daemon_config *config;
	struct table *table;
	struct windows *windows;
	struct platform platform;
	struct defer *defer;
	struct gntdev gntdev;
	struct gntalloc *gntalloc[DAEMON_GRANTERS_MAX];
	struct evtchn *evtchn[DAEMON_EVTCHNS_MAX];
	unsigned int n_served;
	struct served served[DAEMON_SESSIONS_MAX];
	char control_path[PATH_BYTES];
	char metrics_path[PATH_BYTES];
	struct control *control;
	bool made_run_dir;
	struct policy_loader *loader;
	char keeper_path[PATH_BYTES];
	struct lent *lent;
	struct state *state;
	struct records *records;
};

/** daemon_path() - RUN_DIR/xen-gntdev@suffix for the device xen/gntdev, in @path, of PATH_BYTES. Return: false, and @why: too long */
bool daemon_path(const struct daemon *d, const char *name, const char *suffix, char *path,
		 const struct why *why);

/* --- daemon_keep.c: what outlives the daemon ---------------------------------------------------------- */

/**
 * daemon_keep_begin() - find the keeper, or start it: before there is any thread
 *
 * If somebody has left something, the state is adopted, and d->records; else they are new. Return: 0; -errno, and @why.
 */
int daemon_keep_begin(struct daemon *d, const struct why *why);

/** daemon_keep_take_windows(), _listener() - what was left for windows_new(), and for winsock_new() of the next session; -1: nothing */
void daemon_keep_take_windows(const struct daemon *d, struct windows_keep *keep);
int daemon_keep_take_listener(const struct daemon *d);

/** daemon_keep_windows(), _listener() - have it kept, of the next session, unless it was left. Return: false, and @why */
bool daemon_keep_windows(const struct daemon *d, const struct why *why);
bool daemon_keep_listener(const struct daemon *d, const struct why *why);

/** daemon_keep_adopt() - all parts are there, and no thread: what clients have becomes ours. Return: false, and @why */
bool daemon_keep_adopt(struct daemon *d, const struct why *why);

/**
 * daemon_keep_serve() - all is there, and no client has been served: from here on a successor can adopt it
 *
 * Return: false, and @why.
 */
bool daemon_keep_serve(struct daemon *d, const struct why *why);

/** daemon_keep_served() - clients are served: count it, if they are a predecessor's */
void daemon_keep_served(struct daemon *d);

/** daemon_keep_end() - nothing is to outlive us: the keeper ends, unless Xen has left something to be undone */
void daemon_keep_end(struct daemon *d);

/* --- what several need -------------------------------------------------------------------------------- */

/** daemon_log_warning() - for policy_for_each_warning() */
void daemon_log_warning(const char *text, void *arg);

/** daemon_tell_mistakes() - of several each has its line in the log. @text: out: POLICY_WHY_ALL_SIZE bytes, told elsewhere */
void daemon_tell_mistakes(const struct policy_why *why, char *text);

/** daemon_warn_of_trust() - tell of a policy that trusts anybody with a domain's memory */
void daemon_warn_of_trust(const struct daemon *d, const struct policy *p);

#endif /* DAEMON_IMPL_H */
