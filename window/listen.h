/* SPDX-License-Identifier: MIT */
/*
 * window/listen.h - listening sockets: that of the window server, made or a predecessor's, and private ones
 */
#ifndef WINDOW_LISTEN_H
#define WINDOW_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/**
 * struct winlisten - a listening socket
 * @fd:   nonblocking, close-on-exec
 * @made: its file is to be removed
 * @dev, @ino: that file, if so
 * @path: where clients connect
 */
struct winlisten {
	int fd;
	bool made;
	dev_t dev;
	ino_t ino;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/**
 * winlisten_start() - listen on a path, or take a predecessor's socket
 * @path: a socket there that nobody listens on is replaced. Ignored if @fd is not -1
 * @fd:   it, or -1. Closed by winlisten_close(); on failure it stays the caller's
 * @why:  set to a message for the user on failure
 *
 * Return: 0 or -errno. Of a path: -EADDRINUSE if somebody listens, -EEXIST if it is no socket,
 * -ENAMETOOLONG. Of @fd: -ENOTSOCK, -EPROTOTYPE if it is no listening SOCK_SEQPACKET socket with a
 * path.
 */
int winlisten_start(struct winlisten *l, const char *path, int fd, const char **why);

/**
 * winlisten_start_private() - listen on a path, for root and a group
 * @path:  as for winlisten_start()
 * @group: who may connect besides root; (gid_t)-1: nobody
 *
 * A SOCK_STREAM socket of mode 0660. Return: as winlisten_start(); -EPERM if it may not be given to the
 * group.
 */
int winlisten_start_private(struct winlisten *l, const char *path, gid_t group, const char **why);

/**
 * winlisten_start_user() - listen on a path, for root and one user
 * @uid: the user
 *
 * A SOCK_SEQPACKET socket that an access control list opens. Return: as winlisten_start(); -EOPNOTSUPP, -EPERM: if there
 * can be no such list.
 */
int winlisten_start_user(struct winlisten *l, const char *path, uid_t uid, const char **why);

/**
 * winlisten_clean() - remove what a daemon that was killed has left of sockets of users' own
 * @path: with a dot and a number behind it theirs
 */
void winlisten_clean(const char *path);

/**
 * winlisten_accept() - take the next client
 *
 * Return: a nonblocking, close-on-exec descriptor; or -1 and errno, EAGAIN if nobody waits.
 */
int winlisten_accept(struct winlisten *l);

/**
 * winlisten_close() - listen no more
 *
 * Removes the file, unless another one has taken its place. Clients that wait in the queue are refused when nobody
 * else has the socket any more.
 */
void winlisten_close(struct winlisten *l);

#endif /* WINDOW_LISTEN_H */
