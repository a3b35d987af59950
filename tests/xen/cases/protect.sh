# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Clients that change the protection of a window, or move it: none faults for ever, and the kernel's log
# stays quiet (a WARNING in it is a fault of the run).
. "$TOP/tests/xen/held.sh"

start_daemon
client "$CLIENTS/protect" || fail protect "ended with status $?"
check "the kernel warns of nothing" test "$(dmesg | grep -c 'WARNING:')" = 0
check "the daemon holds nothing" wait_for 5 holds_nothing
check "the daemon ends well" stop_daemon
