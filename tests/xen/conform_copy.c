/* SPDX-License-Identifier: MIT */
/*
 * conform_copy.c - docs/gntdev-abi.md, section 9: GRANT_COPY
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "conform.h"

/* No status that a copy can have. */
#define UNTOUCHED 99
#define MANY	  40

static int fd;

static union gntdev_place there(uint32_t ref, uint16_t offset)
{
	return (union gntdev_place){
		.foreign = { .ref = ref, .offset = offset, .domid = granter->domid }
	};
}

static struct gntdev_segment in(uint32_t ref, uint16_t offset, void *to, uint16_t len)
{
	return (struct gntdev_segment){ .source = there(ref, offset),
					.dest.virt = to,
					.len = len,
					.flags = COPY_SOURCE,
					.status = UNTOUCHED };
}

static struct gntdev_segment out(const void *from, uint32_t ref, uint16_t offset, uint16_t len)
{
	return (struct gntdev_segment){ .source.virt = from,
					.dest = there(ref, offset),
					.len = len,
					.flags = COPY_DEST,
					.status = UNTOUCHED };
}

static int copy(struct gntdev_segment *s, uint32_t n)
{
	struct gntdev_copy op = { n, s };

	return ioctl(fd, GNTDEV_COPY, &op);
}

/* The result, and the status of each segment. */
static void say_copy(const char *what, struct gntdev_segment *s, uint32_t n)
{
	SAY(what, copy(s, n));
	for (uint32_t i = 0; i < n; i++)
		say("%d", s[i].status);
}

static void argument(void)
{
	struct gntdev_copy op = { 1, NULL };
	char *end = edge();

	fd = open_device(O_RDWR);
	SAY("NULL", ioctl(fd, GNTDEV_COPY, NULL));
	SAY("half", ioctl(fd, GNTDEV_COPY, end - 8));
	SAY("count 0, no segments", copy(NULL, 0));
	SAY("count 0, bad segments", copy((void *)end, 0));
	SAY("no segments", ioctl(fd, GNTDEV_COPY, &op));
	op.count = ~0U;
	SAY("count 2^32 - 1, no segments", ioctl(fd, GNTDEV_COPY, &op));
}

static void segment_unreadable(void)
{
	struct gntdev_segment *s = (void *)(edge() - sizeof(*s) - 8);
	uint32_t ref = grant(0);
	char to[4] = "--";

	fd = open_device(O_RDWR);
	s[0] = in(ref, 0, to, 1);
	SAY("second unreadable", copy(s, 2));
	say("'%s'", to);
}

static void local_only(void)
{
	char from[4] = "fr", to[4] = "to";
	struct gntdev_segment s = {
		.source.virt = from, .dest.virt = to, .len = 2, .status = UNTOUCHED
	};

	fd = open_device(O_RDWR);
	say_copy("local to local", &s, 1);
	s.len = 0;
	say_copy("len 0", &s, 1);
	s.flags = 4;
	say_copy("unknown flag alone", &s, 1);
	say("'%s'", to);
}

static void crossing(void)
{
	uint32_t ref = grant_more(2);
	char buf[8] = "";
	struct gntdev_segment s;

	fd = open_device(O_RDWR);
	s = in(ref, PAGE - 2, buf, 3);
	say_copy("source", &s, 1);
	s = in(ref, PAGE, buf, 0);
	say_copy("source at the end, len 0", &s, 1);
	s = in(ref, PAGE + 1, buf, 0);
	say_copy("source past it, len 0", &s, 1);
	s = in(ref, 0xffff, buf, 0xffff);
	say_copy("source, largest", &s, 1);
	s = out(buf, ref, PAGE - 2, 3);
	say_copy("dest", &s, 1);
	s = in(ref, PAGE - 2, NULL, 2);
	s.dest = there(ref + 1, PAGE - 1);
	s.flags = COPY_SOURCE | COPY_DEST;
	say_copy("dest of both", &s, 1);
	s = in(ref, 1, buf, PAGE);
	say_copy("source by one", &s, 1);
}

static void status_unwritable(void)
{
	char *page = edge() - PAGE;
	struct gntdev_segment *s = (void *)page;
	uint32_t ref = grant(0);
	char to[4] = "--";

	fd = open_device(O_RDWR);
	*s = in(ref, 0, to, 1);
	mprotect(page, PAGE, PROT_READ);
	say_copy("read-only segment", s, 1);
	say("'%s'", to);
}

static void local_pages(void)
{
	char *end = edge(), *ro = edge() - PAGE, *none = edge() - PAGE;
	uint32_t ref = grant(0);
	struct gntdev_segment s;

	fd = open_device(O_RDWR);
	mprotect(ro, PAGE, PROT_READ);
	mprotect(none, PAGE, PROT_NONE);
	s = in(ref, 0, NULL, 1);
	SAY("to NULL", copy(&s, 1));
	s = out(NULL, ref, 0, 1);
	SAY("from NULL", copy(&s, 1));
	s = in(ref, 0, end - 1, 2);
	SAY("to a bad second page", copy(&s, 1));
	say("first %s", look(end - 1));
	s = in(ref, 0, ro, 1);
	SAY("to a read-only page", copy(&s, 1));
	s = out(ro, ref, 0, 1);
	say_copy("from a read-only page", &s, 1);
	s = out(none, ref, 0, 1);
	SAY("from PROT_NONE", copy(&s, 1));
	s = in(ref, 0, (void *)0xffff888000000000UL, 1);
	SAY("to the kernel", copy(&s, 1));
	s = in(ref, 0, (void *)0x7ffffffff000UL, 1);
	SAY("to the end of user space", copy(&s, 1));
}

/* Which comes first, the page or the grant? */
static void page_before_grant(void)
{
	char *ro = edge() - PAGE;
	struct gntdev_segment s;

	fd = open_device(O_RDWR);
	mprotect(ro, PAGE, PROT_READ);
	s = in(EMPTY_REF, 0, NULL, 1);
	SAY("from no grant to NULL", copy(&s, 1));
	s = in(EMPTY_REF, 0, ro, 1);
	SAY("from no grant to a read-only page", copy(&s, 1));
	s = out(NULL, EMPTY_REF, 0, 1);
	SAY("from NULL to no grant", copy(&s, 1));
	s = out(ro, EMPTY_REF, 0, 1);
	say_copy("from a read-only page to no grant", &s, 1);
}

static void top_page(void)
{
	uint32_t ref = grant(0);
	struct gntdev_segment s;

	fd = open_device(O_RDWR);
	s = in(ref, 0, (void *)~0UL, 1);
	SAY("to the last byte", copy(&s, 1));
	s = out((void *)~0xfffUL, ref, 0, 1);
	SAY("from the last page", copy(&s, 1));
}

static void empty(void)
{
	uint32_t ref = grant(0);
	char to[4] = "--";
	struct gntdev_segment s[2] = { in(ref, 0, to, 0), in(EMPTY_REF, 0, NULL, 0) };

	fd = open_device(O_RDWR);
	say_copy("len 0", s, 2);
	say("'%s'", to);
}

static void both_ways(void)
{
	uint32_t ref = grant_more(2);
	char buf[8] = "", from[8] = "local";
	struct gntdev_segment s[3] = { in(ref, 0, buf, 3), out(from, ref, 10, 5),
				       in(ref, 10, NULL, 5) };

	fd = open_device(O_RDWR);
	s[0].flags |= 0xfffc;
	s[2].dest = there(ref + 1, 20);
	s[2].flags |= COPY_DEST;
	say_copy("in, out, across", s, 3);
	say("'%s' '%.6s' '%.6s'", buf, page_of(ref) + 10, page_of(ref + 1) + 20);
	say_pins();
}

static void unaligned(void)
{
	char *buf = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t ref = grant_more(2);
	struct gntdev_segment s;
	unsigned int bad = 0;

	fd = open_device(O_RDWR);
	for (unsigned int i = 0; i < PAGE; i++)
		page_of(ref)[i] = (char)(i * 7);
	s = in(ref, 0, buf + 1001, PAGE);
	say_copy("whole page in", &s, 1);
	bad += memcmp(buf + 1001, page_of(ref), PAGE) != 0;
	bad += buf[1000] != 0 || buf[1001 + PAGE] != 0;
	s = out(buf + 1001, ref + 1, 0, PAGE);
	say_copy("and out", &s, 1);
	bad += memcmp(page_of(ref), page_of(ref + 1), PAGE) != 0;
	say("%u differ", bad);
	munmap(buf, 3 * PAGE);
}

/* What must first be brought in or made one's own. */
static void fresh_pages(void)
{
	char *zero = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = open("/proc/self/exe", O_RDONLY);
	char *private = mmap(NULL, PAGE, RW, MAP_PRIVATE, file, 0);
	uint32_t ref = grant(0);
	struct gntdev_segment s[3] = { in(ref, 0, zero, 2), out(private, ref, 8, 4),
				       in(ref, 0, private, 2) };

	fd = open_device(O_RDWR);
	say_copy("COPY", s, 3);
	say("'%s' '%.3s' '%.4s'", zero, page_of(ref) + 9, private);
	munmap(zero, PAGE);
	munmap(private, PAGE);
	close(file);
}

static void statuses(void)
{
	uint32_t ref = grant(0), ro = grant(GTF_readonly), other = grant(0);
	char buf[8] = "--", from[8] = "xy";
	struct gntdev_segment s[7];

	granter->entry[other].domid = 77;
	s[0] = in(ref, 0, buf, 1);
	s[1] = in(NO_REF, 0, buf, 1);
	s[2] = in(ref, 0, buf, 1);
	s[2].source.foreign.domid = (uint16_t)(granter->domid + 100);
	s[3] = out(from, ro, 0, 1);
	s[4] = in(EMPTY_REF, 0, buf, 1);
	s[5] = in(other, 0, buf, 1);
	s[6] = in(ro, 1, buf + 1, 1);
	fd = open_device(O_RDWR);
	say_copy("COPY", s, 7);
	say("'%s', granter has %s", buf, look(page_of(ro)));
	s[2].source.foreign.domid = 0x7ff4;
	say_copy("of INVALID", s + 2, 1);
}

static void two_with_bad(void)
{
	uint32_t ref = grant(0);
	char a[4] = "--", b[4] = "--";
	struct gntdev_segment s[2] = { in(ref, 0, a, 1), in(ref, PAGE - 1, b, 2) };

	fd = open_device(O_RDWR);
	say_copy("COPY", s, 2);
	say("'%s' '%s'", a, b);
}

static void many_with_bad(void)
{
	struct gntdev_segment s[MANY];
	char buf[MANY], line[12 * MANY] = "";
	uint32_t ref = grant(0);

	fd = open_device(O_RDWR);
	memset(buf, '-', sizeof(buf));
	for (unsigned int i = 0; i < MANY; i++)
		s[i] = in(ref, (uint16_t)i, buf + i, 1);
	s[MANY / 2].flags = 0;
	SAY("COPY", copy(s, MANY));
	for (unsigned int i = 0; i < MANY; i++)
		snprintf(line + strlen(line), 12, "%s%d%c", i ? " " : "", s[i].status, buf[i]);
	say("%s", line);
}

static void many(void)
{
	const uint32_t n = 1000;
	struct gntdev_segment *s = calloc(n, sizeof(*s));
	char *buf = calloc(n, 3);
	uint32_t ref = grant_more(16), bad = 0;

	fd = open_device(O_RDWR);
	for (uint32_t i = 0; i < n; i++)
		s[i] = in(ref + i % 16, (uint16_t)i, buf + 3UL * i, 2);
	SAY("COPY", copy(s, n));
	for (uint32_t i = 0; i < n; i++)
		bad += s[i].status != 0 || buf[3 * i] != 'A' + (int)(i % 16) ||
		       buf[3 * i + 1] != buf[3 * i] || buf[3 * i + 2];
	say("%u of %u differ", bad, n);
	free(s);
	free(buf);
}

static void through_mapping(void)
{
	uint32_t ref = grant_more(2);
	struct gntdev_segment s;
	char *p;

	fd = open_device(O_RDWR);
	p = mapped(fd, ref, 1, RW, NULL);
	s = in(ref + 1, 0, p, 2);
	say_copy("to a mapping", &s, 1);
	say("granter has %s", look(page_of(ref)));
	s = out(p, ref + 1, 4, 2);
	say_copy("from a mapping", &s, 1);
	say("granter has %s", look(page_of(ref + 1) + 4));
}

static void while_mapped(void)
{
	uint32_t ref = grant(0);
	char buf[4] = "--", *p;
	struct gntdev_segment s = in(ref, 1, buf, 1);

	fd = open_device(O_RDWR);
	p = mapped(fd, ref, 1, RW, NULL);
	store(p + 1, 'w');
	say_copy("of a mapped grant", &s, 1);
	say("'%s'", buf);
	fd = open_device(O_RDONLY);
	say_copy("by O_RDONLY", &s, 1);
}

const struct row copy_rows[] = {
	{ "9.1 argument", argument, NEVER },
	{ "9.3 segment unreadable", segment_unreadable, NEVER },
	{ "9.4 local to local", local_only, NEVER },
	{ "9.5 crossing a page", crossing, NEVER },
	{ "9.6 status not writable", status_unwritable, NEVER },
	{ "9.7 local pages", local_pages, NEVER },
	{ "9.7 local page before grant", page_before_grant, NEVER },
	{ "9.7 top page", top_page, BEFORE_6_12 },
	{ "9 len 0", empty, NEVER },
	{ "9 in, out, across", both_ways, NEVER },
	{ "9 unaligned", unaligned, NEVER },
	{ "9 fresh pages", fresh_pages, NEVER },
	{ "9 statuses", statuses, NEVER },
	{ "9 two segments, the second bad", two_with_bad, NEVER },
	{ "9 40 segments, one bad", many_with_bad, NEVER },
	{ "9 1000 segments", many, NEVER },
	{ "9 through a mapping", through_mapping, NEVER },
	{ "9 of a mapped grant", while_mapped, NEVER },
	{ NULL, NULL, NEVER },
};
