/* SPDX-License-Identifier: MIT */
/*
 * base/wake.c - make a thread's system call return
 */
#include "base/wake.h"

#include <signal.h>

#define WAKE_SIGNAL SIGUSR2

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
