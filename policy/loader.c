/* SPDX-License-Identifier: MIT */
/*
 * policy/loader.c - read a policy on a thread of its own
 *
 * What the thread works on belongs to it and the loader together; the one that lets go last frees it. So nobody waits
 * for a look-up that does not end.
 */
#include "policy/loader.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "policy/policy.h"

/**
 * struct policy_loader - shared with the thread
 * @refs:    who still needs it
 * @reading: a thread is at work, or its result has not been taken
 * @again:   it was asked for meanwhile
 * @p, @err, @why: the result; written by the thread before it writes to @fd
 */
struct policy_loader {
	char *file;
	bool must;
	int fd;
	unsigned int refs;
	bool reading;
	bool again;
	struct policy *p;
	int err;
	struct policy_why why;
};

static void put(struct policy_loader *l)
{
	if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL))
		return;
	policy_free(l->p);
	if (l->fd >= 0)
		close(l->fd);
	free(l->file);
	free(l);
}

struct policy_loader *policy_loader_new(const char *file, bool must)
{
	struct policy_loader *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->refs = 1;
	l->must = must;
	l->file = strdup(file);
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->file && l->fd >= 0)
		return l;
	put(l);
	return NULL;
}

void policy_loader_free(struct policy_loader *l)
{
	if (l)
		put(l);
}

static void *read_files(void *arg)
{
	const uint64_t one = 1;
	struct policy_loader *l = arg;

	l->err = policy_load(l->file, l->must, &l->p, &l->why);
	/* An eventfd that is at 0 takes it. */
	if (write(l->fd, &one, sizeof(one)) != sizeof(one))
		abort();
	put(l);
	return NULL;
}

static int start(struct policy_loader *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	__atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
	err = pthread_create(&thread, &attr, read_files, l);
	pthread_attr_destroy(&attr);
	if (err)
		put(l);
	l->reading = !err;
	return -err;
}

int policy_loader_begin(struct policy_loader *l)
{
	if (!l->reading)
		return start(l);
	l->again = true;
	return 0;
}

int policy_loader_fd(const struct policy_loader *l)
{
	return l->fd;
}

int policy_loader_take(struct policy_loader *l, struct policy **out, struct policy_why *why)
{
	uint64_t n;

	if (read(l->fd, &n, sizeof(n)) != sizeof(n))
		return -EAGAIN;
	l->reading = false;
	if (l->again) {
		l->again = false;
		policy_free(l->p);
		l->p = NULL;
		if (!start(l))
			return -EAGAIN;
		why->err = -ENOMEM;
		why->n = 1;
		strcpy(why->text[0], "cannot start a thread");
		return why->err;
	}
	*out = l->p;
	l->p = NULL;
	*why = l->why;
	return l->err;
}
