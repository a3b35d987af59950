/* SPDX-License-Identifier: MIT */
/*
 * daemon_unit.c - the daemon as a service of systemd
 *
 * systemd tells a service that is restarted nothing else than one that is stopped: SIGTERM. But a job says which. It is asked at
 * systemd's own socket, which is there without a message bus, too.
 */
#include "daemon_unit.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "state/keep.h"
#include "state/lent.h"

#define SYSTEMD	  "unix:path=/run/systemd/private"
#define ANSWER_US 2000000

/* --- the lease -------------------------------------------------------------------------------------- */

void unit_begin(void)
{
	/* What a predecessor has stored: systemd keeps its own. */
	int n = sd_listen_fds(1);

	for (int i = 0; i < n; i++)
		close(SD_LISTEN_FDS_START + i);
}

/* Whether the keeper's lease is one that systemd still has. */
static bool has_lease(struct lent *lent)
{
	struct pollfd p = { .fd = lent_take(lent, KEEP_LEASE), .events = POLLRDHUP };
	bool has;

	if (p.fd < 0)
		return false;
	has = poll(&p, 1, 0) == 0;
	close(p.fd);
	return has;
}

static bool store(int fd)
{
	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" KEEP_LEASE);
	return sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" KEEP_LEASE, &fd, 1) > 0;
}

int unit_lease(struct lent *lent)
{
	int pair[2], err;

	if (!getenv("NOTIFY_SOCKET")) {
		err = lent_drop(lent, KEEP_LEASE);
		return err == -ENOENT ? 0 : err;
	}
	if (has_lease(lent))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	/* Whoever does not keep it has no service that could end. */
	err = store(pair[0]) ? lent_give(lent, KEEP_LEASE, pair[1]) : 0;
	close(pair[0]);
	close(pair[1]);
	return err;
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
		strcpy(path, unit);
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
		strcpy(path, job);
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
