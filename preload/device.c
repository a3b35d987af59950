/* SPDX-License-Identifier: MIT */
/*
 * preload/device.c - whether a file is the device
 *
 * Every program that is started with the object comes here when the kernel has no mmap for one of its
 * files. Nearly always that is somebody else's: it must not see any difference, also if a filter kills
 * for system calls that it never makes, or if it has no descriptor left. So it is the number that decides,
 * which fstat tells and which the C library's own open of a stream asks for as well; then the name that
 * the kernel has given the device in sysfs; and a device is only asked itself if its driver is CUSE's,
 * or if there is no sysfs to know that from.
 */
#include "preload/preload.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>

/*
 * The kernel gives a CUSE device a major number of its own, from those that it has for devices without
 * a fixed one: fs/char_dev.c, CHRDEV_MAJOR_DYN_*. That leaves out /dev/null, terminals and most others.
 */
static bool is_dynamic(unsigned int number)
{
	return (number >= 234 && number <= 254) || (number >= 384 && number <= 511);
}

static char *put_number(char *to, unsigned int n)
{
	char digit[10];
	int i = 0;

	do
		digit[i++] = (char)('0' + n % 10);
	while (n /= 10);
	while (i)
		*to++ = digit[--i];
	return to;
}

/* Does a string end so? */
static bool ends(const char *s, size_t n, const char *end)
{
	const size_t len = strlen(end);

	return n >= len && !memcmp(s + n - len, end, len);
}

/* What sysfs has for a device is a link to ".../virtual/cuse/NAME", '/' of the name written as '!'. */
static enum device by_name(const char *link, size_t n)
{
	static const char class[] = "/cuse/";

	if (ends(link, n, "/cuse/xen!gntdev"))
		return DEVICE_GNTDEV;
	if (ends(link, n, "/cuse/xen!gntalloc"))
		return DEVICE_GNTALLOC;
	return memmem(link, n, class, sizeof(class) - 1) ? DEVICE_UNSURE : DEVICE_NONE;
}

enum device device_of(int fd, dev_t *number)
{
	char path[48] = "/sys/dev/char/", *end = path + strlen(path);
	char link[256];
	struct stat st;
	long n;

	if (RAW(fstat, (long)fd, &st) || !S_ISCHR(st.st_mode) || !is_dynamic(major(st.st_rdev)))
		return DEVICE_NONE;
	*number = st.st_rdev;
	end = put_number(end, major(st.st_rdev));
	*end++ = ':';
	*put_number(end, minor(st.st_rdev)) = '\0';
	n = RAW(readlinkat, (long)AT_FDCWD, path, link, sizeof(link));
	/* In a chroot there may be no sysfs. */
	return n < 0 ? DEVICE_UNSURE : by_name(link, (size_t)n);
}
