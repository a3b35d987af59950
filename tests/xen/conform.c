/* SPDX-License-Identifier: MIT */
/*
 * conform.c - walks through every row of the driver's specification and prints what it sees
 *
 *     conform [-s MILLISECONDS] [-o] DEVICE [NAME]
 *
 * Run once on the kernel's device and once on the daemon's (-o), in the same dom0; each line is
 * "row<TAB>observation", so two runs can be laid side by side. The program has no opinion on what
 * is right. NAME: only rows whose names begin so.
 *
 * The granter is a domain of our own (domain.h), so "pins" are the flags that Xen sets in its grant
 * table, and "event" is a bit in its shared page: what the guest itself would see.
 *
 * A release may take its time: after each step that could cause one we wait as long as -s says, then
 * look. When a row is over all it has is given back, and what stays pinned is part of the
 * observation.
 *
 * Rows that nobody can walk here: no memory (3, order 3; 4, order 5 and 8), a map hypercall that
 * fails as a whole (4, order 6), pages that the granter's host has paged out (GNTST_eagain; a PV
 * domain has none), and maptrack exhaustion, which would take the domain down with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"

#define SAID_BYTES    8192
#define MAX_OPENS     64
#define MAX_PLACES    512
#define LEFT_MS	      1500
#define ROW_SECONDS   60
#define GRANTER_PAGES 256
/* 32 frames: 16,384 grants. */
#define GRANTER_TABLE 32

struct domain *granter;
const char *device;
bool pv, kernel_driver = true;
struct port port;

static unsigned int settle_ms = 250;

/* Shared with children, who say things too. */
static struct {
	char said[SAID_BYTES];
	size_t length;
} * row;

/* What the row has, to be given back with it. */
static int opens[MAX_OPENS];
static unsigned int opens_n;
static struct {
	void *addr;
	size_t bytes;
} places[MAX_PLACES];
static unsigned int places_n, grants_n;

static int ready_pipe[2], go_pipe[2];
static sigjmp_buf fault;
static volatile sig_atomic_t watching;

void say(const char *format, ...)
{
	size_t left = SAID_BYTES - row->length;
	va_list ap;
	int n;

	if (row->length && left > 2) {
		row->said[row->length++] = ',';
		row->said[row->length++] = ' ';
		left -= 2;
	}
	va_start(ap, format);
	n = vsnprintf(row->said + row->length, left, format, ap);
	va_end(ap);
	if (n > 0)
		row->length += (size_t)n < left ? (size_t)n : left - 1;
}

const char *result(long ret)
{
	static char number[4][24];
	static unsigned int next;
	char *s = number[next++ % 4];

	if (ret == -1)
		return strerrorname_np(errno) ? strerrorname_np(errno) : "E?";
	snprintf(s, sizeof(number[0]), "%ld", ret);
	return s;
}

void settle(void)
{
	usleep(settle_ms * 1000);
}

static void pins(char *out)
{
	for (unsigned int i = 0; i < grants_n; i++) {
		uint16_t flags = domain_pinned(granter, FIRST_REF + i);

		out[i] = "-rw"[flags & GTF_writing ? 2 : flags != 0];
	}
	out[grants_n] = '\0';
}

void say_pins(void)
{
	char s[MAX_REFS + 1];

	pins(s);
	say("pins %s", s);
}

void say_event(void)
{
	say("%s", domain_event(granter, port.guest) ? "event" : "no event");
}

int open_device(int flags)
{
	int fd = open(device, flags);

	if (fd >= 0 && opens_n < MAX_OPENS)
		opens[opens_n++] = fd;
	return fd;
}

int close_device(int fd)
{
	for (unsigned int i = 0; i < opens_n; i++)
		if (opens[i] == fd)
			opens[i] = -1;
	return close(fd);
}

uint32_t grant(uint16_t flags)
{
	uint32_t ref = FIRST_REF + grants_n;

	if (grants_n >= MAX_REFS || grants_n >= GRANTER_PAGES)
		abort();
	memset(domain_page(granter, grants_n), 'A' + (int)(grants_n % 26), PAGE);
	domain_grant(granter, ref, grants_n, flags);
	grants_n++;
	return ref;
}

uint32_t grant_more(unsigned int n)
{
	uint32_t first = FIRST_REF + grants_n;

	while (n--)
		grant(0);
	return first;
}

char *page_of(uint32_t ref)
{
	return domain_page(granter, ref - FIRST_REF);
}

int map_refs(int fd, uint32_t n, const struct gntdev_ref *refs, uint64_t *index)
{
	struct gntdev_map *op = calloc(1, sizeof(*op) + (n ? n : 1) * sizeof(*refs));
	int ret;

	op->count = n;
	memcpy(op->refs, refs, n * sizeof(*refs));
	ret = ioctl(fd, GNTDEV_MAP, op);
	*index = ret ? ~0ULL : op->index;
	free(op);
	return ret;
}

uint64_t map_run(int fd, uint32_t ref, uint32_t n)
{
	struct gntdev_ref refs[MAX_REFS];
	uint64_t index;

	for (uint32_t i = 0; i < n && i < MAX_REFS; i++)
		refs[i] = (struct gntdev_ref){ granter->domid, ref + i };
	if (map_refs(fd, n, refs, &index))
		SAY("MAP", -1);
	return index;
}

int unmap(int fd, uint64_t index, uint32_t count)
{
	struct gntdev_unmap op = { .index = index, .count = count };

	return ioctl(fd, GNTDEV_UNMAP, &op);
}

int notify(int fd, uint64_t index, uint32_t action, uint32_t event_port)
{
	struct gntdev_notify op = { index, action, event_port };

	return ioctl(fd, GNTDEV_NOTIFY, &op);
}

void say_offset(int fd, const void *vaddr)
{
	struct gntdev_get_offset op = { .vaddr = (uintptr_t)vaddr, .offset = ~0ULL, .count = ~0U };

	if (ioctl(fd, GNTDEV_GET_OFFSET, &op))
		SAY("offset", -1);
	else
		say("offset %#llx of %u", (unsigned long long)op.offset, op.count);
}

void *remember(void *p, size_t bytes)
{
	if (p != MAP_FAILED && places_n < MAX_PLACES) {
		places[places_n].addr = p;
		places[places_n++].bytes = bytes;
	}
	return p;
}

void *place(int fd, uint64_t index, size_t bytes, int prot, int flags)
{
	return remember(mmap(NULL, bytes, prot, flags, fd, (off_t)index), bytes);
}

char *mapped(int fd, uint32_t ref, uint32_t n, int prot, uint64_t *index)
{
	uint64_t i = map_run(fd, ref, n);
	char *p = place(fd, i, n * PAGE, prot, MAP_SHARED);

	if (p == MAP_FAILED)
		SAY("mmap", -1);
	if (index)
		*index = i;
	return p;
}

void say_mmap(const char *what, int fd, uint64_t index, size_t bytes, int prot, int flags)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, (off_t)index);

	SAY(what, p == MAP_FAILED ? -1 : 0);
	if (p != MAP_FAILED)
		munmap(p, bytes);
}

static void on_fault(int sig)
{
	if (!watching) {
		signal(sig, SIG_DFL);
		return;
	}
	siglongjmp(fault, sig);
}

static const char *signal_name(int sig)
{
	return sig == SIGBUS ? "SIGBUS" : "SIGSEGV";
}

const char *look(const volatile char *addr)
{
	static char seen[8][8];
	static unsigned int next;
	char *s = seen[next++ % 8];
	int sig = sigsetjmp(fault, 1);
	unsigned char c;

	if (sig) {
		watching = 0;
		return signal_name(sig);
	}
	watching = 1;
	c = (unsigned char)*addr;
	watching = 0;
	snprintf(s, sizeof(seen[0]), c > ' ' && c < 127 ? "%c" : "%#x", c);
	return s;
}

const char *store(volatile char *addr, char c)
{
	int sig = sigsetjmp(fault, 1);

	if (!sig) {
		watching = 1;
		*addr = c;
	}
	watching = 0;
	return sig ? signal_name(sig) : "ok";
}

pid_t start_child(void (*run)(void))
{
	pid_t pid;
	char c;

	if (pipe(ready_pipe) || pipe(go_pipe))
		abort();
	pid = fork();
	if (!pid) {
		close(ready_pipe[0]);
		close(go_pipe[1]);
		alarm(ROW_SECONDS);
		run();
		_exit(0);
	}
	close(ready_pipe[1]);
	close(go_pipe[0]);
	/* Its end is a sign as well. */
	if (read(ready_pipe[0], &c, 1) < 0)
		say("no word from the child");
	return pid;
}

void child_ready(void)
{
	char c = 0;

	if (write(ready_pipe[1], &c, 1) != 1 || read(go_pipe[0], &c, 1) < 0)
		_exit(1);
}

static void end_child(pid_t child)
{
	int status;

	waitpid(child, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		say("the child died of %s", strsignal(WTERMSIG(status)));
	close(ready_pipe[0]);
}

void go_on(pid_t child)
{
	close(go_pipe[1]);
	end_child(child);
}

void kill_child(pid_t child)
{
	kill(child, SIGKILL);
	close(go_pipe[1]);
	end_child(child);
}

void in_child(void (*run)(void))
{
	go_on(start_child(run));
}

char *edge(void)
{
	char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Not unmapped: something else could come there. */
	mprotect(p + PAGE, PAGE, PROT_NONE);
	remember(p, 2 * PAGE);
	return p + PAGE;
}

/* All that a program can be told: numbers. */
enum { X_FD, X_REF, X_DOMID, X_READY, X_GO, X_N };

void exec_self(int fd, uint32_t ref)
{
	long number[X_N] = { fd, ref, granter->domid, ready_pipe[1], go_pipe[0] };
	char arg[X_N][24];

	for (int i = 0; i < X_N; i++)
		snprintf(arg[i], sizeof(arg[i]), "%ld", number[i]);
	execl("/proc/self/exe", "conform", "-x", arg[0], arg[1], arg[2], arg[3], arg[4],
	      (char *)NULL);
}

static int executed(char **arg)
{
	long number[X_N];
	struct gntdev_ref r;
	uint64_t index;
	char *p;

	for (int i = 0; i < X_N; i++)
		number[i] = strtol(arg[i], NULL, 10);
	r = (struct gntdev_ref){ (uint32_t)number[X_DOMID], (uint32_t)number[X_REF] };
	ready_pipe[1] = (int)number[X_READY];
	go_pipe[0] = (int)number[X_GO];
	child_ready();
	if (map_refs((int)number[X_FD], 1, &r, &index))
		return 1;
	p = mmap(NULL, PAGE, RW, MAP_SHARED, (int)number[X_FD], (off_t)index);
	if (p == MAP_FAILED)
		return 1;
	*p = 'X';
	return 0;
}

bool port_open(struct port *p)
{
	int guest = domain_port(granter), local = -1;

	p->evtchn = xenevtchn_open(NULL, 0);
	if (p->evtchn && guest >= 0)
		local = xenevtchn_bind_interdomain(p->evtchn, granter->domid, (uint32_t)guest);
	p->guest = (uint32_t)guest;
	p->local = (uint32_t)local;
	return local >= 0;
}

static void give_back(void)
{
	while (places_n) {
		places_n--;
		munmap(places[places_n].addr, places[places_n].bytes);
	}
	while (opens_n)
		if (opens[--opens_n] >= 0)
			close(opens[opens_n]);
}

static void after_row(void)
{
	char s[MAX_REFS + 1];

	give_back();
	for (unsigned int ms = 0; ms < LEFT_MS; ms += 5) {
		pins(s);
		if (s[strspn(s, "-")] == '\0')
			break;
		usleep(5000);
	}
	if (s[strspn(s, "-")])
		say("left pinned %s", s);
	for (unsigned int i = 0; i < grants_n; i++)
		domain_revoke(granter, FIRST_REF + i);
	grants_n = 0;
	domain_event(granter, port.guest);
}

static bool crashes(const struct row *r)
{
	static struct utsname un;
	unsigned int major = 0, minor = 0;

	if (!kernel_driver)
		return false;
	if (r->crashes == IN_PV)
		return pv;
	if (r->crashes == NEVER)
		return false;
	uname(&un);
	sscanf(un.release, "%u.%u", &major, &minor);
	return major < 6 || (major == 6 && minor < 12);
}

static void walk(const struct row *r, const char *only)
{
	for (; r->name; r++) {
		if (only && strncmp(r->name, only, strlen(only)) != 0)
			continue;
		row->length = 0;
		row->said[0] = '\0';
		alarm(ROW_SECONDS);
		if (crashes(r)) {
			say("not run: crashes the driver");
		} else {
			r->run();
			after_row();
		}
		printf("%s\t%s\n", r->name, row->said);
		fflush(stdout);
	}
}

static void prepare(void)
{
	struct sigaction sa = { .sa_handler = on_fault };

	row = mmap(NULL, sizeof(*row), RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	pv = dom0_is_pv();
}

int main(int argc, char **argv)
{
	static const struct row *const all[] = { device_rows, map_rows,	  index_rows,  mmap_rows,
						 life_rows,   share_rows, notify_rows, copy_rows };
	int option;

	if (argc == X_N + 2 && !strcmp(argv[1], "-x"))
		return executed(argv + 2);
	while ((option = getopt(argc, argv, "s:o")) != -1) {
		if (option == 's')
			settle_ms = (unsigned int)strtoul(optarg, NULL, 10);
		else if (option == 'o')
			kernel_driver = false;
		else
			return 2;
	}
	if (optind >= argc) {
		fprintf(stderr, "usage: conform [-s MILLISECONDS] [-o] DEVICE [NAME]\n");
		return 2;
	}
	device = argv[optind];
	prepare();
	granter = domain_new(GRANTER_PAGES, GRANTER_TABLE);
	if (!granter || !port_open(&port)) {
		perror("conform: no granter - errno");
		return 1;
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		walk(all[i], argv[optind + 1]);
	xenevtchn_close(port.evtchn);
	return domain_destroy(granter) != 0;
}
