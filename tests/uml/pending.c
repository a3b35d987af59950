/* SPDX-License-Identifier: MIT */
/*
 * pending.c - is in the middle of something while the daemon ends: pending mmap|copy|hold
 *
 * Says on its first line that it is about to do it, on the second how it went.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xengnttab.h>
#include <xen/sys/gntdev.h>

static uint32_t ref;
static char *granted;
static xengnttab_handle *gt;

static void do_mmap(void)
{
	void *p = xengnttab_map_grant_ref(gt, 1, ref, PROT_READ);

	printf("mmap: errno %d\n", p ? 0 : errno);
}

static void do_copy(void)
{
	char buf[16] = "as it was";
	xengnttab_grant_copy_segment_t s = { .len = 8, .flags = 1 };
	int err;

	strcpy(granted, "changed");
	s.source.foreign.ref = ref;
	s.source.foreign.domid = 1;
	s.dest.virt = buf;
	err = xengnttab_grant_copy(gt, 1, &s) ? errno : 0;
	/* Time for a daemon that had the call and was aborted to go on with it. */
	if (err)
		sleep(1);
	printf("copy: errno %d, the buffer is %s\n", err, buf);
}

static void do_hold(void)
{
	char *p = xengnttab_map_grant_ref(gt, 1, ref, PROT_READ | PROT_WRITE);

	strcpy(p, "still there");
	puts("holding");
	getchar();
	xengnttab_set_max_grants(gt, 1);
	printf("hold: %s, ioctl errno %d\n", p, errno);
}

int main(int argc, char **argv)
{
	xengntshr_handle *gs = xengntshr_open(NULL, 0);

	setvbuf(stdout, NULL, _IOLBF, 0);
	gt = xengnttab_open(NULL, 0);
	granted = gs ? xengntshr_share_pages(gs, 0, 1, &ref, 1) : NULL;
	if (!granted || !gt || argc < 2) {
		perror("pending");
		return 1;
	}
	if (argv[1][0] == 'h') {
		do_hold();
		return 0;
	}
	puts("pending");
	if (argv[1][0] == 'm')
		do_mmap();
	else
		do_copy();
	return 0;
}
