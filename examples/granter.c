/* SPDX-License-Identifier: MIT */
/*
 * granter.c - share pages with another domain, and show what it wrote there
 *
 * Greets in the first half of each page, prints the grant references for a mapper (mapper.c), and
 * waits. The mapper answers in the second half of each page.
 */
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <xengnttab.h>

#define PAGE	  4096L
#define HALF	  (PAGE / 2)
#define PAGES_MAX 512

static void usage(void)
{
	fprintf(stderr,
		"usage: granter [-n PAGES] [-t SECONDS] DOMID\n"
		"  Shares PAGES pages (1) with domain DOMID, prints their references, and waits\n"
		"  until standard input ends, SIGTERM comes, or SECONDS are over.\n");
	exit(2);
}

static long number(const char *arg, long min, long max)
{
	char *end;
	long v = strtol(arg, &end, 0);

	if (end == arg || *end || v < min || v > max)
		errx(2, "\"%s\" is not a number from %ld to %ld", arg, min, max);
	return v;
}

/* Until standard input ends, SIGTERM or SIGINT, or a time (ms; -1: no limit). */
static void wait_for_end(int signals, int ms)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				{ .fd = signals, .events = POLLIN } };
	char ignored[256];

	while (poll(fds, 2, ms) > 0) {
		if (fds[1].revents)
			return;
		if (fds[0].revents && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
			return;
	}
}

/* The other domain may have written anything, and may be writing still: copy first, then look. */
static void print_answer(int page, const char *shared)
{
	char text[HALF + 1];

	memcpy(text, shared, HALF);
	text[HALF] = '\0';
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	printf("page %d: the mapper wrote: %s\n", page, *text ? text : "(nothing)");
}

int main(int argc, char **argv)
{
	uint32_t refs[PAGES_MAX];
	xengntshr_handle *xgs;
	int opt, signals, pages = 1, ms = -1;
	sigset_t ends;
	char *shared;

	while ((opt = getopt(argc, argv, "n:t:")) != -1) {
		if (opt == 'n')
			pages = (int)number(optarg, 1, PAGES_MAX);
		else if (opt == 't')
			ms = (int)number(optarg, 0, 1000000) * 1000;
		else
			usage();
	}
	if (argc - optind != 1)
		usage();
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signals = signalfd(-1, &ends, SFD_CLOEXEC);

	xgs = xengntshr_open(NULL, 0);
	if (!xgs)
		err(1, "/dev/xen/gntalloc (is cuse_gntdev running, and may you open the device?)");
	shared = xengntshr_share_pages(xgs, (uint32_t)number(argv[optind], 0, 0x7fef), pages, refs,
				       1);
	if (!shared)
		err(1,
		    "cannot share %d pages (ENOSPC: too many are granted; ENODEV: start me with "
		    "gntdev-run)",
		    pages);
	for (int i = 0; i < pages; i++)
		snprintf(shared + i * PAGE, HALF, "greetings from process %d, page %d of %d",
			 getpid(), i, pages);
	printf("refs:");
	for (int i = 0; i < pages; i++)
		printf(" %u", refs[i]);
	printf("\n");
	fflush(stdout);

	wait_for_end(signals, ms);
	for (int i = 0; i < pages; i++)
		print_answer(i, shared + i * PAGE + HALF);
	xengntshr_unshare(xgs, shared, pages);
	xengntshr_close(xgs);
	return 0;
}
