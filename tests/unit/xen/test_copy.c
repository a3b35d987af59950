/* SPDX-License-Identifier: MIT */
/*
 * xen/test_copy.c - the Xen layer's copies, the byte that is cleared, and event channels
 */
#include <pthread.h>

#include "tests/unit/xen/rig.h"

/* As in xen/copy.c. */
#define SET_PAGES 64

static unsigned char *memory_of(uint16_t domid, uint32_t ref)
{
	return fake_guest(domid)->memory[ref % FAKE_PAGES];
}

static struct hv_copy_ref ref_at(uint16_t domid, uint32_t ref, uint16_t offset)
{
	return (struct hv_copy_ref){ .domid = domid, .ref = ref, .offset = offset };
}

static struct hv_copy from_guest(void *dst, uint32_t ref, uint16_t offset, uint16_t len)
{
	return (struct hv_copy){ .src = ref_at(FAKE_FIRST, ref, offset),
				 .dst_local = dst,
				 .len = len,
				 .status = HV_PENDING };
}

static struct hv_copy to_guest(const void *src, uint32_t ref, uint16_t offset, uint16_t len)
{
	return (struct hv_copy){ .src_local = src,
				 .dst = ref_at(FAKE_FIRST, ref, offset),
				 .len = len,
				 .status = HV_PENDING };
}

static int copy(struct hv_copy *c, size_t n)
{
	int err = hv->ops->copy(hv, c, n);

	check_all();
	return err;
}

static int16_t copy1(struct hv_copy c)
{
	ck_assert_int_eq(copy(&c, 1), 0);
	return c.status;
}

/* --- directions --------------------------------------------------------------------------------- */

START_TEST(out_of_a_guest)
{
	unsigned char buf[32] = { 0 };

	memcpy(memory_of(FAKE_FIRST, 3) + 100, "hello", 5);
	ck_assert_int_eq(copy1(from_guest(buf + 8, 3, 100, 5)), GNTST_okay);
	ck_assert_mem_eq(buf, "\0\0\0\0\0\0\0\0hello\0\0", 15);
}
END_TEST

START_TEST(into_a_guest)
{
	ck_assert_int_eq(copy1(to_guest("hello", 3, 4091, 5)), GNTST_okay);
	ck_assert_mem_eq(memory_of(FAKE_FIRST, 3) + 4090, "ahello", 6);
	/* The last byte, the whole page, nothing. */
	ck_assert_int_eq(copy1(to_guest("z", 3, 4095, 1)), GNTST_okay);
	ck_assert_mem_eq(memory_of(FAKE_FIRST, 3) + 4090, "ahellz", 6);
	ck_assert_int_eq(copy1(to_guest("y", 3, 4095, 0)), GNTST_okay);
	ck_assert_int_eq(copy1(to_guest("y", 3, 4096, 0)), GNTST_okay);
	ck_assert_mem_eq(memory_of(FAKE_FIRST, 3) + 4090, "ahellz", 6);
}
END_TEST

START_TEST(whole_pages)
{
	unsigned char page[4096], back[4096];

	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (unsigned char)(i * 7);
	ck_assert_int_eq(copy1(to_guest(page, 5, 0, 4096)), GNTST_okay);
	ck_assert_int_eq(copy1(from_guest(back, 5, 0, 4096)), GNTST_okay);
	ck_assert_mem_eq(page, back, 4096);
}
END_TEST

START_TEST(between_guests)
{
	struct hv_copy c = { .src = ref_at(FAKE_FIRST, 1, 10),
			     .dst = ref_at(FAKE_OTHER, 2, 20),
			     .len = 5,
			     .status = HV_PENDING };

	memcpy(memory_of(FAKE_FIRST, 1) + 10, "hello", 5);
	ck_assert_int_eq(copy1(c), GNTST_okay);
	ck_assert_mem_eq(memory_of(FAKE_OTHER, 2) + 19, "bhellob", 7);
}
END_TEST

START_TEST(between_own_buffers)
{
	char buf[8] = "........";
	struct hv_copy c = {
		.src_local = "hello", .dst_local = buf + 1, .len = 5, .status = HV_PENDING
	};

	ck_assert_int_eq(copy1(c), GNTST_okay);
	ck_assert_mem_eq(buf, ".hello..", 8);
}
END_TEST

/* In order, also across two hypercalls. */
START_TEST(chain)
{
	struct hv_copy c[SET_PAGES + 10];
	const size_t n = SET_PAGES + 10;

	for (size_t i = 0; i < n; i++)
		c[i] = (struct hv_copy){ .src = ref_at(FAKE_FIRST, (uint32_t)i % FAKE_PAGES, 0),
					 .dst = ref_at(FAKE_FIRST, (uint32_t)(i + 1) % FAKE_PAGES,
						       0),
					 .len = 6,
					 .status = HV_PENDING };
	memcpy(memory_of(FAKE_FIRST, 0), "passed", 6);
	ck_assert_int_eq(copy(c, n), 0);
	for (uint32_t ref = 0; ref < FAKE_PAGES; ref++)
		ck_assert_mem_eq(memory_of(FAKE_FIRST, ref), "passed", 6);
}
END_TEST

START_TEST(many)
{
	const size_t sizes[] = { 1, 63, 64, 65, 128, 129, 1000 };
	size_t n = sizes[_i];
	struct hv_copy *c = calloc(n, sizeof(*c));
	unsigned char *buf = malloc(n * 2);

	for (size_t i = 0; i < 4096; i++)
		memory_of(FAKE_FIRST, 7)[i] = (unsigned char)(i / 2 * 5);
	for (size_t i = 0; i < n; i++)
		c[i] = from_guest(buf + 2 * i, 7, (uint16_t)(2 * i), 2);
	ck_assert_int_eq(copy(c, n), 0);
	ck_assert_uint_eq(fake->calls[FAKE_COPY], (n + SET_PAGES - 1) / SET_PAGES);
	for (size_t i = 0; i < n; i++)
		if (c[i].status != GNTST_okay)
			ck_abort_msg("operation %zu: %d", i, c[i].status);
	ck_assert_mem_eq(buf, memory_of(FAKE_FIRST, 7), 2 * n);
	free(buf);
	free(c);
}
END_TEST

/* --- statuses ----------------------------------------------------------------------------------- */

START_TEST(beyond_a_page)
{
	unsigned char buf[8192];
	struct hv_copy both = { .src = ref_at(FAKE_FIRST, 0, 4000),
				.dst = ref_at(FAKE_OTHER, 0, 0),
				.len = 97,
				.status = HV_PENDING };

	ck_assert_int_eq(copy1(from_guest(buf, 0, 4095, 2)), GNTST_bad_copy_arg);
	ck_assert_int_eq(copy1(from_guest(buf, 0, 65535, 1)), GNTST_bad_copy_arg);
	ck_assert_int_eq(copy1(from_guest(buf, 0, 0, 4097)), GNTST_bad_copy_arg);
	ck_assert_int_eq(copy1(to_guest(buf, 0, 1, 4096)), GNTST_bad_copy_arg);
	ck_assert_int_eq(copy1(to_guest(buf, 0, 0, 65535)), GNTST_bad_copy_arg);
	ck_assert_int_eq(copy1(both), GNTST_bad_copy_arg);
	both.src.offset = 0;
	both.dst.offset = 4000;
	ck_assert_int_eq(copy1(both), GNTST_bad_copy_arg);
	/* Nor between own buffers: a page of ours is between them. */
	both = (struct hv_copy){
		.src_local = buf, .dst_local = buf, .len = 4097, .status = HV_PENDING
	};
	ck_assert_int_eq(copy1(both), GNTST_bad_copy_arg);
	ck_assert_uint_eq(fake->calls[FAKE_COPY], 0);
}
END_TEST

/* Bad ones in between harm nobody, and what Xen refuses is not taken over. */
START_TEST(some_are_bad)
{
	unsigned char buf[10][4];
	struct hv_copy c[10];

	memset(buf, '.', sizeof(buf));
	for (uint32_t i = 0; i < 10; i++)
		c[i] = from_guest(buf[i], i, 0, 4);
	c[1].src.domid = FAKE_NOBODY;
	c[3].src.offset = 4093;
	c[4].status = GNTST_eagain;
	c[6].src.ref = FAKE_REFS;
	fake_end_grant(FAKE_FIRST, 8);
	fake_refuse(FAKE_COPY, 6, 1, -1000);
	ck_assert_int_eq(copy(c, 10), 0);
	for (int i = 0; i < 10; i++) {
		const int16_t status[] = { 0, GNTST_bad_domain, 0, GNTST_bad_copy_arg, GNTST_eagain,
					   0, GNTST_bad_gntref, 0,
					   /* Operation 6 of those that Xen saw. */
					   GNTST_general_error, 0 };

		ck_assert_int_eq(c[i].status, status[i]);
		ck_assert_mem_eq(buf[i], status[i] ? "...." : "aaaa", 4);
	}
}
END_TEST

START_TEST(readonly_grant)
{
	char buf[4];

	fake_readonly(FAKE_FIRST, 2);
	ck_assert_int_eq(copy1(to_guest("hello", 2, 0, 5)), GNTST_general_error);
	ck_assert_int_eq(copy1(from_guest(buf, 2, 0, 4)), GNTST_okay);
}
END_TEST

START_TEST(eagain_then_again)
{
	unsigned char buf[100][4];
	struct hv_copy c[100];

	memset(buf, '.', sizeof(buf));
	for (uint32_t i = 0; i < 100; i++)
		c[i] = from_guest(buf[i], i, 0, 4);
	fake_refuse(FAKE_COPY, 63, 2, GNTST_eagain);
	ck_assert_int_eq(copy(c, 100), 0);
	ck_assert_int_eq(c[63].status, GNTST_eagain);
	ck_assert_int_eq(c[64].status, GNTST_eagain);
	ck_assert_mem_eq(buf[63], "........", 8);
	c[63].status = c[64].status = HV_PENDING;
	ck_assert_int_eq(copy(c, 100), 0);
	ck_assert_uint_eq(fake->ops[FAKE_COPY], 102);
	ck_assert_mem_eq(buf[62], "aaaaaaaaaaaaaaaa", 16);
}
END_TEST

/* Each says whether it was carried out, as far as Xen had come. */
START_TEST(copy_fails_midway)
{
	const uint32_t after[] = { 0, 1, 63, 64, 65, 99 };
	unsigned char buf[100][4];
	struct hv_copy c[100];

	memset(buf, '.', sizeof(buf));
	for (uint32_t i = 0; i < 100; i++)
		c[i] = from_guest(buf[i], i, 0, 4);
	fake_break(FAKE_COPY, after[_i], -EFAULT);
	ck_assert_int_eq(copy(c, 100), -EFAULT);
	for (uint32_t i = 0; i < 100; i++) {
		ck_assert_int_eq(c[i].status, i < after[_i] ? GNTST_okay : HV_PENDING);
		ck_assert_mem_eq(buf[i], i < after[_i] ? "aaaa" : "....", 4);
	}
	ck_assert_int_eq(copy(c, 100), 0);
	ck_assert_uint_eq(fake->ops[FAKE_COPY], 100);
}
END_TEST

/*
 * The pages that copies go through are granted by this domain to itself. What passes there is
 * other clients' data: no client may name them. Nothing of this domain's can be mapped at all.
 */
START_TEST(own_pages)
{
	const uint16_t self[] = { DOMID_SELF, 0 };
	char buf[8] = "........";
	struct hv_grant *g = grants(self[_i], 0, 1);

	ck_assert_int_eq(copy1(to_guest("secret", 0, 0, 6)), GNTST_okay);
	for (uint32_t page = 0; page < FAKE_BOUNCE; page++) {
		struct hv_copy c = from_guest(buf, fake_bounce_ref(page), 0, 6);

		c.src.domid = self[_i];
		ck_assert_int_eq(copy1(c), GNTST_bad_gntref);
		c = to_guest("false!", fake_bounce_ref(page), 0, 6);
		c.dst.domid = self[_i];
		ck_assert_int_eq(copy1(c), GNTST_bad_gntref);
		g[0].ref = fake_bounce_ref(page);
		g[0].status = HV_PENDING;
		ck_assert_int_eq(map(g, 1, &writable), 0);
		ck_assert_int_eq(g[0].status, GNTST_bad_domain);
		ck_assert_int_eq(unmap_all(g, 1), 0);
	}
	ck_assert_mem_eq(buf, "........", 8);
	free(g);
	/* Guests have the same numbers for theirs. */
	ck_assert_int_eq(copy1(from_guest(buf, fake_bounce_ref(7), 0, 6)), GNTST_okay);
}
END_TEST

/* --- pages that are lent ------------------------------------------------------------------------- */

/* Xen works on them where they are: nothing is copied once more, and offsets are theirs. */
START_TEST(lent_pages)
{
	unsigned char *lot = hv->ops->pages_get(hv);
	struct hv_copy c[4];
	char buf[6];

	ck_assert_ptr_nonnull(lot);
	memcpy(memory_of(FAKE_FIRST, 3) + 100, "hello", 5);
	memcpy(lot + 4096 + 4090, "thanks", 6);
	memcpy(lot, "......", 6);
	c[0] = from_guest(lot + 7 * 4096 + 33, 3, 100, 5);
	c[1] = to_guest(lot + 4096 + 4090, 4, 10, 6);
	/* Side by side with memory that is not. */
	c[2] = from_guest(buf, 3, 100, 5);
	c[3] = from_guest(lot + 4096 - 6, 3, 100, 6);
	ck_assert_int_eq(copy(c, 4), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(c[i].status, GNTST_okay);
	ck_assert_mem_eq(lot + 7 * 4096 + 33, "hello", 5);
	ck_assert_mem_eq(memory_of(FAKE_FIRST, 4) + 10, "thanks", 6);
	ck_assert_mem_eq(buf, "hello", 5);
	ck_assert_mem_eq(lot + 4096 - 6, "hello", 5);
	ck_assert_mem_eq(lot, "......", 6);
	/* Over the border of a page of ours. */
	ck_assert_int_eq(copy1(from_guest(lot + 4090, 3, 100, 7)), GNTST_bad_copy_arg);
	ck_assert_int_eq(copy1(to_guest(lot + 4095, 3, 100, 2)), GNTST_bad_copy_arg);
	hv->ops->pages_put(hv, lot);
}
END_TEST

/* Whoever holds them may hold them for ever: there is always a page left for others. */
START_TEST(all_are_lent)
{
	unsigned char *lot[4];
	char buf[5];
	int n = 0;

	while ((lot[n] = hv->ops->pages_get(hv)))
		ck_assert_int_lt(++n, 4);
	ck_assert_int_gt(n, 0);
	for (int i = 0; i < n; i++)
		memset(lot[i], 'A' + i, SET_PAGES * 4096);
	memcpy(memory_of(FAKE_FIRST, 3), "hello", 5);
	ck_assert_int_eq(copy1(from_guest(buf, 3, 0, 5)), GNTST_okay);
	ck_assert_mem_eq(buf, "hello", 5);
	for (int i = 0; i < n; i++) {
		for (size_t k = 0; k < SET_PAGES * 4096; k++)
			if (lot[i][k] != 'A' + i)
				ck_abort_msg("lot %d, byte %zu was written", i, k);
		hv->ops->pages_put(hv, lot[i]);
	}
	ck_assert_ptr_nonnull(lot[0] = hv->ops->pages_get(hv));
	hv->ops->pages_put(hv, lot[0]);
}
END_TEST

/* --- at the same time ----------------------------------------------------------------------------- */

#define THREADS 8

static void *copier(void *arg)
{
	uint32_t me = (uint32_t)(uintptr_t)arg;
	unsigned char out[100][4], in[100][4];
	struct hv_copy c[200];

	for (int round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 100; i++) {
			const unsigned char pattern[4] = { (unsigned char)me, (unsigned char)round,
							   (unsigned char)i, 1 };

			memcpy(out[i], pattern, 4);
			c[i] = to_guest(out[i], me, (uint16_t)(i * 4), 4);
			c[100 + i] = from_guest(in[i], me, (uint16_t)(i * 4), 4);
		}
		if (hv->ops->copy(hv, c, 200) || memcmp(in, out, sizeof(in)) != 0)
			return arg;
	}
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[THREADS];
	void *bad;

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, copier, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		ck_assert_ptr_null(bad);
	}
	check_all();
}
END_TEST

/* --- clear_byte --------------------------------------------------------------------------------- */

START_TEST(clear_byte)
{
	struct hv_grant *g = map_ok(20, 3, &writable);

	hv->ops->clear_byte(hv, &g[1], 17);
	hv->ops->clear_byte(hv, &g[2], 4095);
	ck_assert_mem_eq(memory_of(FAKE_FIRST, g[1].ref) + 16, "a\0a", 3);
	ck_assert_mem_eq(memory_of(FAKE_FIRST, g[2].ref) + 4094, "a\0", 2);
	/* The granter has ended it, and it is still mapped. */
	fake_end_grant(FAKE_FIRST, g[0].ref);
	hv->ops->clear_byte(hv, &g[0], 0);
	ck_assert_mem_eq(memory_of(FAKE_FIRST, g[0].ref), "\0a", 2);
	/* Failures are logged, and that is all. */
	fake_refuse(FAKE_COPY, 0, 1, GNTST_bad_page);
	hv->ops->clear_byte(hv, &g[1], 30);
	fake_break(FAKE_COPY, 0, -EFAULT);
	hv->ops->clear_byte(hv, &g[1], 30);
	ck_assert_int_eq(memory_of(FAKE_FIRST, g[1].ref)[30], 'a');
	check_all();
	unmap_ok(g, 3);
}
END_TEST

/* What is told of a byte that could not be cleared, in bytes. */
static long told_of(const struct hv_grant *g, int status)
{
	int old = dup(STDERR_FILENO), log = memfd_create("stderr", MFD_CLOEXEC);
	long n;

	ck_assert_int_eq(dup2(log, STDERR_FILENO), STDERR_FILENO);
	fake_refuse(FAKE_COPY, 0, 1, (int16_t)status);
	hv->ops->clear_byte(hv, g, 30);
	n = lseek(log, 0, SEEK_END);
	ck_assert_int_eq(dup2(old, STDERR_FILENO), STDERR_FILENO);
	close(old);
	close(log);
	return n;
}

/* There is nobody left who would look at it. */
START_TEST(clear_byte_of_a_granter_that_is_gone)
{
	struct hv_grant *g = map_ok(20, 1, &writable);

	ck_assert_int_gt(told_of(&g[0], GNTST_bad_page), 0);
	ck_assert_int_eq(told_of(&g[0], GNTST_bad_domain), 0);
	check_all();
	unmap_ok(g, 1);
}
END_TEST

/* --- event channels ----------------------------------------------------------------------------- */

START_TEST(ports)
{
	const uint8_t kinds[] = { EVTCHNSTAT_closed, EVTCHNSTAT_unbound, EVTCHNSTAT_interdomain,
				  EVTCHNSTAT_pirq,   EVTCHNSTAT_virq,	 EVTCHNSTAT_ipi };

	for (uint32_t port = 0; port < 6; port++) {
		bool good = port == 1 || port == 2;

		fake->port[port] = kinds[port];
		ck_assert_int_eq(hv->ops->port_get(hv, port, 0), good ? 0 : -EINVAL);
		ck_assert_int_eq(hv->ops->port_send(hv, port), good ? 0 : -EINVAL);
		ck_assert_uint_eq(fake->sent[port], good);
	}
	ck_assert_uint_eq(counts().ports, 2);
	ck_assert_int_eq(hv->ops->port_get(hv, FAKE_PORTS, 0), -EINVAL);
	ck_assert_int_eq(hv->ops->port_get(hv, UINT32_MAX, 0), -EINVAL);
	fake_break(FAKE_EVENT, 0, -EPERM);
	ck_assert_int_eq(hv->ops->port_get(hv, 2, 0), -EINVAL);
	fake_break(FAKE_EVENT, 0, -EPERM);
	ck_assert_int_eq(hv->ops->port_send(hv, 2), -EPERM);
	/* Closed since. */
	fake->port[2] = EVTCHNSTAT_closed;
	ck_assert_int_eq(hv->ops->port_send(hv, 2), -EINVAL);
	ck_assert_uint_eq(counts().ports, 2);
	hv->ops->port_put(hv, 1);
	hv->ops->port_put(hv, 2);
	ck_assert_uint_eq(counts().ports, 0);
	check_all();
}
END_TEST

Suite *copy_suite(void)
{
	Suite *s = suite_create("xen_copy");
	TCase *tc = tcase_create("copy");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, out_of_a_guest);
	tcase_add_test(tc, into_a_guest);
	tcase_add_test(tc, whole_pages);
	tcase_add_test(tc, between_guests);
	tcase_add_test(tc, between_own_buffers);
	tcase_add_test(tc, chain);
	tcase_add_loop_test(tc, many, 0, 7);
	tcase_add_test(tc, beyond_a_page);
	tcase_add_test(tc, some_are_bad);
	tcase_add_test(tc, readonly_grant);
	tcase_add_test(tc, eagain_then_again);
	tcase_add_loop_test(tc, copy_fails_midway, 0, 6);
	tcase_add_test(tc, lent_pages);
	tcase_add_test(tc, all_are_lent);
	tcase_add_loop_test(tc, own_pages, 0, 2);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, clear_byte);
	tcase_add_test(tc, clear_byte_of_a_granter_that_is_gone);
	tcase_add_test(tc, ports);
	suite_add_tcase(s, tc);
	return s;
}
