/* SPDX-License-Identifier: MIT */
/*
 * conform_life.c - docs/gntdev-abi.md, section 5: what becomes of a mapping
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"

/* Most rows are about such a one. */
static int fd;
static uint32_t ref;
static uint64_t slot;
static char *map;

static void make(uint32_t n)
{
	fd = open_device(O_RDWR);
	ref = grant_more(n);
	map = mapped(fd, ref, n, RW, &slot);
	say_pins();
}

static void see(const char *when, uint32_t n)
{
	char s[256] = "";

	settle();
	for (uint32_t i = 0; i < n; i++)
		strcat(s, look(map + i * PAGE));
	say("%s: reads %s", when, s);
	say_pins();
}

static void pins_after(const char *when)
{
	settle();
	say("%s:", when);
	say_pins();
}

static void munmap_whole(void)
{
	make(2);
	munmap(map, 2 * PAGE);
	pins_after("munmap");
	SAY("UNMAP", unmap(fd, slot, 2));
	pins_after("UNMAP");
}

static void munmap_part(void)
{
	make(4);
	SAY("munmap of page 1", munmap(map + PAGE, PAGE));
	see("then", 4);
	SAY("page 0", munmap(map, PAGE));
	see("then", 4);
	SAY("all", munmap(map, 4 * PAGE));
	pins_after("then");
	SAY("UNMAP", unmap(fd, slot, 4));
	pins_after("then");
}

static void munmap_part_after_unmap(void)
{
	make(3);
	SAY("UNMAP", unmap(fd, slot, 3));
	SAY("munmap of page 0", munmap(map, PAGE));
	see("then", 3);
	SAY("all", munmap(map, 3 * PAGE));
	pins_after("then");
}

static void unmap_first(void)
{
	make(2);
	SAY("UNMAP", unmap(fd, slot, 2));
	see("UNMAP", 2);
	say("writes %s", store(map, 'x'));
	say("granter has %s", look(page_of(ref)));
	munmap(map, 2 * PAGE);
	pins_after("munmap");
}

static void close_first(void)
{
	make(2);
	SAY("close", close_device(fd));
	see("close", 2);
	say("writes %s", store(map, 'x'));
	say("granter has %s", look(page_of(ref)));
	munmap(map, 2 * PAGE);
	pins_after("munmap");
}

static void close_last(void)
{
	make(2);
	munmap(map, 2 * PAGE);
	SAY("close", close_device(fd));
	pins_after("close");
}

/* A mapping holds the file open: the other slot goes when the mapping goes. */
static void close_holds_others(void)
{
	uint32_t other;
	uint64_t index;

	make(1);
	other = grant(0);
	index = map_run(fd, other, 1);
	SAY("NOTIFY", notify(fd, index, NOTIFY_EVENT, port.local));
	close_device(fd);
	settle();
	say("close:");
	say_event();
	munmap(map, PAGE);
	settle();
	say("munmap:");
	say_event();
}

static void replaced(void)
{
	make(1);
	if (mmap(map, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != map)
		SAY("mmap", -1);
	see("mapped over", 1);
	SAY("UNMAP", unmap(fd, slot, 1));
	pins_after("UNMAP");
}

static void mprotects(void)
{
	make(2);
	SAY("mprotect", mprotect(map, PAGE, PROT_READ));
	see("mprotect", 2);
	SAY("back", mprotect(map, PAGE, RW));
	say("writes %s", store(map, 'x'));
	say("granter has %s", look(page_of(ref)));
}

static void dontneed(void)
{
	make(2);
	SAY("madvise", madvise(map, PAGE, MADV_DONTNEED));
	see("DONTNEED", 2);
}

static void dofork(void)
{
	make(2);
	SAY("madvise", madvise(map, 2 * PAGE, MADV_DOFORK));
	see("DOFORK", 2);
}

static void moved(void)
{
	char *to = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	make(2);
	to = mremap(map, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	SAY("mremap", to == MAP_FAILED ? -1 : 0);
	if (to != MAP_FAILED)
		map = to;
	see("moved", 2);
	say_offset(fd, map + PAGE);
	SAY("munmap", munmap(map, 2 * PAGE));
	pins_after("then");
}

/* If it is granted: what does the page behind the mapping show? */
static char *remap(const char *what, size_t from, size_t to, int flags)
{
	char *p = mremap(map, from, to, flags);

	SAY(what, p == MAP_FAILED ? -1 : 0);
	if (p == MAP_FAILED)
		return map;
	remember(p, to);
	if (to > from && from)
		say("behind it %s", look(p + from));
	return p;
}

static void grown(void)
{
	uint32_t other;

	make(1);
	other = grant(0);
	mapped(fd, other, 1, RW, NULL);
	map = remap("grow", PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	say("reads %s", look(map));
}

/* There is nothing behind it to be in the way. */
static void grown_in_place(void)
{
	char *room = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	make(1);
	munmap(map, PAGE);
	slot = map_run(fd, grant(0), 1);
	map = mmap(room, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)slot);
	munmap(room + PAGE, 3 * PAGE);
	remember(map, PAGE);
	remap("grow", PAGE, 2 * PAGE, 0);
}

static void doubled(void)
{
	make(1);
	say("%s", look(remap("old_len 0", 0, PAGE, MREMAP_MAYMOVE)));
	say("%s", look(remap("DONTUNMAP", PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)));
	say("behind %s", look(map));
}

static void shrunk(void)
{
	make(3);
	SAY("shrink", mremap(map, 3 * PAGE, PAGE, 0) == map ? 0 : -1);
	see("shrunk", 1);
	munmap(map, 3 * PAGE);
	pins_after("munmap");
}

static void revoked(void)
{
	make(1);
	domain_revoke(granter, ref);
	see("entry cleared", 1);
	store(map, 'x');
	say("granter has %s", look(page_of(ref)));
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	settle();
	say("flags %#x", granter->entry[ref].flags);
	fd = open_device(O_RDWR);
	say_mmap("a new one", fd, map_run(fd, ref, 1), PAGE, RW, MAP_SHARED);
}

/* The mapping works on. What another of its grants does depends on who still holds its page. */
static void one_dead(struct domain *d)
{
	struct gntdev_ref r[2] = { { d->domid, FIRST_REF }, { d->domid, FIRST_REF + 1 } };
	uint64_t index, after;
	char *p;

	memset(domain_page(d, 0), 'd', PAGE);
	domain_grant(d, FIRST_REF, 0, 0);
	domain_grant(d, FIRST_REF + 1, 1, 0);
	fd = open_device(O_RDWR);
	map_refs(fd, 1, r, &index);
	p = place(fd, index, PAGE, RW, MAP_SHARED);
	SAY("kill", domain_kill(d));
	say("reads %s", look(p));
	say("writes %s", store(p, 'x'));
	say("reads %s", look(p));
	say("%s", domain_exists(d) ? "listed" : "gone");
	SAY("MAP", map_refs(fd, 1, r + 1, &after));
	say_mmap("mmap", fd, after, PAGE, RW, MAP_SHARED);
	munmap(p, PAGE);
	SAY("UNMAP", unmap(fd, index, 1));
	SAY("UNMAP", unmap(fd, after, 1));
	close_device(fd);
}

/* Nobody maps it any more: it goes, perhaps not at once. */
static void say_gone(struct domain *d)
{
	for (int i = 0; i < 40 && domain_exists(d); i++)
		usleep(50000);
	say("then it is %s", domain_exists(d) ? "still listed" : "gone");
}

static void destroyed(void)
{
	struct domain *d = domain_new(2, 1);

	if (!d) {
		say("no domain");
		return;
	}
	one_dead(d);
	domain_unmap(d);
	say_gone(d);
	SAY("destroy", domain_destroy(d));
}

static void by_descriptor(const char *what, const char *path)
{
	int mem = open(path, O_RDWR);
	char c = '?';

	if (pread(mem, &c, 1, (off_t)(uintptr_t)map) == 1)
		say("%s reads %c", what, c);
	else
		SAY(what, -1);
	SAY("writes", pwrite(mem, "m", 1, (off_t)(uintptr_t)map));
	say("granter has %s", look(page_of(ref)));
	close(mem);
}

static void by_the_kernel(void)
{
	struct iovec to, from;
	char buf[4] = "";
	int p[2];

	make(1);
	to = (struct iovec){ buf, 3 };
	from = (struct iovec){ map, 3 };
	SAY("process_vm_readv", process_vm_readv(getpid(), &to, 1, &from, 1, 0));
	say("%s", buf);
	SAY("process_vm_writev", process_vm_writev(getpid(), &to, 1, &from, 1, 0));
	by_descriptor("/proc/PID/mem", "/proc/self/mem");
	if (pipe(p))
		return;
	SAY("write from it", write(p[1], map, PAGE));
	SAY("read into it", read(p[0], map + 1, 2));
	say("granter has %s%s", look(page_of(ref)), look(page_of(ref) + 1));
	close(p[0]);
	close(p[1]);
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	pins_after("then");
}

/*
 * A page that a pipe holds, after all else is gone, while another grant is mapped. What the pipe
 * delivers must be of the page it was given, never of the other one.
 */
static void busy_page(const int *p)
{
	char got[PAGE] = "";
	uint64_t index;
	uint32_t other;
	char *q;

	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	pins_after("in the pipe");
	other = grant(0);
	q = mapped(fd, other, 1, RW, &index);
	store(q, 'z');
	SAY("read", read(p[0], got, PAGE));
	say("delivers %c", got[0] ? got[0] : '0');
	munmap(q, PAGE);
	SAY("UNMAP", unmap(fd, index, 1));
	pins_after("drained");
}

static void busy(void)
{
	struct iovec iov;
	long ret;
	int p[2];

	make(1);
	if (pipe(p))
		return;
	iov = (struct iovec){ map, PAGE };
	ret = vmsplice(p[1], &iov, 1, 0);
	SAY("vmsplice", ret);
	if (ret > 0)
		busy_page(p);
	close(p[0]);
	close(p[1]);
}

static void dies(void)
{
	int own = open(device, O_RDWR);
	uint64_t index;
	char *p = mapped(own, ref, 2, RW, &index);

	store(p + 1, 'c');
	if (notify(own, index + PAGE + 7, NOTIFY_BYTE | NOTIFY_EVENT, port.local))
		SAY("NOTIFY", -1);
	child_ready();
}

static void say_end(void)
{
	settle();
	say_pins();
	say("byte %s", look(page_of(ref + 1) + 7));
	say_event();
}

static void exits(void)
{
	pid_t child;

	ref = grant_more(2);
	child = start_child(dies);
	say_pins();
	say("granter has %s", look(page_of(ref) + 1));
	go_on(child);
	say_end();
}

static void killed(void)
{
	pid_t child;

	ref = grant_more(2);
	child = start_child(dies);
	say_pins();
	kill_child(child);
	say_end();
}

const struct row life_rows[] = {
	{ "5 munmap", munmap_whole, NEVER },
	{ "5 munmap of parts", munmap_part, NEVER },
	{ "5 munmap of parts after UNMAP", munmap_part_after_unmap, NEVER },
	{ "5 UNMAP, then munmap", unmap_first, NEVER },
	{ "5 close, then munmap", close_first, NEVER },
	{ "5 munmap, then close", close_last, NEVER },
	{ "5 a mapping holds the file open", close_holds_others, NEVER },
	{ "5 mapped over", replaced, NEVER },
	{ "5 mprotect", mprotects, NEVER },
	{ "5 MADV_DONTNEED", dontneed, NEVER },
	{ "5 MADV_DOFORK", dofork, NEVER },
	{ "5 mremap, moved", moved, NEVER },
	{ "5 mremap, grown", grown, NEVER },
	{ "5 mremap, grown in place", grown_in_place, NEVER },
	{ "5 mremap, doubled", doubled, NEVER },
	{ "5 mremap, shrunk", shrunk, NEVER },
	{ "5 the granter clears its entry", revoked, NEVER },
	{ "5 the granter is destroyed", destroyed, NEVER },
	{ "5 read and written by the kernel", by_the_kernel, NEVER },
	{ "5 busy page", busy, IN_PV },
	{ "5 exit", exits, NEVER },
	{ "5 SIGKILL", killed, NEVER },
	{ NULL, NULL, NEVER },
};
