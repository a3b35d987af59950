/* SPDX-License-Identifier: MIT */
/*
 * state/state.c - the header of all that outlives the daemon
 */
#include "state/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/version.h"
#include "base/clock.h"
#include "base/why.h"
#include "state/record.h"
#include "state/region.h"

struct state {
	struct region mem;
};

struct state_header *state_header(struct state *s)
{
	return (struct state_header *)s->mem.base;
}

int state_new(const char *options, unsigned int sessions, struct state **out)
{
	struct state *s = calloc(1, sizeof(*s));
	struct state_header *h;
	int err = s ? 0 : -ENOMEM;

	*out = NULL;
	if (strlen(options) >= STATE_OPTIONS_BYTES || sessions > STATE_SESSIONS)
		err = -E2BIG;
	if (!err)
		err = region_new("state", sizeof(*h), &s->mem);
	if (!err)
		err = region_grow(&s->mem, sizeof(*h));
	if (err) {
		state_close(s);
		return err;
	}
	h = state_header(s);
	h->version = STATE_VERSION;
	h->header_bytes = sizeof(*h);
	h->cell_bytes = sizeof(struct record_cell);
	h->sessions = sessions;
	h->since = clock_read_ns(CLOCK_BOOTTIME);
	snprintf(h->program, sizeof(h->program), "%s", VERSION);
	snprintf(h->options, sizeof(h->options), "%s", options);
	__atomic_store_n(&h->magic, STATE_MAGIC, __ATOMIC_RELEASE);
	*out = s;
	return 0;
}

/* The first line of one that is not a line of the other. Return: whether there is one. */
static bool other_line(const char *a, const char *b, char *line, size_t size)
{
	size_t len;

	for (; *a; a += len + (a[len] == '\n')) {
		const char *at = b;

		len = strcspn(a, "\n");
		while (*at && (strcspn(at, "\n") != len || strncmp(at, a, len) != 0)) {
			at += strcspn(at, "\n");
			at += *at == '\n';
		}
		if (!*at) {
			snprintf(line, size, "%.*s", (int)len, a);
			return true;
		}
	}
	return false;
}

static int check_options(const struct state_header *h, const char *options, const struct why *why)
{
	char theirs[80] = "nothing", ours[80] = "nothing";
	bool differ = other_line(h->options, options, theirs, sizeof(theirs));

	if (!(other_line(options, h->options, ours, sizeof(ours)) | differ))
		return 0;
	because(why,
		"the daemon whose clients wait was started with other options: %s, and this one "
		"with %s: "
		"start it with the former; or end what it has left for good: cuse_gntdev --end, "
		"with the former",
		theirs, ours);
	return -EEXIST;
}

/* That of version 1 ends with the sessions that it has room for. */
static size_t header_bytes(uint32_t version)
{
	return version == 1 ? offsetof(struct state_header, init[17]) : sizeof(struct state_header);
}

static bool inits_can_be(const struct state_header *h)
{
	bool good = h->header_bytes >=
		    offsetof(struct state_header, init) + h->sessions * sizeof(h->init[0]);

	for (unsigned int i = 0; good && i < h->sessions; i++)
		good &= h->init[i].len <= STATE_INIT_BYTES;
	return good;
}

static int check(const struct state *s, const char *options, unsigned int sessions,
		 const struct why *why)
{
	const struct state_header *h = (const struct state_header *)s->mem.base;

	if (s->mem.max < offsetof(struct state_header, header_bytes) || h->magic != STATE_MAGIC) {
		because(why, "what the keeper holds as \"state\" is damaged, or not a daemon's");
		return -EINVAL;
	}
	if (h->version < STATE_OLDEST || h->version > STATE_VERSION) {
		because(why,
			"the daemon whose clients wait keeps its state in version %u, and this "
			"program adopts "
			"versions %u to %u only: start that daemon's program again",
			h->version, STATE_OLDEST, STATE_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (s->mem.max < header_bytes(h->version) || h->header_bytes != header_bytes(h->version) ||
	    h->cell_bytes != sizeof(struct record_cell) ||
	    !memchr(h->options, '\0', sizeof(h->options)) ||
	    !memchr(h->program, '\0', sizeof(h->program))) {
		because(why, "the header of the state that the keeper holds is damaged");
		return -EINVAL;
	}
	if (check_options(h, options, why))
		return -EEXIST;
	if (h->sessions == sessions && inits_can_be(h))
		return 0;
	because(why, "the header of the state that the keeper holds is damaged");
	return -EINVAL;
}

int state_adopt(int fd, const char *options, unsigned int sessions, struct state **out,
		const struct why *why)
{
	struct state *s = calloc(1, sizeof(*s));
	int err;

	*out = NULL;
	if (!s) {
		close(fd);
		because(why, "out of memory");
		return -ENOMEM;
	}
	err = region_adopt(fd, 0, &s->mem);
	if (err)
		because(why, "what the keeper holds as \"state\" is damaged: %s", strerror(-err));
	if (!err)
		err = check(s, options, sessions, why);
	if (err) {
		state_close(s);
		return err;
	}
	*out = s;
	return 0;
}

int state_fd(const struct state *s)
{
	return s->mem.fd;
}

void state_served(struct state *s, uint64_t ended_ns)
{
	struct state_header *h = state_header(s);
	uint64_t now = clock_read_ns(CLOCK_BOOTTIME);

	snprintf(h->program, sizeof(h->program), "%s", VERSION);
	__atomic_store_n(&h->outage_ns, now - ended_ns, __ATOMIC_RELAXED);
	__atomic_add_fetch(&h->survived, 1, __ATOMIC_RELAXED);
}

void state_close(struct state *s)
{
	if (!s)
		return;
	region_close(&s->mem);
	free(s);
}
