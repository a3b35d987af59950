#!/bin/bash
# SPDX-License-Identifier: MIT
#
# init.sh - process 1 of the guest that run.sh boots: sets the machine up, runs the job, powers off
#
# $UML_DIR and $UML_TOP come from the kernel's command line.

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for dir in /dev/shm /run /tmp; do
	mount -t tmpfs -o mode=1777 tmpfs $dir
done
chmod 755 /run
# busybox's mount: util-linux's new one has no way to give a hostfs its directory on every kernel.
# A checkout that lies below one of them is shown again. The root is read-only but for $UML_DIR.
case $UML_TOP in
/tmp/* | /run/*) mkdir -p "$UML_TOP" && busybox mount -t hostfs -o "ro,$UML_TOP" none "$UML_TOP" ;;
esac
busybox mount -t hostfs -o "$UML_DIR" none "$UML_DIR"
busybox ip link set lo up
stty -opost < /dev/console

# Newer Debian kernels have compressed modules.
load_module()
{
	local path

	for path in "/usr/lib/uml/modules/$(uname -r)/kernel/$1.ko"*; do
		case $path in
		*.xz) xz -dc "$path" > /tmp/module.ko && path=/tmp/module.ko ;;
		esac
		busybox insmod "$path"
	done
}
load_module fs/fuse/fuse
load_module fs/fuse/cuse

export HOME=/root TERM=dumb LC_ALL=C.UTF-8
echo '@@begin'
bash "$UML_DIR/job"
status=$?
echo '@@end'
dmesg > "$UML_DIR/dmesg"
echo $status > "$UML_DIR/status"
busybox poweroff -f
