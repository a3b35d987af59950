/* SPDX-License-Identifier: MIT */
/*
 * base/logqueue.c - lines on their way to the log, and the thread that takes them there
 */
#include "base/logqueue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

/**
 * struct entry - a line that waits
 * @lost: how many were lost between the one before and this one
 * @line: NUL-terminated; @fields, if there are any, is behind it in memory
 */
struct entry {
	struct entry *next;
	int prio;
	unsigned long lost;
	struct log_fields *fields;
	char line[];
};

/* Protected by @lock, but for the two functions. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t more; /* for the thread: a line, or @stopping */
	pthread_cond_t done; /* nothing waits and nothing is being written */
	bool (*write)(int prio, const char *line, const struct log_fields *f);
	bool (*tell_lost)(unsigned long n);
	pthread_t thread;
	bool running;
	bool stopping;
	bool writing;
	unsigned int n;
	struct entry *first;
	struct entry **end;
	unsigned long lost; /* after the last that waits */
} q = { .lock = PTHREAD_MUTEX_INITIALIZER, .end = &q.first };

/* It locks itself in memory in a process that does (keeper/main.c). */
#define STACK_BYTES (256 * 1024)

static struct entry *entry_new(int prio, const char *line, const struct log_fields *f)
{
	size_t len = strlen(line) + 1;
	size_t at = (sizeof(struct entry) + len + 15) & ~(size_t)15;
	struct entry *e = malloc(at + (f ? sizeof(*f) : 0));

	if (!e)
		return NULL;
	*e = (struct entry){ .prio = prio };
	memcpy(e->line, line, len);
	if (f)
		e->fields = memcpy((char *)e + at, f, sizeof(*f));
	return e;
}

/* With the lock. */
static void append(struct entry *e)
{
	e->lost = q.lost;
	q.lost = 0;
	*q.end = e;
	q.end = &e->next;
	q.n++;
	pthread_cond_signal(&q.more);
}

bool logqueue_put(int prio, const char *line, const struct log_fields *f)
{
	struct entry *e = entry_new(prio, line, f);
	bool running;

	pthread_mutex_lock(&q.lock);
	running = q.running;
	if (running && e && q.n < LOGQUEUE_MAX) {
		append(e);
		e = NULL;
	} else if (running) {
		q.lost++;
	}
	pthread_mutex_unlock(&q.lock);
	free(e);
	return running;
}

/* With the lock. Return: the next line; NULL if there is none. */
static struct entry *take(void)
{
	struct entry *e = q.first;

	if (!e)
		return NULL;
	q.first = e->next;
	if (!q.first)
		q.end = &q.first;
	q.n--;
	return e;
}

/* Write a line, or what is to be said of those that are lost. Return: how many are lost now. */
static unsigned long write_entry(const struct entry *e, unsigned long lost)
{
	if (lost && q.tell_lost(lost))
		lost = 0;
	if (e && !q.write(e->prio, e->line, e->fields))
		lost++;
	return lost;
}

static void *writer(void *arg)
{
	/* Told, or could not be told, and belong before the next line. */
	unsigned long lost = 0;
	struct entry *e;

	pthread_mutex_lock(&q.lock);
	for (;;) {
		e = take();
		if (!e && !q.lost) {
			q.writing = false;
			pthread_cond_broadcast(&q.done);
			if (q.stopping)
				break;
			pthread_cond_wait(&q.more, &q.lock);
			continue;
		}
		q.writing = true;
		lost += e ? e->lost : q.lost;
		if (!e)
			q.lost = 0;
		pthread_mutex_unlock(&q.lock);
		lost = write_entry(e, lost);
		free(e);
		pthread_mutex_lock(&q.lock);
	}
	q.running = false;
	pthread_mutex_unlock(&q.lock);
	return arg;
}

/* With the lock. Return: 0 or an errno. */
static int start_thread(void)
{
	pthread_condattr_t clock;
	pthread_attr_t attr;
	int err;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&q.done, &clock);
	pthread_cond_init(&q.more, NULL);
	pthread_condattr_destroy(&clock);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = pthread_create(&q.thread, &attr, writer, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

int logqueue_start(bool (*write)(int prio, const char *line, const struct log_fields *f),
		   bool (*lost)(unsigned long n))
{
	int err = 0;

	pthread_mutex_lock(&q.lock);
	if (!q.running) {
		q.write = write;
		q.tell_lost = lost;
		q.stopping = false;
		err = start_thread();
		q.running = !err;
	}
	pthread_mutex_unlock(&q.lock);
	return -err;
}

static struct timespec in_ms(unsigned int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* With the lock. */
static bool wait_done(unsigned int ms)
{
	struct timespec until = in_ms(ms);
	int err = 0;

	while (q.running && (q.first || q.writing || q.lost) && !err)
		err = pthread_cond_timedwait(&q.done, &q.lock, &until);
	return !err;
}

bool logqueue_flush(unsigned int ms)
{
	bool all;

	pthread_mutex_lock(&q.lock);
	all = wait_done(ms);
	pthread_mutex_unlock(&q.lock);
	return all;
}

void logqueue_stop(unsigned int ms)
{
	bool running, all;

	pthread_mutex_lock(&q.lock);
	running = q.running;
	all = wait_done(ms);
	q.stopping = all;
	pthread_cond_signal(&q.more);
	pthread_mutex_unlock(&q.lock);
	if (running && all)
		pthread_join(q.thread, NULL);
}
