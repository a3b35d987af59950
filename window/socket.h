/* SPDX-License-Identifier: MIT */
/*
 * window/socket.h - the window socket: answers the mmaps of preloaded clients
 *
 * One server for each device. It speaks abi/winproto.h, knows nothing of maps, and hands every
 * well-formed request to its device as a struct mmap_call, to be answered exactly once, at once or
 * later, from any thread.
 *
 * No client can hold it up for long: a connection that says nothing, says it slowly or does not read
 * its answer costs one descriptor, which is taken from it when it is wanted. Before Linux 6.16 a
 * client can send descriptors whose closing takes time (a TCP socket that lingers), whether they are
 * received or not: that is cut short where it happens (window/conn.c), and winsock_relieve() is there for the rest.
 *
 * This header is the face of the server: window/conn.c and window/places.c include it for its types.
 */
#ifndef WINDOW_SOCKET_H
#define WINDOW_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "hypercall.h"
#include "abi/winproto.h"

#define WINSOCK_TIMEOUT_MS 5000

struct winsock;
struct windows;

/**
 * struct mmap_call - one mmap(2) of a client
 * @rq:  what the client asked: magic and version are right, offset and length are multiples of the
 *       page size, length is not 0, offset + length does not wrap; the rest is unchecked
 * @pid: the peer's process id as SO_PEERCRED gives it (0: not visible here)
 * @uid: the peer's effective user id when it connected (65534, the overflow id, if it has none here);
 *       its file system user id if it did not connect
 * @unique: of the WINDOW_MMAP that it came with; 0: it came through a connection
 * @again:  the client has asked before, and its connection ended without an answer
 *
 * Valid until it is answered.
 */
struct mmap_call {
	struct window_request rq;
	pid_t pid;
	uid_t uid;
	uint64_t unique;
	bool again;
};

/* Whether these flags of mmap(2) make a shared mapping. */
static inline bool mmap_is_shared(uint32_t flags)
{
	return (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
}

/**
 * winsock_new() - listen
 * @path:      of the socket; made with mode 0666 (the token is the authority), an old one that nobody
 *             listens on is replaced. Ignored if @listen_fd is not -1
 * @listen_fd: a predecessor's listening socket, or -1
 * @windows:   told of delivery
 * @mmap:      called on the server's threads (registered with RCU, not under RCU)
 * @arg:       for @mmap
 * @why:       set to a message for the user on failure
 *
 * Return: 0 and *@out; -EADDRINUSE if somebody listens on @path; -EEXIST if it is no socket;
 * -ENAMETOOLONG; -ENOTSOCK, -EPROTOTYPE if @listen_fd is something else; -errno.
 */
int winsock_new(const char *path, int listen_fd, struct windows *windows,
		void (*mmap)(struct mmap_call *mc, void *arg), void *arg, struct winsock **out,
		const char **why);

/**
 * winsock_adopt() - serve a request that did not come through a connection
 * @fd:  a socket that the client receives from; closed here, whatever happens
 * @pid, @uid: the client's
 * @rq:  its request; the token in it is looked at as in any other
 * @unique: of the ioctl that brought it
 *
 * Calls the device at once, on this thread, which is registered with RCU and not under RCU.
 * Return: 0; -EBUSY if all places are taken or the server is stopping: the client is to connect.
 */
int winsock_adopt(struct winsock *ws, int fd, pid_t pid, uid_t uid, const struct window_request *rq,
		  uint64_t unique);

/** winsock_start() - start its threads. Return: 0 or -errno */
int winsock_start(struct winsock *ws);

/** winsock_relieve() - interrupt threads that a client holds up; one thread, at regular intervals */
void winsock_relieve(struct winsock *ws);

/** winsock_slots() - how many connections it can have at a time, and has now. Any thread */
void winsock_slots(struct winsock *ws, unsigned int *slots, unsigned int *used);

/** winsock_listener() - the socket, to be kept for a successor; it stays the server's */
int winsock_listener(const struct winsock *ws);

/** winsock_path() - the path that any client may connect to */
const char *winsock_path(const struct winsock *ws);

/* Bytes of a path, with its NUL. */
#define WINSOCK_PATH sizeof(((struct window_token *)0)->socket)

/**
 * winsock_path_for() - the path that a user's clients are to connect to
 * @uid:  he; his file system user id is looked at when he connects
 * @tid:  a thread of his, 0 if it is not visible
 * @path: out
 *
 * One of his own, made now if need be (window/doors.h); else winsock_path(). Any thread.
 */
void winsock_path_for(struct winsock *ws, uid_t uid, pid_t tid, char path[WINSOCK_PATH]);

/**
 * winsock_stop() - take no more connections; those being answered may still be answered
 *
 * When it returns @mmap is not running and will not be called again. Not from @mmap.
 */
void winsock_stop(struct winsock *ws);

/** winsock_destroy() - close everything, remove the socket. All calls
 * have been answered. */
void winsock_destroy(struct winsock *ws);

/**
 * mmap_call_refuse() - answer with an errno
 * @error: a positive errno
 *
 * Any thread. A second answer to a call aborts the process.
 */
void mmap_call_refuse(struct mmap_call *mc, int error);

/**
 * mmap_call_grant() - answer with a window
 * @fd:     the window's descriptor; closed here, whatever happens
 * @window: its id, for window_delivered()
 * @g, @n:  the grants: their pages, in this order, are what the client maps
 * @kind:   whose numbers these pages are. With HV_PAGES_FRAMES all grants are of one domain, and
 *          @fd is a privcmd descriptor restricted to it
 *
 * If the client has gone meanwhile nothing is lost: the window ends as any other, and that can be
 * before this returns. @g is not looked at any more once the window can end.
 *
 * Any thread registered with RCU. A second answer to a call aborts the process.
 */
void mmap_call_grant(struct mmap_call *mc, int fd, uint64_t window, const struct hv_grant *g,
		     size_t n, enum hv_pages kind);

#endif /* WINDOW_SOCKET_H */
