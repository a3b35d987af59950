/* SPDX-License-Identifier: MIT */
/*
 * conform_notify.c - docs/gntdev-abi.md, section 8: SET_UNMAP_NOTIFY, and when it fires
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "conform.h"

#define BYTE 7U
#define BOTH (NOTIFY_BYTE | NOTIFY_EVENT)

static int fd;
static uint32_t ref;
static uint64_t slot;
static char *map;

static void make(uint32_t n, int prot)
{
	fd = open_device(O_RDWR);
	ref = grant_more(n);
	map = mapped(fd, ref, n, prot, &slot);
}

/* The bytes of the granter's pages that a row sets notifications on. */
static void see(const char *when, uint32_t n)
{
	char s[64] = "";

	settle();
	for (uint32_t i = 0; i < n; i++) {
		strcat(s, " ");
		strcat(s, look(page_of(ref + i) + BYTE));
	}
	say("%s: bytes%s", when, s);
	say_event();
}

static void argument(void)
{
	struct gntdev_notify *op = (void *)(edge() - sizeof(*op));

	fd = open_device(O_RDWR);
	SAY("NULL", ioctl(fd, GNTDEV_NOTIFY, NULL));
	op->index = map_run(fd, grant(0), 1);
	op->action = NOTIFY_BYTE;
	SAY("half", ioctl(fd, GNTDEV_NOTIFY, (char *)op + 8));
	mprotect((char *)op + sizeof(*op) - PAGE, PAGE, PROT_READ);
	SAY("read-only", ioctl(fd, GNTDEV_NOTIFY, op));
}

static void actions(void)
{
	fd = open_device(O_RDWR);
	slot = map_run(fd, grant(0), 1);
	SAY("4", notify(fd, slot, 4, 0));
	SAY("0x80000001", notify(fd, slot, 0x80000001U, 0));
	SAY("bad action, bad port, nothing", notify(fd, NO_INDEX, 6, ~0U));
	SAY("0", notify(fd, slot, 0, 0));
	SAY("0 of nothing", notify(fd, NO_INDEX, 0, 0));
}

static void ports(void)
{
	struct port closed;

	fd = open_device(O_RDWR);
	slot = map_run(fd, grant(0), 1);
	port_open(&closed);
	xenevtchn_close(closed.evtchn);
	SAY("0", notify(fd, slot, NOTIFY_EVENT, 0));
	SAY("all ones", notify(fd, slot, NOTIFY_EVENT, ~0U));
	SAY("2^17", notify(fd, slot, NOTIFY_EVENT, 1U << 17));
	SAY("4000", notify(fd, slot, NOTIFY_EVENT, 4000));
	SAY("the kernel's", notify(fd, slot, NOTIFY_EVENT, 1));
	SAY("closed", notify(fd, slot, NOTIFY_EVENT, closed.local));
	SAY("bad port of nothing", notify(fd, NO_INDEX, NOTIFY_EVENT, ~0U));
	SAY("good port of nothing", notify(fd, NO_INDEX, NOTIFY_EVENT, port.local));
	SAY("good", notify(fd, slot, NOTIFY_EVENT, port.local));
	SAY("both, bad port", notify(fd, slot, BOTH, ~0U));
}

static void indexes(void)
{
	fd = open_device(O_RDWR);
	ref = grant_more(3);
	slot = map_run(fd, ref, 2);
	SAY("first byte", notify(fd, slot, NOTIFY_BYTE, 0));
	SAY("last byte", notify(fd, slot + 2 * PAGE - 1, NOTIFY_BYTE, 0));
	SAY("behind", notify(fd, slot + 2 * PAGE, NOTIFY_BYTE, 0));
	SAY("all ones", notify(fd, ~0ULL, NOTIFY_BYTE, 0));
	SAY("of another open", notify(open_device(O_RDWR), slot, NOTIFY_BYTE, 0));
	map_run(fd, ref + 2, 1);
	SAY("the next slot", notify(fd, slot + 2 * PAGE, NOTIFY_BYTE, 0));
}

static void read_only(void)
{
	make(1, PROT_READ);
	SAY("byte", notify(fd, slot, NOTIFY_BYTE, 0));
	SAY("both", notify(fd, slot, BOTH, port.local));
	SAY("event", notify(fd, slot, NOTIFY_EVENT, port.local));
	SAY("nothing", notify(fd, slot, 0, 0));
}

static void armed_then_read_only(void)
{
	fd = open_device(O_RDWR);
	ref = grant(0);
	slot = map_run(fd, ref, 1);
	SAY("NOTIFY", notify(fd, slot + BYTE, NOTIFY_BYTE, 0));
	map = place(fd, slot, PAGE, PROT_READ, MAP_SHARED);
	say("%s", map == MAP_FAILED ? result(-1) : look(map));
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	see("then", 1);
	say_pins();
}

static void munmap_unmap(void)
{
	make(2, RW);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	see("armed", 2);
	munmap(map, 2 * PAGE);
	see("munmap", 2);
	SAY("UNMAP", unmap(fd, slot, 2));
	see("UNMAP", 2);
}

static void unmap_munmap(void)
{
	make(2, RW);
	SAY("NOTIFY", notify(fd, slot + PAGE + BYTE, BOTH, port.local));
	SAY("UNMAP", unmap(fd, slot, 2));
	see("UNMAP", 2);
	munmap(map, 2 * PAGE);
	see("munmap", 2);
}

static void close_munmap(void)
{
	make(2, RW);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	close_device(fd);
	see("close", 2);
	munmap(map, 2 * PAGE);
	see("munmap", 2);
}

static void munmap_close(void)
{
	make(1, RW);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	munmap(map, PAGE);
	see("munmap", 1);
	close_device(fd);
	see("close", 1);
}

static void parts(void)
{
	make(3, RW);
	SAY("NOTIFY", notify(fd, slot + PAGE + BYTE, BOTH, port.local));
	munmap(map, PAGE);
	see("another page", 3);
	munmap(map + PAGE, PAGE);
	see("its page", 3);
	munmap(map, 3 * PAGE);
	see("all", 3);
	SAY("UNMAP", unmap(fd, slot, 3));
	see("UNMAP", 3);
}

static void never_mapped(void)
{
	fd = open_device(O_RDWR);
	ref = grant_more(2);
	slot = map_run(fd, ref, 1);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	SAY("UNMAP", unmap(fd, slot, 1));
	see("UNMAP", 1);
	SAY("NOTIFY", notify(fd, map_run(fd, ref + 1, 1) + BYTE, BOTH, port.local));
	close_device(fd);
	see("another, close", 2);
}

static void set_before_mmap(void)
{
	fd = open_device(O_RDWR);
	ref = grant(0);
	slot = map_run(fd, ref, 1);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	map = place(fd, slot, PAGE, RW, MAP_SHARED);
	see("mmap", 1);
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	see("then", 1);
}

static void replaced(void)
{
	make(2, RW);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	SAY("NOTIFY", notify(fd, slot + PAGE + BYTE, NOTIFY_BYTE, 0));
	munmap(map, 2 * PAGE);
	SAY("UNMAP", unmap(fd, slot, 2));
	see("then", 2);
}

static void cancelled(void)
{
	make(1, RW);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	SAY("NOTIFY", notify(fd, slot + BYTE, 0, 0));
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	see("then", 1);
}

static void refused_keeps(void)
{
	make(1, RW);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	SAY("bad port", notify(fd, slot, BOTH, ~0U));
	SAY("bad action", notify(fd, slot, 8, 0));
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	see("then", 1);
}

static void last_byte(void)
{
	make(2, RW);
	page_of(ref)[PAGE - 2] = page_of(ref + 1)[0] = 'n';
	SAY("NOTIFY", notify(fd, slot + PAGE - 1, NOTIFY_BYTE, 0));
	munmap(map, 2 * PAGE);
	SAY("UNMAP", unmap(fd, slot, 2));
	settle();
	say("bytes %s %s %s", look(page_of(ref) + PAGE - 2), look(page_of(ref) + PAGE - 1),
	    look(page_of(ref + 1)));
}

/* libvchan closes its channel before the ring goes. */
static void port_closed(void)
{
	struct port p;

	make(1, RW);
	port_open(&p);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, p.local));
	xenevtchn_close(p.evtchn);
	settle();
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	see("then", 1);
	say("%s at its port", domain_event(granter, p.guest) ? "event" : "no event");
}

static uint32_t childs_port;

static void binds(void)
{
	/* The granter's libraries are the parent's: only the number matters here. */
	child_ready();
}

/* Whoever has bound it. */
static void others_port(void)
{
	struct port p;
	pid_t child;

	port_open(&p);
	childs_port = p.local;
	child = start_child(binds);
	/* Now the file is the child's alone. */
	xenevtchn_close(p.evtchn);
	make(1, RW);
	SAY("NOTIFY", notify(fd, slot + BYTE, NOTIFY_EVENT, childs_port));
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	settle();
	say("%s at its port", domain_event(granter, p.guest) ? "event" : "no event");
	kill_child(child);
}

static void two_slots(void)
{
	uint64_t other;
	char *q;

	make(1, RW);
	q = mapped(fd, ref, 1, RW, &other);
	SAY("NOTIFY", notify(fd, slot + BYTE, BOTH, port.local));
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	see("one of two", 1);
	store(q + BYTE, 'q');
	munmap(q, PAGE);
	SAY("UNMAP", unmap(fd, other, 1));
	see("the other", 1);
}

const struct row notify_rows[] = {
	{ "8.1 argument", argument, NEVER },
	{ "8.2 actions", actions, NEVER },
	{ "8.3 ports", ports, NEVER },
	{ "8.4 indexes", indexes, NEVER },
	{ "8.5 read-only", read_only, NEVER },
	{ "8 set, then mmapped read-only", armed_then_read_only, IN_PV },
	{ "8 munmap, UNMAP", munmap_unmap, NEVER },
	{ "8 UNMAP, munmap", unmap_munmap, NEVER },
	{ "8 close, munmap", close_munmap, NEVER },
	{ "8 munmap, close", munmap_close, NEVER },
	{ "8 munmap of parts", parts, NEVER },
	{ "8 never mmapped", never_mapped, NEVER },
	{ "8 set before mmap", set_before_mmap, NEVER },
	{ "8 replaced", replaced, NEVER },
	{ "8 cancelled", cancelled, NEVER },
	{ "8 a refused one changes nothing", refused_keeps, NEVER },
	{ "8 last byte of a page", last_byte, NEVER },
	{ "8 port closed before", port_closed, NEVER },
	{ "8 port of another process", others_port, NEVER },
	{ "8 two slots of one grant", two_slots, NEVER },
	{ NULL, NULL, NEVER },
};
