/* SPDX-License-Identifier: MIT */
/*
 * granted.c - a granter that does nothing but grant: granted N
 *
 * Prints "refs: DOMID FIRST N" and waits for the end of its input. Then nothing of it may be held any more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dom0.h"

int main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 0, held = 0;
	struct domain *d =
		n ? domain_new(n, (n + DOMAIN_FIRST_REF) / DOMAIN_FRAME_GRANTS + 1) : NULL;

	if (!d)
		return 1;
	for (uint32_t i = 0; i < n; i++)
		domain_grant(d, DOMAIN_FIRST_REF + i, i, 0);
	printf("refs: %u %u %u\n", d->domid, DOMAIN_FIRST_REF, n);
	fflush(stdout);
	while (getchar() != EOF)
		;
	for (uint32_t i = 0; i < n; i++)
		held += domain_pinned(d, DOMAIN_FIRST_REF + i) != 0;
	printf("held: %u\n", held);
	return domain_destroy(d) || held;
}
