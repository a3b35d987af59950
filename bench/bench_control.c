/* SPDX-License-Identifier: MIT */
/*
 * bench_control.c - what it takes to list many maps, and what it costs those who make some meanwhile
 *
 * Prints "name value unit" lines:
 *
 *   list_100000_maps_ms  list of 100,000 one-page maps of one open, over the socket, from the request to
 *                        the last line's arrival; nothing is parsed
 *   list_bytes           what came
 *   map_ns, map_ns_while_listed
 *                        processor time of MAP_GRANT_REF of one reference by its handler, in batches
 *                        that are then unmapped (not timed); alone, and while the 100,000 are listed in a
 *                        loop. It never waits, so on an idle machine that is the time it takes
 *   map_slowdown_during_list_ratio
 *                        the median of the ratios of rounds that follow each other
 *
 * The maker has one processor and the server and its client have the other, if there are two: what is
 * measured is what they do to each other, not how the scheduler divides a processor.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "abi/ioctl.h"
#include "control/control.h"
#include "device/gntdev.h"
#include "state/record.h"
#include "window/window.h"

#define MAPS	 100000
#define LISTS	 7
#define ROUNDS	 11
#define ROUND_NS 300000000ULL
#define BATCH	 500

static struct gntdev gd;
static struct control *control;
static char dir[] = "/dev/shm/gntdev-bench-XXXXXX", windows_dir[64], path[64], metrics[64];
static atomic_bool listing, busy, stop;

static void die(const char *what)
{
	fprintf(stderr, "bench_control: %s failed: %s\n", what, strerror(errno));
	exit(1);
}

/* What others have of a processor is not counted. */
static uint64_t own_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static void use_processor(int n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(n % (int)sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* --- the maker ---------------------------------------------------------------------------------- */

static int answered;

static void done(struct request *rq, int result, const void *out, size_t len)
{
	(void)rq;
	(void)out;
	(void)len;
	answered = result;
}

static bool waiting(struct request *rq)
{
	(void)rq;
	return true;
}

static const struct request_ops ops = { .done = done, .waiting = waiting };

static void do_ioctl(uint64_t fh, uint32_t cmd, void *arg)
{
	static uint64_t unique;
	uint64_t progress = 0, ends = 0;
	struct request rq = {
		.ops = &ops,
		.fh = fh,
		.arg = (uintptr_t)arg,
		.unique = unique + 2,
		.progress = &progress,
		.ends = &ends,
		.cmd = cmd,
		.tid = gettid(),
	};

	unique += 2;
	gd.dev.ioctl(&gd.dev, &rq);
	if (answered)
		die("an ioctl");
}

static uint64_t open_device(void)
{
	const struct opener by = { .tid = gettid() };
	uint64_t fh;

	if (gd.dev.open(&gd.dev, &by, 2, &fh))
		die("open");
	return fh;
}

static uint64_t make_map(uint64_t fh)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1, .refs = { { 1, 8 } } };

	do_ioctl(fh, IOCTL_GNTDEV_MAP_GRANT_REF, &op);
	return op.index;
}

static void unmap(uint64_t fh, uint64_t index)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = 1 };

	do_ioctl(fh, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op);
}

/* Return: ns of one MAP_GRANT_REF. */
static double make_for_a_round(uint64_t fh)
{
	uint64_t end = clock_ns() + ROUND_NS, spent = 0, maps = 0;
	uint64_t index[BATCH];

	while (clock_ns() < end) {
		uint64_t start = own_ns();

		for (int i = 0; i < BATCH; i++)
			index[i] = make_map(fh);
		spent += own_ns() - start;
		maps += BATCH;
		for (int i = 0; i < BATCH; i++)
			unmap(fh, index[i]);
	}
	return (double)spent / (double)maps;
}

/* --- the lister --------------------------------------------------------------------------------- */

static int connect_to_control(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, path, sizeof(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("connect");
	return fd;
}

/* All of a list. Return: its bytes. */
static size_t list(int fd)
{
	static const char request[] = "{\"v\":1,\"do\":\"list\"}\n";
	static char buf[256 * 1024 + 1];
	size_t bytes = 0;
	ssize_t n;

	if (write(fd, request, strlen(request)) != (ssize_t)strlen(request))
		die("the request");
	do {
		n = read(fd, buf, sizeof(buf) - 1);
		if (n <= 0)
			die("the answer");
		bytes += (size_t)n;
		buf[n] = '\0';
	} while (buf[n - 1] != '\n' ||
		 !memmem(n > 100 ? buf + n - 100 : buf, n > 100 ? 100 : (size_t)n, "{\"end\":", 7));
	return bytes;
}

static void *lister(void *arg)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int fd = connect_to_control();

	(void)arg;
	while (!stop) {
		busy = listing;
		if (busy)
			list(fd);
		else
			nanosleep(&pause, NULL);
	}
	close(fd);
	return NULL;
}

static void set_listing(bool on)
{
	listing = on;
	while (busy != on)
		sched_yield();
}

/* --- the figures -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static void measure_lists(void)
{
	double ms[LISTS];
	size_t bytes = 0;
	int fd = connect_to_control();

	for (int i = 0; i < LISTS; i++) {
		uint64_t start = clock_ns();

		bytes = list(fd);
		ms[i] = (double)(clock_ns() - start) / 1e6;
	}
	close(fd);
	printf("list_100000_maps_ms %.1f ms\n", median(ms, LISTS));
	printf("list_bytes %zu bytes\n", bytes);
}

static void measure_maps(void)
{
	double alone[ROUNDS], listed[ROUNDS], ratio[ROUNDS];
	uint64_t fh = open_device();
	pthread_t thread;

	if (pthread_create(&thread, NULL, lister, NULL))
		die("a thread");
	use_processor(0);
	make_for_a_round(fh);
	for (int i = 0; i < ROUNDS; i++) {
		set_listing(false);
		alone[i] = make_for_a_round(fh);
		set_listing(true);
		listed[i] = make_for_a_round(fh);
		ratio[i] = listed[i] / alone[i];
	}
	stop = true;
	pthread_join(thread, NULL);
	gd.dev.release(&gd.dev, fh);
	printf("map_ns %.0f ns\n", median(alone, ROUNDS));
	printf("map_ns_while_listed %.0f ns\n", median(listed, ROUNDS));
	printf("map_slowdown_during_list_ratio %.3f ratio\n", median(ratio, ROUNDS));
}

/* The hypervisor is not asked for anything here but this. */
static void open_gone(struct hypervisor *hv, uint64_t open_id)
{
	(void)hv;
	(void)open_id;
}

static const struct hypervisor_ops no_ops = { .open_gone = open_gone };
static struct hypervisor no_hypervisor = { .ops = &no_ops, .name = "none" };

static void start(void)
{
	struct control_config cc;
	char why[256];
	const char *text;

	if (!mkdtemp(dir))
		die(dir);
	snprintf(windows_dir, sizeof(windows_dir), "%s/windows", dir);
	snprintf(path, sizeof(path), "%s/ctl", dir);
	snprintf(metrics, sizeof(metrics), "%s/metrics", dir);
	/* What is started from here on stays there: the server, its client, and who frees maps. */
	use_processor(1);
	gntdev_init(&gd);
	gd.dev.name = "xen/gntdev";
	gd.limit = GNTDEV_LIMIT_DEFAULT;
	gd.hv = &no_hypervisor;
	gd.table = table_new();
	gd.policy = policy_default();
	gd.quota = quota_new();
	if (!gd.table || !gd.policy || !gd.quota || records_new(1 << 22, &gd.records) ||
	    windows_new(windows_dir, NULL, &gd.windows, &text))
		die("the device");
	control_config_init(&cc);
	cc.path = path;
	cc.metrics = metrics;
	cc.group = NULL;
	cc.view = (struct control_view){ .gd = &gd, .run_dir = dir, .patience = CONTROL_PATIENCE };
	if (control_start(&cc, &control, why, sizeof(why))) {
		fprintf(stderr, "bench_control: %s\n", why);
		exit(1);
	}
}

int main(void)
{
	uint64_t fh;

	rcu_thread_enter();
	start();
	fh = open_device();
	for (int i = 0; i < MAPS; i++)
		make_map(fh);
	measure_lists();
	measure_maps();
	control_stop(control);
	gntdev_close_all(&gd);
	windows_destroy(gd.windows);
	table_destroy(gd.table);
	policy_free(gd.policy);
	quota_destroy(gd.quota);
	rcu_thread_leave();
	rmdir(dir);
	return 0;
}
