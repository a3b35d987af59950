/* SPDX-License-Identifier: MIT */
/*
 * daemon_keep.c - what outlives the daemon, and how a successor comes to it
 *
 * Everything has a name at the keeper (state/lent.h). A daemon that starts looks there first. If nothing is held it
 * makes all anew, and gives each thing as soon as it is there; "state" comes last, before the first client is served:
 * until then a daemon that is killed has left nothing, and the keeper ends with it. If "state" is held all the others are, and each part is
 * made of what was left: it adopts.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/oom.h"
#include "base/why.h"
#include "daemon_impl.h"
#include "daemon_unit.h"
#include "device/session.h"
#include "state/lent.h"
#include "state/record.h"
#include "state/state.h"
#include "window/socket.h"
#include "window/window.h"

/* Of the two the keeper, which has the lowest, is the one that has to stay. */
#define OOM_SCORE (-900)

/* Cells for all that the policy's highest limits allow, and as much again; they cost an address each. */
#define RECORD_CELLS (1U << 24)

static bool no_keeper(int err, const struct why *why)
{
	return because(why, "keeper: %s", strerror(-err));
}

/* --- the header, and the records ------------------------------------------------------------------ */

struct options {
	size_t n;
	char text[STATE_OPTIONS_BYTES];
};

__attribute__((format(printf, 2, 3))) static void add(struct options *o, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(o->text + o->n, sizeof(o->text) - o->n, fmt, ap);
	va_end(ap);
	/* What is too long ends without room for its NUL, and is found out there. */
	o->n = (size_t)n < sizeof(o->text) - o->n ? o->n + (size_t)n : sizeof(o->text) - 1;
}

/* What cannot be another for clients that go on. */
static void write_options(const struct daemon *d, struct options *o)
{
	const struct daemon_config *c = d->config;
	const struct platform_config *p = &c->platform;

	o->n = 0;
	add(o, "--name=%s\n", c->name);
	add(o, d->platform.xen ? "--xen\n" : "--sim\n");
	if (d->platform.xen)
		return;
	for (unsigned int i = 0; i < c->n_granters; i++)
		add(o, "--granter=%u:%s\n", c->granter[i].domid, c->granter[i].name);
	for (unsigned int i = 0; i < c->n_evtchns; i++)
		add(o, "--evtchn=%u:%s\n", c->evtchn[i].domid, c->evtchn[i].name);
	for (unsigned int i = 0; i < p->n_ports; i++)
		add(o, "--sim-port=%u:%u\n", p->port[i].port, p->port[i].remote);
	add(o, "--sim-memory=%llu\n", (unsigned long long)(p->sim_pages / 256));
}

static unsigned int sessions(const struct daemon_config *c)
{
	return 1 + c->n_granters + c->n_evtchns;
}

static int adopt_state(struct daemon *d, const struct options *o, const struct why *why)
{
	int fd = lent_take(d->lent, KEEP_STATE), err;

	if (fd < 0) {
		no_keeper(fd, why);
		return fd;
	}
	err = state_adopt(fd, o->text, sessions(d->config), &d->state, why);
	if (err)
		return err;
	fd = lent_take(d->lent, "records");
	err = fd < 0 ? fd : records_adopt(fd, &d->records);
	if (err)
		because(why, "the records that the last daemon has left: %s",
			err == -EINVAL ? "they are damaged" : strerror(-err));
	d->made_run_dir = state_header(d->state)->made_dir;
	return err;
}

static int make_state(struct daemon *d, const struct options *o, const struct why *why)
{
	int err = state_new(o->text, sessions(d->config), &d->state);

	if (!err)
		err = records_new(RECORD_CELLS, &d->records);
	if (err) {
		because(why, "memory that lasts: %s", strerror(-err));
		return err;
	}
	state_header(d->state)->made_dir = d->made_run_dir;
	err = lent_give(d->lent, "records", records_fd(d->records));
	if (err)
		no_keeper(err, why);
	return err;
}

int daemon_keep_begin(struct daemon *d, const struct why *why)
{
	struct lent_config lc = { .path = d->keeper_path,
				  .verbose = d->config->verbose,
				  .end = d->config->end };
	struct options o;
	int err;

	if (!daemon_path(d, d->config->name, ".keeper", d->keeper_path, why))
		return -ENAMETOOLONG;
	err = lent_open(&lc, &d->lent, why);
	if (err)
		return err;
	if (!lent_adopting(d->lent) && unit_has_predecessor()) {
		because(why, "the last daemon of this service had another --name or --run-dir, and "
			     "its clients go on with those alone");
		return -EEXIST;
	}
	oom_score_set(OOM_SCORE);
	write_options(d, &o);
	return lent_adopting(d->lent) ? adopt_state(d, &o, why) : make_state(d, &o, why);
}

/* --- windows ---------------------------------------------------------------------------------------- */

static int take(const struct daemon *d, const char *name)
{
	int fd = lent_adopting(d->lent) ? lent_take(d->lent, name) : -1;

	return fd < 0 ? -1 : fd;
}

void daemon_keep_take_windows(const struct daemon *d, struct windows_keep *keep)
{
	keep->records = d->records;
	keep->life = &state_header(d->state)->life;
	keep->dir = take(d, "windows");
	keep->closes = take(d, "inotify.closes");
	keep->opens = take(d, "inotify.opens");
	keep->hand = take(d, "inotify.hand");
}

bool daemon_keep_windows(const struct daemon *d, const struct why *why)
{
	struct windows_keep keep;
	int err = 0;

	if (lent_adopting(d->lent))
		return true;
	windows_kept(d->windows, &keep);
	err = lent_give(d->lent, "windows", keep.dir);
	if (!err)
		err = lent_give(d->lent, "inotify.closes", keep.closes);
	if (!err)
		err = lent_give(d->lent, "inotify.opens", keep.opens);
	if (!err)
		err = lent_give(d->lent, "inotify.hand", keep.hand);
	return !err || no_keeper(err, why);
}

static void listener_name(char *name, unsigned int session)
{
	snprintf(name, KEEP_NAME, "listen.%u", session);
}

int daemon_keep_take_listener(const struct daemon *d)
{
	char name[KEEP_NAME];

	listener_name(name, d->n_served);
	return take(d, name);
}

bool daemon_keep_listener(const struct daemon *d, const struct why *why)
{
	unsigned int session = d->n_served;
	char name[KEEP_NAME];
	int err;

	listener_name(name, session);
	err = lent_give(d->lent, name, winsock_listener(d->served[session].winsock));
	return !err || no_keeper(err, why);
}

/* --- opens and maps --------------------------------------------------------------------------------- */

static int opened(void *arg, uid_t user, uint64_t fh)
{
	return session_opened(arg, user, fh);
}

static int by_number(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Asked for each record, and clients have as many requests in hand as they have threads. */
static bool in_hand(void *arg, uint64_t unique)
{
	const uint64_t *all;
	size_t n = session_in_hand(arg, &all);

	return n && bsearch(&unique, all, n, sizeof(unique), by_number);
}

static bool given_up(void *arg, uint64_t unique, uint64_t fh)
{
	return session_given_up(arg, unique, fh);
}

bool daemon_keep_adopt(struct daemon *d, const struct why *why)
{
	struct gntdev_adoption a = {
		.in_hand = in_hand,
		.given_up = given_up,
		.opened = opened,
		.arg = d->served[0].session,
	};
	int err;

	if (!lent_adopting(d->lent))
		return true;
	err = gntdev_adopt(&d->gntdev, &a);
	if (err)
		return because(why, "what the last daemon's clients have: %s (%s)", a.why,
			       strerror(-err));
	windows_adopted(d->windows);
	return true;
}

/* --- at work ---------------------------------------------------------------------------------------- */

bool daemon_keep_serve(struct daemon *d, const struct why *why)
{
	char version[KEEP_NAME];
	int err = unit_lease(d->lent);

	snprintf(version, sizeof(version), "%u", state_header(d->state)->version);
	if (!err && !lent_adopting(d->lent))
		err = lent_give(d->lent, KEEP_STATE, state_fd(d->state));
	if (!err)
		err = lent_serve(d->lent, d->config->command, d->config->successor, version);
	return !err || no_keeper(err, why);
}

void daemon_keep_served(struct daemon *d)
{
	uint64_t ended;
	bool left;

	if (!lent_adopting(d->lent))
		return;
	ended = lent_ended_ns(d->lent, &left);
	state_served(d->state, ended);
	if (d->config->end)
		log_info("ending for good what the last daemon has left");
	else
		log_info("clients of the last daemon, which %s, go on: %.1f ms after it ended",
			 left ? "left them to this one" : "died",
			 (double)state_header(d->state)->outage_ns / 1e6);
}

/* One that was killed has left its socket. One that is only slow takes our end for a death, and has all ended once more. */
static void remove_socket(const struct daemon *d)
{
	int dir = keep_clear_place(d->keeper_path);

	if (dir >= 0)
		close(dir);
	else if (dir == -EADDRINUSE)
		log_err("the keeper does not answer, and stays. Do not kill it");
}

void daemon_keep_end(struct daemon *d)
{
	if (d->lent && !lent_alive(d->lent))
		remove_socket(d);
	if (d->lent && lent_end(d->lent) == -EBUSY)
		log_err("the keeper has not ended yet: it is undoing what is left. Do not kill it");
	lent_close(d->lent);
	records_close(d->records);
	state_close(d->state);
}
