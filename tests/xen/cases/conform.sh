# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Every row of the driver's specification, on the kernel's device and on ours, laid side by side.
# What rows provoke on purpose: references that are not granted, copies from foreign pages.
complain '\(XEN\).*(d[0-9v]+ Error mfn|grant_table\.c|gnttab)'

# walk NAME PROGRAM...: to the file NAME
walk()
{
	"${@:2}" >"$1" 2>"$1.err" || { cat "$1.err"; return 1; }
}

kernel_driver_on
check "the walk on the kernel's device" walk kernel "$CLIENTS/conform" -s 60 /dev/xen/gntdev
kernel_driver_off
start_daemon
check "the walk on ours" walk ours client "$CLIENTS/conform" -o -s 300 /dev/xen/gntdev
check "the daemon ends well" stop_daemon
awk -v where="$TARGET-${GUEST_TYPE,,}" -v table=table -f "$TOP/tests/xen/conform.awk" \
	"$TOP/tests/xen/differences" kernel ours
