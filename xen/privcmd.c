/* SPDX-License-Identifier: MIT */
/*
 * xen/privcmd.c - hypercalls, through /dev/xen/privcmd
 */
#include "xen/privcmd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xen/sys/privcmd.h>

#define DEVICE "/dev/xen/privcmd"

#define PAGE_BYTES 4096

/**
 * struct privcmd - the device, open
 * @rdev:  its number
 * @free:  a bit for each batch that nobody has
 */
struct privcmd {
	int fd;
	dev_t rdev;
	struct journal *j;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	uint32_t free;
};

static_assert(JOURNAL_BATCHES < 32, "a bit for each batch");

long privcmd_call(int fd, unsigned long op, unsigned long a, unsigned long b, unsigned long c)
{
	struct privcmd_hypercall call = { .op = op, .arg = { a, b, c } };
	long ret = ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call);

	return ret < 0 ? -errno : ret;
}

int privcmd_open(struct journal *j, struct privcmd **out, const char **why)
{
	struct privcmd *pc = calloc(1, sizeof(*pc));
	struct stat st;
	int err;

	*why = "no memory";
	if (!pc)
		return -ENOMEM;
	*why = "cannot open " DEVICE " (load the module xen-privcmd; only root may use it)";
	pc->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (pc->fd < 0 || fstat(pc->fd, &st)) {
		err = -errno;
		if (pc->fd >= 0)
			close(pc->fd);
		free(pc);
		return err;
	}
	pc->rdev = st.st_rdev;
	pc->j = j;
	pc->free = (1U << JOURNAL_BATCHES) - 1;
	pthread_mutex_init(&pc->lock, NULL);
	pthread_cond_init(&pc->freed, NULL);
	*out = pc;
	return 0;
}

void privcmd_close(struct privcmd *pc)
{
	if (!pc)
		return;
	close(pc->fd);
	pthread_cond_destroy(&pc->freed);
	pthread_mutex_destroy(&pc->lock);
	free(pc);
}

int privcmd_fd(const struct privcmd *pc)
{
	return pc->fd;
}

struct journal_batch *privcmd_batch_get(struct privcmd *pc)
{
	unsigned int i;

	pthread_mutex_lock(&pc->lock);
	while (!pc->free)
		pthread_cond_wait(&pc->freed, &pc->lock);
	i = (unsigned int)__builtin_ctz(pc->free);
	pc->free &= ~(1U << i);
	pthread_mutex_unlock(&pc->lock);
	return &pc->j->batch[i];
}

void privcmd_batch_put(struct privcmd *pc, struct journal_batch *b)
{
	pthread_mutex_lock(&pc->lock);
	pc->free |= 1U << (b - pc->j->batch);
	pthread_cond_signal(&pc->freed);
	pthread_mutex_unlock(&pc->lock);
}

int privcmd_grant(struct privcmd *pc, unsigned int cmd, struct journal_batch *b, size_t n)
{
	long ret = privcmd_call(pc->fd, __HYPERVISOR_grant_table_op, cmd, (uintptr_t)b->map, n);

	return ret < 0 ? (int)ret : 0;
}

long privcmd_give_back(struct privcmd *pc, struct journal_batch *b, size_t n)
{
	struct xen_memory_reservation *r = &b->memory.reservation;
	long ret;

	memset(r, 0, sizeof(*r));
	set_xen_guest_handle(r->extent_start, b->memory.pfn);
	r->nr_extents = n;
	r->domid = DOMID_SELF;
	ret = privcmd_call(pc->fd, __HYPERVISOR_memory_op, XENMEM_decrease_reservation,
			   (uintptr_t)r, 0);
	return ret > (long)n ? -EIO : ret;
}

int privcmd_event(struct privcmd *pc, unsigned int cmd, struct journal_batch *b)
{
	long ret = privcmd_call(pc->fd, __HYPERVISOR_event_channel_op, cmd, (uintptr_t)&b->send, 0);

	return ret < 0 ? (int)ret : 0;
}

int privcmd_hypfs(struct privcmd *pc, struct journal_batch *b, const char *path)
{
	struct privcmd_hypercall call = {
		.op = __HYPERVISOR_hypfs_op,
		.arg = { XEN_HYPFS_OP_read, (uintptr_t)b->hypfs.path, strlen(path) + 1,
			 (uintptr_t)&b->hypfs.entry,
			 sizeof(b->hypfs) - offsetof(typeof(b->hypfs), entry) },
	};

	if (call.arg[2] > sizeof(b->hypfs.path))
		return -ENAMETOOLONG;
	memset(&b->hypfs, 0, sizeof(b->hypfs));
	memcpy(b->hypfs.path, path, call.arg[2]);
	return ioctl(pc->fd, IOCTL_PRIVCMD_HYPERCALL, &call) < 0 ? -errno : 0;
}

const volatile void *privcmd_table(struct privcmd *pc, uint16_t domid, uint32_t frame)
{
	void *at = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, pc->fd, 0);
	struct privcmd_mmap_resource r = {
		.dom = domid,
		.type = XENMEM_resource_grant_table,
		.id = XENMEM_resource_grant_table_id_shared,
		.idx = frame,
		.num = 1,
		.addr = (uintptr_t)at,
	};
	int err;

	if (at == MAP_FAILED)
		return NULL;
	if (ioctl(pc->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &r) == 0)
		return at;
	err = errno;
	munmap(at, PAGE_BYTES);
	errno = err;
	return NULL;
}

void privcmd_table_put(const volatile void *table)
{
	munmap((void *)(uintptr_t)table, PAGE_BYTES);
}

int privcmd_node(struct privcmd *pc, int dirfd, const char *name, bool readonly, uint16_t domid)
{
	domid_t only = domid;
	int fd, err = 0;

	if (mknodat(dirfd, name, S_IFCHR | 0600, pc->rdev))
		return -errno;
	fd = openat(dirfd, name, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &only))
		err = -errno;
	unlinkat(dirfd, name, 0);
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}
