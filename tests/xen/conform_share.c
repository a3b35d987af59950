/* SPDX-License-Identifier: MIT */
/*
 * conform_share.c - docs/gntdev-abi.md, section 5, end: one file or mapping in several processes
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"

static int fd, sock[2];
static uint32_t ref;
static uint64_t slot;
static char *map;

static void make(void)
{
	fd = open_device(O_RDWR);
	ref = grant_more(2);
	map = mapped(fd, ref, 1, RW, &slot);
}

static void say_state(const char *when)
{
	settle();
	say("%s:", when);
	say_pins();
}

static void uses_inherited(void)
{
	say("the child reads %s", look(map));
	say("writes %s", store(map + 1, 'c'));
	say_offset(fd, map);
	child_ready();
	say("the child still reads %s", look(map));
}

static void forked(void)
{
	pid_t child;

	make();
	child = start_child(uses_inherited);
	say("granter has %s", look(page_of(ref) + 1));
	munmap(map, PAGE);
	SAY("UNMAP", unmap(fd, slot, 1));
	say_state("munmap, UNMAP");
	go_on(child);
	say_state("child gone");
}

static void parent_goes_on(void)
{
	pid_t child;

	make();
	child = start_child(child_ready);
	kill_child(child);
	settle();
	say("child killed: reads %s, writes %s", look(map), store(map, 'x'));
	say("granter has %s", look(page_of(ref)));
	say_pins();
}

static void holds_only(void)
{
	close(fd);
	child_ready();
	say("the child reads %s", look(map));
}

/* The mapping is in the child alone, the descriptor nowhere. */
static void child_alone(void)
{
	pid_t child;

	make();
	child = start_child(holds_only);
	munmap(map, PAGE);
	close_device(fd);
	say_state("close, munmap");
	go_on(child);
	say_state("child gone");
}

static void maps_parents(void)
{
	uint64_t index = map_run(fd, ref + 1, 1);
	char *p = place(fd, slot, PAGE, RW, MAP_SHARED),
	     *q = place(fd, index, PAGE, RW, MAP_SHARED);

	say("the child has %s%s at %#llx", look(p), look(q), (unsigned long long)index);
	SAY("its UNMAP of the parent's", unmap(fd, slot, 1));
	slot = index;
}

static void child_maps(void)
{
	fd = open_device(O_RDWR);
	ref = grant_more(2);
	slot = map_run(fd, ref, 1);
	in_child(maps_parents);
	settle();
	say_pins();
	SAY("UNMAP", unmap(fd, slot, 1));
	SAY("UNMAP of the child's", unmap(fd, slot + PAGE, 1));
	settle();
	say_pins();
}

static void unmaps_parents(void)
{
	SAY("the child's UNMAP", unmap(fd, slot, 1));
}

static void child_unmaps(void)
{
	make();
	in_child(unmaps_parents);
	settle();
	say("reads %s", look(map));
	say_pins();
	SAY("NOTIFY", notify(fd, slot, NOTIFY_BYTE, 0));
	SAY("UNMAP", unmap(fd, slot, 1));
	munmap(map, PAGE);
	say_state("munmap");
}

static void duplicates(void)
{
	int other;

	fd = open_device(O_RDWR);
	other = dup(fd);
	ref = grant(0);
	slot = map_run(fd, ref, 1);
	map = place(other, slot, PAGE, RW, MAP_SHARED);
	say("reads %s", look(map));
	close_device(fd);
	munmap(map, PAGE);
	SAY("UNMAP by the duplicate", unmap(other, slot, 1));
	slot = map_run(other, ref, 1);
	say("index %#llx", (unsigned long long)slot);
	SAY("NOTIFY", notify(other, slot, NOTIFY_EVENT, port.local));
	close(other);
	settle();
	say_event();
}

static void send_fd(int s, int what)
{
	char c = 0, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &what, sizeof(int));
	if (sendmsg(s, &m, 0) != 1)
		SAY("sendmsg", -1);
}

static int receive_fd(int s)
{
	char c, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int got = -1;

	if (recvmsg(s, &m, 0) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	return got;
}

/* As an X server does for the GUI daemon: another process, another user. */
static void receiver(void)
{
	int got;
	char *p;

	if (setuid(65534))
		say("setuid failed");
	child_ready();
	got = receive_fd(sock[1]);
	p = place(got, slot, PAGE, PROT_READ, MAP_SHARED);
	say("receiver: %s", p == MAP_FAILED ? result(-1) : look(p));
	say_offset(got, p);
}

static void passed(void)
{
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock))
		return;
	child = start_child(receiver);
	fd = open_device(O_RDWR);
	ref = grant(0);
	slot = map_run(fd, ref, 1);
	send_fd(sock[0], fd);
	close_device(fd);
	go_on(child);
	settle();
	say_pins();
	close(sock[0]);
	close(sock[1]);
}

/* Descriptors outlive execve, mappings do not. */
static void executes(void)
{
	char *p = place(fd, slot, PAGE, RW, MAP_SHARED);

	store(p, 'e');
	exec_self(fd, ref + 1);
	say("no execve");
}

static void executed(void)
{
	pid_t child;

	fd = open_device(O_RDWR);
	ref = grant_more(2);
	slot = map_run(fd, ref, 1);
	child = start_child(executes);
	say("granter has %s", look(page_of(ref)));
	say_state("execve");
	go_on(child);
	say("the program wrote %s", look(page_of(ref + 1)));
	say_mmap("again", fd, slot, PAGE, RW, MAP_SHARED);
	SAY("UNMAP", unmap(fd, slot, 1));
	SAY("UNMAP of the program's", unmap(fd, slot + PAGE, 1));
	say_state("then");
}

const struct row share_rows[] = {
	{ "5 fork", forked, NEVER },
	{ "5 fork, the child dies", parent_goes_on, NEVER },
	{ "5 fork, the child holds it alone", child_alone, NEVER },
	{ "5 a child maps its parent's slot", child_maps, NEVER },
	{ "5 a child unmaps its parent's slot", child_unmaps, NEVER },
	{ "5 dup", duplicates, NEVER },
	{ "5 descriptor passed on", passed, NEVER },
	{ "5 execve", executed, NEVER },
	{ NULL, NULL, NEVER },
};
