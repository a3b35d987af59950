/* SPDX-License-Identifier: MIT */
/*
 * device/winioctl.h - mmaps of preloaded clients that come by ioctl (WINDOW_MMAP)
 */
#ifndef DEVICE_WINIOCTL_H
#define DEVICE_WINIOCTL_H

#include <stdint.h>

#include "client/request.h"
#include "device/token.h"
#include "window/socket.h"

/**
 * winioctl_mmap() - take the client's socket, and have its request answered there
 * @rq:      the request; answered when this returns, with 0 if the socket has or will get the answer
 * @t:       the token of the open it came through
 * @open_id: of that open
 * @ws:      the device's window socket, which goes on as if the client had connected
 *
 * -EOPNOTSUPP if this way is not open to that client: it is to connect.
 *
 * Worker threads, registered with RCU, not under RCU.
 */
void winioctl_mmap(struct request *rq, const struct token *t, uint64_t open_id, struct winsock *ws);

#endif /* DEVICE_WINIOCTL_H */
