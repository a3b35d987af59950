/* SPDX-License-Identifier: MIT */
/*
 * device/test_copy.c - GRANT_COPY: every row of docs/gntdev-abi.md, section 9, in both ways of reaching the
 * caller's memory
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/rig.h"

#define in_both_modes(tc, test) tcase_add_loop_test(tc, test, DOUBLE_DIRECT, DOUBLE_RETRY + 1)

typedef struct ioctl_gntdev_grant_copy_segment segment_t;

#define UNTOUCHED 0x55

static unsigned char local[2 * 4096] __attribute__((aligned(4096)));

static int copy(segment_t *seg, uint32_t n, int mode)
{
	struct ioctl_gntdev_grant_copy op = { .count = n, .segments = seg };

	return double_ioctl(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_GRANT_COPY, &op,
			    (enum double_mode)mode);
}

static segment_t from_grant(uint32_t ref, uint16_t offset, void *virt, uint16_t len)
{
	segment_t s = { .len = len, .flags = GNTCOPY_source_gref, .status = UNTOUCHED };

	s.source.foreign.ref = ref;
	s.source.foreign.offset = offset;
	s.source.foreign.domid = RIG_GRANTER;
	s.dest.virt = virt;
	return s;
}

static segment_t to_grant(const void *virt, uint32_t ref, uint16_t offset, uint16_t len)
{
	segment_t s = { .len = len, .flags = GNTCOPY_dest_gref, .status = UNTOUCHED };

	s.source.virt = (void *)(uintptr_t)virt;
	s.dest.foreign.ref = ref;
	s.dest.foreign.offset = offset;
	s.dest.foreign.domid = RIG_GRANTER;
	return s;
}

/* QEMU's feature test. */
START_TEST(count_0)
{
	ck_assert_int_eq(copy(NULL, 0, _i), 0);
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_GRANT_COPY, NULL,
				      (enum double_mode)_i),
			 -EFAULT);
	ck_assert_int_eq(copy(NULL, 1, _i), -EFAULT);
	ck_assert_int_eq(copy((segment_t *)~7UL, 1, _i), -EFAULT);
}
END_TEST

START_TEST(both_ways)
{
	uint32_t a = rig_grant(false), b = rig_grant(false);
	segment_t s[3];

	memcpy(rig.frame[0] + 100, "from the grant", 15);
	memcpy(local, "to the grant", 13);
	s[0] = from_grant(a, 100, local + 4090, 15); /* across a page border of ours */
	s[1] = to_grant(local, b, 4083, 13);
	s[2] = to_grant(local, a, 0, 0);
	ck_assert_int_eq(copy(s, 3, _i), 0);
	ck_assert_str_eq((char *)local + 4090, "from the grant");
	ck_assert_str_eq((char *)rig.frame[1] + 4083, "to the grant");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(s[i].status, 0);
	/* The rest of a segment is the client's. */
	ck_assert_uint_eq(s[1].flags, GNTCOPY_dest_gref);
	ck_assert_ptr_eq(s[1].source.virt, local);
}
END_TEST

START_TEST(grant_to_grant)
{
	uint32_t a = rig_grant(false), b = rig_grant(false);
	segment_t s = from_grant(a, 0, NULL, 4096);

	s.flags |= GNTCOPY_dest_gref | 0x8000; /* unknown bits are ignored */
	s.dest.foreign.ref = b;
	s.dest.foreign.offset = 0;
	s.dest.foreign.domid = RIG_GRANTER;
	memset(rig.frame[0], 'g', 4096);
	ck_assert_int_eq(copy(&s, 1, _i), 0);
	ck_assert_int_eq(s.status, 0);
	ck_assert_int_eq(memcmp(rig.frame[0], rig.frame[1], 4096), 0);
}
END_TEST

/* Rows 4 and 5, and what happened to the segments before and behind. */
START_TEST(invalid_segments)
{
	uint32_t a = rig_grant(false);
	segment_t s[3];

	for (int kind = 0; kind < 4; kind++) {
		memset(rig.frame[0], 'x', 4096);
		memset(local, UNTOUCHED, sizeof(local));
		s[0] = from_grant(a, 0, local, 10);
		s[1] = from_grant(a, 0, local + 10, 10);
		s[2] = from_grant(a, 0, local + 20, 10);
		if (kind == 0)
			s[1].flags = 0;
		else if (kind == 1)
			s[1].source.foreign.offset = 4087;
		else if (kind == 2)
			s[1] = to_grant(local, a, 4090, 7);
		else
			s[1] = to_grant(local, a, 4097, 0);
		ck_assert_int_eq(copy(s, 3, _i), -EINVAL);
		/* The first says that it was copied, and it was; the others say nothing. */
		ck_assert_int_eq(s[0].status, 0);
		ck_assert_int_eq(local[9], 'x');
		ck_assert_int_eq(s[1].status, UNTOUCHED);
		ck_assert_int_eq(s[2].status, UNTOUCHED);
		ck_assert_int_eq(local[10], UNTOUCHED);
		ck_assert_int_eq(local[20], UNTOUCHED);
	}
}
END_TEST

START_TEST(bad_grants_are_statuses)
{
	uint32_t a = rig_grant(true);
	segment_t s[5];

	memset(local, UNTOUCHED, sizeof(local));
	s[0] = from_grant(30000, 0, local, 8);
	s[1] = from_grant(a, 0, local + 8, 8);
	s[1].source.foreign.domid = 99;
	s[2] = to_grant(local, a, 0, 8);
	s[3] = from_grant(a, 0, local + 24, 8);
	s[4] = from_grant(600, 0, local + 32, 8);
	ck_assert_int_eq(copy(s, 5, _i), 0);
	ck_assert_int_eq(s[0].status, GNTST_bad_gntref);
	ck_assert_int_eq(s[1].status, GNTST_bad_domain);
	ck_assert_int_eq(s[2].status, GNTST_general_error);
	ck_assert_int_eq(s[3].status, GNTST_okay);
	ck_assert_int_lt(s[4].status, 0);
	ck_assert_int_eq(local[0], UNTOUCHED);
	ck_assert_int_eq(local[8], UNTOUCHED);
	ck_assert_int_eq(local[24], 0);
	ck_assert_int_eq(local[32], UNTOUCHED);
}
END_TEST

/* A segment reads what the one before wrote; two write to the same place, the second in vain. */
START_TEST(segments_depend)
{
	uint32_t a = rig_grant(false), b = rig_grant(false);
	segment_t s[4];

	memset(local, 0, 32);
	memcpy(rig.frame[0], "0123456789", 10);
	s[0] = from_grant(a, 0, local, 10);
	s[1] = to_grant(local + 4, b, 100, 6);
	s[2] = from_grant(30000, 0, local + 2, 4);
	s[3] = from_grant(b, 100, local + 10, 6);
	ck_assert_int_eq(copy(s, 4, _i), 0);
	ck_assert_int_eq(memcmp(rig.frame[1] + 100, "456789", 6), 0);
	ck_assert_int_eq(memcmp(local, "0123456789456789", 16), 0);
	ck_assert_int_eq(s[2].status, GNTST_bad_gntref);
	ck_assert_int_eq(s[3].status, GNTST_okay);
}
END_TEST

/* Rows 3, 6 and 7. */
START_TEST(faults)
{
	uint32_t a = rig_grant(false);
	segment_t ok = from_grant(a, 0, local, 8), s[2] = { ok, ok };
	segment_t *edge;
	unsigned char *p;

	p = mmap(NULL, 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(p, 4096, PROT_READ | PROT_WRITE);
	edge = (segment_t *)(p + 4096) - 1;
	*edge = ok;
	memset(rig.frame[0], 'y', 8);
	ck_assert_int_eq(copy(edge, 2, _i), -EFAULT);
	if (_i == DOUBLE_DIRECT) {
		ck_assert_int_eq(edge->status, 0);
		ck_assert_int_eq(local[7], 'y');
	}
	ck_assert_int_eq(copy(rig_readonly_page(&ok, sizeof(ok)), 1, _i), -EFAULT);
	s[0].dest.virt = rig_readonly_page("", 1);
	ck_assert_int_eq(copy(s, 2, _i), -EFAULT);
	s[0] = to_grant(rig_no_page(), a, 0, 8);
	ck_assert_int_eq(copy(s, 2, _i), -EFAULT);
	/* The top page of the address space, where 6.1's driver crashes. */
	s[0] = to_grant((void *)~0UL, a, 0, 8);
	ck_assert_int_eq(copy(s, 2, _i), -EFAULT);
	s[0] = from_grant(a, 0, (void *)~0xfffUL, 8);
	ck_assert_int_eq(copy(s, 2, _i), -EFAULT);
}
END_TEST

START_TEST(status_of_an_unwritable_destination)
{
	uint32_t a = rig_grant(false);
	segment_t s[3];

	s[0] = from_grant(a, 0, local, 8);
	s[1] = from_grant(a, 0, rig_readonly_page("", 1), 8);
	s[2] = from_grant(a, 0, local + 8, 8);
	ck_assert_int_eq(copy(s, 3, DOUBLE_DIRECT), -EFAULT);
	ck_assert_int_eq(s[0].status, GNTST_okay);
	ck_assert_int_eq(s[1].status, GNTST_bad_page);
	ck_assert_int_eq(s[2].status, GNTST_general_error);
}
END_TEST

static unsigned int ops_carried_out, hypercalls;
/* The hypercall during which the caller is killed; 0: it is not. */
static unsigned int killed_during;
static struct hypervisor_ops counting_ops;
static int (*real_copy)(struct hypervisor *hv, struct hv_copy *c, size_t n);

/* On a real Xen no local buffer may cross the border of a page. */
static void check_within_page(const void *buf, uint16_t len)
{
	ck_assert_uint_le((uintptr_t)buf % 4096 + len, 4096);
}

static int counting_copy(struct hypervisor *hv, struct hv_copy *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_within_page(c[i].src_local ? c[i].src_local : c[i].dst_local, c[i].len);
	ops_carried_out += (unsigned int)n;
	hypercalls++;
	double_killed |= hypercalls == killed_during;
	return real_copy(hv, c, n);
}

static void count_copies(void)
{
	counting_ops = *rig.gd.hv->ops;
	real_copy = counting_ops.copy;
	counting_ops.copy = counting_copy;
	rig.gd.hv->ops = &counting_ops;
}

/* Each segment once, and none behind the one that ends the call. */
START_TEST(none_twice_none_behind)
{
	uint32_t a = rig_grant(false), b = rig_grant(false);
	segment_t s[3];

	count_copies();
	strcpy((char *)local, "STALE!");
	memcpy(rig.frame[0], "fresh!", 6);
	s[0] = from_grant(a, 0, local, 6);
	s[1] = to_grant(local, b, 0, 6);
	ck_assert_int_eq(copy(s, 2, _i), 0);
	ck_assert_uint_eq(ops_carried_out, 2);
	ck_assert_int_eq(memcmp(rig.frame[1], "fresh!", 6), 0);
	if (_i != DOUBLE_DIRECT)
		return;
	s[0].dest.virt = rig_readonly_page("", 1);
	s[0].status = s[1].status = UNTOUCHED;
	strcpy((char *)local, "BEHIND");
	ck_assert_int_eq(copy(s, 2, _i), -EFAULT);
	ck_assert_int_eq(s[0].status, GNTST_bad_page);
	ck_assert_int_eq(s[1].status, UNTOUCHED);
	ck_assert_int_eq(memcmp(rig.frame[1], "fresh!", 6), 0);
	/* A status that cannot be written: not copied. */
	s[1] = to_grant(local, b, 0, 6);
	ck_assert_int_eq(copy(rig_readonly_page(&s[1], sizeof(s[1])), 1, _i), -EFAULT);
	ck_assert_int_eq(memcmp(rig.frame[1], "fresh!", 6), 0);
	/* Behind an unwritable one, of the same direction. */
	s[1] = s[2] = from_grant(a, 0, local, 6);
	ck_assert_int_eq(copy(s, 3, _i), -EFAULT);
	ck_assert_int_eq(s[1].status, GNTST_general_error);
	ck_assert_int_eq(s[2].status, GNTST_general_error);
	ck_assert_int_eq(memcmp(local, "BEHIND", 6), 0);
}
END_TEST

/* Both directions by turns, and from grant to grant: one hypercall, as long as none reads what one writes. */
START_TEST(mixed_directions)
{
	uint32_t a = rig_grant(false), b = rig_grant(false);
	segment_t s[30];

	count_copies();
	for (int i = 0; i < 4096; i++)
		rig.frame[0][i] = (unsigned char)(i * 5);
	for (int i = 0; i < 8192; i++)
		local[i] = (unsigned char)(i * 3);
	for (uint16_t i = 0; i < 30; i += 3) {
		s[i] = from_grant(a, 7 * i, local + 11 * i, 10);
		s[i + 1] = to_grant(local + 4096 + 11 * i, b, 13 * i, 10);
		s[i + 2] = from_grant(a, 7 * i, NULL, 9);
		s[i + 2].flags |= GNTCOPY_dest_gref;
		s[i + 2].dest.foreign.ref = b;
		s[i + 2].dest.foreign.offset = (uint16_t)(2000 + 13 * i);
		s[i + 2].dest.foreign.domid = RIG_GRANTER;
	}
	ck_assert_int_eq(copy(s, 30, _i), 0);
	ck_assert_uint_eq(ops_carried_out, 30);
	ck_assert_uint_eq(hypercalls, 1);
	for (int i = 0; i < 30; i += 3) {
		ck_assert_mem_eq(local + 11 * i, rig.frame[0] + 7 * i, 10);
		ck_assert_mem_eq(rig.frame[1] + 13 * i, local + 4096 + 11 * i, 10);
		ck_assert_mem_eq(rig.frame[1] + 2000 + 13 * i, rig.frame[0] + 7 * i, 9);
		for (int k = 0; k < 3; k++)
			ck_assert_int_eq(s[i + k].status, 0);
	}
}
END_TEST

/*
 * Buffers side by side, in odd pieces, across borders of pages, back to front, and with one between
 * them that fails: what goes at one go must not go elsewhere.
 */
START_TEST(neighbours)
{
	const uint16_t len[] = { 1, 4095, 4096, 2000, 2000, 7, 0, 89 };
	static unsigned char buf[4 * 4096];
	uint32_t a = rig_grant(false), b = rig_grant(false);
	unsigned char want[4 * 4096];
	segment_t s[8];
	size_t at = 0;

	count_copies();
	for (int i = 0; i < 4096; i++)
		rig.frame[0][i] = (unsigned char)(i * 7 + i / 256);
	memset(buf, UNTOUCHED, sizeof(buf));
	memset(want, UNTOUCHED, sizeof(want));
	for (int i = 0; i < 8; at += len[i++]) {
		s[i] = from_grant(a, (uint16_t)((4096 - len[i]) / 2), buf + at, len[i]);
		memcpy(want + at, rig.frame[0] + (4096 - len[i]) / 2, len[i]);
	}
	s[4].source.foreign.ref = 30000;
	memset(want + 1 + 4095 + 4096 + 2000, UNTOUCHED, 2000);
	ck_assert_int_eq(copy(s, 8, _i), 0);
	ck_assert_mem_eq(buf, want, sizeof(buf));
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(s[i].status, i == 4 ? GNTST_bad_gntref : GNTST_okay);
	/* And into a grant, the last first. */
	for (uint16_t i = 0; i < 8; i++)
		s[i] = to_grant(buf + 100 * (7 - i), b, 100 * i, 100);
	ck_assert_int_eq(copy(s, 8, _i), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_mem_eq(rig.frame[1] + 100 * i, buf + 100 * (7 - i), 100);
}
END_TEST

/* One local page is the source of some segments and the destination of others, the same bytes twice over. */
START_TEST(the_same_page_both_ways)
{
	uint32_t a = rig_grant(false), b = rig_grant(false);
	segment_t s[4];

	memset(local, 'l', 4096);
	memset(rig.frame[0], 'a', 4096);
	s[0] = to_grant(local, b, 0, 4096);	 /* the page as it was */
	s[1] = from_grant(a, 0, local, 2048);	 /* over it */
	s[2] = from_grant(a, 0, local, 2048);	 /* once more */
	s[3] = to_grant(local + 2000, b, 0, 96); /* half of that, half of the old */
	ck_assert_int_eq(copy(s, 4, _i), 0);
	ck_assert_int_eq(local[2047], 'a');
	ck_assert_int_eq(local[2048], 'l');
	ck_assert_int_eq(rig.frame[1][47], 'a');
	ck_assert_int_eq(rig.frame[1][48], 'l');
	ck_assert_int_eq(rig.frame[1][4095], 'l');
}
END_TEST

static int status_at(const unsigned char *segments, int i)
{
	int16_t status;

	memcpy(&status, segments + i * sizeof(segment_t) + offsetof(segment_t, status),
	       sizeof(status));
	return status;
}

/*
 * The last segment reaches any number of bytes into the second page, which is all that a page can be. Of
 * its 24 bytes all are read, but for the status none is written.
 */
START_TEST(statuses_at_a_page_end)
{
	const int prots[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE };
	uint32_t a = rig_grant(false);
	segment_t one[3];

	for (size_t k = 0; k < 3 * sizeof(segment_t); k++) {
		size_t over = k / 3 + 1;
		bool good = k % 3 == 0 || (k % 3 == 1 && over <= 2);
		unsigned char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		unsigned char *s = two + 4096 - sizeof(one) + over;

		memset(local, UNTOUCHED, 64);
		for (int i = 0; i < 3; i++)
			one[i] = from_grant(i == 1 ? 30000 : a, 0, local + 16 * i, 8);
		memcpy(s, one, sizeof(one));
		mprotect(two + 4096, 4096, prots[k % 3]);
		ck_assert_int_eq(copy((void *)s, 3, DOUBLE_DIRECT), good ? 0 : -EFAULT);
		mprotect(two + 4096, 4096, PROT_READ);
		ck_assert_int_eq(status_at(s, 0), 0);
		ck_assert_int_eq(status_at(s, 1), GNTST_bad_gntref);
		/* Where its second byte lies beyond, the first one may be written. */
		if (over != 3)
			ck_assert_int_eq(status_at(s, 2), good ? 0 : UNTOUCHED);
		ck_assert_int_eq(local[0], 0);
		ck_assert_int_eq(local[16], UNTOUCHED);
		ck_assert_int_eq(local[32], good ? 0 : UNTOUCHED);
		munmap(two, 8192);
	}
}
END_TEST

/* A bad local page comes before a bad grant, on either side; without a byte to copy it is not looked at. */
START_TEST(local_page_before_grant)
{
	uint32_t a = rig_grant(true);
	void *readonly = rig_readonly_page("", 1);
	segment_t s[3];

	for (int kind = 0; kind < 4; kind++) {
		memset(local, UNTOUCHED, 16);
		s[0] = from_grant(a, 0, local, 8);
		if (kind == 0)
			s[1] = from_grant(30000, 0, rig_no_page(), 8);
		else if (kind == 1)
			s[1] = from_grant(30000, 0, readonly, 8);
		else if (kind == 2)
			s[1] = to_grant(rig_no_page(), 30000, 0, 8);
		else
			s[1] = to_grant(rig_no_page(), a, 0, 8);
		s[2] = from_grant(a, 0, local + 8, 8);
		ck_assert_int_eq(copy(s, 3, _i), -EFAULT);
		if (_i != DOUBLE_DIRECT)
			continue;
		ck_assert_int_eq(s[0].status, 0);
		ck_assert_int_eq(local[0], 0);
		ck_assert_int_ne(s[2].status, 0);
		ck_assert_int_eq(local[8], UNTOUCHED);
	}
	s[0] = from_grant(30000, 0, rig_no_page(), 0);
	s[1] = to_grant(rig_no_page(), 30000, 0, 0);
	ck_assert_int_eq(copy(s, 2, _i), 0);
	/* A grant that is bad, alone. */
	s[0] = from_grant(30000, 0, local, 8);
	s[1] = to_grant(local, a, 0, 8);
	ck_assert_int_eq(copy(s, 2, _i), 0);
	ck_assert_int_eq(s[0].status, GNTST_bad_gntref);
	ck_assert_int_eq(s[1].status, GNTST_general_error);
}
END_TEST

/* Nothing goes into a grant behind a destination that cannot be written, wherever its bad page is. */
START_TEST(destinations_are_tried_first)
{
	uint32_t a = rig_grant(false), b = rig_grant(false);
	unsigned char *two =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	segment_t s[4];

	mprotect(two + 4096, 4096, PROT_READ);
	memset(local, 'n', 16);
	s[0] = from_grant(a, 0, two + 4000, 96);
	s[1] = from_grant(a, 0, two + 4090, 12);
	s[2] = to_grant(local, b, 0, 8);
	s[3] = from_grant(a, 0, local + 8, 8);
	memset(rig.frame[0], 'a', 4096);
	memset(rig.frame[1], 'b', 4096);
	ck_assert_int_eq(copy(s, 4, DOUBLE_DIRECT), -EFAULT);
	ck_assert_int_eq(s[0].status, 0);
	ck_assert_int_eq(two[4089], 'a');
	ck_assert_int_eq(s[1].status, GNTST_bad_page);
	ck_assert_int_eq(s[2].status, UNTOUCHED);
	ck_assert_int_eq(s[3].status, UNTOUCHED);
	ck_assert_int_eq(rig.frame[1][0], 'b');
	ck_assert_int_eq(local[8], 'n');
	/* What is tried is left as it was. */
	s[0] = from_grant(30000, 0, local, 8);
	s[1] = to_grant(local + 8, b, 0, 8);
	ck_assert_int_eq(copy(s, 2, DOUBLE_DIRECT), 0);
	ck_assert_int_eq(local[0], 'n');
	ck_assert_int_eq(rig.frame[1][0], 'n');
}
END_TEST

/* CUSE's own copying stops at 31 full pages. */
START_TEST(a_thousand_pages)
{
	enum { N = 1000 };
	unsigned char *buf = malloc(N * 4096);
	segment_t *s = calloc(N, sizeof(*s));
	struct ioctl_gntdev_grant_copy op = { .count = N, .segments = s };
	uint32_t ref[8];
	struct double_result r;

	for (int i = 0; i < 8; i++) {
		ref[i] = rig_grant(false);
		memset(rig.frame[i], 'a' + i, 4096);
	}
	for (int i = 0; i < N; i++)
		s[i] = from_grant(ref[i % 8], 0, buf + i * 4096, 4096);
	r = double_ioctl_full(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_GRANT_COPY, (uintptr_t)&op,
			      DOUBLE_DIRECT, false);
	ck_assert_int_eq(r.result, 0);
	ck_assert_uint_eq(r.trips, 1);
	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(s[i].status, 0);
		ck_assert_int_eq(buf[i * 4096], 'a' + i % 8);
		ck_assert_int_eq(buf[i * 4096 + 4095], 'a' + i % 8);
	}
	op.count = 15;
	memset(buf, 0, 15 * 4096);
	ck_assert_int_eq(copy(s, 15, DOUBLE_RETRY), 0);
	ck_assert_int_eq(buf[14 * 4096 + 4095], 'a' + 14 % 8);
	/* Refused, not cut. */
	ck_assert_int_eq(copy(s, 40, DOUBLE_RETRY), -ENOMEM);
	ck_assert_int_eq(copy(s, N, DOUBLE_RETRY), -ENOMEM);
	free(s);
	free(buf);
}
END_TEST

START_TEST(paged_out_for_a_while)
{
	uint32_t a = rig_grant(false);
	segment_t s[2] = { from_grant(a, 0, local, 8), from_grant(a, 8, local + 8, 8) };
	const char *why;

	memset(rig.frame[0], 'z', 16);
	memset(local, 0, 16);
	ck_assert_int_eq(sim_fault_add(rig.sim, "copy:nth=2,status=eagain,count=3", &why), 0);
	ck_assert_int_eq(copy(s, 2, _i), 0);
	ck_assert_int_eq(s[0].status, 0);
	ck_assert_int_eq(s[1].status, 0);
	ck_assert_int_eq(local[15], 'z');
}
END_TEST

/* In one batch, and in the next, which is carried out elsewhere. */
START_TEST(paged_out_twice)
{
	enum { N = 100 };
	uint32_t a = rig_grant(false);
	segment_t s[N];
	const char *why;

	memset(rig.frame[0], 'z', 8);
	memset(local, 0, sizeof(local));
	for (int i = 0; i < N; i++)
		s[i] = from_grant(a, 0, local + 8 * i, 8);
	ck_assert_int_eq(sim_fault_add(rig.sim, "copy:nth=5,status=eagain", &why), 0);
	ck_assert_int_eq(sim_fault_add(rig.sim, "copy:nth=80,status=eagain,count=2", &why), 0);
	ck_assert_int_eq(copy(s, N, _i), 0);
	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(s[i].status, 0);
		ck_assert_int_eq(local[8 * i], 'z');
	}
}
END_TEST

/* As the driver reports it: -9. The pauses add up to half a minute there and here. */
START_TEST(paged_out_for_ever)
{
	uint32_t a = rig_grant(false);
	segment_t s = from_grant(a, 0, local, 8);
	const char *why;

	ck_assert_int_eq(sim_fault_add(rig.sim, "copy:status=eagain,count=100000", &why), 0);
	ck_assert_int_eq(copy(&s, 1, DOUBLE_DIRECT), 0);
	ck_assert_int_eq(s.status, GNTST_bad_page);
}
END_TEST

START_TEST(hypercall_error)
{
	uint32_t a = rig_grant(false);
	segment_t s = from_grant(a, 0, local, 8);
	const char *why;

	memset(local, UNTOUCHED, 8);
	ck_assert_int_eq(sim_fault_add(rig.sim, "copy:errno=EFAULT", &why), 0);
	ck_assert_int_eq(copy(&s, 1, _i), -EFAULT);
	ck_assert_int_eq(s.status, GNTST_general_error);
	ck_assert_int_eq(local[0], UNTOUCHED);
}
END_TEST

/* As many segments as a call can have would keep a caller for minutes that wants to end. */
START_TEST(killed_between_batches)
{
	enum { N = 100000 };
	uint32_t a = rig_grant(false);
	segment_t *s = calloc(N, sizeof(*s));

	count_copies();
	killed_during = 3;
	for (int i = 0; i < N; i++)
		s[i] = from_grant(a, 0, local, 8);
	ck_assert_int_eq(copy(s, N, DOUBLE_DIRECT), -EINTR);
	ck_assert_uint_eq(hypercalls, 3);
	/* The batch that was under way is finished. */
	ck_assert_int_eq(s[191].status, 0);
	ck_assert_int_eq(s[192].status, UNTOUCHED);
	free(s);
}
END_TEST

START_TEST(killed_while_paged_out)
{
	uint32_t a = rig_grant(false);
	segment_t s = from_grant(a, 0, local, 8);
	const char *why;

	count_copies();
	killed_during = 4;
	ck_assert_int_eq(sim_fault_add(rig.sim, "copy:status=eagain,count=100000", &why), 0);
	ck_assert_int_eq(copy(&s, 1, DOUBLE_DIRECT), -EINTR);
	ck_assert_uint_eq(hypercalls, 4);
}
END_TEST

/*
 * The caller is killed, and answered, while its memory is read for the Nth time: nothing of it is touched
 * after that, which the double sees to, and no grant.
 */
START_TEST(killed_while_read)
{
	uint32_t a = rig_grant(false), b = rig_grant(false);
	segment_t s[3];
	int err;

	count_copies();
	s[0] = from_grant(a, 0, local, 8);
	s[1] = to_grant(local + 8, b, 0, 8);
	s[2] = from_grant(30000, 0, local + 16, 8);
	double_killed_at = (unsigned int)_i;
	err = copy(s, 3, DOUBLE_DIRECT);
	ck_assert_int_eq(err, double_killed_at ? 0 : -EINTR);
	/* The header, the segments, the sources, the destination before the second; then the refused one's. */
	ck_assert_uint_eq(hypercalls, _i > 4);
	ck_assert_int_eq(err, _i > 5 ? 0 : -EINTR);
}
END_TEST

Suite *copy_suite(void);

Suite *copy_suite(void)
{
	Suite *s = suite_create("copy");
	TCase *tc = tcase_create("copy");

	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	in_both_modes(tc, count_0);
	in_both_modes(tc, both_ways);
	in_both_modes(tc, grant_to_grant);
	in_both_modes(tc, invalid_segments);
	in_both_modes(tc, bad_grants_are_statuses);
	in_both_modes(tc, segments_depend);
	in_both_modes(tc, none_twice_none_behind);
	in_both_modes(tc, faults);
	tcase_add_test(tc, status_of_an_unwritable_destination);
	in_both_modes(tc, mixed_directions);
	in_both_modes(tc, neighbours);
	in_both_modes(tc, the_same_page_both_ways);
	tcase_add_test(tc, statuses_at_a_page_end);
	in_both_modes(tc, local_page_before_grant);
	tcase_add_test(tc, destinations_are_tried_first);
	tcase_add_test(tc, a_thousand_pages);
	tcase_add_test(tc, killed_between_batches);
	tcase_add_test(tc, killed_while_paged_out);
	tcase_add_loop_test(tc, killed_while_read, 1, 8);
	in_both_modes(tc, paged_out_for_a_while);
	in_both_modes(tc, paged_out_twice);
	tcase_add_test(tc, paged_out_for_ever);
	in_both_modes(tc, hypercall_error);
	suite_add_tcase(s, tc);
	return s;
}
