/* SPDX-License-Identifier: MIT */
/*
 * device/winioctl.c - mmaps of preloaded clients that come by ioctl (WINDOW_MMAP)
 *
 * An mmap through the window socket costs a round trip for the token, a connection, and four times
 * another thread has to be woken. Here it is one round trip: the client makes a pair of sockets and
 * names one of them in an ioctl on the device, the worker takes that one out of the client's table of
 * descriptors (pidfd_getfd(2)) and answers there. No token is needed: who makes the ioctl has the
 * open.
 *
 * Whose table is it? The caller's, as long as it waits for this ioctl (device/caller.c): that is asked of the
 * kernel after the descriptor was taken and before anything is done with it. What was taken can be
 * anything that the client has open; it is only written to if it is a socket whose other end
 * the client has made, and closed. Closing can
 * take time, of a file that the client serves itself by FUSE as long as it likes: so what is no socket is not even
 * taken. A client that is root and changes what the number means in between holds up itself alone: the thread is
 * counted against it (device/turns.h).
 *
 * For others than root that is not enough, and the way is closed to them. The number can come to mean another file between the
 * look and the taking, and what closing that file takes is up to who serves it: a sleep that no signal ends, in which a
 * thread outlives even the daemon's end. To let go of it without closing (as the kernel does with a
 * descriptor that nobody receives) would spare the flush of a FUSE file, but not the release of every other kind. A
 * name instead of a descriptor (a socket that the client has bound, to which the answer is sent) could be somebody else's, who would take
 * the answer for his own; and anybody could fill that socket's queue.
 */
#include "device/winioctl.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether a thread belongs to the process that the client says it is, and has its descriptors. */
static bool is_thread_of(pid_t tid, pid_t pid)
{
	char path[48];

	if (tid == pid)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)pid, (int)tid);
	return access(path, F_OK) == 0 && syscall(SYS_kcmp, tid, pid, KCMP_FILES, 0, 0) == 0;
}

/*
 * Whether the other end was made by the client itself. If it were connected to somebody else we would
 * write there in our own name.
 */
static bool is_clients_own(int sock, pid_t pid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == pid;
}

/* Whether that is what the number means to the client now. It is said without asking who serves a file. */
static bool is_socket(pid_t pid, int fd)
{
	static const char kind[] = "socket:[";
	char path[48], what[sizeof(kind)];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	return readlink(path, what, sizeof(kind) - 1) == sizeof(kind) - 1 &&
	       !memcmp(what, kind, sizeof(kind) - 1);
}

/* Return: a descriptor of ours for the client's @fd, or -errno. */
static int take_descriptor(pid_t pid, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int taken;

	if (pidfd < 0)
		return -errno;
	taken = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (taken < 0)
		taken = -errno;
	close(pidfd);
	return taken;
}

/* Return: a socket that the answer can go through, or -errno. */
static int take_socket(struct request *rq, const struct window_mmap *wm)
{
	int sock;

	if (!is_thread_of(rq->tid, (pid_t)wm->pid) || !is_socket((pid_t)wm->pid, wm->sock))
		return -EOPNOTSUPP;
	sock = take_descriptor((pid_t)wm->pid, wm->sock);
	if (sock < 0)
		return -EOPNOTSUPP;
	if (!rq->ops->waiting(rq)) {
		close(sock);
		return -ECONNABORTED;
	}
	if (!is_clients_own(sock, (pid_t)wm->pid)) {
		close(sock);
		return -EOPNOTSUPP;
	}
	return sock;
}

/* Whether something is on its way to the client: it cannot have received it before this ioctl returns. */
static bool has_reply(int sock)
{
	int unread = 0;

	return ioctl(sock, SIOCOUTQ, &unread) == 0 && unread > 0;
}

int winioctl_mmap(struct request *rq, struct window_mmap *wm, const struct token *t,
		  struct winsock *ws)
{
	int sock;

	/*
	 * Taking a file that the client serves itself by FUSE, and closing it, would hold a worker as
	 * long as the client likes, in a sleep that nothing ends. So others than root connect.
	 */
	if (rq->uid != 0)
		return -EOPNOTSUPP;
	if (wm->rq.magic != WINDOW_MAGIC || wm->rq.version != WINDOW_VERSION)
		return -ENOTTY;
	sock = take_socket(rq, wm);
	if (sock < 0)
		return sock;
	if (rq->again && has_reply(sock)) {
		close(sock);
		return 0;
	}
	wm->rq.open_id = rq->fh;
	if (rq->again)
		wm->rq.again = 1;
	memcpy(wm->rq.secret, t->secret, sizeof(wm->rq.secret));
	return winsock_adopt(ws, sock, (pid_t)wm->pid, rq->uid, &wm->rq, rq->unique) ? -EOPNOTSUPP
										     : 0;
}

bool winioctl_replied(struct request *rq, const struct window_mmap *wm)
{
	int sock = take_socket(rq, wm);
	bool replied;

	if (sock < 0)
		return false;
	replied = has_reply(sock);
	close(sock);
	return replied;
}
