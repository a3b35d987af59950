#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: MIT
#
# init.sh - process 1 of dom0: mounts, modules, the job, and how it ended to run.sh
#
# This root file system is the target's: Xen's tools with their own libraries. The job runs in
# /host, with the libraries of the machine that built it; there, /dom0 is this root again.

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
ln -s /proc/self/fd /dev/fd
for dir in dev/shm run tmp; do
	mount -t tmpfs -o mode=1777 tmpfs /$dir
done
chmod 755 /run
mkdir -p /run/lock /run/xen /run/xenstored /tmp/results
ip link set lo up

# In their order, all but the driver that the tests compare with, and what only some ask for.
while read -r module; do
	case $module in
	xen-gntdev | zram | zsmalloc | lz4* | overlay) ;;
	*) insmod "/modules/$module.ko" ;;
	esac
done </modules/order
mount -t xenfs xenfs /proc/xen

mount -o rbind / /host/dom0
for dir in proc sys dev run tmp; do
	mount -o rbind /$dir /host/$dir
done

mkfifo /tmp/out
port 0x5e1 </tmp/out &
port=$!
chroot /host /bin/bash /project/job >/tmp/out 2>&1
status=$?
# Whatever it left running would keep the pipe open. (Threads of the kernel have no program.)
for process in /proc/[0-9]*; do
	case ${process#/proc/} in
	1 | "$port") ;;
	*) [ ! -e "$process/exe" ] || kill -KILL "${process#/proc/}" 2>/dev/null ;;
	esac
done
wait $port

dmesg >/tmp/results/dmesg
tar -C /tmp/results -c . | port 0x5e2
echo "@@end $status" | port 0x5e1
# run.sh ends the emulator now.
sleep 100
reboot -f
