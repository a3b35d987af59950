/* SPDX-License-Identifier: MIT */
/*
 * policy/limit.c - what a policy can limit: the table of policy/limit.h, looked up
 */
#include "policy/limit.h"

#include <assert.h>
#include <stddef.h>
#include <unistd.h>

/* All values are of one type, so that a set of them begins as an array, in the order of the table. */
static_assert(offsetof(struct policy_limits, by_default) == POLICY_N_LIMITS * sizeof(uint64_t),
	      "a limit's value is found by its place in the table");

#define NAME(limit, scope, thing, value)  [POLICY_LIMIT_##limit] = #limit,
#define SCOPE(limit, scope, thing, value) [POLICY_LIMIT_##limit] = POLICY_SCOPE_##scope,
#define THING(limit, scope, thing, value) [POLICY_LIMIT_##limit] = POLICY_THING_##thing,
/* One more, so that 0 is none. */
#define PLACE(limit, scope, thing, value) \
	[POLICY_SCOPE_##scope][POLICY_THING_##thing] = 1 + POLICY_LIMIT_##limit,

const char *policy_limit_name(enum policy_limit limit)
{
	static const char *const names[] = { POLICY_LIMITS(NAME) };

	return names[limit];
}

enum policy_scope policy_limit_scope(enum policy_limit limit)
{
	static const enum policy_scope scopes[] = { POLICY_LIMITS(SCOPE) };

	return scopes[limit];
}

enum policy_thing policy_limit_thing(enum policy_limit limit)
{
	static const enum policy_thing things[] = { POLICY_LIMITS(THING) };

	return things[limit];
}

enum policy_limit policy_limit_of(enum policy_scope scope, enum policy_thing thing)
{
	static const unsigned int places[POLICY_N_SCOPES][POLICY_N_THINGS + 1] = { POLICY_LIMITS(
		PLACE) };
	unsigned int place = places[scope][thing];

	return place ? (enum policy_limit)(place - 1) : POLICY_N_LIMITS;
}

uint64_t policy_memory_pages(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);

	return pages > 0 ? (uint64_t)pages : 0;
}

#define DEFAULT(limit, scope, thing, value) .limit = (value),

void policy_limits_default(struct policy_limits *l)
{
	*l = (struct policy_limits){ POLICY_LIMITS(DEFAULT) };
	l->by_default = (1ULL << POLICY_N_LIMITS) - 1;
}

void policy_limit_set(struct policy_limits *l, enum policy_limit limit, uint64_t value)
{
	((uint64_t *)l)[limit] = value;
	l->by_default &= ~(1ULL << limit);
}

uint64_t policy_limit_get(const struct policy_limits *l, enum policy_limit limit, bool root)
{
	uint64_t value = limit == POLICY_N_LIMITS ? 0 : ((const uint64_t *)l)[limit];

	if (root && value && l->by_default >> limit & 1 &&
	    policy_limit_scope(limit) == POLICY_SCOPE_USER)
		return value * POLICY_ROOT_TIMES;
	return value;
}

#define THING_NAME(name, one, words)  [POLICY_THING_##name] = #name,
#define THING_ONE(name, one, words)   [POLICY_THING_##name] = one,
#define THING_WORDS(name, one, words) [POLICY_THING_##name] = words,

const char *policy_thing_name(enum policy_thing thing)
{
	static const char *const names[] = { POLICY_THINGS(THING_NAME) };

	return names[thing];
}

const char *policy_thing_one(enum policy_thing thing)
{
	static const char *const ones[] = { POLICY_THINGS(THING_ONE) };

	return ones[thing];
}

const char *policy_thing_words(enum policy_thing thing)
{
	static const char *const words[] = { POLICY_THINGS(THING_WORDS) };

	return words[thing];
}
