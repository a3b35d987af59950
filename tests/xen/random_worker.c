/* SPDX-License-Identifier: MIT */
/*
 * random_worker.c - a client that does as it is told, one order at a time
 *
 * Its mappings are at fixed addresses, so that the same sequence has the same address space
 * whatever the device does: PLACES places in an arena, each as large as a map can be.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "random.h"

#define ARENA	    ((char *)0x100000000000UL)
#define PLACE_BYTES (MAX_COUNT * PAGE)
#define ARENA_BYTES (PLACES * PLACE_BYTES)

static uint32_t me;
static const char *device;
/* An argument at the end of it is at the end of readable memory. */
static char *edge;
static uint64_t local_words[LOCAL_BYTES / 8];
static char *const local = (char *)local_words;
static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

/* Nothing usable there, yet nothing else can come there. */
static void keep_out(char *at, size_t bytes, int fixed)
{
	if (mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0) != at)
		abort();
}

static void prepare(void)
{
	struct sigaction sa = { .sa_handler = on_fault };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	keep_out(ARENA, ARENA_BYTES, MAP_FIXED_NOREPLACE);
	edge = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(edge + PAGE, PAGE, PROT_NONE);
}

static char *address(uint32_t place, uint32_t page, uint32_t offset)
{
	return ARENA + place * PLACE_BYTES + page * PAGE + offset;
}

static void done(struct answer *a, int64_t ret)
{
	a->ret = ret;
	a->error = ret == -1 ? errno : 0;
}

/* An ioctl whose argument is where the order wants it to be. */
static void call(const struct order *o, struct answer *a, unsigned long cmd, void *arg,
		 size_t bytes)
{
	char *at = edge + (o->argument == CUT ? PAGE - bytes + 8 : 0);

	if (o->argument == NO_POINTER) {
		done(a, ioctl(DEVICE_FD(o->fd), cmd, NULL));
		return;
	}
	memcpy(at, arg, o->argument == CUT ? bytes - 8 : bytes);
	if (o->argument == READ_ONLY)
		mprotect(edge, PAGE, PROT_READ);
	done(a, ioctl(DEVICE_FD(o->fd), cmd, at));
	if (o->argument == READ_ONLY)
		mprotect(edge, PAGE, RW);
	if (o->argument != CUT)
		memcpy(arg, at, bytes);
}

static void do_open(const struct order *o, struct answer *a)
{
	int fd = open(device, (int)o->value);

	done(a, fd < 0 ? -1 : 0);
	if (fd >= 0) {
		dup2(fd, DEVICE_FD(o->fd));
		close(fd);
	}
}

static void do_map(const struct order *o, struct answer *a)
{
	/* The header, and eight bytes for each reference. */
	struct {
		uint32_t count, pad;
		uint64_t index;
		struct gntdev_ref ref[MAX_COUNT];
	} op = { .count = o->count, .index = ~0ULL };
	size_t refs = o->count && o->count <= MAX_COUNT ? o->count : 1;

	memcpy(op.ref, o->ref, sizeof(op.ref));
	call(o, a, GNTDEV_MAP, &op, 16 + 8 * refs);
	a->value = op.index;
}

static void do_unmap(const struct order *o, struct answer *a)
{
	struct gntdev_unmap op = { .index = o->index, .count = o->count, .pad = ~0U };

	call(o, a, GNTDEV_UNMAP, &op, sizeof(op));
}

static void do_offset(const struct order *o, struct answer *a)
{
	struct gntdev_get_offset op = { .vaddr = (uintptr_t)address(o->place, o->page, o->offset),
					.offset = ~0ULL };

	call(o, a, GNTDEV_GET_OFFSET, &op, sizeof(op));
	a->value = op.offset;
	a->count = op.count;
}

static void do_notify(const struct order *o, struct answer *a)
{
	struct gntdev_notify op = { o->index, o->action, o->port };

	call(o, a, GNTDEV_NOTIFY, &op, sizeof(op));
}

static union gntdev_place side(const struct gntdev_ref *r, uint16_t offset)
{
	union gntdev_place p;

	if (r->domid) {
		p.foreign.domid = (uint16_t)r->domid;
		p.foreign.ref = r->ref;
		p.foreign.offset = offset;
	} else {
		p.virt = local + r->ref;
	}
	return p;
}

static void do_copy(const struct order *o, struct answer *a)
{
	struct gntdev_segment s[MAX_SEGMENTS];
	struct gntdev_copy op = { o->count, s };
	uint64_t sum = 0;

	memset(s, 0, sizeof(s));
	memset(local, (int)o->value, LOCAL_BYTES);
	for (uint32_t i = 0; i < o->count; i++) {
		const struct segment_order *g = &o->segment[i];

		s[i].source = side(&g->source, g->source_offset);
		s[i].dest = side(&g->dest, g->dest_offset);
		s[i].flags = (uint16_t)((g->source.domid ? COPY_SOURCE : 0) |
					(g->dest.domid ? COPY_DEST : 0));
		s[i].len = g->len;
	}
	call(o, a, GNTDEV_COPY, &op, sizeof(op));
	for (uint32_t i = 0; i < o->count; i++)
		a->status[i] = s[i].status;
	for (uint32_t i = 0; i < LOCAL_BYTES / 8; i++)
		sum = sum * 31 + local_words[i];
	a->value = sum;
}

static void do_mmap(const struct order *o, struct answer *a)
{
	char *at = address(o->place, o->page, 0);
	void *p = mmap(at, o->value, (int)o->action, o->flags | MAP_FIXED, DEVICE_FD(o->fd),
		       (off_t)o->index);

	done(a, p == MAP_FAILED ? -1 : 0);
	/* A refused MAP_FIXED may or may not have removed what was there. */
	if (p == MAP_FAILED)
		keep_out(at, PLACE_BYTES, MAP_FIXED);
}

static void do_munmap(const struct order *o, struct answer *a)
{
	char *at = address(o->place, o->page, 0);

	done(a, munmap(at, o->count * PAGE));
	keep_out(at, o->count * PAGE, MAP_FIXED);
}

static void do_access(const struct order *o, struct answer *a)
{
	/* Changed between setjmp and longjmp. */
	volatile uint32_t i = 0;
	int sig = sigsetjmp(fault, 1);

	if (sig)
		a->seen[i++] = (int16_t)-sig;
	for (; i < o->count; i++) {
		const struct access *c = &o->access[i];
		volatile uint8_t *at = (uint8_t *)address(c->place, c->page, c->offset);

		if (c->write)
			*at = c->value;
		a->seen[i] = (int16_t)(c->write ? 0 : *at);
	}
}

static void answer(const struct answer *a)
{
	if (send(SOCKET_FD(me), a, sizeof(*a), 0) != sizeof(*a))
		_exit(1);
}

/* The child is a child of our parent, who starts, orders and ends all workers. */
static void do_fork(const struct order *o, struct answer *a)
{
	long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);

	done(a, pid);
	if (pid)
		return;
	me = (uint32_t)o->value;
	if (o->flags)
		keep_out(ARENA, ARENA_BYTES, MAP_FIXED);
}

static void do_exec(void)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", me);
	execl("/proc/self/exe", "random", "-w", number, device, (char *)NULL);
	_exit(1);
}

static void obey(const struct order *o, struct answer *a)
{
	switch (o->kind) {
	case DO_OPEN:
		do_open(o, a);
		break;
	case DO_CLOSE:
		done(a, close(DEVICE_FD(o->fd)));
		break;
	case DO_MAP:
		do_map(o, a);
		break;
	case DO_UNMAP:
		do_unmap(o, a);
		break;
	case DO_OFFSET:
		do_offset(o, a);
		break;
	case DO_NOTIFY:
		do_notify(o, a);
		break;
	case DO_COPY:
		do_copy(o, a);
		break;
	case DO_MMAP:
		do_mmap(o, a);
		break;
	case DO_MUNMAP:
		do_munmap(o, a);
		break;
	case DO_ACCESS:
		do_access(o, a);
		break;
	case DO_FORK:
		do_fork(o, a);
		break;
	case DO_EXEC:
		do_exec();
		break;
	case DO_EXIT:
		_exit(0);
	}
}

void worker(uint32_t number, const char *path)
{
	struct answer a = { .ret = 0 };
	struct order o;

	me = number;
	device = path;
	prepare();
	/* The first answer says that it is there. */
	answer(&a);
	while (recv(SOCKET_FD(me), &o, sizeof(o), 0) == sizeof(o)) {
		memset(&a, 0, sizeof(a));
		obey(&o, &a);
		answer(&a);
	}
	_exit(0);
}
