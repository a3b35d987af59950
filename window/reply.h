/* SPDX-License-Identifier: MIT */
/*
 * window/reply.h - the daemon's half of abi/winproto.h: what a client may ask, and what is sent to it
 */
#ifndef WINDOW_REPLY_H
#define WINDOW_REPLY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypercall.h"
#include "abi/winproto.h"
#include "report/reason.h"

/**
 * struct winreply - a window on its way to a client
 * @fd:    to be sent with the first message; -1 afterwards
 * @piece: what the client maps, @n_pieces of them, @sent already sent
 * @kind, @domid: of the window, as its messages say
 *
 * All zero but for @fd: nothing to send.
 */
struct winreply {
	int fd;
	struct window_piece *piece;
	uint32_t n_pieces;
	uint32_t sent;
	uint16_t kind;
	uint16_t domid;
};

/**
 * winreply_new() - a window, none of it sent
 * @fd:    its descriptor; it is the reply's now, whatever this returns
 * @g, @n: whose pages, in this order, the client maps
 * @kind:  whose numbers these pages are
 *
 * Return: 0; -ENOMEM.
 */
int winreply_new(struct winreply *r, int fd, const struct hv_grant *g, size_t n,
		 enum hv_pages kind);

/** winreply_free() - free what a reply holds, but for the descriptor; it can be freed again */
void winreply_free(struct winreply *r);

/**
 * winreply_send() - send as much as the client's queue takes; does not wait
 *
 * Return: 0 if all has been sent; -EAGAIN if the rest does not fit now; -errno.
 */
int winreply_send(struct winreply *r, int sock);

/**
 * winreply_check() - whether a request is one
 * @len: of what was received
 * @why: set to what is wrong with it
 *
 * Return: 0, or the errno that the client's mmap gets: ENODEV, as without a preload object, if it does
 * not speak our protocol; EINVAL for what no mmap(2) can have asked.
 */
int winreply_check(const struct window_request *rq, size_t len, enum failure_reason *why);

/**
 * winreply_tell() - tell the log and others that a request of anybody's was refused
 * @error: positive errno
 */
void winreply_tell(pid_t pid, uid_t uid, int error, enum failure_reason why);

/** winreply_refuse() - say no, with a positive errno, to a client that is perhaps still there */
void winreply_refuse(int sock, int error);

#endif /* WINDOW_REPLY_H */
