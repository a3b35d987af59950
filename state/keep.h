/* SPDX-License-Identifier: MIT */
/*
 * state/keep.h - what the daemon and its keeper say to each other
 *
 * The keeper (keeper/keeper.c) holds descriptors by name, for one daemon at a time. It is not replaced when the daemon is:
 * a daemon of years later speaks to it. So there is little of this, and what is here does not change. A message is a
 * packet of a SOCK_SEQPACKET connection: struct keep_msg, with text behind it in a HELLO, and a descriptor. Each message of
 * the daemon's gets one answer, but for LIST, which gets one for each name and one more.
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

/* Names, their NUL included; what is kept at a time; text of a HELLO: path and arguments of the daemon, each ended by a NUL. */
#define KEEP_NAME     32
#define KEEP_THINGS   4096
#define KEEP_TEXT_MAX 8192
/* Longest time for which a successor is waited for. */
#define KEEP_SECONDS_MAX 86400

/**
 * enum keep_op - what is said
 * @KEEP_HELLO: I am the daemon from now on. @value: seconds for which my successor is to be waited for, text: the command by
 *		which to start a program that ends all for good. Answer: @value: 0, or when the last daemon ended, CLOCK_BOOTTIME in ns;
 *		@count: things held; @left. -EBUSY: there is one; -ESHUTDOWN: all is being ended
 * @KEEP_LIST:	what is held? An answer for each, with name and descriptor, then one without a name
 * @KEEP_PUT:	hold this, instead of what has had the name. -ENFILE: too much
 * @KEEP_DROP:	let go of it. -ENOENT
 * @KEEP_LEAVE: I am about to end, and leave all to my successor
 * @KEEP_END:	all has been ended for good: let go of everything, and end
 * @KEEP_LOOK:	of anybody, instead of HELLO: how are things? Answer: @value: process number of the daemon, 0: there is none; @count;
 *		@left: seconds for which a successor is still waited for
 */
enum keep_op {
	KEEP_HELLO = 1,
	KEEP_LIST = 2,
	KEEP_PUT = 3,
	KEEP_DROP = 4,
	KEEP_LEAVE = 5,
	KEEP_END = 6,
	KEEP_LOOK = 7,
};

/**
 * struct keep_msg - one of them, and its answer
 * @op:	   enum keep_op; an answer has that of the question
 * @error: of an answer: 0 or -errno
 * @fd:	   with a descriptor that does not go along: its number; else -1
 * @left:  see there; of HELLO: whether the last daemon said LEAVE
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

/** keep_peer() - whether the other end is of our own user. Return: its process number; -EPERM if it is another's */
pid_t keep_peer(int sock);

#endif /* STATE_KEEP_H */
