/* SPDX-License-Identifier: MIT */
/*
 * device/workers.c - threads that take requests, of which some are always free to
 *
 * One thread more, the watcher, looks every TICK_MS which of them are stuck: in the same request as the
 * last time. If fewer than the usual number are not stuck it adds some: threads that were put aside
 * before, or new ones. If none is left it adds as many as are stuck, so that a client who takes all
 * threads that it gets is at the end of what it may have after a few looks. Threads that are not needed
 * any more put themselves aside when they come back from a request.
 *
 * The watcher sleeps while there has been a thread that waits for requests all the time. The last one
 * that gets a request wakes it: that is the one price of it all, and is paid once per second at most.
 */
#include "device/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/rcu.h"
#include "base/wake.h"

#define TICK_MS 4

/* How long the watcher looks on after the last reason to, and how long a thread is kept that is too many. */
#define CALM_TICKS 250

/*
 * struct worker - one thread
 * @turn: odd while it has a request, changed by each
 * @seen: what the watcher saw last; @served: what workers_serve() did
 */
struct worker {
	struct workers *p;
	pthread_t thread;
	unsigned int turn;
	unsigned int seen;
	unsigned int served;
	bool ended;
	bool joined;
};

/*
 * struct workers - all
 * @receiving: threads that wait for a request
 * @dry:       there was a moment without one
 * @over:      there will be no more requests
 * @started:   threads that there are, the first ones in @worker
 * @aside:     of these, put aside
 * @tickets:   how many of those are to go on
 * @surplus:   how many are to put themselves aside
 * @asleep:    the watcher sleeps until it is woken
 * @roused:    it has been
 *
 * From @started on changed with the lock held.
 */
struct workers {
	const struct workers_ops *ops;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t go_on;
	pthread_cond_t look;
	pthread_t watcher;
	unsigned int usual;
	unsigned int receiving;
	bool dry;
	bool over;
	bool stopping;
	unsigned int started;
	unsigned int aside;
	unsigned int tickets;
	unsigned int surplus;
	bool asleep;
	bool roused;
	bool watched;
	bool told;
	struct worker worker[WORKERS_MAX];
};

static bool is_stopping(const struct workers *p)
{
	return __atomic_load_n(&p->stopping, __ATOMIC_RELAXED);
}

void workers_rouse(struct workers *p)
{
	pthread_mutex_lock(&p->lock);
	if (!p->roused)
		pthread_cond_signal(&p->look);
	p->roused = true;
	pthread_mutex_unlock(&p->lock);
}

/* --- the threads -------------------------------------------------------------------------------- */

/* Put this thread aside if it is one too many. Return: whether it was, and is needed again. */
static bool stood_aside(struct workers *p)
{
	bool aside;

	if (!__atomic_load_n(&p->surplus, __ATOMIC_RELAXED))
		return false;
	pthread_mutex_lock(&p->lock);
	aside = p->surplus > 0;
	if (aside) {
		__atomic_store_n(&p->surplus, p->surplus - 1, __ATOMIC_RELAXED);
		p->aside++;
		while (!p->tickets && !p->stopping)
			pthread_cond_wait(&p->go_on, &p->lock);
		p->tickets -= p->tickets > 0;
		p->aside--;
	}
	pthread_mutex_unlock(&p->lock);
	return aside;
}

/*
 * Sequentially consistent, both here and in sleep_on(): either the watcher sees that nobody receives, or
 * the last one sees that it sleeps.
 */
static int receive(struct workers *p, void *own)
{
	int got;

	__atomic_add_fetch(&p->receiving, 1, __ATOMIC_SEQ_CST);
	got = p->ops->receive(own);
	if (__atomic_sub_fetch(&p->receiving, 1, __ATOMIC_SEQ_CST))
		return got;
	if (!__atomic_load_n(&p->dry, __ATOMIC_RELAXED))
		__atomic_store_n(&p->dry, true, __ATOMIC_RELAXED);
	if (__atomic_load_n(&p->asleep, __ATOMIC_SEQ_CST))
		workers_rouse(p);
	return got;
}

static void change_turn(struct worker *w)
{
	__atomic_store_n(&w->turn, w->turn + 1, __ATOMIC_RELAXED);
}

/* Those that have waited for a thread. */
static void handle_waiting(struct worker *w, void *own)
{
	bool more;

	do {
		change_turn(w);
		more = w->p->ops->next(own);
		change_turn(w);
	} while (more && !is_stopping(w->p));
}

static void work(struct worker *w, void *own)
{
	struct workers *p = w->p;
	int got;

	handle_waiting(w, own);
	while (!is_stopping(p)) {
		if (stood_aside(p)) {
			handle_waiting(w, own);
			continue;
		}
		got = receive(p, own);
		if (got < 0)
			__atomic_store_n(&p->over, true, __ATOMIC_RELAXED);
		if (got < 0)
			return;
		if (!got)
			continue;
		change_turn(w);
		p->ops->handle(own);
		change_turn(w);
		handle_waiting(w, own);
	}
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;
	struct workers *p = w->p;
	void *own;

	rcu_thread_enter();
	own = p->ops->begin(p->arg);
	if (own) {
		work(w, own);
		p->ops->end(own);
	}
	rcu_thread_leave();
	__atomic_store_n(&w->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Locked. */
static int start_worker(struct workers *p)
{
	struct worker *w = &p->worker[p->started];
	int err;

	if (p->started == WORKERS_MAX)
		return -EAGAIN;
	w->p = p;
	err = pthread_create(&w->thread, NULL, worker_thread, w);
	if (err)
		return -err;
	__atomic_store_n(&p->started, p->started + 1, __ATOMIC_RELEASE);
	return 0;
}

/* --- the watcher -------------------------------------------------------------------------------- */

/* Locked. */
static void add_workers(struct workers *p, unsigned int n)
{
	int err = 0;

	if (__atomic_load_n(&p->over, __ATOMIC_RELAXED))
		return;
	for (; n && !err; n--) {
		if (p->aside > p->tickets) {
			p->tickets++;
			pthread_cond_signal(&p->go_on);
			continue;
		}
		err = start_worker(p);
	}
	if (err && !p->told)
		log_warn("no more than %u threads serve the device: %s", p->started,
			 p->started == WORKERS_MAX ? "there are never more"
						   : "no thread is to be had (see TasksMax=)");
	p->told |= err != 0;
}

static unsigned int count_stuck(struct workers *p)
{
	unsigned int stuck = 0;

	for (unsigned int i = 0; i < p->started; i++) {
		struct worker *w = &p->worker[i];
		unsigned int turn = __atomic_load_n(&w->turn, __ATOMIC_RELAXED);

		stuck += __atomic_load_n(&w->ended, __ATOMIC_RELAXED) ||
			 ((turn & 1) && turn == w->seen);
		w->seen = turn;
	}
	return stuck;
}

/* Locked. How many of those at work are not stuck. */
static unsigned int count_free(struct workers *p, unsigned int *stuck)
{
	unsigned int at_work = p->started + p->tickets - p->aside;

	*stuck = count_stuck(p);
	return at_work > *stuck ? at_work - *stuck : 0;
}

/* Locked, but for the tick. Return: whether there is a reason to look on. */
static bool look(struct workers *p)
{
	bool dry = __atomic_exchange_n(&p->dry, false, __ATOMIC_SEQ_CST);
	bool next = false, more;
	unsigned int stuck, free;

	p->roused = false;
	pthread_mutex_unlock(&p->lock);
	more = p->ops->tick(p->arg, &next);
	pthread_mutex_lock(&p->lock);
	free = count_free(p, &stuck);
	if (free < p->usual) {
		__atomic_store_n(&p->surplus, 0, __ATOMIC_RELAXED);
		add_workers(p, free || stuck < p->usual ? p->usual - free : stuck);
	} else if (next) {
		add_workers(p, 1);
	}
	return dry || more || next || free < p->usual;
}

/* The whole of it, also if roused: looks that follow each other sooner would take everybody for stuck. */
static void wait_a_tick(struct workers *p)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TICK_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!err && !p->stopping)
		err = pthread_cond_timedwait(&p->look, &p->lock, &until);
}

/* Locked. There is nothing to look after: wait until there is. */
static void sleep_on(struct workers *p)
{
	unsigned int stuck, free = count_free(p, &stuck);

	__atomic_store_n(&p->surplus, free > p->usual ? free - p->usual : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->asleep, true, __ATOMIC_SEQ_CST);
	while (!p->roused && !p->stopping && __atomic_load_n(&p->receiving, __ATOMIC_SEQ_CST))
		pthread_cond_wait(&p->look, &p->lock);
	__atomic_store_n(&p->asleep, false, __ATOMIC_SEQ_CST);
}

static void *watcher_thread(void *arg)
{
	struct workers *p = arg;
	unsigned int calm = 0;

	rcu_thread_enter();
	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		calm = look(p) ? 0 : calm + 1;
		if (calm < CALM_TICKS) {
			wait_a_tick(p);
			continue;
		}
		sleep_on(p);
		calm = 0;
	}
	pthread_mutex_unlock(&p->lock);
	rcu_thread_leave();
	return NULL;
}

/* --- the whole ---------------------------------------------------------------------------------- */

int workers_new(const struct workers_ops *ops, void *arg, unsigned int n, struct workers **out)
{
	struct workers *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;
	int err = 0;

	if (!p)
		return -ENOMEM;
	*out = p;
	wake_init();
	p->ops = ops;
	p->arg = arg;
	p->usual = n;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->go_on, &attr);
	pthread_cond_init(&p->look, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_lock(&p->lock);
	while (!err && p->started < n)
		err = start_worker(p);
	if (!err)
		err = -pthread_create(&p->watcher, NULL, watcher_thread, p);
	p->watched = !err;
	pthread_mutex_unlock(&p->lock);
	return err;
}

bool workers_serve(struct workers *p)
{
	bool serve = __atomic_load_n(&p->receiving, __ATOMIC_RELAXED) > 0;
	unsigned int n = __atomic_load_n(&p->started, __ATOMIC_ACQUIRE);

	for (unsigned int i = 0; i < n; i++) {
		struct worker *w = &p->worker[i];
		unsigned int turn = __atomic_load_n(&w->turn, __ATOMIC_RELAXED);

		serve |= turn != w->served;
		w->served = turn;
	}
	return serve;
}

void workers_counts(const struct workers *p, unsigned int *n, unsigned int *busy)
{
	unsigned int started = __atomic_load_n(&p->started, __ATOMIC_ACQUIRE);
	unsigned int aside = __atomic_load_n(&p->aside, __ATOMIC_RELAXED);

	*busy = 0;
	for (unsigned int i = 0; i < started; i++)
		*busy += __atomic_load_n(&p->worker[i].turn, __ATOMIC_RELAXED) & 1;
	*n = started - aside > *busy ? started - aside : *busy;
}

void workers_stop(struct workers *p)
{
	pthread_mutex_lock(&p->lock);
	__atomic_store_n(&p->stopping, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&p->go_on);
	pthread_cond_signal(&p->look);
	pthread_mutex_unlock(&p->lock);
	if (p->watched)
		pthread_join(p->watcher, NULL);
	p->watched = false;
}

unsigned int workers_join(struct workers *p)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < p->started; i++) {
		struct worker *w = &p->worker[i];

		if (w->joined)
			continue;
		if (!__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE)) {
			wake_thread(w->thread);
			left++;
			continue;
		}
		pthread_join(w->thread, NULL);
		w->joined = true;
	}
	return left;
}

void workers_destroy(struct workers *p)
{
	if (!p)
		return;
	pthread_cond_destroy(&p->go_on);
	pthread_cond_destroy(&p->look);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
