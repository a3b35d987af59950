/* SPDX-License-Identifier: MIT */
/*
 * policy/quota.c - what is held: per open, per user, in all
 *
 * Users are in a hash table of liburcu's, by uid and owner; one that has an owner holds that one, its parent. A user's life is in one word, `refs`: its opens and
 * its maps. It is found, and then held, only while that is not 0; who takes the last reference takes it
 * out of the table. Who finds one that is 0 has met it on its way out, and helps, so that nobody waits. Which of
 * them has taken it out the table says, when it is out for sure; that one frees it after a grace period. (For
 * the others it may still be linked, and readers of after that grace period began would find it.)
 *
 * A limit is never passed, not even for a moment: each counter is raised by compare-and-swap, and what was
 * raised before is taken back when a later one refuses. So two charges that together are too much may both
 * be refused, if each has raised one counter that the other wanted. That is as if a third had come between.
 */
#include "policy/quota.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <urcu/rculfhash.h>
#include <urcu/urcu-memb.h>

#include "base/rcu.h"

/* Buckets. Fixed: a table that resizes itself has a thread for that. */
#define BUCKETS 1024

const char QUOTA_CLOSED[] = "closed";

struct quota_user {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	uint64_t refs;
	struct quota_held held;
	struct quota_user *parent;
	uid_t uid;
	uid_t owner;
};

/* What users are found by. */
struct key {
	uid_t uid;
	uid_t owner;
};

struct quota {
	struct cds_lfht *users;
	struct quota_held held;
};

static struct quota_user *to_user(struct cds_lfht_node *node)
{
	return node ? caa_container_of(node, struct quota_user, node) : NULL;
}

/* uids come in runs, and runs of subordinate ones in steps of 65536. */
static unsigned long hash_of(const struct key *key)
{
	return ((key->uid ^ key->owner * 40503U) * 2654435769U) >> 12;
}

static int match(struct cds_lfht_node *node, const void *arg)
{
	const struct key *key = arg;

	return to_user(node)->uid == key->uid && to_user(node)->owner == key->owner;
}

struct quota *quota_new(void)
{
	struct quota *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->users = cds_lfht_new_flavor(BUCKETS, BUCKETS, BUCKETS, 0, &urcu_memb_flavor, NULL);
	if (!q->users) {
		free(q);
		return NULL;
	}
	return q;
}

void quota_destroy(struct quota *q)
{
	if (!q)
		return;
	cds_lfht_destroy(q->users, NULL);
	free(q);
}

/* Return: whether the user was alive, and is held now. */
static bool user_get(struct quota_user *u)
{
	uint64_t refs = __atomic_load_n(&u->refs, __ATOMIC_RELAXED);

	do {
		if (!refs)
			return false;
	} while (!__atomic_compare_exchange_n(&u->refs, &refs, refs + 1, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

static void user_free(struct rcu_head *head)
{
	rcu_grace_period_over();
	free(caa_container_of(head, struct quota_user, rcu));
}

static void user_put(struct quota *q, struct quota_user *u);

/* Under RCU. @u: nobody holds it any more. Its parent has none itself, so this goes one level deep. */
static void user_remove(struct quota *q, struct quota_user *u)
{
	if (cds_lfht_del(q->users, &u->node))
		return;
	if (u->parent)
		user_put(q, u->parent);
	rcu_call(&u->rcu, user_free);
}

/* Under RCU. */
static void user_put(struct quota *q, struct quota_user *u)
{
	if (!__atomic_sub_fetch(&u->refs, 1, __ATOMIC_ACQ_REL))
		user_remove(q, u);
}

/* Under RCU. Return: the user, held; NULL if there is none and @fresh, which is put in then, is NULL. */
static struct quota_user *user_find(struct quota *q, const struct key *key,
				    struct quota_user *fresh)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	for (;;) {
		cds_lfht_lookup(q->users, hash_of(key), match, key, &iter);
		node = cds_lfht_iter_get_node(&iter);
		if (!node && fresh)
			node = cds_lfht_add_unique(q->users, hash_of(key), match, key,
						   &fresh->node);
		if (!node || (fresh && node == &fresh->node))
			return to_user(node);
		if (user_get(to_user(node)))
			return to_user(node);
		user_remove(q, to_user(node));
	}
}

/* --- counts ------------------------------------------------------------------------------------- */

/* All counts are of one type, so that they are an array, in the order of POLICY_THINGS. */
static_assert(sizeof(struct quota_held) == POLICY_N_THINGS * sizeof(uint64_t),
	      "a count is found by its number");

static uint64_t *count_of(struct quota_held *held, enum policy_thing thing)
{
	return (uint64_t *)held + thing;
}

uint64_t quota_held_of(const struct quota_held *held, enum policy_thing thing)
{
	return __atomic_load_n((const uint64_t *)held + thing, __ATOMIC_RELAXED);
}

/* @limit: 0: none. Return: whether @n more are within it, and counted now. */
static bool take(uint64_t *count, uint64_t n, uint64_t limit)
{
	uint64_t old = __atomic_load_n(count, __ATOMIC_RELAXED);

	do {
		if (limit && (old > limit || n > limit - old))
			return false;
	} while (!__atomic_compare_exchange_n(count, &old, old + n, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

static void give(uint64_t *count, uint64_t n)
{
	__atomic_fetch_sub(count, n, __ATOMIC_RELAXED);
}

/* Who holds something: an open or NULL, a user and the one it belongs to or NULL, all. */
enum holder {
	HOLDER_OPEN,
	HOLDER_USER,
	HOLDER_PARENT,
	HOLDER_ALL,
	HOLDERS,
};

struct holders {
	struct quota_held *held[HOLDERS];
	bool root[HOLDERS];
};

/* Not so user 0 of a container that somebody else has made. */
static bool is_root(const struct quota_user *u)
{
	return u->uid == 0 && u->owner == QUOTA_NO_OWNER;
}

static struct holders holders_of(struct quota *q, struct quota_user *u, struct quota_held *open)
{
	return (struct holders){
		.held = {
			[HOLDER_OPEN] = open,
			[HOLDER_USER] = &u->held,
			[HOLDER_PARENT] = u->parent ? &u->parent->held : NULL,
			[HOLDER_ALL] = &q->held,
		},
		.root = {
			[HOLDER_USER] = is_root(u),
			[HOLDER_PARENT] = u->parent && is_root(u->parent),
		},
	};
}

/* Whose limits hold for a holder. */
static const enum policy_scope scope_of[HOLDERS] = {
	[HOLDER_OPEN] = POLICY_SCOPE_OPEN,
	[HOLDER_USER] = POLICY_SCOPE_USER,
	[HOLDER_PARENT] = POLICY_SCOPE_USER,
	[HOLDER_ALL] = POLICY_SCOPE_ALL,
};

/* The counts are in an order: first the things of the first holder. */
static unsigned int place_of(unsigned int holder, unsigned int thing)
{
	return holder * POLICY_N_THINGS + thing;
}

#define PLACES place_of(HOLDERS, 0)

/* Give back what was taken before place @end. */
static void give_all(const struct holders *h, const struct quota_held *amount, unsigned int end)
{
	for (unsigned int i = 0; i < HOLDERS; i++) {
		struct quota_held *held = h->held[i];

		for (unsigned int thing = 0; held && thing < POLICY_N_THINGS; thing++) {
			uint64_t n = quota_held_of(amount, thing);

			if (n && place_of(i, thing) < end)
				give(count_of(held, thing), n);
		}
	}
}

/* Return: whether @n more of a thing are within the limit that a holder has of it, and counted now. */
static bool take_of(const struct holders *h, unsigned int holder, enum policy_thing thing,
		    uint64_t n, const struct policy_limits *l)
{
	enum policy_limit limit = policy_limit_of(scope_of[holder], thing);

	return take(count_of(h->held[holder], thing), n,
		    l ? policy_limit_get(l, limit, h->root[holder]) : 0);
}

/* Return: NULL, or the name of the limit that is in the way; nothing has been taken then. */
static const char *take_all(const struct holders *h, const struct quota_held *amount,
			    const struct policy_limits *l)
{
	for (unsigned int i = 0; i < HOLDERS; i++) {
		for (unsigned int thing = 0; h->held[i] && thing < POLICY_N_THINGS; thing++) {
			uint64_t n = quota_held_of(amount, thing);

			if (!n || take_of(h, i, thing, n, l))
				continue;
			give_all(h, amount, place_of(i, thing));
			return policy_limit_name(policy_limit_of(scope_of[i], thing));
		}
	}
	return NULL;
}

/* --- what is charged ---------------------------------------------------------------------------- */

/* Under RCU. Return: the user, held and new if need be; NULL if there is no memory. */
static struct quota_user *user_hold(struct quota *q, const struct key *key,
				    struct quota_user *parent)
{
	struct quota_user *u, *fresh;

	u = user_find(q, key, NULL);
	if (u)
		return u;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return NULL;
	fresh->uid = key->uid;
	fresh->owner = key->owner;
	fresh->refs = 1;
	fresh->parent = parent;
	u = user_find(q, key, fresh);
	if (u != fresh)
		free(fresh);
	else if (parent)
		user_get(parent);
	return u;
}

/* Under RCU. The same with the one it belongs to. */
static struct quota_user *user_hold_both(struct quota *q, uid_t uid, uid_t owner)
{
	const struct key alone = { owner, QUOTA_NO_OWNER };
	struct key key = { uid, owner };
	struct quota_user *u, *parent = NULL;

	/* Of a namespace of one's own there is nothing else to count. */
	if (uid == owner)
		key.owner = QUOTA_NO_OWNER;
	if (key.owner != QUOTA_NO_OWNER) {
		parent = user_hold(q, &alone, NULL);
		if (!parent)
			return NULL;
	}
	u = user_hold(q, &key, parent);
	if (parent)
		user_put(q, parent);
	return u;
}

static const struct quota_held one_open = { .opens = 1 };

struct quota_user *quota_open(struct quota *q, uid_t uid, uid_t owner,
			      const struct policy_limits *l, const char **limit)
{
	const char *met = NULL;
	struct quota_user *u;
	struct holders h;

	rcu_read_enter();
	u = user_hold_both(q, uid, owner);
	if (u) {
		h = holders_of(q, u, NULL);
		met = take_all(&h, &one_open, l);
	}
	if (met) {
		user_put(q, u);
		u = NULL;
	}
	rcu_read_leave();
	if (limit)
		*limit = met;
	return u;
}

void quota_close(struct quota *q, struct quota_user *u)
{
	const struct holders h = holders_of(q, u, NULL);

	rcu_read_enter();
	give_all(&h, &one_open, PLACES);
	user_put(q, u);
	rcu_read_leave();
}

const char *quota_charge(struct quota *q, struct quota_user *u, struct quota_held *open,
			 uint64_t pages, const struct policy_limits *l)
{
	const struct quota_held amount = { .maps = 1, .pages = pages };
	const struct holders h = holders_of(q, u, open);
	const char *met;

	if (!user_get(u))
		return QUOTA_CLOSED;
	met = take_all(&h, &amount, l);
	if (met)
		user_put(q, u);
	return met;
}

void quota_release(struct quota *q, struct quota_user *u, struct quota_held *open, uint64_t pages)
{
	const struct quota_held amount = { .maps = 1, .pages = pages };
	const struct holders h = holders_of(q, u, open);

	give_all(&h, &amount, PLACES);
	rcu_read_enter();
	user_put(q, u);
	rcu_read_leave();
}

/* --- looking ------------------------------------------------------------------------------------ */

/* As it is now, each count for itself. */
static struct quota_held copy_of(const struct quota_held *held)
{
	struct quota_held copy;

	for (unsigned int i = 0; i < POLICY_N_THINGS; i++)
		*count_of(&copy, (enum policy_thing)i) = quota_held_of(held, (enum policy_thing)i);
	return copy;
}

void quota_for_each_user(struct quota *q,
			 void (*fn)(uid_t uid, uid_t owner, const struct quota_held *held,
				    void *arg),
			 void *arg)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	rcu_read_enter();
	/* Not ..._for_each_entry(): it makes an entry of the end of the table, a null pointer, too. */
	cds_lfht_for_each(q->users, &iter, node) {
		const struct quota_user *u = to_user(node);

		struct quota_held held = copy_of(&u->held);

		if (__atomic_load_n(&u->refs, __ATOMIC_RELAXED))
			fn(u->uid, u->owner, &held, arg);
	}
	rcu_read_leave();
}

void quota_totals(const struct quota *q, struct quota_held *held)
{
	*held = copy_of(&q->held);
}
