/* SPDX-License-Identifier: MIT */
/*
 * daemon.c - the parts of the daemon at work, and taken apart
 *
 * Down, in daemon_stop(): first nothing new comes in, then everything that waits is answered, then every open and every
 * window ends, and last the nodes go. daemon_start.c has the way up, daemon_keep.c what outlives it.
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
#include "device/marks.h"
#include "device/session.h"
#include "evtchn/evtchn.h"
#include "hypercall.h"
#include "machine/gntalloc.h"
#include "platform.h"
#include "state/lent.h"
#include "policy/loader.h"
#include "table.h"
#include "window/socket.h"
#include "window/window.h"

/* How long workers may take to finish what they have, and those after the first that does not. */
#define STOP_MS	     4000
#define STOP_MORE_MS 100

void daemon_log_warning(const char *text, void *arg)
{
	(void)arg;
	log_warn("%s", text);
}

void daemon_tell_mistakes(const struct policy_why *why, char *text)
{
	policy_why_all(why, text, POLICY_WHY_ALL_SIZE);
	for (unsigned int i = 0; why->n > 1 && i < why->n && i < POLICY_MISTAKES_MAX; i++)
		log_err("policy: %s", why->text[i]);
}

void daemon_warn_of_trust(const struct daemon *d, const struct policy *p)
{
	if (d->platform.hv->pages == HV_PAGES_FRAMES && policy_pv_any(p))
		log_warn("pv_descriptor = any: whoever may open the device can map any page of any "
			 "domain that has granted one");
}

/* What an operator or systemd has made is theirs. Busy if another daemon uses it. */
static void remove_run_dir(const struct daemon *d)
{
	if (d->made_run_dir)
		rmdir(d->config->run_dir);
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
		if (d->served[i].winsock)
			winsock_relieve(d->served[i].winsock);
		good &= session_serves(d->served[i].session);
	}
	return good;
}

const char *daemon_tend(struct daemon *d)
{
	if (!lent_alive(d->lent))
		return "the keeper process has gone: if this process were killed, too, nobody "
		       "would "
		       "undo what is mapped";
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
		daemon_tell_mistakes(&why, text);
		log_err("policy: %s: the old one stays in force", text);
		enforce_refused_policy(&d->gntdev, text);
		return DAEMON_REFUSED;
	}
	policy_for_each_warning(p, daemon_log_warning, NULL);
	daemon_warn_of_trust(d, p);
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
		if (d->served[i].winsock)
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
		if (d->served[i].winsock)
			winsock_destroy(d->served[i].winsock);
	for (unsigned int i = 0; i < d->config->n_granters; i++)
		if (d->gntalloc[i])
			gntalloc_close_all(d->gntalloc[i]);
	/* Windows still held by clients end here: their grants are unmapped. */
	if (d->windows)
		windows_destroy(d->windows);
	for (unsigned int i = 0; i < d->config->n_evtchns; i++)
		if (d->evtchn[i])
			evtchn_close_all(d->evtchn[i]);
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
		if (d->served[i].winsock)
			unlink(d->served[i].socket);
	err = platform_check_empty(&d->platform);
	platform_leave(&d->platform);
	daemon_keep_end(d);
	remove_run_dir(d);
	return end == SESSION_STUCK ? -EBUSY : err;
}

void daemon_leave(struct daemon *d)
{
	control_stop(d->control);
	for (unsigned int i = 0; i < d->n_served; i++)
		session_leave(d->served[i].session, STOP_MS);
	lent_leave(d->lent);
	log_stop();
	/* Threads may still be at work, as if they were to be killed. */
	_exit(EXIT_SUCCESS);
}

static void free_parts(struct daemon *d)
{
	for (unsigned int i = 0; i < d->n_served; i++)
		if (d->served[i].session)
			session_destroy(d->served[i].session);
	for (unsigned int i = 0; i < d->config->n_granters; i++)
		if (d->gntalloc[i])
			gntalloc_destroy(d->gntalloc[i]);
	for (unsigned int i = 0; i < d->config->n_evtchns; i++)
		if (d->evtchn[i])
			evtchn_destroy(d->evtchn[i]);
	platform_stop(&d->platform);
	if (d->defer)
		defer_destroy(d->defer);
	policy_loader_free(d->loader);
	policy_free(d->gntdev.policy);
	quota_destroy(d->gntdev.quota);
	marks_free(d->gntdev.marks);
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
	daemon_keep_end(d);
	remove_run_dir(d);
	free(d);
	return err;
}
