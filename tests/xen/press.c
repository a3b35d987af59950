/* SPDX-License-Identifier: MIT */
/*
 * press.c - memory of dom0 that is scarce, and moved about
 */
#include "press.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dom0.h"

#define PAGE DOMAIN_PAGE
/* MiB in pages */
#define MIB 256UL
/* What there is of swap. */
#define SWAP_PAGES   (256 * MIB)
#define SWAP_WAIT_MS 180000

static unsigned long vmstat(const char *name)
{
	unsigned long value = 0, n;
	char word[64];
	FILE *f = fopen("/proc/vmstat", "r");

	while (f && fscanf(f, "%63s %lu", word, &n) == 2)
		if (!strcmp(word, name))
			value = n;
	if (f)
		fclose(f);
	return value;
}

/*
 * Uses a lot of memory, again and again, and more each time that nothing had to be swapped: then what
 * is needed comes back, and something else goes. Ends if a page is not what it was.
 */
static _Noreturn void press(void)
{
	int compact = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);
	int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	unsigned long n = memory_available(), most = n + SWAP_PAGES / 2, swapped;
	const size_t step = PAGE / sizeof(unsigned long);
	unsigned long *p =
		mmap(NULL, most * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (compact < 0 || write(oom, "1000", 4) != 4 || p == MAP_FAILED)
		die("press");
	while (1) {
		swapped = vmstat("pswpout");
		for (unsigned long i = 0; i < n; i++) {
			if (p[i * step] && p[i * step] != ~i)
				_exit(3);
			p[i * step] = ~i;
		}
		if (write(compact, "1", 1) != 1)
			die("compact_memory");
		if (vmstat("pswpout") - swapped < 2 * MIB && n + 4 * MIB < most)
			n += 4 * MIB;
	}
}

bool press_is_felt(void)
{
	unsigned long swapped = vmstat("pswpout"), moved = vmstat("compact_migrate_scanned");
	uint64_t end = now_ms() + SWAP_WAIT_MS;

	while (now_ms() < end)
		if (vmstat("pswpout") - swapped > MIB && vmstat("compact_migrate_scanned") > moved)
			return true;
		else
			usleep(50000);
	return false;
}

/* The process that keeps memory scarce, or 0. */
static pid_t presser;

bool press_is_on(void)
{
	return presser;
}

void press_start(void)
{
	presser = fork();
	if (!presser)
		press();
	report(press_is_felt(), "memory is scarce, pages are swapped and moved");
}

void press_stop(void)
{
	int status;

	kill(presser, SIGKILL);
	waitpid(presser, &status, 0);
	presser = 0;
	report(WIFSIGNALED(status), "memory kept meanwhile what was written to it");
}
