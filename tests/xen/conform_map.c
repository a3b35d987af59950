/* SPDX-License-Identifier: MIT */
/*
 * conform_map.c - docs/gntdev-abi.md, section 3: MAP_GRANT_REF and its indexes
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

#define LIMIT	   65536U
#define LIMIT_FILE "/sys/module/xen_gntdev/parameters/limit"
/* A map of this many limits does not fit into 2 GiB of grants any more. */
#define OVER_2_GIB 9

static void say_index(uint64_t index)
{
	say("%#llx", (unsigned long long)index);
}

static void header(void)
{
	int fd = open_device(O_RDWR);
	char *end = edge();

	SAY("NULL", ioctl(fd, GNTDEV_MAP, NULL));
	SAY("kernel address", ioctl(fd, GNTDEV_MAP, (void *)0xffff888000000000UL));
	memset(end - PAGE, 0, PAGE);
	SAY("count 0, 16 bytes", ioctl(fd, GNTDEV_MAP, end - 16));
	SAY("count 0, 24 bytes", ioctl(fd, GNTDEV_MAP, end - 24));
}

static void counts(void)
{
	struct gntdev_map *op = calloc(1, PAGE);
	int fd = open_device(O_RDWR);

	SAY("0", ioctl(fd, GNTDEV_MAP, op));
	op->count = LIMIT + 1;
	SAY("65537", ioctl(fd, GNTDEV_MAP, op));
	op->count = ~0U;
	SAY("0xffffffff", ioctl(fd, GNTDEV_MAP, op));
	op->count = 1U << 31;
	SAY("0x80000000", ioctl(fd, GNTDEV_MAP, op));
	free(op);
}

static struct gntdev_map *largest(void)
{
	struct gntdev_map *op = calloc(1, sizeof(*op) + LIMIT * sizeof(op->refs[0]));

	op->count = LIMIT;
	for (uint32_t i = 0; i < LIMIT; i++)
		op->refs[i] = (struct gntdev_ref){ granter->domid, FIRST_REF };
	return op;
}

static void limit(void)
{
	struct gntdev_map *op = largest();
	int fd = open_device(O_RDWR);

	SAY("65536", ioctl(fd, GNTDEV_MAP, op));
	say_index(op->index);
	SAY("again", ioctl(fd, GNTDEV_MAP, op));
	say_index(op->index);
	SAY("UNMAP", unmap(fd, op->index, LIMIT));
	free(op);
}

static bool set_limit(const char *value)
{
	int fd = open(LIMIT_FILE, O_WRONLY);
	bool good = fd >= 0 && write(fd, value, strlen(value)) > 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/* The driver's module parameter: the daemon's --limit holds for its lifetime. */
static void runtime_limit(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(5);

	if (kernel_driver && !set_limit("4"))
		say("no limit to set");
	say_index(map_run(fd, ref, 5));
	say_index(map_run(fd, ref, 4));
	if (kernel_driver)
		set_limit("65536");
}

static void tail(void)
{
	int fd = open_device(O_RDWR);
	struct gntdev_map *op = (void *)(edge() - sizeof(struct gntdev_map) - 8);

	op->count = 2;
	op->refs[0] = (struct gntdev_ref){ granter->domid, grant(0) };
	SAY("second ref unreadable", ioctl(fd, GNTDEV_MAP, op));
	op->count = LIMIT + 1;
	SAY("count 65537 too", ioctl(fd, GNTDEV_MAP, op));
	op->count = 1;
	SAY("one ref", ioctl(fd, GNTDEV_MAP, op));
	say_index(op->index);
}

static void read_only_argument(void)
{
	int fd = open_device(O_RDWR);
	struct gntdev_map *op = (void *)(edge() - PAGE);

	op->count = 1;
	op->refs[0] = (struct gntdev_ref){ granter->domid, grant(0) };
	mprotect(op, PAGE, PROT_READ);
	SAY("MAP", ioctl(fd, GNTDEV_MAP, op));
	say_index(map_run(fd, op->refs[0].ref, 1));
}

static void no_validation(void)
{
	int fd = open_device(O_RDWR);
	struct gntdev_ref refs[3] = { { 0x7ff0, 1 }, { 0x7ffe, NO_REF }, { ~0U, ~0U } };
	uint64_t index;

	SAY("MAP", map_refs(fd, 3, refs, &index));
	say_index(index);
	say_mmap("mmap", fd, index, 3 * PAGE, RW, MAP_SHARED);
}

static void one_domid(const char *what, uint32_t domid, uint32_t ref)
{
	int fd = open_device(O_RDWR);
	struct gntdev_ref r = { domid, ref };
	uint64_t index;
	char *p;

	if (map_refs(fd, 1, &r, &index))
		SAY("MAP", -1);
	p = place(fd, index, PAGE, RW, MAP_SHARED);
	say("%s: %s", what, p == MAP_FAILED ? result(-1) : look(p));
}

static void domids(void)
{
	uint32_t ref = grant(0);

	one_domid("0x10000 more", 0x10000U | granter->domid, ref);
	one_domid("SELF", 0x7ff0, ref);
	one_domid("no such domain", granter->domid + 1000U, ref);
	one_domid("INVALID", 0x7ff4, ref);
	one_domid("0xffff", 0xffff, ref);
}

static void same_ref(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant(0);
	struct gntdev_ref refs[2] = { { granter->domid, ref }, { granter->domid, ref } };
	uint64_t index, other;
	char *p, *q;

	map_refs(fd, 2, refs, &index);
	p = place(fd, index, 2 * PAGE, RW, MAP_SHARED);
	say("one slot %s%s", look(p), look(p + PAGE));
	q = mapped(fd, ref, 1, PROT_READ, &other);
	store(p, 'x');
	say("another %s", look(q));
	munmap(p, 2 * PAGE);
	SAY("UNMAP", unmap(fd, index, 2));
	settle();
	say_pins();
	munmap(q, PAGE);
	SAY("UNMAP", unmap(fd, other, 1));
	settle();
	say_pins();
}

/* The sequence that shows that the driver compares strictly. */
static void exact_hole(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(3);
	uint64_t second;

	say_index(map_run(fd, ref, 1));
	say_index(second = map_run(fd, ref, 2));
	say_index(map_run(fd, ref, 1));
	say_index(map_run(fd, ref, 3));
	say_index(map_run(fd, ref, 1));
	SAY("UNMAP", unmap(fd, second, 2));
	say("2:");
	say_index(map_run(fd, ref, 2));
	say("1:");
	say_index(map_run(fd, ref, 1));
	say_index(map_run(fd, ref, 1));
}

static void larger_hole(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(8);
	uint64_t first = map_run(fd, ref, 8);

	say_index(map_run(fd, ref, 1));
	SAY("UNMAP", unmap(fd, first, 8));
	say_index(map_run(fd, ref, 3));
	say_index(map_run(fd, ref, 4));
}

static void empty_again(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(2);

	for (int round = 0; round < 3; round++) {
		uint64_t a = map_run(fd, ref, 1), b = map_run(fd, ref, 2);

		say_index(a);
		say_index(b);
		unmap(fd, round & 1 ? a : b, 0);
		unmap(fd, round & 1 ? b : a, 0);
	}
}

static void reissued(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(2);
	uint64_t index;
	char *p = mapped(fd, ref, 1, RW, &index), *q;

	SAY("UNMAP", unmap(fd, index, 1));
	q = mapped(fd, ref + 1, 1, RW, &index);
	say_index(index);
	say("reads %s%s", look(p), look(q));
}

static void over_2_gib(void)
{
	struct gntdev_map *op = largest();
	int fd = open_device(O_RDWR);

	for (int i = 0; i < OVER_2_GIB; i++)
		if (ioctl(fd, GNTDEV_MAP, op))
			SAY("MAP", -1);
	say_index(op->index);
	SAY("UNMAP", unmap(fd, op->index, 0));
	free(op);
}

static void alias(void)
{
	int fd = open_device(O_RDWR);
	uint64_t index = map_run(fd, grant_more(2), 2);

	say_mmap("mmap", fd, index + (1ULL << 44), 2 * PAGE, RW, MAP_SHARED);
	SAY("UNMAP", unmap(fd, index + (1ULL << 44), 2));
	SAY("UNMAP", unmap(fd, index, 2));
}

/* Xen counts the pins of one grant in few bits. */
static void many_times(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant(0);
	int n = 0;

	while (n < 150) {
		uint64_t index = map_run(fd, ref, 1);

		if (place(fd, index, PAGE, PROT_READ, MAP_SHARED) == MAP_FAILED)
			break;
		n++;
	}
	say("mapped %s", n >= 50 ? "50 times" : "not even 50 times");
	say("150 times %s", n < 150 ? result(-1) : "0");
	say_pins();
}

const struct row map_rows[] = {
	{ "3.1 header unreadable", header, NEVER },
	{ "3.2 counts", counts, NEVER },
	{ "3.2 limit", limit, NEVER },
	{ "3.2 limit set at run time", runtime_limit, NEVER },
	{ "3.4 refs unreadable", tail, NEVER },
	{ "3.5 header not writable", read_only_argument, NEVER },
	{ "3 nothing is validated", no_validation, NEVER },
	{ "3 domain numbers", domids, NEVER },
	{ "3 the same reference", same_ref, NEVER },
	{ "3 index: hole of exactly the size", exact_hole, NEVER },
	{ "3 index: larger hole", larger_hole, NEVER },
	{ "3 index: 0 again", empty_again, NEVER },
	{ "3 index: reissued while mapped", reissued, NEVER },
	{ "3 index: past 2 GiB", over_2_gib, NEVER },
	{ "3 index: 2^44 more", alias, NEVER },
	{ "11 one grant many times", many_times, NEVER },
	{ NULL, NULL, NEVER },
};
