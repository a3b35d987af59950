/* SPDX-License-Identifier: MIT */
/*
 * device/test_ioctl.c - every ioctl of xen/gntdev, every row of docs/gntdev-abi.md that needs no process of its
 * own, in both ways of reaching the caller's memory
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/rig.h"

/* The two ways; tests that loop over them get the mode as _i. */
#define in_both_modes(tc, test) tcase_add_loop_test(tc, test, DOUBLE_DIRECT, DOUBLE_RETRY + 1)

static int ioctl_mode(uint32_t cmd, const void *arg, int mode)
{
	return double_ioctl(&rig.gd.dev, rig.fh, cmd, arg, (enum double_mode)mode);
}

static struct ioctl_gntdev_map_grant_ref *map_arg(uint32_t count, size_t room)
{
	struct ioctl_gntdev_map_grant_ref *op = calloc(1, sizeof(*op) + room * 8);

	op->count = count;
	for (size_t i = 0; i < room; i++)
		op->refs[i] = (struct ioctl_gntdev_grant_ref){ RIG_GRANTER, (uint32_t)i + 8 };
	return op;
}

/* An argument of @len bytes that ends right before memory that cannot be read. */
static void *at_edge(const void *content, size_t len, size_t more)
{
	unsigned char *p = mmap(NULL, 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(mprotect(p, 4096, PROT_READ | PROT_WRITE), 0);
	p += 4096 - len;
	memcpy(p, content, len - more);
	return p;
}

START_TEST(map_writes_header_back)
{
	struct ioctl_gntdev_map_grant_ref op = {
		.count = 1, .pad = 0x1234, .index = ~0ULL, .refs = { { 7, 99 } }
	};

	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, &op, _i), 0);
	ck_assert_uint_eq(op.index, 0);
	ck_assert_uint_eq(op.count, 1);
	ck_assert_uint_eq(op.pad, 0x1234);
	ck_assert_uint_eq(op.refs[0].domid, 7);
	ck_assert_uint_eq(op.refs[0].ref, 99);
	op.index = 77;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, &op, _i), 0);
	ck_assert_uint_eq(op.index, 4096);
	/* Nothing is mapped by it. */
	ck_assert_uint_eq(rig_handles(), 0);
}
END_TEST

START_TEST(map_count_is_checked)
{
	struct ioctl_gntdev_map_grant_ref *op = map_arg(0, 1);

	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, _i), -EINVAL);
	op->count = GNTDEV_LIMIT_DEFAULT + 1;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, _i), -EINVAL);
	op->count = UINT32_MAX;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, _i), -EINVAL);
	free(op);
}
END_TEST

START_TEST(map_faults_in_order)
{
	struct ioctl_gntdev_map_grant_ref *op = map_arg(0, 2);
	struct ioctl_gntdev_map_grant_ref *edge;

	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, NULL, _i), -EFAULT);
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, (void *)~0xfffUL, _i), -EFAULT);
	/* 23 of 24 bytes: the header does not depend on count. */
	edge = at_edge(op, 23, 0);
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, edge, _i), -EFAULT);
	/* A bad tail pointer: with count 0 EINVAL, with count 2 EFAULT. */
	edge = at_edge(op, 24, 0);
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, edge, _i), -EINVAL);
	edge->count = 2;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, edge, _i), -EFAULT);
	/* Nothing was kept. */
	edge->count = 1;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, edge, _i), 0);
	ck_assert_uint_eq(edge->index, 0);
	free(op);
}
END_TEST

START_TEST(map_header_not_writable)
{
	struct ioctl_gntdev_map_grant_ref *op = map_arg(1, 1);
	void *page = rig_readonly_page(op, sizeof(*op));

	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, page, _i), -EFAULT);
	ck_assert_int_eq(memcmp(page, op, sizeof(*op)), 0);
	/*
	 * The slot is removed again, so the next is at 0. Where the kernel copies, it does so
	 * after the answer: the slot stays until close (README, limits).
	 */
	ck_assert_uint_eq(rig_map(rig.fh, 9), _i == DOUBLE_DIRECT ? 0 : 4096);
	free(op);
}
END_TEST

/* As root, for whom the policy has no limits, whoever runs this. */
static void open_as_root(void)
{
	const struct opener by = { .tid = gettid() };

	rig_close(rig.fh);
	ck_assert_int_eq(rig.gd.dev.open(&rig.gd.dev, &by, O_RDWR, &rig.fh), 0);
}

START_TEST(map_largest)
{
	const uint32_t n = GNTDEV_LIMIT_DEFAULT;
	struct ioctl_gntdev_map_grant_ref *op = map_arg(n, n);
	struct double_result r;

	open_as_root();
	r = double_ioctl_full(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_MAP_GRANT_REF, (uintptr_t)op,
			      DOUBLE_DIRECT, false);
	ck_assert_int_eq(r.result, 0);
	ck_assert_uint_eq(r.trips, 1);
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, DOUBLE_DIRECT), 0);
	ck_assert_uint_eq(op->index, (uint64_t)n << 12);
	/* More than the kernel copies: refused, not cut. 16,382 refs are what it can. */
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, DOUBLE_RETRY), -ENOMEM);
	op->count = 16382;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, DOUBLE_RETRY), 0);
	op->count = 16383;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, DOUBLE_RETRY), -ENOMEM);
	free(op);
}
END_TEST

/* The limit is a number of the moment: a lower one acts on the next call. */
START_TEST(map_limit)
{
	struct ioctl_gntdev_map_grant_ref *op = map_arg(3, 3);

	rig.gd.limit = 2;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, _i), -EINVAL);
	op->count = 2;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, _i), 0);
	free(op);
}
END_TEST

/* Past 2 GiB of grants the driver's index turns negative; ours goes on. */
START_TEST(map_past_2_gib)
{
	const uint32_t n = GNTDEV_LIMIT_DEFAULT;
	struct ioctl_gntdev_map_grant_ref *op = map_arg(n, n);

	open_as_root();
	for (uint64_t i = 0; i < 10; i++) {
		ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, op, DOUBLE_DIRECT), 0);
		ck_assert_uint_eq(op->index, i * n << 12);
	}
	ck_assert_int_eq(rig_unmap(rig.fh, op->index, n), 0);
	/* An index of 2^44 more is another index. */
	ck_assert_int_eq(rig_unmap(rig.fh, 1ULL << 44, n), -ENOENT);
	free(op);
}
END_TEST

START_TEST(round_trips)
{
	struct ioctl_gntdev_map_grant_ref *op = map_arg(5, 5);
	struct ioctl_gntdev_unmap_grant_ref un = { .count = 5 };
	static const unsigned int trips[] = { 1, 3 };
	struct double_result r;

	r = double_ioctl_full(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_MAP_GRANT_REF, (uintptr_t)op,
			      (enum double_mode)_i, false);
	ck_assert_int_eq(r.result, 0);
	ck_assert_uint_eq(r.trips, trips[_i]);
	r = double_ioctl_full(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_UNMAP_GRANT_REF, (uintptr_t)&un,
			      (enum double_mode)_i, false);
	ck_assert_int_eq(r.result, 0);
	ck_assert_uint_eq(r.trips, _i == DOUBLE_DIRECT ? 1 : 2);
	free(op);
}
END_TEST

START_TEST(unmap_rows)
{
	uint64_t a = rig_map(rig.fh, 8), b;
	uint32_t refs[3] = { 8, 9, 10 };

	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_UNMAP_GRANT_REF, NULL, _i), -EFAULT);
	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 3, &b), 0);
	ck_assert_int_eq(rig_unmap(rig.fh, b + 4096, 1), -ENOENT);
	ck_assert_int_eq(rig_unmap(rig.fh, b, 2), -ENOENT);
	ck_assert_int_eq(rig_unmap(rig.fh, b, 4), -ENOENT);
	ck_assert_int_eq(rig_unmap(rig.fh, ~0ULL, 0), -ENOENT);
	/* The low 12 bits are ignored, count 0 matches any count. */
	ck_assert_int_eq(rig_unmap(rig.fh, b + 4095, 0), 0);
	ck_assert_int_eq(rig_unmap(rig.fh, b, 3), -ENOENT);
	ck_assert_int_eq(rig_unmap(rig.fh, a, 1), 0);
	ck_assert_uint_eq(rig_map(rig.fh, 8), 0);
}
END_TEST

START_TEST(opens_are_apart)
{
	uint64_t other = rig_open();

	ck_assert_uint_eq(rig_map(rig.fh, 8), 0);
	ck_assert_int_eq(rig_unmap(other, 0, 1), -ENOENT);
	ck_assert_uint_eq(rig_map(other, 8), 0);
	rig_close(other);
	/* A stale handle finds nothing. */
	ck_assert_int_eq(rig_unmap(other, 0, 1), -ENOENT);
	ck_assert_int_eq(rig_unmap(rig.fh, 0, 1), 0);
}
END_TEST

START_TEST(offset_of_nothing)
{
	struct ioctl_gntdev_get_offset_for_vaddr op = { .vaddr = (uintptr_t)&rig, .offset = 5 };

	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, NULL, _i), -EFAULT);
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op, _i), -EINVAL);
	op.vaddr = ~0ULL;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op, _i), -EINVAL);
	ck_assert_uint_eq(op.offset, 5);
}
END_TEST

START_TEST(offset_of_mapping)
{
	uint32_t refs[2] = { rig_grant(false), rig_grant(false) };
	struct ioctl_gntdev_get_offset_for_vaddr op = { 0 };
	uint64_t index;
	char *p;

	rig_map(rig.fh, refs[0]);
	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 2, &index), 0);
	p = rig_mmap(rig.fh, index, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	op.vaddr = (uintptr_t)p + 5000;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op, DOUBLE_DIRECT), 0);
	ck_assert_uint_eq(op.offset, index);
	ck_assert_uint_eq(op.count, 2);
	/* Through any descriptor, and after UNMAP. */
	ck_assert_int_eq(rig_unmap(rig.fh, index, 2), 0);
	op.offset = op.count = 0;
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, rig_open(), IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR,
				      &op, DOUBLE_DIRECT),
			 0);
	ck_assert_uint_eq(op.offset, index);
	ck_assert_uint_eq(op.count, 2);
	/* The result must be writable. */
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR,
				    rig_readonly_page(&op, sizeof(op)), DOUBLE_DIRECT),
			 -EFAULT);
	munmap(p, 8192);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

/* GET_OFFSET_FOR_VADDR as thread @tid (0: us). Return: its result. */
static int offset_at(uint64_t fh, const char *at, pid_t tid,
		     struct ioctl_gntdev_get_offset_for_vaddr *op)
{
	int result;

	memset(op, 0, sizeof(*op));
	op->vaddr = (uintptr_t)at;
	double_tid = tid;
	result =
		double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, op, DOUBLE_DIRECT);
	double_tid = 0;
	return result;
}

static void assert_offset(uint64_t fh, const char *at, uint64_t index, uint32_t count)
{
	struct ioctl_gntdev_get_offset_for_vaddr op;

	ck_assert_int_eq(offset_at(fh, at, 0, &op), 0);
	ck_assert_uint_eq(op.offset, index);
	ck_assert_uint_eq(op.count, count);
}

static char *mapped(uint32_t count, uint64_t *index)
{
	uint32_t refs[4];
	char *p;

	for (uint32_t i = 0; i < count; i++)
		refs[i] = rig_grant(false);
	ck_assert_int_eq(rig_map_refs(rig.fh, refs, count, index), 0);
	p = rig_mmap(rig.fh, *index, count * 4096, PROT_READ, MAP_SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* The last mapping of this open is found at once, any other one, or a part, or none, as ever. */
START_TEST(offset_of_any_mapping)
{
	struct ioctl_gntdev_get_offset_for_vaddr op;
	uint64_t two, three, one;
	char *p = mapped(2, &two), *q, *r;

	assert_offset(rig.fh, p, two, 2);
	assert_offset(rig.fh, p + 4096, two, 2);
	q = mapped(3, &three);
	assert_offset(rig.fh, q, three, 3);
	assert_offset(rig.fh, p, two, 2);
	r = mapped(1, &one);
	assert_offset(rig.fh, r, one, 1);
	assert_offset(rig.fh, p, two, 2);
	assert_offset(rig.fh, q + 8192, three, 3);
	/* Through one that has never mapped. */
	assert_offset(rig_open(), q, three, 3);
	/* What is left where one page was taken away: that is not a window of one page. */
	munmap(q + 4096, 4096);
	assert_offset(rig.fh, q, three, 3);
	assert_offset(rig.fh, q + 8192, three, 3);
	munmap(q, 3 * 4096);
	munmap(p, 2 * 4096);
	munmap(r, 4096);
	ck_assert_int_eq(offset_at(rig.fh, r, 0, &op), -EINVAL);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

START_TEST(offset_of_a_moved_mapping)
{
	struct ioctl_gntdev_get_offset_for_vaddr op;
	uint64_t index;
	char *p = mapped(2, &index), *q;

	q = mmap(NULL, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_eq(mremap(p, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, q + 8192), q + 8192);
	assert_offset(rig.fh, q + 8192, index, 2);
	/* In front of it there is something else. */
	ck_assert_int_eq(offset_at(rig.fh, q, 0, &op), -EINVAL);
	munmap(q, 4 * 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

/* It is the caller's mapping that counts: here a child's, which has kept what we have not. */
START_TEST(offset_in_another_process)
{
	struct ioctl_gntdev_get_offset_for_vaddr *op =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t index, other;
	char *p = mapped(2, &index), *q = mapped(1, &other);
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (!child)
		for (;;)
			pause();
	munmap(p, 8192);
	munmap(q, 4096);
	ck_assert_int_eq(offset_at(rig.fh, q, 0, op), -EINVAL);
	ck_assert_int_eq(offset_at(rig.fh, q, child, op), 0);
	ck_assert_uint_eq(op->offset, other);
	ck_assert_uint_eq(op->count, 1);
	ck_assert_int_eq(offset_at(rig.fh, p, child, op), 0);
	ck_assert_uint_eq(op->offset, index);
	ck_assert_uint_eq(op->count, 2);
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	munmap(op, 4096);
}
END_TEST

START_TEST(window_by_ioctl)
{
	struct window_mmap wm = { .pid = (uint32_t)getpid(), .sock = STDIN_FILENO };
	uint64_t index;
	uint32_t refs[2] = { rig_grant(false), rig_grant(false) };
	char *p;

	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 2, &index), 0);
	p = rig_mmap_by_ioctl(rig.fh, index, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	p[4096] = 'x';
	ck_assert_int_eq(rig.frame[1][0], 'x');
	assert_offset(rig.fh, p, index, 2);
	/* The map is that of the open that was asked. */
	ck_assert_ptr_eq(rig_mmap_by_ioctl(rig_open(), index, 8192, PROT_READ, MAP_SHARED),
			 MAP_FAILED);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, 4711, WINDOW_MMAP, &wm, DOUBLE_DIRECT), -EBADF);
	ck_assert_int_eq(ioctl_mode(WINDOW_MMAP, &wm, DOUBLE_RETRY), -EOPNOTSUPP);
	ck_assert_int_eq(ioctl_mode(WINDOW_MMAP, &wm, DOUBLE_DIRECT), -ENOTTY);
	munmap(p, 8192);
	ck_assert_int_ge(rig_wait_handles(0), 0);
}
END_TEST

START_TEST(notify_rows)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	struct ioctl_gntdev_unmap_notify op = { .index = index };

	ck_assert_int_eq(sim_port_bind(rig.sim, 0, 5, RIG_GRANTER, NULL, NULL), 0);
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_SET_UNMAP_NOTIFY, NULL, _i), -EFAULT);
	op.action = 4;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op, _i), -EINVAL);
	/* A bad port comes before an unknown index. */
	ck_assert_int_eq(rig_notify(rig.fh, 1ULL << 30, UNMAP_NOTIFY_SEND_EVENT, 6), -EINVAL);
	ck_assert_int_eq(rig_notify(rig.fh, 1ULL << 30, UNMAP_NOTIFY_SEND_EVENT, 5), -ENOENT);
	ck_assert_int_eq(rig_notify(rig.fh, index + 4096, UNMAP_NOTIFY_CLEAR_BYTE, 0), -ENOENT);
	/* The port is ignored without bit 2, the last byte is one of the map's. */
	op = (struct ioctl_gntdev_unmap_notify){ index + 4095, UNMAP_NOTIFY_CLEAR_BYTE, ~0U };
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op, _i), 0);
	ck_assert_int_eq(rig_notify(rig.fh, index, UNMAP_NOTIFY_SEND_EVENT, 5), 0);
	/* Replaced: the reference on the port goes. */
	ck_assert_int_eq(rig_notify(rig.fh, index, 0, 5), 0);
	ck_assert_int_eq(sim_port_unbind(rig.sim, 0, 5), 0);
	ck_assert_int_eq(rig_notify(rig.fh, index, UNMAP_NOTIFY_SEND_EVENT, 5), -EINVAL);
}
END_TEST

static struct hypervisor_ops spying_ops;
static const struct hypervisor_ops *spied_ops;
static pid_t port_owner;
static uint64_t gone;

static int spying_port_get(struct hypervisor *hv, uint32_t port, pid_t tid)
{
	port_owner = tid;
	return spied_ops->port_get(hv, port, tid);
}

static void spying_open_gone(struct hypervisor *hv, uint64_t open_id)
{
	gone = open_id;
	spied_ops->open_gone(hv, open_id);
}

static void spy(void)
{
	spied_ops = rig.gd.hv->ops;
	spying_ops = *spied_ops;
	spying_ops.port_get = spying_port_get;
	spying_ops.open_gone = spying_open_gone;
	rig.gd.hv->ops = &spying_ops;
}

/* The hypervisor looks at the descriptors of root's processes alone. */
START_TEST(whose_port)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));

	spy();
	ck_assert_int_eq(sim_port_bind(rig.sim, 0, 5, RIG_GRANTER, NULL, NULL), 0);
	ck_assert_int_eq(rig_notify(rig.fh, index, UNMAP_NOTIFY_SEND_EVENT, 5), 0);
	ck_assert_int_eq(port_owner, gettid());
	double_uid = 65534;
	ck_assert_int_eq(rig_notify(rig.fh, index, UNMAP_NOTIFY_SEND_EVENT, 5), 0);
	ck_assert_int_eq(port_owner, 0);
	double_uid = 0;
	rig.gd.hv->ops = spied_ops;
}
END_TEST

START_TEST(hypervisor_hears_of_the_end)
{
	uint64_t fh = rig_open();

	spy();
	rig_close(fh);
	ck_assert_uint_eq(gone, fh);
	rig.gd.hv->ops = spied_ops;
}
END_TEST

START_TEST(event_of_a_map_never_mmapped)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false)), sent;

	ck_assert_int_eq(sim_port_bind(rig.sim, 0, 5, RIG_GRANTER, NULL, NULL), 0);
	rig.frame[0][0] = 1;
	ck_assert_int_eq(rig_notify(rig.fh, index, 3, 5), 0);
	ck_assert_int_eq(sim_port_sent(rig.sim, 0, 5, &sent), 0);
	ck_assert_uint_eq(sent, 0);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	/* Sent once; the byte is left alone. */
	ck_assert_int_eq(sim_port_sent(rig.sim, 0, 5, &sent), 0);
	ck_assert_uint_eq(sent, 1);
	ck_assert_uint_eq(rig.frame[0][0], 1);
	index = rig_map(rig.fh, 8);
	ck_assert_int_eq(rig_notify(rig.fh, index, UNMAP_NOTIFY_SEND_EVENT, 5), 0);
	rig_close(rig.fh);
	ck_assert_int_eq(sim_port_sent(rig.sim, 0, 5, &sent), 0);
	ck_assert_uint_eq(sent, 2);
}
END_TEST

START_TEST(not_implemented)
{
	static const uint32_t cmds[] = {
		IOCTL_GNTDEV_SET_MAX_GRANTS,
		IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS,
		IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED,
		IOCTL_GNTDEV_DMABUF_IMP_TO_REFS,
		IOCTL_GNTDEV_DMABUF_IMP_RELEASE,
		0x00084708, /* GRANT_COPY of i386 */
		0x00184740, /* a number that is none */
		0x00204700, /* MAP_GRANT_REF of another size */
		0xc0184700, /* and with direction bits */
		0x5401,	    /* TCGETS */
		0,
	};

	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		ck_assert_int_eq(ioctl_mode(cmds[i], NULL, _i), -ENOTTY);
		ck_assert_int_eq(ioctl_mode(cmds[i], &rig, _i), -ENOTTY);
	}
}
END_TEST

/* The driver has no compat_ioctl: a 32-bit process gets ENOTTY for everything. */
START_TEST(compat)
{
	static const uint32_t cmds[] = {
		IOCTL_GNTDEV_MAP_GRANT_REF,
		IOCTL_GNTDEV_UNMAP_GRANT_REF,
		IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR,
		IOCTL_GNTDEV_SET_UNMAP_NOTIFY,
		IOCTL_GNTDEV_GRANT_COPY,
		WINDOW_TOKEN,
		WINDOW_MMAP,
	};
	struct double_result r;

	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		r = double_ioctl_full(&rig.gd.dev, rig.fh, cmds[i], 0, (enum double_mode)_i, true);
		ck_assert_int_eq(r.result, -ENOTTY);
		ck_assert_uint_eq(r.trips, 1);
	}
}
END_TEST

START_TEST(token)
{
	struct window_token t = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	struct window_token u = t, bad = t;

	ck_assert_int_eq(ioctl_mode(WINDOW_TOKEN, NULL, _i), -EFAULT);
	ck_assert_int_eq(ioctl_mode(WINDOW_TOKEN, &t, _i), 0);
	ck_assert_uint_eq(t.open_id, rig.fh);
	ck_assert_str_eq(t.socket, RIG_SOCKET);
	ck_assert_uint_eq(t.flags, _i == DOUBLE_DIRECT ? 0 : WINDOW_TELL_VADDR);
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, rig_open(), WINDOW_TOKEN, &u, DOUBLE_DIRECT), 0);
	ck_assert_int_ne(memcmp(t.secret, u.secret, sizeof(t.secret)), 0);
	bad.magic++;
	ck_assert_int_eq(ioctl_mode(WINDOW_TOKEN, &bad, _i), -ENOTTY);
	bad.magic--;
	bad.version++;
	ck_assert_int_eq(ioctl_mode(WINDOW_TOKEN, &bad, _i), -ENOTTY);
	for (size_t i = 0; i < sizeof(bad.secret); i++)
		ck_assert_uint_eq(bad.secret[i], 0);
}
END_TEST

/* The connection was aborted while we had the request: nothing may be written any more. */
START_TEST(no_write_after_abort)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1, .index = 4711 };

	double_aborted = true;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, &op, DOUBLE_DIRECT), -EFAULT);
	ck_assert_uint_eq(op.index, 4711);
	double_aborted = false;
	ck_assert_uint_eq(rig_map(rig.fh, 8), 0);
}
END_TEST

/* As another thread of the client can, which has guessed the index. */
static void unmap_and_map_again(void)
{
	ck_assert_int_eq(rig_unmap(rig.fh, 0, 1), 0);
	ck_assert_uint_eq(rig_map(rig.fh, 9), 0);
	double_aborted = true;
}

/* The map that nobody was told of is gone already: the one that has its place now stays. */
START_TEST(undone_by_another)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1 };

	double_before_write = unmap_and_map_again;
	ck_assert_int_eq(ioctl_mode(IOCTL_GNTDEV_MAP_GRANT_REF, &op, DOUBLE_DIRECT), -EFAULT);
	double_aborted = false;
	ck_assert_int_eq(rig_unmap(rig.fh, 0, 1), 0);
}
END_TEST

/* A caller that may not be touched (here: one that has gone) is served by the kernel's copying. */
START_TEST(falls_back_to_retry)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1, .index = 4711 };
	struct double_result r;

	double_no_access = true;
	r = double_ioctl_full(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_MAP_GRANT_REF, (uintptr_t)&op,
			      DOUBLE_DIRECT, false);
	double_no_access = false;
	ck_assert_int_eq(r.result, 0);
	ck_assert_uint_eq(r.trips, 2);
	ck_assert_uint_eq(op.index, 0);
}
END_TEST

Suite *ioctl_suite(void);

Suite *ioctl_suite(void)
{
	Suite *s = suite_create("ioctl");
	TCase *tc = tcase_create("gntdev");

	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	in_both_modes(tc, map_writes_header_back);
	in_both_modes(tc, map_count_is_checked);
	in_both_modes(tc, map_faults_in_order);
	in_both_modes(tc, map_header_not_writable);
	tcase_add_test(tc, map_largest);
	in_both_modes(tc, map_limit);
	tcase_add_test(tc, map_past_2_gib);
	in_both_modes(tc, round_trips);
	in_both_modes(tc, unmap_rows);
	tcase_add_test(tc, opens_are_apart);
	in_both_modes(tc, offset_of_nothing);
	tcase_add_test(tc, offset_of_mapping);
	tcase_add_test(tc, offset_of_any_mapping);
	tcase_add_test(tc, offset_of_a_moved_mapping);
	tcase_add_test(tc, offset_in_another_process);
	tcase_add_test(tc, window_by_ioctl);
	in_both_modes(tc, notify_rows);
	tcase_add_test(tc, event_of_a_map_never_mmapped);
	in_both_modes(tc, not_implemented);
	in_both_modes(tc, compat);
	in_both_modes(tc, token);
	tcase_add_test(tc, no_write_after_abort);
	tcase_add_test(tc, undone_by_another);
	tcase_add_test(tc, whose_port);
	tcase_add_test(tc, hypervisor_hears_of_the_end);
	tcase_add_test(tc, falls_back_to_retry);
	suite_add_tcase(s, tc);
	return s;
}
