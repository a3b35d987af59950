# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Maps and unmaps, with clients killed at it: nothing is left mapped, no page and no frame is lost.
. "$TOP/tests/xen/held.sh"

CYCLES=${XEN_TEST_CYCLES:-800}

start_daemon
before=$(frames)
client "$CLIENTS/cycles" run "$CYCLES"
check "the daemon holds nothing" wait_for 5 holds_nothing
check "Xen knows of no mapped grant" test "$(grants_in_use)" = 0
check "dom0 has all its frames" test "$(frames)" = "$before"
check "the daemon ends well" stop_daemon
