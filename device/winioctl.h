/* SPDX-License-Identifier: MIT */
/*
 * device/winioctl.h - mmaps of preloaded clients that come by ioctl (WINDOW_MMAP)
 */
#ifndef DEVICE_WINIOCTL_H
#define DEVICE_WINIOCTL_H

#include "abi/winproto.h"
#include "client/request.h"
#include "device/token.h"
#include "window/socket.h"

/**
 * winioctl_mmap() - carry out a WINDOW_MMAP ioctl: take the client's socket, have it answered there
 * @rq: the request, of a caller whose memory can be reached (IOCTL_DIRECT)
 * @wm: its argument; used up
 * @t:  the token of the open it came through
 * @ws: the device's window socket, which goes on as if the client had connected
 *
 * Return: 0 if the socket has or will get the answer; -EOPNOTSUPP if this way is not open to that client: it
 * is to connect; -ENOTTY if it is no preload object of this version; -ECONNABORTED.
 *
 * Worker threads, registered with RCU, not under RCU.
 */
int winioctl_mmap(struct request *rq, struct window_mmap *wm, const struct token *t,
		  struct winsock *ws);

/**
 * winioctl_replied() - whether the reply to a WINDOW_MMAP that is executed again is in the client's queue already
 * @rq: the request; rq->again
 * @wm: its argument
 *
 * Where the window's own record does not say so (window_join()): the predecessor may have been killed right behind the sending. Return:
 * whether it is there, so that 0 is the answer.
 */
bool winioctl_replied(struct request *rq, const struct window_mmap *wm);

#endif /* DEVICE_WINIOCTL_H */
