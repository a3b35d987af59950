/* SPDX-License-Identifier: MIT */
/*
 * dom0.c - see dom0.h
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <xen/sys/gntdev.h>

#define __XEN_TOOLS__ 1 /* NOLINT(bugprone-reserved-identifier) */
#include "dom0.h"
#include "abi/winproto.h"
#include <xen/domctl.h>

#define PAGE DOMAIN_PAGE
/* The pattern repeats at this distance. */
#define UNIT 64U
/* Memory is looked through in such pieces. */
#define LOOK_BYTES (1UL << 20)
#define RELEASE_MS 5000
/* Refused by privcmd and its like, and by no guest: larger than any memory. */
#define SEGMENT_MAX (1UL << 40)
/* A bit of /proc/kpageflags: the page allocator never has this page. */
#define KPF_RESERVED 32
/* From here on the kernel's code and its modules are mapped once more. */
#define KERNEL_TEXT 0xffffffff80000000UL

static unsigned int bad_reports;
/* Pages, last time. */
static size_t looked_through;

void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool report(bool good, const char *format, ...)
{
	const char *name = getenv("CASE");
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	printf("%s %s: %s\n", good ? "ok" : "not ok", name ? name : "client", text);
	fflush(stdout);
	bad_reports += !good;
	return good;
}

unsigned int reported_bad(void)
{
	return bad_reports;
}

/* --- the device --------------------------------------------------------------------------------- */

int device_open(void)
{
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/xen/gntdev");
	return fd;
}

uint64_t device_map(int device, domid_t domid, uint32_t ref, uint32_t n)
{
	struct ioctl_gntdev_map_grant_ref *op = calloc(1, sizeof(*op) + n * sizeof(op->refs[0]));
	uint64_t index;

	if (!op)
		die("calloc");
	op->count = n;
	for (uint32_t i = 0; i < n; i++) {
		op->refs[i].domid = domid;
		op->refs[i].ref = ref + i;
	}
	if (ioctl(device, IOCTL_GNTDEV_MAP_GRANT_REF, op))
		die("MAP_GRANT_REF");
	index = op->index;
	free(op);
	return index;
}

int device_unmap(int device, uint64_t index, uint32_t n)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = n };

	return ioctl(device, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op);
}

int device_notify(int device, uint64_t byte, uint32_t action, uint32_t port)
{
	struct ioctl_gntdev_unmap_notify op = {
		.index = byte,
		.action = action,
		.event_channel_port = port,
	};

	return ioctl(device, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op);
}

struct client_map client_map(domid_t domid, uint32_t ref, uint32_t n, int prot)
{
	struct client_map m = { .device = device_open(), .n = n };

	m.index = device_map(m.device, domid, ref, n);
	m.at = mmap(NULL, n * PAGE, prot, MAP_SHARED, m.device, (off_t)m.index);
	if (m.at == MAP_FAILED)
		die("mmap");
	return m;
}

void client_unmap(const struct client_map *m)
{
	if (munmap(m->at, m->n * PAGE) || device_unmap(m->device, m->index, m->n))
		die("unmap");
}

static int take_window(int s, int *window)
{
	union {
		struct window_reply reply;
		char bytes[WINDOW_REPLY_MAX];
	} in;
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &in, sizeof(in) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	if (recvmsg(s, &msg, MSG_CMSG_CLOEXEC) < (ssize_t)sizeof(in.reply))
		die("the daemon's answer");
	if (!in.reply.error && CMSG_FIRSTHDR(&msg))
		memcpy(window, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*window));
	return in.reply.error;
}

int window_ask(int device, uint64_t index, uint32_t n, int prot, int *window)
{
	struct window_token token = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	struct window_request rq = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err;

	*window = -1;
	if (ioctl(device, WINDOW_TOKEN, &token))
		die("token");
	rq.prot = (uint32_t)prot;
	rq.flags = MAP_SHARED;
	rq.open_id = token.open_id;
	memcpy(rq.secret, token.secret, sizeof(rq.secret));
	rq.offset = index;
	rq.length = n * PAGE;
	token.socket[sizeof(token.socket) - 1] = '\0';
	static_assert(sizeof(sun.sun_path) == sizeof(token.socket), "the path fits");
	memcpy(sun.sun_path, token.socket, sizeof(sun.sun_path));
	if (s < 0 || connect(s, (struct sockaddr *)&sun, sizeof(sun)) ||
	    send(s, &rq, sizeof(rq), 0) != sizeof(rq))
		die("window socket");
	err = take_window(s, window);
	close(s);
	return err;
}

/* --- dom0's memory ------------------------------------------------------------------------------ */

long dom0_frames(void)
{
	xencall_handle *call = xencall_open(NULL, 0);
	domid_t *self = call ? xencall_alloc_buffer(call, sizeof(*self)) : NULL;
	long n = -1;

	if (self) {
		*self = DOMID_SELF;
		n = xencall2(call, __HYPERVISOR_memory_op, XENMEM_current_reservation,
			     (uintptr_t)self);
		xencall_free_buffer(call, self);
	}
	if (call)
		xencall_close(call);
	return n;
}

/*
 * Kept apart from what is looked for, so that neither this program's data nor its registers on a
 * stack are found instead.
 */
static volatile uint64_t salt = 0x5bd1e995c6a4a793ULL;

static inline uint64_t word(uint64_t key)
{
	return (key ^ salt) * 0x9e3779b97f4a7c15ULL;
}

void pattern_fill(char *page, uint64_t key)
{
	volatile uint64_t *w = (volatile uint64_t *)page;

	for (size_t i = 0; i < PAGE / sizeof(*w); i++)
		w[i] = word(key) + i % (UNIT / sizeof(*w));
}

bool pattern_is(const char *page, uint64_t key)
{
	const volatile uint64_t *w = (const volatile uint64_t *)page;

	for (size_t i = 0; i < PAGE / sizeof(*w); i++)
		if (w[i] != word(key) + i % (UNIT / sizeof(*w)))
			return false;
	return true;
}

/* Half of a page's units are enough: what else is in a page that has some is not asked. */
static bool has_pattern(const char *page, uint64_t key)
{
	unsigned int found = 0;

	for (size_t at = 0; at < PAGE; at += UNIT)
		found += *(const volatile uint64_t *)(page + at) == word(key);
	return found >= 2;
}

/*
 * Which of these pages are memory: the kernel never uses reserved ones, and in some of them there is
 * nothing: reading there is slow. Return: how many there are in a row, of the kind that the first one is.
 */
static size_t same_kind(int flags, uint64_t pfn, size_t n, bool *memory)
{
	uint64_t flag[LOOK_BYTES / DOMAIN_PAGE];
	size_t same = 1;

	if (pread(flags, flag, n * sizeof(*flag), (off_t)(pfn * sizeof(*flag))) !=
	    (ssize_t)(n * sizeof(*flag)))
		die("/proc/kpageflags");
	*memory = !(flag[0] >> KPF_RESERVED & 1);
	while (same < n && *memory == !(flag[same] >> KPF_RESERVED & 1))
		same++;
	return same;
}

/* Return: how many pages have the pattern, or -1. */
static long look_through(int fd, int flags, const Elf64_Phdr *ph, char *buffer, uint64_t key)
{
	const size_t pages = ph->p_filesz / PAGE;
	long found = 0;
	bool memory;

	for (size_t at = 0, n; at < pages; at += n) {
		n = pages - at < LOOK_BYTES / PAGE ? pages - at : LOOK_BYTES / PAGE;
		n = same_kind(flags, ph->p_paddr / PAGE + at, n, &memory);
		if (!memory)
			continue;
		if (pread(fd, buffer, n * PAGE, (off_t)(ph->p_offset + at * PAGE)) !=
		    (ssize_t)(n * PAGE))
			return -1;
		for (size_t i = 0; i < n; i++)
			found += has_pattern(buffer + i * PAGE, key);
		looked_through += n;
		/* What has been found in it is not to be found again. */
		memset(buffer, 0, n * PAGE);
	}
	return found;
}

/* The kernel's own view of all memory it has: /proc/kcore, those parts that have an address there. */
long pattern_in_memory(uint64_t key)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	int flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	char *buffer = aligned_alloc(PAGE, LOOK_BYTES);
	long found = 0, n;
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	looked_through = 0;
	if (fd < 0 || flags < 0 || !buffer || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh))
		return -1;
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) != sizeof(ph))
			return -1;
		/* Other parts (modules, the kernel's code) are the same memory once more. */
		if (ph.p_type != PT_LOAD || ph.p_vaddr >= KERNEL_TEXT ||
		    ph.p_paddr >= SEGMENT_MAX || ph.p_filesz > SEGMENT_MAX)
			continue;
		n = look_through(fd, flags, &ph, buffer, key);
		if (n < 0)
			return -1;
		found += n;
	}
	printf("# looked through %zu MiB of memory\n", looked_through / 256);
	close(fd);
	close(flags);
	free(buffer);
	return found;
}

unsigned long memory_available(void)
{
	unsigned long kb = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	if (!f)
		die("/proc/meminfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %lu", &kb) == 1)
			break;
	fclose(f);
	return kb / 4;
}

bool memory_is_sound(unsigned long pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	unsigned long bad = 0;

	if (p == MAP_FAILED)
		die("memory");
	for (unsigned long i = 0; i < pages; i++) {
		*(volatile uint64_t *)(p + i * PAGE) = ~i;
		*(volatile uint64_t *)(p + i * PAGE + PAGE - 8) = i;
	}
	for (unsigned long i = 0; i < pages; i++)
		bad += *(volatile uint64_t *)(p + i * PAGE) != ~i ||
		       *(volatile uint64_t *)(p + i * PAGE + PAGE - 8) != i;
	munmap(p, pages * PAGE);
	if (bad)
		printf("# %lu of %lu pages of memory do not keep what is written\n", bad, pages);
	return !bad;
}

struct domain *hog_new(void)
{
	struct domain *d = domain_new(1, 1);
	struct xen_domctl *op = d ? xencall_alloc_buffer(d->call, sizeof(*op)) : NULL;
	struct xen_memory_reservation *r = d ? xencall_alloc_buffer(d->call, sizeof(*r)) : NULL;
	unsigned long taken = 0;

	if (!d || !op || !r)
		return NULL;
	*op = (struct xen_domctl){ .cmd = XEN_DOMCTL_max_mem, .domain = d->domid };
	op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
	op->u.max_mem.max_memkb = 1UL << 30;
	if (xencall1(d->call, __HYPERVISOR_domctl, (uintptr_t)op))
		die("max_mem");
	/* Large pieces first: there are many. */
	for (int order = 9; order >= 0; order -= 3) {
		do {
			memset(r, 0, sizeof(*r));
			r->nr_extents = 1;
			r->extent_order = (unsigned int)order;
			r->domid = d->domid;
		} while (xencall2(d->call, __HYPERVISOR_memory_op, XENMEM_increase_reservation,
				  (uintptr_t)r) == 1 &&
			 (taken += 1UL << order));
	}
	printf("# a domain has taken Xen's last %lu MiB\n", taken / 256);
	xencall_free_buffer(d->call, op);
	xencall_free_buffer(d->call, r);
	return d;
}

/* --- the daemon's view -------------------------------------------------------------------------- */

/* The number in the last report of a log. Return: how many reports there are. */
static unsigned int last_report(const char *what, long *value)
{
	unsigned int reports = 0;
	char path[256], line[512], key[32], *at;
	FILE *f;

	snprintf(path, sizeof(path), "%s/daemon.log", getenv("CASE_DIR"));
	snprintf(key, sizeof(key), " %s=", what);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		at = strstr(line, "held: ");
		if (!at)
			continue;
		reports++;
		at = strstr(at, key);
		*value = at ? atol(at + strlen(key)) : -1;
	}
	fclose(f);
	return reports;
}

long daemon_held(pid_t daemon, const char *what)
{
	long value = -1;
	unsigned int before = last_report(what, &value);

	if (kill(daemon, SIGUSR1))
		return -1;
	for (int i = 0; i < 200; i++) {
		if (last_report(what, &value) > before)
			return value;
		usleep(10000);
	}
	return -1;
}

/* --- the granter's view ------------------------------------------------------------------------- */

bool released(const struct domain *d, uint32_t ref, uint32_t n)
{
	uint64_t end = now_ms() + RELEASE_MS;

	for (uint32_t i = 0; i < n; i++) {
		while (domain_pinned(d, ref + i)) {
			if (now_ms() > end)
				return false;
			usleep(1000);
		}
	}
	return true;
}
