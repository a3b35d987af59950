/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_keeper.c - gntdevctl doctor: a keeper without a daemon
 */
#include "gntdevctl/doctor_keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gntdevctl/ctl.h"
#include "state/keep.h"

#define ANSWER_MS 1000

/* RUN_DIR/xen-gntdev.keeper, below the root. Return: false: too long. */
static bool path_of(const struct doctor *d, struct sockaddr_un *addr)
{
	int dir =
		snprintf(addr->sun_path, sizeof(addr->sun_path), "%s%s/", d->root, d->ctl->run_dir);
	size_t size = sizeof(addr->sun_path);

	if (dir < 0 || (size_t)dir >= size ||
	    (size_t)snprintf(addr->sun_path + dir, size - (size_t)dir, "%s.keeper", d->ctl->name) >=
		    size - (size_t)dir)
		return false;
	for (char *c = addr->sun_path + dir; *c; c++)
		if (*c == '/')
			*c = '-';
	return true;
}

/* Return: whether it has answered. */
static bool look(int sock, struct keep_msg *m)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	pid_t pid = keep_peer(sock);
	int fd = -1, err;

	*m = (struct keep_msg){ .op = KEEP_LOOK };
	if (pid < 0 || keep_send(sock, m, NULL, 0, -1) || poll(&p, 1, ANSWER_MS) != 1)
		return false;
	err = keep_recv(sock, pid, m, NULL, NULL, &fd);
	if (fd >= 0)
		close(fd);
	return !err && !m->error;
}

static void tell(const struct doctor *d, int sock)
{
	struct keep_msg m;

	if (!look(sock, &m))
		doctor_tell(d, FINDING_FAULT, "keeper/silent", "",
			    "it holds what clients have; it may be undoing that. Do not kill it",
			    "the keeper of a daemon is there, and does not answer");
	else if (m.value)
		doctor_tell(d, FINDING_WARNING, "keeper/daemon-silent",
			    "systemctl restart " CTL_UNIT,
			    "it may hang, or be just starting; another one takes over all that "
			    "clients have",
			    "the keeper serves a daemon, process %llu, that does not answer here",
			    (unsigned long long)m.value);
	else
		doctor_tell(d, FINDING_FAULT, "keeper/waits", "systemctl start " CTL_UNIT,
			    "clients wait for another daemon, which takes over all that they have; "
			    "after that time it is "
			    "ended",
			    "the keeper holds what a daemon has left, for %u s more", m.left);
}

void doctor_keeper(const struct doctor *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock;

	if (d->ctl->socket || !path_of(d, &addr))
		return;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return;
	if (!connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		tell(d, sock);
	else if (errno == EACCES)
		doctor_tell(d, FINDING_INFO, "keeper/not-asked", "sudo gntdevctl doctor",
			    "only root may ask it whether clients wait for another daemon",
			    "there is a keeper's socket, %s", addr.sun_path);
	close(sock);
}
