/* SPDX-License-Identifier: MIT */
/*
 * events.c - unmap notifications by event channels, as the granter receives them
 *
 * The granter is this process, and the client a child. Who has the event channel open is the client
 * itself, or this process.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/sys/gntdev.h>
#include <xenevtchn.h>

#include "dom0.h"

#define BYTE	 40U
#define WAIT_MS	 1500
#define QUIET_MS 100

static struct domain *granter;
static int to_granter[2], to_client[2];

struct client {
	struct client_map map;
	xenevtchn_handle *xe;
	xenevtchn_port_or_error_t port;
};

/* What the granter is to look at has been done. */
static void meet(void)
{
	char c = 'm';

	if (write(to_granter[1], &c, 1) != 1 || read(to_client[0], &c, 1) != 1)
		die("the granter is gone");
}

static void await(void)
{
	char c;

	if (read(to_granter[0], &c, 1) != 1)
		die("the client is gone");
}

static void go_on(void)
{
	if (write(to_client[1], "g", 1) != 1)
		die("go on");
}

static void by_unmap(struct client *c)
{
	client_unmap(&c->map);
	meet();
}

static void by_close(struct client *c)
{
	munmap(c->map.at, DOMAIN_PAGE);
	close(c->map.device);
	meet();
}

static void by_munmap_after_close(struct client *c)
{
	close(c->map.device);
	usleep(QUIET_MS * 1000);
	munmap(c->map.at, DOMAIN_PAGE);
	meet();
}

static void by_exit(struct client *c)
{
	(void)c;
}

static void by_kill(struct client *c)
{
	(void)c;
	raise(SIGKILL);
}

static void after_its_port(struct client *c)
{
	xenevtchn_close(c->xe);
	client_unmap(&c->map);
	meet();
}

static void without(struct client *c)
{
	if (device_notify(c->map.device, c->map.index, 0, 0))
		die("SET_UNMAP_NOTIFY");
	client_unmap(&c->map);
	meet();
}

static const struct end {
	const char *name;
	void (*by)(struct client *c);
	bool meets, ours, sent;
} ends[] = {
	{ "unmaps", by_unmap, .meets = 1, .sent = 1 },
	{ "closes the device", by_close, .meets = 1, .sent = 1 },
	{ "closes the device, and unmaps", by_munmap_after_close, .meets = 1, .sent = 1 },
	{ "exits", by_exit, .sent = 1 },
	{ "is killed", by_kill, .sent = 1 },
	{ "exits (another has its port)", by_exit, .ours = 1, .sent = 1 },
	{ "is killed (another has its port)", by_kill, .ours = 1, .sent = 1 },
	{ "takes the notification back", without, .meets = 1 },
	{ "closes its port before", after_its_port, .meets = 1, .sent = 1 },
};

/* Within that time; once it is there, or should not be, nothing else may come. */
static bool event_comes(uint32_t port, unsigned int ms)
{
	uint64_t end = now_ms() + ms;

	do {
		if (domain_event(granter, port))
			return true;
		usleep(2000);
	} while (now_ms() < end);
	return false;
}

static void bind_port(struct client *c, uint32_t remote)
{
	c->xe = xenevtchn_open(NULL, 0);
	c->port = c->xe ? xenevtchn_bind_interdomain(c->xe, granter->domid, remote) : -1;
	if (c->port < 0)
		die("event channel");
}

static _Noreturn void run_client(const struct end *end, struct client *c, uint32_t remote,
				 uint32_t ref)
{
	if (!end->ours)
		bind_port(c, remote);
	c->map = client_map(granter->domid, ref, 1, PROT_READ | PROT_WRITE);
	c->map.at[BYTE] = 1;
	if (device_notify(c->map.device, c->map.index + BYTE,
			  UNMAP_NOTIFY_SEND_EVENT | UNMAP_NOTIFY_CLEAR_BYTE, (uint32_t)c->port))
		die("SET_UNMAP_NOTIFY");
	meet();
	end->by(c);
	_exit(0);
}

static void run_end(const struct end *end, uint32_t ref)
{
	struct client c = { .xe = NULL };
	int remote = domain_port(granter), status;
	char *byte = domain_page(granter, ref - DOMAIN_FIRST_REF) + BYTE;
	bool early, came;
	pid_t pid;

	domain_grant(granter, ref, ref - DOMAIN_FIRST_REF, 0);
	if (remote < 0 || pipe(to_granter) || pipe(to_client))
		die("port");
	if (end->ours)
		bind_port(&c, (uint32_t)remote);
	pid = fork();
	if (!pid)
		run_client(end, &c, (uint32_t)remote, ref);
	await();
	/* Binding sends one. */
	domain_event(granter, (uint32_t)remote);
	early = *byte != 1 || event_comes(remote, QUIET_MS);
	go_on();
	if (end->meets)
		await();
	came = event_comes((uint32_t)remote, end->sent ? WAIT_MS : QUIET_MS);
	report(!early && came == end->sent, "a client that %s: the event %s", end->name,
	       end->sent ? "comes, and not before" : "does not come");
	if (end->meets)
		go_on();
	waitpid(pid, &status, 0);
	report(released(granter, ref, 1) && !!*byte == (end->by == without),
	       "a client that %s: the page is released, the byte is %s", end->name,
	       end->by == without ? "left" : "cleared");
	if (c.xe)
		xenevtchn_close(c.xe);
}

int main(void)
{
	granter = domain_new(16, 1);
	if (!granter)
		return 1;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		run_end(&ends[i], DOMAIN_FIRST_REF + (uint32_t)i);
	domain_destroy(granter);
	return reported_bad() != 0;
}
