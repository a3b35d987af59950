/* SPDX-License-Identifier: MIT */
/*
 * abi.c - a client that walks through the driver's behaviour on a real device
 *
 *     abi [retry]
 *
 * An ordinary program on the kernel's headers, no header of ours: pages are granted through
 * /dev/xen/gntalloc (libxengnttab's other half) and mapped through /dev/xen/gntdev. Each row of the
 * errno tables that needs no real Xen is one line of TAP. With "retry" it knows that the daemon
 * cannot see this process, so that rows which then differ (README, limits) are expected to.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xengnttab.h>
#include <xen/sys/gntdev.h>

#define DEVICE "/dev/xen/gntdev"
#define PAGE   4096UL
#define RW     (PROT_READ | PROT_WRITE)
#define GRANTS 16

static bool retry;
static int fd;
static xengntshr_handle *gs;
static uint32_t ref[GRANTS], ro_ref;
static char *granted, *ro_granted;
static const uint32_t granter = 1;

static void row(const char *name, bool good)
{
	if (good)
		printf("ok abi: %s\n", name);
	else
		printf("not ok abi: %s - errno %d (%s)\n", name, errno, strerror(errno));
}

/* The result of a system call as the tables have it: 0, or an errno. */
#define RESULT(call) ((call) == -1 ? errno : 0)
#define ROW(name, expected, call)                                                            \
	do {                                                                                 \
		int got_ = RESULT(call);                                                     \
		if (got_ == (expected))                                                      \
			printf("ok abi: %s\n", name);                                        \
		else                                                                         \
			printf("not ok abi: %s - errno %d, not %d\n", name, got_, expected); \
	} while (0)

static int map_refs(int f, const uint32_t *r, uint32_t n, uint64_t *index)
{
	char buf[sizeof(struct ioctl_gntdev_map_grant_ref) + GRANTS * 8];
	struct ioctl_gntdev_map_grant_ref *op = (void *)buf;
	int err;

	memset(buf, 0xff, sizeof(buf));
	op->count = n;
	for (uint32_t i = 0; i < n; i++)
		op->refs[i] = (struct ioctl_gntdev_grant_ref){ granter, r[i] };
	err = ioctl(f, IOCTL_GNTDEV_MAP_GRANT_REF, op);
	*index = op->index;
	return err;
}

static uint64_t map_one(int f, uint32_t r)
{
	uint64_t index = ~0ULL;

	if (map_refs(f, &r, 1, &index))
		perror("abi: MAP_GRANT_REF");
	return index;
}

static int unmap(int f, uint64_t index, uint32_t count)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = count, .pad = ~0U };

	return ioctl(f, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op);
}

static int notify(int f, uint64_t index, uint32_t action, uint32_t port)
{
	struct ioctl_gntdev_unmap_notify op = { index, action, port };

	return ioctl(f, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op);
}

static int get_offset(int f, const void *vaddr, uint64_t *offset, uint32_t *count)
{
	struct ioctl_gntdev_get_offset_for_vaddr op = { .vaddr = (uintptr_t)vaddr };
	int err = ioctl(f, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op);

	*offset = op.offset;
	*count = op.count;
	return err;
}

/* mmap, as a result. */
static int try_mmap(int f, uint64_t index, size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags, f, (off_t)index);

	if (p == MAP_FAILED)
		return -1;
	munmap(p, len);
	return 0;
}

/* Whether a byte becomes 0 within 100 ms: a clear-byte notification has fired. */
static bool cleared(volatile char *byte)
{
	for (int i = 0; i < 100 && *byte; i++)
		usleep(1000);
	return !*byte;
}

static void *map_page(uint32_t r, int prot, uint64_t *index)
{
	*index = map_one(fd, r);
	return mmap(NULL, PAGE, prot, MAP_SHARED, fd, (off_t)*index);
}

static void device(void)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	char c = 0;
	int n;

	ROW("read EINVAL", EINVAL, read(fd, &c, 1));
	ROW("write EINVAL", EINVAL, write(fd, &c, 1));
	row("poll ready", poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLOUT));
	ROW("FIONREAD ENOTTY", ENOTTY, ioctl(fd, FIONREAD, &n));
	ROW("SET_MAX_GRANTS ENOTTY", ENOTTY, ioctl(fd, IOCTL_GNTDEV_SET_MAX_GRANTS, NULL));
	ROW("DMABUF_EXP_FROM_REFS ENOTTY", ENOTTY,
	    ioctl(fd, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, NULL));
	ROW("unknown ENOTTY", ENOTTY, ioctl(fd, 0x4799, NULL));
	ROW("other size ENOTTY", ENOTTY, ioctl(fd, 0x00204700, NULL));
}

static void map_rows(void)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 0 };
	size_t huge = sizeof(op) + 65536 * sizeof(op.refs[0]);
	struct ioctl_gntdev_map_grant_ref *big = calloc(1, huge);
	char *edge = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t index;

	munmap(edge + PAGE, PAGE);
	ROW("MAP NULL EFAULT", EFAULT, ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, NULL));
	ROW("MAP count 0 EINVAL", EINVAL, ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &op));
	op.count = 65537;
	ROW("MAP count 65537 EINVAL", EINVAL, ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &op));
	memset(edge, 0, PAGE);
	ROW("MAP bad tail, count 0 EINVAL", EINVAL,
	    ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, edge + PAGE - 24));
	edge[PAGE - 24] = 2;
	ROW("MAP bad tail, count 2 EFAULT", EFAULT,
	    ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, edge + PAGE - 24));
	row("MAP first index 0", map_one(fd, ref[0]) == 0);
	row("MAP second index 4096", map_one(fd, ref[0]) == PAGE);
	ROW("MAP three", 0, map_refs(fd, ref, 3, &index));
	ROW("UNMAP exact", 0, unmap(fd, 0, 1));
	row("MAP reuses a hole", map_one(fd, ref[0]) == 0);
	unmap(fd, 0, 1);
	unmap(fd, PAGE, 1);
	unmap(fd, index, 3);
	row("MAP index 0 after all", map_one(fd, ref[0]) == 0);
	unmap(fd, 0, 1);
	big->count = 65536;
	ROW("MAP 65536 refs", retry ? ENOMEM : 0, ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, big));
	if (!retry)
		ROW("UNMAP 65536 refs", 0, unmap(fd, big->index, 65536));
	big->count = 16382;
	ROW("MAP 16382 refs", 0, ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, big));
	unmap(fd, big->index, 0);
	op.count = 1;
	memcpy(edge, &op, sizeof(op));
	mprotect(edge, PAGE, PROT_READ);
	ROW("MAP header not writable EFAULT", EFAULT, ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, edge));
	index = map_one(fd, ref[0]);
	row("MAP slot removed again", index == (retry ? PAGE : 0));
	unmap(fd, index, 0);
	unmap(fd, 0, 0);
	munmap(edge, PAGE);
	free(big);
}

static void mmap_core_rows(void)
{
	uint64_t index = map_one(fd, ref[0]);
	int rd = open(DEVICE, O_RDONLY), wr = open(DEVICE, O_WRONLY);
	uint64_t ri = map_one(rd, ref[1]);

	ROW("mmap unaligned EINVAL", EINVAL, try_mmap(fd, index + 1, PAGE, RW, MAP_SHARED));
	ROW("mmap length 0 EINVAL", EINVAL, try_mmap(fd, index, 0, RW, MAP_SHARED));
	ROW("mmap RW of O_RDONLY EACCES", EACCES, try_mmap(rd, ri, PAGE, RW, MAP_SHARED));
	ROW("mmap R of O_RDONLY", 0, try_mmap(rd, ri, PAGE, PROT_READ, MAP_SHARED));
	ROW("mmap of O_WRONLY EACCES", EACCES, try_mmap(wr, 0, PAGE, RW, MAP_SHARED));
	ROW("mmap private RW EINVAL", EINVAL, try_mmap(fd, index, PAGE, RW, MAP_PRIVATE));
	ROW("mmap private RW of nothing EINVAL", EINVAL,
	    try_mmap(fd, 1 << 30, PAGE, RW, MAP_PRIVATE));
	ROW("mmap of nothing EINVAL", EINVAL, try_mmap(fd, 1 << 30, PAGE, RW, MAP_SHARED));
	ROW("mmap too long EINVAL", EINVAL, try_mmap(fd, index, 2 * PAGE, RW, MAP_SHARED));
	ROW("mmap length rounded up", 0, try_mmap(fd, index, 100, RW, MAP_SHARED));
	ROW("mmap again EINVAL", EINVAL, try_mmap(fd, index, PAGE, RW, MAP_SHARED));
	unmap(fd, index, 1);
	close(rd);
	close(wr);
}

static void mmap_rows(void)
{
	uint32_t bad[3] = { ref[0], 30000, ref[1] };
	uint64_t index;
	char *p;

	map_refs(fd, bad, 3, &index);
	ROW("mmap with a bad ref EINVAL", EINVAL, try_mmap(fd, index, 3 * PAGE, RW, MAP_SHARED));
	ROW("UNMAP after a failed mmap", 0, unmap(fd, index, 3));
	index = map_one(fd, ro_ref);
	ROW("mmap RW of a read-only grant EINVAL", EINVAL,
	    try_mmap(fd, index, PAGE, RW, MAP_SHARED));
	ROW("mmap retry of a failed one EINVAL", EINVAL,
	    try_mmap(fd, index, PAGE, PROT_READ, MAP_SHARED));
	unmap(fd, index, 1);
	p = map_page(ro_ref, PROT_READ, &index);
	row("mmap R of a read-only grant", p != MAP_FAILED && !memcmp(p, ro_granted, 9));
	ROW("mprotect to write EACCES", EACCES, mprotect(p, PAGE, RW));
	munmap(p, PAGE);
	unmap(fd, index, 1);
	index = map_one(fd, ref[0]);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, (off_t)index);
	strcpy(granted, "live");
	row("mmap private R is live", p != MAP_FAILED && !strcmp(p, "live"));
	ROW("its mprotect to write EACCES", EACCES, mprotect(p, PAGE, RW));
	munmap(p, PAGE);
	unmap(fd, index, 1);
	p = map_page(ref[0], PROT_WRITE, &index);
	strcpy(p, "written");
	row("mmap PROT_WRITE alone reads too",
	    !strcmp(p, "written") && !strcmp(granted, "written"));
	munmap(p, PAGE);
	unmap(fd, index, 1);
}

static void mmap_places(void)
{
	char *at = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;
	uint32_t back[3] = { ref[2], ref[1], ref[0] };
	uint64_t index;

	strcpy(at + PAGE, "old");
	index = map_one(fd, 30000);
	ROW("MAP_FIXED of a bad ref EINVAL", EINVAL,
	    mmap(at + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)index) == MAP_FAILED ? -1
											      : 0);
	unmap(fd, index, 1);
	map_refs(fd, back, 3, &index);
	p = mmap64(at + PAGE, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off64_t)index);
	row("MAP_FIXED, mmap64", p == at + PAGE);
	for (int i = 0; i < 3; i++)
		granted[(size_t)i * PAGE] = (char)('0' + i);
	row("refs in reverse order", p[0] == '2' && p[PAGE] == '1' && p[2 * PAGE] == '0');
	ROW("MAP_FIXED_NOREPLACE EEXIST", EEXIST,
	    mmap(at, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, (off_t)index) == MAP_FAILED
		    ? -1
		    : 0);
	munmap(at, 4 * PAGE);
	unmap(fd, index, 3);
}

static void lifetime(void)
{
	int other = open(DEVICE, O_RDWR);
	uint64_t index;
	char *p;

	index = map_one(other, ref[0]);
	p = mmap(NULL, PAGE, RW, MAP_SHARED, other, (off_t)index);
	notify(other, index + 5, UNMAP_NOTIFY_CLEAR_BYTE, 0);
	granted[5] = 'x';
	close(other);
	strcpy(p + 10, "after close");
	usleep(20000);
	row("mapping outlives close", granted[5] == 'x' && !strcmp(granted + 10, "after close"));
	munmap(p, PAGE);
	row("released at the last munmap", cleared(granted + 5));
	p = map_page(ref[0], RW, &index);
	notify(fd, index + 6, UNMAP_NOTIFY_CLEAR_BYTE, 0);
	granted[6] = 'x';
	ROW("UNMAP while mapped", 0, unmap(fd, index, 1));
	ROW("NOTIFY after it ENOENT", ENOENT, notify(fd, index, 0, 0));
	row("its index is free again", map_one(fd, ref[1]) == index);
	usleep(20000);
	row("mapping outlives UNMAP", granted[6] == 'x');
	munmap(p, PAGE);
	row("released then", cleared(granted + 6));
	unmap(fd, index, 1);
}

static void forks(void)
{
	uint64_t index;
	char *p = map_page(ref[0], RW, &index);
	pid_t child;
	int status;

	notify(fd, index + 7, UNMAP_NOTIFY_CLEAR_BYTE, 0);
	granted[7] = 'x';
	granted[8] = 0;
	child = fork();
	if (!child) {
		p[8] = 'c';
		pause();
		_exit(0);
	}
	munmap(p, PAGE);
	for (int i = 0; i < 1000 && !granted[8]; i++)
		usleep(1000);
	row("a forked child shares it", granted[8] == 'c' && granted[7] == 'x');
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	row("SIGKILL of the last one releases", cleared(granted + 7));
	unmap(fd, index, 1);
	index = map_one(fd, ref[0]);
	child = fork();
	if (!child) {
		p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, (off_t)index);
		_exit(p == MAP_FAILED || unmap(fd, index, 1) || map_one(fd, ref[1]) != index);
	}
	waitpid(child, &status, 0);
	row("a child uses the parent's slots", status == 0);
	ROW("and what it unmapped is gone", 0, unmap(fd, index, 1));
	ROW("for both", ENOENT, unmap(fd, index, 1));
}

/* Open, drop all privileges, then go on: the open descriptor is the authority. */
static void dropped_privileges(void)
{
	pid_t child = fork();
	uint64_t index;
	int status;
	char *p;

	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(2);
		index = map_one(fd, ref[0]);
		p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, (off_t)index);
		_exit(p == MAP_FAILED || munmap(p, PAGE) || unmap(fd, index, 1));
	}
	waitpid(child, &status, 0);
	row("works after setuid", status == 0);
	child = fork();
	if (!child) {
		if (setuid(65534))
			_exit(2);
		_exit(open(DEVICE, O_RDWR) >= 0 || errno != EACCES);
	}
	waitpid(child, &status, 0);
	row("but cannot open then", status == 0);
}

static void *thread_maps(void *arg)
{
	uint32_t r = ref[*(int *)arg];
	uint64_t index, offset;
	uint32_t count;
	char *p;

	for (int i = 0; i < 50; i++) {
		p = map_page(r, RW, &index);
		if (p == MAP_FAILED || get_offset(fd, p, &offset, &count) || offset != index ||
		    count != 1)
			return "mmap";
		p[100] = (char)i;
		if (granted[(size_t) * (int *)arg * PAGE + 100] != (char)i)
			return "content";
		if (munmap(p, PAGE) || unmap(fd, index, 1))
			return "unmap";
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t[4];
	int number[4];
	bool good = true;
	void *why;

	for (int i = 0; i < 4; i++) {
		number[i] = i;
		pthread_create(&t[i], NULL, thread_maps, &number[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &why);
		good &= !why;
	}
	row("four threads map at once", good);
}

static void unmap_rows(void)
{
	uint64_t index;

	ROW("UNMAP NULL EFAULT", EFAULT, ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, NULL));
	ROW("UNMAP nothing ENOENT", ENOENT, unmap(fd, 0, 1));
	map_refs(fd, ref, 3, &index);
	ROW("UNMAP other count ENOENT", ENOENT, unmap(fd, index, 2));
	ROW("UNMAP inner page ENOENT", ENOENT, unmap(fd, index + PAGE, 1));
	ROW("UNMAP count 0, low bits", 0, unmap(fd, index + 4095, 0));
}

static void offset_rows(void)
{
	char *room = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;
	uint64_t index, offset;
	uint32_t count;
	int other = open(DEVICE, O_RDWR);

	ROW("GET_OFFSET NULL EFAULT", EFAULT, ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, NULL));
	ROW("GET_OFFSET of the stack EINVAL", EINVAL, get_offset(fd, &count, &offset, &count));
	ROW("GET_OFFSET above all EINVAL", EINVAL, get_offset(fd, (void *)~0UL, &offset, &count));
	map_one(fd, ref[0]);
	map_refs(fd, ref, 3, &index);
	p = mmap(room + 4 * PAGE, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)index);
	row("GET_OFFSET", !get_offset(fd, p, &offset, &count) && offset == index && count == 3);
	row("GET_OFFSET inside",
	    !get_offset(fd, p + 2 * PAGE + 7, &offset, &count) && offset == index && count == 3);
	if (!retry) {
		munmap(room + 2 * PAGE, 2 * PAGE);
		row("GET_OFFSET in the gap below",
		    !get_offset(fd, p - PAGE, &offset, &count) && offset == index && count == 3);
		row("GET_OFFSET through another descriptor",
		    !get_offset(other, p, &offset, &count) && offset == index && count == 3);
		munmap(p, PAGE);
		row("GET_OFFSET after a partial munmap",
		    !get_offset(fd, p + PAGE, &offset, &count) && offset == index && count == 3);
		unmap(fd, index, 3);
		row("GET_OFFSET after UNMAP",
		    !get_offset(fd, p + PAGE, &offset, &count) && offset == index && count == 3);
	}
	munmap(room, 8 * PAGE);
	unmap(fd, index, 3);
	unmap(fd, 0, 1);
	close(other);
}

static void notify_rows(void)
{
	uint64_t index = map_one(fd, ref[0]);
	char *p;

	ROW("NOTIFY NULL EFAULT", EFAULT, ioctl(fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, NULL));
	ROW("NOTIFY bad action EINVAL", EINVAL, notify(fd, index, 4, 0));
	ROW("NOTIFY bad port before index EINVAL", EINVAL, notify(fd, 1 << 30, 2, 4000));
	ROW("NOTIFY nothing ENOENT", ENOENT, notify(fd, 1 << 30, 1, 0));
	ROW("NOTIFY good port, nothing ENOENT", ENOENT, notify(fd, 1 << 30, 2, 5));
	ROW("NOTIFY before mmap", 0, notify(fd, index + 11, 1, ~0U));
	ROW("NOTIFY event", 0, notify(fd, index + 11, 3, 5));
	p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, (off_t)index);
	granted[11] = granted[12] = 'x';
	ROW("NOTIFY replaced", 0, notify(fd, index + 12, 1, 0));
	munmap(p, PAGE);
	row("the new byte alone is cleared", cleared(granted + 12) && granted[11] == 'x');
	unmap(fd, index, 1);
	p = map_page(ref[0], PROT_READ, &index);
	ROW("NOTIFY byte of a read-only map EINVAL", EINVAL, notify(fd, index, 1, 0));
	ROW("NOTIFY event of it", 0, notify(fd, index, 2, 5));
	munmap(p, PAGE);
	unmap(fd, index, 1);
	index = map_one(fd, ref[0]);
	notify(fd, index + 13, 1, 0);
	granted[13] = 'x';
	unmap(fd, index, 1);
	usleep(20000);
	row("never mmapped: byte left alone", granted[13] == 'x');
}

static void copy_rows(void)
{
	struct ioctl_gntdev_grant_copy_segment s[2], *many;
	struct ioctl_gntdev_grant_copy op = { .count = 0 };
	char *buf = malloc(1000 * PAGE);

	ROW("COPY count 0", 0, ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &op));
	ROW("COPY NULL EFAULT", EFAULT, ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, NULL));
	op = (struct ioctl_gntdev_grant_copy){ 2, s };
	memset(s, 0, sizeof(s));
	s[0].source.foreign.ref = ref[0];
	s[0].source.foreign.domid = (uint16_t)granter;
	s[0].dest.virt = buf;
	s[0].len = 20;
	s[0].flags = 1;
	s[1] = s[0];
	s[1].source.foreign.ref = 30000;
	strcpy(granted, "copied");
	ROW("COPY", 0, ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &op));
	row("COPY statuses", s[0].status == 0 && s[1].status == -3 && !strcmp(buf, "copied"));
	s[1].flags = 0;
	ROW("COPY local to local EINVAL", EINVAL, ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &op));
	s[1].flags = 1;
	s[1].source.foreign.offset = 4090;
	ROW("COPY across a page EINVAL", EINVAL, ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &op));
	s[1] = s[0];
	s[1].dest.virt = NULL;
	ROW("COPY to NULL EFAULT", EFAULT, ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &op));
	op.count = retry ? 15 : 1000;
	op.segments = many = calloc(op.count, sizeof(*many));
	for (unsigned int i = 0; i < op.count; i++) {
		many[i] = s[0];
		many[i].len = PAGE;
		many[i].status = 1;
		many[i].dest.virt = buf + i * PAGE;
	}
	memset(granted, 'm', PAGE);
	memset(buf, 0, 1000 * PAGE);
	ROW("COPY of full pages", 0, ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &op));
	row("the last of them", many[op.count - 1].status == 0 && buf[op.count * PAGE - 1] == 'm');
	free(many);
	free(buf);
}

int main(int argc, char **argv)
{
	retry = argc > 1 && !strcmp(argv[1], "retry");
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	gs = xengntshr_open(NULL, 0);
	granted = gs ? xengntshr_share_pages(gs, 0, GRANTS, ref, 1) : NULL;
	ro_granted = gs ? xengntshr_share_pages(gs, 0, 1, &ro_ref, 0) : NULL;
	if (fd < 0 || !granted || !ro_granted) {
		printf("not ok abi: set-up - %s\n", strerror(errno));
		return 1;
	}
	strcpy(ro_granted, "read only");
	device();
	map_rows();
	mmap_core_rows();
	mmap_rows();
	mmap_places();
	lifetime();
	forks();
	dropped_privileges();
	threads();
	unmap_rows();
	offset_rows();
	notify_rows();
	copy_rows();
	return 0;
}
