/* SPDX-License-Identifier: MIT */
/*
 * keeper/hold.c - descriptors by name
 */
#include "keeper/hold.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct held *find(const struct hold *h, const char *name)
{
	for (unsigned int i = 0; i < h->n; i++)
		if (!strcmp(h->thing[i].name, name))
			return (struct held *)&h->thing[i];
	return NULL;
}

int hold_put(struct hold *h, const char *name, int fd)
{
	struct held *t = find(h, name);

	if (fd < 0)
		return -EBADF;
	if (!*name || (!t && h->n == KEEP_THINGS)) {
		close(fd);
		return *name ? -ENFILE : -EINVAL;
	}
	if (t) {
		close(t->fd);
	} else {
		t = &h->thing[h->n++];
		strcpy(t->name, name);
	}
	t->fd = fd;
	return 0;
}

int hold_get(const struct hold *h, const char *name)
{
	const struct held *t = find(h, name);

	return t ? t->fd : -ENOENT;
}

int hold_drop(struct hold *h, const char *name)
{
	struct held *t = find(h, name);

	if (!t)
		return -ENOENT;
	close(t->fd);
	*t = h->thing[--h->n];
	return 0;
}

const char *hold_next(const struct hold *h, const char *name)
{
	const struct held *t = *name ? find(h, name) : NULL;
	unsigned int i = t ? (unsigned int)(t - h->thing) + 1 : 0;

	return (*name && !t) || i >= h->n ? NULL : h->thing[i].name;
}

void hold_keep_only(struct hold *h, bool (*keep)(const char *name))
{
	for (unsigned int i = h->n; i-- > 0;) {
		struct held *t = &h->thing[i];

		if (keep(t->name))
			continue;
		close(t->fd);
		*t = h->thing[--h->n];
	}
}
