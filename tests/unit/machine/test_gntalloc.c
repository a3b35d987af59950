/* SPDX-License-Identifier: MIT */
/*
 * machine/test_gntalloc.c - the granting device: ioctls, life of a page
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/rcu.h"
#include "tests/unit/machine/rig.h"
#include "tests/unit/suite.h"

/* --- ALLOC_GREF -------------------------------------------------------------------------------------- */

START_TEST(alloc_grants_pages)
{
	struct result r = alloc(3);
	struct hv_grant g = granted(r.ref[1]);
	unsigned char *p;

	ck_assert_uint_eq(r.index, 0);
	ck_assert_uint_eq(frames(), 3);
	ck_assert_uint_eq(gntalloc_pages(ga), 3);
	p = must_map(r.index, 3);
	for (size_t i = 0; i < 3 * PAGE; i++)
		ck_assert_int_eq(p[i], 0);
	ck_assert_int_eq(map_grant(&g, false), GNTST_okay);
	memcpy(p + PAGE, "shared", sizeof("shared"));
	ck_assert_str_eq(sim_frame_memory(sim, (uint32_t)g.page), "shared");
	ck_assert_int_eq(hv->ops->unmap(hv, &g, 1), 0);
	munmap(p, 3 * PAGE);
}
END_TEST

START_TEST(alloc_both_modes)
{
	for (uint32_t n = 0; n < 10; n++) {
		struct result a, b;
		uint32_t pages = gntalloc_pages(ga);

		ck_assert_int_eq(alloc_full(fh, n, 1, DOUBLE_DIRECT, &a), 0);
		ck_assert_int_eq(alloc_full(fh, n, 1, DOUBLE_RETRY, &b), 0);
		ck_assert_uint_eq(b.index, a.index + n * PAGE);
		ck_assert_uint_eq(gntalloc_pages(ga), pages + 2 * n);
		for (uint32_t i = 0; i < n; i++) {
			ck_assert_uint_eq(sim_grant_entry(sim, DOMID, a.ref[i])->flags,
					  GTF_permit_access);
			ck_assert_uint_eq(sim_grant_entry(sim, DOMID, b.ref[i])->flags,
					  GTF_permit_access);
			ck_assert_uint_ne(a.ref[i], b.ref[i]);
		}
		ck_assert_int_eq(n ? dealloc(a.index, 2 * n) : 0, 0);
	}
}
END_TEST

START_TEST(alloc_readonly)
{
	struct hv_grant g;
	struct result r;

	ck_assert_int_eq(alloc_full(fh, 1, 0xfffe, DOUBLE_DIRECT, &r), 0);
	g = granted(r.ref[0]);
	ck_assert_int_eq(map_grant(&g, false), GNTST_general_error);
	g = granted(r.ref[0]);
	ck_assert_int_eq(map_grant(&g, true), GNTST_okay);
	ck_assert_int_eq(hv->ops->unmap(hv, &g, 1), 0);
}
END_TEST

START_TEST(alloc_limit)
{
	struct result r;

	ck_assert_int_eq(alloc_full(fh, LIMIT + 1, 1, DOUBLE_DIRECT, &r), -ENOSPC);
	ck_assert_int_eq(alloc_full(fh, UINT32_MAX, 1, DOUBLE_DIRECT, &r), -ENOSPC);
	ck_assert_int_eq(alloc_full(fh, UINT32_MAX, 1, DOUBLE_RETRY, &r), -ENOSPC);
	alloc(LIMIT - 1);
	ck_assert_int_eq(alloc_full(fh, 2, 1, DOUBLE_DIRECT, &r), -ENOSPC);
	ck_assert_uint_eq(gntalloc_pages(ga), LIMIT - 1);
	/* The limit is the device's, not the open's; what fails there uses up no index. */
	fh = open_device();
	ck_assert_int_eq(alloc_full(fh, 2, 1, DOUBLE_DIRECT, &r), -ENOSPC);
	ck_assert_uint_eq(alloc(1).index, 0);
	ck_assert_int_eq(alloc_full(fh, 1, 1, DOUBLE_DIRECT, &r), -ENOSPC);
}
END_TEST

START_TEST(alloc_out_of_memory)
{
	uint32_t frame[256];
	struct result r;

	ck_assert_int_eq(sim_frames_alloc(sim, 0, 253, frame), 0);
	ck_assert_int_eq(alloc_full(fh, 3, 1, DOUBLE_DIRECT, &r), -ENOMEM);
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
	/* As in the driver, the index is gone all the same. */
	ck_assert_uint_eq(alloc(2).index, 3 * PAGE);
	ck_assert_int_eq(sim_frames_free(sim, 0, frame, 253), 0);
}
END_TEST

/* The grant table is full in the middle of an allocation: nothing of it stays. */
START_TEST(alloc_table_full)
{
	uint32_t frame, ref, taken = 0, refs[SIM_GRANTS_PER_FRAME] = { 0 };
	struct result r;

	ck_assert_int_eq(sim_frames_alloc(sim, DOMID, 1, &frame), 0);
	while (!sim_grant(sim, DOMID, 0, frame, false, &ref))
		refs[taken++] = ref;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(sim_revoke(sim, DOMID, refs[--taken]), 0);
	ck_assert_int_eq(alloc_full(fh, 4, 1, DOUBLE_DIRECT, &r), -ENOSPC);
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
	ck_assert_uint_eq(frames(), 1);
	ck_assert_int_eq(alloc_full(fh, 3, 1, DOUBLE_DIRECT, &r), 0);
	while (taken)
		ck_assert_int_eq(sim_revoke(sim, DOMID, refs[--taken]), 0);
	ck_assert_int_eq(sim_frames_free(sim, DOMID, &frame, 1), 0);
}
END_TEST

/* Two pages: the first as given, the second not to be touched. */
static unsigned char *edge(int prot)
{
	unsigned char *p = mmap(NULL, 8192, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(mprotect(p + PAGE, PAGE, prot), 0);
	return p + PAGE;
}

START_TEST(bad_memory)
{
	static const uint32_t cmds[] = { IOCTL_GNTALLOC_ALLOC_GREF, IOCTL_GNTALLOC_DEALLOC_GREF,
					 IOCTL_GNTALLOC_SET_UNMAP_NOTIFY };
	struct ioctl_gntalloc_alloc_gref op = { .count = 1, .flags = 1 };
	unsigned char *none = edge(PROT_NONE), *ro = edge(PROT_READ);

	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		ck_assert_int_eq(double_ioctl(dev, fh, cmds[i], NULL, DOUBLE_DIRECT), -EFAULT);
		ck_assert_int_eq(double_ioctl(dev, fh, cmds[i], NULL, DOUBLE_RETRY), -EFAULT);
		ck_assert_int_eq(double_ioctl(dev, fh, cmds[i], none - 12, DOUBLE_DIRECT), -EFAULT);
	}
	/* Readable, but no place for the answer: the ids' tail, then the header. */
	op.count = 10;
	memcpy(none - sizeof(op), &op, sizeof(op));
	ck_assert_int_eq(
		double_ioctl(dev, fh, IOCTL_GNTALLOC_ALLOC_GREF, none - sizeof(op), DOUBLE_DIRECT),
		-EFAULT);
	ck_assert_int_eq(mprotect(ro, PAGE, RW), 0);
	memcpy(ro, &op, sizeof(op));
	ck_assert_int_eq(mprotect(ro, PAGE, PROT_READ), 0);
	ck_assert_int_eq(double_ioctl(dev, fh, IOCTL_GNTALLOC_ALLOC_GREF, ro, DOUBLE_DIRECT),
			 -EFAULT);
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
	ck_assert_uint_eq(frames(), 0);
	/* The count is looked at before the ids. */
	op.count = LIMIT + 1;
	memcpy(none - sizeof(op), &op, sizeof(op));
	ck_assert_int_eq(
		double_ioctl(dev, fh, IOCTL_GNTALLOC_ALLOC_GREF, none - sizeof(op), DOUBLE_DIRECT),
		-ENOSPC);
}
END_TEST

START_TEST(not_ours)
{
	struct ioctl_gntalloc_alloc_gref op = { .count = 1 };

	ck_assert_int_eq(double_ioctl(dev, fh, 0, &op, DOUBLE_DIRECT), -ENOTTY);
	ck_assert_int_eq(double_ioctl(dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op, DOUBLE_DIRECT),
			 -ENOTTY);
	ck_assert_int_eq(double_ioctl_full(dev, fh, IOCTL_GNTALLOC_ALLOC_GREF, (uintptr_t)&op,
					   DOUBLE_DIRECT, true)
				 .result,
			 -ENOTTY);
	ck_assert_int_eq(double_ioctl(dev, fh, WINDOW_TOKEN, &op, DOUBLE_DIRECT), -ENOTTY);
	/* An open that has been closed. */
	dev->release(dev, fh);
	ck_assert_int_eq(double_ioctl(dev, fh, IOCTL_GNTALLOC_ALLOC_GREF, &op, DOUBLE_DIRECT),
			 -EBADF);
	ck_assert_int_eq(double_ioctl(dev, fh, WINDOW_TOKEN, &op, DOUBLE_DIRECT), -EBADF);
	dev->release(dev, fh);
}
END_TEST

/* --- DEALLOC_GREF --------------------------------------------------------------------------------- */

START_TEST(index_is_never_reused)
{
	ck_assert_uint_eq(alloc(2).index, 0);
	ck_assert_uint_eq(alloc(1).index, 2 * PAGE);
	ck_assert_int_eq(dealloc(0, 3), 0);
	ck_assert_uint_eq(alloc(1).index, 3 * PAGE);
}
END_TEST

START_TEST(dealloc_finds_runs)
{
	struct hv_grant g = granted(alloc(4).ref[1]);

	alloc(4);
	ck_assert_int_eq(dealloc(0, 0), -EINVAL);
	ck_assert_int_eq(dealloc(1, 1), -EINVAL);
	ck_assert_int_eq(dealloc(8 * PAGE, 1), -EINVAL);
	ck_assert_int_eq(dealloc(7 * PAGE, 2), -EINVAL);
	ck_assert_int_eq(dealloc(0, UINT32_MAX), -EINVAL);
	ck_assert_uint_eq(gntalloc_pages(ga), 8);
	/* A part of one, then a run across the border of two, then one with a hole in it. */
	ck_assert_int_eq(dealloc(1 * PAGE, 1), 0);
	ck_assert_int_eq(dealloc(1 * PAGE, 1), -EINVAL);
	ck_assert_int_eq(dealloc(0, 2), -EINVAL);
	ck_assert_int_eq(dealloc(3 * PAGE, 2), 0);
	ck_assert_uint_eq(gntalloc_pages(ga), 5);
	ck_assert_uint_eq(frames(), 5);
	ck_assert_int_eq(map_grant(&g, false), GNTST_general_error);
	/* Another open has no part in it. */
	fh = open_device();
	ck_assert_int_eq(dealloc(0, 1), -EINVAL);
}
END_TEST

/* --- the life of a page ---------------------------------------------------------------------------- */

START_TEST(window_outlives_dealloc_and_close)
{
	unsigned char *a, *b;

	alloc(2);
	a = must_map(0, 1);
	b = must_map(PAGE, 1);
	ck_assert_int_eq(dealloc(0, 1), 0);
	dev->release(dev, fh);
	ck_assert_uint_eq(gntalloc_pages(ga), 2);
	a[0] = b[0] = 'x';
	munmap(a, PAGE);
	ck_assert(frames_become(1));
	ck_assert_uint_eq(gntalloc_pages(ga), 1);
	ck_assert_int_eq(b[0], 'x');
	munmap(b, PAGE);
	ck_assert(frames_become(0));
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
}
END_TEST

START_TEST(page_outlives_window)
{
	unsigned char *p;

	alloc(1);
	p = must_map(0, 1);
	p[7] = 'x';
	munmap(p, PAGE);
	while (windows_count(windows))
		usleep(1000);
	ck_assert_uint_eq(frames(), 1);
	p = must_map(0, 1);
	ck_assert_int_eq(p[7], 'x');
	munmap(p, PAGE);
}
END_TEST

/* What another domain has mapped is freed when that unmaps it; it does not count meanwhile. */
START_TEST(mapped_page_is_freed_later)
{
	struct hv_grant g = granted(alloc(1).ref[0]);
	char *memory;

	ck_assert_int_eq(map_grant(&g, false), GNTST_okay);
	memory = sim_frame_memory(sim, (uint32_t)g.page);
	memcpy(memory, "still there", sizeof("still there"));
	ck_assert_int_eq(dealloc(0, 1), 0);
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
	ck_assert_uint_eq(frames(), 1);
	alloc(LIMIT);
	ck_assert_str_eq(memory, "still there");
	ck_assert_int_eq(hv->ops->unmap(hv, &g, 1), 0);
	ck_assert_uint_eq(frames(), LIMIT);
	ck_assert_int_eq(map_grant(&g, false), GNTST_general_error);
}
END_TEST

START_TEST(notify_checks)
{
	ck_assert_int_eq(sim_port_bind(sim, DOMID, 5, 0, NULL, NULL), 0);
	alloc(2);
	/* The opposite order of gntdev's. */
	ck_assert_int_eq(notify(2 * PAGE, 0xff, 99), -ENOENT);
	ck_assert_int_eq(notify(0, 0x6, 99), -EINVAL);
	ck_assert_int_eq(notify(0, UNMAP_NOTIFY_SEND_EVENT, 99), -EINVAL);
	ck_assert_int_eq(notify(0, UNMAP_NOTIFY_CLEAR_BYTE, 99), 0);
	ck_assert_int_eq(notify(8191, UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT, 5), 0);
	ck_assert_int_eq(notify(PAGE, 0, 0), 0);
}
END_TEST

static uint64_t sent(uint32_t port)
{
	uint64_t n;

	ck_assert_int_eq(sim_port_sent(sim, DOMID, port, &n), 0);
	return n;
}

static uint64_t port_refs(void)
{
	struct sim_counts n;

	sim_counts(sim, &n);
	return n.port_refs;
}

START_TEST(notify_fires_with_the_last_user)
{
	struct hv_grant g = granted(alloc(2).ref[0]);
	unsigned char *p = must_map(0, 1), *memory;

	ck_assert_int_eq(sim_port_bind(sim, DOMID, 5, 0, NULL, NULL), 0);
	ck_assert_int_eq(sim_port_bind(sim, DOMID, 6, 0, NULL, NULL), 0);
	/* One record per page; a second call replaces the first. */
	ck_assert_int_eq(notify(17, UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT, 5), 0);
	ck_assert_int_eq(notify(PAGE, UNMAP_NOTIFY_SEND_EVENT, 5), 0);
	ck_assert_int_eq(notify(PAGE, UNMAP_NOTIFY_SEND_EVENT, 6), 0);
	ck_assert_uint_eq(port_refs(), 2);
	ck_assert_int_eq(map_grant(&g, false), GNTST_okay);
	memory = sim_frame_memory(sim, (uint32_t)g.page);
	memset(memory, 'x', 32);

	ck_assert_int_eq(dealloc(0, 2), 0);
	ck_assert_uint_eq(sent(5), 0);
	ck_assert_uint_eq(sent(6), 1);
	ck_assert_int_eq(memory[17], 'x');
	munmap(p, PAGE);
	while (gntalloc_pages(ga))
		usleep(1000);
	ck_assert_uint_eq(sent(5), 1);
	ck_assert_uint_eq(sent(6), 1);
	ck_assert_int_eq(memory[16], 'x');
	ck_assert_int_eq(memory[17], 0);
	ck_assert_uint_eq(port_refs(), 0);
	ck_assert_int_eq(hv->ops->unmap(hv, &g, 1), 0);
}
END_TEST

/* The port's owner closes it before the notification: the reference keeps it. */
START_TEST(notify_after_unbind)
{
	const char *why;

	alloc(1);
	ck_assert_int_eq(sim_port_bind(sim, DOMID, 5, 0, NULL, NULL), 0);
	ck_assert_int_eq(notify(0, UNMAP_NOTIFY_SEND_EVENT, 5), 0);
	ck_assert_int_eq(sim_port_unbind(sim, DOMID, 5), 0);
	/* Replaced by itself, with another byte: the last reference must not go in between. */
	ck_assert_int_eq(notify(9, UNMAP_NOTIFY_SEND_EVENT | UNMAP_NOTIFY_CLEAR_BYTE, 5), 0);
	ck_assert_uint_eq(sent(5), 0);
	/* An event that cannot be sent is said, and the page goes all the same. */
	ck_assert_int_eq(sim_fault_add(sim, "send:errno=EPERM", &why), 0);
	ck_assert_int_eq(dealloc(0, 1), 0);
	ck_assert_uint_eq(sim_fault_pending(sim), 0);
	ck_assert_uint_eq(frames(), 0);
	ck_assert_int_eq(notify(0, 0, 0), -ENOENT);
}
END_TEST

/* --- threads ----------------------------------------------------------------------------------------- */

/* Threads share an open and guess each other's indexes; mapped and deallocated at once. */
static void *client(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	rcu_thread_enter();
	for (int i = 0; i < 1500; i++) {
		struct result r;
		uint32_t n = 1 + (uint32_t)rand_r(&seed) % 4;

		if (alloc_full(fh, n, 1, DOUBLE_DIRECT, &r))
			continue;
		notify(r.index, UNMAP_NOTIFY_SEND_EVENT, 5);
		if (rand_r(&seed) % 2)
			dealloc(r.index - PAGE * ((uint64_t)rand_r(&seed) % 3), 1);
		dealloc(r.index, n);
	}
	rcu_thread_leave();
	return NULL;
}

START_TEST(threads)
{
	unsigned int mapped = 0;
	unsigned char *p;
	struct result r;
	pthread_t t[3];

	ck_assert_int_eq(sim_port_bind(sim, DOMID, 5, 0, NULL, NULL), 0);
	for (uintptr_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, client, (void *)(i + 1)), 0);
	for (int i = 0; i < 200; i++) {
		if (alloc_full(fh, 1, 1, DOUBLE_DIRECT, &r))
			continue;
		p = map(r.index, 1, RW, MAP_SHARED);
		if (p != MAP_FAILED) {
			p[0] = 1;
			mapped++;
			munmap(p, PAGE);
		}
		dealloc(r.index, 1);
	}
	ck_assert_uint_gt(mapped, 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	dev->release(dev, fh);
	ck_assert(frames_become(0));
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
	ck_assert_uint_gt(sent(5), 0);
}
END_TEST

START_TEST(bad_domain)
{
	struct gntalloc_config gc = { .name = "x", .sim = sim, .windows = windows, .limit = 1 };
	struct gntalloc *other;

	gc.domid = DOMID_SELF;
	ck_assert_int_eq(gntalloc_new(&gc, &other), -EINVAL);
	/* Two devices may grant as one domain. */
	gc.domid = DOMID;
	ck_assert_int_eq(gntalloc_new(&gc, &other), 0);
	gntalloc_destroy(other);
}
END_TEST

Suite *gntalloc_suite(void);

Suite *gntalloc_suite(void)
{
	const TTest *const tests[] = {
		alloc_grants_pages,
		alloc_both_modes,
		alloc_readonly,
		alloc_limit,
		alloc_out_of_memory,
		alloc_table_full,
		bad_memory,
		not_ours,
		index_is_never_reused,
		dealloc_finds_runs,
		window_outlives_dealloc_and_close,
		page_outlives_window,
		mapped_page_is_freed_later,
		notify_checks,
		notify_fires_with_the_last_user,
		notify_after_unbind,
		threads,
		bad_domain,
	};

	return suite_of("gntalloc", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
