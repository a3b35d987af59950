/* SPDX-License-Identifier: MIT */
/*
 * xen/privcmd.h - hypercalls, through /dev/xen/privcmd
 *
 * The plain ioctls, not libxencall: its buffers are private to one process, and ours have to be
 * shared with the keeper (xen/journal.h). The ioctl's layout is a stable interface of Linux, as old as
 * the library.
 *
 * Every hypercall works on a batch of the journal, which the caller holds. Any thread.
 */
#ifndef XEN_PRIVCMD_H
#define XEN_PRIVCMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xen/journal.h"

struct privcmd;

/**
 * privcmd_open() - open the device
 * @j:   whose batches are to be used; locked in this process
 * @why: out: on failure, a message for the user
 *
 * Return: 0 and *@out, -errno.
 */
int privcmd_open(struct journal *j, struct privcmd **out, const char **why);

void privcmd_close(struct privcmd *pc);

/** privcmd_fd() - its descriptor, for the keeper and for none else */
int privcmd_fd(const struct privcmd *pc);

/** privcmd_batch_get() - a batch to fill; waits until one is free. Never NULL. */
struct journal_batch *privcmd_batch_get(struct privcmd *pc);

/** privcmd_batch_put() - give it back */
void privcmd_batch_put(struct privcmd *pc, struct journal_batch *b);

/**
 * privcmd_grant() - HYPERVISOR_grant_table_op
 * @cmd: GNTTABOP_*, on the operations of the batch
 * @n:   operations, at most JOURNAL_OPS
 *
 * The caller has set each status to JOURNAL_PENDING: what still is after an error was not carried
 * out. Return: 0 or -errno.
 */
int privcmd_grant(struct privcmd *pc, unsigned int cmd, struct journal_batch *b, size_t n);

/**
 * privcmd_give_back() - XENMEM_decrease_reservation: give frames of our own back to Xen
 * @b: b->memory.pfn has been filled
 * @n: pages, at most JOURNAL_OPS
 *
 * Return: how many pages, from the first, it was done for; -errno.
 */
long privcmd_give_back(struct privcmd *pc, struct journal_batch *b, size_t n);

/** privcmd_event() - HYPERVISOR_event_channel_op on b->send or b->port. Return: 0 or -errno. */
int privcmd_event(struct privcmd *pc, unsigned int cmd, struct journal_batch *b);

/**
 * privcmd_hypfs() - read a file of Xen's file system, into b->hypfs
 * @path: such as "/params/gnttab_max_maptrack_frames"
 *
 * Return: 0; -ENOSYS where Xen was built without it; -ENAMETOOLONG; -errno.
 */
int privcmd_hypfs(struct privcmd *pc, struct journal_batch *b, const char *path);

/**
 * privcmd_table() - map one frame of a domain's grant table, to read
 * @frame: which
 *
 * Return: 4096 bytes that the domain can change at any time, to be unmapped by privcmd_table_put();
 * NULL with errno.
 */
const volatile void *privcmd_table(struct privcmd *pc, uint16_t domid, uint32_t frame);

void privcmd_table_put(const volatile void *table);

/**
 * privcmd_node() - open privcmd for a client, restricted to one domain
 * @dirfd, @name: a device node is made there, opened, and removed again. Its file system must allow
 *                devices
 * @readonly:     the descriptor and its mappings cannot write
 *
 * With it a process can map any page of that domain. Return: the descriptor, or -errno.
 */
int privcmd_node(struct privcmd *pc, int dirfd, const char *name, bool readonly, uint16_t domid);

/* --- for the keeper, which has a descriptor and no struct privcmd ------------------------------ */

/** privcmd_call() - the ioctl. Return: what the hypercall returned: 0 or more, or -errno. */
long privcmd_call(int fd, unsigned long op, unsigned long a, unsigned long b, unsigned long c);

#endif /* XEN_PRIVCMD_H */
