/* SPDX-License-Identifier: MIT */
/*
 * client.c [hold | busy | ungranted] - an ordinary client: grants a page as simulated domain 1, maps it
 *
 * Succeeds when what is written by the one side is read by the other, both ways. With "hold" says
 * "mapped", holds the mapping until its input ends, and then looks at it again. With "busy" it maps another page in the
 * meantime, again and again, and no call may fail. With "ungranted" only asks for
 * grant UNGRANTED, which nobody has made, and succeeds when it does not get that.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xengnttab.h>

#define MANY	  20000
#define UNGRANTED 4000

static const uint32_t granter = 1;

static int fail(const char *what)
{
	perror(what);
	return EXIT_FAILURE;
}

/* More than CUSE can copy: served only if the daemon may read this process's memory itself. */
static int map_many(void)
{
	static struct {
		struct {
			uint32_t count, pad;
			uint64_t index;
		} head;
		uint32_t domid_and_ref[MANY][2];
	} map;
	struct {
		uint64_t index;
		uint32_t count, pad;
	} unmap = { .count = MANY };
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);

	map.head.count = MANY;
	if (fd < 0 || ioctl(fd, 0x184700, &map))
		return -1;
	unmap.index = map.head.index;
	return ioctl(fd, 0x104701, &unmap) || close(fd) ? -1 : 0;
}

/* Return: whether what one side writes is read by the other. */
static int is_shared(char *theirs, char *ours)
{
	strcpy(theirs, "from the granter");
	if (strcmp(ours, "from the granter") != 0)
		return 0;
	strcpy(ours, "from the mapper");
	return strcmp(theirs, "from the mapper") == 0;
}

static void hold(void)
{
	puts("mapped");
	fflush(stdout);
	while (getchar() != EOF)
		;
}

/* One whole life of a page. Return: 0, or what has failed. */
static const char *cycle(xengntshr_handle *shr, xengnttab_handle *tab)
{
	uint32_t ref;
	char *theirs = xengntshr_share_pages(shr, 0, 1, &ref, 1), *ours;

	if (!theirs)
		return "share, busy";
	ours = xengnttab_map_grant_ref(tab, granter, ref, 3);
	if (!ours)
		return "map, busy";
	if (!is_shared(theirs, ours))
		return "read what the other side wrote, busy";
	if (xengnttab_unmap(tab, ours, 1))
		return "unmap, busy";
	return xengntshr_unshare(shr, theirs, 1) ? "unshare, busy" : NULL;
}

/* Return: 0, or what has failed. */
static const char *be_busy(xengntshr_handle *shr, xengnttab_handle *tab)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	const char *failed = NULL;
	unsigned long n;

	puts("mapped");
	fflush(stdout);
	for (n = 0; !failed && poll(&p, 1, 0) == 0; n++)
		failed = cycle(shr, tab);
	fprintf(stderr, "%lu cycles\n", n);
	return failed;
}

int main(int argc, char **argv)
{
	xengntshr_handle *shr = xengntshr_open(NULL, 0);
	xengnttab_handle *tab = xengnttab_open(NULL, 0);
	char *theirs, *ours;
	uint32_t ref;

	if (!shr || !tab)
		return fail("open");
	if (argc > 1 && !strcmp(argv[1], "ungranted"))
		return xengnttab_map_grant_ref(tab, granter, UNGRANTED, 3) ? EXIT_FAILURE
									   : EXIT_SUCCESS;
	theirs = xengntshr_share_pages(shr, 0, 1, &ref, 1);
	if (!theirs)
		return fail("share");
	ours = xengnttab_map_grant_ref(tab, granter, ref, 3);
	if (!ours)
		return fail("map");
	if (!is_shared(theirs, ours))
		return fail("read what the other side wrote");
	if (argc > 1 && !strcmp(argv[1], "hold"))
		hold();
	if (argc > 1 && !strcmp(argv[1], "busy")) {
		const char *failed = be_busy(shr, tab);

		if (failed)
			return fail(failed);
	}
	if (!is_shared(theirs, ours))
		return fail("read what the other side wrote later");
	if (map_many())
		return fail("map many");
	if (xengnttab_unmap(tab, ours, 1) || xengntshr_unshare(shr, theirs, 1))
		return fail("unmap");
	xengnttab_close(tab);
	xengntshr_close(shr);
	return EXIT_SUCCESS;
}
