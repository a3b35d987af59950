/* SPDX-License-Identifier: MIT */
/*
 * burst.c - maps N pages, each a map of its own, and waits to be killed: burst N
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xengnttab.h>

#define REFS 100

int main(int argc, char **argv)
{
	xengntshr_handle *gs = xengntshr_open(NULL, 0);
	xengnttab_handle *gt = xengnttab_open(NULL, 0);
	int n = argc > 1 ? atoi(argv[1]) : 0;
	uint32_t ref[REFS];

	if (!gs || !gt || !xengntshr_share_pages(gs, 0, REFS, ref, 1)) {
		perror("burst: set-up");
		return 1;
	}
	for (int i = 0; i < n; i++) {
		if (!xengnttab_map_grant_ref(gt, 1, ref[i % REFS], PROT_READ | PROT_WRITE)) {
			perror("burst: map");
			return 1;
		}
	}
	puts("mapped");
	fflush(stdout);
	pause();
	return 0;
}
