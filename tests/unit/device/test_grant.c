/* SPDX-License-Identifier: MIT */
/*
 * device/test_grant.c - the life of a mapping: mmap's checks, who unmaps and when, notifications, paging
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/looks.h"
#include "device/enforce.h"
#include "tests/unit/rig.h"

#define RW     (PROT_READ | PROT_WRITE)
#define SHARED MAP_SHARED

static void *must_map(uint64_t index, size_t len, int prot)
{
	void *p = rig_mmap(rig.fh, index, len, prot, SHARED);

	ck_assert_msg(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return p;
}

static void must_fail(uint64_t index, size_t len, int prot, int flags, int error)
{
	ck_assert_ptr_eq(rig_mmap(rig.fh, index, len, prot, flags), MAP_FAILED);
	ck_assert_int_eq(errno, error);
}

static uint8_t grant_flags(uint32_t ref)
{
	return (uint8_t)(sim_grant_entry(rig.sim, RIG_GRANTER, ref)->flags &
			 (GTF_reading | GTF_writing));
}

START_TEST(reads_and_writes_the_granters_page)
{
	uint32_t ref = rig_grant(false);
	uint64_t index = rig_map(rig.fh, ref);
	char *p;

	ck_assert_uint_eq(grant_flags(ref), 0);
	p = must_map(index, 4096, RW);
	ck_assert_uint_eq(grant_flags(ref), GTF_reading | GTF_writing);
	strcpy((char *)rig.frame[0], "from the granter");
	ck_assert_str_eq(p, "from the granter");
	strcpy(p, "from the mapper");
	ck_assert_str_eq((char *)rig.frame[0], "from the mapper");
	munmap(p, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	ck_assert_uint_eq(grant_flags(ref), 0);
}
END_TEST

START_TEST(many_refs_in_any_order)
{
	uint32_t refs[8];
	uint64_t index;
	char *p;

	for (int i = 0; i < 8; i++)
		refs[(i * 5) % 8] = rig_grant(false);
	refs[3] = refs[4];
	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 8, &index), 0);
	for (int i = 0; i < 8; i++)
		rig.frame[i][0] = (unsigned char)('a' + i);
	p = must_map(index, 8 * 4096, RW);
	for (int i = 0; i < 8; i++)
		if ((i * 5) % 8 != 3)
			ck_assert_int_eq(p[((i * 5) % 8) * 4096], 'a' + i);
	ck_assert_int_eq(p[3 * 4096], p[4 * 4096]);
	munmap(p, 8 * 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

/* docs/gntdev-abi.md, section 4, rows 1 to 3. */
START_TEST(mmap_rows)
{
	uint32_t refs[3] = { rig_grant(false), rig_grant(false), rig_grant(false) };
	uint64_t index;
	void *p;

	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 3, &index), 0);
	must_fail(1 << 20, 4096, RW, MAP_PRIVATE, EINVAL);
	must_fail(index, 3 * 4096, RW, MAP_PRIVATE, EINVAL);
	must_fail(index, 3 * 4096, PROT_WRITE, 0, EINVAL);
	must_fail(index, 4096, RW, SHARED, EINVAL);
	must_fail(index, 2 * 4096, RW, SHARED, EINVAL);
	must_fail(index, 4 * 4096, RW, SHARED, EINVAL);
	must_fail(index + 4096, 4096, RW, SHARED, EINVAL);
	must_fail(index, 1ULL << 44, RW, SHARED, EINVAL);
	must_fail(~0xfffULL, 4096, RW, SHARED, EINVAL);
	/* None of these used up the one attempt. */
	p = must_map(index, 3 * 4096, RW);
	must_fail(index, 3 * 4096, RW, SHARED, EINVAL);
	munmap(p, 3 * 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	must_fail(index, 3 * 4096, RW, SHARED, EINVAL);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 3), 0);
}
END_TEST

START_TEST(private_read_is_a_live_view)
{
	uint32_t ref = rig_grant(false);
	char *p = rig_mmap(rig.fh, rig_map(rig.fh, ref), 4096, PROT_READ, MAP_PRIVATE);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_uint_eq(grant_flags(ref), GTF_reading);
	rig.frame[0][9] = 'x';
	ck_assert_int_eq(p[9], 'x');
	munmap(p, 4096);
}
END_TEST

START_TEST(read_only_is_real)
{
	uint32_t ref = rig_grant(true);
	uint64_t index = rig_map(rig.fh, ref);
	void *p;

	must_fail(index, 4096, RW, SHARED, EINVAL);
	must_fail(index, 4096, PROT_READ, SHARED, EINVAL); /* the attempt is used up */
	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	index = rig_map(rig.fh, ref);
	p = must_map(index, 4096, PROT_READ);
	ck_assert_uint_eq(grant_flags(ref), GTF_reading);
	ck_assert_int_eq(mprotect(p, 4096, RW), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_int_eq(rig_notify(rig.fh, index, UNMAP_NOTIFY_CLEAR_BYTE, 0), -EINVAL);
	ck_assert_int_eq(rig_notify(rig.fh, index, 3, 5), -EINVAL);
	munmap(p, 4096);
}
END_TEST

/* Row 7: one bad reference, and nothing stays mapped. */
START_TEST(a_bad_ref_undoes_the_batch)
{
	uint32_t refs[4] = { rig_grant(false), 20000, rig_grant(false), rig_grant(false) };
	uint64_t index;

	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 4, &index), 0);
	must_fail(index, 4 * 4096, RW, SHARED, EINVAL);
	ck_assert_uint_eq(rig_handles(), 0);
	ck_assert_uint_eq(grant_flags(refs[0]), 0);
	/* It is listed still, and of no use. */
	must_fail(index, 4 * 4096, RW, SHARED, EINVAL);
	ck_assert_int_eq(rig_notify(rig.fh, index, 0, 0), 0);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 4), 0);
}
END_TEST

START_TEST(bad_domains)
{
	static const uint32_t domid[] = { 99, 0x7ff0, 0x7fff, 0xffff };
	struct ioctl_gntdev_map_grant_ref op = { .count = 1 };

	for (int i = 0; i < 4; i++) {
		op.refs[0].domid = domid[i];
		op.refs[0].ref = 8;
		ck_assert_int_eq(double_ioctl(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op,
					      DOUBLE_DIRECT),
				 0);
		must_fail(op.index, 4096, RW, SHARED, EINVAL);
	}
	/* 16 bits of it count. */
	op.refs[0].domid = 0x10000 | RIG_GRANTER;
	op.refs[0].ref = rig_grant(false);
	ck_assert_int_eq(
		double_ioctl(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op, DOUBLE_DIRECT),
		0);
	munmap(must_map(op.index, 4096, RW), 4096);
}
END_TEST

START_TEST(hypercall_error_passes)
{
	const char *why;
	uint64_t index = rig_map(rig.fh, rig_grant(false));

	ck_assert_int_eq(sim_fault_add(rig.sim, "map:errno=ENOMEM", &why), 0);
	must_fail(index, 4096, RW, SHARED, ENOMEM);
	ck_assert_uint_eq(rig_handles(), 0);
	index = rig_map(rig.fh, rig_grant(false));
	ck_assert_int_eq(sim_fault_add(rig.sim, "window:errno=ENFILE", &why), 0);
	must_fail(index, 4096, RW, SHARED, ENFILE);
	ck_assert_uint_eq(rig_handles(), 0);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
}
END_TEST

START_TEST(wrong_tokens)
{
	struct window_token t = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	uint64_t other = rig_open();

	/* The token of another open, and a guess. */
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, other, WINDOW_TOKEN, &t, DOUBLE_DIRECT), 0);
	rig_close(other);
	ck_assert_ptr_eq(rig_mmap_with(rig.fh, t.secret, index, 4096, RW, SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_ptr_eq(rig_mmap_with(other, t.secret, index, 4096, RW, SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	munmap(must_map(index, 4096, RW), 4096);
}
END_TEST

/* Who has a token need not have asked the kernel, which would have said EACCES. */
START_TEST(access_mode)
{
	uint32_t ref = rig_grant(false);
	uint64_t rd = rig_open_as(O_RDONLY), wr = rig_open_as(O_WRONLY | O_CLOEXEC);
	uint64_t index = rig_map(rd, ref);
	void *p;

	ck_assert_ptr_eq(rig_mmap(rd, index, 4096, RW, SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, EACCES);
	p = rig_mmap(rd, index, 4096, PROT_READ, SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	munmap(p, 4096);
	ck_assert_ptr_eq(rig_mmap(wr, rig_map(wr, ref), 4096, RW, SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, EACCES);
}
END_TEST

START_TEST(mapping_outlives_unmap_and_close)
{
	uint32_t ref = rig_grant(false);
	uint64_t index = rig_map(rig.fh, ref), fh = rig_open();
	char *p = must_map(index, 4096, RW), *q;

	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	ck_assert_int_eq(rig_notify(rig.fh, index, 0, 0), -ENOENT);
	/* The index is free again while the old mapping lives. */
	ck_assert_uint_eq(rig_map(rig.fh, ref), index);
	p[1] = 'p';
	q = rig_mmap(fh, rig_map(fh, ref), 4096, RW, SHARED);
	rig_close(fh);
	q[2] = 'q';
	ck_assert_int_eq(rig.frame[0][1], 'p');
	ck_assert_int_eq(rig.frame[0][2], 'q');
	ck_assert_uint_eq(rig_handles(), 2);
	munmap(p, 4096);
	ck_assert_int_ge(rig_wait_handles(1), 0);
	munmap(q, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

/* Clear byte, unmap, event: the byte at the last munmap, the event when the slot goes. */
START_TEST(notifications_at_munmap_then_unmap)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false)), sent;
	char *p = must_map(index, 4096, RW);

	ck_assert_int_eq(sim_port_bind(rig.sim, 0, 5, RIG_GRANTER, NULL, NULL), 0);
	ck_assert_int_eq(rig_notify(rig.fh, index + 77, 3, 5), 0);
	/* The owner of the port goes first, as libvchan does: our reference keeps it. */
	ck_assert_int_eq(sim_port_unbind(rig.sim, 0, 5), 0);
	memset(p, 0xee, 100);
	munmap(p, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	ck_assert_uint_eq(rig.frame[0][77], 0);
	ck_assert_uint_eq(rig.frame[0][76], 0xee);
	ck_assert_uint_eq(rig.frame[0][78], 0xee);
	ck_assert_int_eq(sim_port_sent(rig.sim, 0, 5, &sent), 0);
	ck_assert_uint_eq(sent, 0);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	ck_assert_int_eq(sim_port_sent(rig.sim, 0, 5, &sent), -EINVAL); /* sent, and unbound */
}
END_TEST

static unsigned char byte_at_event;
static uint64_t handles_at_event;

static void on_event(const struct sim_event *ev, void *arg)
{
	(void)ev;
	byte_at_event = *(unsigned char *)arg;
	handles_at_event = rig_handles();
}

START_TEST(notifications_at_unmap_then_munmap)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false)), sent;
	char *p = must_map(index, 4096, RW);

	byte_at_event = 1;
	handles_at_event = 1;
	ck_assert_int_eq(sim_port_bind(rig.sim, 0, 5, RIG_GRANTER, on_event, rig.frame[0]), 0);
	/* Replaced whole by the second call. */
	ck_assert_int_eq(rig_notify(rig.fh, index + 50, UNMAP_NOTIFY_CLEAR_BYTE, 0), 0);
	ck_assert_int_eq(rig_notify(rig.fh, index, 3, 5), 0);
	memset(p, 0xee, 100);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	ck_assert_int_eq(sim_port_sent(rig.sim, 0, 5, &sent), 0);
	ck_assert_uint_eq(sent, 0);
	munmap(p, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	for (int i = 0; i < 1000 && !sent; i++) {
		usleep(1000);
		ck_assert_int_eq(sim_port_sent(rig.sim, 0, 5, &sent), 0);
	}
	ck_assert_uint_eq(sent, 1);
	ck_assert_uint_eq(byte_at_event, 0);
	ck_assert_uint_eq(handles_at_event, 0);
	ck_assert_uint_eq(rig.frame[0][50], 0xee);
}
END_TEST

/* The trap of docs/gntdev-abi.md, section 8: accepted, and lost, where the driver crashes. */
START_TEST(clear_byte_then_read_only_mmap)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	void *p;

	ck_assert_int_eq(rig_notify(rig.fh, index, UNMAP_NOTIFY_CLEAR_BYTE, 0), 0);
	p = must_map(index, 4096, PROT_READ);
	rig.frame[0][0] = 5;
	munmap(p, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	ck_assert_uint_eq(rig.frame[0][0], 5);
}
END_TEST

START_TEST(a_part_is_released_with_the_rest)
{
	uint32_t refs[3] = { rig_grant(false), rig_grant(false), rig_grant(false) };
	uint64_t index;
	char *p;

	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 3, &index), 0);
	p = must_map(index, 3 * 4096, RW);
	munmap(p + 4096, 4096);
	usleep(50 * 1000);
	ck_assert_uint_eq(rig_handles(), 3);
	p[0] = p[8192] = 1;
	/* Not the middle again: another thread may have been given that place. */
	munmap(p, 4096);
	munmap(p + 2 * 4096, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	assert_no_looks();
}
END_TEST

/* A forked child shares the mapping; SIGKILL of the last one releases it at once. */
START_TEST(the_last_process_releases)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	char *p = must_map(index, 4096, RW);
	pid_t child = fork();

	if (!child) {
		p[0] = 'c';
		pause();
		_exit(0);
	}
	munmap(p, 4096);
	usleep(50 * 1000);
	ck_assert_uint_eq(rig_handles(), 1);
	ck_assert_int_eq(rig.frame[0][0], 'c');
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	assert_no_looks();
}
END_TEST

START_TEST(paged_out_for_a_while)
{
	uint32_t refs[2] = { rig_grant(false), rig_grant(false) };
	uint64_t index, other = rig_map(rig.fh, rig_grant(false));
	const char *why;
	void *p;

	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 2, &index), 0);
	ck_assert_int_eq(sim_fault_add(rig.sim, "map:status=eagain,for_ms=60", &why), 0);
	rig_mmap_begin(rig.fh, index, 8192, RW, SHARED);
	ck_assert_int_eq(rig_mmap_answer(&p), -1);
	/* Nobody else waits for it, and UNMAP in the meantime is no obstacle. */
	ck_assert_int_eq(rig_unmap(rig.fh, other, 1), 0);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 2), 0);
	for (int i = 0; i < 2000 && rig_mmap_answer(&p) < 0; i++)
		usleep(1000);
	ck_assert_int_eq(rig_mmap_answer(&p), 0);
	ck_assert_uint_eq(rig_handles(), 2);
	munmap(p, 8192);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

/* The daemon goes down while a client waits: it gets an answer. */
START_TEST(paged_out_at_the_end)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	const char *why;
	void *p;

	ck_assert_int_eq(sim_fault_add(rig.sim, "map:status=eagain,count=1000", &why), 0);
	rig_mmap_begin(rig.fh, index, 4096, RW, SHARED);
	ck_assert_int_eq(rig_mmap_answer(&p), -1);
	rig_stop_defer();
	ck_assert_int_eq(rig_mmap_answer(&p), EINVAL);
	ck_assert_uint_eq(rig_handles(), 0);
}
END_TEST

/* What a window holds is given back some milliseconds after it has ended: who is at a limit has it by then. */
START_TEST(cycles_at_a_limit)
{
	static const char text[] = "limit { maps_per_open = 2 }";
	uint64_t index, kept;
	uint32_t ref = rig_grant(false);
	struct policy *policy = NULL;
	struct policy_why why;
	char *p;

	ck_assert_int_eq(policy_parse("conf", text, strlen(text), &policy, &why), 0);
	enforce_new_policy(&rig.gd, policy);
	kept = rig_map(rig.fh, ref);
	for (int i = 0; i < 100; i++) {
		int err = rig_map_refs(rig.fh, &ref, 1, &index);

		ck_assert_msg(!err, "cycle %d: %s", i, strerror(-err));
		p = rig_mmap(rig.fh, index, 4096, PROT_READ, MAP_SHARED);
		ck_assert_ptr_ne(p, MAP_FAILED);
		munmap(p, 4096);
		ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	}
	ck_assert_int_eq(rig_unmap(rig.fh, kept, 1), 0);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

/*
 * A grant can be mapped so many times at once; who maps and unmaps it fast, and has others' windows and a
 * slow Xen to wait for, meets that limit only if the mappings are really there.
 */
START_TEST(what_is_on_its_way_back_is_waited_for)
{
	uint32_t ref = rig_grant(false);
	const char *why;

	ck_assert_int_eq(sim_fault_add(rig.sim, "unmap:count=100000,delay_ms=3", &why), 0);
	for (int i = 0; i < 400; i++) {
		uint64_t index = rig_map(rig.fh, ref);
		void *p = rig_mmap(rig.fh, index, 4096, RW, SHARED);

		ck_assert_msg(p != MAP_FAILED, "cycle %d: errno %d", i, errno);
		munmap(p, 4096);
		ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	}
}
END_TEST

/* Mappings that stay are no reason to wait: it fails, and at once. */
START_TEST(what_stays_is_not_waited_for)
{
	uint32_t ref = rig_grant(false);
	uint64_t index;
	int n = 0;
	void *p;

	do {
		ck_assert_int_lt(n++, 5000);
		index = rig_map(rig.fh, ref);
		rig_mmap_begin(rig.fh, index, 4096, RW, SHARED);
	} while (!rig_mmap_answer(&p));
	ck_assert_int_eq(rig_mmap_answer(&p), EINVAL);
	ck_assert_uint_eq(rig_handles(), (uint64_t)n - 1);
}
END_TEST

START_TEST(what_cannot_be_unmapped_is_said)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	void *p = must_map(index, 4096, RW);
	const char *why;
	char line[256];
	int fds[2], saved = dup(2);
	ssize_t n;

	ck_assert_int_eq(sim_fault_add(rig.sim, "unmap:status=general_error", &why), 0);
	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], 2);
	munmap(p, 4096);
	n = read(fds[0], line, sizeof(line) - 1);
	dup2(saved, 2);
	ck_assert_int_gt(n, 0);
	line[n] = 0;
	ck_assert_ptr_nonnull(strstr(line, "cannot be unmapped: general_error"));
	/* The slot is freed all the same. */
	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	rig_expect_left(1);
}
END_TEST

Suite *grant_suite(void);

Suite *grant_suite(void)
{
	Suite *s = suite_create("grant");
	TCase *tc = tcase_create("mapping");

	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_add_test(tc, cycles_at_a_limit);
	tcase_add_test(tc, reads_and_writes_the_granters_page);
	tcase_add_test(tc, many_refs_in_any_order);
	tcase_add_test(tc, mmap_rows);
	tcase_add_test(tc, private_read_is_a_live_view);
	tcase_add_test(tc, read_only_is_real);
	tcase_add_test(tc, a_bad_ref_undoes_the_batch);
	tcase_add_test(tc, bad_domains);
	tcase_add_test(tc, hypercall_error_passes);
	tcase_add_test(tc, wrong_tokens);
	tcase_add_test(tc, access_mode);
	tcase_add_test(tc, mapping_outlives_unmap_and_close);
	tcase_add_test(tc, notifications_at_munmap_then_unmap);
	tcase_add_test(tc, notifications_at_unmap_then_munmap);
	tcase_add_test(tc, clear_byte_then_read_only_mmap);
	tcase_add_test(tc, a_part_is_released_with_the_rest);
	tcase_add_test(tc, the_last_process_releases);
	tcase_add_test(tc, paged_out_for_a_while);
	tcase_add_test(tc, paged_out_at_the_end);
	tcase_add_test(tc, what_is_on_its_way_back_is_waited_for);
	tcase_add_test(tc, what_stays_is_not_waited_for);
	tcase_add_test(tc, what_cannot_be_unmapped_is_said);
	suite_add_tcase(s, tc);
	return s;
}
