/* SPDX-License-Identifier: MIT */
/*
 * holdup.c - a client whose arguments lie in memory that nobody fills in: holdup N
 *
 * N threads make an ioctl each with an argument in a page registered with userfaultfd. Whoever
 * touches it waits. Says "holding" when they have been sent off, and waits for the end of its input.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xen/sys/gntdev.h>

static int fd;

static void *hold(void *page)
{
	ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, page);
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1;
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	pthread_t t;
	char *pages;

	fd = open("/dev/xen/gntdev", O_RDWR);
	pages = mmap(NULL, (size_t)n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	reg.range.start = (uintptr_t)pages;
	reg.range.len = (size_t)n * 4096;
	if (fd < 0 || uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg)) {
		perror("holdup");
		return 1;
	}
	for (int i = 0; i < n; i++)
		pthread_create(&t, NULL, hold, pages + (size_t)i * 4096);
	usleep(200000);
	puts("holding");
	fflush(stdout);
	getchar();
	_exit(0);
}
