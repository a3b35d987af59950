/* SPDX-License-Identifier: MIT */
/*
 * policy/limit.h - what a policy can limit: one table, which all follow that deal with limits
 *
 * The parser, the counts (policy/quota.c), messages, the control protocol, metrics, gntdevctl and the fuzzer's
 * dictionary take a limit from here; make lint sees to it that man page and example name it. So a new limit of
 * what is counted already is a row here, and a paragraph there.
 */
#ifndef POLICY_LIMIT_H
#define POLICY_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What is counted, by the name that it has in the control protocol: X(name, one of it, of what).
 *
 * An open counts from open(2) until its release, a map and its pages from MAP_GRANT_REF until the grants are
 * unmapped and its index is free.
 */
#define POLICY_THINGS(X)                                                     \
	X(opens, "open", "Open files of the device")                         \
	X(maps, "map", "Maps that are reserved, or whose grants are mapped") \
	X(pages, "page", "Pages of these maps")

/*
 * X(name, scope, thing, default): the name of a limit in the policy's files, whose count it is about, and of what; what
 * holds where the files do not say, 0 for none. At most one for each scope and thing.
 *
 * Defaults are such that no honest dom0 meets them: cuse-gntdev.conf(5) has the reckoning. Root's are
 * POLICY_ROOT_TIMES as wide for what is a user's, and all together may hold what root and one other user may.
 */
#define POLICY_LIMITS(X)                       \
	X(maps_per_open, OPEN, maps, 0)        \
	X(pages_per_open, OPEN, pages, 0)      \
	X(opens_per_user, USER, opens, 16384)  \
	X(maps_per_user, USER, maps, 65536)    \
	X(pages_per_user, USER, pages, 131072) \
	X(maps, ALL, maps, 589824)             \
	X(pages, ALL, pages, 1179648)          \
	X(frames, MACHINE, frames, policy_memory_pages() / 8)

#define POLICY_ROOT_TIMES 8

#define POLICY_THING(name, ...)	       POLICY_THING_##name,
#define POLICY_LIMIT(name, ...)	       POLICY_LIMIT_##name,
#define POLICY_LIMIT_MEMBER(name, ...) uint64_t name;

enum policy_thing {
	POLICY_THINGS(POLICY_THING) POLICY_N_THINGS,
	POLICY_THING_frames = POLICY_N_THINGS, /* of POLICY_SCOPE_MACHINE */
};

/* Whose count: those of one open, of all opens of one user, of all. In this order they are held against it. */
enum policy_scope {
	POLICY_SCOPE_OPEN,
	POLICY_SCOPE_USER,
	POLICY_SCOPE_ALL,
	POLICY_SCOPE_MACHINE, /* what the hypervisor layer counts, see hv_counts */
	POLICY_N_SCOPES,
};

enum policy_limit { POLICY_LIMITS(POLICY_LIMIT) POLICY_N_LIMITS };

/**
 * struct policy_limits - a value for each; 0: no limit
 * @by_default: a bit for each that no file has said
 */
struct policy_limits {
	POLICY_LIMITS(POLICY_LIMIT_MEMBER)
	uint64_t by_default;
};

/** policy_memory_pages() - how many pages of memory this machine has */
uint64_t policy_memory_pages(void);

/** policy_limits_default() - what holds where no file says more */
void policy_limits_default(struct policy_limits *l);

/** policy_limit_name() - as in the policy's files. Never NULL */
const char *policy_limit_name(enum policy_limit limit);

/** policy_limit_scope(), policy_limit_thing() - whose count it is about, and of what */
enum policy_scope policy_limit_scope(enum policy_limit limit);
enum policy_thing policy_limit_thing(enum policy_limit limit);

/** policy_limit_of() - the one about this count. Return: POLICY_N_LIMITS if there is none */
enum policy_limit policy_limit_of(enum policy_scope scope, enum policy_thing thing);

/** policy_limit_set() - a file says it. @value: 0: no limit */
void policy_limit_set(struct policy_limits *l, enum policy_limit limit, uint64_t value);

/**
 * policy_limit_get() - its value in a set, 0: no limit
 * @root: of user 0, whose defaults are wider
 *
 * Also of POLICY_N_LIMITS, which is none.
 */
uint64_t policy_limit_get(const struct policy_limits *l, enum policy_limit limit, bool root);

/**
 * policy_thing_name() - such as "maps"; policy_thing_one() - one of them, such as "map";
 * policy_thing_words() - what that is, in words. Never NULL
 */
const char *policy_thing_name(enum policy_thing thing);
const char *policy_thing_one(enum policy_thing thing);
const char *policy_thing_words(enum policy_thing thing);

#endif /* POLICY_LIMIT_H */
