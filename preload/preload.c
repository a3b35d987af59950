/* SPDX-License-Identifier: MIT */
/*
 * preload/preload.c - libgntdev-mmap.so: mmap(2) for unchanged clients of a CUSE device
 *
 * A CUSE device has no mmap: the kernel answers ENODEV. Put in front of the C library by
 * LD_PRELOAD (gntdev-run does it), this object asks the daemon then for a window, as abi/winproto.h
 * tells, and maps that. All other calls pass through, also those of programs that have nothing to do
 * with the device: preload/device.c tells it from other files.
 *
 * What a caller of mmap may rely on, and how it is kept:
 *
 * - The kernel is asked first. So a call that the kernel can serve costs nothing more, and when it
 *   says ENODEV its own checks (length, alignment, access mode, noexec, limits, the place for
 *   MAP_FIXED_NOREPLACE) have passed, in its order. Only MAP_GROWSDOWN is checked later there, and
 *   so here.
 * - Nothing is changed before the daemon has agreed: under MAP_FIXED the old mapping is replaced
 *   when the window is in our hands.
 * - A map can be mapped once. So what can fail for want of something of the client's is had before the
 *   daemon is asked: addresses (RLIMIT_AS), memory for frame numbers, descriptors. Such a failure
 *   leaves the map as it was. (The kernel has counted mappings when it says ENODEV. A window of
 *   several pieces, which only the simulator makes, needs more of them.)
 * - mmap works in signal handlers, in constructors, after fork and in a vfork child (preload/preload.h).
 *   Nothing is remembered of a descriptor: it may be another file next time.
 * - mmap is not interruptible and no cancellation point. So all signals are blocked during the
 *   exchange, also those by which the C library cancels threads: a handler that leaves by
 *   longjmp(3), or a cancellation, would leave descriptors and half a mapping behind. The driver
 *   cannot be interrupted there either. SIGKILL works, and loses nothing: the daemon sees the
 *   descriptors close. The exchange uses syscall(2), never a wrapper that is a cancellation point.
 * - errno is what the daemon says, which is what the driver would; ENODEV, as without this object,
 *   if it cannot be asked or talks nonsense; EACCES or ENOENT if the way to its socket is closed to
 *   this process, or leads nowhere; EMFILE, ENFILE or ENOMEM if there are no two free descriptors for
 *   the time of the call. A call that succeeds leaves errno alone.
 *
 * - The daemon may be killed or replaced at any time. What is asked of the device waits in the kernel for its successor; where
 *   the answer was to come through a socket, its end without one shows. Then all that had come of it is let go of, and the
 *   daemon asked again, from the token on, which waits as long as there is none; it ends with ENODEV when the device has gone.
 *
 * What a window is in the client: a shared mapping, also where a private one was asked for without
 * PROT_WRITE. Its descriptor is read-only then, so that a later mprotect(PROT_WRITE) gets EACCES as
 * with the driver, and does not turn the live page into a copy. It is not in core dumps.
 *
 * In a PV dom0 the window is a mapping of privcmd (WINDOW_FRAMES), one for all pieces, filled in one
 * step. If Xen refuses a frame, mmap fails with EINVAL, as the driver's, and nothing stays mapped;
 * any other failure is reported as privcmd does, ENOMEM as a rule. MAP_POPULATE and MAP_LOCKED are
 * kept from privcmd: its pages are there from the start and for good, and a fault on one could only
 * be SIGBUS. What else such a window is not like is told in preload/mapped.c.
 *
 * The daemon has the client's trust (it is the device), yet what it sends is checked in full: a
 * client must not map more, or at other places, than it asked for because of a fault elsewhere.
 *
 * Two things cannot be hidden. A child forked by another thread during the exchange inherits its
 * descriptors (and the memory that holds frame numbers) until it calls execve(2) or ends, and the
 * window lives as long; forked a moment later it would have inherited the mapping itself. (One that
 * has the daemon's end of the pair also hides the daemon's death, if it dies just then.) And a
 * window of several pieces, or of frames, that replaces a mapping (MAP_FIXED) is not there all at
 * once: another thread that uses those addresses meanwhile gets SIGSEGV or SIGBUS.
 */

/* With it the header would turn our mmap into a second mmap64. There is one off_t on LP64. */
#undef _FILE_OFFSET_BITS

#include "preload/preload.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "abi/winproto.h"

#ifndef __LP64__
#error "32-bit programs get ENOTTY from the device, as from the driver: no preload object for them"
#endif

/* How often a daemon may end while it has this request; one that ends because of it must not do so for ever. */
#define ENDED_TRIES 50
/* How often its socket may be missing although it answers. */
#define CONNECT_TRIES 5

static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) ==
		      sizeof(((struct window_token *)0)->socket),
	      "a path from the token fits an address");

static long get_token(int fd, struct window_token *token)
{
	memset(token, 0, sizeof(*token));
	token->magic = WINDOW_MAGIC;
	token->version = WINDOW_VERSION;
	if (RAW(ioctl, (long)fd, (long)WINDOW_TOKEN, token) != 0)
		return -ENODEV;
	/* A driver that answers 0 to everything has left socket empty. */
	if (token->magic != WINDOW_MAGIC || token->version != WINDOW_VERSION || token->padding ||
	    (token->flags & ~WINDOW_TELL_VADDR) || token->socket[0] != '/' ||
	    !memchr(token->socket, '\0', sizeof(token->socket)))
		return -ENODEV;
	return 0;
}

static long open_socket(void)
{
	const long sock = RAW(socket, (long)AF_UNIX, (long)(SOCK_SEQPACKET | SOCK_CLOEXEC), 0L);

	if (sock >= 0 || sock == -EMFILE || sock == -ENFILE || sock == -ENOMEM ||
	    sock == -EAFNOSUPPORT)
		return sock;
	return -ENODEV;
}

static long connect_daemon(const struct window_token *token)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const long sock = open_socket();
	long ret;

	if (sock < 0)
		return sock;
	memcpy(sun.sun_path, token->socket, sizeof(sun.sun_path));
	ret = RAW_RETRY(connect, sock, &sun, sizeof(sun));
	if (ret >= 0)
		return sock;
	RAW(close, sock);
	/* It is not the daemon that fails, but the way there. */
	return ret == -EACCES || ret == -ENOENT || ret == -ECONNREFUSED ? ret : -ENODEV;
}

/* Before the @n-th time again, each time longer. */
static void wait_before(unsigned int n)
{
	const struct timespec t = { .tv_nsec = n * 1000000L };

	RAW(clock_nanosleep, (long)CLOCK_MONOTONIC, 0L, &t, 0L);
}

/*
 * A connection, of whatever daemon there is when it comes about: while there is none, asking for the token waits. It has ended
 * in between if its socket is not there. @token: magic is 0 if there is none yet.
 */
static long reach_daemon(const struct mapping *m, struct window_token *token)
{
	long sock = 0, ret;

	for (unsigned int n = 1; n <= CONNECT_TRIES; n++) {
		ret = token->magic ? 0 : get_token(m->fd, token);
		if (ret)
			return ret;
		sock = connect_daemon(token);
		if (sock != -ECONNREFUSED && sock != -ENOENT)
			return sock;
		token->magic = 0;
		wait_before(n);
	}
	return sock == -ENOENT ? sock : -ENODEV;
}

static void fill_request(struct window_request *rq, const struct mapping *m)
{
	*rq = (struct window_request){
		.magic = WINDOW_MAGIC,
		.version = WINDOW_VERSION,
		.prot = m->prot,
		.flags = m->flags,
		.again = m->again,
		.offset = m->offset,
		.length = m->length,
		.vaddr = (uintptr_t)(m->flags & FIXED ? m->addr : m->base),
	};
}

static long send_request(long sock, const struct mapping *m, const struct window_token *token)
{
	struct window_request rq;
	long ret;

	fill_request(&rq, m);
	rq.open_id = token->open_id;
	memcpy(rq.secret, token->secret, sizeof(rq.secret));
	ret = RAW_RETRY(sendto, sock, &rq, sizeof(rq), (long)MSG_NOSIGNAL, 0L, 0L);
	if (ret == -EPIPE || ret == -ECONNRESET)
		return WINDOW_ENDED;
	return ret == sizeof(rq) ? 0 : -ENODEV;
}

/*
 * The short way, by ioctl. When it has returned 0 the daemon has taken its end of the pair, and
 * answers there. Our own copy of that end is closed before: the daemon's death must show.
 *
 * Return: a socket to receive from; -EOPNOTSUPP if that is no way; -errno.
 */
static long ask_by_ioctl(const struct mapping *m)
{
	struct window_mmap wm = { .pid = 0 };
	int pair[2];
	long ret;

	/* Others than root have no such way. */
	if (m->length / PAGE_BYTES > WINDOW_MMAP_PAGES || RAW(geteuid, 0L) != 0)
		return -EOPNOTSUPP;
	ret = RAW(socketpair, (long)AF_UNIX, (long)(SOCK_SEQPACKET | SOCK_CLOEXEC), 0L, pair);
	if (ret == -EMFILE || ret == -ENFILE || ret == -ENOMEM)
		return ret;
	if (ret < 0)
		return -EOPNOTSUPP;
	wm.pid = (uint32_t)RAW(getpid, 0L);
	wm.sock = pair[1];
	fill_request(&wm.rq, m);
	ret = RAW(ioctl, (long)m->fd, (long)WINDOW_MMAP, &wm);
	RAW(close, (long)pair[1]);
	if (!ret)
		return pair[0];
	RAW(close, (long)pair[0]);
	return -EOPNOTSUPP;
}

/* The room of one descriptor is kept until the daemon sends the window's: its coming cannot fail. */
static long send_with_room(long sock, const struct mapping *m, const struct window_token *token)
{
	const long room = RAW(fcntl, sock, (long)F_DUPFD_CLOEXEC, 0L);
	long ret;

	if (room < 0)
		return room;
	ret = send_request(sock, m, token);
	RAW(close, room);
	return ret;
}

/* The other way. @token: magic is 0 if there is none yet. Return: a socket to receive from; -errno; WINDOW_ENDED. */
static long ask_by_socket(struct mapping *m, struct window_token *token)
{
	long sock, ret;

	sock = reach_daemon(m, token);
	if (sock < 0)
		return sock;
	ret = send_with_room(sock, m, token);
	if (!ret)
		return sock;
	RAW(close, sock);
	return ret;
}

/* Whether the device is one that has windows; what only it can tell, and what it refuses anyway. */
static long check_device(const struct mapping *m, enum device device, struct window_token *token)
{
	long ret = 0;

	if (device == DEVICE_UNSURE || (m->flags & MAP_GROWSDOWN))
		ret = get_token(m->fd, token);
	if (!ret && (m->flags & MAP_GROWSDOWN))
		ret = -EINVAL;
	return ret;
}

/*
 * Without a token asked for the daemon would take this for a client without the object. Return: @err.
 */
static long fail_here(const struct mapping *m, long err)
{
	struct window_token token;

	get_token(m->fd, &token);
	return err;
}

/*
 * The connection is closed last: its end tells the daemon that the window is in the hands of the
 * mapping alone, or of nobody. Return: as window_receive().
 */
static long ask_once(struct mapping *m, struct window_token *token)
{
	long sock, ret;

	sock = ask_by_ioctl(m);
	if (sock == -EOPNOTSUPP)
		sock = ask_by_socket(m, token);
	if (sock == -EMFILE || sock == -ENFILE || sock == -ENOMEM)
		return fail_here(m, sock);
	if (sock < 0)
		return sock;
	ret = window_receive(m, sock);
	RAW(close, sock);
	return ret;
}

static long exchange(struct mapping *m, enum device device)
{
	struct window_token token = { .magic = 0 };
	unsigned int ended = 0;
	long ret;

	ret = check_device(m, device, &token);
	if (ret)
		return ret;
	ret = window_prepare(m);
	if (ret)
		return fail_here(m, ret);
	while ((ret = ask_once(m, &token)) == WINDOW_ENDED) {
		if (++ended == ENDED_TRIES)
			return -ENODEV;
		ret = window_forget(m);
		if (ret)
			return ret;
		m->again = true;
		token.magic = 0;
		wait_before(ended);
	}
	return ret;
}

/*
 * Not inlined: mmap itself must not need the stack that this needs (some 3 KiB), for callers on a
 * small signal stack. Return: an address, or -errno.
 */
static __attribute__((noinline)) long map_device(struct mapping *m)
{
	dev_t number;
	const enum device device = device_of(m->fd, &number);
	const uint64_t all = ~UINT64_C(0);
	uint64_t mask;
	long ret;

	if (device == DEVICE_NONE)
		return -ENODEV;
	if (RAW(rt_sigprocmask, (long)SIG_SETMASK, &all, &mask, sizeof(mask)))
		return -ENODEV;
	ret = exchange(m, device);
	if (m->size)
		RAW(munmap, m->frame, m->size);
	if (!ret)
		offset_note(m->base, m->length,
			    device == DEVICE_GNTDEV && (m->kind == WINDOW_FRAMES || m->pieces == 1)
				    ? number
				    : 0);
	if (ret && m->reserved)
		RAW(munmap, m->base, m->length);
	else if (!ret && m->kind == WINDOW_FILE) /* privcmd does so itself */
		RAW(madvise, m->base, m->length, (long)MADV_DONTDUMP);
	RAW(rt_sigprocmask, (long)SIG_SETMASK, &mask, 0L, sizeof(mask));
	return ret ? ret : (long)m->base;
}

static void *mmap_either(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	const int before = errno;
	long ret;

	ret = PRELOAD_SYSCALL(SYS_mmap, addr, length, (long)prot, (long)flags, (long)fd, offset);
	if (ret == -1 && errno == ENODEV && fd >= 0 && !(flags & MAP_ANONYMOUS)) {
		struct mapping m = {
			.addr = addr,
			.length = (length + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1),
			.prot = prot,
			.flags = flags,
			.fd = fd,
			.offset = offset,
		};

		ret = map_device(&m);
		errno = ret < 0 ? (int)-ret : before;
		if (ret < 0)
			ret = -1;
	}
	return (void *)ret; /* -1 is MAP_FAILED */
}

/* Neither calls the other by its name: that could be somebody else's, preloaded before us. */
EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return mmap_either(addr, length, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
	return mmap_either(addr, length, prot, flags, fd, offset);
}
