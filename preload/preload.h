/* SPDX-License-Identifier: MIT */
/*
 * preload/preload.h - what the parts of libgntdev-mmap.so share
 *
 *   preload/preload.c  mmap: the daemon is asked for a window for who maps the device
 *   preload/window.c   what it sends is received, and mapped
 *   preload/device.c   whether a file is the device
 *   preload/mapped.c   mprotect and mremap of windows in a PV dom0, and windows' names
 *   preload/offset.c   ioctl: which map is at an address, where the kernel can tell without the daemon
 *
 * The object runs in programs that know nothing of it, in signal handlers, in constructors, after fork
 * and in a vfork child: it has no lock, no constructor, allocates nothing, and calls nothing but system
 * calls, none of them by a wrapper that is a cancellation point. man/gntdev-mmap.7.scd lists them.
 * What it remembers are addresses, to know where to ask the kernel: they may be out of date.
 *
 * The room preload/ runs in other people's programs. It promises them that they do not notice: what it does, on
 * which system calls, and what becomes of errno is told at the head of preload/preload.c. It may include abi/
 * alone.
 */
#ifndef PRELOAD_PRELOAD_H
#define PRELOAD_PRELOAD_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/xen.h"

#include <xen/sys/privcmd.h>

/* The unit tests put a function of theirs here, to make any system call fail. */
#ifndef PRELOAD_SYSCALL
#define PRELOAD_SYSCALL syscall
#endif

#define EXPORT __attribute__((visibility("default")))

#define PAGE_BYTES 4096UL

/* A system call with the kernel's own convention: 0 or more, or -errno. Integers go as long. */
#define RAW(name, ...) raw_result(PRELOAD_SYSCALL(SYS_##name, __VA_ARGS__))

/* Stops, tracers and freezers interrupt some calls although every signal is blocked. */
#define RAW_RETRY(name, ...)                           \
	({                                             \
		long ret_;                             \
		do                                     \
			ret_ = RAW(name, __VA_ARGS__); \
		while (ret_ == -EINTR);                \
		ret_;                                  \
	})

static inline long raw_result(long ret)
{
	return ret == -1 ? -(long)errno : ret;
}

/* --- preload/device.c ------------------------------------------------------------------------- */

/**
 * enum device - what a file is
 * @DEVICE_NONE:     not a device of CUSE's
 * @DEVICE_UNSURE:   may be one that cuse_gntdev serves: only an ioctl can tell
 * @DEVICE_GNTDEV:   a CUSE device named xen/gntdev
 * @DEVICE_GNTALLOC: a CUSE device named xen/gntalloc
 */
enum device {
	DEVICE_NONE,
	DEVICE_UNSURE,
	DEVICE_GNTDEV,
	DEVICE_GNTALLOC,
};

/**
 * device_of() - tell what a file is, without a descriptor, and without asking the device
 * @fd:     of any kind
 * @number: out, if it is a device of CUSE's: its number
 *
 * One system call for what is no device or has a number that no CUSE device gets, two for others. Any
 * thread, any state.
 */
enum device device_of(int fd, dev_t *number);

/* --- preload/window.c ------------------------------------------------------------------------- */

/* The caller names the address and gets no other. */
#define FIXED (MAP_FIXED | MAP_FIXED_NOREPLACE)

#define MAX_ERRNO 4095

/* What is no errno: the daemon has ended before all had come. */
#define WINDOW_ENDED (-MAX_ERRNO - 1)

/*
 * One mmap(2) of a device: what was asked for, and how far it has come.
 */
struct mapping {
	char *addr;
	uint64_t length; /* bytes, whole pages */
	int prot;
	int flags;
	int fd;
	uint64_t offset;
	bool again; /* asked before: see abi/winproto.h */

	char *base;    /* where it is, once something is there */
	bool reserved; /* all of it is ours to map over, and to be unmapped on failure */
	uint64_t done; /* bytes mapped, or whose frames are known */
	uint32_t pieces;
	uint32_t seen; /* pieces of these */

	uint16_t kind;	  /* WINDOW_* */
	uint16_t domid;	  /* WINDOW_FRAMES: whose frames; the rest is for that kind, too: */
	xen_pfn_t *frame; /* one for each page */
	int *refused;	  /* for each: 0, or what privcmd said of it */
	uint64_t size;	  /* bytes mapped to hold these two, 0 if the stack has room for them */
};

/**
 * window_prepare() - have what can fail here and not at the daemon
 *
 * Return: 0 or -errno.
 */
long window_prepare(struct mapping *m);

/**
 * window_receive() - receive the daemon's answer, and map what comes
 * @sock: where it comes
 *
 * Return: 0; -errno; WINDOW_ENDED: window_forget() is due before it is asked again.
 */
long window_receive(struct mapping *m, long sock);

/** window_forget() - be as before window_receive(). Return: 0 or -errno */
long window_forget(struct mapping *m);

/* --- preload/mapped.c ------------------------------------------------------------------------- */

/**
 * mapped_frames() - take note of a window of frames (WINDOW_FRAMES)
 * @at:     where it was mapped
 * @length: bytes
 *
 * From now on mprotect and mremap look whether it is there. Any thread.
 */
void mapped_frames(const void *at, size_t length);

/**
 * struct window_name - what the name of a window's file says of it
 * @index: the map's, bytes
 * @count: pages
 */
struct window_name {
	uint64_t index;
	uint64_t count;
};

/**
 * mapped_name() - read the name of a window
 * @path: as the kernel tells the path of a mapped file, to @end
 *
 * Return: whether it is a window's; then *@name.
 */
bool mapped_name(const char *path, const char *end, struct window_name *name);

/* --- preload/offset.c ------------------------------------------------------------------------- */

/**
 * offset_note() - take note that a window was mapped
 * @at:     where
 * @length: bytes
 * @number: of the device, if it is xen/gntdev and the window is one mapping; else 0
 *
 * Any thread.
 */
void offset_note(const void *at, size_t length, dev_t number);

#endif /* PRELOAD_PRELOAD_H */
