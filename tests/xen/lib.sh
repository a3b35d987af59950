# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# lib.sh - the verbs of the test cases that run in dom0 of a real Xen: those of tests/uml, and these
#
# $COMBO is the name of the run, $TARGET the release that Xen and the kernel are of, $GUEST_TYPE what
# dom0 is (PV or PVH), $CLIENTS where the programs of tests/xen are, compiled for that Xen.

HYPERVISOR=--xen
. "$TOP/tests/uml/lib.sh"

CLIENTS=$BUILD/xen/$TARGET
GUEST_TYPE=$(cat /sys/hypervisor/guest_type)
export CLIENTS GUEST_TYPE

# complain PATTERN: from here to the end of the case, lines of Xen and the kernel that match PATTERN
# (extended regular expression) are what the case provokes, and no fault of anybody's
complain()
{
	echo "@@complain $1" >/dev/console
}

# load_module NAME, unload_module NAME: a module of $TARGET's kernel, with those that it needs
load_module()
{
	local module

	while read -r module; do
		case $module in
		"$1" | zsmalloc | lz4*) insmod "/dom0/modules/$module.ko" 2>/dev/null ;;
		esac
	done </dom0/modules/order
	[ -d "/sys/module/${1//-/_}" ]
}

unload_module()
{
	rmmod "${1//-/_}"
}

# kernel_driver_on, kernel_driver_off: the kernel's xen-gntdev, with which ours is compared
kernel_driver_on()
{
	load_module xen-gntdev
	[ -c /dev/xen/gntdev ] || bail "the kernel's xen-gntdev is not there"
}

kernel_driver_off()
{
	unload_module xen-gntdev || bail "the kernel's xen-gntdev is in use"
}

# toolstack COMMAND...: a program of the target's own, in its root file system
toolstack()
{
	local xen

	xen=$(echo /dom0/usr/lib/xen-4.*/bin)
	chroot /dom0 /bin/env PATH="${xen#/dom0}:/usr/bin:/bin" "$@"
}
