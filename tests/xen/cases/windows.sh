# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What clients do to their windows, while memory is scarce: the granter's pages and dom0's stay what
# they are, and every frame comes back.
. "$TOP/tests/xen/held.sh"

# Part of dom0's memory goes to compressed memory and comes back.
swap_on()
{
	load_module zram && echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0
}

swap_off() { swapoff /dev/zram0 && unload_module zram; }

misuse()
{
	client "$CLIENTS/windows" "$@" || fail "windows $1" "ended with status $?"
}

start_daemon
less_memory
before=$(frames)
check "there is swap" swap_on
misuse all
check "swap goes" swap_off
check "the daemon holds nothing" wait_for 5 holds_nothing
check "Xen knows of no mapped grant" test "$(grants_in_use)" = 0
check "dom0 has all its frames" test "$(frames)" = "$before"
if [ "$GUEST_TYPE" = PVH ]; then
	misuse quarantine "$DAEMON"
	check "dom0 has all its frames again" test "$(frames)" = "$before"
fi
check "the daemon ends well" stop_daemon
