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
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "abi/winproto.h"
#include "abi/xen.h"

#include <xen/sys/privcmd.h>

#ifndef __LP64__
#error "32-bit programs get ENOTTY from the device, as from the driver: no preload object for them"
#endif

/* The caller names the address and gets no other. */
#define FIXED (MAP_FIXED | MAP_FIXED_NOREPLACE)

#define MAX_ERRNO 4095

/* Frame numbers kept on the stack: most windows have no more. */
#define FEW_FRAMES 16

static_assert(sizeof(xen_pfn_t) == 8 && sizeof(privcmd_mmapbatch_v2_t) == 32,
	      "privcmd's argument is what the kernel reads");
static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) ==
		      sizeof(((struct window_token *)0)->socket),
	      "a path from the token fits an address");

/*
 * One mmap(2) of a device: what was asked for, and how far it has come.
 */
struct mapping {
	char *addr;
	uint64_t length; /* bytes, whole pages */
	int prot;
	int flags;
	int fd;
	uint64_t offset;

	char *base;    /* where it is, once something is there */
	bool reserved; /* all of it is ours to map over, and to be unmapped on failure */
	bool tell;     /* the daemon wants to know where it will be */
	uint64_t done; /* bytes mapped, or whose frames are known */
	uint32_t pieces;
	uint32_t seen; /* pieces of these */

	uint16_t kind;	  /* WINDOW_* */
	uint16_t domid;	  /* WINDOW_FRAMES: whose frames; the rest is for that kind, too: */
	xen_pfn_t *frame; /* one for each page */
	int *refused;	  /* for each: 0, or what privcmd said of it */
	uint64_t size;	  /* bytes mapped to hold these two, 0 if the stack has room for them */
};

/* Any one message of the daemon. */
union message {
	struct window_reply reply;
	unsigned char bytes[WINDOW_REPLY_MAX];
};

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

/* Take an address range; @place are those flags of mmap(2) that tell where. */
static long reserve(struct mapping *m, int place)
{
	long ret;

	ret = RAW(mmap, m->addr, m->length, (long)PROT_NONE,
		  (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | place), -1L, 0L);
	if (ret < 0)
		return ret;
	m->base = (char *)ret;
	m->reserved = true;
	return 0;
}

/* The same, of what is free: what the mapping is to replace stays there until it is known. */
static long take_place(struct mapping *m)
{
	long ret;

	if (!(m->flags & FIXED))
		return reserve(m, m->flags & MAP_32BIT);
	ret = reserve(m, MAP_FIXED_NOREPLACE);
	return ret == -EEXIST && !(m->flags & MAP_FIXED_NOREPLACE) ? 0 : ret;
}

/* Memory for the frame numbers of a large window. Not on the heap: that has locks and state. */
static long hold_frames(struct mapping *m)
{
	const uint64_t n = m->length / PAGE_BYTES;
	const uint64_t size = n * (sizeof(*m->frame) + sizeof(*m->refused));
	long ret;

	if (n <= FEW_FRAMES || n > INT_MAX)
		return 0;
	ret = RAW(mmap, 0L, size, (long)(PROT_READ | PROT_WRITE),
		  (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE), -1L, 0L);
	if (ret < 0)
		return ret;
	m->size = size;
	m->frame = (xen_pfn_t *)ret;
	m->refused = (int *)(ret + (long)(n * sizeof(*m->frame)));
	return 0;
}

/* What can fail here and not at the daemon. */
static long prepare(struct mapping *m)
{
	long ret = take_place(m);

	return ret ? ret : hold_frames(m);
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
	return ret == -EACCES || ret == -ENOENT ? ret : -ENODEV;
}

static void fill_request(struct window_request *rq, const struct mapping *m)
{
	*rq = (struct window_request){
		.magic = WINDOW_MAGIC,
		.version = WINDOW_VERSION,
		.prot = m->prot,
		.flags = m->flags,
		.offset = m->offset,
		.length = m->length,
		.vaddr = (uintptr_t)(m->flags & FIXED ? m->addr
				     : m->tell	      ? m->base
						      : NULL),
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
	return ret == sizeof(rq) ? 0 : -ENODEV;
}

/* Keep the first descriptor that ever comes in *window, close all others. Return: whether any. */
static bool stray_descriptors(struct msghdr *hdr, int *window)
{
	bool stray = false;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (*window < 0) {
				*window = fd;
			} else {
				RAW(close, (long)fd);
				stray = true;
			}
		}
	}
	return stray;
}

/* One message of the right form. A descriptor that it brings is the caller's to close, always. */
static long receive(long sock, union message *msg, int *window)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = msg->bytes, .iov_len = sizeof(msg->bytes) };
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	const struct window_reply *reply = &msg->reply;
	long len;

	len = RAW_RETRY(recvmsg, sock, &hdr, (long)MSG_CMSG_CLOEXEC);
	if (len < 0 || stray_descriptors(&hdr, window))
		return -ENODEV;
	/* A descriptor that the kernel could not give us: the table of them is full. */
	if (hdr.msg_flags & MSG_CTRUNC)
		return *window < 0 ? -EMFILE : -ENODEV;
	if ((hdr.msg_flags & MSG_TRUNC) || (size_t)len < sizeof(*reply) ||
	    reply->magic != WINDOW_MAGIC || reply->here > WINDOW_PIECES_PER_MESSAGE ||
	    (size_t)len != sizeof(*reply) + reply->here * sizeof(reply->piece[0]))
		return -ENODEV;
	return 0;
}

/*
 * What kind of window it is. Frames are mapped shared, whatever was asked for: the daemon cannot mean
 * that for a private mapping that writes.
 */
static long take_kind(struct mapping *m, const struct window_reply *reply)
{
	m->kind = reply->kind;
	m->domid = reply->domid;
	if (m->kind == WINDOW_FILE)
		return m->domid ? -ENODEV : 0;
	if (m->kind != WINDOW_FRAMES || m->domid >= DOMID_FIRST_RESERVED ||
	    m->length / PAGE_BYTES > INT_MAX ||
	    ((m->prot & PROT_WRITE) && (m->flags & MAP_TYPE) == MAP_PRIVATE))
		return -ENODEV;
	return 0;
}

/* The daemon's verdict, in the first message. */
static long take_verdict(struct mapping *m, const struct window_reply *reply, int window)
{
	if (reply->error) {
		if (reply->error < 0 || reply->error > MAX_ERRNO || reply->pieces || reply->here ||
		    reply->kind || reply->domid || window >= 0)
			return -ENODEV;
		return -reply->error;
	}
	if (window < 0 || !reply->pieces || reply->pieces > m->length / PAGE_BYTES)
		return -ENODEV;
	m->pieces = reply->pieces;
	return take_kind(m, reply);
}

/*
 * Whether a piece can be the next one, with a page at least left for each that follows, and nothing
 * after the last. So all pieces together are what was asked for, and none is too large.
 */
static bool piece_fits(const struct mapping *m, const struct window_piece *p)
{
	const uint64_t after = (m->pieces - m->seen - 1) * PAGE_BYTES;
	const uint64_t left = m->length - m->done;

	if (!p->length || p->length % PAGE_BYTES || p->offset % PAGE_BYTES ||
	    p->length > left - after || (!after && p->length != left))
		return false;
	return p->offset <= INT64_MAX - p->length;
}

static long map_at(const struct mapping *m, char *at, const struct window_piece *p, int flags,
		   int window)
{
	return RAW(mmap, at, p->length, (long)m->prot, (long)flags, (long)window, p->offset);
}

/*
 * Map from the window, @done bytes behind the beginning. The kernel counts mappings and locked memory
 * before it takes away what a new mapping replaces: at a limit, it has to be taken away before.
 */
static long map_window(struct mapping *m, uint64_t done, const struct window_piece *p, int flags,
		       int window)
{
	char *at = m->reserved ? m->base + done : m->addr;
	long ret;

	if (m->reserved)
		flags = (flags & ~FIXED) | MAP_FIXED;
	ret = map_at(m, at, p, flags, window);
	if ((ret == -ENOMEM || ret == -EAGAIN) && m->reserved && p->length == m->length) {
		RAW(munmap, m->base, m->length);
		m->reserved = false;
		ret = map_at(m, at, p, (flags & ~FIXED) | MAP_FIXED_NOREPLACE, window);
	}
	if (ret < 0)
		return ret;
	if (!m->reserved)
		m->base = (char *)ret;
	return 0;
}

static long map_piece(struct mapping *m, const struct window_piece *p, int window)
{
	int flags = m->flags;

	if (!(m->prot & PROT_WRITE))
		flags = (flags & ~MAP_TYPE) | MAP_SHARED;
	/* As the driver: no page fault later. */
	return map_window(m, m->done, p, flags | MAP_POPULATE, window);
}

/* WINDOW_FRAMES: all pieces have to be known before anything is mapped. */
static void note_piece(struct mapping *m, const struct window_piece *p)
{
	const uint64_t at = m->done / PAGE_BYTES;

	for (uint64_t i = 0; i < p->length / PAGE_BYTES; i++)
		m->frame[at + i] = p->offset / PAGE_BYTES + i;
}

static long take_piece(struct mapping *m, const struct window_piece *p, int window)
{
	long ret = 0;

	if (!piece_fits(m, p))
		return -ENODEV;
	if (m->kind == WINDOW_FRAMES)
		note_piece(m, p);
	else
		ret = map_piece(m, p, window);
	if (ret)
		return ret;
	m->done += p->length;
	m->seen++;
	return 0;
}

/* The pieces of one message; it has some, and no more than are missing. */
static long take_message(struct mapping *m, const struct window_reply *reply, int window)
{
	long ret = 0;

	if (reply->error || reply->pieces != m->pieces || !reply->here ||
	    reply->here > m->pieces - m->seen || reply->kind != m->kind || reply->domid != m->domid)
		return -ENODEV;
	for (uint32_t i = 0; i < reply->here && !ret; i++)
		ret = take_piece(m, &reply->piece[i], window);
	return ret;
}

/* All pieces: the first message has been received, the others come. */
static long take_pieces(struct mapping *m, long sock, union message *msg, int *window)
{
	long ret;

	ret = take_message(m, &msg->reply, *window);
	while (!ret && m->seen < m->pieces) {
		ret = receive(sock, msg, window);
		if (!ret)
			ret = take_message(m, &msg->reply, *window);
	}
	return ret;
}

/* What privcmd makes of the frames: 0 if all of them are mapped. */
static long fill_window(const struct mapping *m, int window)
{
	const privcmd_mmapbatch_v2_t batch = {
		.num = (unsigned int)(m->length / PAGE_BYTES),
		.dom = m->domid,
		.addr = (uintptr_t)m->base,
		.arr = m->frame,
		.err = m->refused,
	};
	long ret;

	ret = RAW(ioctl, (long)window, (long)IOCTL_PRIVCMD_MMAPBATCH_V2, &batch);
	/* It says ENOENT if one of them is paged out, and 0 if it only failed otherwise. */
	if (ret && ret != -ENOENT)
		return ret;
	for (uint64_t i = 0; i < m->length / PAGE_BYTES; i++)
		if (m->refused[i])
			return -EINVAL;
	return ret ? -EINVAL : 0;
}

/* WINDOW_FRAMES, when all frames are known. */
static long map_frames(struct mapping *m, int window)
{
	const int flags = (m->flags & ~(MAP_TYPE | MAP_POPULATE | MAP_LOCKED)) | MAP_SHARED;
	const struct window_piece all = { .offset = 0, .length = m->length };
	long ret;

	ret = map_window(m, 0, &all, flags, window);
	if (ret)
		return ret;
	m->reserved = true;
	mapped_frames(m->base, m->length);
	return fill_window(m, window);
}

static long receive_frames(struct mapping *m, long sock, union message *msg, int *window)
{
	xen_pfn_t frame[FEW_FRAMES];
	int refused[FEW_FRAMES] = { 0 };
	long ret;

	if (!m->size) {
		m->frame = frame;
		m->refused = refused;
	}
	ret = take_pieces(m, sock, msg, window);
	if (!ret)
		ret = map_frames(m, *window);
	return ret;
}

static long receive_file(struct mapping *m, long sock, union message *msg, int *window)
{
	long ret = 0;

	/* One piece replaces what is there in one step; several need a place. */
	if (m->pieces > 1 && !m->reserved)
		ret = reserve(m, MAP_FIXED);
	return ret ? ret : take_pieces(m, sock, msg, window);
}

static long receive_window(struct mapping *m, long sock)
{
	union message msg;
	int window = -1;
	long ret;

	ret = receive(sock, &msg, &window);
	if (!ret)
		ret = take_verdict(m, &msg.reply, window);
	if (!ret && m->kind == WINDOW_FRAMES)
		ret = receive_frames(m, sock, &msg, &window);
	else if (!ret)
		ret = receive_file(m, sock, &msg, &window);
	if (window >= 0)
		RAW(close, (long)window);
	return ret;
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

/* The other way. @token: magic is 0 if there is none yet. Return: a socket to receive from; -errno. */
static long ask_by_socket(struct mapping *m, struct window_token *token)
{
	long sock, ret = 0;

	if (!token->magic)
		ret = get_token(m->fd, token);
	if (ret)
		return ret;
	m->tell = token->flags & WINDOW_TELL_VADDR;
	sock = connect_daemon(token);
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
 * mapping alone, or of nobody.
 */
static long exchange(struct mapping *m, enum device device)
{
	struct window_token token = { .magic = 0 };
	long sock, ret;

	ret = check_device(m, device, &token);
	if (ret)
		return ret;
	ret = prepare(m);
	if (ret)
		return fail_here(m, ret);
	sock = ask_by_ioctl(m);
	if (sock == -EOPNOTSUPP)
		sock = ask_by_socket(m, &token);
	if (sock == -EMFILE || sock == -ENFILE || sock == -ENOMEM)
		return fail_here(m, sock);
	if (sock < 0)
		return sock;
	ret = receive_window(m, sock);
	RAW(close, sock);
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
