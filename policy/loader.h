/* SPDX-License-Identifier: MIT */
/*
 * policy/loader.h - read a policy on a thread of its own
 *
 * Names of users and groups may be looked up in another machine's database (nsswitch.conf(5)), which takes as long as it
 * takes. Whoever waits for the result has other things to do meanwhile: it polls a descriptor.
 *
 * One thread calls these functions. While a loader reads nobody else may call policy_load().
 */
#ifndef POLICY_LOADER_H
#define POLICY_LOADER_H

#include <stdbool.h>
#include <stddef.h>

struct policy;
struct policy_loader;
struct policy_why;

/** policy_loader_new() - for the file of policy_load(), which is kept. Return: NULL and errno */
struct policy_loader *policy_loader_new(const char *file, bool must);

/**
 * policy_loader_free() - of no use any more; NULL is fine
 *
 * Does not wait: what is under way ends some time, and nobody hears of it.
 */
void policy_loader_free(struct policy_loader *l);

/**
 * policy_loader_begin() - read the files
 *
 * If they are being read already they are read once more after that: whoever asked may have changed them meanwhile.
 *
 * Return: 0; -errno if there can be no thread.
 */
int policy_loader_begin(struct policy_loader *l);

/** policy_loader_fd() - readable when there is a result. Not to be closed */
int policy_loader_fd(const struct policy_loader *l);

/**
 * policy_loader_take() - the result, when the descriptor is readable
 * @out, @why: as of policy_load()
 *
 * Return: 0 or -errno, as policy_load(); -EAGAIN: it is being read once more, or again not finished.
 */
int policy_loader_take(struct policy_loader *l, struct policy **out, struct policy_why *why);

#endif /* POLICY_LOADER_H */
