/* SPDX-License-Identifier: MIT */
/*
 * torture_table.c - the table under threads that all want the same few indexes
 *
 * usage: torture_table [seconds] [threads]
 *
 * The table's sources are compiled in here with two changes: what is freed is poisoned first, and
 * between any two steps on shared words a thread may lose its processor. What is held against them:
 *
 *   - A map that a lookup finds has its canary, lies where it says, in the open it says, and stays
 *     so until the reader leaves RCU.
 *   - A map is not found by a lookup that began after its unlist had returned (by a clock that
 *     each unlist moves).
 *   - While a map is listed every page of it finds it: no two listed maps overlap, none is lost.
 *   - The death of a map is reported once, when it is not listed and in a terminal phase; at the
 *     end every map has died, in an open that was closed as well.
 *   - Of racing calls for the same transition one wins. A closed open is not found.
 *   - A walk in steps goes forward only, and meets whole maps of its open.
 *   - When all is unlisted the first index is 0.
 *
 * Prints one line, and returns 1 if there was any violation, or if some kind of operation never
 * succeeded: a torture that does nothing proves nothing.
 */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static _Thread_local uint64_t random_state = 1;

static uint32_t random_below(uint32_t below)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(random_state >> 33) % below;
}

/* Mostly just a chance for the next thread; now and then so long that a grace period begins. */
static void yield_sometimes(void)
{
	static const struct timespec long_enough = { .tv_nsec = 15000000 };
	uint32_t dice = random_below(1 << 18);

	if (dice == 0)
		nanosleep(&long_enough, NULL);
	else if (dice < 1 << 13)
		sched_yield();
}

static void poison_and_free(void *ptr)
{
	memset(ptr, 0xdb, malloc_usable_size(ptr));
	free(ptr);
}

#define WORD_YIELD()  yield_sometimes()
#define RCU_FREE(ptr) poison_and_free(ptr)

/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "base/radix.c"
#include "base/ids.c"
#include "base/arena.c"
#include "base/rcu.h"
#include "table.c"
/* NOLINTEND(bugprone-suspicious-include) */

#define OPENS	    4	/* the first is never closed */
#define HOT_PAGES   40	/* lookups are for these */
#define HELD_MAX    8	/* mapped maps that one thread holds */
#define MAPS_MAX    100 /* alive at a time, roughly */
#define CANARY	    0x5ca1ab1eU
#define MAX_THREADS 64

static struct table *table;
static uint64_t open_ids[OPENS];
static atomic_bool stop;
static atomic_ulong violations;
static atomic_ulong made, added, refused, died, unlisted, found, claimed, released, raced, closed;
static atomic_ulong opened, walked;
static uint64_t stamps;
static uint64_t unlist_clock = 1;

#ifdef RCU_TSAN
/* What liburcu itself allocates and frees: the sanitizer does not see its barriers. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:liburcu-memb.so\n";
}
#endif

#define violation(...)                                                    \
	do {                                                              \
		if (atomic_fetch_add(&violations, 1) < 10) {              \
			fprintf(stderr, "torture_table: %s: ", __func__); \
			fprintf(stderr, __VA_ARGS__);                     \
			fputc('\n', stderr);                              \
		}                                                         \
	} while (0)

#define count_up(counter) atomic_fetch_add_explicit(&(counter), 1, memory_order_relaxed)

/*
 * Fields of a map that are its users' serve the test:
 *   refs[]  stamp and canary, constant
 *   notify  the time at which its unlist had returned; 0 before
 *   window  deaths reported
 *   vaddr   somebody else than the claimer has begun the release
 */
static struct map *stamped_map(uint32_t count)
{
	struct map *m = map_new(count);
	uint32_t stamp = (uint32_t)__atomic_add_fetch(&stamps, 1, __ATOMIC_RELAXED);

	if (!m)
		abort();
	for (uint32_t i = 0; i < count; i++)
		m->refs[i] = (struct table_ref){ .domid = stamp, .ref = stamp ^ CANARY ^ i };
	count_up(made);
	return m;
}

/* Return: the map's stamp; 0 and a violation if it is not whole. */
static uint32_t stamp_check(const struct map *m)
{
	uint32_t stamp = m->refs[0].domid;

	for (uint32_t i = 0; i < m->count; i++) {
		if (m->refs[i].domid != stamp || m->refs[i].ref != (stamp ^ CANARY ^ i)) {
			violation("canary of page %u of %u: %x %x", i, m->count, m->refs[i].domid,
				  m->refs[i].ref);
			return 0;
		}
	}
	return stamp;
}

static void death(struct map *m)
{
	enum map_phase phase = map_phase(m);

	if (map_is_listed(m))
		violation("dead and listed");
	if (phase != MAP_FRESH && phase != MAP_UNUSABLE && phase != MAP_RELEASED)
		violation("dead in phase %d", phase);
	if (__atomic_fetch_add(&m->window, 1, __ATOMIC_SEQ_CST) != 0)
		violation("died twice");
	stamp_check(m);
	count_up(died);
	map_free(m);
}

static void death_in_close(struct map *m, void *arg)
{
	(void)arg;
	death(m);
}

static struct gnt_open *some_open(void)
{
	return open_get(table, word_load(&open_ids[random_below(OPENS)]));
}

/* While a map is listed, each of its pages finds it. */
static void pages_check(struct gnt_open *o, struct map *m)
{
	for (uint64_t page = m->first; page < m->first + m->count; page++) {
		struct map *other = map_find_page(o, page);

		if (other != m && map_is_listed(m)) {
			violation("page %lu of %lu+%u finds %p", (unsigned long)page,
				  (unsigned long)m->first, m->count, (void *)other);
			return;
		}
	}
}

static void try_add(void)
{
	uint32_t big = random_below(500) == 0 ? 5000 : 100;
	uint32_t count = 1 + random_below(random_below(50) == 0 ? big : 3);
	struct gnt_open *o;
	struct map *m;
	int err;

	if (made - refused - died > MAPS_MAX)
		return;
	m = stamped_map(count);
	rcu_read_enter();
	o = some_open();
	err = o ? map_add(o, m) : -EBADF;
	if (err) {
		if (err != -EBADF || map_is_listed(m) || map_phase(m) != MAP_FRESH)
			violation("map_add: %d, phase %d", err, map_phase(m));
		count_up(refused);
		map_free(m);
	} else {
		count_up(added);
		pages_check(o, m);
	}
	rcu_read_leave();
}

/* What any reader may rely on. */
static void found_check(struct gnt_open *o, struct map *m, uint64_t page, uint64_t before)
{
	uint64_t gone = word_load(&m->notify);
	uint32_t stamp = stamp_check(m);

	if (gone && gone <= before)
		violation("found at %lu, unlisted at %lu", (unsigned long)before,
			  (unsigned long)gone);
	if (m->open_id != open_id(o))
		violation("map of another open");
	if (page - m->first >= m->count)
		violation("page %lu finds %lu+%u", (unsigned long)page, (unsigned long)m->first,
			  m->count);
	yield_sometimes();
	pages_check(o, m);
	if (stamp_check(m) != stamp)
		violation("another map at the same address");
	count_up(found);
}

/* Under RCU. Return: some map, checked; or NULL. */
static struct map *some_map(struct gnt_open **open)
{
	uint64_t page = random_below(10) ? random_below(HOT_PAGES) : random_below(10 * HOT_PAGES);
	uint64_t before = word_load(&unlist_clock);
	struct gnt_open *o = some_open();
	struct map *m = o ? map_find_page(o, page) : NULL;

	*open = o;
	if (m)
		found_check(o, m, page, before);
	return m;
}

static void try_find(void)
{
	struct gnt_open *o;
	struct map *m, *again;

	rcu_read_enter();
	m = some_map(&o);
	if (m) {
		again = map_find(o, m->first, m->count);
		if (again != m && map_is_listed(m))
			violation("found by page, not by index");
		if (again && map_find(o, m->first, again->count + 1) == again)
			violation("found by a wrong count");
	}
	rcu_read_leave();
}

static void unlist(struct gnt_open *o, struct map *m)
{
	enum map_end end = map_unlist(o, m);

	if (end != MAP_LOST) {
		word_store_sc(&m->notify, __atomic_add_fetch(&unlist_clock, 1, __ATOMIC_SEQ_CST));
		count_up(unlisted);
	}
	if (map_is_listed(m) || map_find_page(o, m->first) == m)
		violation("listed after unlist");
	if (end == MAP_DEAD)
		death(m);
}

static void try_unlist(void)
{
	struct gnt_open *o;
	struct map *m;

	rcu_read_enter();
	m = some_map(&o);
	if (m)
		unlist(o, m);
	rcu_read_leave();
}

/* The claimed maps of one thread: it holds them without RCU. */
struct held {
	struct map *map[HELD_MAX];
	int n;
};

static void try_claim(struct held *held)
{
	struct gnt_open *o;
	struct map *m;
	bool ok = random_below(4) != 0;
	enum map_end end;
	int err;

	if (held->n == HELD_MAX)
		return;
	rcu_read_enter();
	m = some_map(&o);
	err = m ? map_claim(m) : -EINVAL;
	rcu_read_leave();
	if (err)
		return;
	count_up(claimed);
	stamp_check(m);
	yield_sometimes();
	if (map_phase(m) != MAP_MAPPING || map_claim(m) == 0)
		violation("claimed by two");
	end = map_settle(m, ok);
	if (end == MAP_LOST || (end == MAP_DEAD && ok))
		violation("settle: %d", end);
	else if (end == MAP_DEAD)
		death(m);
	else if (ok)
		held->map[held->n++] = m;
}

/* As a second watcher would: begin the release of a map that somebody else holds. */
static void try_release_of_another(void)
{
	struct gnt_open *o;
	struct map *m;

	rcu_read_enter();
	m = some_map(&o);
	if (m && map_release_begin(m)) {
		count_up(raced);
		word_store_sc(&m->vaddr, 1);
	}
	rcu_read_leave();
}

static void release(struct map *m)
{
	enum map_end end;

	stamp_check(m);
	if (!map_release_begin(m)) {
		while (!word_load(&m->vaddr))
			sched_yield();
	}
	yield_sometimes();
	stamp_check(m);
	end = map_release_end(m);
	if (end == MAP_LOST)
		violation("release lost");
	else if (end == MAP_DEAD)
		death(m);
	count_up(released);
}

static void try_release(struct held *held)
{
	int i;

	if (held->n == 0)
		return;
	i = (int)random_below((uint32_t)held->n);
	release(held->map[i]);
	held->map[i] = held->map[--held->n];
}

static void open_another(uint64_t *place)
{
	uint64_t id = open_new(table, place);

	if (!id)
		abort();
	count_up(opened);
	word_store_sc(place, id);
}

/* Several threads may come for the same open: one closes it and puts a new one in its place. */
static void try_close(void)
{
	uint64_t *place = &open_ids[1 + random_below(OPENS - 1)];
	uint64_t id = word_load(place);
	void *user = NULL;

	if (open_close(table, id, death_in_close, NULL, &user) != 0)
		return;
	if (user != place)
		violation("the wrong open was closed");
	rcu_read_enter();
	if (open_get(table, id))
		violation("a closed open was found");
	rcu_read_leave();
	count_up(closed);
	open_another(place);
}

static void walk_map(struct map *m, void *arg)
{
	if (stamp_check(m) && m->open_id != open_id(arg))
		violation("a map of another open");
	/* Where lookups rarely come, so that all stay hot. */
	if (m->first >= HOT_PAGES)
		unlist(arg, m);
}

static void walk_open(struct gnt_open *o, void *arg)
{
	(void)arg;
	open_for_each_map(o, walk_map, o);
}

static void try_walk(void)
{
	rcu_read_enter();
	table_for_each_open(table, walk_open, NULL);
	rcu_read_leave();
}

/* Under RCU. Return: false at the end of the walk, or of the open. */
static bool walk_some(uint64_t id, uint64_t *page)
{
	struct gnt_open *o = open_get(table, id);
	uint64_t work = 1 + random_below(4), before = *page;
	struct map *m;

	while (o && work) {
		if (!map_next(o, page, &work, &m))
			return false;
		if (m && (stamp_check(m) == 0 || m->open_id != id))
			violation("a map of another open");
		if (m && (*page != m->first + m->count || *page <= before))
			violation("page %lu after %lu", (unsigned long)*page,
				  (unsigned long)before);
		before = *page;
	}
	return o;
}

static void try_walk_in_steps(void)
{
	uint64_t id = word_load(&open_ids[random_below(OPENS)]), page = 0;
	bool more;

	do {
		rcu_read_enter();
		more = walk_some(id, &page);
		rcu_read_leave();
	} while (more);
	count_up(walked);
}

static void step(struct held *held)
{
	uint32_t dice = random_below(1000);

	if (dice < 250)
		try_add();
	else if (dice < 500)
		try_find();
	else if (dice < 740)
		try_unlist();
	else if (dice < 850)
		try_claim(held);
	else if (dice < 880)
		try_release_of_another();
	else if (dice < 990)
		try_release(held);
	else if (dice < 995)
		try_close();
	else if (dice < 997)
		try_walk_in_steps();
	else
		try_walk();
}

static void *torturer(void *arg)
{
	struct held held = { .n = 0 };

	random_state = (uintptr_t)arg;
	rcu_thread_enter();
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		step(&held);
	while (held.n)
		release(held.map[--held.n]);
	rcu_thread_leave();
	return NULL;
}

static void unlist_one(struct map *m, void *arg)
{
	if (map_unlist(arg, m) == MAP_DEAD)
		death(m);
	else
		violation("a map is alive after all");
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the open has the map, as a number. */
static void finish_open(uint64_t id)
{
	struct map *m = stamped_map(3);
	struct gnt_open *o;

	rcu_read_enter();
	o = open_get(table, id);
	if (o)
		open_for_each_map(o, unlist_one, o);
	if (!o || map_add(o, m) != 0 || m->first != 0)
		violation("an open does not start at 0 again");
	rcu_read_leave();
	if (open_close(table, id, death_in_close, NULL, NULL) != 0)
		violation("an open was gone");
	count_up(closed);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* With one thread left: everything goes, indexes start at 0, and every map has died once. */
static void finish(void)
{
	for (int i = 0; i < OPENS; i++)
		finish_open(open_ids[i]);
	if (made != refused + died)
		violation("%lu maps made, %lu refused, %lu died", made, refused, died);
	if (opened != closed)
		violation("%lu opened, %lu closed", opened, closed);
	table_destroy(table);
}

static void run(unsigned int seconds, unsigned long threads)
{
	struct timespec duration = { .tv_sec = seconds };
	pthread_t thread[MAX_THREADS];

	for (unsigned long i = 0; i < threads; i++) {
		if (pthread_create(&thread[i], NULL, torturer, (void *)(i * 7919 + 12345)) != 0)
			abort();
	}
	nanosleep(&duration, NULL);
	atomic_store(&stop, true);
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
	unsigned long seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
	unsigned long threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 4;

	if (seconds == 0 || threads == 0 || threads > MAX_THREADS) {
		fprintf(stderr, "usage: torture_table [seconds] [threads, at most %d]\n",
			MAX_THREADS);
		return 2;
	}
	rcu_thread_enter();
	table = table_new();
	if (!table)
		abort();
	for (int i = 0; i < OPENS; i++)
		open_another(&open_ids[i]);
	run((unsigned int)seconds, threads);
	if (!added || !found || !unlisted || !claimed || !released || !raced || closed < 10 ||
	    !refused || !walked)
		violation("something never happened");
	finish();
	rcu_thread_leave();
	printf("torture_table: %lu s, %lu threads: %lu maps, %lu found, %lu unlisted, %lu claimed, "
	       "%lu released, %lu opens closed, %lu refused, %lu violations\n",
	       seconds, threads, made, found, unlisted, claimed, released, closed, refused,
	       violations);
	return violations ? 1 : 0;
}
