/* SPDX-License-Identifier: MIT */
/*
 * test_gntalloc.c - the granting device: ioctls, mmap, life of a page
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"
#include "double.h"
#include "gntalloc.h"
#include "table.h"
#include "window.h"

#define DOMID 9
#define LIMIT 64
#define RW    (PROT_READ | PROT_WRITE)
#define PAGE  ABI_PAGE_SIZE

static struct sim *sim;
static struct hypervisor *hv;
static struct windows *windows;
static struct gntalloc *ga;
static struct device *dev;
static uint64_t fh;

/* --- the window socket's part ------------------------------------------------------------------ */

static struct mmap_call call;
static int call_answers;
static void *call_addr;

void mmap_call_refuse(struct mmap_call *mc, int error)
{
	ck_assert_ptr_eq(mc, &call);
	ck_assert_int_eq(++call_answers, 1);
	ck_assert_int_gt(error, 0);
	errno = error;
	call_addr = MAP_FAILED;
}

void mmap_call_grant(struct mmap_call *mc, int fd, uint64_t window, const struct hv_grant *g,
		     size_t n, enum hv_pages kind)
{
	unsigned char *at;

	ck_assert_ptr_eq(mc, &call);
	ck_assert_int_eq(kind, HV_PAGES_FILE);
	ck_assert_int_eq(++call_answers, 1);
	ck_assert_uint_eq(n << ABI_PAGE_SHIFT, mc->rq.length);
	at = mmap(NULL, mc->rq.length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_ptr_ne(mmap(at + (i << ABI_PAGE_SHIFT), ABI_PAGE_SIZE, (int)mc->rq.prot,
				      MAP_SHARED | MAP_FIXED, fd,
				      (off_t)(g[i].page << ABI_PAGE_SHIFT)),
				 MAP_FAILED);
	close(fd);
	window_delivered(windows, window, mc->pid);
	call_addr = at;
}

static void *map_as(uint64_t open_id, const uint8_t *secret, uint64_t index, uint64_t length,
		    int prot, int flags)
{
	call = (struct mmap_call){ .pid = getpid() };
	call.rq = (struct window_request){ .prot = (uint32_t)prot,
					   .flags = (uint32_t)flags,
					   .open_id = open_id,
					   .offset = index,
					   .length = length };
	memcpy(call.rq.secret, secret, sizeof(call.rq.secret));
	call_answers = 0;
	gntalloc_mmap(&call, ga);
	ck_assert_int_eq(call_answers, 1);
	return call_addr;
}

static struct window_token token_of(uint64_t open_fh)
{
	struct window_token t = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };

	ck_assert_int_eq(double_ioctl(dev, open_fh, WINDOW_TOKEN, &t, DOUBLE_DIRECT), 0);
	return t;
}

static unsigned char *map(uint64_t index, unsigned int pages, int prot, int flags)
{
	struct window_token t = token_of(fh);

	return map_as(t.open_id, t.secret, index, (uint64_t)pages << ABI_PAGE_SHIFT, prot, flags);
}

static unsigned char *must_map(uint64_t index, unsigned int pages)
{
	void *p = map(index, pages, RW, MAP_SHARED);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* --- the rig ----------------------------------------------------------------------------------------- */

static char dir[64];

static uint64_t open_device(void)
{
	uint64_t id = 0;

	ck_assert_int_eq(dev->open(dev, gettid(), O_RDWR, &id), 0);
	ck_assert_uint_ne(id, 0);
	return id;
}

static void setup(void)
{
	struct gntalloc_config gc = { .name = "xen/gntalloc", .domid = DOMID, .limit = LIMIT };
	struct sim_config sc = { .memory_pages = 256, .grant_frames_max = 1 };
	const char *why;

	table_thread_enter();
	snprintf(dir, sizeof(dir), "/dev/shm/gntalloc-test-%d", (int)getpid());
	ck_assert_int_eq(windows_new(dir, &windows, &why), 0);
	sc.dirfd = windows_dirfd(windows);
	ck_assert_int_eq(sim_new(&sc, &sim, &why), 0);
	hv = sim_hypervisor(sim);
	gc.sim = sim;
	gc.windows = windows;
	ck_assert_int_eq(gntalloc_new(&gc, &ga), 0);
	gntalloc_set_socket(ga, "/run/gntalloc.sock");
	dev = gntalloc_device(ga);
	ck_assert_int_eq(windows_start(windows), 0);
	fh = open_device();
}

static void teardown(void)
{
	struct sim_counts n;

	gntalloc_close_all(ga);
	windows_destroy(windows);
	ck_assert_uint_eq(gntalloc_pages(ga), 0);
	gntalloc_destroy(ga);
	sim_counts(sim, &n);
	ck_assert_uint_eq(n.frames, 0);
	ck_assert_uint_eq(n.grants, 0);
	ck_assert_uint_eq(n.port_refs, 0);
	ck_assert_uint_eq(double_requests, double_answers);
	hv->ops->destroy(hv);
	table_thread_leave();
}

struct result {
	uint64_t index;
	uint32_t ref[LIMIT];
};

static int alloc_full(uint64_t open_fh, uint32_t count, uint16_t flags, enum double_mode mode,
		      struct result *r)
{
	union {
		struct ioctl_gntalloc_alloc_gref op;
		unsigned char bytes[ABI_ALLOC_GREFS_OFFSET + (LIMIT + 1) * sizeof(uint32_t)];
	} arg = { .op = { .domid = 0, .flags = flags, .count = count, .index = ~0ULL } };
	int result = double_ioctl(dev, open_fh, IOCTL_GNTALLOC_ALLOC_GREF, &arg, mode);

	r->index = arg.op.index;
	memcpy(r->ref, arg.bytes + ABI_ALLOC_GREFS_OFFSET, sizeof(r->ref));
	return result;
}

static struct result alloc(uint32_t count)
{
	struct result r;

	ck_assert_int_eq(alloc_full(fh, count, GNTALLOC_FLAG_WRITABLE, DOUBLE_DIRECT, &r), 0);
	return r;
}

static int dealloc(uint64_t index, uint32_t count)
{
	struct ioctl_gntalloc_dealloc_gref op = { .index = index, .count = count };

	return double_ioctl(dev, fh, IOCTL_GNTALLOC_DEALLOC_GREF, &op, DOUBLE_DIRECT);
}

static int notify(uint64_t index, uint32_t action, uint32_t port)
{
	struct ioctl_gntalloc_unmap_notify op = { .index = index,
						  .action = action,
						  .event_channel_port = port };

	return double_ioctl(dev, fh, IOCTL_GNTALLOC_SET_UNMAP_NOTIFY, &op, DOUBLE_DIRECT);
}

static uint64_t frames(void)
{
	struct sim_counts n;

	sim_counts(sim, &n);
	return n.frames;
}

/* The end of a window comes from another thread. */
static bool frames_become(uint64_t n)
{
	for (int i = 0; i < 2000; i++) {
		if (frames() == n)
			return true;
		usleep(1000);
	}
	return false;
}

static struct hv_grant granted(uint32_t ref)
{
	return (struct hv_grant){ .domid = DOMID, .ref = ref, .status = HV_PENDING };
}

static int16_t map_grant(struct hv_grant *g, bool readonly)
{
	struct hv_place at = { .readonly = readonly };

	ck_assert_int_eq(hv->ops->map(hv, g, 1, &at), 0);
	return g->status;
}

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

/* --- mmap --------------------------------------------------------------------------------------------- */

static void expect_refusal(uint64_t index, unsigned int pages, int prot, int flags, int error)
{
	ck_assert_ptr_eq(map(index, pages, prot, flags), MAP_FAILED);
	ck_assert_int_eq(errno, error);
}

START_TEST(mmap_checks)
{
	struct window_token t = token_of(fh);

	ck_assert_str_eq(t.socket, "/run/gntalloc.sock");
	alloc(4);
	expect_refusal(0, 1, PROT_READ, MAP_PRIVATE, EINVAL);
	/* Before it is asked whether there is such a page. */
	expect_refusal(9 * PAGE, 1, PROT_READ, MAP_PRIVATE, EINVAL);
	expect_refusal(9 * PAGE, 1, RW, MAP_SHARED, ENOENT);
	expect_refusal(0, 5, RW, MAP_SHARED, ENOENT);
	expect_refusal(0, LIMIT + 1, RW, MAP_SHARED, ENOENT);
	ck_assert_ptr_eq(map_as(t.open_id, t.secret, 0, 1ULL << 62, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENOENT);
	t.secret[15] ^= 1;
	ck_assert_ptr_eq(map_as(t.open_id, t.secret, 0, PAGE, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	t.secret[15] ^= 1;
	ck_assert_ptr_eq(map_as(t.open_id + 1, t.secret, 0, PAGE, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	/* The token of one open is none for another. */
	ck_assert_ptr_eq(map_as(open_device(), t.secret, 0, PAGE, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_uint_eq(windows_count(windows), 0);
}
END_TEST

START_TEST(mmap_again_and_in_parts)
{
	unsigned char *all, *part, *ro;

	alloc(2);
	alloc(2);
	all = must_map(0, 4);
	part = must_map(PAGE, 2);
	ro = map(PAGE, 1, PROT_READ, MAP_SHARED_VALIDATE);
	ck_assert_ptr_ne(ro, MAP_FAILED);
	part[0] = 'x';
	part[PAGE] = 'y';
	ck_assert_int_eq(all[PAGE], 'x');
	ck_assert_int_eq(all[2 * PAGE], 'y');
	ck_assert_int_eq(ro[0], 'x');
	/* The driver allows it. */
	ck_assert_int_eq(mprotect(ro, PAGE, RW), 0);
	ro[0] = 'z';
	ck_assert_int_eq(part[0], 'z');
	munmap(all, 4 * PAGE);
	munmap(part, 2 * PAGE);
	munmap(ro, PAGE);
}
END_TEST

START_TEST(mmap_without_window)
{
	const char *why;

	alloc(2);
	ck_assert_int_eq(sim_fault_add(sim, "window:errno=EMFILE", &why), 0);
	expect_refusal(0, 2, RW, MAP_SHARED, EMFILE);
	ck_assert_int_eq(dealloc(0, 2), 0);
	ck_assert_uint_eq(frames(), 0);
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

	table_thread_enter();
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
	table_thread_leave();
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
		mmap_checks,
		mmap_again_and_in_parts,
		mmap_without_window,
		window_outlives_dealloc_and_close,
		page_outlives_window,
		mapped_page_is_freed_later,
		notify_checks,
		notify_fires_with_the_last_user,
		notify_after_unbind,
		threads,
		bad_domain,
	};
	Suite *s = suite_create("gntalloc");
	TCase *tc = tcase_create("gntalloc");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return s;
}
