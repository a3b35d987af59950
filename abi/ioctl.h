/* SPDX-License-Identifier: MIT */
/*
 * abi/ioctl.h - the kernel drivers' ioctl ABI, held to its layout
 *
 * The structures are those of Xen's own headers (libxen-dev); what is asserted here is what a
 * client on x86-64 Linux passes, byte for byte (docs/gntdev-abi.md, section 2). A header that moved a
 * field would break every client silently: it breaks the build instead.
 *
 * The room abi/ is what others speak: the drivers' ioctls, Xen's interface, the protocol between preload object
 * and daemon, the version. It promises everybody that no layout changes unnoticed. It may include nothing of
 * ours.
 */
#ifndef ABI_IOCTL_H
#define ABI_IOCTL_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <xen/sys/gntdev.h>

/*
 * gntalloc.h repeats the two notify macros that gntdev.h has already defined, with the same
 * values, so both headers can be included.
 */
#include <xen/sys/gntalloc.h>

#define ABI_PAGE_SHIFT 12
#define ABI_PAGE_SIZE  4096UL

/* Bytes of a MAP_GRANT_REF argument before its variable array of refs. */
#define ABI_MAP_REFS_OFFSET offsetof(struct ioctl_gntdev_map_grant_ref, refs)
/* Bytes of an ALLOC_GREF argument before its variable array of gref ids. */
#define ABI_ALLOC_GREFS_OFFSET offsetof(struct ioctl_gntalloc_alloc_gref, gref_ids)

#define ABI_FIELD(type, field, off, size)                                                     \
	static_assert(offsetof(type, field) == (off) && sizeof(((type *)0)->field) == (size), \
		      #type "." #field)
#define ABI_SIZE(type, size)  static_assert(sizeof(type) == (size), #type)
#define ABI_IOCTL(cmd, value) static_assert((cmd) == (value), #cmd)

ABI_IOCTL(IOCTL_GNTDEV_MAP_GRANT_REF, 0x00184700);
ABI_SIZE(struct ioctl_gntdev_map_grant_ref, 24);
ABI_FIELD(struct ioctl_gntdev_map_grant_ref, count, 0, 4);
ABI_FIELD(struct ioctl_gntdev_map_grant_ref, index, 8, 8);
ABI_FIELD(struct ioctl_gntdev_map_grant_ref, refs, 16, 8);
ABI_SIZE(struct ioctl_gntdev_grant_ref, 8);
ABI_FIELD(struct ioctl_gntdev_grant_ref, domid, 0, 4);
ABI_FIELD(struct ioctl_gntdev_grant_ref, ref, 4, 4);

ABI_IOCTL(IOCTL_GNTDEV_UNMAP_GRANT_REF, 0x00104701);
ABI_SIZE(struct ioctl_gntdev_unmap_grant_ref, 16);
ABI_FIELD(struct ioctl_gntdev_unmap_grant_ref, index, 0, 8);
ABI_FIELD(struct ioctl_gntdev_unmap_grant_ref, count, 8, 4);

ABI_IOCTL(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, 0x00184702);
ABI_SIZE(struct ioctl_gntdev_get_offset_for_vaddr, 24);
ABI_FIELD(struct ioctl_gntdev_get_offset_for_vaddr, vaddr, 0, 8);
ABI_FIELD(struct ioctl_gntdev_get_offset_for_vaddr, offset, 8, 8);
ABI_FIELD(struct ioctl_gntdev_get_offset_for_vaddr, count, 16, 4);

ABI_IOCTL(IOCTL_GNTDEV_SET_MAX_GRANTS, 0x00044703);
ABI_SIZE(struct ioctl_gntdev_set_max_grants, 4);

ABI_IOCTL(IOCTL_GNTDEV_SET_UNMAP_NOTIFY, 0x00104707);
ABI_SIZE(struct ioctl_gntdev_unmap_notify, 16);
ABI_FIELD(struct ioctl_gntdev_unmap_notify, index, 0, 8);
ABI_FIELD(struct ioctl_gntdev_unmap_notify, action, 8, 4);
ABI_FIELD(struct ioctl_gntdev_unmap_notify, event_channel_port, 12, 4);

ABI_IOCTL(IOCTL_GNTDEV_GRANT_COPY, 0x00104708);
ABI_SIZE(struct ioctl_gntdev_grant_copy, 16);
ABI_FIELD(struct ioctl_gntdev_grant_copy, count, 0, 4);
ABI_FIELD(struct ioctl_gntdev_grant_copy, segments, 8, 8);
ABI_SIZE(struct ioctl_gntdev_grant_copy_segment, 24);
ABI_FIELD(struct ioctl_gntdev_grant_copy_segment, source, 0, 8);
ABI_FIELD(struct ioctl_gntdev_grant_copy_segment, dest, 8, 8);
ABI_FIELD(struct ioctl_gntdev_grant_copy_segment, len, 16, 2);
ABI_FIELD(struct ioctl_gntdev_grant_copy_segment, flags, 18, 2);
ABI_FIELD(struct ioctl_gntdev_grant_copy_segment, status, 20, 2);

ABI_IOCTL(IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, 0x00144709);
ABI_IOCTL(IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED, 0x0008470a);
ABI_IOCTL(IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, 0x0014470b);
ABI_IOCTL(IOCTL_GNTDEV_DMABUF_IMP_RELEASE, 0x0008470c);

ABI_IOCTL(IOCTL_GNTALLOC_ALLOC_GREF, 0x00184705);
ABI_SIZE(struct ioctl_gntalloc_alloc_gref, 24);
ABI_FIELD(struct ioctl_gntalloc_alloc_gref, domid, 0, 2);
ABI_FIELD(struct ioctl_gntalloc_alloc_gref, flags, 2, 2);
ABI_FIELD(struct ioctl_gntalloc_alloc_gref, count, 4, 4);
ABI_FIELD(struct ioctl_gntalloc_alloc_gref, index, 8, 8);
ABI_FIELD(struct ioctl_gntalloc_alloc_gref, gref_ids, 16, 4);

ABI_IOCTL(IOCTL_GNTALLOC_DEALLOC_GREF, 0x00104706);
ABI_SIZE(struct ioctl_gntalloc_dealloc_gref, 16);
ABI_FIELD(struct ioctl_gntalloc_dealloc_gref, index, 0, 8);
ABI_FIELD(struct ioctl_gntalloc_dealloc_gref, count, 8, 4);

ABI_IOCTL(IOCTL_GNTALLOC_SET_UNMAP_NOTIFY, 0x00104707);
ABI_SIZE(struct ioctl_gntalloc_unmap_notify, 16);

#endif /* ABI_IOCTL_H */
