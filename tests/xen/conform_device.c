/* SPDX-License-Identifier: MIT */
/*
 * conform_device.c - docs/gntdev-abi.md, sections 1 and 2: the device, its numbers and layouts
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>
#include "conform.h"

#define NOBODY 65534

static void node(void)
{
	struct stat st;

	SAY("stat", stat(device, &st));
	say("mode %o, uid %u, gid %u", st.st_mode, st.st_uid, st.st_gid);
}

static void access_modes(void)
{
	static const int mode[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_NONBLOCK | O_EXCL };

	for (unsigned int i = 0; i < 4; i++)
		SAY("open", open_device(mode[i]) < 0 ? -1 : 0);
}

static void contexts(void)
{
	uint32_t ref = grant(0);
	uint64_t index;

	for (int i = 0; i < 3; i++) {
		index = map_run(open_device(O_RDWR), ref, 1);
		say("index %#llx", (unsigned long long)index);
	}
}

/* Qubes' preloaded object knows the device so, from a descriptor of its own. */
static void identity(void)
{
	int path = open_device(O_PATH), fd = open_device(O_RDWR);
	struct stat a, b;

	SAY("fstat", fstat(path, &a));
	SAY("fstat", fstat(fd, &b));
	say("%s", a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_rdev == b.st_rdev
			  ? "the same"
			  : "not the same");
	SAY("ioctl of O_PATH", ioctl(path, GNTDEV_SET_MAX, NULL));
}

static int inherited;
static uint32_t granted;

static void as_nobody(void)
{
	uint64_t index;
	char *p;

	if (setgid(NOBODY) || setuid(NOBODY))
		say("setuid failed");
	SAY("open", open(device, O_RDWR));
	p = mapped(inherited, granted, 1, RW, &index);
	say("inherited: index %#llx reads %s", (unsigned long long)index, look(p));
	munmap(p, PAGE);
	SAY("UNMAP", unmap(inherited, index, 1));
}

static void unprivileged(void)
{
	inherited = open_device(O_RDWR);
	granted = grant(0);
	in_child(as_nobody);
}

static void read_write(void)
{
	int fd = open_device(O_RDWR);
	char c = 0;

	SAY("read", read(fd, &c, 1));
	SAY("write", write(fd, &c, 1));
	SAY("read 0", read(fd, &c, 0));
	SAY("read of O_WRONLY", read(open_device(O_WRONLY), &c, 1));
	SAY("write of O_RDONLY", write(open_device(O_RDONLY), &c, 1));
}

static void seek(void)
{
	SAY("lseek", lseek(open_device(O_RDWR), 0, SEEK_CUR));
}

static void polls(void)
{
	struct pollfd p = { .fd = open_device(O_RDWR), .events = POLLIN | POLLOUT | POLLPRI };

	SAY("poll", poll(&p, 1, 0));
	say("%#x", (unsigned int)p.revents);
}

static void foreign_ioctls(void)
{
	int fd = open_device(O_RDWR), n;
	struct termios t;

	SAY("FIONREAD", ioctl(fd, FIONREAD, &n));
	SAY("TCGETS", ioctl(fd, TCGETS, &t));
	SAY("isatty", isatty(fd) ? 1 : -1);
}

static void unknown_ioctls(void)
{
	int fd = open_device(O_RDWR);
	char arg[64] = "";

	SAY("nr 0x99", ioctl(fd, 0x4799UL, arg));
	SAY("nr 4", ioctl(fd, 0x00184704UL, arg));
	SAY("MAP of another size", ioctl(fd, 0x00204700UL, arg));
	SAY("MAP of size 0", ioctl(fd, 0x00004700UL, arg));
	SAY("MAP with direction bits", ioctl(fd, 0xc0184700UL, arg));
	SAY("UNMAP with direction bits", ioctl(fd, 0x40104701UL, arg));
	SAY("COPY of i386", ioctl(fd, 0x00084708UL, arg));
	SAY("gntalloc's ALLOC", ioctl(fd, 0x00184705UL, arg));
	SAY("gntalloc's DEALLOC", ioctl(fd, 0x00104706UL, arg));
	SAY("unknown with NULL", ioctl(fd, 0x4799UL, NULL));
}

/* What a 32-bit program does: ioctl is number 54 there. */
static int ioctl32(int fd, unsigned long cmd, void *arg)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(54L), "b"((long)fd), "c"(cmd), "d"(arg)
			 : "memory", "r8", "r9", "r10", "r11");
	if ((int)ret >= 0)
		return (int)ret;
	errno = -(int)ret;
	return -1;
}

static void compat(void)
{
	int fd = open_device(O_RDWR);
	struct gntdev_map *op =
		mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	op->count = 1;
	op->refs[0] = (struct gntdev_ref){ granter->domid, grant(0) };
	SAY("MAP", ioctl32(fd, GNTDEV_MAP, op));
	SAY("UNMAP", ioctl32(fd, GNTDEV_UNMAP, op));
	SAY("GET_OFFSET", ioctl32(fd, GNTDEV_GET_OFFSET, op));
	SAY("NOTIFY", ioctl32(fd, GNTDEV_NOTIFY, op));
	SAY("COPY", ioctl32(fd, GNTDEV_COPY, op));
	SAY("COPY of i386", ioctl32(fd, 0x00084708UL, op));
	SAY("unknown", ioctl32(fd, 0x4799UL, op));
	munmap(op, PAGE);
}

/* Everything that libxengnttab leaves uninitialized has a value here that must not matter. */
static void map_bytes(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(2);
	/* The header, two references, and what is behind them. */
	uint32_t op[9] = { 2,	0x11223344,	~0U,	 ~0U,	    granter->domid,
			   ref, granter->domid, ref + 1, 0x55667788 };

	SAY("MAP", ioctl(fd, GNTDEV_MAP, op));
	say("count %u, pad %#x, index %#x %#x, refs %d %d, behind %#x", op[0], op[1], op[2], op[3],
	    op[4] == granter->domid && op[5] == ref, op[6] == granter->domid && op[7] == ref + 1,
	    op[8]);
}

static void unmap_bytes(void)
{
	struct gntdev_unmap op = { .count = 1, .pad = ~0U };
	int fd = open_device(O_RDWR);

	op.index = map_run(fd, grant(0), 1);
	SAY("UNMAP", ioctl(fd, GNTDEV_UNMAP, &op));
	say("%#llx %u %#x", (unsigned long long)op.index, op.count, op.pad);
}

static void offset_bytes(void)
{
	struct gntdev_get_offset op = { .offset = 1, .count = 77, .pad = 0x11223344 };
	int fd = open_device(O_RDWR);

	op.vaddr = (uintptr_t)mapped(fd, grant_more(2), 2, RW, NULL);
	SAY("GET_OFFSET", ioctl(fd, GNTDEV_GET_OFFSET, &op));
	say("offset %#llx, count %u, pad %#x", (unsigned long long)op.offset, op.count, op.pad);
}

static void notify_bytes(void)
{
	int fd = open_device(O_RDWR);
	uint64_t index = map_run(fd, grant(0), 1);

	SAY("port ignored", notify(fd, index, NOTIFY_BYTE, ~0U));
	SAY("port ignored", notify(fd, index, 0, ~0U));
}

static void copy_bytes(void)
{
	char to[16] = "";
	struct gntdev_segment s = { .dest.virt = to, .len = 3, .flags = COPY_SOURCE, .status = 99 };
	struct gntdev_copy op = { 1, &s };

	s.source.foreign.ref = grant(0);
	s.source.foreign.domid = granter->domid;
	SAY("COPY", ioctl(open_device(O_RDWR), GNTDEV_COPY, &op));
	say("status %d, len %u, flags %u, '%s'", s.status, s.len, s.flags, to);
}

static void set_max(void)
{
	int fd = open_device(O_RDWR);
	uint32_t n = 100;

	SAY("SET_MAX_GRANTS", ioctl(fd, GNTDEV_SET_MAX, &n));
	SAY("of NULL", ioctl(fd, GNTDEV_SET_MAX, NULL));
}

static void dmabuf(void)
{
	int fd = open_device(O_RDWR);
	char arg[64] = "";

	SAY("EXP_FROM_REFS", ioctl(fd, GNTDEV_DMABUF_EXP, arg));
	SAY("EXP_WAIT_RELEASED", ioctl(fd, GNTDEV_DMABUF_EXP_WAIT, arg));
	SAY("IMP_TO_REFS", ioctl(fd, GNTDEV_DMABUF_IMP, arg));
	SAY("IMP_RELEASE", ioctl(fd, GNTDEV_DMABUF_IMP_RELEASE, NULL));
}

const struct row device_rows[] = {
	{ "1 the node", node, NEVER },
	{ "1 access modes", access_modes, NEVER },
	{ "1 opens are independent", contexts, NEVER },
	{ "1 the device's identity", identity, NEVER },
	{ "1 without privileges", unprivileged, NEVER },
	{ "1 read and write", read_write, NEVER },
	{ "1 lseek", seek, NEVER },
	{ "1 poll", polls, NEVER },
	{ "1 other drivers' ioctls", foreign_ioctls, NEVER },
	{ "1 unknown numbers", unknown_ioctls, NEVER },
	{ "1 32-bit callers", compat, NEVER },
	{ "2 MAP_GRANT_REF, all bytes", map_bytes, NEVER },
	{ "2 UNMAP_GRANT_REF, all bytes", unmap_bytes, NEVER },
	{ "2 GET_OFFSET_FOR_VADDR, all bytes", offset_bytes, NEVER },
	{ "2 SET_UNMAP_NOTIFY, ignored port", notify_bytes, NEVER },
	{ "2 GRANT_COPY, all bytes", copy_bytes, NEVER },
	{ "8 SET_MAX_GRANTS", set_max, NEVER },
	{ "9 dma-buf", dmabuf, NEVER },
	{ NULL, NULL, NEVER },
};
