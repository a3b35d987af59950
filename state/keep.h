/* SPDX-License-Identifier: MIT */
/*
 * state/keep.h - what the daemon and its keeper say to each other
 *
 * The keeper (keeper/keeper.c) holds descriptors by name, for one daemon at a time. It is not replaced when the daemon is:
 * a daemon of years later speaks to it. So there is little of this, and what is here does not change. A message is a
 * packet of a SOCK_SEQPACKET connection: struct keep_msg, with text behind it in a SERVE, and a descriptor. Each message of
 * the daemon's gets one answer.
 *
 * A descriptor goes along with the packet. What the kernel does not let go that way (an io_uring may hold others) is
 * told by its number, and whoever gets it takes it out of the sender's table by pidfd_getfd(2).
 */
#ifndef STATE_KEEP_H
#define STATE_KEEP_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KEEP_MAGIC   0x7065656bU
#define KEEP_VERSION 1U

/* Names, their NUL included; what is kept at a time; text of a SERVE. */
#define KEEP_NAME     32
#define KEEP_THINGS   26624
#define KEEP_TEXT_MAX 8192
/* Longest time for which a successor is waited for. */
#define KEEP_SECONDS_MAX 86400

/* Two names that the keeper knows: without the one nothing can be adopted, of the other it waits for the end. */
#define KEEP_STATE "state"
#define KEEP_LEASE "lease"

/* The number of the first daemon's connection in the keeper that it starts. */
#define KEEP_FD 3

/**
 * enum keep_op - what is said
 * @KEEP_HELLO: I am the daemon from now on. Answer: @value: when the last one ended that had served, CLOCK_BOOTTIME in
 *		ns, 0: none has; @left: whether it said LEAVE; @count: things held. -EBUSY: there is one, or its process is not gone yet; -ESHUTDOWN: all is just being ended
 * @KEEP_NEXT:	which name comes after @name? The first one comes after "". -ENOENT: none
 * @KEEP_TAKE:	what is held under @name, with the answer. -ENOENT
 * @KEEP_PUT:	hold this, instead of what has had the name. -ENFILE: too much
 * @KEEP_DROP:	let go of it. -ENOENT
 * @KEEP_SERVE: I serve clients from now on. When I am gone wait @value seconds for a successor, which then has that time once
 *		more until it serves; if none does start the program whose path and arguments are the text, each ended by a NUL, with one
 *		more argument: --end. @name: a version of what is left then, of which the keeper knows nothing
 * @KEEP_LEAVE: I am about to end, and leave all to my successor
 * @KEEP_END:	all has been ended for good: let go of everything, and end
 * @KEEP_LOOK:	of anybody, instead of HELLO: how are things? Answer: @value: process number of the daemon, 0: there is none; @count;
 *		@left: seconds for which a successor is still waited for; @name: that of the last SERVE
 */
enum keep_op {
	KEEP_HELLO = 1,
	KEEP_NEXT = 2,
	KEEP_TAKE = 3,
	KEEP_PUT = 4,
	KEEP_DROP = 5,
	KEEP_SERVE = 6,
	KEEP_LEAVE = 7,
	KEEP_END = 8,
	KEEP_LOOK = 9,
};

/**
 * struct keep_msg - one of them, and its answer
 * @op:	   enum keep_op; an answer has that of the question
 * @error: of an answer: 0 or -errno
 * @fd:	   of a descriptor that does not go along: its number; else -1
 * @left:  see there
 * @name:  with a NUL
 */
struct keep_msg {
	uint32_t magic;
	uint32_t version;
	uint32_t op;
	int32_t error;
	int32_t fd;
	uint32_t count;
	uint64_t value;
	uint32_t left;
	uint32_t zero;
	char name[KEEP_NAME];
};
static_assert(sizeof(struct keep_msg) == 72, "the same for every version of both");
static_assert(offsetof(struct keep_msg, value) == 24, "the same for every version of both");
static_assert(offsetof(struct keep_msg, name) == 40, "the same for every version of both");

/**
 * keep_send() - send a message
 * @sock: a connection
 * @m:	  its magic and version are set here, and @fd if need be
 * @text: @len bytes to go behind it
 * @fd:	  a descriptor to go along, or -1
 *
 * Waits if the connection is full and blocks. Return: 0 or -errno.
 */
int keep_send(int sock, struct keep_msg *m, const char *text, size_t len, int fd);

/**
 * keep_recv() - receive one
 * @sock: a connection
 * @peer: process at the other end, for what cannot go along
 * @text: room for KEEP_TEXT_MAX bytes, or NULL: none is expected
 * @len:  out: bytes of it
 * @fd:	  out: the descriptor, close-on-exec, or -1
 *
 * Return: 0; -ENOTCONN: the other end is closed; -EPROTO: no message of this protocol, too long, with too many descriptors;
 * -EPROTONOSUPPORT: of another version; -errno, also if a descriptor cannot be taken. Nothing is left open then.
 */
int keep_recv(int sock, pid_t peer, struct keep_msg *m, char *text, size_t *len, int *fd);

/**
 * keep_clear_place() - lock the directory of a keeper's socket, and remove the socket if nobody listens on it any more
 *
 * Waits for who has it locked, which is for as long as this takes. Return: the directory, which is locked until it is closed;
 * -EADDRINUSE: a keeper lives, however slow it is; -ENAMETOOLONG; -errno.
 */
int keep_clear_place(const char *path);

/** keep_peer() - whether the other end is of our own user. Return: its process number; -EPERM if it is another's */
pid_t keep_peer(int sock);

#endif /* STATE_KEEP_H */
