# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# lib.sh - the verbs of the test cases that run in dom0 of a real Xen: those of tests/uml, and these
#
# $COMBO is the name of the run, $TARGET the release that Xen and the kernel are of, $GUEST_TYPE what
# dom0 is (PV or PVH), $CLIENTS where the programs of tests/xen are, compiled for that Xen.

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

# start_daemon [OPTION...]: as tests/uml's, on the real Xen; the one with sanitizers if $ASAN is set
start_daemon()
{
	local option node=xen/gntdev run_dir=/run/cuse-gntdev

	for option in "$@"; do
		case $option in
		--name=*) node=${option#*=} ;;
		--run-dir=*) run_dir=${option#*=} ;;
		esac
	done
	"$BUILD/${ASAN:+asan/}cuse_gntdev" --xen "$@" >>"$CASE_DIR/daemon.log" 2>&1 &
	DAEMON=$!
	daemon_node[$DAEMON]=$node
	daemon_run_dir[$DAEMON]=$run_dir
	wait_for 20 daemon_has_settled $DAEMON
	daemon_is_ready $DAEMON || bail "the daemon has ended, or is not ready after 20 s"
}

# toolstack COMMAND...: a program of the target's own, in its root file system
toolstack()
{
	local xen

	xen=$(echo /dom0/usr/lib/xen-4.*/bin)
	chroot /dom0 /bin/env PATH="${xen#/dom0}:/usr/bin:/bin" "$@"
}
