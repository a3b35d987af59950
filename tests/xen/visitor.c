/* SPDX-License-Identifier: MIT */
/*
 * visitor.c - maps pages of a booted guest, reads and answers, and ends with a notification set
 *
 * visitor DOMID PORT REF...: the pages are what the guest's program (guest/guest.c) has shared, in its
 * order. PORT is an event channel of the guest's; it hears through it when the last page is unmapped,
 * and that the byte at CLEARED is 0. How this program ends is not told to the device.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define PAGE	 4096
#define REFS_MAX 512
#define ANSWER	 1024 /* where the answer is, in each page */
#define CLEARED	 2048

static void check_page(int k, const char *page)
{
	char greeting[64];

	snprintf(greeting, sizeof(greeting), "page %d of the guest", k);
	if (strncmp(page, greeting, PAGE) != 0)
		errx(1, "page %d says \"%.40s\"", k, page);
}

int main(int argc, char **argv)
{
	uint32_t refs[REFS_MAX], domid;
	xenevtchn_port_or_error_t port;
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	xenevtchn_handle *xe = xenevtchn_open(NULL, 0);
	int n = argc - 3;
	char *pages, *last;

	if (n < 1 || n > REFS_MAX || !xgt || !xe)
		errx(2, "usage: visitor DOMID PORT REF..., with the devices of a dom0");
	domid = (uint32_t)atoi(argv[1]);
	for (int i = 0; i < n; i++)
		refs[i] = (uint32_t)atoi(argv[3 + i]);
	port = xenevtchn_bind_interdomain(xe, domid, (evtchn_port_t)atoi(argv[2]));
	if (port < 0)
		err(1, "event channel %s of domain %u", argv[2], domid);

	pages = xengnttab_map_domain_grant_refs(xgt, (uint32_t)n, domid, refs,
						PROT_READ | PROT_WRITE);
	if (!pages)
		err(1, "cannot map %d pages", n);
	for (int i = 0; i < n; i++) {
		check_page(i, pages + (size_t)i * PAGE);
		snprintf(pages + (size_t)i * PAGE + ANSWER, 64, "seen %d", i);
	}
	last = xengnttab_map_grant_ref_notify(xgt, domid, refs[n - 1], PROT_READ | PROT_WRITE,
					      CLEARED, (evtchn_port_t)port);
	if (!last)
		err(1, "cannot map with a notification");
	last[CLEARED] = 'x';
	printf("%d pages\n", n);
	return 0;
}
