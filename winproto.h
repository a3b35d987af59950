/* SPDX-License-Identifier: MIT */
/*
 * winproto.h - the window protocol between libgntdev-mmap.so and the daemon
 *
 * CUSE has no mmap: the kernel answers ENODEV. The preload object then
 *
 *  1. asks the device itself, by WINDOW_TOKEN on the same descriptor, for a token: who can make that
 *     ioctl holds the open file, and that is the whole of the authority needed to mmap it;
 *  2. connects to the Unix socket (SOCK_SEQPACKET) that the answer names and sends one
 *     struct window_request;
 *  3. receives one struct window_reply: an errno, or a descriptor (SCM_RIGHTS) and the pieces to
 *     map, more of them in further messages while the count is not reached;
 *  4. maps the pieces, closes descriptor and connection.
 *
 * The connection carries one request. Both sides check every length and every field: neither trusts
 * the other. All integers are of the host's byte order: both ends are on one machine.
 */
#ifndef WINPROTO_H
#define WINPROTO_H

#include <assert.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define WINDOW_VERSION 1

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
 * GET_OFFSET_FOR_VADDR later.
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
	uint32_t reserved;
	uint64_t open_id;
	uint8_t secret[16];
	uint64_t offset; /* of mmap(2), bytes: a multiple of 4096 */
	uint64_t length; /* of mmap(2), bytes, rounded up to pages by the client */
	uint64_t vaddr;	 /* where the client will map it, 0 if it does not know yet */
};
static_assert(sizeof(struct window_request) == 72, "window_request");

/* A run of pages of the window file that follows the run before it in the client's mapping. */
struct window_piece {
	uint64_t offset; /* bytes in the file, a multiple of 4096 */
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
	int32_t error;	   /* 0 or a positive errno for the client of mmap(2) */
	uint32_t pieces;   /* in all messages together; their lengths add up to the request's */
	uint32_t here;	   /* in this message */
	uint32_t reserved; /* 0 */
	struct window_piece piece[];
};
static_assert(sizeof(struct window_reply) == 24, "window_reply");

#define WINDOW_REPLY_MAX \
	(sizeof(struct window_reply) + WINDOW_PIECES_PER_MESSAGE * sizeof(struct window_piece))

#endif /* WINPROTO_H */
