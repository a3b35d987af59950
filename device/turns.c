/* SPDX-License-Identifier: MIT */
/*
 * device/turns.c - whose request may have a thread, and whose has to wait for one
 *
 * Users and opens that have requests in queues stand in rings, users in one and the opens of a user
 * in one of its own: whose turn it was goes to the end. Who may have no thread now is passed over. That is a
 * user or an open that has threads already (who has none is refused only if nothing at all is left), so
 * there are at most TURNS_MAX users and TURNS_PER_USER opens to pass over, however many a client makes.
 */
#include "device/turns.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "device/early.h"

#define BUCKETS 256

/* Of opens; of this memory only what is used is there. */
#define OPEN_BUCKETS 65536

struct user {
	uid_t uid;
	unsigned int opens;    /* that refer to it */
	unsigned int running;  /* requests that have a thread */
	unsigned int sure;     /* of these, such as wait for nobody */
	unsigned int requests; /* in hand */
	size_t bytes;	       /* of these */
	LIST_ENTRY(user) same;
	TAILQ_ENTRY(user) ring;
	TAILQ_ENTRY(user) signal_ring;
	TAILQ_HEAD(signals, turn) signals;
	TAILQ_HEAD(opens, turns_open) waiting[2]; /* the second: for what is sure */
};

struct turns_open {
	uint64_t fh;
	struct user *user;
	unsigned int running;
	unsigned int requests; /* that refer to it, and 1 as long as it is open */
	LIST_ENTRY(turns_open) same;
	TAILQ_ENTRY(turns_open) ring;
	TAILQ_HEAD(queue, turn) queue;
};

struct turns {
	pthread_mutex_t lock;
	unsigned int running;
	unsigned int requests;
	size_t bytes;
	unsigned int queued;
	unsigned int queued_sure;
	bool shut;
	LIST_HEAD(users, user) users[BUCKETS];
	TAILQ_HEAD(waiting, user) waiting;
	LIST_HEAD(same, turn) same[BUCKETS];
	TAILQ_HEAD(signalled, user) signalled; /* those that have such requests */
	unsigned int n_signalled;
	unsigned int look;
	struct early early;
	LIST_HEAD(same_open, turns_open) opens[OPEN_BUCKETS];
};

struct turns *turns_new(void)
{
	struct turns *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	TAILQ_INIT(&t->waiting);
	TAILQ_INIT(&t->signalled);
	return t;
}

/* --- users and opens ---------------------------------------------------------------------------- */

static struct user *get_user(struct turns *t, uid_t uid)
{
	struct users *bucket = &t->users[uid % BUCKETS];
	struct user *u;

	LIST_FOREACH(u, bucket, same)
		if (u->uid == uid)
			break;
	if (!u) {
		u = calloc(1, sizeof(*u));
		if (!u)
			return NULL;
		u->uid = uid;
		TAILQ_INIT(&u->waiting[0]);
		TAILQ_INIT(&u->waiting[1]);
		TAILQ_INIT(&u->signals);
		LIST_INSERT_HEAD(bucket, u, same);
	}
	u->opens++;
	return u;
}

static void put_user(struct user *u)
{
	if (--u->opens)
		return;
	LIST_REMOVE(u, same);
	free(u);
}

static void put_open(struct turns_open *o)
{
	if (--o->requests)
		return;
	put_user(o->user);
	free(o);
}

/* A device's ids differ in their low bits. */
static struct same_open *open_bucket(struct turns *t, uint64_t fh)
{
	return &t->opens[fh % OPEN_BUCKETS];
}

static struct turns_open *find_open(struct turns *t, uint64_t fh)
{
	struct turns_open *o;

	LIST_FOREACH(o, open_bucket(t, fh), same)
		if (o->fh == fh)
			break;
	return o;
}

static int new_open(struct turns *t, uid_t uid, uint64_t fh)
{
	struct turns_open *o = calloc(1, sizeof(*o));
	struct user *user = o ? get_user(t, uid) : NULL;

	if (!user) {
		free(o);
		return -ENOMEM;
	}
	o->fh = fh;
	o->user = user;
	o->requests = 1;
	TAILQ_INIT(&o->queue);
	LIST_INSERT_HEAD(open_bucket(t, fh), o, same);
	return 0;
}

int turns_open(struct turns *t, uid_t user, uint64_t fh)
{
	int err = 0;

	pthread_mutex_lock(&t->lock);
	if (!find_open(t, fh))
		err = new_open(t, user, fh);
	pthread_mutex_unlock(&t->lock);
	return err;
}

void turns_close(struct turns *t, uint64_t fh)
{
	struct turns_open *o;

	pthread_mutex_lock(&t->lock);
	o = find_open(t, fh);
	if (o) {
		LIST_REMOVE(o, same);
		put_open(o);
	}
	pthread_mutex_unlock(&t->lock);
}

void turns_destroy(struct turns *t)
{
	struct turns_open *o;

	if (!t)
		return;
	for (unsigned int i = 0; i < OPEN_BUCKETS; i++) {
		while ((o = LIST_FIRST(&t->opens[i]))) {
			LIST_REMOVE(o, same);
			put_open(o);
		}
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* --- by the kernel's numbers -------------------------------------------------------------------- */

static struct same *bucket_of(struct turns *t, uint64_t unique)
{
	/* The kernel counts in steps of 2. */
	return &t->same[unique / 2 % BUCKETS];
}

static void mark_signalled(struct turns *t, struct turn *turn)
{
	struct user *u = turn->open->user;

	if (turn->signal)
		return;
	__atomic_store_n(&turn->signal, true, __ATOMIC_RELAXED);
	if (TAILQ_EMPTY(&u->signals))
		TAILQ_INSERT_TAIL(&t->signalled, u, signal_ring);
	TAILQ_INSERT_TAIL(&u->signals, turn, signals);
	t->n_signalled++;
}

static void drop_signalled(struct turns *t, struct turn *turn)
{
	struct user *u = turn->open->user;

	TAILQ_REMOVE(&u->signals, turn, signals);
	if (TAILQ_EMPTY(&u->signals))
		TAILQ_REMOVE(&t->signalled, u, signal_ring);
	t->n_signalled--;
}

static void add(struct turns *t, struct turn *turn)
{
	struct user *u = turn->open->user;

	LIST_INSERT_HEAD(bucket_of(t, turn->unique), turn, same);
	turn->open->requests++;
	u->requests++;
	u->bytes += turn->bytes;
	t->requests++;
	t->bytes += turn->bytes;
	if (turn->told)
		mark_signalled(t, turn);
}

static struct turn *find(struct turns *t, uint64_t unique)
{
	struct turn *turn;

	LIST_FOREACH(turn, bucket_of(t, unique), same)
		if (turn->unique == unique)
			break;
	return turn;
}

static void drop(struct turns *t, struct turn *turn)
{
	struct user *u = turn->open->user;

	LIST_REMOVE(turn, same);
	u->requests--;
	u->bytes -= turn->bytes;
	t->requests--;
	t->bytes -= turn->bytes;
	if (turn->signal)
		drop_signalled(t, turn);
	put_open(turn->open);
}

void turns_signal(struct turns *t, uint64_t unique)
{
	struct turn *turn;

	pthread_mutex_lock(&t->lock);
	turn = find(t, unique);
	if (turn)
		mark_signalled(t, turn);
	else
		early_signal(&t->early, unique);
	pthread_mutex_unlock(&t->lock);
}

void turns_pass(struct turns *t, uint64_t unique)
{
	pthread_mutex_lock(&t->lock);
	early_come(&t->early, unique);
	pthread_mutex_unlock(&t->lock);
}

/* --- threads and queues ------------------------------------------------------------------------- */

/* The rule, of users among all and of opens among their user's. */
static bool may_have(unsigned int mine, unsigned int used, unsigned int all)
{
	unsigned int left = used < all ? all - used : 0;

	return mine ? 2 * mine + all / 2 < left : left > 0;
}

static bool user_may(const struct turns *t, const struct user *u)
{
	return u->running < TURNS_PER_USER && may_have(u->running, t->running, TURNS_MAX);
}

static bool open_may(const struct turns_open *o)
{
	return may_have(o->running, o->user->running, TURNS_PER_USER);
}

static bool turn_may(const struct turns *t, const struct turn *turn)
{
	const struct user *u = turn->open->user;

	return (turn->sure && !u->sure) || (user_may(t, u) && open_may(turn->open));
}

static void start(struct turns *t, struct turn *turn)
{
	turn->runs++;
	turn->open->running++;
	turn->open->user->running++;
	turn->open->user->sure += turn->sure;
	t->running++;
}

static bool user_waits(const struct user *u)
{
	return !TAILQ_EMPTY(&u->waiting[0]) || !TAILQ_EMPTY(&u->waiting[1]);
}

static void count_queued(struct turns *t, const struct turn *turn, int by)
{
	__atomic_store_n(&t->queued, t->queued + (unsigned int)by, __ATOMIC_RELAXED);
	t->queued_sure += turn->sure ? (unsigned int)by : 0;
}

/* Nothing follows a close, so the requests in one queue are all of one kind. */
static void enqueue(struct turns *t, struct turn *turn)
{
	struct turns_open *o = turn->open;
	struct user *u = o->user;

	if (TAILQ_EMPTY(&o->queue)) {
		if (!user_waits(u))
			TAILQ_INSERT_TAIL(&t->waiting, u, ring);
		TAILQ_INSERT_TAIL(&u->waiting[turn->sure], o, ring);
	}
	TAILQ_INSERT_TAIL(&o->queue, turn, queue);
	turn->queued = true;
	count_queued(t, turn, 1);
}

/* Take a request out of its queue; its open and user go out of their rings when they have no other. */
static void dequeue(struct turns *t, struct turn *turn)
{
	struct turns_open *o = turn->open;
	struct user *u = o->user;

	TAILQ_REMOVE(&o->queue, turn, queue);
	turn->queued = false;
	count_queued(t, turn, -1);
	if (!TAILQ_EMPTY(&o->queue))
		return;
	TAILQ_REMOVE(&u->waiting[turn->sure], o, ring);
	if (!user_waits(u))
		TAILQ_REMOVE(&t->waiting, u, ring);
}

/* The first open of a user that may have a thread, or NULL. */
static struct turns_open *which_open(const struct turns *t, const struct user *u)
{
	struct turns_open *o = TAILQ_FIRST(&u->waiting[1]);

	if (o && turn_may(t, TAILQ_FIRST(&o->queue)))
		return o;
	if (!user_may(t, u))
		return NULL;
	TAILQ_FOREACH(o, &u->waiting[0], ring)
		if (open_may(o))
			break;
	return o;
}

/* The first open in the rings that may have a thread, or NULL. */
static struct turns_open *whose_turn(const struct turns *t)
{
	struct turns_open *o = NULL;
	struct user *u;

	if (t->running >= TURNS_MAX && !t->queued_sure)
		return NULL;
	TAILQ_FOREACH(u, &t->waiting, ring) {
		o = which_open(t, u);
		if (o)
			break;
	}
	return o;
}

static bool is_full(const struct turns *t, const struct turn *turn)
{
	const struct user *u = turn->open->user;

	if (turn->sure || turn->again)
		return false;
	if (!may_have(u->requests, t->requests, TURNS_REQUESTS))
		return true;
	return turn->bytes &&
	       (u->bytes + turn->bytes > TURNS_BYTES ||
		!may_have((unsigned int)u->bytes, (unsigned int)t->bytes, TURNS_BYTES_ALL));
}

/* Not past those of its open that came before. */
static enum turns_answer ask(const struct turns *t, const struct turn *turn)
{
	if (t->shut)
		return TURNS_RUN;
	if (is_full(t, turn))
		return TURNS_FULL;
	return TAILQ_EMPTY(&turn->open->queue) && turn_may(t, turn) ? TURNS_RUN : TURNS_QUEUE;
}

enum turns_answer turns_enter(struct turns *t, uint64_t fh, struct turn *turn)
{
	enum turns_answer answer = TURNS_GONE;

	pthread_mutex_lock(&t->lock);
	if (early_come(&t->early, turn->unique))
		turn->told = true;
	turn->open = find_open(t, fh);
	if (turn->open) {
		turn->fh = fh;
		answer = ask(t, turn);
	}
	if (answer == TURNS_RUN || answer == TURNS_QUEUE)
		add(t, turn);
	if (answer == TURNS_RUN)
		start(t, turn);
	else if (answer == TURNS_QUEUE)
		enqueue(t, turn);
	pthread_mutex_unlock(&t->lock);
	return answer;
}

bool turns_again(struct turns *t, struct turn *turn)
{
	bool taken;

	pthread_mutex_lock(&t->lock);
	taken = !t->shut;
	if (taken)
		enqueue(t, turn);
	pthread_mutex_unlock(&t->lock);
	return taken;
}

void turns_shut(struct turns *t)
{
	pthread_mutex_lock(&t->lock);
	t->shut = true;
	pthread_mutex_unlock(&t->lock);
}

void turns_leave(struct turns *t, struct turn *turn, bool answered)
{
	pthread_mutex_lock(&t->lock);
	turn->runs--;
	turn->open->running--;
	turn->open->user->running--;
	turn->open->user->sure -= turn->sure;
	t->running--;
	if (answered)
		drop(t, turn);
	pthread_mutex_unlock(&t->lock);
}

void turns_forget(struct turns *t, struct turn *turn)
{
	pthread_mutex_lock(&t->lock);
	drop(t, turn);
	pthread_mutex_unlock(&t->lock);
}

struct turn *turns_next(struct turns *t)
{
	struct turns_open *o;
	struct turn *turn = NULL;

	if (!turns_waiting(t))
		return NULL;
	pthread_mutex_lock(&t->lock);
	o = whose_turn(t);
	if (o) {
		struct user *u = o->user;

		turn = TAILQ_FIRST(&o->queue);
		/* To the end of both rings. */
		TAILQ_REMOVE(&u->waiting[turn->sure], o, ring);
		TAILQ_INSERT_TAIL(&u->waiting[turn->sure], o, ring);
		TAILQ_REMOVE(&t->waiting, u, ring);
		TAILQ_INSERT_TAIL(&t->waiting, u, ring);
		dequeue(t, turn);
		start(t, turn);
	}
	pthread_mutex_unlock(&t->lock);
	return turn;
}

unsigned int turns_waiting(const struct turns *t)
{
	return __atomic_load_n(&t->queued, __ATOMIC_RELAXED);
}

bool turns_may_next(struct turns *t)
{
	bool may;

	pthread_mutex_lock(&t->lock);
	may = whose_turn(t) != NULL;
	pthread_mutex_unlock(&t->lock);
	return may;
}

/* --- going through them ------------------------------------------------------------------------- */

static void take_out(struct turns *t, struct turn *turn)
{
	if (!turn->queued)
		return;
	dequeue(t, turn);
	drop(t, turn);
}

/* The next, of the user whose turn it is; both go to the end. Return: NULL if that one has had this look. */
static struct turn *next_signalled(struct turns *t)
{
	struct user *u = TAILQ_FIRST(&t->signalled);
	struct turn *turn = TAILQ_FIRST(&u->signals);

	TAILQ_REMOVE(&t->signalled, u, signal_ring);
	TAILQ_INSERT_TAIL(&t->signalled, u, signal_ring);
	if (turn->look == t->look)
		return NULL;
	turn->look = t->look;
	TAILQ_REMOVE(&u->signals, turn, signals);
	TAILQ_INSERT_TAIL(&u->signals, turn, signals);
	return turn;
}

unsigned int turns_signalled(struct turns *t, unsigned int n, void (*fn)(struct turn *, void *),
			     void *arg)
{
	struct turn *turn;
	unsigned int left;

	pthread_mutex_lock(&t->lock);
	t->look++;
	for (n = n < t->n_signalled ? n : t->n_signalled; n;) {
		turn = next_signalled(t);
		if (!turn)
			continue;
		fn(turn, arg);
		n--;
	}
	left = t->n_signalled;
	pthread_mutex_unlock(&t->lock);
	return left;
}

void turns_take(struct turns *t, uint64_t unique, bool (*fn)(struct turn *, void *), void *arg)
{
	struct turn *turn;

	pthread_mutex_lock(&t->lock);
	turn = find(t, unique);
	if (turn && fn(turn, arg))
		take_out(t, turn);
	pthread_mutex_unlock(&t->lock);
}

void turns_for_each(struct turns *t, bool (*fn)(struct turn *, void *), void *arg)
{
	pthread_mutex_lock(&t->lock);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		struct turn *next;

		for (struct turn *turn = LIST_FIRST(&t->same[i]); turn; turn = next) {
			next = LIST_NEXT(turn, same);
			if (fn(turn, arg))
				take_out(t, turn);
		}
	}
	pthread_mutex_unlock(&t->lock);
}
