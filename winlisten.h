/* SPDX-License-Identifier: MIT */
/*
 * winlisten.h - the listening socket of the window server: made, or handed in
 */
#ifndef WINLISTEN_H
#define WINLISTEN_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/**
 * struct winlisten - a listening SOCK_SEQPACKET socket
 * @fd:   nonblocking, close-on-exec
 * @made: made here, and to be removed; else handed in
 * @dev, @ino: if made here: the socket's file
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
 * winlisten_open() - listen on a path
 * @why: set to a message for the user on failure
 *
 * A socket there that nobody listens on is replaced. Return: 0; -EADDRINUSE if somebody listens;
 * -EEXIST if it is no socket; -ENAMETOOLONG; -errno.
 */
int winlisten_open(struct winlisten *l, const char *path, const char **why);

/**
 * winlisten_adopt() - take a socket that was handed in (socket activation)
 * @fd:  closed by winlisten_close(); on failure it stays the caller's
 * @why: set to a message for the user on failure
 *
 * Return: 0; -ENOTSOCK, -EPROTOTYPE if it is no listening SOCK_SEQPACKET socket with a path.
 */
int winlisten_adopt(struct winlisten *l, int fd, const char **why);

/**
 * winlisten_close() - listen no more
 *
 * Removes the file of a socket that was made here, unless another one has taken its place.
 * Clients that wait in the queue of one that was made here are refused; those in the queue of one
 * that was handed in wait for its next user.
 */
void winlisten_close(struct winlisten *l);

#endif /* WINLISTEN_H */
