/* SPDX-License-Identifier: MIT */
/*
 * notify.c - how a granter learns that its mapper has died
 *
 * The mapper asks the device to clear one byte of the page when the mapping goes, however it goes.
 * It sets the byte to 1 and is then killed by SIGKILL, so nothing of its own can clear it. The
 * granter watches the byte. Both are in this program, as two processes.
 */
#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xengnttab.h>

#define ALIVE_BYTE 100 /* offset in the page */
#define PATIENCE_S 10

static void usage(void)
{
	fprintf(stderr,
		"usage: notify [GRANTER [MAPPER]]\n"
		"  GRANTER is the domain that /dev/xen/gntalloc grants as (1), MAPPER the one\n"
		"  that /dev/xen/gntdev maps for (0).\n");
	exit(2);
}

static uint32_t domain(const char *arg)
{
	char *end;
	unsigned long v = strtoul(arg, &end, 0);

	if (end == arg || *end || *arg == '-' || v > 0x7fef)
		usage();
	return (uint32_t)v;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The mapper: gets a reference from the pipe, and lives on. */
static void map_and_live(int pipe, uint32_t granter)
{
	xengnttab_handle *xgt;
	volatile char *page;
	uint32_t ref;

	if (read(pipe, &ref, sizeof(ref)) != sizeof(ref))
		exit(1);
	xgt = xengnttab_open(NULL, 0);
	if (!xgt)
		err(1, "/dev/xen/gntdev (is cuse_gntdev running, and may you open the device?)");
	page = xengnttab_map_grant_ref_notify(xgt, granter, ref, PROT_READ | PROT_WRITE, ALIVE_BYTE,
					      (evtchn_port_t)-1);
	if (!page)
		err(1, "cannot map ref %u (ENODEV: start me with gntdev-run)", ref);
	printf("mapper %d: mapped ref %u, byte %d is to be cleared at the end\n", getpid(), ref,
	       ALIVE_BYTE);
	fflush(stdout);
	page[ALIVE_BYTE] = 1;
	/* Until it is killed; or the granter ends early, which closes the pipe. */
	exit(read(pipe, &ref, sizeof(ref)) != 0);
}

/* Return: how long it took, ms. */
static double await_byte(const volatile char *page, char value)
{
	const double start = now_ms();

	while (page[ALIVE_BYTE] != value) {
		usleep(100);
		if (now_ms() - start > PATIENCE_S * 1e3)
			errx(1, "byte %d has not become %d in %d s", ALIVE_BYTE, value, PATIENCE_S);
	}
	return now_ms() - start;
}

int main(int argc, char **argv)
{
	const uint32_t granter = argc > 1 ? domain(argv[1]) : 1;
	const uint32_t mapper = argc > 2 ? domain(argv[2]) : 0;
	xengntshr_handle *xgs;
	int ends[2];
	uint32_t ref;
	pid_t child;
	char *page;

	if (argc > 3)
		usage();
	/* First, so that it inherits nothing of the granter's. */
	if (pipe(ends) || (child = fork()) < 0)
		err(1, "cannot start the mapper");
	if (!child) {
		close(ends[1]);
		map_and_live(ends[0], granter);
	}
	close(ends[0]);
	xgs = xengntshr_open(NULL, 0);
	if (!xgs)
		err(1, "/dev/xen/gntalloc (is cuse_gntdev running, and may you open the device?)");
	page = xengntshr_share_pages(xgs, mapper, 1, &ref, 1);
	if (!page)
		err(1, "cannot share a page (ENODEV: start me with gntdev-run)");
	printf("granter %d: shares a page as ref %u\n", getpid(), ref);
	fflush(stdout);
	if (write(ends[1], &ref, sizeof(ref)) != sizeof(ref))
		err(1, "the mapper has died");

	await_byte(page, 1);
	printf("granter %d: the mapper is alive; killing it with SIGKILL\n", getpid());
	kill(child, SIGKILL);
	printf("granter %d: byte %d became 0 after %.1f ms\n", getpid(), ALIVE_BYTE,
	       await_byte(page, 0));
	waitpid(child, NULL, 0);
	xengntshr_unshare(xgs, page, 1);
	xengntshr_close(xgs);
	return 0;
}
