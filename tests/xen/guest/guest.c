/* SPDX-License-Identifier: MIT */
/*
 * guest - the granter of tests that need a booted one: does what dom0 asks of it through xenstore
 *
 * dom0 writes "NUMBER COMMAND ARGUMENT..." to data/ask of this domain; the answer to it is
 * "NUMBER TEXT" in data/answer. data/answer is "0 ready" once there is somebody to ask.
 *
 *   share N [ro]         grant N more pages to domain 0: their references. Page K of all starts with
 *                        "page K of the guest"
 *   unshare              end all grants
 *   peek PAGE OFF LEN    bytes of a page, in hexadecimal
 *   poke PAGE OFF TEXT   write into a page
 *   fill PAGE N BYTE     write all of N pages
 *   differ PAGE N BYTE   how many of N pages have another byte
 *   port                 an event channel that domain 0 may bind: its number
 *   events PORT          how many events have come through it
 *   sh COMMAND           what a command of the guest's shell prints
 */
#include <err.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#define PAGE	   4096
#define PAGES_MAX  1024
#define BATCH_MAX  512
#define PORTS_MAX  64
#define ANSWER_MAX 4000

struct batch {
	char *start;
	uint32_t pages;
};

static struct xs_handle *xs;
static xengntshr_handle *xgs;
static xenevtchn_handle *xe;
static struct batch batches[PAGES_MAX];
static unsigned int nbatches, npages;
static char *pages[PAGES_MAX];
static unsigned int events[PORTS_MAX];

/* Numbers that are missing are 0. */
static void numbers(const char *args, unsigned int *v, int n)
{
	char *end;

	for (int i = 0; i < n; i++, args = end)
		v[i] = (unsigned int)strtoul(args, &end, 0);
}

static void share(const char *args, char *answer)
{
	uint32_t refs[BATCH_MAX];
	unsigned int n;
	char *start;
	int len = 0;

	numbers(args, &n, 1);
	if (!n || n > BATCH_MAX || npages + n > PAGES_MAX) {
		strcpy(answer, "error: too many");
		return;
	}
	start = xengntshr_share_pages(xgs, 0, (int)n, refs, !strstr(args, "ro"));
	if (!start) {
		strcpy(answer, "error: gntalloc");
		return;
	}
	batches[nbatches++] = (struct batch){ start, n };
	for (unsigned int i = 0; i < n; i++) {
		pages[npages] = start + (size_t)i * PAGE;
		sprintf(pages[npages], "page %u of the guest", npages);
		npages++;
		len += snprintf(answer + len, ANSWER_MAX - (size_t)len, "%u ", refs[i]);
	}
}

static void unshare(void)
{
	for (unsigned int i = 0; i < nbatches; i++)
		xengntshr_unshare(xgs, batches[i].start, batches[i].pages);
	nbatches = 0;
	npages = 0;
}

static void peek(const char *args, char *answer)
{
	unsigned int v[3];

	numbers(args, v, 3);
	if (v[0] >= npages || v[1] > PAGE || v[2] > PAGE - v[1] || v[2] > ANSWER_MAX / 2 - 1)
		return;
	for (unsigned int i = 0; i < v[2]; i++)
		sprintf(answer + 2 * i, "%02x", (unsigned char)pages[v[0]][v[1] + i]);
}

static void poke(const char *args)
{
	unsigned int page, off;
	int at = 0;

	if (sscanf(args, "%u %u %n", &page, &off, &at) == 2 && page < npages && off < PAGE)
		memcpy(pages[page] + off, args + at, strnlen(args + at, PAGE - off));
}

static void fill(const char *args)
{
	unsigned int v[3];

	numbers(args, v, 3);
	for (unsigned int i = v[0]; i < npages && i < v[0] + v[1]; i++)
		memset(pages[i], (int)v[2], PAGE);
}

static int has_another(const char *page, unsigned int byte)
{
	for (int i = 0; i < PAGE; i++)
		if ((unsigned char)page[i] != byte)
			return 1;
	return 0;
}

static void differ(const char *args, char *answer)
{
	unsigned int v[3], n = 0;

	numbers(args, v, 3);
	for (unsigned int i = v[0]; i < npages && i < v[0] + v[1]; i++)
		n += (unsigned int)has_another(pages[i], v[2]);
	sprintf(answer, "%u", n);
}

static void shell(const char *command, char *answer)
{
	FILE *f = popen(command, "r");

	if (!f)
		return;
	answer[fread(answer, 1, ANSWER_MAX - 32, f)] = '\0';
	sprintf(answer + strlen(answer), "status %d", pclose(f));
}

static void command(const char *ask, char *answer)
{
	char verb[16] = "";
	int at = 0;
	const char *args;

	sscanf(ask, "%15s %n", verb, &at);
	args = ask + at;
	if (!strcmp(verb, "share"))
		share(args, answer);
	else if (!strcmp(verb, "unshare"))
		unshare();
	else if (!strcmp(verb, "peek"))
		peek(args, answer);
	else if (!strcmp(verb, "poke"))
		poke(args);
	else if (!strcmp(verb, "fill"))
		fill(args);
	else if (!strcmp(verb, "differ"))
		differ(args, answer);
	else if (!strcmp(verb, "port"))
		sprintf(answer, "%d", xenevtchn_bind_unbound_port(xe, 0));
	else if (!strcmp(verb, "events"))
		sprintf(answer, "%u", events[strtoul(args, NULL, 0) % PORTS_MAX]);
	else if (!strcmp(verb, "sh"))
		shell(args, answer);
	else
		strcpy(answer, "error: no such command");
}

static void say(unsigned int number, const char *text)
{
	char line[ANSWER_MAX + 16];
	int len = snprintf(line, sizeof(line), "%u %s", number, text);

	if (!xs_write(xs, XBT_NULL, "data/answer", line, (unsigned int)len))
		err(1, "cannot answer");
}

/* A watch fires once when it is set, too. */
static void asked(void)
{
	static unsigned int last;
	char answer[ANSWER_MAX + 64] = "";
	unsigned int len, number;
	char *ask;
	int at = 0;

	free(xs_read_watch(xs, &len));
	ask = xs_read(xs, XBT_NULL, "data/ask", &len);
	if (ask && sscanf(ask, "%u %n", &number, &at) == 1 && number != last) {
		command(ask + at, answer);
		last = number;
		say(number, answer);
	}
	free(ask);
}

static void event(void)
{
	xenevtchn_port_or_error_t port = xenevtchn_pending(xe);

	if (port < 0)
		return;
	events[port % PORTS_MAX]++;
	xenevtchn_unmask(xe, (evtchn_port_t)port);
}

int main(void)
{
	struct pollfd fds[2];

	xs = xs_open(0);
	xgs = xengntshr_open(NULL, 0);
	xe = xenevtchn_open(NULL, 0);
	if (!xs || !xgs || !xe)
		err(1, "xenstore %p, gntalloc %p, event channels %p", (void *)xs, (void *)xgs,
		    (void *)xe);
	if (!xs_watch(xs, "data/ask", "ask"))
		err(1, "cannot watch data/ask");
	say(0, "ready");
	fds[0] = (struct pollfd){ .fd = xs_fileno(xs), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = xenevtchn_fd(xe), .events = POLLIN };
	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			asked();
		if (fds[1].revents)
			event();
	}
	err(1, "poll");
}
