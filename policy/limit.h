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
 * X(name, scope, thing): the name of a limit in the policy's files, whose count it is about, and of what. At
 * most one for each scope and thing.
 */
#define POLICY_LIMITS(X)               \
	X(maps_per_open, OPEN, maps)   \
	X(pages_per_open, OPEN, pages) \
	X(opens_per_user, USER, opens) \
	X(maps_per_user, USER, maps)   \
	X(pages_per_user, USER, pages) \
	X(maps, ALL, maps)             \
	X(pages, ALL, pages)

#define POLICY_THING(name, ...)	       POLICY_THING_##name,
#define POLICY_LIMIT(name, ...)	       POLICY_LIMIT_##name,
#define POLICY_LIMIT_MEMBER(name, ...) uint64_t name;

enum policy_thing { POLICY_THINGS(POLICY_THING) POLICY_N_THINGS };

/* Whose count: those of one open, of all opens of one user, of all. In this order they are held against it. */
enum policy_scope {
	POLICY_SCOPE_OPEN,
	POLICY_SCOPE_USER,
	POLICY_SCOPE_ALL,
	POLICY_N_SCOPES,
};

enum policy_limit { POLICY_LIMITS(POLICY_LIMIT) POLICY_N_LIMITS };

/**
 * struct policy_limits - a value for each; 0: no limit
 */
struct policy_limits {
	POLICY_LIMITS(POLICY_LIMIT_MEMBER)
};

/** policy_limit_name() - as in the policy's files. Never NULL */
const char *policy_limit_name(enum policy_limit limit);

/** policy_limit_scope(), policy_limit_thing() - whose count it is about, and of what */
enum policy_scope policy_limit_scope(enum policy_limit limit);
enum policy_thing policy_limit_thing(enum policy_limit limit);

/** policy_limit_of() - the one about this count. Return: POLICY_N_LIMITS if there is none */
enum policy_limit policy_limit_of(enum policy_scope scope, enum policy_thing thing);

/** policy_limit_value() - its place in a set of values */
uint64_t *policy_limit_value(struct policy_limits *l, enum policy_limit limit);

/** policy_limit_get() - its value in a set, 0: no limit. Also of POLICY_N_LIMITS, which is none */
uint64_t policy_limit_get(const struct policy_limits *l, enum policy_limit limit);

/**
 * policy_thing_name() - such as "maps"; policy_thing_one() - one of them, such as "map";
 * policy_thing_words() - what that is, in words. Never NULL
 */
const char *policy_thing_name(enum policy_thing thing);
const char *policy_thing_one(enum policy_thing thing);
const char *policy_thing_words(enum policy_thing thing);

#endif /* POLICY_LIMIT_H */
