/* SPDX-License-Identifier: MIT */
/*
 * preload/offset.c - GET_OFFSET_FOR_VADDR without the daemon
 *
 * libxengnttab asks the device which map is at an address, before each munmap. The daemon would have to
 * look into the address space of the caller, who may hold that up; the caller can look by itself: the kernel
 * tells which file is mapped between two addresses, and a window's name says index and count.
 *
 * So where a window was mapped is remembered, and how long it was, and of what device; no more than a hint
 * where to look, which may be wrong and may be lost. What is there is asked of the kernel each time, by
 * /proc/self/map_files: it is right after munmap, in a forked child, or if something else is there now. Only a
 * window that is there as it was mapped is answered for, at its first byte; everything else is the
 * daemon's to answer: an address inside of it, a window that was split or moved, a device of another name,
 * a kernel that lets only root look there, an argument that may not be readable or writable. (The page that
 * this function's own frame is on is: libxengnttab's argument is just above.)
 *
 * ioctl(2) of all other requests passes through, after one comparison.
 */
#include "preload/preload.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "abi/ioctl.h"

/* Windows that lie side by side, up to 32 MiB of them, have a hint each. What no window has needed takes no memory. */
#define HINTS 8192U

/**
 * struct hint - a window that was mapped
 * @start:  0: nothing; set last
 * @end:    behind it
 * @number: of the device
 */
struct hint {
	uint64_t start;
	uint64_t end;
	uint64_t number;
};

static struct hint hints[HINTS];

/* Neighbours in memory have neighbours here, wherever the first of them begins; windows of 2 MiB share none either. */
static struct hint *hint_at(uint64_t start)
{
	const uint64_t page = start / PAGE_BYTES;

	return &hints[(page + page / HINTS) % HINTS];
}

void offset_note(const void *at, size_t length, dev_t number)
{
	const uint64_t start = (uintptr_t)at;
	struct hint *h = hint_at(start);

	__atomic_store_n(&h->start, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->end, start + length, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->number, number, __ATOMIC_SEQ_CST);
	if (number)
		__atomic_store_n(&h->start, start, __ATOMIC_SEQ_CST);
}

/* Return: whether there is a hint for a window that begins there. */
static bool get_hint(uint64_t start, struct hint *hint)
{
	struct hint *h = hint_at(start);

	hint->start = __atomic_load_n(&h->start, __ATOMIC_SEQ_CST);
	hint->end = __atomic_load_n(&h->end, __ATOMIC_SEQ_CST);
	hint->number = __atomic_load_n(&h->number, __ATOMIC_SEQ_CST);
	/* Another thread may be taking note of something else: then its numbers do not go together. */
	return start && hint->start == start &&
	       __atomic_load_n(&h->start, __ATOMIC_SEQ_CST) == start;
}

static char *put_hex(char *to, uint64_t value)
{
	int shift = 60;

	while (shift && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[value >> shift & 15];
	return to;
}

/* What the kernel has mapped from the first to the last byte of it. Return: whether that is a window. */
static bool ask_name(const struct hint *h, struct window_name *name)
{
	char link[80] = "/proc/self/map_files/", *end = link + strlen(link);
	char path[256];
	long n;

	end = put_hex(end, h->start);
	*end++ = '-';
	*put_hex(end, h->end) = '\0';
	n = RAW(readlinkat, (long)AT_FDCWD, link, path, sizeof(path));
	return n > 0 && n < (long)sizeof(path) && mapped_name(path, path + n, name) &&
	       name->count == (h->end - h->start) / PAGE_BYTES;
}

/* Return: whether it was answered. The argument can be read and written. */
static bool answer(int fd, struct ioctl_gntdev_get_offset_for_vaddr *op)
{
	struct window_name name;
	struct hint hint;
	struct stat st;

	if (!get_hint(op->vaddr, &hint) || RAW(fstat, (long)fd, &st) || !S_ISCHR(st.st_mode) ||
	    st.st_rdev != hint.number || !ask_name(&hint, &name))
		return false;
	op->offset = name.index;
	op->count = (uint32_t)name.count;
	return true;
}

/* Is all of it on the page that a frame of this thread's stack begins on? */
static bool is_beside(const void *frame, const void *arg, size_t size)
{
	const uintptr_t page = (uintptr_t)frame / PAGE_BYTES, at = (uintptr_t)arg;

	return at / PAGE_BYTES == page && (at + size - 1) / PAGE_BYTES == page &&
	       at % _Alignof(struct ioctl_gntdev_get_offset_for_vaddr) == 0;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	const int before = errno;
	void *arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	/* The kernel looks at 32 bits of it. */
	if ((uint32_t)request == IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR &&
	    is_beside(__builtin_frame_address(0), arg,
		      sizeof(struct ioctl_gntdev_get_offset_for_vaddr))) {
		if (answer(fd, arg))
			return 0;
		errno = before;
	}
	return (int)PRELOAD_SYSCALL(SYS_ioctl, (long)fd, request, arg);
}
