/* SPDX-License-Identifier: MIT */
/*
 * policy/quota.c - what is held: per open, per user, in all
 *
 * Users are in a hash table of liburcu's, by uid. A user's life is in one word, `refs`: its opens and
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
	uint64_t opens;
	struct quota_held held;
	uid_t uid;
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
static unsigned long hash_of(uid_t uid)
{
	return (uid * 2654435769U) >> 12;
}

static int match(struct cds_lfht_node *node, const void *uid)
{
	return to_user(node)->uid == *(const uid_t *)uid;
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

/* Under RCU. @u: nobody holds it any more. */
static void user_remove(struct quota *q, struct quota_user *u)
{
	if (!cds_lfht_del(q->users, &u->node))
		rcu_call(&u->rcu, user_free);
}

/* Under RCU. */
static void user_put(struct quota *q, struct quota_user *u)
{
	if (!__atomic_sub_fetch(&u->refs, 1, __ATOMIC_ACQ_REL))
		user_remove(q, u);
}

/* Under RCU. Return: the user, held; NULL if there is none and @fresh, which is put in then, is NULL. */
static struct quota_user *user_find(struct quota *q, uid_t uid, struct quota_user *fresh)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	for (;;) {
		cds_lfht_lookup(q->users, hash_of(uid), match, &uid, &iter);
		node = cds_lfht_iter_get_node(&iter);
		if (!node && fresh)
			node = cds_lfht_add_unique(q->users, hash_of(uid), match, &uid,
						   &fresh->node);
		if (!node || (fresh && node == &fresh->node))
			return to_user(node);
		if (user_get(to_user(node)))
			return to_user(node);
		user_remove(q, to_user(node));
	}
}

struct quota_user *quota_open(struct quota *q, uid_t uid)
{
	struct quota_user *u, *fresh = NULL;

	rcu_read_enter();
	u = user_find(q, uid, NULL);
	if (!u) {
		fresh = calloc(1, sizeof(*fresh));
		if (fresh) {
			fresh->uid = uid;
			fresh->refs = 1;
			u = user_find(q, uid, fresh);
		}
	}
	if (u)
		__atomic_fetch_add(&u->opens, 1, __ATOMIC_RELAXED);
	rcu_read_leave();
	if (u != fresh)
		free(fresh);
	return u;
}

void quota_close(struct quota *q, struct quota_user *u)
{
	rcu_read_enter();
	__atomic_fetch_sub(&u->opens, 1, __ATOMIC_RELAXED);
	user_put(q, u);
	rcu_read_leave();
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

const char *quota_charge(struct quota *q, struct quota_user *u, struct quota_held *open,
			 uint64_t pages, const struct policy_limits *l)
{
	const struct {
		uint64_t *count;
		uint64_t n;
		uint64_t limit;
		const char *name;
	} step[] = {
		{ &open->maps, 1, l->maps_per_open, "maps_per_open" },
		{ &open->pages, pages, l->pages_per_open, "pages_per_open" },
		{ &u->held.maps, 1, l->maps_per_user, "maps_per_user" },
		{ &u->held.pages, pages, l->pages_per_user, "pages_per_user" },
		{ &q->held.maps, 1, l->maps, "maps" },
		{ &q->held.pages, pages, l->pages, "pages" },
	};
	const size_t n = sizeof(step) / sizeof(step[0]);
	size_t done = 0;

	if (!user_get(u))
		return QUOTA_CLOSED;
	while (done < n && take(step[done].count, step[done].n, step[done].limit))
		done++;
	if (done == n)
		return NULL;
	for (size_t i = 0; i < done; i++)
		give(step[i].count, step[i].n);
	user_put(q, u);
	return step[done].name;
}

static void give_back(struct quota_held *held, uint64_t pages)
{
	give(&held->maps, 1);
	give(&held->pages, pages);
}

void quota_release(struct quota *q, struct quota_user *u, struct quota_held *open, uint64_t pages)
{
	give_back(&q->held, pages);
	give_back(&u->held, pages);
	if (open)
		give_back(open, pages);
	rcu_read_enter();
	user_put(q, u);
	rcu_read_leave();
}

void quota_for_each_user(struct quota *q,
			 void (*fn)(uid_t uid, uint64_t opens, uint64_t maps, uint64_t pages,
				    void *arg),
			 void *arg)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	rcu_read_enter();
	/* Not ..._for_each_entry(): it makes an entry of the end of the table, a null pointer, too. */
	cds_lfht_for_each(q->users, &iter, node) {
		const struct quota_user *u = to_user(node);

		if (__atomic_load_n(&u->refs, __ATOMIC_RELAXED))
			fn(u->uid, __atomic_load_n(&u->opens, __ATOMIC_RELAXED),
			   __atomic_load_n(&u->held.maps, __ATOMIC_RELAXED),
			   __atomic_load_n(&u->held.pages, __ATOMIC_RELAXED), arg);
	}
	rcu_read_leave();
}

void quota_totals(const struct quota *q, struct quota_held *held)
{
	held->maps = __atomic_load_n(&q->held.maps, __ATOMIC_RELAXED);
	held->pages = __atomic_load_n(&q->held.pages, __ATOMIC_RELAXED);
}
