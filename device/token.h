/* SPDX-License-Identifier: MIT */
/*
 * device/token.h - the authority to mmap an open: whoever can ioctl it may learn its token
 */
#ifndef DEVICE_TOKEN_H
#define DEVICE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/winproto.h"

struct caller;
struct winsock;

/**
 * struct token - what is known of an open
 * @secret:     what a window request has to say
 * @may_read, @may_write: how it was opened
 */
struct token {
	uint8_t secret[16];
	bool may_read;
	bool may_write;
};

/**
 * token_new() - draw a token for a new open
 * @flags: of its open(2)
 *
 * Return: 0, or -errno if the kernel gives no random bytes.
 */
int token_new(struct token *t, int flags);

/**
 * token_answer() - carry out a WINDOW_TOKEN ioctl
 * @c:      who asks, through which open
 * @w:      the argument: in, and what is written back
 * @t:      the token of that open
 * @ws:     the device's window socket
 *
 * Return: 0; -ENOTTY to a caller that is not a preload object of this version (so an unrelated program
 * that tries the number sees what the kernel's driver would say).
 */
int token_answer(const struct caller *c, struct window_token *w, const struct token *t,
		 struct winsock *ws);

/**
 * token_check() - whether a window request bears this token
 *
 * In constant time: the answer does not tell how much of a guess was right.
 */
bool token_check(const struct token *t, const struct window_request *rq);

/**
 * token_access() - whether the open allows what a window request asks for
 *
 * The kernel has made this check before it said ENODEV; but who has a token need not have asked it.
 *
 * Return: 0 or -EACCES.
 */
int token_access(const struct token *t, const struct window_request *rq);

#endif /* DEVICE_TOKEN_H */
