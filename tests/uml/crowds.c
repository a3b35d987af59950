/* SPDX-License-Identifier: MIT */
/*
 * crowds.c - clients that want very much at once: crowds NAME [NUMBER]
 *
 * Opens, maps, windows, connections. Says "ready" when it is at it, and goes on until it is killed; it is nobody, who
 * may open the device.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/sys/gntdev.h>

#include "abi/winproto.h"
#include "tests/uml/attack.h"

/* --- limits --------------------------------------------------------------------------------------- */

static void many_descriptors(void)
{
	const struct rlimit files = { 30000, 30000 };

	if (setrlimit(RLIMIT_NOFILE, &files))
		die("descriptors");
}

/* Open until that is refused, @n times at the most. Return: how many are open. */
static int open_until_refused(int *fd, int n)
{
	int i = 0;

	while (i < n && (fd[i] = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC)) >= 0)
		i++;
	return i;
}

/* Have opens and maps until both are refused, go on asking for more, end all at once, and begin again. */
static void refused(int n)
{
	const uint32_t count = 1024;
	struct ioctl_gntdev_map_grant_ref *map = calloc(1, sizeof(*map) + count * 8UL);
	int *fd = calloc((size_t)n, sizeof(*fd));

	many_descriptors();
	become(NOBODY);
	for (bool told = false;; told = true) {
		int opens = open_until_refused(fd, n), i = 0;

		map->count = count;
		if (!opens || opens == n)
			die("opens are not refused");
		while (!ioctl(fd[i++ % opens], IOCTL_GNTDEV_MAP_GRANT_REF, map))
			;
		if (!told)
			ready();
		for (i = 0; i < 1000; i++) {
			ioctl(fd[i % opens], IOCTL_GNTDEV_MAP_GRANT_REF, map);
			open_until_refused(fd + opens, 1);
		}
		while (opens)
			close(fd[--opens]);
	}
}

/* Who does not take what the journal is sent: its socket, and nobody who receives. */
static void journal(int n)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX,
				    .sun_path = "/run/systemd/journal/socket" };
	int sock = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)n;
	mkdir("/run/systemd", 0755);
	mkdir("/run/systemd/journal", 0755);
	if (sock < 0 || bind(sock, (struct sockaddr *)&addr, sizeof(addr)))
		die("the journal's socket");
	for_ever();
}

/* --- windows ---------------------------------------------------------------------------------------- */

/* The next of the references that are granted for attacks: each can be mapped 255 times. */
static uint32_t next_ref(void)
{
	static unsigned int turn;
	const char *ref = getenv("ATTACK_REF"), *refs = getenv("ATTACK_REFS");

	return ref && refs ? (unsigned int)atoi(ref) + turn++ % (unsigned int)atoi(refs) : 0;
}

/* Return: whether there is one more window. */
static bool have_window(int fd)
{
	struct ioctl_gntdev_map_grant_ref map = { .count = 1 };

	map.refs[0].domid = 1;
	map.refs[0].ref = next_ref();
	return !ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map) &&
	       mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)map.index) != MAP_FAILED;
}

/* Many windows that end at once, with the process that has them; by gntdev-run. */
static void ends(int n)
{
	int made[2];
	char c;

	if (pipe(made))
		die("pipe");
	become(NOBODY);
	for (bool told = false;; told = true) {
		pid_t pid = fork();

		if (!pid) {
			int fd = open_device();

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (int i = 0; i < n && have_window(fd); i++)
				;
			if (write(made[1], "", 1) == 1)
				pause();
		}
		if (read(made[0], &c, 1) != 1)
			die("pipe");
		if (!told)
			ready();
		pause_ms(200);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

/* --- the window socket ---------------------------------------------------------------------------- */

#define FLOODERS 4

static struct window_token token;
static bool everybodys;

static int connected(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", token.socket);
	if (everybodys)
		*strrchr(addr.sun_path, '.') = '\0';
	if (sock >= 0 && connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
		close(sock);
		return -1;
	}
	return sock;
}

/* Map one of the pages that are granted for attacks, and ask for a window of it. */
static void ask_for_window(int fd, int sock)
{
	struct ioctl_gntdev_map_grant_ref map = { .count = 1 };
	struct window_request rq = {
		.magic = WINDOW_MAGIC,
		.version = WINDOW_VERSION,
		.prot = PROT_READ,
		.flags = MAP_SHARED,
		.open_id = token.open_id,
		.length = 4096,
	};

	map.refs[0].domid = 1;
	map.refs[0].ref = next_ref();
	if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map))
		return;
	rq.offset = map.index;
	memcpy(rq.secret, token.secret, sizeof(rq.secret));
	send(sock, &rq, sizeof(rq), MSG_NOSIGNAL);
}

/* Have @n connections all the time; whatever is taken away is replaced. */
static void connections(int n, bool asking)
{
	struct pollfd *p = calloc((size_t)n, sizeof(*p));
	int fd = open_device();

	token = (struct window_token){ .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	if (!p || ioctl(fd, WINDOW_TOKEN, &token))
		die("token");
	for (int i = 0; i < n; i++)
		p[i].fd = -1;
	for (bool told = false;; told = true) {
		for (int i = 0; i < n; i++) {
			if (p[i].fd >= 0 && p[i].revents) {
				close(p[i].fd);
				p[i].fd = -1;
			}
			if (p[i].fd >= 0)
				continue;
			p[i].fd = connected();
			if (p[i].fd >= 0 && asking)
				ask_for_window(fd, p[i].fd);
		}
		if (!told)
			ready();
		poll(p, (nfds_t)n, 5);
	}
}

/* They say nothing. */
static void silent(int n)
{
	many_descriptors();
	become(NOBODY);
	connections(n, false);
}

/* They do not read what they have asked for. */
static void unread(int n)
{
	many_descriptors();
	become(NOBODY);
	connections(n, true);
}

/* As many as the socket takes, again and again, by several processes; they say nothing, and close the oldest for the next. */
static void flood(int n)
{
	int *sock = calloc((size_t)n, sizeof(*sock));
	int fd = open_device();

	token = (struct window_token){ .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	if (!sock || ioctl(fd, WINDOW_TOKEN, &token))
		die("token");
	for (int i = 0; i < FLOODERS - 1 && fork(); i++)
		;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < n; i++)
		sock[i] = -1;
	for (int i = 0, round = 0;; i = (i + 1) % n) {
		close(sock[i]);
		sock[i] = connected();
		if (i == n - 1 && !round++)
			ready();
	}
}

/* At the socket that the attacker was told of. */
static void flood_own(int n)
{
	many_descriptors();
	become(NOBODY);
	flood(n);
}

/* At the one that is everybody's, whose name that one's begins with. */
static void flood_all(int n)
{
	everybodys = true;
	flood_own(n);
}

/* --- which ---------------------------------------------------------------------------------------- */

static const struct attack attacks[] = {
	{ "refused", refused, 20000 },	  { "journal", journal, 0 }, { "ends", ends, 1000 },
	{ "silent", silent, 900 },	  { "unread", unread, 900 }, { "flood", flood_own, 1000 },
	{ "flood_all", flood_all, 1000 },
};

int main(int argc, char **argv)
{
	return make_attack(attacks, sizeof(attacks) / sizeof(attacks[0]), argc, argv);
}
