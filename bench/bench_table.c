/* SPDX-License-Identifier: MIT */
/*
 * bench_table.c - the table beside three that use locks
 *
 * Prints "name value unit" lines:
 *
 *   table_lookup_ns_N_tT         find a map by index and count, under RCU, among N one-page maps of
 *                                one open, by each of T threads at once
 *   table_open_get_ns            find the open by its id, which comes before, by one thread
 *   table_insert_remove_ns_N_tT  unlist one of N maps, then add another (which gets its index)
 *   ..._mutex_list               the same of a sorted linked list under a mutex, as the kernel's
 *                                driver keeps it
 *   ..._mutex_hash, _rwlock_hash of a chained hash with as many buckets as maps, under a lock
 *   bytes_per_live_map           heap for each of 100,000 one-page maps in one open, refs included
 *   bytes_per_open_with_one_map  heap for an open and its only map, of 10,000
 *
 * A figure is the time that one operation takes one thread: the threads' time over all operations.
 * Which maps are asked for is drawn beforehand, at random. All competitors are filled at the same
 * time and take turns; the median of the rounds is printed. All of them allocate a map object of
 * the same size for each insertion and free it at removal (the table after a grace period).
 *
 * The list is walked from its head, so that a round of it has only as many operations as fit
 * in the round's time, some tens at 100,000 maps. Above LIST_MAX maps it is left out.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "table.h"

#define ROUNDS	    5
#define ROUND_NS    40000000ULL
#define DRAWN	    (1U << 20) /* precomputed picks for each thread */
#define LIST_MAX    100000
#define MAX_THREADS 4

static void die(const char *what)
{
	fprintf(stderr, "bench_table: %s failed\n", what);
	exit(1);
}

static uint32_t random_below(uint64_t *state, uint32_t below)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(((*state >> 32) * below) >> 32);
}

/* --- the competitors ------------------------------------------------------------------------ */

/*
 * A rival knows maps by their first index. lookup() is what an ioctl does, reading the map
 * included; replace() takes the map at an index out and puts a new one in (the table chooses
 * the index: it is the hole).
 */
struct rival {
	const char *suffix;
	void (*fill)(uint32_t n);
	void (*empty)(void);
	bool (*lookup)(uint64_t first);
	bool (*replace)(uint64_t first);
	bool linear; /* in N: for small N only */
};

/* --- the table */

static struct table *table;
static uint64_t open_no;
static struct gnt_open *the_open; /* not closed while threads are at work */

static bool table_add(struct gnt_open *o)
{
	struct map *m = map_new(1);

	if (!m)
		die("map_new");
	m->refs[0] = (struct table_ref){ .domid = 1, .ref = 2 };
	return map_add(o, m) == 0;
}

static void table_fill(uint32_t n)
{
	table = table_new();
	open_no = table ? open_new(table, NULL) : 0;
	if (!open_no)
		die("open_new");
	rcu_read_enter();
	the_open = open_get(table, open_no);
	for (uint32_t i = 0; i < n; i++) {
		if (!table_add(the_open))
			die("map_add");
	}
	rcu_read_leave();
}

static void table_dead(struct map *m, void *arg)
{
	(void)arg;
	map_free(m);
}

static void table_empty(void)
{
	if (open_close(table, open_no, table_dead, NULL, NULL) != 0)
		die("open_close");
	table_destroy(table);
}

static bool table_lookup(uint64_t first)
{
	struct map *m;
	bool ok;

	rcu_read_enter();
	m = map_find(the_open, first, 1);
	ok = m && m->refs[0].ref == 2;
	rcu_read_leave();
	return ok;
}

static bool table_open_get(uint64_t n)
{
	bool ok;

	(void)n;
	rcu_read_enter();
	ok = open_get(table, open_no) == the_open;
	rcu_read_leave();
	return ok;
}

static bool table_replace(uint64_t first)
{
	struct map *m;
	bool ok = true;

	rcu_read_enter();
	m = map_find(the_open, first, 1);
	/* Another thread may have it out just now. */
	if (m && map_unlist(the_open, m) == MAP_DEAD) {
		map_free(m);
		ok = table_add(the_open);
	}
	rcu_read_leave();
	return ok;
}

/* --- what the rivals keep: the same map, found by other means */

struct entry {
	struct entry *next;
	struct entry *prev;
	struct map map;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

/* Of the size that the table's own maps have (see table.c). */
#define ENTRY_SIZE (sizeof(struct entry) + 16 + sizeof(struct table_ref))

static struct entry *entry_new(uint64_t first)
{
	struct entry *e = malloc(ENTRY_SIZE);

	if (!e)
		die("malloc");
	memset(e, 0, sizeof(*e));
	e->map.first = first;
	e->map.count = 1;
	e->map.refs[0] = (struct table_ref){ .domid = 1, .ref = 2 };
	return e;
}

static bool entry_is(const struct entry *e, uint64_t first, uint32_t count)
{
	return e->map.first == first && e->map.count == count;
}

/* --- a chained hash, under either kind of lock */

struct hash {
	struct entry **bucket;
	uint64_t mask;
};

static struct hash mutex_hash, rwlock_hash;

static struct entry **hash_bucket(struct hash *h, uint64_t first)
{
	return &h->bucket[(first * 0x9e3779b97f4a7c15ULL >> 32) & h->mask];
}

static struct entry *hash_find(struct hash *h, uint64_t first)
{
	struct entry *e = *hash_bucket(h, first);

	while (e && !entry_is(e, first, 1))
		e = e->next;
	return e;
}

static void hash_insert(struct hash *h, struct entry *e)
{
	struct entry **head = hash_bucket(h, e->map.first);

	e->prev = NULL;
	e->next = *head;
	if (e->next)
		e->next->prev = e;
	*head = e;
}

/* Return: the entry, taken out; NULL if there is none. */
static struct entry *hash_remove(struct hash *h, uint64_t first)
{
	struct entry *e = hash_find(h, first);

	if (!e)
		return NULL;
	if (e->prev)
		e->prev->next = e->next;
	else
		*hash_bucket(h, first) = e->next;
	if (e->next)
		e->next->prev = e->prev;
	return e;
}

static void hash_fill(struct hash *h, uint32_t n)
{
	uint64_t size = 16;

	while (size < n)
		size *= 2;
	h->mask = size - 1;
	h->bucket = calloc(size, sizeof(h->bucket[0]));
	if (!h->bucket)
		die("calloc");
	for (uint32_t i = 0; i < n; i++)
		hash_insert(h, entry_new(i));
}

static void hash_empty(struct hash *h)
{
	for (uint64_t i = 0; i <= h->mask; i++) {
		struct entry *e;

		while ((e = h->bucket[i])) {
			h->bucket[i] = e->next;
			free(e);
		}
	}
	free(h->bucket);
}

static bool hash_lookup(struct hash *h, uint64_t first)
{
	struct entry *e = hash_find(h, first);

	return e && e->map.refs[0].ref == 2;
}

static void mutex_hash_fill(uint32_t n)
{
	hash_fill(&mutex_hash, n);
}

static void mutex_hash_empty(void)
{
	hash_empty(&mutex_hash);
}

static bool mutex_hash_lookup(uint64_t first)
{
	bool ok;

	pthread_mutex_lock(&mutex);
	ok = hash_lookup(&mutex_hash, first);
	pthread_mutex_unlock(&mutex);
	return ok;
}

/* Out and in are two steps, each under the lock, as UNMAP and MAP are two calls. */
static bool mutex_hash_replace(uint64_t first)
{
	struct entry *e;

	pthread_mutex_lock(&mutex);
	e = hash_remove(&mutex_hash, first);
	pthread_mutex_unlock(&mutex);
	if (!e)
		return true;
	free(e);
	e = entry_new(first);
	pthread_mutex_lock(&mutex);
	hash_insert(&mutex_hash, e);
	pthread_mutex_unlock(&mutex);
	return true;
}

static void rwlock_hash_fill(uint32_t n)
{
	hash_fill(&rwlock_hash, n);
}

static void rwlock_hash_empty(void)
{
	hash_empty(&rwlock_hash);
}

static bool rwlock_hash_lookup(uint64_t first)
{
	bool ok;

	pthread_rwlock_rdlock(&rwlock);
	ok = hash_lookup(&rwlock_hash, first);
	pthread_rwlock_unlock(&rwlock);
	return ok;
}

static bool rwlock_hash_replace(uint64_t first)
{
	struct entry *e;

	pthread_rwlock_wrlock(&rwlock);
	e = hash_remove(&rwlock_hash, first);
	pthread_rwlock_unlock(&rwlock);
	if (!e)
		return true;
	free(e);
	e = entry_new(first);
	pthread_rwlock_wrlock(&rwlock);
	hash_insert(&rwlock_hash, e);
	pthread_rwlock_unlock(&rwlock);
	return true;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not see that what is freed has left the list. */

/* --- a sorted list, walked from its head, as the kernel's driver does */

static struct entry list = { .next = &list, .prev = &list };

static struct entry *list_find(uint64_t first)
{
	for (struct entry *e = list.next; e != &list; e = e->next) {
		if (entry_is(e, first, 1))
			return e;
	}
	return NULL;
}

static void list_insert_before(struct entry *next, struct entry *e)
{
	e->next = next;
	e->prev = next->prev;
	e->prev->next = e;
	next->prev = e;
}

static void list_remove(struct entry *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
}

static void list_fill(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		list_insert_before(&list, entry_new(i));
}

static void list_empty(void)
{
	while (list.next != &list) {
		struct entry *e = list.next;

		list_remove(e);
		free(e);
	}
}

static bool mutex_list_lookup(uint64_t first)
{
	struct entry *e;
	bool ok;

	pthread_mutex_lock(&mutex);
	e = list_find(first);
	ok = e && e->map.refs[0].ref == 2;
	pthread_mutex_unlock(&mutex);
	return ok;
}

static bool mutex_list_replace(uint64_t first)
{
	struct entry *e, *next;

	pthread_mutex_lock(&mutex);
	e = list_find(first);
	if (e)
		list_remove(e);
	pthread_mutex_unlock(&mutex);
	if (!e)
		return true;
	free(e);
	e = entry_new(first);
	pthread_mutex_lock(&mutex);
	for (next = list.next; next != &list && next->map.first < first;)
		next = next->next;
	list_insert_before(next, e);
	pthread_mutex_unlock(&mutex);
	return true;
}

/* NOLINTEND(clang-analyzer-unix.Malloc) */

static const struct rival rivals[] = {
	{ "", table_fill, table_empty, table_lookup, table_replace, false },
	{ "_mutex_list", list_fill, list_empty, mutex_list_lookup, mutex_list_replace, true },
	{ "_mutex_hash", mutex_hash_fill, mutex_hash_empty, mutex_hash_lookup, mutex_hash_replace,
	  false },
	{ "_rwlock_hash", rwlock_hash_fill, rwlock_hash_empty, rwlock_hash_lookup,
	  rwlock_hash_replace, false },
};

#define RIVALS (sizeof(rivals) / sizeof(rivals[0]))

/* --- measuring ------------------------------------------------------------------------------ */

struct worker {
	pthread_t thread;
	bool (*op)(uint64_t first);
	const uint32_t *drawn;
	uint64_t batch; /* operations between two looks at the clock */
	uint64_t ops;
	uint64_t ns;
};

static pthread_barrier_t start;
static uint32_t *drawn[MAX_THREADS];

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	uint64_t begin;

	rcu_thread_enter();
	pthread_barrier_wait(&start);
	begin = clock_ns();
	do {
		for (uint64_t i = 0; i < w->batch; i++) {
			if (!w->op(w->drawn[(w->ops + i) % DRAWN]))
				die("operation");
		}
		w->ops += w->batch;
		w->ns = clock_ns() - begin;
	} while (w->ns < ROUND_NS);
	rcu_thread_leave();
	return NULL;
}

/* Return: ns per operation of one thread, all of them at work. */
static double measure_round(bool (*op)(uint64_t first), unsigned int threads, uint64_t batch)
{
	struct worker w[MAX_THREADS];
	uint64_t ns = 0, ops = 0;

	pthread_barrier_init(&start, NULL, threads);
	for (unsigned int i = 0; i < threads; i++) {
		w[i] = (struct worker){ .op = op, .drawn = drawn[i], .batch = batch };
		if (pthread_create(&w[i].thread, NULL, worker_main, &w[i]) != 0)
			die("pthread_create");
	}
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(w[i].thread, NULL);
		ns += w[i].ns;
		ops += w[i].ops;
	}
	pthread_barrier_destroy(&start);
	return (double)ns / (double)ops;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void draw(uint32_t n)
{
	for (unsigned int t = 0; t < MAX_THREADS; t++) {
		uint64_t state = t + 1;

		for (uint32_t i = 0; i < DRAWN; i++)
			drawn[t][i] = random_below(&state, n);
	}
}

static bool takes_part(const struct rival *r, uint32_t n)
{
	return !r->linear || n <= LIST_MAX;
}

static void measure(uint32_t n, unsigned int threads, bool lookup)
{
	double ns[RIVALS][ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < RIVALS; i++) {
			const struct rival *r = &rivals[i];

			if (takes_part(r, n))
				ns[i][round] =
					measure_round(lookup ? r->lookup : r->replace, threads,
						      r->linear && n > 100 ? 1 : 64);
		}
	}
	for (size_t i = 0; i < RIVALS; i++) {
		if (!takes_part(&rivals[i], n))
			continue;
		qsort(ns[i], ROUNDS, sizeof(ns[i][0]), compare);
		printf("table_%s_ns_%u_t%u%s %.1f ns\n", lookup ? "lookup" : "insert_remove", n,
		       threads, rivals[i].suffix, ns[i][ROUNDS / 2]);
	}
	fflush(stdout);
}

static void measure_all(uint32_t n)
{
	draw(n);
	for (size_t i = 0; i < RIVALS; i++) {
		if (takes_part(&rivals[i], n))
			rivals[i].fill(n);
	}
	for (unsigned int threads = 1; threads <= MAX_THREADS; threads *= 2)
		measure(n, threads, true);
	for (unsigned int threads = 1; threads <= MAX_THREADS; threads *= 2)
		measure(n, threads, false);
	for (size_t i = 0; i < RIVALS; i++) {
		if (takes_part(&rivals[i], n))
			rivals[i].empty();
	}
}

static size_t heap(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void measure_open_get(void)
{
	double ns[ROUNDS];

	table_fill(1);
	for (int round = 0; round < ROUNDS; round++)
		ns[round] = measure_round(table_open_get, 1, 64);
	qsort(ns, ROUNDS, sizeof(ns[0]), compare);
	printf("table_open_get_ns %.1f ns\n", ns[ROUNDS / 2]);
	table_empty();
}

static void measure_memory(void)
{
	enum { MAPS = 100000, MANY_OPENS = 10000 };
	static uint64_t open_nos[MANY_OPENS];
	size_t before = heap();

	table_fill(MAPS);
	printf("bytes_per_live_map %.1f bytes\n", (double)(heap() - before) / MAPS);
	table_empty();

	table_fill(0);
	before = heap();
	for (int i = 0; i < MANY_OPENS; i++) {
		open_nos[i] = open_new(table, NULL);
		rcu_read_enter();
		if (!open_nos[i] || !table_add(open_get(table, open_nos[i])))
			die("map_add");
		rcu_read_leave();
	}
	printf("bytes_per_open_with_one_map %.1f bytes\n", (double)(heap() - before) / MANY_OPENS);
	for (int i = 0; i < MANY_OPENS; i++)
		open_close(table, open_nos[i], table_dead, NULL, NULL);
	table_empty();
}

int main(void)
{
	static const uint32_t sizes[] = { 10, 1000, 100000, 1000000 };

	rcu_thread_enter();
	for (unsigned int t = 0; t < MAX_THREADS; t++) {
		drawn[t] = malloc(DRAWN * sizeof(drawn[t][0]));
		if (!drawn[t])
			die("malloc");
	}
	measure_memory();
	draw(1);
	measure_open_get();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		measure_all(sizes[i]);
	for (unsigned int t = 0; t < MAX_THREADS; t++)
		free(drawn[t]);
	rcu_thread_leave();
	return 0;
}
