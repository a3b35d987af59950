/* SPDX-License-Identifier: MIT */
/*
 * control/holders.c - which processes hold windows now, by a look through /proc
 */
#include "control/holders.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/procwalk.h"
#include "window/window.h"

/* Some MiB, if somebody has very many files of such names. */
#define FOUND_MAX 65536

/* Who frees it: whoever is second to say that it has no more use for it. */
enum holders_state {
	HOLDERS_LOOKING,
	HOLDERS_DONE,
	HOLDERS_ABANDONED,
};

/**
 * struct control_holders - a look
 * @state: enum holders_state (atomic)
 */
struct control_holders {
	struct procwalk_visitor visitor;
	int state;
	struct control_holder *found;
	size_t n;
	size_t room;
};

/* There is a thread. */
static bool looking;

static bool is_wanted(const char *s)
{
	struct window_name name;

	return window_name_parse(s, &name);
}

static bool is_same(const struct control_holder *a, const struct control_holder *b)
{
	return a->pid == b->pid && a->file.dev == b->file.dev && a->file.ino == b->file.ino &&
	       !strcmp(a->file.name, b->file.name);
}

static void found(struct procwalk_visitor *v, pid_t pid, const struct procmaps_file *file)
{
	struct control_holders *h = (struct control_holders *)v;
	struct control_holder holder = { .pid = pid, .file = *file };
	struct control_holder *more;

	if (h->n == FOUND_MAX || (h->n && is_same(&h->found[h->n - 1], &holder)))
		return;
	if (h->n == h->room) {
		more = realloc(h->found, (2 * h->room + 64) * sizeof(*more));
		if (!more)
			return;
		h->found = more;
		h->room = 2 * h->room + 64;
	}
	who_comm(holder.pid, holder.comm);
	h->found[h->n++] = holder;
}

/* What it holds is not known, so it is not told. */
static void blocked(struct procwalk_visitor *v, pid_t pid, uint64_t start, bool late)
{
	(void)v;
	(void)pid;
	(void)start;
	(void)late;
}

static void holders_free(struct control_holders *h)
{
	free(h->found);
	free(h);
}

static void *look(void *arg)
{
	struct control_holders *h = arg;
	int state = HOLDERS_LOOKING;

	procwalk(&h->visitor);
	if (!__atomic_compare_exchange_n(&h->state, &state, HOLDERS_DONE, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		holders_free(h);
	__atomic_store_n(&looking, false, __ATOMIC_RELEASE);
	return NULL;
}

struct control_holders *control_holders_start(void)
{
	struct control_holders *h;
	pthread_t thread;

	if (__atomic_exchange_n(&looking, true, __ATOMIC_ACQUIRE))
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h) {
		h->visitor.wanted = is_wanted;
		h->visitor.found = found;
		h->visitor.blocked = blocked;
	}
	if (!h || pthread_create(&thread, NULL, look, h)) {
		free(h);
		__atomic_store_n(&looking, false, __ATOMIC_RELEASE);
		return NULL;
	}
	pthread_detach(thread);
	return h;
}

bool control_holders_done(struct control_holders *h)
{
	return __atomic_load_n(&h->state, __ATOMIC_ACQUIRE) == HOLDERS_DONE;
}

const struct control_holder *control_holders_list(const struct control_holders *h, size_t *n)
{
	*n = h->n;
	return h->found;
}

void control_holders_put(struct control_holders *h)
{
	int state = HOLDERS_LOOKING;

	if (h)
		__atomic_store_n(&h->visitor.stop, true, __ATOMIC_RELAXED);
	if (h && !__atomic_compare_exchange_n(&h->state, &state, HOLDERS_ABANDONED, false,
					      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		holders_free(h);
}
