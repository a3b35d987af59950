/* SPDX-License-Identifier: MIT */
/*
 * abi/xen.h - Xen's public headers: everything that includes them does so here
 *
 * They are written for the hypervisor and all its guests, old ones too, and want to be told which
 * version of the interface is spoken. Ours is that of Xen 4.13: what we use has not changed since.
 */
#ifndef ABI_XEN_H
#define ABI_XEN_H

#include <stdint.h>

#ifndef __XEN_INTERFACE_VERSION__
/* NOLINTNEXTLINE(bugprone-reserved-identifier): it is Xen's name */
#define __XEN_INTERFACE_VERSION__ 0x00040d00
#endif

#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hypfs.h>
#include <xen/memory.h>

#endif /* ABI_XEN_H */
