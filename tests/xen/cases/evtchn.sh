# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The behaviour of /dev/xen/evtchn, on the kernel's device and on the simulator's, laid side by side.
walk()
{
	"${@:2}" >"$1" 2>"$1.err" || { cat "$1.err"; return 1; }
}

check "the walk on the kernel's device" walk kernel "$CLIENTS/evtchn" /dev/xen/evtchn
HYPERVISOR=--sim start_daemon --name=xen/simulated --granter=none --evtchn=0:xen/simulated-evtchn
check "the walk on ours" walk ours "$CLIENTS/evtchn" /dev/xen/simulated-evtchn
check "the daemon ends well" stop_daemon
awk -v where="$TARGET-${GUEST_TYPE,,}" -v table=table -f "$TOP/tests/xen/conform.awk" \
	"$TOP/tests/xen/evtchn.differences" kernel ours
