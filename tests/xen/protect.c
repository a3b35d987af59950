/* SPDX-License-Identifier: MIT */
/*
 * protect.c - clients that change the protection of a window, or move it
 *
 * Whatever mprotect and mremap say: the access that follows works or gets a signal, at once, and all else
 * that the client has is as before. What the dom0 kernel says of it is for the case to look at.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dom0.h"

#define PAGE  DOMAIN_PAGE
#define REF   DOMAIN_FIRST_REF
#define PAGES 2U
#define RW    (PROT_READ | PROT_WRITE)
/* An access that takes longer faults for ever. */
#define SECONDS 10

static struct domain *granter;

static volatile char *window(int prot)
{
	return client_map(granter->domid, REF, PAGES, prot).at;
}

static void protect(volatile char *at, size_t pages, int prot)
{
	int ret = mprotect((void *)(uintptr_t)at, pages * PAGE, prot);

	if (ret && errno != EACCES && errno != EINVAL)
		die("mprotect");
}

static int none_then_read(void)
{
	volatile char *at = window(PROT_NONE);

	protect(at, PAGES, PROT_READ);
	return at[0] == 'g' ? 0 : 1;
}

static int there_and_back(void)
{
	volatile char *at = window(RW);

	protect(at, PAGES, PROT_NONE);
	protect(at, PAGES, RW);
	at[0] = 'g';
	return 0;
}

static int less_and_more(void)
{
	volatile char *at = window(RW);

	protect(at, PAGES, PROT_READ);
	protect(at, 1, PROT_NONE);
	protect(at, PAGES, RW);
	at[PAGE] = 'g';
	return at[0] == 'g' ? 0 : 1;
}

/* A window in the middle of memory of the client's own, which is protected all together. */
static int with_neighbours(void)
{
	char *all = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int device = device_open();
	uint64_t index = device_map(device, granter->domid, REF, PAGES);

	if (mmap(all + PAGE, PAGES * PAGE, RW, MAP_SHARED | MAP_FIXED, device, (off_t)index) ==
	    MAP_FAILED)
		die("mmap");
	protect(all, 4, PROT_READ);
	return ((volatile char *)all)[PAGE] == 'g' ? 0 : 1;
}

static int moved(void)
{
	void *to = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile char *at = window(RW);
	volatile char *now = mremap((void *)(uintptr_t)at, PAGES * PAGE, PAGES * PAGE,
				    MREMAP_MAYMOVE | MREMAP_FIXED, to);

	return ((void *)(uintptr_t)now == MAP_FAILED ? at : now)[0] == 'g' ? 0 : 1;
}

/* Not a window any more: it can be had with any protection. */
static int afterwards(void)
{
	struct client_map m = client_map(granter->domid, REF, PAGES, RW);
	char *at;

	client_unmap(&m);
	at = mmap(m.at, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (at != m.at || mprotect(at, PAGE, RW))
		die("own memory");
	at[0] = 'g';
	return 0;
}

static const struct deed {
	const char *name;
	int (*client)(void);
	bool works; /* without a signal */
} deeds[] = {
	{ "maps for nothing, then wants to read", none_then_read, false },
	{ "takes all access, and gives it back", there_and_back, false },
	{ "takes some access, also of a part, and gives it back", less_and_more, false },
	{ "protects a window with what lies around it", with_neighbours, false },
	{ "moves a window", moved, false },
	{ "uses the addresses for something else", afterwards, true },
};

static void run_deed(const struct deed *deed)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		alarm(SECONDS);
		_exit(deed->client());
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		report(!deed->works && WTERMSIG(status) != SIGALRM, "a client that %s: %s",
		       deed->name, strsignal(WTERMSIG(status)));
	else
		report(!status, "a client that %s: no signal", deed->name);
	report(released(granter, REF, PAGES), "nothing is left of it");
}

int main(void)
{
	granter = domain_new(PAGES, 1);
	if (!granter)
		return 1;
	memset(granter->mem, 'g', PAGES * PAGE);
	for (uint32_t i = 0; i < PAGES; i++)
		domain_grant(granter, REF + i, i, 0);
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		run_deed(&deeds[i]);
	domain_destroy(granter);
	return reported_bad() != 0;
}
