/* SPDX-License-Identifier: MIT */
/*
 * evtchn.c - clients of /dev/xen/evtchn of two domains, by Debian's own libxenevtchn
 *
 *     evtchn [survive|hidden|busy]
 *
 * This process is in domain 0 and in domain 1: that library opens /dev/xen/evtchn only, so domain 1's node is bound over that, in
 * a mount namespace, between the two opens. Each fact is one line of TAP. With "survive" it says "ready", waits until somebody
 * has killed the daemon and started another one and sends a line, and goes on with what it had. With "hidden" it knows that the daemon
 * cannot see this process; with "busy" it uses channels in all ways until it is sent a line, while daemons are killed.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xen/sys/evtchn.h>

#define MANY 200

/* An event that does not come within so long never comes; a machine under load is slow. */
#define PATIENCE_MS 30000

/* Of each domain a handle, and one end of a channel between them. */
static xenevtchn_handle *h[2];
static int port[2];

static void row(const char *name, bool good)
{
	if (good)
		printf("ok evtchn: %s\n", name);
	else
		printf("not ok evtchn: %s - errno %d (%s)\n", name, errno, strerror(errno));
	fflush(stdout);
}

static bool fails(int expected, long result)
{
	return result == -1 && errno == expected;
}

static void nap(unsigned int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static xenevtchn_handle *open_domain(unsigned int domid)
{
	xenevtchn_handle *x;

	if (domid && (unshare(CLONE_NEWNS) ||
		      mount("/dev/xen/dom1/evtchn", "/dev/xen/evtchn", NULL, MS_BIND, NULL)))
		err(1, "domain 1's node");
	x = xenevtchn_open(NULL, 0);
	if (!x)
		err(1, "xenevtchn_open");
	return x;
}

static bool readable(int domain, int ms)
{
	struct pollfd p = { .fd = xenevtchn_fd(h[domain]), .events = POLLIN | POLLOUT };

	/* It can always be written to. */
	for (int waited = 0; waited <= ms; waited += 10) {
		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
			return false;
		if (p.revents & POLLIN || waited == ms)
			break;
		nap(10);
	}
	return p.revents & POLLIN;
}

/* The next event of a domain is of its end of the channel, which is unmasked then. */
static bool has_event(int domain)
{
	int pending = xenevtchn_pending(h[domain]);

	return pending == port[domain] && !xenevtchn_unmask(h[domain], pending);
}

static void connect_domains(void)
{
	h[0] = open_domain(0);
	h[1] = open_domain(1);
	port[1] = xenevtchn_bind_unbound_port(h[1], 0);
	row("domain 1 binds an unbound port", port[1] > 0);
	port[0] = xenevtchn_bind_interdomain(h[0], 1, (uint32_t)port[1]);
	row("domain 0 binds to it", port[0] > 0);
	row("and has an event at once", readable(0, 0) && has_event(0));
	row("domain 1 has none", !readable(1, 0));
}

static void both_ways(void)
{
	for (int from = 0; from < 2; from++) {
		row(from ? "1 notifies 0" : "0 notifies 1",
		    !xenevtchn_notify(h[from], port[from]) && readable(!from, 0) &&
			    has_event(!from));
		row("there is no more", !readable(!from, 0));
	}
}

static void masked(void)
{
	xenevtchn_notify(h[1], port[1]);
	row("a masked port", xenevtchn_pending(h[0]) == port[0]);
	xenevtchn_notify(h[1], port[1]);
	xenevtchn_notify(h[1], port[1]);
	row("is silent", !readable(0, 0));
	row("and has one event as it is unmasked",
	    !xenevtchn_unmask(h[0], port[0]) && has_event(0) && !readable(0, 0));
}

static void *notify_later(void *arg)
{
	(void)arg;
	nap(100);
	xenevtchn_notify(h[1], port[1]);
	return NULL;
}

static void later(pthread_t *t)
{
	if (pthread_create(t, NULL, notify_later, NULL))
		err(1, "pthread_create");
}

static void poll_and_sleep(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct pollfd p = { .fd = xenevtchn_fd(h[0]), .events = POLLIN };
	int e = epoll_create1(EPOLL_CLOEXEC);
	pthread_t t;

	later(&t);
	row("poll wakes", poll(&p, 1, PATIENCE_MS) == 1 && has_event(0));
	pthread_join(t, NULL);
	row("epoll", !epoll_ctl(e, EPOLL_CTL_ADD, p.fd, &ev) && epoll_wait(e, &ev, 1, 0) == 0);
	for (int i = 0; i < 3; i++) {
		later(&t);
		row("edge-triggered, wakes", epoll_wait(e, &ev, 1, PATIENCE_MS) == 1);
		pthread_join(t, NULL);
		row("once", epoll_wait(e, &ev, 1, 0) == 0 && has_event(0));
	}
	close(e);
	later(&t);
	row("a read sleeps until there is an event", has_event(0));
	pthread_join(t, NULL);
}

static void many_ports(void)
{
	xenevtchn_handle *x = xenevtchn_open(NULL, 0);
	static uint32_t events[1024];
	int n = 0;

	/* Both are domain 1's: it talks to itself. */
	for (int i = 0; x && i < MANY; i++) {
		int p = xenevtchn_bind_unbound_port(h[1], 1);

		n += p > 0 && xenevtchn_bind_interdomain(x, 1, (uint32_t)p) > 0;
	}
	row("200 ports on one open", n == MANY);
	row("each has its event, read at once",
	    read(xenevtchn_fd(x), events, sizeof(events)) == MANY * (long)sizeof(events[0]));
	row("what is written in one go unmasks them",
	    write(xenevtchn_fd(x), events, MANY * sizeof(events[0])) ==
		    MANY * (long)sizeof(events[0]));
	xenevtchn_close(x);
}

/* A client that sleeps in a read of domain 0's: with its own open. Return: its process. */
static pid_t sleeping_child(void (*handler)(int), int fd)
{
	struct sigaction sa = { .sa_handler = handler };
	pid_t pid = fork();
	uint32_t p;
	long n;

	if (pid)
		return pid;
	if (handler)
		sigaction(SIGUSR1, &sa, NULL);
	n = read(fd, &p, sizeof(p));
	_exit(n == sizeof(p) ? 0 : errno);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* Return: its exit status, -1 if it was killed, -2 if it is still there. */
static int end_of(pid_t pid, int ms)
{
	int status = 0;

	for (int waited = 0; waited <= ms; waited += 10) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		nap(10);
	}
	return -2;
}

static void killed_reader(void)
{
	pid_t pid = sleeping_child(NULL, xenevtchn_fd(h[0]));

	nap(100);
	kill(pid, SIGKILL);
	row("a reader that sleeps can be killed", end_of(pid, PATIENCE_MS) == -1);
}

static void signals(void)
{
	int fd = xenevtchn_fd(h[0]);
	pid_t pid;

	killed_reader();
	pid = sleeping_child(on_signal, fd);
	nap(100);
	kill(pid, SIGUSR1);
	row("a signal that is handled ends its read", end_of(pid, PATIENCE_MS) == EINTR);
	pid = sleeping_child(NULL, fd);
	nap(100);
	kill(pid, SIGSTOP);
	nap(100);
	kill(pid, SIGCONT);
	row("to be stopped for a while does not", end_of(pid, 300) == -2);
	xenevtchn_notify(h[1], port[1]);
	row("it reads", end_of(pid, PATIENCE_MS) == 0 && !xenevtchn_unmask(h[0], port[0]));
}

static void nonblocking(void)
{
	int fd = open("/dev/xen/evtchn", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	char buf[8];

	row("O_NONBLOCK: EAGAIN", fails(EAGAIN, read(fd, buf, sizeof(buf))));
	row("less than a port is nothing", read(fd, buf, 3) == 0 && write(fd, buf, 3) == 0);
	row("no such ioctl: ENOTTY", fails(ENOTTY, ioctl(fd, _IO('E', 99))));
	row("no such address: EFAULT",
	    fails(EFAULT, ioctl(fd, IOCTL_EVTCHN_NOTIFY, NULL)) &&
		    fails(EFAULT, ioctl(fd, IOCTL_EVTCHN_BIND_UNBOUND_PORT, NULL)));
	close(fd);
}

/* Domain 1's, as all that is opened by now. */
static void restricted(void)
{
	xenevtchn_handle *x = xenevtchn_open(NULL, 0);
	int p = xenevtchn_bind_unbound_port(x, 0);

	row("a handle is restricted", p > 0 && !xenevtchn_restrict(x, 5));
	row("once", fails(EACCES, xenevtchn_restrict(x, 5)));
	row("to interdomain ports", fails(EACCES, xenevtchn_bind_unbound_port(x, 5)) &&
					    fails(EACCES, xenevtchn_bind_virq(x, 3)));
	row("of one domain", fails(EACCES, xenevtchn_bind_interdomain(x, 0, 1)) &&
				     fails(ESRCH, xenevtchn_bind_interdomain(x, 5, 1)));
	row("what it had before works", !xenevtchn_notify(x, p) && !xenevtchn_unbind(x, p));
	xenevtchn_close(x);
}

/* Pages of domain 1 whose unmapping is told by events: by who grants, by who maps. */
static void notifications(void)
{
	xengntshr_handle *share = xengntshr_open(NULL, 0);
	xengnttab_handle *map = xengnttab_open(NULL, 0);
	uint32_t ref;
	void *granted =
		share ? xengntshr_share_page_notify(share, 0, &ref, 1, 0, (uint32_t)port[1]) : NULL;
	void *mapped;

	if (!granted || !map)
		err(1, "a granted page");
	mapped = xengnttab_map_grant_ref_notify(map, 1, ref, PROT_READ | PROT_WRITE, 4,
						(uint32_t)port[0]);
	row("a page is mapped with an event for its end", mapped && !readable(1, 0));
	xengnttab_unmap(map, mapped, 1);
	row("which comes", readable(1, PATIENCE_MS) && has_event(1));
	xengntshr_unshare(share, granted, 1);
	row("so does that of the one that was granted", readable(0, PATIENCE_MS) && has_event(0));
	xengnttab_close(map);
	xengntshr_close(share);
}

/* --- the daemon is killed ----------------------------------------------------------------------- */

static uint32_t slept;

static void *sleep_in_read(void *arg)
{
	int fd = *(int *)arg;

	return (void *)(long)(read(fd, &slept, sizeof(slept)) == sizeof(slept) ? 0 : errno);
}

static void survive(void)
{
	xenevtchn_handle *other = xenevtchn_open(NULL, 0);
	int pair[2], fd = xenevtchn_fd(other);
	struct pollfd p = { .fd = xenevtchn_fd(h[1]), .events = POLLIN };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int e = epoll_create1(EPOLL_CLOEXEC);
	char line[16];
	void *result;
	pthread_t t;

	pair[0] = xenevtchn_bind_unbound_port(other, 0);
	pair[1] = xenevtchn_bind_interdomain(h[0], 1, (uint32_t)pair[0]);
	row("another channel", pair[1] > 0 && xenevtchn_pending(h[0]) == pair[1]);
	/* In 0's ring; masked there, with one more that waits; a read that sleeps; a port that is bound to nothing. */
	xenevtchn_notify(h[1], port[1]);
	xenevtchn_notify(other, pair[0]);
	if (pthread_create(&t, NULL, sleep_in_read, &fd))
		err(1, "pthread_create");
	epoll_ctl(e, EPOLL_CTL_ADD, p.fd, &ev);
	epoll_wait(e, &ev, 1, 0);
	nap(200);
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		err(1, "nobody has killed the daemon");
	row("what was in the ring is", readable(0, PATIENCE_MS) && has_event(0) && !readable(0, 0));
	row("what was masked is, and its event waits",
	    !xenevtchn_unmask(h[0], pair[1]) && xenevtchn_pending(h[0]) == pair[1] &&
		    !xenevtchn_unmask(h[0], pair[1]) && !readable(0, 0));
	row("who slept sleeps", pthread_tryjoin_np(t, &result) == EBUSY);
	xenevtchn_notify(h[0], pair[1]);
	pthread_join(t, &result);
	row("until there is an event", !result && slept == (uint32_t)pair[0]);
	xenevtchn_notify(h[0], port[0]);
	row("who waits by epoll is woken", epoll_wait(e, &ev, 1, PATIENCE_MS) == 1 && has_event(1));
	both_ways();
	xenevtchn_close(other);
	close(e);
	row("the end of a handle unbinds its ports",
	    !xenevtchn_notify(h[0], pair[1]) && !xenevtchn_unbind(h[0], pair[1]));
}

/* --- daemons are killed all the time ------------------------------------------------------------ */

/* What the one says, and what the other has heard. */
static unsigned int said, heard;
static unsigned long wrong;
static bool over, said_all;

static void expect(bool good, const char *what)
{
	if (good)
		return;
	/* One of them tells enough. */
	if (!__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED))
		printf("# %s: errno %d (%s)\n", what, errno, strerror(errno));
}

/* Sleep until there is an event of a domain's end; it may be one of before. */
static void next_event(int domain)
{
	int pending = xenevtchn_pending(h[domain]);

	expect(pending == port[domain] && !xenevtchn_unmask(h[domain], pending), "an event");
}

static void *answer_all(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&said_all, __ATOMIC_SEQ_CST)) {
		next_event(1);
		__atomic_store_n(&heard, __atomic_load_n(&said, __ATOMIC_SEQ_CST),
				 __ATOMIC_SEQ_CST);
		expect(!xenevtchn_notify(h[1], port[1]), "notify");
	}
	return NULL;
}

/* If an event were lost it would be waited for for ever. */
static void *say_all(void *arg)
{
	unsigned int i = 0;

	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&said, ++i, __ATOMIC_SEQ_CST);
		expect(!xenevtchn_notify(h[0], port[0]), "notify");
		while (__atomic_load_n(&heard, __ATOMIC_SEQ_CST) != i)
			next_event(0);
	}
	/* The other one looks once more: not before, as it owes an answer until then. */
	__atomic_store_n(&said_all, true, __ATOMIC_SEQ_CST);
	xenevtchn_notify(h[0], port[0]);
	return NULL;
}

/* The event of before may have been read when the daemon was killed, and come once more. */
static bool comes(xenevtchn_handle *x, int wanted, int before)
{
	int pending = xenevtchn_pending(x);

	while (pending == before)
		pending = xenevtchn_pending(x);
	return pending == wanted;
}

static void *bind_all(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
		xenevtchn_handle *x = xenevtchn_open(NULL, 0);
		int p = xenevtchn_bind_unbound_port(x, 1), q;

		expect(x && p > 0, "an unbound port");
		q = xenevtchn_bind_interdomain(x, 1, (uint32_t)p);
		expect(q > 0 && xenevtchn_pending(x) == q, "a channel");
		expect(!xenevtchn_notify(x, q) && comes(x, p, q), "its event");
		expect(!xenevtchn_unbind(x, (uint32_t)p), "its end");
		xenevtchn_close(x);
	}
	return NULL;
}

static void busy(void)
{
	void *(*const work[])(void *) = { answer_all, say_all, bind_all };
	pthread_t t[3];
	char line[16];

	for (int i = 0; i < 3; i++)
		if (pthread_create(&t[i], NULL, work[i], NULL))
			err(1, "pthread_create");
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		err(1, "nobody says when it is over");
	__atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	printf("# %u echoes\n", said);
	row("no event was lost, and nothing failed", !wrong && said > 10);
}

int main(int argc, char **argv)
{
	connect_domains();
	if (argc > 1 && !strcmp(argv[1], "survive")) {
		survive();
	} else if (argc > 1 && !strcmp(argv[1], "busy")) {
		busy();
	} else if (argc > 1) {
		both_ways();
		poll_and_sleep();
		killed_reader();
	} else {
		both_ways();
		masked();
		poll_and_sleep();
		many_ports();
		signals();
		nonblocking();
		restricted();
		notifications();
	}
	xenevtchn_close(h[0]);
	xenevtchn_close(h[1]);
	return 0;
}
