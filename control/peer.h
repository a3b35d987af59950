/* SPDX-License-Identifier: MIT */
/*
 * control/peer.h - who is at the other end of a Unix socket, and whether it may ask
 */
#ifndef CONTROL_PEER_H
#define CONTROL_PEER_H

#include <stdbool.h>
#include <sys/types.h>

/** control_group() - the number of a group. @name: or NULL. Return: (gid_t)-1 if there is none */
gid_t control_group(const char *name);

/**
 * control_peer_may() - whether a peer is root, of this process's user, or in a group
 * @fd:    connected; what counts is who the peer was when it connected
 * @group: (gid_t)-1: there is none
 */
bool control_peer_may(int fd, gid_t group);

#endif /* CONTROL_PEER_H */
