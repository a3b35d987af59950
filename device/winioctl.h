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
 * Executed again it does nothing if the answer is on its way already.
 *
 * Return: 0 if the socket has or will get the answer; -EOPNOTSUPP if this way is not open to that client: it
 * is to connect; -ENOTTY if it is no preload object of this version; -ECONNABORTED.
 *
 * Worker threads, registered with RCU, not under RCU.
 */
int winioctl_mmap(struct request *rq, struct window_mmap *wm, const struct token *t,
		  struct winsock *ws);

/**
 * winioctl_replied() - whether the reply to a WINDOW_MMAP that is executed again is on its way already
 * @rq: the request; rq->again
 * @wm: its argument
 *
 * For a device that has to know before winioctl_mmap() does. Return: whether it is; not so either if its socket cannot be taken.
 */
bool winioctl_replied(struct request *rq, const struct window_mmap *wm);

#endif /* DEVICE_WINIOCTL_H */
