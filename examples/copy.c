/* SPDX-License-Identifier: MIT */
/*
 * copy.c - copy to and from grants without mapping them
 *
 * Four segments in one call: grant to memory, memory to grant, grant to grant, and one that must
 * fail: into a page that was granted for reading only. Each segment has a status of its own; the
 * call itself succeeds.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xengnttab.h>

#define PAGE 4096

static uint32_t granter = 1, mapper;

static void usage(void)
{
	fprintf(stderr,
		"usage: copy [GRANTER [MAPPER]]\n"
		"  GRANTER is the domain that /dev/xen/gntalloc grants as (1), MAPPER the one\n"
		"  that /dev/xen/gntdev copies for (0).\n");
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

static char *share(xengntshr_handle *xgs, uint32_t *ref, int writable)
{
	char *page = xengntshr_share_pages(xgs, mapper, 1, ref, writable);

	if (!page)
		err(1, "cannot share a page (ENODEV: start me with gntdev-run)");
	printf("ref %u: granted to domain %u, %s\n", *ref, mapper,
	       writable ? "to read and write" : "for reading only");
	return page;
}

static const char *meaning(int status)
{
	switch (status) {
	case GNTST_okay:
		return "okay";
	case GNTST_general_error:
		return "general error: not granted for this";
	case GNTST_bad_domain:
		return "no such domain";
	case GNTST_bad_gntref:
		return "no such reference";
	default:
		return "see xen/grant_table.h";
	}
}

/* Return: whether the status is the expected one. */
static int report(const char *what, const xengnttab_grant_copy_segment_t *s, int expected)
{
	printf("%s, %u bytes: status %d (%s)%s\n", what, s->len, s->status, meaning(s->status),
	       s->status == expected ? "" : "  UNEXPECTED");
	return s->status == expected;
}

int main(int argc, char **argv)
{
	static const char hello[] = "written by a grant copy";
	xengntshr_handle *xgs;
	xengnttab_handle *xgt;
	char *page, *sealed, buffer[PAGE];
	uint32_t ref, sealed_ref;
	int good;

	if (argc > 3)
		usage();
	if (argc > 1)
		granter = domain(argv[1]);
	if (argc > 2)
		mapper = domain(argv[2]);
	xgs = xengntshr_open(NULL, 0);
	xgt = xengnttab_open(NULL, 0);
	if (!xgs || !xgt)
		err(1,
		    "/dev/xen/gntalloc or gntdev (is cuse_gntdev running, and may you open them?)");
	page = share(xgs, &ref, 1);
	sealed = share(xgs, &sealed_ref, 0);
	snprintf(sealed, PAGE, "sealed by the granter");

	xengnttab_grant_copy_segment_t seg[] = {
		{ .source.foreign = { .ref = sealed_ref, .domid = granter },
		  .dest.virt = buffer,
		  .len = PAGE,
		  .flags = GNTCOPY_source_gref },
		{ .source.virt = (void *)hello,
		  .dest.foreign = { .ref = ref, .domid = granter, .offset = 1000 },
		  .len = sizeof(hello),
		  .flags = GNTCOPY_dest_gref },
		{ .source.foreign = { .ref = sealed_ref, .domid = granter, .offset = 10 },
		  .dest.foreign = { .ref = ref, .domid = granter, .offset = 2000 },
		  .len = 100,
		  .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref },
		{ .source.virt = (void *)hello,
		  .dest.foreign = { .ref = sealed_ref, .domid = granter },
		  .len = sizeof(hello),
		  .flags = GNTCOPY_dest_gref },
	};
	if (xengnttab_grant_copy(xgt, 4, seg))
		err(1, "the copy failed as a whole");

	good = report("grant to memory", &seg[0], GNTST_okay);
	good &= report("memory to grant", &seg[1], GNTST_okay);
	good &= report("grant to grant", &seg[2], GNTST_okay);
	good &= report("memory to a grant for reading only", &seg[3], GNTST_general_error);
	good &= !strcmp(buffer, "sealed by the granter") && !strcmp(page + 1000, hello) &&
		!strcmp(page + 2000, "the granter") && !strcmp(sealed, "sealed by the granter");
	printf("the pages hold %s\n", good ? "what they should" : "SOMETHING ELSE");
	xengnttab_close(xgt);
	xengntshr_unshare(xgs, sealed, 1);
	xengntshr_unshare(xgs, page, 1);
	xengntshr_close(xgs);
	return good ? 0 : 1;
}
