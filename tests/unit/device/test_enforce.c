/* SPDX-License-Identifier: MIT */
/*
 * device/test_enforce.c - rules and limits at the device: who gets which errno when, and what stays as it was
 *
 * The opens that rules are about belong to users that this process is not: who opened it decides.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/rcu.h"
#include "device/enforce.h"
#include "tests/unit/rig.h"
#include "tests/unit/suite.h"

#define RW (PROT_READ | PROT_WRITE)

typedef struct ioctl_gntdev_grant_copy_segment segment_t;

#define UNTOUCHED 0x55

/* Of user 4711, whom the daemon can see: it is this process that says so. */
static uint64_t open_as(uid_t uid)
{
	const struct opener by = { .tid = gettid(), .uid = uid, .gid = 100 };
	uint64_t fh = 0;

	ck_assert_int_eq(rig.gd.dev.open(&rig.gd.dev, &by, O_RDWR, &fh), 0);
	return fh;
}

static void set_policy(const char *text)
{
	struct policy_why why;
	struct policy *p = NULL;
	int err = policy_parse("conf", text, strlen(text), &p, &why);

	ck_assert_msg(!err, "%s", why.text[0]);
	enforce_new_policy(&rig.gd, p);
}

static int map(uint64_t fh, uint32_t ref, uint64_t *index)
{
	return rig_map_refs(fh, &ref, 1, index);
}

static void expect_held(uint64_t maps, uint64_t pages)
{
	struct quota_held held;

	quota_totals(rig.gd.quota, &held);
	ck_assert_uint_eq(held.maps, maps);
	ck_assert_uint_eq(held.pages, pages);
}

static struct failure_entry last_failure(void)
{
	struct failure_entry e;

	ck_assert_uint_eq(failure_read(0, &e, 1), 1);
	return e;
}

START_TEST(denied_by_a_rule)
{
	uint64_t told = failure_count(FAILURE_RULE), index;
	uint64_t fh = open_as(4711), other = open_as(4712);
	uint32_t ref = rig_grant(false);
	struct failure_entry e;

	set_policy("rule first { domid = 9 action = allow }\n"
		   "rule no-guests { user = 4711 domid = 1-8 action = deny }");
	ck_assert_int_eq(map(fh, ref, &index), -EPERM);
	e = last_failure();
	ck_assert_int_eq(e.why, WHY_RULE);
	ck_assert_int_eq(e.error, EPERM);
	ck_assert_str_eq(e.rule, "no-guests");
	ck_assert_int_eq(e.domid, RIG_GRANTER);
	ck_assert_int_eq(e.ref, ref);
	ck_assert_ptr_nonnull(
		strstr(e.text, "rule \"no-guests\" (conf:2) denies domain 7 (EPERM)"));
	/* Who opened it decides. */
	ck_assert_int_eq(map(other, ref, &index), 0);
	/* Nothing was reserved by what was refused, and nothing is counted. */
	expect_held(1, 1);
	set_policy("");
	ck_assert_int_eq(map(fh, ref, &index), 0);
	ck_assert_uint_eq(index, 0);
	ck_assert_uint_eq(failure_count(FAILURE_RULE), told + 1);
}
END_TEST

START_TEST(told_once_counted_always)
{
	uint64_t told = failure_count(FAILURE_RULE), index, seq;
	uint64_t fh = open_as(4711);

	set_policy("rule a { domid = 7 action = deny }");
	ck_assert_int_eq(map(fh, 8, &index), -EPERM);
	seq = last_failure().seq;
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(map(fh, 8, &index), -EPERM);
	ck_assert_uint_eq(last_failure().seq, seq);
	ck_assert_uint_eq(failure_count(FAILURE_RULE), told + 6);
	/* Another rule is another thing. */
	set_policy("rule b { domid = 7 action = deny }");
	ck_assert_int_eq(map(fh, 8, &index), -EPERM);
	ck_assert_uint_eq(last_failure().seq, seq + 1);
	/* So is the same one, read again. */
	set_policy("rule b { domid = 7 action = deny }");
	ck_assert_int_eq(map(fh, 8, &index), -EPERM);
	ck_assert_uint_eq(last_failure().seq, seq + 2);
}
END_TEST

/* Of clients that cannot be seen nobody knows which of them has been told. */
START_TEST(each_that_is_not_visible_is_told)
{
	const struct opener by = { .uid = 4711, .gid = 100 };
	uint64_t fh, index, seq;

	set_policy("rule a { domid = 7 action = deny }");
	for (seq = 0; seq < 2; seq++) {
		ck_assert_int_eq(rig.gd.dev.open(&rig.gd.dev, &by, O_RDWR, &fh), 0);
		ck_assert_int_eq(map(fh, 8, &index), -EPERM);
		ck_assert_uint_eq(last_failure().seq, seq + 1);
	}
}
END_TEST

/* The driver's own checks come first. */
START_TEST(order_of_errors)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 0 };
	uint64_t fh = open_as(4711);

	set_policy("rule a { action = deny }");
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op, _i),
			 -EINVAL);
	ck_assert_int_eq(
		double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, rig_no_page(), _i),
		-EFAULT);
	op.count = 1;
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op, _i),
			 -EPERM);
	/* Rules before limits. */
	set_policy("limit { maps = 1 }");
	rig_map(rig.fh, 8);
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op, _i),
			 -ENOSPC);
	set_policy("limit { maps = 1 } rule a { user = 4711 action = deny }");
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op, _i),
			 -EPERM);
}
END_TEST

START_TEST(each_grant_of_a_map)
{
	struct {
		struct ioctl_gntdev_map_grant_ref op;
		struct ioctl_gntdev_grant_ref more[2];
	} arg = { .op = { .count = 3 } };
	uint64_t fh = open_as(4711);

	arg.op.refs[0] = (struct ioctl_gntdev_grant_ref){ 7, 8 };
	arg.more[0] = (struct ioctl_gntdev_grant_ref){ 7, 9 };
	/* The upper half of the number is ignored, as by the driver. */
	arg.more[1] = (struct ioctl_gntdev_grant_ref){ 0x30003, 10 };
	set_policy("rule a { domid = 3 action = deny }");
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, &arg, _i),
			 -EPERM);
	ck_assert_int_eq(last_failure().domid, 3);
	ck_assert_int_eq(last_failure().ref, 10);
	expect_held(0, 0);
	arg.more[1].domid = 4;
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, &arg, _i), 0);
	expect_held(1, 3);
}
END_TEST

START_TEST(read_only)
{
	uint64_t fh = open_as(4711), index;
	uint32_t ref = rig_grant(false);
	char *p;

	set_policy("rule look { domid = 7 action = read-only }");
	ck_assert_int_eq(map(fh, ref, &index), 0);
	ck_assert_ptr_eq(rig_mmap(fh, index, 4096, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_str_eq(last_failure().rule, "look");
	ck_assert_ptr_nonnull(strstr(last_failure().text, "allows no writing to domain 7 (EPERM)"));
	/* It was no attempt: the one mmap is still to come. */
	p = rig_mmap(fh, index, 4096, PROT_READ, MAP_SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	strcpy((char *)rig.frame[0], "to be read");
	ck_assert_str_eq(p, "to be read");
	ck_assert_int_eq(mprotect(p, 4096, RW), -1);
	munmap(p, 4096);
}
END_TEST

/* mmap asks the policy of the moment; what is mapped stays; unmapping is always allowed. */
START_TEST(a_policy_that_changes)
{
	uint64_t fh = open_as(4711), a, b;
	uint32_t refs[2] = { rig_grant(false), rig_grant(false) };
	char *p;

	ck_assert_int_eq(map(fh, refs[0], &a), 0);
	ck_assert_int_eq(map(fh, refs[1], &b), 0);
	p = rig_mmap(fh, a, 4096, RW, MAP_SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	set_policy("rule a { action = deny }");
	ck_assert_ptr_eq(rig_mmap(fh, b, 4096, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, EPERM);
	strcpy(p, "still there");
	ck_assert_str_eq((char *)rig.frame[0], "still there");
	ck_assert_int_eq(rig_notify(fh, a, 0, 0), 0);
	ck_assert_int_eq(rig_unmap(fh, b, 1), 0);
	ck_assert_int_eq(rig_unmap(fh, a, 1), 0);
	expect_held(1, 1);
	strcpy(p, "even now");
	munmap(p, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

/* Whether what @uid has opened gives @asks a PV window. */
static bool pv_passed_on(const char *policy, uid_t uid, uid_t asks)
{
	uint64_t fh = open_as(uid);
	struct map *m = map_new(1);
	struct refusal r = { .rule = "" };
	int err;

	set_policy(policy);
	m->refs[0] = (struct table_ref){ RIG_GRANTER, 8 };
	rig.gd.hv->pages = HV_PAGES_FRAMES;
	rcu_read_enter();
	err = enforce_mmap(&rig.gd, open_user(open_get(rig.gd.table, fh)), m, true, asks, &r);
	rcu_read_leave();
	rig.gd.hv->pages = HV_PAGES_FILE;
	ck_assert(!err || err == -EPERM);
	if (err)
		ck_assert_ptr_nonnull(strstr(r.text, "descriptor for all memory of domain 7"));
	map_free(m);
	rig_close(fh);
	return !err;
}

static bool pv_allowed(const char *policy, uid_t uid)
{
	return pv_passed_on(policy, uid, uid);
}

/* All of a domain's memory is not passed on with a descriptor, as its grants are. */
START_TEST(pv_windows_are_for_who_has_opened)
{
	const char *trusted = "rule a { user = 4711 action = allow pv_descriptor = yes }";

	ck_assert(!pv_passed_on("", 0, 4711));
	ck_assert(!pv_passed_on(trusted, 4711, 4712));
	ck_assert(pv_passed_on(trusted, 4711, 0));
	ck_assert(pv_passed_on("pv_descriptor = any", 0, 4711));
}
END_TEST

START_TEST(descriptors_of_a_pv_domain)
{
	ck_assert(pv_allowed("", 0));
	ck_assert(!pv_allowed("", 4711));
	ck_assert(pv_allowed("pv_descriptor = any", 4711));
	ck_assert(!pv_allowed("pv_descriptor = none", 0));
	ck_assert(pv_allowed("rule a { user = 4711 action = allow pv_descriptor = yes }", 4711));
	ck_assert(!pv_allowed("rule a { user = 4711 action = allow pv_descriptor = yes }", 4712));
	ck_assert(!pv_allowed("rule a { user = 0 action = allow pv_descriptor = no }", 0));
}
END_TEST

/* And it is asked: by a real mmap, which is refused before anything is mapped. */
START_TEST(mmap_of_a_pv_window)
{
	uint64_t fh = open_as(4711), index;
	struct failure_entry e;

	ck_assert_int_eq(map(fh, rig_grant(false), &index), 0);
	rig.gd.hv->pages = HV_PAGES_FRAMES;
	ck_assert_ptr_eq(rig_mmap(fh, index, 4096, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, EPERM);
	rig.gd.hv->pages = HV_PAGES_FILE;
	e = last_failure();
	ck_assert_str_eq(e.rule, "pv_descriptor");
	ck_assert_int_eq(e.why, WHY_PV_DESCRIPTOR);
	ck_assert_uint_eq(rig_handles(), 0);
}
END_TEST

/* --- GRANT_COPY --------------------------------------------------------------------------------- */

static unsigned char local[4096];

static segment_t from_grant(uint16_t domid, uint32_t ref)
{
	segment_t s = { .len = 16, .flags = GNTCOPY_source_gref, .status = UNTOUCHED };

	s.source.foreign.ref = ref;
	s.source.foreign.domid = domid;
	s.dest.virt = local;
	return s;
}

static segment_t to_grant(uint16_t domid, uint32_t ref)
{
	segment_t s = { .len = 16, .flags = GNTCOPY_dest_gref, .status = UNTOUCHED };

	s.source.virt = local;
	s.dest.foreign.ref = ref;
	s.dest.foreign.domid = domid;
	return s;
}

static int copy(uint64_t fh, segment_t *seg, uint32_t n, int mode)
{
	struct ioctl_gntdev_grant_copy op = { .count = n, .segments = seg };

	return double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_GRANT_COPY, &op, (enum double_mode)mode);
}

START_TEST(copy_needs_what_mapping_needs)
{
	uint64_t fh = open_as(4711);
	uint32_t ref = rig_grant(false);
	segment_t s[2];

	set_policy("rule look { domid = 7 action = read-only }");
	s[0] = from_grant(7, ref);
	ck_assert_int_eq(copy(fh, s, 1, _i), 0);
	ck_assert_int_eq(s[0].status, 0);
	s[0] = to_grant(7, ref);
	strcpy((char *)rig.frame[0], "untouched");
	ck_assert_int_eq(copy(fh, s, 1, _i), -EPERM);
	ck_assert_str_eq((char *)rig.frame[0], "untouched");
	ck_assert_str_eq(last_failure().rule, "look");
	ck_assert_int_eq(last_failure().op, TRACE_GRANT_COPY);
	/* From one grant to another. */
	s[0].flags |= GNTCOPY_source_gref;
	s[0].source.foreign.domid = 7;
	s[0].source.foreign.ref = ref;
	s[0].source.foreign.offset = 0;
	ck_assert_int_eq(copy(fh, s, 1, _i), -EPERM);
	set_policy("rule none { domid = 7 action = deny }");
	s[0] = from_grant(7, ref);
	memset(local, 'L', sizeof(local));
	ck_assert_int_eq(copy(fh, s, 1, _i), -EPERM);
	ck_assert_int_eq(local[0], 'L');
	ck_assert_ptr_nonnull(strstr(last_failure().text,
				     "segment 0 of 1 ends the call: rule \"none\" (conf:1) denies "
				     "domain 7 (EPERM)"));
}
END_TEST

/* Segments before the refused one are carried out, and nothing behind it. */
START_TEST(copy_ends_at_the_segment)
{
	uint64_t fh = open_as(4711);
	uint32_t a = rig_grant(false), b = rig_grant(false);
	segment_t s[3] = { to_grant(7, a), from_grant(3, 8), to_grant(7, b) };

	set_policy("rule none { domid = 3 action = deny }");
	strcpy((char *)local, "copied");
	ck_assert_int_eq(copy(fh, s, 3, _i), -EPERM);
	ck_assert_str_eq((char *)rig.frame[0], "copied");
	ck_assert_int_eq(rig.frame[1][0], 0);
	ck_assert_int_eq(s[0].status, 0);
	ck_assert_int_eq(s[1].status, UNTOUCHED);
	ck_assert_int_eq(s[2].status, UNTOUCHED);
	/* The first that is wrong decides the errno. */
	s[0].flags = 0;
	ck_assert_int_eq(copy(fh, s, 3, _i), -EINVAL);
	s[0] = to_grant(7, a);
	s[2].flags = 0;
	ck_assert_int_eq(copy(fh, s, 3, _i), -EPERM);
	/* And a local buffer that the kernel gets or does not is behind it. */
	ck_assert_int_eq(strcmp((char *)local, "copied"), 0);
}
END_TEST

/* Xen's other name for our own domain is no way around a rule. */
START_TEST(copy_from_ourselves)
{
	uint64_t fh = open_as(4711);
	segment_t s = from_grant(0x7ff0, 8);

	set_policy("rule none { domid = 0 action = deny }");
	ck_assert_int_eq(copy(fh, &s, 1, _i), -EPERM);
	ck_assert_int_eq(last_failure().domid, 0);
}
END_TEST

/* --- limits ------------------------------------------------------------------------------------- */

START_TEST(limits_of_maps_and_pages)
{
	uint64_t fh = open_as(4711), index, none, told = failure_count(FAILURE_LIMIT);
	uint32_t refs[4] = { 8, 9, 10, 11 };
	struct failure_entry e;

	set_policy("limit { pages_per_open = 5 maps_per_open = 3 }");
	ck_assert_int_eq(rig_map_refs(fh, refs, 4, &index), 0);
	ck_assert_int_eq(rig_map_refs(fh, refs, 2, &none), -ENOSPC);
	e = last_failure();
	ck_assert_int_eq(e.why, WHY_LIMIT);
	ck_assert_int_eq(e.error, ENOSPC);
	ck_assert_str_eq(e.rule, "pages_per_open");
	ck_assert_ptr_nonnull(
		strstr(e.text, "2 more pages: the policy's limit \"pages_per_open\" is reached"));
	ck_assert_int_eq(rig_map_refs(fh, refs, 1, &index), 0);
	ck_assert_int_eq(rig_map_refs(fh, refs, 1, &none), -ENOSPC);
	ck_assert_uint_eq(failure_count(FAILURE_LIMIT), told + 2);
	ck_assert_uint_eq(enforce_met(&rig.gd, POLICY_LIMIT_pages_per_open), 2);
	ck_assert_uint_eq(enforce_met(&rig.gd, POLICY_LIMIT_maps_per_open), 0);
	/* What is unmapped makes room. */
	ck_assert_int_eq(rig_unmap(fh, index, 1), 0);
	ck_assert_int_eq(rig_map_refs(fh, refs, 1, &index), 0);
	/* Another open has its own. */
	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 4, &index), 0);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 4), 0);
	expect_held(2, 5);
}
END_TEST

START_TEST(limit_of_a_user)
{
	uint64_t a = open_as(4711), b = open_as(4711), c = open_as(4712), index;

	set_policy("limit { maps_per_user = 1 }");
	ck_assert_int_eq(map(a, 8, &index), 0);
	ck_assert_int_eq(map(b, 8, &index), -ENOSPC);
	ck_assert_int_eq(map(c, 8, &index), 0);
	rig_close(a);
	ck_assert_int_eq(map(b, 8, &index), 0);
}
END_TEST

START_TEST(opens_of_a_user)
{
	const struct opener by = { .tid = gettid(), .uid = 4711 };
	uint64_t told = failure_count(FAILURE_LIMIT), a = open_as(4711), fh = 0;
	struct failure_entry e;

	set_policy("limit { opens_per_user = 2 }");
	open_as(4711);
	ck_assert_int_eq(rig.gd.dev.open(&rig.gd.dev, &by, O_RDWR, &fh), -ENOSPC);
	ck_assert_uint_eq(fh, 0);
	ck_assert_uint_eq(failure_count(FAILURE_LIMIT), told + 1);
	ck_assert_uint_eq(enforce_met(&rig.gd, POLICY_LIMIT_opens_per_user), 1);
	e = last_failure();
	ck_assert_int_eq(e.op, TRACE_OPEN);
	ck_assert_int_eq(e.error, ENOSPC);
	ck_assert_int_eq(e.uid, 4711);
	ck_assert_str_eq(e.rule, "opens_per_user");
	ck_assert_ptr_nonnull(
		strstr(e.text, "1 more open: the policy's limit \"opens_per_user\" is reached"));
	/* Others have their own, and what is closed makes room. */
	open_as(4712);
	rig_close(a);
	open_as(4711);
	ck_assert_int_eq(rig.gd.dev.open(&rig.gd.dev, &by, O_RDWR, &fh), -ENOSPC);
}
END_TEST

static struct hypervisor_ops short_ops;
static int short_of;

static int short_map(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at)
{
	(void)hv;
	(void)g;
	(void)n;
	(void)at;
	return short_of;
}

static uint64_t bound;

static void take_bound(struct hypervisor *hv, uint64_t pages)
{
	(void)hv;
	bound = pages;
}

/* The hypervisor layer holds to the limit of frames; what it refuses is the policy's. */
START_TEST(frames_of_the_machine)
{
	uint64_t fh = open_as(4711), told = failure_count(FAILURE_LIMIT), index;
	const struct hypervisor_ops *ops = rig.gd.hv->ops;
	uint32_t ref = rig_grant(false);
	struct failure_entry e;

	short_ops = *ops;
	short_ops.map = short_map;
	short_ops.limit_away = take_bound;
	rig.gd.hv->ops = &short_ops;
	set_policy("limit { frames = 77 }");
	ck_assert_uint_eq(bound, 77);
	set_policy("");
	ck_assert_uint_eq(bound, policy_memory_pages() / 8);
	set_policy("limit { frames = none }");
	ck_assert_uint_eq(bound, 0);
	short_of = -EDQUOT;
	ck_assert_int_eq(map(fh, ref, &index), 0);
	ck_assert_ptr_eq(rig_mmap(fh, index, 4096, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENOSPC);
	e = last_failure();
	ck_assert_str_eq(e.rule, "frames");
	ck_assert_ptr_nonnull(strstr(e.text, "the policy's limit \"frames\" is reached"));
	ck_assert_uint_eq(failure_count(FAILURE_LIMIT), told + 1);
	ck_assert_uint_eq(enforce_met(&rig.gd, POLICY_LIMIT_frames), 1);
	/* No room for windows is no limit of the policy, and no bad address. */
	short_of = -ENOSPC;
	ck_assert_int_eq(map(fh, ref, &index), 0);
	ck_assert_ptr_eq(rig_mmap(fh, index, 4096, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_ptr_nonnull(strstr(last_failure().text, "the file system for windows is full"));
	rig.gd.hv->ops = ops;
}
END_TEST

/* UNMAP and close do not end what is still mapped, and so do not make room. */
START_TEST(a_live_mapping_counts)
{
	uint64_t a = open_as(4711), b = open_as(4711), index;
	uint32_t ref = rig_grant(false);
	void *p;

	set_policy("limit { pages = 1 }");
	ck_assert_int_eq(map(a, ref, &index), 0);
	p = rig_mmap(a, index, 4096, RW, MAP_SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(rig_unmap(a, index, 1), 0);
	ck_assert_int_eq(map(b, ref, &index), -ENOSPC);
	rig_close(a);
	ck_assert_int_eq(map(b, ref, &index), -ENOSPC);
	munmap(p, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	for (int i = 0; i < 1000 && map(b, ref, &index); i++)
		usleep(1000);
	expect_held(1, 1);
}
END_TEST

/* An answer that cannot be written, an mmap that fails: nothing stays counted. */
START_TEST(what_fails_is_not_counted)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1 };
	uint64_t index;

	ck_assert_int_eq(double_ioctl(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_MAP_GRANT_REF,
				      rig_readonly_page(&op, sizeof(op)), DOUBLE_DIRECT),
			 -EFAULT);
	expect_held(0, 0);
	ck_assert_int_eq(map(rig.fh, 60000, &index), 0);
	ck_assert_ptr_eq(rig_mmap(rig.fh, index, 4096, RW, MAP_SHARED), MAP_FAILED);
	expect_held(1, 1);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	expect_held(0, 0);
}
END_TEST

/* --- a policy that is replaced all the time ----------------------------------------------------- */

#define MAPPERS 3

static atomic_bool stop;
static atomic_ulong outcome[4]; /* mapped, EPERM, ENOSPC, copied */

static void *mapper(void *arg)
{
	uint64_t fh = open_as(4711 + (uid_t)(uintptr_t)arg), index;
	segment_t s = from_grant(7, 8);
	int err;

	while (!stop) {
		err = map(fh, 8, &index);
		assert_each(!err || err == -EPERM || err == -ENOSPC, "err %d", err);
		outcome[err == -EPERM ? 1 : err == -ENOSPC ? 2 : 0]++;
		if (!err)
			assert_each(!rig_unmap(fh, index, 1), "index %" PRIx64, index);
		err = copy(fh, &s, 1, DOUBLE_DIRECT);
		assert_each(!err || err == -EPERM, "err %d", err);
		outcome[3] += !err;
	}
	rig_close(fh);
	return NULL;
}

static void *mapper_thread(void *arg)
{
	rcu_thread_enter();
	mapper(arg);
	rcu_thread_leave();
	return NULL;
}

START_TEST(replaced_all_the_time)
{
	static const char *const policies[] = {
		"",
		"rule \"with a long name\" { user = {4711, 4712} domid = 1-7 action = deny }",
		"limit { maps = 1 }",
		"rule b { unit = '*' action = read-only } rule c { user = 4712 action = deny }",
	};
	pthread_t t[MAPPERS];
	time_t end = time(NULL) + 2;
	uint32_t ref = rig_grant(false);

	ck_assert_uint_eq(ref, 8);
	for (uintptr_t i = 0; i < MAPPERS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, mapper_thread, (void *)i), 0);
	for (unsigned int i = 0; time(NULL) <= end; i++)
		set_policy(policies[i % 4]);
	stop = true;
	for (int i = 0; i < MAPPERS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_gt(outcome[i], 0);
	expect_held(0, 0);
}
END_TEST

START_TEST(news_of_the_policy)
{
	struct policy_news news;

	set_policy("");
	enforce_news(&rig.gd, &news);
	ck_assert_uint_gt(news.loaded, 0);
	ck_assert_uint_eq(news.refused, 0);
	enforce_refused_policy(&rig.gd, "conf:1: not so");
	enforce_news(&rig.gd, &news);
	ck_assert_uint_ge(news.refused, news.loaded);
	ck_assert_str_eq(news.why, "conf:1: not so");
	set_policy("");
	enforce_news(&rig.gd, &news);
	ck_assert_uint_eq(news.refused, 0);
}
END_TEST

Suite *enforce_suite(void);

Suite *enforce_suite(void)
{
	Suite *s = suite_create("enforce");
	TCase *tc = tcase_create("enforce");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_add_test(tc, denied_by_a_rule);
	tcase_add_test(tc, told_once_counted_always);
	tcase_add_test(tc, each_that_is_not_visible_is_told);
	tcase_add_loop_test(tc, order_of_errors, DOUBLE_DIRECT, DOUBLE_RETRY + 1);
	tcase_add_loop_test(tc, each_grant_of_a_map, DOUBLE_DIRECT, DOUBLE_RETRY + 1);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, a_policy_that_changes);
	tcase_add_test(tc, descriptors_of_a_pv_domain);
	tcase_add_test(tc, pv_windows_are_for_who_has_opened);
	tcase_add_test(tc, mmap_of_a_pv_window);
	tcase_add_loop_test(tc, copy_needs_what_mapping_needs, DOUBLE_DIRECT, DOUBLE_RETRY + 1);
	tcase_add_loop_test(tc, copy_ends_at_the_segment, DOUBLE_DIRECT, DOUBLE_RETRY + 1);
	tcase_add_loop_test(tc, copy_from_ourselves, DOUBLE_DIRECT, DOUBLE_RETRY + 1);
	tcase_add_test(tc, limits_of_maps_and_pages);
	tcase_add_test(tc, limit_of_a_user);
	tcase_add_test(tc, opens_of_a_user);
	tcase_add_test(tc, frames_of_the_machine);
	tcase_add_test(tc, a_live_mapping_counts);
	tcase_add_test(tc, what_fails_is_not_counted);
	tcase_add_test(tc, replaced_all_the_time);
	tcase_add_test(tc, news_of_the_policy);
	suite_add_tcase(s, tc);
	return s;
}
