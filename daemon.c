/* SPDX-License-Identifier: MIT */
/*
 * daemon.c - the parts of the daemon, put together and taken apart
 *
 * Up: window directory, hypervisor, devices, sockets, then the sessions that make the nodes: when a
 * client can see a device, everything behind it works. Down, in daemon_stop(): first nothing new
 * comes in, then everything that waits is answered, then every open and every window ends, and last
 * the nodes go.
 */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/defer.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/rundir.h"
#include "base/why.h"
#include "control/control.h"
#include "device/enforce.h"
#include "device/gntdev.h"
#include "device/node.h"
#include "device/session.h"
#include "hypercall.h"
#include "machine/gntalloc.h"
#include "platform.h"
#include "policy/loader.h"
#include "table.h"
#include "window/socket.h"
#include "window/window.h"

/* Longest path of a socket, its NUL included. */
#define PATH_BYTES 108

/* How long workers may take to finish what they have, and those after the first that does not. */
#define STOP_MS	     4000
#define STOP_MORE_MS 100

/* One device: its node, its socket. */
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
	unsigned int n_served;
	struct served served[DAEMON_SESSIONS_MAX];
	char control_path[PATH_BYTES];
	char metrics_path[PATH_BYTES];
	struct control *control;
	bool made_run_dir;
	struct policy_loader *loader;
};

void daemon_config_init(struct daemon_config *c)
{
	memset(c, 0, sizeof(*c));
	c->name = "xen/gntdev";
	c->run_dir = "/run/cuse-gntdev";
	c->policy = "/etc/cuse-gntdev.conf";
	c->workers = 2;
	c->limit = GNTDEV_LIMIT_DEFAULT;
	c->gntalloc_limit = GNTALLOC_LIMIT_DEFAULT;
	c->platform.sim_pages = 1024 * 256UL; /* 1 GiB */
}

/* RUN_DIR/xen-gntdev@suffix for the device xen/gntdev. */
static bool path_for(const struct daemon *d, const char *name, const char *suffix, char *path,
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

/* What an operator or systemd has made is theirs. Busy if another daemon uses it. */
static void remove_run_dir(const struct daemon *d)
{
	if (d->made_run_dir)
		rmdir(d->config->run_dir);
}

static bool start_windows(struct daemon *d, const struct why *why)
{
	char path[PATH_BYTES];
	const char *text;
	int err;

	if (!path_for(d, d->config->name, ".windows", path, why))
		return false;
	if (!platform_mount(&d->platform, path, why))
		return false;
	err = windows_new(path, NULL, &d->windows, &text);
	if (err)
		return because(why, "window directory %s: %s (%s)", path, text, strerror(-err));
	return true;
}

static void log_warning(const char *text, void *arg)
{
	(void)arg;
	log_warn("%s", text);
}

/* Of several mistakes each has its line in the log; @text, of POLICY_WHY_ALL_SIZE, is what is told elsewhere. */
static void tell_mistakes(const struct policy_why *why, char *text)
{
	policy_why_all(why, text, POLICY_WHY_ALL_SIZE);
	for (unsigned int i = 0; why->n > 1 && i < why->n && i < POLICY_MISTAKES_MAX; i++)
		log_err("policy: %s", why->text[i]);
}

/* Return: the policy, or NULL: @why not. */
static struct policy *load_policy(const struct daemon_config *c, const struct why *why)
{
	struct policy_why mistakes;
	char text[POLICY_WHY_ALL_SIZE];
	struct policy *p;

	if (!policy_load(c->policy, c->policy_given, &p, &mistakes)) {
		policy_for_each_warning(p, log_warning, NULL);
		return p;
	}
	tell_mistakes(&mistakes, text);
	because(why, "policy: %s", text);
	return NULL;
}

static bool start_policy(struct daemon *d, const struct why *why)
{
	const struct daemon_config *c = d->config;
	struct policy *p = load_policy(c, why);

	if (!p)
		return false;
	enforce_new_policy(&d->gntdev, p);
	d->loader = policy_loader_new(c->policy, c->policy_given);
	return d->loader || because(why, "policy: %s", strerror(errno));
}

static void warn_of_trust(const struct daemon *d, const struct policy *p)
{
	if (d->platform.hv->pages == HV_PAGES_FRAMES && policy_pv_any(p))
		log_warn("pv_descriptor = any: whoever may open the device can map any page of any "
			 "domain that has granted one");
}

static bool start_hypervisor(struct daemon *d, const struct why *why)
{
	if (!platform_start(&d->platform, &d->config->platform, windows_dirfd(d->windows), why))
		return false;
	warn_of_trust(d, d->gntdev.policy);
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
	d->gntdev.dev.name = d->config->name;
	d->gntdev.hv = d->platform.hv;
	enforce_bound(&d->gntdev);
	d->gntdev.windows = d->windows;
	d->gntdev.defer = d->defer;
	d->gntdev.limit = d->config->limit;
	return true;
}

/* The socket handed in by systemd, -1 if there is none. */
static int activated_socket(const struct why *why, bool *ok)
{
	int n = sd_listen_fds(1);

	*ok = true;
	if (n <= 0)
		return -1;
	if (n == 1 && sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_SEQPACKET, 1) > 0)
		return SD_LISTEN_FDS_START;
	*ok = because(why,
		      "systemd handed in %d descriptors: one listening Unix socket of type "
		      "SOCK_SEQPACKET is wanted (ListenSequentialPacket=)",
		      n);
	return -1;
}

/* A device's socket, then its node. */
static bool serve_device(struct daemon *d, struct device *dev, unsigned int workers, int listen_fd,
			 void (*mmap)(struct mmap_call *mc, void *arg), void *arg,
			 const struct why *why)
{
	const struct session_config sc = {
		.dev = dev,
		.workers = workers,
		.number = d->n_served,
	};
	struct served *sv = &d->served[d->n_served];
	const char *text;
	int err;

	if (!path_for(d, dev->name, ".sock", sv->socket, why))
		return false;
	err = winsock_new(sv->socket, listen_fd, d->windows, mmap, arg, &sv->winsock, &text);
	if (err)
		return because(why, "window socket %s: %s (%s)", sv->socket, text, strerror(-err));
	sv->dev = dev;
	d->n_served++;
	return session_new(&sc, &sv->session, why->text, why->size) == 0;
}

static bool make_devices(struct daemon *d, const struct why *why)
{
	bool ok;
	int fd = activated_socket(why, &ok);

	if (!ok ||
	    !serve_device(d, &d->gntdev.dev, d->config->workers, fd, gntdev_mmap, &d->gntdev, why))
		return false;
	d->gntdev.winsock = d->served[0].winsock;
	return true;
}

static bool make_granter(struct daemon *d, unsigned int i, const struct why *why)
{
	const struct daemon_granter *g = &d->config->granter[i];
	struct gntalloc_config gc = {
		.name = g->name,
		.sim = d->platform.sim,
		.windows = d->windows,
		.domid = g->domid,
		.limit = d->config->gntalloc_limit,
	};
	int err = gntalloc_new(&gc, &d->gntalloc[i]);

	if (err)
		return because(why, "--granter=%u:%s: %s", g->domid, g->name, strerror(-err));
	if (!serve_device(d, gntalloc_device(d->gntalloc[i]), 1, -1, gntalloc_mmap, d->gntalloc[i],
			  why))
		return false;
	gntalloc_set_winsock(d->gntalloc[i], d->served[d->n_served - 1].winsock);
	return true;
}

static bool make_granters(struct daemon *d, const struct why *why)
{
	for (unsigned int i = 0; i < d->config->n_granters; i++)
		if (!make_granter(d, i, why))
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

/* Before anything is made: whatever is in the way of a name is said first. */
static bool check_names(const struct daemon_config *c, const struct why *why)
{
	if (node_check_name(c->name, why->text, why->size))
		return false;
	for (unsigned int i = 0; i < c->n_granters; i++) {
		if (node_check_name(c->granter[i].name, why->text, why->size))
			return false;
		for (unsigned int k = 0; k <= i; k++) {
			const char *other = k < i ? c->granter[k].name : c->name;

			if (same_socket(c->granter[i].name, other))
				return because(why,
					       "--granter: the names %s and %s are too much alike",
					       c->granter[i].name, other);
		}
	}
	return true;
}

static bool start_threads(struct daemon *d, const struct why *why)
{
	int err = log_start();

	if (!err)
		err = windows_start(d->windows);
	for (unsigned int i = 0; !err && i < d->n_served; i++) {
		err = winsock_start(d->served[i].winsock);
		if (!err)
			err = session_start(d->served[i].session);
	}
	return err ? because(why, "cannot start a thread: %s", strerror(-err)) : true;
}

/* Last: what it tells of is all there. */
static bool start_control(struct daemon *d, const struct why *why)
{
	struct control_config cc;

	if (!path_for(d, d->config->name, ".ctl", d->control_path, why) ||
	    !path_for(d, d->config->name, ".metrics", d->metrics_path, why))
		return false;
	control_config_init(&cc);
	cc.path = d->control_path;
	cc.metrics = d->metrics_path;
	cc.view = (struct control_view){
		.gd = &d->gntdev,
		.sim = d->platform.sim,
		.session = d->served[0].session,
		.run_dir = d->config->run_dir,
		.since = clock_realtime_ns(),
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

/* What is to be known before anything is made. */
static bool settle_config(struct daemon *d, const struct daemon_config *c, const struct why *why)
{
	static struct daemon_config defaults;

	d->config = c;
	if (!platform_choose(&d->platform, &c->platform, c->n_granters, why))
		return false;
	if (!d->platform.xen && !c->granters_given) {
		defaults = *c;
		defaults.granter[0] = (struct daemon_granter){ "xen/gntalloc", 1 };
		defaults.n_granters = 1;
		d->config = &defaults;
	}
	return check_names(d->config, why);
}

/* What is wrong there stays wrong until somebody mends it. */
static bool start_configured(struct daemon *d, bool *lasting, const struct why *why)
{
	*lasting = !start_policy(d, why) || !make_run_dir(d, why);
	return !*lasting;
}

bool daemon_check(const struct daemon_config *c, char *text, size_t size)
{
	const struct why why = { text, size };
	struct daemon d = { 0 };
	struct policy *p;

	/* Not its names: a daemon that runs has them. */
	if (!platform_choose(&d.platform, &c->platform, c->n_granters, &why))
		return false;
	p = load_policy(c, &why);
	policy_free(p);
	return p;
}

struct daemon *daemon_start(const struct daemon_config *c, bool *lasting, char *text, size_t size)
{
	const struct why why = { text, size };
	struct daemon *d;

	*lasting = false;
	d = calloc(1, sizeof(*d));
	if (!d) {
		because(&why, "out of memory");
		return NULL;
	}
	if (!settle_config(d, c, &why)) {
		*lasting = true;
		free(d);
		return NULL;
	}
	gntdev_init(&d->gntdev);
	rcu_thread_enter();
	raise_descriptor_limit();
	/* The layer of a real Xen forks, so there is no other thread before it. */
	if (start_configured(d, lasting, &why) && start_windows(d, &why) &&
	    start_hypervisor(d, &why) && start_gntdev(d, &why) && make_devices(d, &why) &&
	    make_granters(d, &why) && start_threads(d, &why) && start_control(d, &why)) {
		say_ready(d);
		return d;
	}
	daemon_stop(d);
	return NULL;
}

nfds_t daemon_pollfds(const struct daemon *d, struct pollfd *p)
{
	for (unsigned int i = 0; i < d->n_served; i++)
		p[i] = (struct pollfd){ .fd = session_fd(d->served[i].session) };
	return d->n_served;
}

bool daemon_relieve(struct daemon *d)
{
	bool good = true;

	for (unsigned int i = 0; i < d->n_served; i++) {
		winsock_relieve(d->served[i].winsock);
		good &= session_serves(d->served[i].session);
	}
	return good;
}

const char *daemon_tend(struct daemon *d)
{
	return d->platform.hv->ops->tend(d->platform.hv);
}

int daemon_reload(struct daemon *d)
{
	return policy_loader_begin(d->loader);
}

int daemon_reload_fd(const struct daemon *d)
{
	return policy_loader_fd(d->loader);
}

enum daemon_reloaded daemon_reload_end(struct daemon *d)
{
	char text[POLICY_WHY_ALL_SIZE];
	struct policy_why why;
	struct policy *p;
	int err = policy_loader_take(d->loader, &p, &why);

	if (err == -EAGAIN)
		return DAEMON_READING;
	if (err) {
		tell_mistakes(&why, text);
		log_err("policy: %s: the old one stays in force", text);
		enforce_refused_policy(&d->gntdev, text);
		return DAEMON_REFUSED;
	}
	policy_for_each_warning(p, log_warning, NULL);
	warn_of_trust(d, p);
	log_info("policy: %u rules are in force", policy_n_rules(p));
	enforce_new_policy(&d->gntdev, p);
	return DAEMON_RELOADED;
}

struct held {
	uint64_t opens;
	uint64_t maps;
};

static void count_map(struct map *m, void *arg)
{
	(void)m;
	((struct held *)arg)->maps++;
}

static void count_open(struct gnt_open *o, void *arg)
{
	((struct held *)arg)->opens++;
	open_for_each_map(o, count_map, arg);
}

void daemon_report(struct daemon *d)
{
	struct held held = { 0 };

	rcu_read_enter();
	table_for_each_open(d->table, count_open, &held);
	rcu_read_leave();
	platform_report(&d->platform, held.opens, held.maps, windows_count(d->windows));
}

/* The time that is left for what workers have: one time for all of them. */
static unsigned int stop_ms(enum session_end end)
{
	return end == SESSION_STUCK ? STOP_MORE_MS : STOP_MS;
}

/* Nothing new comes in; what workers and socket threads have in hand is finished. Return: how that went. */
static enum session_end stop_input(struct daemon *d)
{
	enum session_end all = SESSION_ENDED, end;

	__atomic_store_n(&d->gntdev.ending, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < d->n_served; i++) {
		end = SESSION_ENDED;
		if (d->served[i].session)
			end = session_stop(d->served[i].session, stop_ms(all));
		all = end > all ? end : all;
		winsock_stop(d->served[i].winsock);
	}
	if (d->defer)
		defer_stop(d->defer);
	return all;
}

static void close_everything(struct daemon *d)
{
	if (d->table)
		gntdev_close_all(&d->gntdev);
	for (unsigned int i = 0; i < d->n_served; i++)
		winsock_destroy(d->served[i].winsock);
	for (unsigned int i = 0; i < d->config->n_granters; i++)
		if (d->gntalloc[i])
			gntalloc_close_all(d->gntalloc[i]);
	/* Windows still held by clients end here: their grants are unmapped. */
	if (d->windows)
		windows_destroy(d->windows);
}

/*
 * leave() - where a worker has not ended: all that must not outlive us ends, and nothing is freed
 *
 * Return: as daemon_stop(); what a worker still does may not be in it.
 */
static int leave(struct daemon *d, enum session_end end)
{
	int err;

	if (end == SESSION_STUCK)
		log_err("a client holds up a worker, by memory that it does not let us have: "
			"ending "
			"without waiting for it");
	if (d->table)
		gntdev_close_all(&d->gntdev);
	if (d->windows)
		windows_end(d->windows);
	for (unsigned int i = 0; i < d->n_served; i++)
		unlink(d->served[i].socket);
	err = platform_check_empty(&d->platform);
	platform_leave(&d->platform);
	remove_run_dir(d);
	return end == SESSION_STUCK ? -EBUSY : err;
}

static void free_parts(struct daemon *d)
{
	for (unsigned int i = 0; i < d->n_served; i++)
		if (d->served[i].session)
			session_destroy(d->served[i].session);
	for (unsigned int i = 0; i < d->config->n_granters; i++)
		if (d->gntalloc[i])
			gntalloc_destroy(d->gntalloc[i]);
	platform_stop(&d->platform);
	if (d->defer)
		defer_destroy(d->defer);
	policy_loader_free(d->loader);
	policy_free(d->gntdev.policy);
	quota_destroy(d->gntdev.quota);
	if (d->table)
		table_destroy(d->table);
}

int daemon_stop(struct daemon *d)
{
	enum session_end end;
	int err;

	control_stop(d->control);
	if (d->platform.sim)
		sim_fault_end(d->platform.sim);
	end = stop_input(d);

	platform_power_off(&d->platform);
	if (end != SESSION_ENDED)
		return leave(d, end);
	close_everything(d);
	err = platform_check_empty(&d->platform);
	free_parts(d);
	rcu_thread_leave();
	remove_run_dir(d);
	free(d);
	return err;
}
