/* SPDX-License-Identifier: MIT */
/*
 * cycles.c - maps and unmaps a page N times through stock libxengnttab: cycles N
 *
 * Each page is written through the mapping and read in the granter's; in every fourth cycle the map
 * has both notifications.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xengnttab.h>

int main(int argc, char **argv)
{
	xengntshr_handle *gs = xengntshr_open(NULL, 0);
	xengnttab_handle *gt = xengnttab_open(NULL, 0);
	int n = argc > 1 ? atoi(argv[1]) : 0, bad = 0;
	uint32_t ref[4];
	char *granted = gs ? xengntshr_share_pages(gs, 0, 4, ref, 1) : NULL, *p;

	if (!granted || !gt || n < 1) {
		perror("not ok cycles: set-up - errno");
		return 1;
	}
	for (int i = 0; i < n; i++) {
		if (i % 4)
			p = xengnttab_map_grant_ref(gt, 1, ref[i % 4], PROT_READ | PROT_WRITE);
		else
			p = xengnttab_map_grant_ref_notify(gt, 1, ref[0], PROT_READ | PROT_WRITE, 9,
							   5);
		if (!p) {
			perror("not ok cycles: map - errno");
			return 1;
		}
		p[9] = (char)(i + 1);
		bad += granted[i % 4 * 4096 + 9] != (char)(i + 1);
		if (xengnttab_unmap(gt, p, 1)) {
			perror("not ok cycles: unmap - errno");
			return 1;
		}
	}
	printf("%sok cycles: %d\n", bad ? "not " : "", n);
	xengnttab_close(gt);
	xengntshr_close(gs);
	return bad != 0;
}
