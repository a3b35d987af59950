/* SPDX-License-Identifier: MIT */
/*
 * abi/winproto.h - the window protocol between libgntdev-mmap.so and the daemon
 *
 * CUSE has no mmap: the kernel answers ENODEV. The preload object then
 *
 *  1. asks the device itself, by WINDOW_TOKEN on the same descriptor, for a token: who can make that
 *     ioctl holds the open file, and that is the whole of the authority needed to mmap it;
 *  2. connects to the Unix socket (SOCK_SEQPACKET) that the answer names and sends one
 *     struct window_request;
 *  3. receives one struct window_reply: an errno, or a descriptor (SCM_RIGHTS) and the pieces to
 *     map, more of them in further messages while the count is not reached;
 *  4. maps the pieces, as the reply's kind tells, closes descriptor and connection.
 *
 * A daemon may be killed or replaced meanwhile, which the client sees as the end of the connection. Then it lets go of what it has
 * received, and begins again at 1, which waits until there is another daemon, with `again` in its request: the mmap of the map
 * may have been carried out, for nobody, and is undone. Daemons that cannot be replaced know no `again` and answer EINVAL, and
 * clients that do not ask again get ENODEV from their mmap: nothing else has changed between these, so the version is the same.
 *
 * WINDOW_MMAP does the same in one step where the daemon can reach the client's descriptors.
 *
 * The connection carries one request. Both sides check every length and every field: neither trusts
 * the other. All integers are of the host's byte order: both ends are on one machine.
 */
#ifndef ABI_WINPROTO_H
#define ABI_WINPROTO_H

#include <assert.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define WINDOW_VERSION 2

/*
 * Outside the numbers that Linux uses for 'G' (gntdev, gntalloc), so that a kernel driver asked by
 * mistake answers ENOTTY. In and out: struct window_token.
 */
#define WINDOW_TOKEN _IOC(_IOC_NONE, 'G', 0xc7, sizeof(struct window_token))

/* Says to the daemon that the caller is a preload object, and to a stray driver nothing it knows. */
#define WINDOW_MAGIC 0x776d7467646e7463ULL /* "ctndgtmw" */

/*
 * Out flag: the daemon cannot see the client's mappings (another pid namespace, no permission) and
 * needs to be told where the window will be (window_request.vaddr), to answer
 * GET_OFFSET_FOR_VADDR later. Where it is not set that is still a hint where to look, which saves it from reading all mappings.
 */
#define WINDOW_TELL_VADDR 1U

struct window_token {
	uint64_t magic;	    /* in and out: WINDOW_MAGIC */
	uint32_t version;   /* in: the client's; out: WINDOW_VERSION */
	uint32_t flags;	    /* in: 0; out: WINDOW_TELL_* */
	uint64_t open_id;   /* out */
	uint8_t secret[16]; /* out: unguessable, one per open */
	char socket[108];   /* out: path of the socket, NUL-terminated */
	uint32_t padding;   /* 0 */
};
static_assert(sizeof(struct window_token) == 152, "window_token");

struct window_request {
	uint64_t magic;
	uint32_t version;
	uint32_t prot;	/* of mmap(2) */
	uint32_t flags; /* of mmap(2) */
	uint32_t
		again; /* 1: asked before, and the daemon ended before all of its reply had come; else 0 */
	uint64_t open_id;
	uint8_t secret[16];
	uint64_t offset; /* of mmap(2), bytes: a multiple of 4096 */
	uint64_t length; /* of mmap(2), bytes, rounded up to pages by the client */
	uint64_t vaddr;	 /* where the client will map it, 0 if it does not know yet */
};
static_assert(sizeof(struct window_request) == 72, "window_request");

/*
 * The short way, one round trip instead of steps 1 and 2: the client makes a pair of SOCK_SEQPACKET
 * sockets, names one of them here, and receives from the other what a connection would bring. In:
 * struct window_mmap; nothing comes back but 0, or an error: then this way is not open, and the
 * client connects.
 */
#define WINDOW_MMAP _IOC(_IOC_NONE, 'G', 0xc8, sizeof(struct window_mmap))

struct window_mmap {
	struct window_request rq; /* open_id and secret are not looked at */
	int32_t sock;		  /* the daemon's end, a descriptor of the calling process */
	uint32_t pid;		  /* the calling process as it knows itself */
};
static_assert(sizeof(struct window_mmap) == 80, "window_mmap");

/* Windows of more pages come through a connection: their pieces may not fit a socket's queue. */
#define WINDOW_MMAP_PAGES 2048

/*
 * The kinds of windows.
 *
 * WINDOW_FILE: the descriptor is a file; each piece is mapped from it. It can be split, cut and
 * inherited like any shared mapping.
 *
 * WINDOW_FRAMES: where page tables hold machine frames (a PV dom0) no file can show a granted page.
 * The descriptor is an open of a device node of its own that is /dev/xen/privcmd, restricted by the
 * daemon to one domain (IOCTL_PRIVCMD_RESTRICT), read-only if the window is. A piece is a run of
 * consecutive frame numbers of that domain, times 4096. The client makes one mapping of the whole
 * length, at offset 0, and has privcmd fill it with all the frames at once
 * (IOCTL_PRIVCMD_MMAPBATCH_V2): privcmd takes a first batch only for all of a mapping. A child
 * process does not inherit it, as it does not inherit the driver's in a PV dom0.
 */
#define WINDOW_FILE   0
#define WINDOW_FRAMES 1

/* A run of pages that follows the run before it in the client's mapping. */
struct window_piece {
	uint64_t offset; /* bytes in the file, or frame number * 4096; a multiple of 4096 */
	uint64_t length; /* bytes, a multiple of 4096, not 0 */
};

/* So that a client can receive any message into a small buffer on its stack. */
#define WINDOW_PIECES_PER_MESSAGE 128

/*
 * The first message carries the descriptor if error is 0. Further messages, while fewer than
 * `pieces` have come, carry pieces only (again behind this header, with the same values).
 */
struct window_reply {
	uint64_t magic;
	int32_t error;	 /* 0 or a positive errno for the client of mmap(2) */
	uint32_t pieces; /* in all messages together; their lengths add up to the request's */
	uint32_t here;	 /* in this message */
	uint16_t kind;	 /* WINDOW_FILE or WINDOW_FRAMES; 0 with an error */
	uint16_t domid;	 /* WINDOW_FRAMES: whose frames they are; else 0 */
	struct window_piece piece[];
};
static_assert(sizeof(struct window_reply) == 24, "window_reply");

#define WINDOW_REPLY_MAX \
	(sizeof(struct window_reply) + WINDOW_PIECES_PER_MESSAGE * sizeof(struct window_piece))

#endif /* ABI_WINPROTO_H */
