/* SPDX-License-Identifier: MIT */
/*
 * preload/window.c - one mmap of a device: where it is to be, and the window that comes for it
 *
 * The daemon's answer is checked in full: see preload/preload.c.
 */

/* There is one off_t on LP64. */
#undef _FILE_OFFSET_BITS

#include "preload/preload.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "abi/winproto.h"

/* Frame numbers kept on the stack: most windows have no more. */
#define FEW_FRAMES 16

static_assert(sizeof(xen_pfn_t) == 8 && sizeof(privcmd_mmapbatch_v2_t) == 32,
	      "privcmd's argument is what the kernel reads");
/* Any one message of the daemon. */
union message {
	struct window_reply reply;
	unsigned char bytes[WINDOW_REPLY_MAX];
};

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
long window_prepare(struct mapping *m)
{
	long ret = take_place(m);

	return ret ? ret : hold_frames(m);
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
	/* The kernel says the latter if the daemon has not read the request. */
	if (!len || len == -ECONNRESET)
		return WINDOW_ENDED;
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

long window_receive(struct mapping *m, long sock)
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

long window_forget(struct mapping *m)
{
	long ret = 0;

	/* Of several pieces some have been mapped: none must be left, or the daemon sees the window in use. */
	if (m->kind == WINDOW_FILE && m->done)
		ret = RAW(mmap, m->base, m->length, (long)PROT_NONE,
			  (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED), -1L, 0L);
	m->done = 0;
	m->pieces = 0;
	m->seen = 0;
	return ret < 0 ? ret : 0;
}
