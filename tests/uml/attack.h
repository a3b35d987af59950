/* SPDX-License-Identifier: MIT */
/*
 * attack.h - what the attacks in attacks.c and crowds.c have in common
 */
#ifndef TEST_UML_ATTACK_H
#define TEST_UML_ATTACK_H

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PAGE   4096UL
#define NOBODY 65534

struct attack {
	const char *name;
	void (*fn)(int n);
	int n;
};

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline int open_device(void)
{
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/xen/gntdev");
	return fd;
}

static inline void become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		die("setresuid");
	/* Else its memory is out of the daemon's reach, and nobody would wait for it. */
	prctl(PR_SET_DUMPABLE, 1);
}

static inline void pause_ms(long ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Not by stdio, which takes memory, and with it the lock that somebody may hold. */
static inline void ready(void)
{
	pause_ms(200);
	if (write(STDOUT_FILENO, "ready\n", 6) < 0)
		die("standard output");
}

static inline void for_ever(void)
{
	ready();
	for (;;)
		pause();
}

/* The attack that the command line names: NAME [NUMBER]. Return: 2, for main(), if there is none. */
static inline int make_attack(const struct attack *a, size_t n, int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < n; i++)
		if (!strcmp(argv[1], a[i].name))
			a[i].fn(argc > 2 ? atoi(argv[2]) : a[i].n);
	fprintf(stderr, "usage: %s NAME [NUMBER]\n", argv[0]);
	return 2;
}

#endif /* TEST_UML_ATTACK_H */
