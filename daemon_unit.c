/* SPDX-License-Identifier: MIT */
/*
 * daemon_unit.c - the daemon as a service of systemd
 *
 * systemd tells a service that is restarted nothing else than one that is stopped: SIGTERM. But a job says which. It is asked at
 * systemd's own socket, which is there without a message bus, too.
 *
 * A daemon that ends because its command line or its files are not right is not started again by systemd, which lets go of what it
 * keeps then, and clients would lose all by a typing error. So with a predecessor it does not end, but waits.
 */
#include "daemon_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "base/log.h"
#include "state/keep.h"
#include "state/lent.h"

#define SYSTEMD	  "unix:path=/run/systemd/private"
#define ANSWER_US 2000000

/* How long systemd may take to see that it was given a descriptor. */
#define STORE_US 5000000
/* How long a keeper may take to end that has ended all. */
#define ENDING_MS 1000
/* Between looks at whether something has been mended, and for how long systemd goes on waiting after each. */
#define LOOK_MS	    1000
#define PATIENCE_US 30000000

/* --- the lease -------------------------------------------------------------------------------------- */

/* The end that systemd has kept; -1: none. It stays where it is: this process may begin anew (execve(2)). */
static int handed_in = -1;
static int n_handed_in;
static bool refused;

void unit_begin(void)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names);

	n_handed_in = n;
	for (int i = 0; i < n; i++) {
		if (!strcmp(names[i], KEEP_LEASE))
			handed_in = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
}

static void close_handed_in(void)
{
	for (int i = 0; i < n_handed_in; i++)
		close(SD_LISTEN_FDS_START + i);
	n_handed_in = 0;
	handed_in = -1;
}

/* For this process, if it begins anew. */
static void pass_handed_in(void)
{
	for (int i = 0; i < n_handed_in; i++)
		fcntl(SD_LISTEN_FDS_START + i, F_SETFD, 0);
}

/* Return: whether the other end of a lease is closed, or is within @ms. */
static bool has_ended(int lease, int ms)
{
	return poll(&(struct pollfd){ .fd = lease, .events = POLLRDHUP }, 1, ms) != 0;
}

bool unit_has_predecessor(void)
{
	return handed_in >= 0 && !has_ended(handed_in, ENDING_MS);
}

/* Whether the keeper's lease is one that systemd still has. */
static bool has_lease(struct lent *lent)
{
	int fd = lent_take(lent, KEEP_LEASE);
	bool has = fd >= 0 && !has_ended(fd, 0);

	if (fd >= 0)
		close(fd);
	return has;
}

static int drop_lease(struct lent *lent)
{
	int err = lent_drop(lent, KEEP_LEASE);

	return err == -ENOENT ? 0 : err;
}

/* @fd is closed. Return: whether systemd was told; it may not want it. */
static bool store(int fd)
{
	int sent;

	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" KEEP_LEASE);
	sent = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" KEEP_LEASE, &fd, 1);
	/* Nor does it say so: it closes what it does not want. */
	if (sent > 0)
		sd_notify_barrier(0, STORE_US);
	close(fd);
	return sent > 0;
}

static void tell_refused(void)
{
	refused = true;
	log_warn(
		"systemd keeps no descriptor for this service: its unit has no "
		"FileDescriptorStoreMax=, or no NotifyAccess=. When the service has failed, or was "
		"killed and is not started again, clients wait for --successor seconds. Set "
		"FileDescriptorStoreMax=4 (systemctl edit), then restart the service");
}

static int new_lease(struct lent *lent)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	if (!store(pair[0])) {
		err = drop_lease(lent);
	} else if (has_ended(pair[1], 0)) {
		/* By the end of this one the keeper would take the service to be over. */
		err = drop_lease(lent);
		tell_refused();
	} else {
		err = lent_give(lent, KEEP_LEASE, pair[1]);
	}
	close(pair[1]);
	return err;
}

int unit_lease(struct lent *lent)
{
	int err;

	if (!getenv("NOTIFY_SOCKET"))
		return drop_lease(lent);
	err = has_lease(lent) ? 0 : new_lease(lent);
	close_handed_in();
	return err;
}

const char *unit_lease_kept(void)
{
	if (!getenv("NOTIFY_SOCKET"))
		return "none";
	return refused ? "refused" : "kept";
}

/* --- what is not right ------------------------------------------------------------------------------ */

static void tell_waiting(const char *why, bool looks)
{
	const char *then = "it is looked at each second";
	char *unit = NULL, restart[128] = "restart the service";

	if (!looks) {
		if (sd_pid_get_unit(0, &unit) >= 0)
			snprintf(restart, sizeof(restart), "systemctl restart %s", unit);
		then = restart;
	}
	free(unit);
	log_warn("not started, and clients of the last daemon wait, until the keeper's time is up "
		 "(gntdevctl doctor says when): mend what is wrong, then: %s",
		 then);
	sd_notifyf(0,
		   "STATUS=Not started, and clients of the last daemon wait until its --successor "
		   "seconds are up. Wrong: %s. Mend that, then: %s",
		   why, then);
}

enum unit_wait unit_wait(int signals, const char *why, bool (*mended)(const void *arg),
			 const void *arg)
{
	struct pollfd p[2] = { { .fd = handed_in, .events = POLLRDHUP },
			       { .fd = signals, .events = POLLIN } };

	if (!unit_has_predecessor())
		return UNIT_OVER;
	tell_waiting(why, mended != NULL);
	for (;;) {
		sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%d", PATIENCE_US);
		if (poll(p, 2, LOOK_MS) < 0 && errno != EINTR)
			return UNIT_OVER;
		if (p[1].revents)
			return UNIT_STOPPED;
		if (p[0].revents)
			return UNIT_OVER;
		if (mended && mended(arg)) {
			pass_handed_in();
			return UNIT_MENDED;
		}
	}
}

/* --- the job ---------------------------------------------------------------------------------------- */

static int connect_systemd(sd_bus **bus)
{
	int err = sd_bus_new(bus);

	if (err >= 0)
		err = sd_bus_set_address(*bus, SYSTEMD);
	if (err >= 0)
		err = sd_bus_set_method_call_timeout(*bus, ANSWER_US);
	return err < 0 ? err : sd_bus_start(*bus);
}

static int own_unit(sd_bus *bus, char *path, size_t size)
{
	sd_bus_message *m = NULL;
	const char *unit;
	int err = sd_bus_call_method(bus, NULL, "/org/freedesktop/systemd1",
				     "org.freedesktop.systemd1.Manager", "GetUnitByPID", NULL, &m,
				     "u", (uint32_t)getpid());

	if (err >= 0)
		err = sd_bus_message_read(m, "o", &unit);
	if (err >= 0)
		err = strlen(unit) < size ? 0 : -ENAMETOOLONG;
	if (err >= 0)
		snprintf(path, size, "%s", unit);
	sd_bus_message_unref(m);
	return err;
}

/* Return: 1: the job of a unit, 0: it has none. */
static int job_of(sd_bus *bus, const char *unit, char *path, size_t size)
{
	sd_bus_message *m = NULL;
	const char *job;
	uint32_t id = 0;
	int err = sd_bus_get_property(bus, NULL, unit, "org.freedesktop.systemd1.Unit", "Job", NULL,
				      &m, "(uo)");

	if (err >= 0)
		err = sd_bus_message_read(m, "(uo)", &id, &job);
	if (err >= 0 && id && strlen(job) < size)
		snprintf(path, size, "%s", job);
	sd_bus_message_unref(m);
	return err < 0 ? err : id != 0;
}

/* Return: whether it is about to be stopped; -errno. */
static int is_stopped(sd_bus *bus)
{
	char path[256], *type = NULL;
	int err = own_unit(bus, path, sizeof(path)), stops;

	if (err >= 0)
		err = job_of(bus, path, path, sizeof(path));
	if (err <= 0)
		return err;
	err = sd_bus_get_property_string(bus, NULL, path, "org.freedesktop.systemd1.Job", "JobType",
					 NULL, &type);
	stops = err < 0 ? err : !strcmp(type, "stop");
	free(type);
	return stops;
}

bool unit_goes_on(void)
{
	sd_bus *bus = NULL;
	int stops;

	if (!getenv("NOTIFY_SOCKET"))
		return false;
	stops = connect_systemd(&bus);
	if (stops >= 0)
		stops = is_stopped(bus);
	if (stops < 0)
		log_warn("systemd does not say whether it stops the service or restarts it: %s",
			 strerror(-stops));
	sd_bus_flush_close_unref(bus);
	return stops == 0;
}
