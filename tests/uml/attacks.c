/* SPDX-License-Identifier: MIT */
/*
 * attacks.c - clients that let the daemon wait for them: attacks NAME [NUMBER]
 *
 * Says "ready" when it is at it, and goes on until it is killed. It has no privilege but the open
 * device; for those by FUSE it mounts a file system of its own first, as root, and then is nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/sys/gntdev.h>

#include "tests/uml/attack.h"

typedef struct ioctl_gntdev_grant_copy_segment segment_t;

static void *pages(size_t n)
{
	void *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void thread(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	errno = pthread_create(&t, &attr, fn, arg);
	if (errno)
		die("pthread_create");
	pthread_attr_destroy(&attr);
}

/* --- memory that nobody fills in ------------------------------------------------------------------ */

static char *held_pages(size_t n)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	char *p = pages(n);

	reg.range.start = (uintptr_t)p;
	reg.range.len = n * PAGE;
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		die("userfaultfd");
	return p;
}

struct call {
	int fd;
	unsigned long cmd;
	void *arg;
};

static void *make_call(void *arg)
{
	struct call *call = arg;

	for (;;)
		ioctl(call->fd, call->cmd, call->arg);
	return NULL;
}

/* @n threads, each with an argument in a page of its own; through one open, or through one each. */
static void hold(int n, bool opens)
{
	struct call *call = calloc((size_t)n, sizeof(*call));
	char *p = held_pages((size_t)n);
	int fd = open_device();

	for (int i = 0; i < n; i++) {
		call[i] = (struct call){ opens && i ? open_device() : fd,
					 IOCTL_GNTDEV_MAP_GRANT_REF, p + (size_t)i * PAGE };
		thread(make_call, &call[i]);
	}
}

static void uffd(int n)
{
	become(NOBODY);
	hold(n, false);
	for_ever();
}

static void uffd_opens(int n)
{
	become(NOBODY);
	hold(n, true);
	for_ever();
}

/* @n users together. */
static void uffd_users(int n)
{
	for (int i = 0; i < n; i++) {
		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		become(NOBODY - (uid_t)i);
		hold(8, true);
		for (;;)
			pause();
	}
	for_ever();
}

static void on_signal(int sig)
{
	(void)sig;
}

static void *signal_all(void *arg)
{
	(void)arg;
	for (;;) {
		kill(getpid(), SIGUSR1);
		pause_ms(1);
	}
	return NULL;
}

/* Callers that are sent signals, and stay. */
static void signals(int n)
{
	struct sigaction sa = { .sa_handler = on_signal };

	become(NOBODY);
	sigaction(SIGUSR1, &sa, NULL);
	hold(n, true);
	thread(signal_all, NULL);
	ready();
	for (;;)
		pause_ms(1000);
}

/* Processes that are killed with their calls under way: they must not stay. */
static void killed(int n)
{
	struct timespec from, to;
	long ms;

	become(NOBODY);
	ready();
	for (;;) {
		pid_t pid = fork();

		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			hold(n, false);
			for (;;)
				pause();
		}
		pause_ms(300);
		kill(pid, SIGKILL);
		clock_gettime(CLOCK_MONOTONIC, &from);
		waitpid(pid, NULL, 0);
		clock_gettime(CLOCK_MONOTONIC, &to);
		ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
		printf("gone after %ld ms\n", ms);
		fflush(stdout);
	}
}

/* As many as can be wait, and all are stopped and continued. */
static void stopped(int n)
{
	pid_t pid;

	become(NOBODY);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		hold(n, true);
		for (;;)
			pause();
	}
	ready();
	for (;;) {
		kill(pid, SIGSTOP);
		pause_ms(50);
		kill(pid, SIGCONT);
		pause_ms(10);
	}
}

/* --- a lock on its address space ------------------------------------------------------------------ */

static struct {
	int fuse;
	int fails; /* reads that fail before the others never end */
	volatile char *page;
} fs;

static void fuse_reply(uint64_t unique, const void *out, size_t len, int error)
{
	struct fuse_out_header h = { .len = (uint32_t)(sizeof(h) + len),
				     .error = error,
				     .unique = unique };
	struct iovec iov[] = { { &h, sizeof(h) }, { (void *)(uintptr_t)out, len } };

	if (writev(fs.fuse, iov, 2) < 0 && errno != ENOENT)
		die("fuse");
}

static struct fuse_attr fuse_attr(uint64_t node)
{
	return (struct fuse_attr){ .ino = node,
				   .size = 1 << 20,
				   .mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0666,
				   .nlink = 1,
				   .uid = NOBODY,
				   .gid = NOBODY };
}

/* One file, whatever its name, and reads of it never end. */
static void fuse_serve(const struct fuse_in_header *h)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION,
				      .minor = FUSE_KERNEL_MINOR_VERSION,
				      .max_write = PAGE };
	struct fuse_entry_out entry = { .nodeid = 2, .attr = fuse_attr(2) };
	struct fuse_attr_out attr = { .attr = fuse_attr(h->nodeid) };
	struct fuse_open_out opened = { 0 };

	switch (h->opcode) {
	case FUSE_INIT:
		fuse_reply(h->unique, &init, sizeof(init), 0);
		break;
	case FUSE_LOOKUP:
		fuse_reply(h->unique, &entry, sizeof(entry), 0);
		break;
	case FUSE_GETATTR:
		fuse_reply(h->unique, &attr, sizeof(attr), 0);
		break;
	case FUSE_OPEN:
		fuse_reply(h->unique, &opened, sizeof(opened), 0);
		break;
	case FUSE_READ:
		if (fs.fails-- > 0)
			fuse_reply(h->unique, NULL, 0, -EIO);
		break;
	case FUSE_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		fuse_reply(h->unique, NULL, 0, -ENOSYS);
	}
}

static void serve_fuse(void)
{
	static char buf[1 << 18] __attribute__((aligned(8)));

	/* As who is killed, or it would not get the signal. */
	become(NOBODY);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(fs.fuse, buf, sizeof(buf)) > 0 || errno == EINTR || errno == ENOENT)
		fuse_serve((void *)buf);
	_exit(0);
}

/* A page of a file that a process of ours serves. */
static void mount_fuse(void)
{
	char options[80];
	int fd;

	fs.fuse = open("/dev/fuse", O_RDWR);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", fs.fuse, NOBODY,
		 NOBODY);
	mkdir("/tmp/attack", 0755);
	if (fs.fuse < 0 || mount("attack", "/tmp/attack", "fuse", MS_NODEV | MS_NOSUID, options))
		die("mount");
	if (!fork())
		serve_fuse();
	/* When its server ends nobody waits for the file any more. */
	close(fs.fuse);
	fd = open("/tmp/attack/file", O_RDWR);
	umount2("/tmp/attack", MNT_DETACH);
	fs.page = fd < 0 ? MAP_FAILED
			 : mmap(NULL, 256 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (fs.page == MAP_FAILED)
		die("a file by FUSE");
	become(NOBODY);
}

/* Arguments in pages of that file: whoever reads them waits for its server. */
static void fuse_pages(int n)
{
	struct call *call = calloc((size_t)n, sizeof(*call));
	int fd;

	mount_fuse();
	fd = open_device();
	for (int i = 0; i < n; i++) {
		call[i] = (struct call){ fd, IOCTL_GNTDEV_MAP_GRANT_REF,
					 (char *)(uintptr_t)fs.page + (size_t)(i % 256) * PAGE };
		thread(make_call, &call[i]);
	}
	for_ever();
}

static int stage;

static void wait_for_stage(int is)
{
	while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) < is)
		pause_ms(10);
}

static void *fault(void *arg)
{
	wait_for_stage(1);
	(void)fs.page[0];
	return arg;
}

static void *map_once(void *arg)
{
	munmap(pages(1), PAGE);
	return arg;
}

static void *map_when_held(void *arg)
{
	wait_for_stage(2);
	return map_once(arg);
}

static void *write_lock(void *arg)
{
	for (;;)
		map_once(NULL);
	return arg;
}

/* @n calls, through one open each where there are @opens, that look at the address space. */
static void look_up(int n)
{
	struct ioctl_gntdev_get_offset_for_vaddr *at = calloc((size_t)n, sizeof(*at));
	struct call *call = calloc((size_t)n, sizeof(*call));
	int fd = open_device();

	for (int i = 0; i < n; i++) {
		at[i].vaddr = 0x1111111111111111;
		call[i] = (struct call){ fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &at[i] };
	}
	for (int i = 0; i < n; i++)
		thread(make_call, &call[i]);
}

/*
 * A fault that waits for FUSE holds the lock to read; somebody who wants to write waits, and behind him all
 * others. (As long as the first reads go on a fault lets go of the lock.) What the threads need is made before.
 */
static void fuse_lock(int n)
{
	fs.fails = 1;
	mount_fuse();
	look_up(n);
	thread(fault, NULL);
	thread(map_when_held, NULL);
	pause_ms(200);
	__atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
	pause_ms(200);
	__atomic_store_n(&stage, 2, __ATOMIC_RELEASE);
	for_ever();
}

static void *populate(void *arg)
{
	const size_t bytes = 64UL << 20;

	for (;;) {
		void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		if (p != MAP_FAILED)
			munmap(p, bytes);
	}
	return arg;
}

static void populate_lock(int n)
{
	become(NOBODY);
	look_up(n);
	thread(populate, NULL);
	thread(write_lock, NULL);
	for_ever();
}

/* --- long work ------------------------------------------------------------------------------------ */

/* A mapping for every page, which no two share. */
static void many_vmas(int n)
{
	char *p = pages((size_t)n);

	for (int i = 0; i < n; i += 2)
		mprotect(p + (size_t)i * PAGE, PAGE, PROT_READ);
}

static void vmas(int n)
{
	become(NOBODY);
	many_vmas(60000);
	look_up(n);
	for_ever();
}

/* 60 million segments of no length, in 12 MiB of memory that repeat. */
static void copies(int n)
{
	const size_t count = 60000000, chunk = 12UL << 20;
	struct ioctl_gntdev_grant_copy *op = calloc(1, sizeof(*op));
	struct call *call = calloc(1, sizeof(*call));
	size_t total = count * sizeof(segment_t);
	int fd = memfd_create("segments", 0);
	segment_t *seg;
	char *at;

	become(NOBODY);
	at = mmap(NULL, total + chunk, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		  0);
	if (at == MAP_FAILED || ftruncate(fd, (off_t)chunk))
		die("segments");
	for (size_t i = 0; i < total; i += chunk)
		if (mmap(at + i, chunk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		    MAP_FAILED)
			die("segments");
	seg = (segment_t *)at;
	for (size_t i = 0; i < chunk / sizeof(*seg); i++)
		seg[i].flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
	op->count = (uint32_t)count;
	op->segments = seg;
	*call = (struct call){ open_device(), IOCTL_GNTDEV_GRANT_COPY, op };
	for (int i = 0; i < n; i++)
		thread(make_call, call);
	for_ever();
}

/* As large as they may be, as many as go. */
static void *map_large(void *arg)
{
	const uint32_t count = 65536;
	struct ioctl_gntdev_map_grant_ref *map = calloc(1, sizeof(*map) + count * 8UL);

	for (;;) {
		struct ioctl_gntdev_unmap_grant_ref un = { .count = count };

		map->count = count;
		if (ioctl(*(int *)arg, IOCTL_GNTDEV_MAP_GRANT_REF, map))
			continue;
		un.index = map->index;
		ioctl(*(int *)arg, IOCTL_GNTDEV_UNMAP_GRANT_REF, &un);
	}
	return NULL;
}

static void large(int n)
{
	static int fd;

	become(NOBODY);
	fd = open_device();
	for (int i = 0; i < n; i++)
		thread(map_large, &fd);
	for_ever();
}

/* Opens with many maps, which end at once. */
static void closes(int n)
{
	become(NOBODY);
	ready();
	for (;;) {
		int fd = open_device();

		for (int i = 0; i < n; i++) {
			struct ioctl_gntdev_map_grant_ref map = { .count = 1 };

			ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map);
		}
		close(fd);
	}
}

/* --- which ---------------------------------------------------------------------------------------- */

static const struct attack attacks[] = {
	{ "uffd", uffd, 80 },
	{ "uffd_opens", uffd_opens, 80 },
	{ "uffd_users", uffd_users, 20 },
	{ "signals", signals, 80 },
	{ "killed", killed, 40 },
	{ "stopped", stopped, 40 },
	{ "fuse_pages", fuse_pages, 80 },
	{ "fuse_lock", fuse_lock, 80 },
	{ "populate_lock", populate_lock, 80 },
	{ "vmas", vmas, 8 },
	{ "copies", copies, 4 },
	{ "large", large, 4 },
	{ "closes", closes, 20000 },
};

int main(int argc, char **argv)
{
	return make_attack(attacks, sizeof(attacks) / sizeof(attacks[0]), argc, argv);
}
