/* SPDX-License-Identifier: MIT */
/*
 * control/peer.c - who is at the other end of a Unix socket, and whether it may ask
 */
#include "control/peer.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* As long as a line of /etc/group can be, members and all. */
#define GROUP_BYTES (1UL << 20)

gid_t control_group(const char *name)
{
	char *buf = name ? malloc(GROUP_BYTES) : NULL;
	struct group group, *found = NULL;
	gid_t gid = (gid_t)-1;

	if (buf && !getgrnam_r(name, &group, buf, GROUP_BYTES, &found) && found)
		gid = group.gr_gid;
	free(buf);
	return gid;
}

/* Return: the supplementary groups of the peer, to be freed; NULL if they are not told. */
static gid_t *peer_groups(int fd, size_t *n)
{
	socklen_t len = 0;
	gid_t *groups;

	/* The kernel says how much it is. */
	/* cppcheck-suppress nullPointer ; of no bytes */
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) || errno != ERANGE)
		return NULL;
	groups = malloc(len);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len)) {
		free(groups);
		return NULL;
	}
	*n = len / sizeof(*groups);
	return groups;
}

bool control_peer_may(int fd, gid_t group)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	size_t n = 0;
	gid_t *groups;
	bool may;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	if (group == (gid_t)-1 || peer.gid == group)
		return group != (gid_t)-1;
	groups = peer_groups(fd, &n);
	may = false;
	for (size_t i = 0; i < n; i++)
		may |= groups[i] == group;
	free(groups);
	return may;
}
