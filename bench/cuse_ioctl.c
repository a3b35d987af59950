/* SPDX-License-Identifier: MIT */
/*
 * cuse_ioctl.c - what the ioctls and a whole map/unmap cycle cost on a real CUSE device
 *
 *     cuse_ioctl          with the daemon running, under gntdev-run, on a kernel with CUSE
 *
 * Each figure is the median of several rounds, in which the things compared take turns. The rival
 * is a device as plain as libfuse can make it: its own single-threaded loop, which answers every
 * ioctl at once without looking at it. (libfuse's multi-threaded loop, its default, is slower; both
 * are shown.)
 */
#define FUSE_USE_VERSION 314

#include <cuse_lowlevel.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xengnttab.h>

#include "bench.h"

#define ROUNDS	9
#define WARM_UP 3

static int gntdev;
static int bare[2]; /* single-threaded, multi-threaded */
static xengnttab_handle *gt;
static char *granted;
static uint32_t ref;

/* --- the rival --- */

static void bare_open(fuse_req_t req, struct fuse_file_info *fi)
{
	fuse_reply_open(req, fi);
}

static void bare_ioctl(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi,
		       unsigned int flags, const void *in, size_t in_len, size_t out_len)
{
	(void)cmd;
	(void)arg;
	(void)fi;
	(void)flags;
	(void)in;
	(void)in_len;
	(void)out_len;
	fuse_reply_ioctl(req, 0, NULL, 0);
}

static void bare_release(fuse_req_t req, struct fuse_file_info *fi)
{
	(void)fi;
	fuse_reply_err(req, 0);
}

static const struct cuse_lowlevel_ops bare_ops = {
	.open = bare_open,
	.release = bare_release,
	.ioctl = bare_ioctl,
};

static void serve_bare(const char *name, bool threads)
{
	char devname[64], dash_f[] = "-f", dash_s[] = "-s", arg0[] = "bare";
	char *argv[] = { arg0, dash_f, threads ? NULL : dash_s, NULL };
	const char *info[] = { devname };
	struct cuse_info ci = {
		.dev_info_argc = 1,
		.dev_info_argv = info,
		.flags = CUSE_UNRESTRICTED_IOCTL,
	};

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	snprintf(devname, sizeof(devname), "DEVNAME=%s", name);
	_exit(cuse_lowlevel_main(threads ? 2 : 3, argv, &ci, &bare_ops, NULL));
}

static int start_bare(const char *name, bool threads)
{
	char path[64];
	int f;

	if (!fork())
		serve_bare(name, threads);
	snprintf(path, sizeof(path), "/dev/%s", name);
	for (int i = 0; i < 500; i++) {
		f = open(path, O_RDWR);
		if (f >= 0)
			return f;
		usleep(10000);
	}
	die(path);
	return -1;
}

/* --- what is measured, n times; microseconds for each --- */

static double empty_ioctls(int f, int n)
{
	double start = now_us();

	for (int i = 0; i < n; i++)
		if (ioctl(f, IOCTL_GNTDEV_MAP_GRANT_REF, NULL))
			die("empty ioctl");
	return (now_us() - start) / n;
}

static double cycles(int n)
{
	double start = now_us();

	for (int i = 0; i < n; i++) {
		char *p = xengnttab_map_grant_ref(gt, 1, ref, PROT_READ | PROT_WRITE);

		if (!p)
			die("xengnttab_map_grant_ref");
		*p = 1;
		if (xengnttab_unmap(gt, p, 1))
			die("xengnttab_unmap");
	}
	return (now_us() - start) / n;
}

static double large_map(struct ioctl_gntdev_map_grant_ref *op)
{
	struct ioctl_gntdev_unmap_grant_ref un = { .count = 65536 };
	double start = now_us(), us;

	op->count = 65536;
	if (ioctl(gntdev, IOCTL_GNTDEV_MAP_GRANT_REF, op))
		die("MAP_GRANT_REF of 65536");
	us = (now_us() - start) / 65536;
	un.index = op->index;
	if (ioctl(gntdev, IOCTL_GNTDEV_UNMAP_GRANT_REF, &un))
		die("UNMAP_GRANT_REF of 65536");
	return us;
}

/* --- figures --- */

/* Anonymous memory of the daemon, bytes; by its name, as there is one of it here. */
static double daemon_bytes(void)
{
	char line[128];
	FILE *f = popen("cat /proc/$(pidof cuse_gntdev)/status", "r");
	double kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %lf", &kib) == 1)
			break;
	if (f)
		pclose(f);
	return kib * 1024;
}

static void bench_round_trips(void)
{
	enum { N = 300 };
	double one[ROUNDS], many[ROUNDS], map[ROUNDS], ratio[ROUNDS];

	/* The first rounds warm up caches, and the translations of an emulator. */
	for (int r = -WARM_UP; r < ROUNDS; r++) {
		int at = r < 0 ? 0 : r;

		one[at] = empty_ioctls(bare[0], N);
		map[at] = map_ioctls(gntdev, ref, N);
		many[at] = empty_ioctls(bare[1], N);
		ratio[at] = map[at] / one[at];
	}
	printf("empty_ioctl_us %.1f us\n", median(one, ROUNDS));
	printf("empty_ioctl_threaded_us %.1f us\n", median(many, ROUNDS));
	printf("map_ioctl_over_empty_ioctl_ratio %.2f ratio\n", median(ratio, ROUNDS));
}

/* An open for each number of live maps, so that they can take turns. */
static void bench_live_maps(void)
{
	static const int live[] = { 10, 1000, 100000 };
	enum { N = 300 };
	double map[3][ROUNDS], ratio[ROUNDS], before = 0;
	int fd[3];

	for (int i = 0; i < 3; i++) {
		before = daemon_bytes();
		fd[i] = open("/dev/xen/gntdev", O_RDWR);
		map_many(fd[i], ref, NULL, live[i]);
	}
	printf("daemon_bytes_per_live_map %.0f bytes\n", (daemon_bytes() - before) / live[2]);
	for (int r = -WARM_UP; r < ROUNDS; r++) {
		int at = r < 0 ? 0 : r;

		for (int i = 0; i < 3; i++)
			map[i][at] = map_ioctls(fd[i], ref, N);
		ratio[at] = map[2][at] / map[0][at];
	}
	for (int i = 0; i < 3; i++)
		printf("map_ioctl_us_%d %.1f us\n", live[i], median(map[i], ROUNDS));
	printf("map_ioctl_100000_over_10_ratio %.2f ratio\n", median(ratio, ROUNDS));
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

static void bench_cycle(void)
{
	double us[ROUNDS];

	for (int r = 0; r < ROUNDS; r++)
		us[r] = cycles(100);
	printf("map_unmap_cycle_us %.1f us\n", median(us, ROUNDS));
}

/* With a window and a grant each. They are left for the end of the process to unmap. */
static void bench_mapped(void)
{
	enum { N = 2000, REFS = 100 };
	xengntshr_handle *gs = xengntshr_open(NULL, 0);
	uint32_t refs[REFS];
	double before;

	if (!gs || !xengntshr_share_pages(gs, 0, REFS, refs, 1))
		die("share");
	before = daemon_bytes();
	for (int i = 0; i < N; i++)
		if (!xengnttab_map_grant_ref(gt, 1, refs[i % REFS], PROT_READ | PROT_WRITE))
			die("map");
	printf("daemon_bytes_per_mapped_map %.0f bytes\n", (daemon_bytes() - before) / N);
}

static void bench_large_map(void)
{
	struct ioctl_gntdev_map_grant_ref *op =
		calloc(1, sizeof(*op) + 65536 * sizeof(op->refs[0]));
	double us[ROUNDS];

	for (int r = 0; r < ROUNDS; r++)
		us[r] = large_map(op);
	printf("map_65536_refs_us_per_ref %.3f us\n", median(us, ROUNDS));
	free(op);
}

int main(void)
{
	xengntshr_handle *gs = xengntshr_open(NULL, 0);

	setvbuf(stdout, NULL, _IOLBF, 0);
	bare[0] = start_bare("xen/bare-one", false);
	bare[1] = start_bare("xen/bare-many", true);
	gt = xengnttab_open(NULL, 0);
	gntdev = open("/dev/xen/gntdev", O_RDWR);
	granted = gs ? xengntshr_share_pages(gs, 0, 1, &ref, 1) : NULL;
	if (!gt || gntdev < 0 || !granted)
		die("set-up");
	/* First: afterwards the daemon has freed memory to reuse. */
	bench_mapped();
	bench_round_trips();
	bench_live_maps();
	bench_cycle();
	bench_large_map();
	return 0;
}
