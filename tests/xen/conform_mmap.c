/* SPDX-License-Identifier: MIT */
/*
 * conform_mmap.c - docs/gntdev-abi.md, section 4: mmap
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "conform.h"

static void arguments(void)
{
	int fd = open_device(O_RDWR);
	uint64_t index = map_run(fd, grant(0), 1);

	say_mmap("offset 1", fd, index + 1, PAGE, RW, MAP_SHARED);
	say_mmap("length 0", fd, index, 0, RW, MAP_SHARED);
	say_mmap("offset + length wraps", fd, 0xfffffffffffff000ULL, 2 * PAGE, RW, MAP_SHARED);
	say_mmap("length wraps", fd, index, ~0UL, RW, MAP_SHARED);
	say_mmap("neither shared nor private", fd, index, PAGE, RW, 0);
	say_mmap("GROWSDOWN", fd, index, PAGE, RW, MAP_SHARED | MAP_GROWSDOWN);
	say_mmap("SYNC, validated", fd, index, PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC);
	SAY("fixed, unaligned",
	    mmap((void *)0x10001, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)index) == MAP_FAILED
		    ? -1
		    : 0);
	say_pins();
	say_mmap("then", fd, index, PAGE, RW, MAP_SHARED);
}

static void modes(void)
{
	int rd = open_device(O_RDONLY), wr = open_device(O_WRONLY);
	uint32_t ref = grant_more(4);

	say_mmap("RW of O_RDONLY", rd, map_run(rd, ref, 1), PAGE, RW, MAP_SHARED);
	say_mmap("R of it", rd, 0, PAGE, PROT_READ, MAP_SHARED);
	say_mmap("private RW of O_RDONLY", rd, map_run(rd, ref, 1), PAGE, RW, MAP_PRIVATE);
	say_mmap("RW of O_WRONLY", wr, map_run(wr, ref, 1), PAGE, RW, MAP_SHARED);
	say_mmap("R of it", wr, 0, PAGE, PROT_READ, MAP_SHARED);
	say_mmap("W of it", wr, 0, PAGE, PROT_WRITE, MAP_SHARED);
	say_mmap("nothing, of O_WRONLY", wr, NO_INDEX, PAGE, RW, MAP_SHARED);
}

/* Where the device cannot be mapped executable as /dev is noexec, or windows are not on exec. */
static void executable(void)
{
	int fd = open_device(O_RDWR);

	say_mmap("RX", fd, map_run(fd, grant(0), 1), PAGE, PROT_READ | PROT_EXEC, MAP_SHARED);
}

static void flags(void)
{
	static const int flag[] = { MAP_NORESERVE, MAP_POPULATE, MAP_LOCKED,
				    MAP_32BIT,	   MAP_STACK,	 MAP_NONBLOCK | MAP_POPULATE };
	int fd = open_device(O_RDWR);

	for (unsigned int i = 0; i < sizeof(flag) / sizeof(flag[0]); i++) {
		char *p = place(fd, map_run(fd, grant(0), 1), PAGE, RW, MAP_SHARED | flag[i]);

		say("%s", p == MAP_FAILED ? result(-1) : look(p));
	}
	say_pins();
}

static void fixed(void)
{
	char *at = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(2);
	uint64_t index = map_run(fd, ref, 2), bad = map_run(fd, EMPTY_REF, 1);

	memset(at, 'o', 4 * PAGE);
	p = mmap(at, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, (off_t)index);
	SAY("NOREPLACE", p == MAP_FAILED ? -1 : 0);
	p = mmap(at, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)NO_INDEX);
	SAY("FIXED of nothing", p == MAP_FAILED ? -1 : 0);
	p = mmap(at + PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)index);
	say("FIXED %s, %s%s%s", p == at + PAGE ? "there" : "elsewhere", look(p), look(p + PAGE),
	    look(p + 2 * PAGE));
	p = mmap(at + 3 * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)bad);
	SAY("FIXED of a bad one", p == MAP_FAILED ? -1 : 0);
	munmap(at, 4 * PAGE);
}

/* What was there when a MAP_FIXED is refused. */
static void fixed_refused(void)
{
	char *at = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open_device(O_RDWR);

	*at = 'o';
	SAY("FIXED of nothing",
	    mmap(at, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)NO_INDEX) == MAP_FAILED ? -1 : 0);
	say("reads %s", look(at));
	munmap(at, PAGE);
}

static void private_write(void)
{
	int fd = open_device(O_RDWR);
	uint64_t index = map_run(fd, grant(0), 1);

	say_mmap("RW", fd, index, PAGE, RW, MAP_PRIVATE);
	say_mmap("W", fd, index, PAGE, PROT_WRITE, MAP_PRIVATE);
	say_mmap("of nothing", fd, NO_INDEX, PAGE, RW, MAP_PRIVATE);
	say_mmap("then shared", fd, index, PAGE, RW, MAP_SHARED);
}

static void exact_slot(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(4);
	uint64_t index = map_run(fd, ref, 3), next = map_run(fd, ref + 3, 1);

	say_mmap("nothing", fd, NO_INDEX, PAGE, RW, MAP_SHARED);
	say_mmap("part", fd, index, PAGE, RW, MAP_SHARED);
	say_mmap("inner page", fd, index + PAGE, 2 * PAGE, RW, MAP_SHARED);
	say_mmap("more", fd, index, 4 * PAGE, RW, MAP_SHARED);
	say_mmap("of another open", open_device(O_RDWR), index, 3 * PAGE, RW, MAP_SHARED);
	say_pins();
	say_mmap("rounded up", fd, index, 2 * PAGE + 1, RW, MAP_SHARED);
	say_mmap("the next", fd, next, 1, RW, MAP_SHARED);
	settle();
}

static void once(void)
{
	int fd = open_device(O_RDWR);
	uint64_t index = map_run(fd, grant(0), 1), bad = map_run(fd, EMPTY_REF, 1);
	char *p = place(fd, index, PAGE, RW, MAP_SHARED);

	say("reads %s", look(p));
	say_mmap("while mapped", fd, index, PAGE, RW, MAP_SHARED);
	munmap(p, PAGE);
	say_mmap("after munmap", fd, index, PAGE, PROT_READ, MAP_SHARED);
	say_mmap("bad", fd, bad, PAGE, RW, MAP_SHARED);
	domain_grant(granter, EMPTY_REF, 0, 0);
	say_mmap("granted by now", fd, bad, PAGE, RW, MAP_SHARED);
	domain_revoke(granter, EMPTY_REF);
	SAY("UNMAP", unmap(fd, bad, 1));
}

static void one_ref(const char *what, uint32_t domid, uint32_t ref, int prot)
{
	int fd = open_device(O_RDWR);
	struct gntdev_ref r = { domid, ref };
	uint64_t index;

	map_refs(fd, 1, &r, &index);
	say_mmap(what, fd, index, PAGE, prot, MAP_SHARED);
}

static void bad_refs(void)
{
	uint32_t ro = grant(GTF_readonly), other = grant(0), transit = grant(0);

	granter->entry[other].domid = 77;
	granter->entry[transit].flags = GTF_accept_transfer;
	one_ref("not granted", granter->domid, EMPTY_REF, RW);
	one_ref("beyond the table", granter->domid, NO_REF, RW);
	one_ref("no such domain", granter->domid + 100U, ro, PROT_READ);
	one_ref("to another domain", granter->domid, other, RW);
	one_ref("a transfer", granter->domid, transit, RW);
	one_ref("RW of a read-only one", granter->domid, ro, RW);
	one_ref("W of a read-only one", granter->domid, ro, PROT_WRITE);
	one_ref("R of a read-only one", granter->domid, ro, PROT_READ);
}

static void batch(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(3);
	struct gntdev_ref refs[4] = { { granter->domid, ref },
				      { granter->domid, EMPTY_REF },
				      { granter->domid, ref + 1 },
				      { granter->domid, ref + 2 } };
	uint64_t index;

	map_refs(fd, 4, refs, &index);
	say_mmap("mmap", fd, index, 4 * PAGE, RW, MAP_SHARED);
	settle();
	say_pins();
	SAY("NOTIFY", notify(fd, index, NOTIFY_BYTE, 0));
	say_mmap("again", fd, index, 4 * PAGE, RW, MAP_SHARED);
	SAY("UNMAP", unmap(fd, index, 4));
	settle();
	say_pins();
}

static void batch_byte(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant(0);
	struct gntdev_ref refs[2] = { { granter->domid, ref }, { granter->domid, EMPTY_REF } };
	uint64_t index;

	map_refs(fd, 2, refs, &index);
	SAY("NOTIFY", notify(fd, index + 5, NOTIFY_BYTE | NOTIFY_EVENT, port.local));
	say_mmap("mmap", fd, index, 2 * PAGE, RW, MAP_SHARED);
	settle();
	say("byte %s", look(page_of(ref) + 5));
	say_event();
	SAY("UNMAP", unmap(fd, index, 2));
	settle();
	say("byte %s", look(page_of(ref) + 5));
	say_event();
}

static void one_protection(const char *what, int prot, int type)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant(0);
	char *p = place(fd, map_run(fd, ref, 1), PAGE, prot, type);

	say("%s:", what);
	if (p == MAP_FAILED) {
		SAY("mmap", -1);
		return;
	}
	*page_of(ref) = 'l';
	say("reads %s", look(p));
	say("writes %s", store(p + 1, 'x'));
	say("granter has %s", look(page_of(ref) + 1));
	say_pins();
}

static void protections(void)
{
	one_protection("R", PROT_READ, MAP_SHARED);
	one_protection("RW", RW, MAP_SHARED);
	one_protection("W", PROT_WRITE, MAP_SHARED);
	one_protection("none", PROT_NONE, MAP_SHARED);
	one_protection("private R", PROT_READ, MAP_PRIVATE);
}

static void make_writable(int type, uint16_t grant_flags)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant(grant_flags);
	char *p = place(fd, map_run(fd, ref, 1), PAGE, PROT_READ, type);

	SAY("mprotect", mprotect(p, PAGE, RW));
	say("writes %s", store(p, 'x'));
	say("reads %s", look(p));
	say("granter has %s", look(page_of(ref)));
	settle();
	say_pins();
}

static void shared_to_write(void)
{
	make_writable(MAP_SHARED, 0);
}

static void shared_ro_to_write(void)
{
	make_writable(MAP_SHARED, GTF_readonly);
}

static void private_to_write(void)
{
	make_writable(MAP_PRIVATE, 0);
}

/* "dd" is a mapping that is left out of core dumps. */
static void core_dumps(void)
{
	char *p = mapped(open_device(O_RDWR), grant(0), 1, RW, NULL), line[512], start[32];
	FILE *f = fopen("/proc/self/smaps", "r");
	bool ours = false;

	snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
	while (f && fgets(line, sizeof(line), f)) {
		ours |= !strncmp(line, start, strlen(start));
		if (ours && !strncmp(line, "VmFlags:", 8))
			break;
	}
	say("%s", ours && strstr(line, " dd") ? "left out" : "dumped");
	if (f)
		fclose(f);
}

static void large(void)
{
	int fd = open_device(O_RDWR);
	uint32_t ref = grant_more(200);
	char *p = mapped(fd, ref, 200, RW, NULL);
	int bad = 0;

	for (unsigned int i = 0; i < 200; i++) {
		bad += *look(p + i * PAGE) != 'A' + (int)(i % 26);
		p[i * PAGE + 9] = (char)i;
		bad += page_of(ref + i)[9] != (char)i;
	}
	say("%d of 200 pages differ", bad);
}

const struct row mmap_rows[] = {
	{ "4 arguments", arguments, NEVER },
	{ "4 access modes", modes, NEVER },
	{ "4 executable", executable, NEVER },
	{ "4 flags", flags, NEVER },
	{ "4 fixed places", fixed, NEVER },
	{ "4 fixed place, refused", fixed_refused, NEVER },
	{ "4.1 private and writable", private_write, NEVER },
	{ "4.2 not the slot", exact_slot, NEVER },
	{ "4.3 one shot", once, NEVER },
	{ "4.7 bad references", bad_refs, NEVER },
	{ "4.7 batch with a bad reference", batch, NEVER },
	{ "4.7 notification of such a batch", batch_byte, NEVER },
	{ "4 protections", protections, NEVER },
	{ "4 mprotect to write, shared", shared_to_write, NEVER },
	{ "4 mprotect to write, read-only grant", shared_ro_to_write, NEVER },
	{ "4 mprotect to write, private", private_to_write, NEVER },
	{ "4 core dumps", core_dumps, NEVER },
	{ "4 200 pages", large, NEVER },
	{ NULL, NULL, NEVER },
};
