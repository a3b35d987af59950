/* SPDX-License-Identifier: MIT */
/*
 * xen/xen.h - the hypervisor layer of a real Xen
 *
 * The room xen/ is all that makes hypercalls, so that it can be seen whole. It promises to its users what
 * hypercall.h says, and to the machine that no page which carries a grant returns to the kernel's allocator,
 * whatever becomes of the daemon. It may include abi/, base/ and hypercall.h.
 */
#ifndef XEN_XEN_H
#define XEN_XEN_H

#include "hypercall.h"

struct hypervisor;
struct lent;

/**
 * xen_platform() - whether grants of a real Xen can be mapped here
 *
 * Return: NULL if this is dom0 of a Xen; else why not, for the user.
 */
const char *xen_platform(void);

/**
 * xen_mount() - mount the file system that windows live on
 * @path: of the window directory; made if it is not there
 *
 * A tmpfs of its own: PV windows are device nodes, which /run does not allow, and PVH windows are
 * files as large as all that is mapped. One that a killed daemon has left is taken off first.
 * Return: 0; -EBUSY if a running daemon uses it; -errno.
 */
int xen_mount(const char *path);

/** xen_unmount() - the reverse, when nothing uses it any more */
void xen_unmount(const char *path);

/**
 * xen_new() - take up work with Xen
 * @dirfd: the window directory, on the file system of xen_mount(); not needed after xen_new()
 * @lent:  who keeps what is needed to undo all that is mapped; NULL: nobody
 * @out:   out: the layer, freed by its destroy()
 * @why:   out: on failure, a message for the user
 *
 * Return: 0 or -errno.
 */
int xen_new(int dirfd, struct lent *lent, struct hypervisor **out, const char **why);

#endif /* XEN_XEN_H */
