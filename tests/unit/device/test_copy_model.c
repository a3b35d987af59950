/* SPDX-License-Identifier: MIT */
/*
 * device/test_copy_model.c - GRANT_COPY against a model: random segments, one after the other
 *
 * The model is what the device promises, in its simplest form: it takes one segment at a time, checks,
 * copies, goes on or ends the call there. Memory of ours, memory of the granter, statuses and errno have to
 * be the same afterwards. GNTDEV_TEST_SEED tries another sequence.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/rig.h"

typedef struct ioctl_gntdev_grant_copy_segment segment_t;

#define UNTOUCHED 0x55
#define PAGE	  4096
#define FRAMES	  5 /* the last one is granted to be read only */
#define MAX	  150
/* Pages of ours: those that can be written, one to be read only, one out of reach. */
#define WRITABLE 4
#define OURS	 ((WRITABLE + 2) * PAGE)
#define CALLS	 1500

static unsigned char *ours;
static uint32_t ref[FRAMES];

/* What all is to be after the call. */
static struct model {
	unsigned char ours[OURS];
	unsigned char frame[FRAMES][PAGE];
	int16_t status[MAX];
	uint32_t ended; /* the segment that ended the call, or their number */
	int result;
} model;

static uint64_t state;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(state >> 33) % n;
}

/* --- segments -------------------------------------------------------------------------------- */

/* @all: also where it cannot be reached. Some lie one behind the other. */
static size_t random_place(bool all, uint16_t len, size_t last)
{
	size_t end = all ? OURS : WRITABLE * PAGE;

	if (rnd(2) && last + len <= WRITABLE * PAGE)
		return last;
	if (all && rnd(8))
		end = WRITABLE * PAGE;
	return rnd((uint32_t)(end - len));
}

static uint32_t random_ref(void)
{
	return rnd(20) ? ref[rnd(FRAMES)] : 30000;
}

static void random_segment(segment_t *s, bool all, size_t *last)
{
	uint16_t len = rnd(10) ? (uint16_t)rnd(200) : (uint16_t)rnd(all ? 4097 : 900);
	uint16_t offset = rnd(60) ? (uint16_t)rnd(PAGE - len + 1U) : PAGE;
	size_t at = random_place(all, len, *last);
	uint16_t domid = rnd(30) ? RIG_GRANTER : 99;

	*last = at + len;
	*s = (segment_t){ .len = len, .status = UNTOUCHED };
	s->flags = rnd(200) ? (uint16_t)(1 + rnd(3)) : 0;
	s->source.virt = ours + at;
	s->dest.virt = ours + at;
	if (s->flags & GNTCOPY_source_gref) {
		s->source.foreign.ref = random_ref();
		s->source.foreign.offset = offset;
		s->source.foreign.domid = domid;
	}
	if (s->flags & GNTCOPY_dest_gref) {
		s->dest.foreign.ref = random_ref();
		s->dest.foreign.offset = (uint16_t)rnd(PAGE - len + 1U);
		s->dest.foreign.domid = RIG_GRANTER;
	}
}

/* --- the model ------------------------------------------------------------------------------- */

static int frame_of(uint32_t r)
{
	for (int i = 0; i < FRAMES; i++)
		if (ref[i] == r)
			return i;
	return -1;
}

static int grant_status(uint32_t r, uint16_t domid, bool write)
{
	if (domid != RIG_GRANTER)
		return GNTST_bad_domain;
	if (frame_of(r) < 0)
		return GNTST_bad_gntref;
	return write && frame_of(r) == FRAMES - 1 ? GNTST_general_error : GNTST_okay;
}

/* Whether memory of ours, up to this place, can be read, or written. */
static bool reaches(const void *virt, uint16_t len, bool write)
{
	size_t end = (size_t)((const unsigned char *)virt - ours) + len;

	return !len || end <= (size_t)(WRITABLE + !write) * PAGE;
}

/* One segment. Return: 0, -EINVAL or -EFAULT. */
static int model_one(const segment_t *s, int16_t *status)
{
	bool from = s->flags & GNTCOPY_source_gref, to = s->flags & GNTCOPY_dest_gref;
	unsigned char data[PAGE];
	int st = GNTST_okay;

	if (!from && !to)
		return -EINVAL;
	if ((from && s->source.foreign.offset + s->len > PAGE) ||
	    (to && s->dest.foreign.offset + s->len > PAGE))
		return -EINVAL;
	if (!from && !reaches(s->source.virt, s->len, false))
		return -EFAULT;
	if (!to && !reaches(s->dest.virt, s->len, true))
		return -EFAULT;
	if (s->len && from)
		st = grant_status(s->source.foreign.ref, s->source.foreign.domid, false);
	if (s->len && !st && to)
		st = grant_status(s->dest.foreign.ref, s->dest.foreign.domid, true);
	*status = (int16_t)st;
	if (st || !s->len)
		return 0;
	memcpy(data,
	       from ? model.frame[frame_of(s->source.foreign.ref)] + s->source.foreign.offset
		    : model.ours + ((unsigned char *)s->source.virt - ours),
	       s->len);
	memcpy(to ? model.frame[frame_of(s->dest.foreign.ref)] + s->dest.foreign.offset
		  : model.ours + ((unsigned char *)s->dest.virt - ours),
	       data, s->len);
	return 0;
}

static void model_call(const segment_t *s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		model.status[i] = UNTOUCHED;
	model.result = 0;
	for (model.ended = 0; model.ended < n; model.ended++) {
		model.result = model_one(&s[model.ended], &model.status[model.ended]);
		if (model.result)
			return;
	}
}

/* --- the comparison -------------------------------------------------------------------------- */

static void fill(void)
{
	for (size_t i = 0; i < WRITABLE * PAGE; i++)
		ours[i] = (unsigned char)rnd(256);
	memcpy(model.ours, ours, (WRITABLE + 1) * PAGE);
	for (int i = 0; i < FRAMES; i++) {
		for (int k = 0; k < PAGE; k++)
			rig.frame[i][k] = (unsigned char)rnd(256);
		memcpy(model.frame[i], rig.frame[i], PAGE);
	}
}

/* The destination that ended the call: its first page may have got its part, nobody promises it has not. */
static void forgive(const segment_t *s)
{
	size_t at = (size_t)((unsigned char *)s->dest.virt - ours);

	if (!(s->flags & GNTCOPY_dest_gref) && at < WRITABLE * PAGE)
		memcpy(model.ours + at, ours + at, WRITABLE * PAGE - at);
}

static void compare(const segment_t *s, uint32_t n, int result)
{
	ck_assert_int_eq(result, model.result);
	for (uint32_t i = 0; i < model.ended; i++)
		ck_assert_msg(s[i].status == model.status[i], "segment %u of %u: status %d, not %d",
			      i, n, s[i].status, model.status[i]);
	/* Nothing behind it says that it was copied, but for what is of no length. */
	for (uint32_t i = model.ended; i < n; i++)
		ck_assert_int_ne(s[i].status, GNTST_okay);
	if (model.result == -EFAULT)
		forgive(&s[model.ended]);
	ck_assert_mem_eq(ours, model.ours, WRITABLE * PAGE);
	for (int i = 0; i < FRAMES; i++)
		ck_assert_mem_eq(rig.frame[i], model.frame[i], PAGE);
}

static void make_pages(void)
{
	const char *seed = getenv("GNTDEV_TEST_SEED");

	state = seed ? strtoull(seed, NULL, 0) : 4711;
	ours = mmap(NULL, OURS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ours, MAP_FAILED);
	ck_assert_int_eq(mprotect(ours + WRITABLE * PAGE, PAGE, PROT_READ), 0);
	ck_assert_int_eq(mprotect(ours + (WRITABLE + 1) * PAGE, PAGE, PROT_NONE), 0);
	for (int i = 0; i < FRAMES; i++)
		ref[i] = rig_grant(i == FRAMES - 1);
}

/* Where the kernel copies, only memory that can be reached: what else happens there, README.md says. */
START_TEST(as_one_by_one)
{
	bool direct = _i == DOUBLE_DIRECT;
	segment_t s[MAX];

	make_pages();
	for (int call = 0; call < CALLS; call++) {
		struct ioctl_gntdev_grant_copy op = { .segments = s };
		size_t last = 0;

		op.count = 1 + rnd(rnd(4) ? 12 : direct ? MAX : 60);
		for (uint32_t i = 0; i < op.count; i++)
			random_segment(&s[i], direct, &last);
		fill();
		model_call(s, op.count);
		compare(s, op.count,
			double_ioctl(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_GRANT_COPY, &op,
				     (enum double_mode)_i));
	}
}
END_TEST

Suite *copy_model_suite(void);

Suite *copy_model_suite(void)
{
	Suite *s = suite_create("copy_model");
	TCase *tc = tcase_create("copy_model");

	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_add_loop_test(tc, as_one_by_one, DOUBLE_DIRECT, DOUBLE_RETRY + 1);
	suite_add_tcase(s, tc);
	return s;
}
