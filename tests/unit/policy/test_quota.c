/* SPDX-License-Identifier: MIT */
/*
 * policy/test_quota.c - what is held is counted exactly, no limit is passed, users come and go
 *
 * policy/quota.c is compiled in here with one change: a user that is on its way out of the table may be on it
 * for long, so that others meet it there; or be taken out by somebody else, who has not got to it yet.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <urcu/rculfhash.h>

static _Thread_local unsigned int dels;
static _Thread_local bool del_elsewhere;

static int slow_del(struct cds_lfht *table, struct cds_lfht_node *node)
{
	if (++dels % 16 == 0)
		sched_yield();
	if (del_elsewhere)
		return -ENOENT;
	return cds_lfht_del(table, node);
}

#define cds_lfht_del slow_del
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "policy/quota.c"
#undef cds_lfht_del

#include "base/rcu.h"

static struct quota *q;

static void setup(void)
{
	rcu_thread_enter();
	q = quota_new();
	ck_assert_ptr_nonnull(q);
}

static void teardown(void)
{
	quota_destroy(q);
	rcu_wait_for_calls();
	rcu_thread_leave();
}

static const char *charge(struct quota_user *u, struct quota_held *open, uint64_t pages,
			  const struct policy_limits *l)
{
	const char *limit;

	rcu_read_enter();
	limit = quota_charge(q, u, open, pages, l);
	rcu_read_leave();
	return limit;
}

struct seen {
	unsigned int users;
	uid_t uid;
	uint64_t opens, maps, pages;
};

static void see(uid_t uid, uid_t owner, const struct quota_held *held, void *arg)
{
	struct seen *s = arg;

	(void)owner;
	s->users++;
	s->uid = uid;
	s->opens += held->opens;
	s->maps += held->maps;
	s->pages += held->pages;
}

static struct seen look(void)
{
	struct seen s = { 0 };

	quota_for_each_user(q, see, &s);
	return s;
}

static void expect(unsigned int users, uint64_t opens, uint64_t maps, uint64_t pages)
{
	struct seen s = look();
	struct quota_held all;

	quota_totals(q, &all);
	ck_assert_uint_eq(s.users, users);
	ck_assert_uint_eq(s.opens, opens);
	ck_assert_uint_eq(s.maps, maps);
	ck_assert_uint_eq(s.pages, pages);
	ck_assert_uint_eq(all.opens, opens);
	ck_assert_uint_eq(all.maps, maps);
	ck_assert_uint_eq(all.pages, pages);
}

START_TEST(counts_and_gives_back)
{
	const struct policy_limits none = { 0 };
	struct quota_held open = { 0 };
	struct quota_user *u = quota_open(q, 1000, QUOTA_NO_OWNER, NULL, NULL);

	expect(1, 1, 0, 0);
	ck_assert_uint_eq(look().uid, 1000);
	ck_assert_ptr_null(charge(u, &open, 5, &none));
	ck_assert_ptr_null(charge(u, &open, 1, &none));
	ck_assert_uint_eq(open.maps, 2);
	ck_assert_uint_eq(open.pages, 6);
	expect(1, 1, 2, 6);
	quota_release(q, u, &open, 5);
	ck_assert_uint_eq(open.maps, 1);
	ck_assert_uint_eq(open.pages, 1);
	/* The open goes first, its map later. */
	quota_close(q, u);
	expect(1, 0, 1, 1);
	quota_release(q, u, NULL, 1);
	expect(0, 0, 0, 0);
}
END_TEST

START_TEST(one_user_for_all_opens_of_a_uid)
{
	struct quota_user *a = quota_open(q, 5, QUOTA_NO_OWNER, NULL, NULL),
			  *b = quota_open(q, 5, QUOTA_NO_OWNER, NULL, NULL),
			  *c = quota_open(q, 6, QUOTA_NO_OWNER, NULL, NULL);

	ck_assert_ptr_eq(a, b);
	ck_assert_ptr_ne(a, c);
	expect(2, 3, 0, 0);
	quota_close(q, a);
	expect(2, 2, 0, 0);
	quota_close(q, b);
	expect(1, 1, 0, 0);
	ck_assert_uint_eq(look().uid, 6);
	quota_close(q, c);
}
END_TEST

/* Each limit by its name, exactly at its value; and nothing is taken by what is refused. */
START_TEST(each_limit)
{
	static const struct {
		const char *name;
		struct policy_limits l;
	} row[] = {
		{ "pages_per_open", { .pages_per_open = 7 } },
		{ "maps_per_open", { .maps_per_open = 2 } },
		{ "pages_per_user", { .pages_per_user = 7 } },
		{ "maps_per_user", { .maps_per_user = 2 } },
		{ "pages", { .pages = 7 } },
		{ "maps", { .maps = 2 } },
	};
	struct quota_held open = { 0 };
	struct quota_user *u = quota_open(q, 1, QUOTA_NO_OWNER, NULL, NULL);

	ck_assert_ptr_null(charge(u, &open, 4, &row[_i].l));
	ck_assert_ptr_null(charge(u, &open, 3, &row[_i].l));
	ck_assert_str_eq(charge(u, &open, 1, &row[_i].l), row[_i].name);
	expect(1, 1, 2, 7);
	ck_assert_uint_eq(open.maps, 2);
	ck_assert_uint_eq(open.pages, 7);
	quota_release(q, u, &open, 3);
	ck_assert_ptr_null(charge(u, &open, 3, &row[_i].l));
	quota_release(q, u, &open, 3);
	quota_release(q, u, &open, 4);
	quota_close(q, u);
}
END_TEST

START_TEST(more_than_all_there_can_be)
{
	const struct policy_limits l = { .pages = 10 };
	struct quota_held open = { 0 };
	struct quota_user *u = quota_open(q, 1, QUOTA_NO_OWNER, NULL, NULL);

	ck_assert_ptr_null(charge(u, &open, 3, &l));
	ck_assert_str_eq(charge(u, &open, UINT64_MAX, &l), "pages");
	ck_assert_str_eq(charge(u, &open, UINT64_MAX - 2, &l), "pages");
	quota_release(q, u, &open, 3);
	quota_close(q, u);
}
END_TEST

START_TEST(lowered_below_what_is_held)
{
	const struct policy_limits wide = { .pages_per_user = 100 },
				   narrow = { .pages_per_user = 10 };
	struct quota_held open = { 0 };
	struct quota_user *u = quota_open(q, 1, QUOTA_NO_OWNER, NULL, NULL);

	ck_assert_ptr_null(charge(u, &open, 50, &wide));
	ck_assert_str_eq(charge(u, &open, 1, &narrow), "pages_per_user");
	quota_release(q, u, &open, 50);
	ck_assert_ptr_null(charge(u, &open, 10, &narrow));
	quota_release(q, u, &open, 10);
	quota_close(q, u);
}
END_TEST

START_TEST(whose_limit)
{
	const struct policy_limits l = { .pages_per_open = 4, .pages_per_user = 6, .pages = 9 };
	struct quota_held open[3] = { { 0 } };
	struct quota_user *a = quota_open(q, 1, QUOTA_NO_OWNER, NULL, NULL),
			  *b = quota_open(q, 2, QUOTA_NO_OWNER, NULL, NULL);

	ck_assert_ptr_eq(quota_open(q, 1, QUOTA_NO_OWNER, NULL, NULL), a);
	ck_assert_ptr_null(charge(a, &open[0], 4, &l));
	ck_assert_str_eq(charge(a, &open[0], 1, &l), "pages_per_open");
	ck_assert_str_eq(charge(a, &open[1], 3, &l), "pages_per_user");
	ck_assert_ptr_null(charge(a, &open[1], 2, &l));
	ck_assert_str_eq(charge(b, &open[2], 4, &l), "pages");
	ck_assert_ptr_null(charge(b, &open[2], 3, &l));
	expect(2, 3, 3, 9);
	quota_release(q, a, &open[0], 4);
	quota_release(q, a, &open[1], 2);
	quota_release(q, b, &open[2], 3);
	quota_close(q, a);
	quota_close(q, a);
	quota_close(q, b);
	expect(0, 0, 0, 0);
}
END_TEST

/* As of an ioctl that races with the release of its open. */
START_TEST(closed_meanwhile)
{
	const struct policy_limits none = { 0 };
	struct quota_held open = { 0 };
	struct quota_user *u = quota_open(q, 1, QUOTA_NO_OWNER, NULL, NULL);

	rcu_read_enter();
	quota_close(q, u);
	ck_assert_ptr_eq(quota_charge(q, u, &open, 1, &none), QUOTA_CLOSED);
	rcu_read_leave();
	ck_assert_uint_eq(open.maps, 0);
	expect(0, 0, 0, 0);
}
END_TEST

/*
 * While another thread takes it out of the table it is linked there, for all who come: whoever put its last
 * reference must not free it.
 */
START_TEST(taken_out_by_another)
{
	struct quota_user *u = quota_open(q, 1, QUOTA_NO_OWNER, NULL, NULL);

	del_elsewhere = true;
	quota_close(q, u);
	del_elsewhere = false;
	rcu_wait_for_calls();
	expect(0, 0, 0, 0);
	/* Here is the other one. */
	u = quota_open(q, 1, QUOTA_NO_OWNER, NULL, NULL);
	expect(1, 1, 0, 0);
	quota_close(q, u);
	expect(0, 0, 0, 0);
}
END_TEST

/* What is held in a user namespace is held by its owner, too, whoever it is there. */
START_TEST(owners)
{
	const struct policy_limits l = { .pages_per_user = 5, .opens_per_user = 3 };
	struct quota_user *alice = quota_open(q, 1000, QUOTA_NO_OWNER, &l, &(const char *){ NULL });
	struct quota_user *a = quota_open(q, 101000, 1000, &l, &(const char *){ NULL });
	struct quota_user *b = quota_open(q, 101001, 1000, &l, &(const char *){ NULL });
	struct quota_user *other = quota_open(q, 101000, 1001, &l, &(const char *){ NULL });
	struct quota_held open = { 0 };
	const char *limit = NULL;

	ck_assert(a && b && other && a != other);
	ck_assert_ptr_null(quota_open(q, 101002, 1000, &l, &limit));
	ck_assert_str_eq(limit, "opens_per_user");
	ck_assert_ptr_null(charge(a, &open, 3, &l));
	ck_assert_ptr_null(charge(b, &open, 2, &l));
	ck_assert_str_eq(charge(b, &open, 1, &l), "pages_per_user");
	ck_assert_str_eq(charge(alice, &open, 1, &l), "pages_per_user");
	ck_assert_ptr_null(charge(other, &open, 5, &l));
	ck_assert_uint_eq(open.pages, 10);
	quota_release(q, a, &open, 3);
	ck_assert_ptr_null(charge(alice, &open, 3, &l));
	quota_release(q, alice, &open, 3);
	quota_release(q, b, &open, 2);
	quota_release(q, other, &open, 5);
	/* The owner stays as long as one of its has something. */
	quota_close(q, alice);
	quota_close(q, a);
	ck_assert_ptr_null(charge(b, &open, 5, &l));
	quota_close(q, b);
	quota_close(q, other);
	ck_assert_uint_eq(look().users, 2);
	quota_release(q, b, NULL, 5);
	expect(0, 0, 0, 0);
}
END_TEST

/* By default root may hold more than others, and there is an end to that, too; its containers are others. */
START_TEST(root_by_default)
{
	struct quota_held open = { 0 };
	struct policy_limits l;
	struct quota_user *root, *box, *user;

	policy_limits_default(&l);
	root = quota_open(q, 0, QUOTA_NO_OWNER, &l, &(const char *){ NULL });
	box = quota_open(q, 100000, 0, &l, &(const char *){ NULL });
	user = quota_open(q, 0, 1000, &l, &(const char *){ NULL });
	ck_assert_str_eq(charge(user, &open, 131073, &l), "pages_per_user");
	ck_assert_str_eq(charge(box, &open, 131073, &l), "pages_per_user");
	ck_assert_ptr_null(charge(box, &open, 131072, &l));
	ck_assert_str_eq(charge(root, &open, 7 * 131072 + 1, &l), "pages_per_user");
	ck_assert_ptr_null(charge(root, &open, 7 * 131072, &l));
	/* There is room for one more user. */
	ck_assert_ptr_null(charge(user, &open, 131072, &l));
	quota_release(q, root, &open, 7 * 131072);
	quota_release(q, box, &open, 131072);
	quota_release(q, user, &open, 131072);
	quota_close(q, root);
	quota_close(q, box);
	quota_close(q, user);
	expect(0, 0, 0, 0);
}
END_TEST

/* Nobody else is counted for who is in a namespace of its own. */
START_TEST(an_owner_as_itself)
{
	struct quota_user *a = quota_open(q, 1000, 1000, NULL, NULL),
			  *b = quota_open(q, 1000, QUOTA_NO_OWNER, NULL, NULL);

	ck_assert_ptr_eq(a, b);
	expect(1, 2, 0, 0);
	quota_close(q, a);
	quota_close(q, b);
}
END_TEST

/* A user namespace has 65536 of them: none is kept out, none is left. */
START_TEST(very_many_users)
{
	enum { USERS = 70000 };
	struct quota_user **u = calloc(USERS, sizeof(struct quota_user *));

	for (uid_t i = 0; i < USERS; i++) {
		u[i] = quota_open(q, 100000 + i, QUOTA_NO_OWNER, NULL, NULL);
		ck_assert_ptr_nonnull(u[i]);
	}
	ck_assert_uint_eq(look().users, USERS);
	for (uid_t i = 0; i < USERS; i++)
		quota_close(q, u[i]);
	expect(0, 0, 0, 0);
	free(u);
}
END_TEST

/*
 * Threads of a few users, who open, charge, release, close: so that users come and go all the time
 * under others' eyes. The limits are held against a count that the threads keep themselves.
 */
#define THREADS 4
#define ROUNDS	20000
#define PAGES	6

static _Atomic int64_t pages_now, pages_most, charged;

static void *hammer(void *arg)
{
	const struct policy_limits l = { .pages = PAGES };
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	rcu_thread_enter();
	for (int i = 0; i < ROUNDS; i++) {
		struct quota_held open = { 0 };
		struct quota_user *u =
			quota_open(q, (uid_t)rand_r(&seed) % 2, QUOTA_NO_OWNER, NULL, NULL);
		int64_t n = 1 + rand_r(&seed) % 3, now, most;

		if (charge(u, &open, (uint64_t)n, &l)) {
			quota_close(q, u);
			continue;
		}
		charged++;
		now = atomic_fetch_add(&pages_now, n) + n;
		most = pages_most;
		while (now > most && !atomic_compare_exchange_weak(&pages_most, &most, now))
			;
		quota_close(q, u);
		atomic_fetch_sub(&pages_now, n);
		quota_release(q, u, NULL, (uint64_t)n);
	}
	rcu_thread_leave();
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, hammer, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_le(pages_most, PAGES);
	ck_assert_int_gt(charged, ROUNDS);
	expect(0, 0, 0, 0);
}
END_TEST

Suite *quota_suite(void);

Suite *quota_suite(void)
{
	Suite *s = suite_create("quota");
	TCase *t = tcase_create("quota");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, counts_and_gives_back);
	tcase_add_test(t, one_user_for_all_opens_of_a_uid);
	tcase_add_loop_test(t, each_limit, 0, 6);
	tcase_add_test(t, more_than_all_there_can_be);
	tcase_add_test(t, lowered_below_what_is_held);
	tcase_add_test(t, whose_limit);
	tcase_add_test(t, closed_meanwhile);
	tcase_add_test(t, taken_out_by_another);
	tcase_add_test(t, owners);
	tcase_add_test(t, an_owner_as_itself);
	tcase_add_test(t, root_by_default);
	tcase_add_test(t, very_many_users);
	tcase_add_test(t, threads);
	suite_add_tcase(s, t);
	return s;
}
