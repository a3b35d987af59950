/* SPDX-License-Identifier: MIT */
/*
 * killed.c - clients killed by SIGKILL at random points: killed N
 *
 * Each client maps, writes, forks, notifies, copies and unmaps in a loop, and is killed after a
 * random time of some milliseconds: in an ioctl, in the exchange with the window socket, with
 * mappings, with a child that holds them. The seed is fixed; the moments are the scheduler's.
 *
 * But not in fork(): User-Mode Linux 6.12 (Debian 13's) panics when a fatal signal
 * interrupts the copying of an address space (flush_tlb_mm() takes the mark that a failed
 * dup_mmap() leaves for a vma). Whoever moves $state away from RUNNING first goes on.
 */
#include <stdatomic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xengnttab.h>

#define PAGES 4

enum { RUNNING, FORKING, KILLED };

static uint32_t ref[PAGES];
static atomic_int *state; /* Shared with the client. */

/* From RUNNING to @to; waits while it is anything else. */
static void leave_running(int to)
{
	int expected = RUNNING;

	while (!atomic_compare_exchange_strong(state, &expected, to)) {
		expected = RUNNING;
		usleep(100);
	}
}

static void copy_some(xengnttab_handle *gt)
{
	static char buf[PAGES][4096];
	xengnttab_grant_copy_segment_t s[PAGES];

	memset(s, 0, sizeof(s));
	for (int i = 0; i < PAGES; i++) {
		s[i].source.foreign.ref = ref[i];
		s[i].source.foreign.domid = 1;
		s[i].dest.virt = buf[i];
		s[i].len = 4096;
		s[i].flags = 1;
	}
	xengnttab_grant_copy(gt, PAGES, s);
}

static void client(void)
{
	const pid_t me = getpid();

	for (;;) {
		xengnttab_handle *gt = xengnttab_open(NULL, 0);
		char *one, *all;
		pid_t pid;

		if (!gt)
			_exit(1);
		one = xengnttab_map_grant_ref_notify(gt, 1, ref[0], PROT_READ | PROT_WRITE, 7, 5);
		all = xengnttab_map_domain_grant_refs(gt, PAGES, 1, ref, PROT_READ | PROT_WRITE);
		if (!one || !all)
			_exit(2);
		memset(all, 'k', PAGES * 4096);
		leave_running(FORKING);
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			/* Killed before that? */
			if (getppid() == me)
				pause();
			_exit(0);
		}
		atomic_store(state, RUNNING);
		copy_some(gt);
		xengnttab_unmap(gt, all, PAGES);
		xengnttab_close(gt);
	}
}

int main(int argc, char **argv)
{
	xengntshr_handle *gs = xengntshr_open(NULL, 0);
	int n = argc > 1 ? atoi(argv[1]) : 0, status, bad = 0;

	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (state == MAP_FAILED || !gs || n < 1 || !xengntshr_share_pages(gs, 0, PAGES, ref, 1)) {
		perror("not ok killed: set-up - errno");
		return 1;
	}
	srandom(4711);
	for (int i = 0; i < n; i++) {
		pid_t pid;

		atomic_store(state, RUNNING);
		pid = fork();
		if (!pid) {
			xengntshr_close(gs);
			client();
		}
		usleep((useconds_t)(random() % 12000));
		leave_running(KILLED);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		bad += !WIFSIGNALED(status);
	}
	printf("%sok killed: %d clients, %d of which failed first\n", bad ? "not " : "", n, bad);
	return bad != 0;
}
