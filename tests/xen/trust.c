/* SPDX-License-Identifier: MIT */
/*
 * trust.c - clients that are nobody: what they get, and what that is good for
 *
 *     trust refused      nobody's mmap is refused
 *     trust served       nobody maps, and sees the granter's page
 *     trust restricted   a PV dom0: nobody's descriptor of a window is for one domain only
 *     trust file         a PVH dom0: a read-only window's file cannot be opened for writing
 *     trust mixed        root's map of two domains' grants
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/version.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#include "dom0.h"

#define NOBODY 65534
#define PAGE   DOMAIN_PAGE
#define REF    DOMAIN_FIRST_REF
#define PAGES  4U
/* Frames tried all over the machine's memory. */
#define TRIES 512U

static struct domain *granter, *other;
static bool pv;

static void become_nobody(void)
{
	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		die("setresuid");
}

/* A client's part, in a child. Return: its status. */
static int in_child(int (*client)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		become_nobody();
		_exit(client());
	}
	waitpid(pid, &status, 0);
	return status;
}

static int is_refused(void)
{
	int device = device_open();
	uint64_t index = device_map(device, granter->domid, REF, 1);
	char *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, device, (off_t)index);

	report(at == MAP_FAILED && errno == EPERM, "nobody's mmap is refused with EPERM (%s)",
	       at == MAP_FAILED ? strerrorname_np(errno) : "it works");
	return reported_bad() != 0;
}

static int is_served(void)
{
	struct client_map m = client_map(granter->domid, REF, 1, PROT_READ | PROT_WRITE);

	report(m.at[1] == 'g', "nobody maps and reads");
	m.at[0] = 'n';
	client_unmap(&m);
	return reported_bad() != 0;
}

/* --- the descriptor ----------------------------------------------------------------------------- */

static int window_of_granter(int prot)
{
	int device = device_open(), window;
	uint64_t index = device_map(device, granter->domid, REF, 1);

	errno = window_ask(device, index, 1, prot, &window);
	if (errno || window < 0)
		die("window");
	return window;
}

/* Maps frames. Return: how many could be mapped, or -1 with errno if privcmd refuses all of it. */
static int try_frames(int window, domid_t domid, const xen_pfn_t *frame, unsigned int n)
{
	int *err = calloc(n, sizeof(*err)), mapped = 0;
	char *at = mmap(NULL, n * PAGE, PROT_READ, MAP_SHARED, window, 0);
	privcmd_mmapbatch_v2_t batch = {
		.num = n,
		.dom = domid,
		.addr = (uintptr_t)at,
		.arr = frame,
		.err = err,
	};

	if (!err || at == MAP_FAILED)
		die("privcmd");
	if (ioctl(window, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) && errno != ENOENT)
		mapped = -1;
	for (unsigned int i = 0; mapped >= 0 && i < n; i++)
		mapped += !err[i];
	munmap(at, n * PAGE);
	free(err);
	return mapped;
}

static bool refuses_domain(int window, domid_t domid, const xen_pfn_t *frame)
{
	return try_frames(window, domid, frame, 1) < 0 && errno == EPERM;
}

static bool is_granters(xen_pfn_t frame)
{
	for (uint32_t i = 0; i < granter->n; i++)
		if (granter->frame[i] == frame)
			return true;
	return false;
}

/* As if they were the granter's: frames of the other domain, and of whoever has the others. */
static bool refuses_frames(int window)
{
	xen_pfn_t frame[TRIES];
	unsigned int n = 0;

	for (; n < other->n; n++)
		frame[n] = other->frame[n];
	/* 2 GiB, most of it dom0's and Xen's. */
	for (xen_pfn_t at = 1; n < TRIES; at += 0x80000 / TRIES)
		if (!is_granters(at))
			frame[n++] = at;
	return try_frames(window, granter->domid, frame, n) == 0;
}

static bool refuses_hypercalls(int window)
{
	struct privcmd_hypercall call = { .op = __HYPERVISOR_xen_version,
					  .arg = { XENVER_version } };
	privcmd_mmap_resource_t resource = { .dom = 0, .type = XENMEM_resource_grant_table };
	bool refused;

	refused = ioctl(window, IOCTL_PRIVCMD_HYPERCALL, &call) == -1 && errno == EPERM;
	return refused && ioctl(window, IOCTL_PRIVCMD_MMAP_RESOURCE, &resource) == -1 &&
	       errno == EPERM;
}

static int is_restricted(void)
{
	int window = window_of_granter(PROT_READ | PROT_WRITE);
	domid_t domid = other->domid;

	report(try_frames(window, granter->domid, granter->frame, 1) == 1,
	       "nobody's descriptor maps the granter's frame");
	report(refuses_hypercalls(window), "it makes no hypercalls");
	report(refuses_domain(window, 0, other->frame) &&
		       refuses_domain(window, DOMID_SELF, other->frame) &&
		       refuses_domain(window, other->domid, other->frame),
	       "nor maps frames of another domain, nor of dom0");
	report(refuses_frames(window), "also not by pretending that they are the granter's");
	report(ioctl(window, IOCTL_PRIVCMD_RESTRICT, &domid) == -1,
	       "nor goes over to another domain");
	close(window);
	window = window_of_granter(PROT_READ);
	report(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, window, 0) == MAP_FAILED &&
		       errno == EACCES,
	       "a read-only one is not mapped for writing");
	return reported_bad() != 0;
}

static int is_own_file(void)
{
	int window = window_of_granter(PROT_READ), again;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", window);
	again = open(path, O_RDWR | O_CLOEXEC);
	report(again < 0 && errno == EACCES, "nobody cannot open a read-only window for writing");
	report(fchmod(window, 0666) == -1, "nor change its mode");
	return reported_bad() != 0;
}

/* --- two domains -------------------------------------------------------------------------------- */

static int run_mixed(void)
{
	struct ioctl_gntdev_map_grant_ref *op = calloc(1, sizeof(*op) + sizeof(op->refs[0]));
	int device = device_open();
	char *at;

	if (!op)
		die("calloc");
	op->count = 2;
	op->refs[0].domid = granter->domid;
	op->refs[1].domid = other->domid;
	op->refs[0].ref = op->refs[1].ref = REF;
	if (ioctl(device, IOCTL_GNTDEV_MAP_GRANT_REF, op))
		die("MAP_GRANT_REF");
	at = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, device, (off_t)op->index);
	if (pv)
		report(at == MAP_FAILED && errno == EINVAL,
		       "grants of two domains are not in one window in a PV dom0");
	else
		report(at != MAP_FAILED && at[0] == 'g' && at[PAGE] == 'o',
		       "grants of two domains are in one window");
	close(device);
	if (at != MAP_FAILED)
		munmap(at, 2 * PAGE);
	free(op);
	return reported_bad() != 0;
}

static struct domain *make_domain(char byte)
{
	struct domain *d = domain_new(PAGES, 1);

	if (!d)
		exit(1);
	memset(d->mem, byte, PAGES * PAGE);
	domain_grant(d, REF, 0, 0);
	return d;
}

static int run(const char *what)
{
	int status = 2;

	if (!strcmp(what, "refused"))
		return in_child(is_refused);
	if (!strcmp(what, "restricted"))
		return in_child(is_restricted);
	if (!strcmp(what, "file"))
		return in_child(is_own_file);
	if (!strcmp(what, "mixed"))
		return run_mixed();
	if (!strcmp(what, "served")) {
		status = in_child(is_served);
		report(granter->mem[0] == 'n', "and writes to the granter's page");
	}
	return status;
}

int main(int argc, char **argv)
{
	int status;

	pv = dom0_is_pv();
	granter = make_domain('g');
	other = make_domain('o');
	status = argc > 1 ? run(argv[1]) : 2;
	report(released(granter, REF, 1) && released(other, REF, 1), "nothing is held afterwards");
	domain_destroy(granter);
	domain_destroy(other);
	return status || reported_bad();
}
