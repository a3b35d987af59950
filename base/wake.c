/* SPDX-License-Identifier: MIT */
/*
 * base/wake.c - make a thread's system call return
 */
#include "base/wake.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WAKE_SIGNAL SIGUSR2
#define OFTEN_NS    2000000

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t timers; /* each thread's own, made when it is first wanted */

static void on_wake_signal(int sig)
{
	(void)sig;
}

void wake_init(void)
{
	/* No SA_RESTART: it is there to interrupt. */
	struct sigaction sa = { .sa_handler = on_wake_signal };

	sigaction(WAKE_SIGNAL, &sa, NULL);
}

void wake_thread(pthread_t thread)
{
	pthread_kill(thread, WAKE_SIGNAL);
}

static void drop_timer(void *timer)
{
	timer_delete(*(timer_t *)timer);
	free(timer);
}

/* The handler first: without one the signal ends the process. */
static void make_key(void)
{
	wake_init();
	pthread_key_create(&timers, drop_timer);
}

/* Return: the calling thread's, or NULL. */
static timer_t *own_timer(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WAKE_SIGNAL };
	timer_t *timer;

	pthread_once(&once, make_key);
	timer = pthread_getspecific(timers);
	if (timer)
		return timer;
	timer = malloc(sizeof(*timer));
	ev._sigev_un._tid = gettid();
	if (timer && !timer_create(CLOCK_MONOTONIC, &ev, timer) &&
	    !pthread_setspecific(timers, timer))
		return timer;
	free(timer);
	return NULL;
}

void wake_often(bool on)
{
	const long ns = on ? OFTEN_NS : 0;
	const struct itimerspec every = { .it_value.tv_nsec = ns, .it_interval.tv_nsec = ns };
	const int err = errno;
	const timer_t *timer = own_timer();

	if (timer)
		timer_settime(*timer, 0, &every, NULL);
	errno = err;
}
