/* SPDX-License-Identifier: MIT */
/*
 * evtchn.c - walks through the behaviour of /dev/xen/evtchn and prints what it sees
 *
 *     evtchn DEVICE [NAME]
 *
 * Run once on the kernel's device and once on the daemon's, with its simulator, in the same dom0; each line is "row<TAB>observation",
 * as conform.c's. NAME: only rows whose names begin so. All channels are of domain 0 to itself: so both see the same, but for
 * the numbers of ports, which are not shown.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/sys/evtchn.h>

#define PORTS_MAX 1200

/* How a child ends that has read an event; else by its errno. */
#define READ_ALL 200

/* An event that is to come comes within that; a machine that is emulated is slow. */
#define PATIENCE_MS 20000

/* And one that is not is waited for so long. */
#define QUIET_MS 200

static const char *device;
static char said[4096];

/* No address, which the compiler does not know. */
static void *volatile nowhere;

/* Two opens, the ports of a channel between them. */
static int a, b, port_a, port_b;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	size_t n = strlen(said);
	va_list ap;

	if (n)
		n += (size_t)snprintf(said + n, sizeof(said) - n, ", ");
	va_start(ap, format);
	vsnprintf(said + n, sizeof(said) - n, format, ap);
	va_end(ap);
}

/* The result of a call, by its name if it is an error. */
static const char *result(long ret)
{
	static char number[8][24];
	static unsigned int next;
	char *s = number[next++ % 8];

	if (ret == -1)
		return strerrorname_np(errno);
	snprintf(s, sizeof(number[0]), "%ld", ret);
	return s;
}

/* The same, where it is a port. */
static const char *port(long ret)
{
	return ret > 0 ? "port" : result(ret);
}

static void nap(unsigned int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static int open_it(int flags)
{
	return open(device, O_RDWR | O_CLOEXEC | flags);
}

/* --- the calls ---------------------------------------------------------------------------------- */

static int bind_unbound(int fd, uint32_t domid)
{
	struct ioctl_evtchn_bind_unbound_port op = { domid };

	return ioctl(fd, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &op);
}

static int bind_to(int fd, uint32_t domid, int remote)
{
	struct ioctl_evtchn_bind_interdomain op = { domid, (uint32_t)remote };

	return ioctl(fd, IOCTL_EVTCHN_BIND_INTERDOMAIN, &op);
}

static int bind_virq(int fd, uint32_t virq)
{
	struct ioctl_evtchn_bind_virq op = { virq };

	return ioctl(fd, IOCTL_EVTCHN_BIND_VIRQ, &op);
}

static int unbind(int fd, uint32_t number)
{
	struct ioctl_evtchn_unbind op = { number };

	return ioctl(fd, IOCTL_EVTCHN_UNBIND, &op);
}

static int notify(int fd, int number)
{
	struct ioctl_evtchn_notify op = { (uint32_t)number };

	return ioctl(fd, IOCTL_EVTCHN_NOTIFY, &op);
}

static int restrict_to(int fd, uint16_t domid)
{
	struct ioctl_evtchn_restrict_domid op = { domid };

	return ioctl(fd, IOCTL_EVTCHN_RESTRICT_DOMID, &op);
}

static long unmask(int fd, int number)
{
	return write(fd, &number, sizeof(number));
}

/* Return: poll(2)'s events, or -1 */
static int events(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	p.events |= ms ? 0 : POLLOUT;
	n = poll(&p, 1, ms);
	return n < 0 ? n : p.revents;
}

/* What is there to be read, as it is known by @x and @y. */
static void say_read(int fd, int x, int y)
{
	uint32_t got[PORTS_MAX];
	long n = events(fd, QUIET_MS) & POLLIN ? read(fd, got, sizeof(got)) : 0;

	say("reads %s", result(n));
	for (long i = 0; i < n / 4 && i < 4; i++)
		say("%s", got[i] == (uint32_t)x	  ? "its port"
			  : got[i] == (uint32_t)y ? "the other"
						  : "?");
}

/* --- rows --------------------------------------------------------------------------------------- */

static void connect_both(void)
{
	port_a = bind_unbound(a, 0);
	port_b = bind_to(b, 0, port_a);
	say("binds %s %s", port(port_a), port(port_b));
	say_read(b, port_b, port_a);
	say("unmasks %s", result(unmask(b, port_b)));
}

static void row_arguments(void)
{
	say("unknown %s", result(ioctl(a, _IO('E', 99))));
	say("UNBOUND %s", result(ioctl(a, IOCTL_EVTCHN_BIND_UNBOUND_PORT, NULL)));
	say("INTERDOMAIN %s", result(ioctl(a, IOCTL_EVTCHN_BIND_INTERDOMAIN, NULL)));
	say("VIRQ %s", result(ioctl(a, IOCTL_EVTCHN_BIND_VIRQ, NULL)));
	say("UNBIND %s", result(ioctl(a, IOCTL_EVTCHN_UNBIND, NULL)));
	say("NOTIFY %s", result(ioctl(a, IOCTL_EVTCHN_NOTIFY, NULL)));
	say("RESTRICT %s", result(ioctl(a, IOCTL_EVTCHN_RESTRICT_DOMID, NULL)));
	say("RESET %s", result(ioctl(a, IOCTL_EVTCHN_RESET, NULL)));
	say("another size %s", result(ioctl(a, _IOC(_IOC_NONE, 'E', 4, 8), NULL)));
}

static void row_ports_of_others(void)
{
	say("NOTIFY %s", result(notify(a, 3000)));
	say("2^31 %s", result(notify(a, INT32_MIN)));
	/* As long as few are bound the kernel knows a page of them, 1024. */
	say("UNBIND %s", result(unbind(a, 900)));
	say("2^31 %s", result(unbind(a, 1U << 31)));
	connect_both();
	say("NOTIFY %s UNBIND %s", result(notify(a, port_b)), result(unbind(a, (uint32_t)port_b)));
}

static void row_bind(void)
{
	say("to no domain %s", port(bind_to(a, 999, 1)));
	say("to DOMID_XEN %s", port(bind_to(a, 0x7ff2, 1)));
	say("to no port %s", port(bind_to(a, 0, 3000)));
	say("for no domain %s", port(bind_unbound(a, 999)));
	port_a = bind_unbound(a, 999);
	say("to a port for others %s", port(bind_to(b, 0, port_a)));
	connect_both();
	say("once more %s", port(bind_to(b, 0, port_a)));
	port_a = bind_unbound(a, DOMID_SELF);
	say("DOMID_SELF %s %s", port(port_a), port(bind_to(a, DOMID_SELF, port_a)));
}

static void row_unbind(void)
{
	connect_both();
	say("UNBIND %s", result(unbind(b, (uint32_t)port_b)));
	say("again %s", result(unbind(b, (uint32_t)port_b)));
	say("NOTIFY to nobody %s", result(notify(a, port_a)));
	say_read(a, port_a, port_b);
	port_b = bind_to(b, 0, port_a);
	say("binds %s", port(port_b));
	say_read(b, port_b, port_a);
}

static void row_close(void)
{
	connect_both();
	close(b);
	nap(QUIET_MS);
	b = open_it(O_NONBLOCK);
	say("NOTIFY to nobody %s", result(notify(a, port_a)));
	port_b = bind_to(b, 0, port_a);
	say("binds %s", port(port_b));
	say_read(b, port_b, port_a);
}

static void row_virq(void)
{
	int p = bind_virq(a, VIRQ_DOM_EXC);

	say("DOM_EXC %s", port(p));
	say("again %s", port(bind_virq(b, VIRQ_DOM_EXC)));
	say("24 %s", port(bind_virq(a, 24)));
	say("2^31 %s", port(bind_virq(a, 1U << 31)));
	say("NOTIFY %s", result(notify(a, p)));
	say("UNBIND %s", result(unbind(a, (uint32_t)p)));
	say("DOM_EXC %s", port(bind_virq(b, VIRQ_DOM_EXC)));
}

static void row_restrict(void)
{
	connect_both();
	say("0 %s", result(restrict_to(b, 0)));
	say("0x7ff0 %s", result(restrict_to(b, DOMID_FIRST_RESERVED)));
	say("5 %s", result(restrict_to(b, 5)));
	say("6 %s", result(restrict_to(b, 6)));
	say("NULL %s", result(ioctl(b, IOCTL_EVTCHN_RESTRICT_DOMID, NULL)));
	say("VIRQ %s", port(bind_virq(b, 5)));
	say("VIRQ NULL %s", result(ioctl(b, IOCTL_EVTCHN_BIND_VIRQ, NULL)));
	say("UNBOUND %s", port(bind_unbound(b, 5)));
	say("UNBOUND NULL %s", result(ioctl(b, IOCTL_EVTCHN_BIND_UNBOUND_PORT, NULL)));
	say("INTERDOMAIN of 0 %s", port(bind_to(b, 0, port_a)));
	say("INTERDOMAIN NULL %s", result(ioctl(b, IOCTL_EVTCHN_BIND_INTERDOMAIN, NULL)));
	say("of 5 %s", port(bind_to(b, 5, port_a)));
	say("of 5 + 65536 %s", port(bind_to(b, 5 + 65536, port_a)));
	say("NOTIFY %s", result(notify(b, port_b)));
	say_read(a, port_a, port_b);
	say("UNBIND %s", result(unbind(b, (uint32_t)port_b)));
}

static void row_mask(void)
{
	connect_both();
	say("NOTIFY %s %s", result(notify(a, port_a)), result(notify(a, port_a)));
	say_read(b, port_b, port_a);
	say("NOTIFY %s %s", result(notify(a, port_a)), result(notify(a, port_a)));
	say_read(b, port_b, port_a);
	say("unmasks %s", result(unmask(b, port_b)));
	say_read(b, port_b, port_a);
	say("unmasks %s", result(unmask(b, port_b)));
	say_read(b, port_b, port_a);
}

static void row_read(void)
{
	uint32_t got[8];

	say("3 bytes %s", result(read(b, got, 3)));
	say("0 bytes %s", result(read(b, got, 0)));
	say("nothing %s", result(read(b, got, 4)));
	say("nothing, to NULL %s", result(read(b, nowhere, 4)));
	connect_both();
	notify(a, port_a);
	say("events %d", events(b, PATIENCE_MS));
	say("to NULL %s", result(read(b, nowhere, 4)));
	say("7 bytes %s", result(read(b, got, 7)));
	unmask(b, port_b);
	notify(a, port_a);
	say("events %d", events(b, PATIENCE_MS));
	say("readv %s", result(readv(b, (struct iovec[]){ { got, 4 }, { got + 4, 4 } }, 2)));
}

static void row_write(void)
{
	static uint32_t many[3072];

	say("3 bytes %s", result(write(b, many, 3)));
	say("0 bytes %s", result(write(b, many, 0)));
	say("NULL %s", result(write(b, nowhere, 4)));
	say("ports of others %s", result(write(b, (uint32_t[]){ 0, 1, 4095, UINT32_MAX }, 16)));
	say("4096 %s", result(write(b, many, 4096)));
	say("4097 %s", result(write(b, many, 4097)));
	say("12288 %s", result(write(b, many, sizeof(many))));
	connect_both();
	notify(a, port_a);
	say_read(b, port_b, port_a);
	notify(a, port_a);
	many[1024] = (uint32_t)port_b;
	say("behind the first page %s", result(write(b, many, 8192)));
	say_read(b, port_b, port_a);
	many[1023] = (uint32_t)port_b;
	say("in it %s", result(write(b, many, 8192)));
	say_read(b, port_b, port_a);
}

static void row_poll(void)
{
	say("nothing %d", events(b, 0));
	connect_both();
	notify(a, port_a);
	events(b, PATIENCE_MS);
	say("an event %d", events(b, 0));
}

/* Unmasked before it is read, a port is in the ring twice. */
static void row_overflow(void)
{
	uint32_t got[256];

	connect_both();
	for (int i = 0; i < 64; i++) {
		notify(a, port_a);
		nap(2);
		unmask(b, port_b);
	}
	say("64 events %d", events(b, 0));
	notify(a, port_a);
	nap(QUIET_MS);
	say("65 events %d", events(b, 0));
	say("read %s", result(read(b, got, sizeof(got))));
	say("3 bytes %s", result(read(b, got, 3)));
	say("RESET %s", result(ioctl(b, IOCTL_EVTCHN_RESET)));
	say("events %d", events(b, 0));
	notify(a, port_a);
	say_read(b, port_b, port_a);
	unmask(b, port_b);
	say_read(b, port_b, port_a);
}

static void row_many_ports(void)
{
	uint32_t got[PORTS_MAX];
	int n = 0;

	for (int i = 0; i < 200; i++) {
		int p = bind_unbound(a, 0);

		n += p > 0 && bind_to(b, 0, p) > 0;
	}
	say("%d", n);
	events(b, PATIENCE_MS);
	nap(QUIET_MS);
	say("read %s", result(read(b, got, sizeof(got))));
	say("unmasked %s", result(write(b, got, 800)));
	say("then %s", result(read(b, got, sizeof(got))));
}

static void row_positions(void)
{
	uint32_t got;

	connect_both();
	notify(a, port_a);
	events(b, PATIENCE_MS);
	say("lseek %s", result(lseek(b, 0, SEEK_SET)));
	say("pread %s", result(pread(b, &got, sizeof(got), 0)));
	say("pwrite %s", result(pwrite(b, &got, sizeof(got), 0)));
}

/* A child does it a while later. */
static pid_t notify_later(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	nap(QUIET_MS);
	notify(a, port_a);
	_exit(0);
}

static void row_sleep(void)
{
	uint32_t got = 0;
	pid_t pid;

	connect_both();
	fcntl(b, F_SETFL, 0);
	pid = notify_later();
	say("read %s", result(read(b, &got, sizeof(got))));
	say("%s", got == (uint32_t)port_b ? "its port" : "another");
	waitpid(pid, NULL, 0);
}

static void row_epoll(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int e = epoll_create1(EPOLL_CLOEXEC);

	connect_both();
	say("nothing %s", result(epoll_ctl(e, EPOLL_CTL_ADD, b, &ev)));
	say("%s", result(epoll_wait(e, &ev, 1, QUIET_MS)));
	for (int i = 0; i < 2; i++) {
		pid_t pid = notify_later();

		say("an event %s", result(epoll_wait(e, &ev, 1, PATIENCE_MS)));
		waitpid(pid, NULL, 0);
		say("once %s", result(epoll_wait(e, &ev, 1, QUIET_MS)));
		say_read(b, port_b, port_a);
		unmask(b, port_b);
	}
	close(e);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* A child that sleeps in a read. Return: its process. */
static pid_t sleeper(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };
	pid_t pid;
	uint32_t got;
	long n;

	fcntl(b, F_SETFL, 0);
	pid = fork();
	if (pid) {
		nap(QUIET_MS);
		return pid;
	}
	sigaction(SIGUSR1, &sa, NULL);
	n = read(b, &got, sizeof(got));
	_exit(n == sizeof(got) ? READ_ALL : errno);
}

static void say_end(pid_t pid)
{
	int status = 0, waited;

	for (waited = 0; waited < PATIENCE_MS && waitpid(pid, &status, WNOHANG) != pid;
	     waited += 10)
		nap(10);
	if (waited >= PATIENCE_MS)
		say("is there");
	else if (WIFSIGNALED(status))
		say("killed");
	else
		say("read %s",
		    WEXITSTATUS(status) == READ_ALL ? "4" : strerrorname_np(WEXITSTATUS(status)));
}

static void row_signals(void)
{
	pid_t pid;

	connect_both();
	pid = sleeper(0);
	kill(pid, SIGUSR1);
	say_end(pid);
	pid = sleeper(0);
	kill(pid, SIGKILL);
	say_end(pid);
	pid = sleeper(0);
	kill(pid, SIGTERM);
	say_end(pid);
	pid = sleeper(0);
	kill(pid, SIGSTOP);
	nap(QUIET_MS);
	kill(pid, SIGCONT);
	nap(QUIET_MS);
	notify(a, port_a);
	say("stopped");
	say_end(pid);
}

static void row_restart(void)
{
	pid_t pid;

	connect_both();
	pid = sleeper(SA_RESTART);
	kill(pid, SIGUSR1);
	nap(QUIET_MS);
	notify(a, port_a);
	say_end(pid);
}

static int ios;

static void on_io(int sig)
{
	(void)sig;
	ios++;
}

static void row_sigio(void)
{
	struct sigaction sa = { .sa_handler = on_io };

	connect_both();
	sigaction(SIGIO, &sa, NULL);
	fcntl(b, F_SETOWN, getpid());
	say("O_ASYNC %s", result(fcntl(b, F_SETFL, O_NONBLOCK | O_ASYNC)));
	notify(a, port_a);
	nap(QUIET_MS);
	say("SIGIO %d", ios);
}

/* --- the walk ----------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*walk)(void);
} rows[] = {
	{ "arguments", row_arguments },
	{ "ports of others", row_ports_of_others },
	{ "bind", row_bind },
	{ "unbind", row_unbind },
	{ "close", row_close },
	{ "VIRQ", row_virq },
	{ "restrict", row_restrict },
	{ "mask", row_mask },
	{ "read", row_read },
	{ "write", row_write },
	{ "poll", row_poll },
	{ "overflow", row_overflow },
	{ "200 ports", row_many_ports },
	{ "positions", row_positions },
	{ "sleep", row_sleep },
	{ "epoll", row_epoll },
	{ "signals", row_signals },
	{ "SA_RESTART", row_restart },
	{ "SIGIO", row_sigio },
};

int main(int argc, char **argv)
{
	const char *only = argc > 2 ? argv[2] : "";

	device = argv[1];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strncmp(rows[i].name, only, strlen(only)) != 0)
			continue;
		said[0] = '\0';
		a = open_it(0);
		b = open_it(O_NONBLOCK);
		if (a < 0 || b < 0) {
			perror(device);
			return 1;
		}
		rows[i].walk();
		close(a);
		close(b);
		printf("%s\t%s\n", rows[i].name, said);
		fflush(stdout);
	}
	return 0;
}
