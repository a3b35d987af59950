#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: MIT
#
# init.sh - process 1 of the guest: answers dom0, and has a shell on its console

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in xen-evtchn xen-gntalloc; do
	insmod /modules/$module.ko
done
/host/ld-linux-x86-64.so.2 --library-path /host /bin/guest &
export PS1='guest# ' HOME=/
while :; do
	setsid cttyhack sh
done
