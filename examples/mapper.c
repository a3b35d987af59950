/* SPDX-License-Identifier: MIT */
/*
 * mapper.c - map pages that another domain has granted, read them, answer, unmap
 *
 * All references are mapped with one call, side by side. The granter (granter.c) has greeted in the
 * first half of each page; the answer goes to the second half.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xengnttab.h>

#define PAGE	 4096L
#define HALF	 (PAGE / 2)
#define REFS_MAX 512

static void usage(void)
{
	fprintf(stderr,
		"usage: mapper [-r] DOMID REF...\n"
		"  Maps the pages that domain DOMID has granted as REF..., prints what is there\n"
		"  and writes an answer. -r: maps read-only, and does not answer.\n");
	exit(2);
}

static uint32_t number(const char *arg)
{
	char *end;
	unsigned long v = strtoul(arg, &end, 0);

	if (end == arg || *end || *arg == '-' || v > UINT32_MAX)
		errx(2, "\"%s\" is not a number from 0 to %u", arg, UINT32_MAX);
	return (uint32_t)v;
}

/* What mmap's errno means here. */
static const char *remedy(int error)
{
	switch (error) {
	case ENODEV:
		return "the device has no mmap of its own: start me with gntdev-run";
	case EINVAL:
		return "no such domain, no such grant, not granted to this domain, or only for "
		       "reading (-r); the daemon's log says which";
	default:
		return "the daemon's log may say more";
	}
}

/* The granter may have written anything, and may be writing still: copy first, then look. */
static void print_greeting(uint32_t ref, const char *shared)
{
	char text[HALF + 1];

	memcpy(text, shared, HALF);
	text[HALF] = '\0';
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	printf("ref %u: the granter wrote: %s\n", ref, *text ? text : "(nothing)");
}

int main(int argc, char **argv)
{
	uint32_t refs[REFS_MAX], domid;
	xengnttab_handle *xgt;
	int opt, n, prot = PROT_READ | PROT_WRITE;
	char *shared;

	while ((opt = getopt(argc, argv, "r")) != -1) {
		if (opt != 'r')
			usage();
		prot = PROT_READ;
	}
	n = argc - optind - 1;
	if (n < 1 || n > REFS_MAX)
		usage();
	domid = number(argv[optind]);
	for (int i = 0; i < n; i++)
		refs[i] = number(argv[optind + 1 + i]);

	xgt = xengnttab_open(NULL, 0);
	if (!xgt)
		err(1, "/dev/xen/gntdev (is cuse_gntdev running, and may you open the device?)");
	shared = xengnttab_map_domain_grant_refs(xgt, n, domid, refs, prot);
	if (!shared)
		err(1, "cannot map (%s)", remedy(errno));
	printf("mapped %d pages of domain %u, %s\n", n, domid,
	       prot & PROT_WRITE ? "to read and write" : "read-only");
	for (int i = 0; i < n; i++)
		print_greeting(refs[i], shared + i * PAGE);
	for (int i = 0; i < n && (prot & PROT_WRITE); i++)
		snprintf(shared + i * PAGE + HALF, HALF, "thanks from process %d, for ref %u",
			 getpid(), refs[i]);
	if (xengnttab_unmap(xgt, shared, n))
		err(1, "cannot unmap");
	printf("unmapped\n");
	xengnttab_close(xgt);
	return 0;
}
