/* SPDX-License-Identifier: MIT */
/*
 * conform_index.c - docs/gntdev-abi.md, sections 6 and 7: UNMAP_GRANT_REF and GET_OFFSET_FOR_VADDR
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "conform.h"

static void unmap_argument(void)
{
	int fd = open_device(O_RDWR);
	struct gntdev_unmap *op = (void *)(edge() - sizeof(*op));

	SAY("NULL", ioctl(fd, GNTDEV_UNMAP, NULL));
	op->index = map_run(fd, grant(0), 1);
	op->count = 1;
	SAY("half", ioctl(fd, GNTDEV_UNMAP, (char *)op + 8));
	mprotect((char *)op + sizeof(*op) - PAGE, PAGE, PROT_READ);
	SAY("read-only", ioctl(fd, GNTDEV_UNMAP, op));
}

static void unmap_unknown(void)
{
	int fd = open_device(O_RDWR), other = open_device(O_RDWR);
	uint64_t index;

	SAY("of an empty file", unmap(fd, 0, 1));
	SAY("count 0 of an empty file", unmap(fd, 0, 0));
	map_run(fd, grant(0), 1);
	index = map_run(fd, grant_more(3), 3);
	SAY("nothing", unmap(fd, NO_INDEX, 1));
	SAY("all ones", unmap(fd, ~0ULL, 0));
	SAY("fewer", unmap(fd, index, 2));
	SAY("more", unmap(fd, index, 4));
	SAY("2^32 more", unmap(fd, index, ~0U));
	SAY("inner page", unmap(fd, index + PAGE, 2));
	SAY("inner page, any count", unmap(fd, index + PAGE, 0));
	SAY("another open", unmap(other, index, 3));
	SAY("it", unmap(fd, index, 3));
	SAY("twice", unmap(fd, index, 3));
}

static void unmap_loosely(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(3);
	uint64_t index = map_run(fd, ref, 3);

	SAY("low bits", unmap(fd, index + 4095, 3));
	index = map_run(fd, ref, 3);
	SAY("count 0", unmap(fd, index, 0));
	index = map_run(fd, ref, 3);
	SAY("both", unmap(fd, index + 1, 0));
}

static void unmap_while_mapped(void)
{
	int fd = open_device(O_RDWR);
	uint64_t index;
	char *p = mapped(fd, grant(0), 1, RW, &index);

	SAY("UNMAP", unmap(fd, index, 1));
	SAY("again", unmap(fd, index, 1));
	SAY("NOTIFY", notify(fd, index, NOTIFY_BYTE, 0));
	say_mmap("mmap", fd, index, PAGE, RW, MAP_SHARED);
	say("reads %s", look(p));
	settle();
	say_pins();
}

static void offset_argument(void)
{
	int fd = open_device(O_RDWR);
	struct gntdev_get_offset *op = (void *)(edge() - sizeof(*op));

	SAY("NULL", ioctl(fd, GNTDEV_GET_OFFSET, NULL));
	op->vaddr = (uintptr_t)mapped(fd, grant(0), 1, RW, NULL);
	SAY("16 bytes", ioctl(fd, GNTDEV_GET_OFFSET, (char *)op + 8));
	SAY("24 bytes", ioctl(fd, GNTDEV_GET_OFFSET, op));
	mprotect((char *)op + sizeof(*op) - PAGE, PAGE, PROT_READ);
	SAY("read-only", ioctl(fd, GNTDEV_GET_OFFSET, op));
	op = (void *)(edge() - PAGE);
	op->vaddr = (uintptr_t)op;
	mprotect(op, PAGE, PROT_READ);
	SAY("read-only, not a mapping", ioctl(fd, GNTDEV_GET_OFFSET, op));
}

static void offset_elsewhere(void)
{
	int fd = open_device(O_RDWR), zero = open("/dev/zero", O_RDWR);
	char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *q = mmap(NULL, PAGE, RW, MAP_SHARED, zero, 0);

	mapped(fd, grant(0), 1, RW, NULL);
	say_offset(fd, &fd);
	say_offset(fd, p);
	say_offset(fd, q);
	say_offset(fd, (void *)~0UL);
	say_offset(fd, (void *)0xffff888000000000UL);
	munmap(p, PAGE);
	munmap(q, PAGE);
	close(zero);
}

/* Three pages in the middle of nothing, of the second slot. */
static char *amid(int fd, char *room, uint64_t *index)
{
	uint32_t ref = grant_more(4);
	char *p;

	map_run(fd, ref, 1);
	*index = map_run(fd, ref + 1, 3);
	p = mmap(room + 4 * PAGE, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)*index);
	if (p == MAP_FAILED)
		SAY("mmap", -1);
	return room + 4 * PAGE;
}

static void offset_addresses(void)
{
	char *room = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;
	int fd = open_device(O_RDWR);
	uint64_t index;

	p = amid(fd, room, &index);
	say_offset(fd, p);
	say_offset(fd, p + 3 * PAGE - 1);
	say("below and behind:");
	say_offset(fd, p - 1);
	say_offset(fd, p + 3 * PAGE);
	munmap(room + 2 * PAGE, 2 * PAGE);
	say("in a gap below:");
	say_offset(fd, p - 1);
	say_offset(fd, p - 2 * PAGE);
	say_offset(fd, p - 2 * PAGE - 1);
	munmap(room, 8 * PAGE);
}

static void offset_later(void)
{
	char *room = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;
	int fd = open_device(O_RDWR), other = open_device(O_RDWR);
	uint64_t index;

	p = amid(fd, room, &index);
	say("another open:");
	say_offset(other, p);
	munmap(p, PAGE);
	say("after partial munmap:");
	say_offset(fd, p + PAGE);
	SAY("UNMAP", unmap(fd, index, 3));
	say_offset(fd, p + PAGE);
	map_run(fd, FIRST_REF, 3);
	say("index reissued:");
	say_offset(fd, p + 2 * PAGE);
	close_device(fd);
	say("file closed:");
	say_offset(other, p + PAGE);
	munmap(room, 8 * PAGE);
	say_offset(other, p + PAGE);
}

static int shared;
static char *inherited;

static void asks(void)
{
	say_offset(shared, inherited);
}

static void offset_child(void)
{
	shared = open_device(O_RDWR);
	inherited = mapped(shared, grant(0), 1, RW, NULL);
	in_child(asks);
}

const struct row index_rows[] = {
	{ "6.1 argument", unmap_argument, NEVER },
	{ "6.2 no such slot", unmap_unknown, NEVER },
	{ "6.2 what is ignored", unmap_loosely, NEVER },
	{ "6 while mapped", unmap_while_mapped, NEVER },
	{ "7.1 argument", offset_argument, NEVER },
	{ "7.2 not a mapping", offset_elsewhere, NEVER },
	{ "7 addresses", offset_addresses, NEVER },
	{ "7 later, and by others", offset_later, NEVER },
	{ "7 a forked child", offset_child, NEVER },
	{ NULL, NULL, NEVER },
};
