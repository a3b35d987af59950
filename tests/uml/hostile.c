/* SPDX-License-Identifier: MIT */
/*
 * hostile.c - clients that speak the window protocol and mean no good
 *
 *     hostile readonly DOMID REF   asks for a writable window of a device opened read-only
 *     hostile truncate DOMID REF   has a byte to be cleared, cuts the window's file short, and ends
 *     hostile linger SOCKET        as nobody: sends sockets whose closing takes an hour
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/sys/gntdev.h>

#include "abi/winproto.h"

/* More than the daemon serves at a time. */
#define SILENT 520

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int connect_window(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strncpy(sun.sun_path, path, sizeof(sun.sun_path) - 1);
	if (s < 0 || connect(s, (struct sockaddr *)&sun, sizeof(sun)))
		die("connect");
	return s;
}

/* One byte of control data: a descriptor. */
union one_fd {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* MAP, token, and a request of our own making. Return: the daemon's errno, or 0 and *@window. */
static int ask(int device, const char *domid, const char *ref, uint32_t prot, int *window)
{
	struct ioctl_gntdev_map_grant_ref map = { .count = 1 };
	struct window_token token = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	struct window_request rq = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	union {
		struct window_reply reply;
		char bytes[WINDOW_REPLY_MAX];
	} in;
	union one_fd control;
	struct iovec iov = { &in, sizeof(in) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int s;

	map.refs[0].domid = (uint32_t)atoi(domid);
	map.refs[0].ref = (uint32_t)atoi(ref);
	if (ioctl(device, IOCTL_GNTDEV_MAP_GRANT_REF, &map) || ioctl(device, WINDOW_TOKEN, &token))
		die("ioctl");
	rq.prot = prot;
	rq.flags = MAP_SHARED;
	rq.open_id = token.open_id;
	memcpy(rq.secret, token.secret, sizeof(rq.secret));
	rq.offset = map.index;
	rq.length = 4096;
	s = connect_window(token.socket);
	if (send(s, &rq, sizeof(rq), 0) < 0 || recvmsg(s, &msg, 0) < 0)
		die("window");
	if (!in.reply.error && CMSG_FIRSTHDR(&msg))
		memcpy(window, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*window));
	close(s);
	return in.reply.error;
}

static void do_readonly(char **argv)
{
	int window = -1, device = open("/dev/xen/gntdev", O_RDONLY);
	int err = ask(device, argv[2], argv[3], PROT_READ | PROT_WRITE, &window);

	printf("readonly: %s\n", err ? strerror(err) : "a writable window");
}

static void do_truncate(char **argv)
{
	struct ioctl_gntdev_unmap_notify notify = { .action = UNMAP_NOTIFY_CLEAR_BYTE };
	int window = -1, device = open("/dev/xen/gntdev", O_RDWR);
	int err = ask(device, argv[2], argv[3], PROT_READ | PROT_WRITE, &window);

	if (err || ioctl(device, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &notify) || ftruncate(window, 0))
		die("truncate");
	puts("truncate: done");
}

/* A TCP connection with unsent data, which its close is to wait for. */
static int lingering_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger linger = { 1, 3600 };
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(to);
	static char data[65536];

	if (bind(l, (struct sockaddr *)&to, len) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&to, &len) || connect(c, (struct sockaddr *)&to, len))
		die("tcp");
	fcntl(c, F_SETFL, O_NONBLOCK);
	while (write(c, data, sizeof(data)) > 0)
		;
	setsockopt(c, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return c;
}

static void do_linger(char **argv)
{
	char data[sizeof(struct window_request)] = { 0 };
	struct iovec iov = { data, sizeof(data) };

	if (setgid(65534) || setuid(65534))
		die("setuid");
	/* Silent connections in front, so that nobody reads the others before we have closed ours. */
	for (int i = 0; i < SILENT; i++)
		connect_window(argv[2]);
	for (int i = 0; i < 4; i++) {
		int c = lingering_socket(), s = connect_window(argv[2]);
		union one_fd control = { .head = { CMSG_LEN(sizeof(c)), SOL_SOCKET, SCM_RIGHTS } };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &control,
				      .msg_controllen = sizeof(control) };

		memcpy(CMSG_DATA(&control.head), &c, sizeof(c));
		if (sendmsg(s, &msg, 0) < 0)
			die("sendmsg");
		close(c);
	}
	puts("linger: sent");
	fflush(stdout);
	pause();
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "readonly"))
		do_readonly(argv);
	else if (argc == 4 && !strcmp(argv[1], "truncate"))
		do_truncate(argv);
	else if (argc == 3 && !strcmp(argv[1], "linger"))
		do_linger(argv);
	return 0;
}
