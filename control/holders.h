/* SPDX-License-Identifier: MIT */
/*
 * control/holders.h - which processes hold windows now, by a look through /proc
 *
 * It takes its time, and a process can make it wait a little (client/procwalk.h), so it is made by a
 * thread of its own, which touches nothing but what it collects. Who asked looks now and then whether
 * it is done, and goes on without it if it takes too long.
 *
 * All of it is called by the control thread.
 */
#ifndef CONTROL_HOLDERS_H
#define CONTROL_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "client/procmaps.h"
#include "client/who.h"

struct control_holders;

/* A process, and a file that it holds whose name is like a window's. Others may have such files, too. */
struct control_holder {
	pid_t pid;
	char comm[WHO_COMM_SIZE];
	struct procmaps_file file;
};

/**
 * control_holders_start() - begin to look
 *
 * Return: the look, for control_holders_put(); NULL if there is no memory, or if another look is under
 * way: there is one at a time.
 */
struct control_holders *control_holders_start(void);

/** control_holders_done() - whether all have been looked at; from then on the list is the caller's */
bool control_holders_done(struct control_holders *h);

/** control_holders_list() - what was found, each once in a row. Only when it is done */
const struct control_holder *control_holders_list(const struct control_holders *h, size_t *n);

/** control_holders_put() - it is wanted no more, done or not. @h: or NULL */
void control_holders_put(struct control_holders *h);

#endif /* CONTROL_HOLDERS_H */
