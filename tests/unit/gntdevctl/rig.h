/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/rig.h - a daemon that gives canned answers to gntdevctl
 */
#ifndef TEST_GNTDEVCTL_RIG_H
#define TEST_GNTDEVCTL_RIG_H

#include <check.h>
#include <stddef.h>
#include <string.h>

#include "gntdevctl/commands.h"

/**
 * struct canned - what is answered
 * @request: part of a request's line; "" matches all
 * @answer:  lines; NULL: the connection is closed
 */
struct canned {
	const char *request;
	const char *answer;
};

/**
 * ctl_rig_start() - serve, until the end of the process
 * @canned: the first that matches is used; the last has no request and no answer
 */
void ctl_rig_start(const struct canned *canned);

/* Where it listens: for --socket=. */
extern char ctl_rig_path[];

/** ctl_rig_requests() - all request lines so far */
const char *ctl_rig_requests(void);

/* What a subcommand printed. */
extern char ctl_rig_out[65536], ctl_rig_err[65536];

/**
 * ctl_rig_run() - run a subcommand in a process of its own
 * @line: its arguments, separated by blanks; options of struct ctl among them are set by themselves
 *
 * Return: its exit status.
 */
int ctl_rig_run(int (*command)(struct ctl *ctl, int argc, char **argv), const char *line);

/* Assertions on what was printed. */
static inline void has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in:\n%s", part, text);
}

static inline void has_not(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) == NULL, "\"%s\" in:\n%s", part, text);
}

static inline void harmless(const char *text)
{
	for (; *text; text++)
		ck_assert_msg((*text >= ' ' && *text <= '~') || *text == '\n' || *text == '\t',
			      "byte 0x%x", (unsigned char)*text);
}

#endif /* TEST_GNTDEVCTL_RIG_H */
