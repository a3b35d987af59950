/* SPDX-License-Identifier: MIT */
/*
 * daemon_start.c - the parts of the daemon, put together
 *
 * Up: window directory, hypervisor, devices, sockets, then the sessions that make the nodes: when a
 * client can see a device, everything behind it works.
 */
#include "daemon_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/defer.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/rundir.h"
#include "base/why.h"
#include "control/control.h"
#include "daemon_unit.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "device/node.h"
#include "device/session.h"
#include "evtchn/evtchn.h"
#include "hypercall.h"
#include "machine/gntalloc.h"
#include "platform.h"
#include "state/lent.h"
#include "state/state.h"
#include "policy/loader.h"
#include "table.h"
#include "window/socket.h"
#include "window/window.h"

/* How long the keeper waits for a successor: longer than a machine under load takes to start one. */
#define SUCCESSOR_S 60

void daemon_config_init(struct daemon_config *c)
{
	memset(c, 0, sizeof(*c));
	c->name = "xen/gntdev";
	c->run_dir = "/run/cuse-gntdev";
	c->policy = "/etc/cuse-gntdev.conf";
	c->workers = 2;
	c->successor = SUCCESSOR_S;
	c->limit = GNTDEV_LIMIT_DEFAULT;
	c->gntalloc_limit = GNTALLOC_LIMIT_DEFAULT;
	c->platform.sim_pages = 1024 * 256UL; /* 1 GiB */
}

/* RUN_DIR/xen-gntdev@suffix for the device xen/gntdev. */
bool daemon_path(const struct daemon *d, const char *name, const char *suffix, char *path,
		 const struct why *why)
{
	size_t dir = strlen(d->config->run_dir);
	int n = snprintf(path, PATH_BYTES, "%s/%s%s", d->config->run_dir, name, suffix);

	if (n < 0 || n >= PATH_BYTES)
		return because(why,
			       "%s/%s%s is too long for a socket's path (%d bytes): use a "
			       "shorter --run-dir or --name",
			       d->config->run_dir, name, suffix, PATH_BYTES - 1);
	for (char *c = path + dir + 1; *c; c++)
		if (*c == '/')
			*c = '-';
	return true;
}

static bool make_run_dir(struct daemon *d, const struct why *why)
{
	if (!rundir_make(d->config->run_dir, &d->made_run_dir, why))
		return false;
	if (rundir_closed(d->config->run_dir))
		log_warn("users other than its owner cannot enter %s, and so cannot map: chmod "
			 "go+x %s, if they are to",
			 d->config->run_dir, d->config->run_dir);
	return true;
}

static bool start_windows(struct daemon *d, const struct why *why)
{
	struct windows_keep keep;
	char path[PATH_BYTES];
	const char *text;
	int err;

	if (!daemon_path(d, d->config->name, ".windows", path, why))
		return false;
	if (!platform_mount(&d->platform, path, lent_adopting(d->lent), why))
		return false;
	daemon_keep_take_windows(d, &keep);
	err = windows_new(path, &keep, &d->windows, &text);
	if (err)
		return because(why, "window directory %s: %s (%s)", path, text, strerror(-err));
	return daemon_keep_windows(d, why);
}

/* Return: the policy, or NULL: @why not. */
static struct policy *load_policy(const struct daemon_config *c, const struct why *why)
{
	struct policy_why mistakes;
	char text[POLICY_WHY_ALL_SIZE];
	struct policy *p;

	if (!policy_load(c->policy, c->policy_given, &p, &mistakes)) {
		policy_for_each_warning(p, daemon_log_warning, NULL);
		return p;
	}
	daemon_tell_mistakes(&mistakes, text);
	because(why, "policy: %s", text);
	return NULL;
}

static bool start_policy(struct daemon *d, const struct why *why)
{
	const struct daemon_config *c = d->config;
	struct policy *p;

	/* Who only ends everything asks nobody who may: what the files have become meanwhile does not matter. */
	p = c->end ? policy_default() : load_policy(c, why);
	if (!p)
		return c->end ? because(why, "out of memory") : false;
	enforce_new_policy(&d->gntdev, p);
	d->loader = policy_loader_new(c->policy, c->policy_given);
	return d->loader || because(why, "policy: %s", strerror(errno));
}

static bool start_hypervisor(struct daemon *d, const struct why *why)
{
	if (!platform_start(&d->platform, &d->config->platform, windows_dirfd(d->windows), d->lent,
			    why))
		return false;
	daemon_warn_of_trust(d, d->gntdev.policy);
	return true;
}

static bool start_gntdev(struct daemon *d, const struct why *why)
{
	d->table = table_new();
	d->gntdev.table = d->table;
	d->defer = defer_new();
	d->gntdev.quota = quota_new();
	if (!d->table || !d->defer || !d->gntdev.quota)
		return because(why, "out of memory");
	table_last(d->table, &state_header(d->state)->opens);
	d->gntdev.dev.name = d->config->name;
	d->gntdev.hv = d->platform.hv;
	enforce_bound(&d->gntdev);
	d->gntdev.windows = d->windows;
	d->gntdev.defer = d->defer;
	d->gntdev.limit = d->config->limit;
	d->gntdev.records = d->records;
	return true;
}

/* A device's node. */
static bool serve_node(struct daemon *d, struct device *dev, unsigned int workers,
		       const struct why *why)
{
	const struct session_config sc = {
		.dev = dev,
		.workers = workers,
		.lent = d->lent,
		.number = d->n_served,
		.state = state_header(d->state),
	};
	struct served *sv = &d->served[d->n_served++];

	sv->dev = dev;
	return session_new(&sc, &sv->session, why->text, why->size) == 0;
}

/* A device's socket, then its node. */
static bool serve_device(struct daemon *d, struct device *dev, unsigned int workers,
			 void (*mmap)(struct mmap_call *mc, void *arg), void *arg,
			 const struct why *why)
{
	struct served *sv = &d->served[d->n_served];
	const char *text;
	int err;

	if (!daemon_path(d, dev->name, ".sock", sv->socket, why))
		return false;
	err = winsock_new(sv->socket, daemon_keep_take_listener(d), d->windows, mmap, arg,
			  &sv->winsock, &text);
	if (err)
		return because(why, "window socket %s: %s (%s)", sv->socket, text, strerror(-err));
	return daemon_keep_listener(d, why) && serve_node(d, dev, workers, why);
}

static bool make_devices(struct daemon *d, const struct why *why)
{
	if (!serve_device(d, &d->gntdev.dev, d->config->workers, gntdev_mmap, &d->gntdev, why))
		return false;
	d->gntdev.winsock = d->served[0].winsock;
	return true;
}

static int node_opened(void *session, uid_t user, uint64_t fh)
{
	return session_opened(session, user, fh);
}

static bool node_given_up(void *session, uint64_t unique, uint64_t fh)
{
	return session_given_up(session, unique, fh);
}

/* What clients of the last daemon have is theirs. */
static bool adopt_granter(struct daemon *d, unsigned int i, const struct why *why)
{
	const struct gntalloc_adoption a = {
		.given_up = node_given_up,
		.opened = node_opened,
		.arg = d->served[d->n_served - 1].session,
	};
	int err = lent_adopting(d->lent) ? gntalloc_adopt(d->gntalloc[i], &a) : 0;

	return !err || because(why,
			       "the pages that the last daemon's clients have granted by "
			       "/dev/%s: %s",
			       d->config->granter[i].name, strerror(-err));
}

static bool make_granter(struct daemon *d, unsigned int i, const struct why *why)
{
	const struct daemon_node *g = &d->config->granter[i];
	struct gntalloc_config gc = {
		.name = g->name,
		.sim = d->platform.sim,
		.windows = d->windows,
		.records = d->records,
		.number = (uint16_t)i,
		.domid = g->domid,
		.limit = d->config->gntalloc_limit,
	};
	int err = gntalloc_new(&gc, &d->gntalloc[i]);

	if (err)
		return because(why, "--granter=%u:%s: %s", g->domid, g->name, strerror(-err));
	if (!serve_device(d, gntalloc_device(d->gntalloc[i]), 1, gntalloc_mmap, d->gntalloc[i],
			  why))
		return false;
	gntalloc_set_winsock(d->gntalloc[i], d->served[d->n_served - 1].winsock);
	return adopt_granter(d, i, why);
}

static bool make_granters(struct daemon *d, const struct why *why)
{
	for (unsigned int i = 0; i < d->config->n_granters; i++)
		if (!make_granter(d, i, why))
			return false;
	return true;
}

static bool adopt_evtchn(struct daemon *d, unsigned int i, const struct why *why)
{
	const struct evtchn_adoption a = {
		.given_up = node_given_up,
		.opened = node_opened,
		.arg = d->served[d->n_served - 1].session,
	};
	int err = lent_adopting(d->lent) ? evtchn_adopt(d->evtchn[i], &a) : 0;

	return !err || because(why,
			       "the event channels that the last daemon's clients have by /dev/%s: "
			       "%s",
			       d->config->evtchn[i].name, strerror(-err));
}

static bool make_evtchn(struct daemon *d, unsigned int i, const struct why *why)
{
	const struct daemon_node *e = &d->config->evtchn[i];
	const struct evtchn_config ec = { .name = e->name,
					  .sim = d->platform.sim,
					  .records = d->records,
					  .number = (uint16_t)i,
					  .domid = e->domid };
	int err = evtchn_new(&ec, &d->evtchn[i]);

	if (err)
		return because(why, "--evtchn=%u:%s: %s", e->domid, e->name, strerror(-err));
	return serve_node(d, evtchn_device(d->evtchn[i]), 1, why) && adopt_evtchn(d, i, why);
}

static bool make_evtchns(struct daemon *d, const struct why *why)
{
	for (unsigned int i = 0; i < d->config->n_evtchns; i++)
		if (!make_evtchn(d, i, why))
			return false;
	return true;
}

/* Whether two devices would have one socket: '/' in a name is '-' in its path. */
static bool same_socket(const char *a, const char *b)
{
	while (*a && (*a == *b || (*a == '/' && *b == '-') || (*a == '-' && *b == '/'))) {
		a++;
		b++;
	}
	return *a == *b;
}

/* Of all devices, in the order in which they are made. */
static const char *name_of(const struct daemon_config *c, unsigned int i)
{
	if (!i--)
		return c->name;
	return i < c->n_granters ? c->granter[i].name : c->evtchn[i - c->n_granters].name;
}

/* Before anything is made: whatever is in the way of a name is said first. */
static bool check_names(const struct daemon_config *c, const struct why *why)
{
	for (unsigned int i = 0; i < 1 + c->n_granters + c->n_evtchns; i++) {
		if (node_check_name(name_of(c, i), why->text, why->size))
			return false;
		for (unsigned int k = 0; k < i; k++)
			if (same_socket(name_of(c, i), name_of(c, k)))
				return because(why, "%s: the names %s and %s are too much alike",
					       i > c->n_granters ? "--evtchn" : "--granter",
					       name_of(c, i), name_of(c, k));
	}
	return true;
}

static bool start_threads(struct daemon *d, const struct why *why)
{
	int err = log_start();

	if (!err)
		err = windows_start(d->windows);
	for (unsigned int i = 0; !err && i < d->n_served; i++) {
		if (d->served[i].winsock)
			err = winsock_start(d->served[i].winsock);
		if (!err)
			err = session_start(d->served[i].session);
	}
	if (!err)
		daemon_keep_served(d);
	return err ? because(why, "cannot start a thread: %s", strerror(-err)) : true;
}

/* Last: what it tells of is all there. */
static bool start_control(struct daemon *d, const struct why *why)
{
	struct control_config cc;

	if (!daemon_path(d, d->config->name, ".ctl", d->control_path, why) ||
	    !daemon_path(d, d->config->name, ".metrics", d->metrics_path, why))
		return false;
	control_config_init(&cc);
	cc.path = d->control_path;
	cc.metrics = d->metrics_path;
	cc.view = (struct control_view){
		.gd = &d->gntdev,
		.sim = d->platform.sim,
		.session = d->served[0].session,
		.run_dir = d->config->run_dir,
		.state = state_header(d->state),
		.lease = unit_lease_kept(),
		.since = clock_realtime_ns(),
		.patience = CONTROL_PATIENCE,
	};
	return control_start(&cc, &d->control, why->text, why->size) == 0;
}

static void say_ready(const struct daemon *d)
{
	log_info("/dev/%s is ready: hypervisor \"%s\", %u workers, windows through %s",
		 d->config->name, d->platform.hv->name, d->config->workers,
		 winsock_path(d->gntdev.winsock));
	for (unsigned int i = 0; i < d->config->n_granters; i++)
		log_info("/dev/%s grants as domain %u", d->config->granter[i].name,
			 d->config->granter[i].domid);
	for (unsigned int i = 0; i < d->config->n_evtchns; i++)
		log_info("/dev/%s has the event channels of domain %u", d->config->evtchn[i].name,
			 d->config->evtchn[i].domid);
}

/* A window connection is a descriptor, and the driver has no EMFILE. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* A device of a domain that has none yet. */
static void add_evtchn(struct daemon_config *c, uint16_t domid)
{
	for (unsigned int i = 0; i < c->n_evtchns; i++)
		if (c->evtchn[i].domid == domid)
			return;
	c->evtchn[c->n_evtchns++].domid = domid;
}

/* Domain 0's is where programs look for it. */
static void name_evtchns(struct daemon_config *c)
{
	static char name[DAEMON_EVTCHNS_MAX][24];

	for (unsigned int i = 0; i < c->n_evtchns; i++) {
		if (c->evtchn[i].name)
			continue;
		if (c->evtchn[i].domid)
			snprintf(name[i], sizeof(name[i]), "xen/dom%u/evtchn", c->evtchn[i].domid);
		else
			snprintf(name[i], sizeof(name[i]), "xen/evtchn");
		c->evtchn[i].name = name[i];
	}
}

/* Beside a device of another name there may be one that has these. */
static void settle_evtchns(struct daemon_config *c)
{
	if (!c->evtchns_given && !strcmp(c->name, "xen/gntdev")) {
		add_evtchn(c, 0);
		for (unsigned int i = 0; i < c->n_granters; i++)
			add_evtchn(c, c->granter[i].domid);
	}
	name_evtchns(c);
}

/* What is to be known before anything is made. */
static bool settle_config(struct daemon *d, const struct daemon_config *c, const struct why *why)
{
	static struct daemon_config defaults;

	d->config = c;
	if (!platform_choose(&d->platform, &c->platform, c->n_granters || c->n_evtchns, why))
		return false;
	if (d->platform.xen)
		return true;
	defaults = *c;
	d->config = &defaults;
	if (!c->granters_given) {
		defaults.granter[0] = (struct daemon_node){ "xen/gntalloc", 1 };
		defaults.n_granters = 1;
	}
	settle_evtchns(&defaults);
	return true;
}

/* Whether an error of the keeper's is there again at the next start. */
static bool stays_so(int err)
{
	return err && err != -ENOMEM && err != -EAGAIN && err != -EMFILE && err != -ENFILE &&
	       err != -ETIMEDOUT && err != -ENOTCONN;
}

/*
 * What is wrong there stays wrong until somebody mends it, as a rule. Names are ours already if somebody has left them. The keeper
 * is started before there is any thread.
 */
static bool start_configured(struct daemon *d, enum daemon_failure *failure, const struct why *why)
{
	int err;

	*failure = DAEMON_WRONG_FILES;
	if (!start_policy(d, why) || !make_run_dir(d, why))
		return false;
	err = daemon_keep_begin(d, why);
	*failure = !err || stays_so(err) ? DAEMON_WRONG_OPTIONS : DAEMON_FAILED;
	if (err || (!lent_adopting(d->lent) && !check_names(d->config, why)))
		return false;
	*failure = DAEMON_FAILED;
	return true;
}

bool daemon_mended(const void *arg)
{
	const struct daemon_config *c = arg;
	char text[DAEMON_WHY_MAX];
	const struct why why = { text, sizeof(text) };
	struct policy_why mistakes;
	struct policy *p;
	bool made;

	if (policy_load(c->policy, c->policy_given, &p, &mistakes))
		return false;
	policy_free(p);
	return rundir_make(c->run_dir, &made, &why);
}

bool daemon_check(const struct daemon_config *c, char *text, size_t size)
{
	const struct why why = { text, size };
	struct daemon d = { 0 };
	struct policy *p;

	/* Not its names: a daemon that runs has them. */
	if (!platform_choose(&d.platform, &c->platform, c->n_granters || c->n_evtchns, &why))
		return false;
	p = load_policy(c, &why);
	policy_free(p);
	return p;
}

struct daemon *daemon_start(const struct daemon_config *c, enum daemon_failure *failure, char *text,
			    size_t size)
{
	const struct why why = { text, size };
	struct daemon *d;

	*failure = DAEMON_FAILED;
	d = calloc(1, sizeof(*d));
	if (!d) {
		because(&why, "out of memory");
		return NULL;
	}
	if (!settle_config(d, c, &why)) {
		*failure = DAEMON_WRONG_OPTIONS;
		free(d);
		return NULL;
	}
	gntdev_init(&d->gntdev);
	rcu_thread_enter();
	raise_descriptor_limit();
	if (start_configured(d, failure, &why) && start_windows(d, &why) &&
	    start_hypervisor(d, &why) && start_gntdev(d, &why) && make_devices(d, &why) &&
	    make_granters(d, &why) && make_evtchns(d, &why) && daemon_keep_adopt(d, &why) &&
	    daemon_keep_serve(d, &why) && start_threads(d, &why) && start_control(d, &why)) {
		if (!c->end)
			say_ready(d);
		return d;
	}
	/* What was left stays as it is, for another one: this process ends, and nothing is taken apart. */
	if (d->lent && lent_adopting(d->lent))
		lent_close(d->lent);
	else
		daemon_stop(d);
	return NULL;
}
