/* SPDX-License-Identifier: MIT */
/*
 * preload/mapped.c - mprotect(2) and mremap(2) of windows in a PV dom0
 *
 * There the page table entries of a window hold another domain's frames, and Xen lets only privcmd write
 * such entries. When the kernel changes a protection it writes them itself: Xen refuses, the kernel logs
 * a WARNING, takes the change for done, and the entry stays what it was. If that was an entry without
 * access, which Xen sees as an empty one, the kernel takes the faults that follow for those of its NUMA
 * balancing and writes the entry again: for ever, with a WARNING each time. A mapping that is moved ends
 * empty, with a WARNING for each page.
 *
 * The kernel offers privcmd no say in this (it has one in unmapping a part: EINVAL), and nothing but
 * privcmd could fill a window again, once. So what cannot be done is refused here: mprotect with EACCES,
 * mremap to another place with EINVAL. The window stays as it is, as do other mappings in the range. (The
 * kernel's own driver reports success, and takes the grants away: the next access is SIGBUS.)
 *
 * As with the driver a child does not inherit the mapping, and it cannot grow. Unlike the driver's it
 * cannot be split: to unmap or replace a part of it is EINVAL (since CVE-2026-31787; in Linux 6.1 from
 * .170).
 *
 * All programs pay for this, so what they pay is two loads: of the lowest and the highest address where
 * this process has ever had a window of frames. Only between those is the kernel asked what lies in the
 * range, by /proc/self/maps: windows have names that nothing else has. If it cannot be read nothing is
 * refused.
 */
#include "preload/preload.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

/* As much as the kernel gives at a time, so that lines come whole. */
#define MAPS_BYTES 4096

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

/* Addresses of windows of frames were between these. Never shrinks. */
static uintptr_t lowest = UINTPTR_MAX, highest;

/**
 * struct change - what somebody wants to do to his address space
 * @prot: that all of the range is to have; -1: to move it
 */
struct change {
	uintptr_t start, end;
	int prot;
};

void mapped_frames(const void *at, size_t length)
{
	const uintptr_t start = (uintptr_t)at, end = start + length;
	uintptr_t was = __atomic_load_n(&lowest, __ATOMIC_RELAXED);

	while (start < was && !__atomic_compare_exchange_n(&lowest, &was, start, false,
							   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	was = __atomic_load_n(&highest, __ATOMIC_RELAXED);
	while (end > was && !__atomic_compare_exchange_n(&highest, &was, end, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

/* Up to @most digits of a number in base 16. Return: how many there are. */
static size_t hex_digits(const char *s, const char *end, size_t most)
{
	size_t n = 0;

	while (n < most && s + n < end &&
	       ((s[n] >= '0' && s[n] <= '9') || (s[n] >= 'a' && s[n] <= 'f')))
		n++;
	return n;
}

static bool get_hex(const char **s, const char *end, char follows, uint64_t *value)
{
	const size_t n = hex_digits(*s, end, 16);

	if (!n || *s + n >= end || (*s)[n] != follows)
		return false;
	for (*value = 0; **s != follows; ++*s)
		*value = *value << 4 | (uint64_t)(**s <= '9' ? **s - '0' : **s - 'a' + 10);
	++*s;
	return true;
}

/* Four numbers, the first and the last of 16 digits; the file has been deleted. */
bool mapped_name(const char *path, const char *end, struct window_name *name)
{
	static const char deleted[] = " (deleted)";
	const char *start, *s;
	uint64_t id;

	for (start = end; start > path && start[-1] != '/'; start--)
		;
	s = start;
	if (!get_hex(&s, end, '.', &id) || s != start + 17 ||
	    !get_hex(&s, end, '.', &name->index) || !get_hex(&s, end, '.', &name->count) ||
	    hex_digits(s, end, 17) != 16)
		return false;
	s += 16;
	return (size_t)(end - s) == sizeof(deleted) - 1 && !memcmp(s, deleted, sizeof(deleted) - 1);
}

static int prot_of(const char perms[4])
{
	return (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
	       (perms[2] == 'x' ? PROT_EXEC : 0);
}

/* A line of maps: "START-END rwxs OFFSET MAJOR:MINOR INODE   NAME". Is it a window that would change? */
static bool would_change(const char *s, const char *end, const struct change *c)
{
	struct window_name name;
	uint64_t from, to;

	return get_hex(&s, end, '-', &from) && get_hex(&s, end, ' ', &to) && end - s > 4 &&
	       from < c->end && to > c->start && prot_of(s) != c->prot &&
	       mapped_name(s, end, &name);
}

static bool look_through(long maps, const struct change *c)
{
	char buf[MAPS_BYTES];
	size_t have = 0;
	long n;

	while ((n = RAW_RETRY(read, maps, buf + have, sizeof(buf) - have)) > 0) {
		const char *line = buf, *end;

		have += (size_t)n;
		while ((end = memchr(line, '\n', (size_t)(buf + have - line)))) {
			if (would_change(line, end, c))
				return true;
			line = end + 1;
		}
		have = (size_t)(buf + have - line);
		/* A line so long is no window's. */
		if (have == sizeof(buf))
			have = 0;
		/* Not memmove(): hardened, it would be a function that musl does not have. */
		for (size_t i = 0; i < have; i++)
			buf[i] = line[i];
	}
	return false;
}

/* A handler that leaves by longjmp(3) would leave the descriptor behind. */
static __attribute__((noinline)) bool ask_kernel(const struct change *c)
{
	const uint64_t all = ~UINT64_C(0);
	bool found = false;
	uint64_t mask;
	long maps;

	if (RAW(rt_sigprocmask, (long)SIG_SETMASK, &all, &mask, sizeof(mask)))
		return false;
	maps = RAW_RETRY(openat, (long)AT_FDCWD, "/proc/self/maps", (long)(O_RDONLY | O_CLOEXEC),
			 0L);
	if (maps >= 0) {
		found = look_through(maps, c);
		RAW(close, maps);
	}
	RAW(rt_sigprocmask, (long)SIG_SETMASK, &mask, 0L, sizeof(mask));
	return found;
}

/* Is there a window of frames that this would break? errno stays. */
static bool breaks_window(const void *addr, size_t length, int prot)
{
	const int before = errno;
	const struct change c = {
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + length,
		.prot = prot,
	};
	bool breaks;

	if (c.start >= __atomic_load_n(&highest, __ATOMIC_RELAXED) ||
	    c.end <= __atomic_load_n(&lowest, __ATOMIC_RELAXED))
		return false;
	breaks = ask_kernel(&c);
	errno = before;
	return breaks;
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

static int protect(void *addr, size_t length, int prot)
{
	if (breaks_window(addr, length, prot & RWX))
		return refuse(EACCES);
	return (int)PRELOAD_SYSCALL(SYS_mprotect, addr, length, (long)prot);
}

EXPORT int mprotect(void *addr, size_t length, int prot)
{
	return protect(addr, length, prot);
}

/* A protection key is in the page table entries, too. */
EXPORT int pkey_mprotect(void *addr, size_t length, int prot, int pkey)
{
	if (pkey == -1)
		return protect(addr, length, prot);
	if (breaks_window(addr, length, -1))
		return refuse(EACCES);
	return (int)PRELOAD_SYSCALL(SYS_pkey_mprotect, addr, length, (long)prot, (long)pkey);
}

/* As the C library, which passes on what may not be there. */
EXPORT void *mremap(void *addr, size_t length, size_t new_length, int flags, ...)
{
	void *to;
	va_list ap;

	va_start(ap, flags);
	to = va_arg(ap, void *);
	va_end(ap);
	/* Otherwise the kernel says no: EFAULT to growing, EINVAL to shrinking. */
	if ((flags & MREMAP_FIXED) && breaks_window(addr, length, -1))
		return (void *)(intptr_t)refuse(EINVAL);
	return (void *)PRELOAD_SYSCALL(SYS_mremap, addr, length, new_length, (long)flags, to);
}
