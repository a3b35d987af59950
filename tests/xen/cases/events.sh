# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Unmap notifications, received by the granter, also when the one who bound the port has closed it or died.
. "$TOP/tests/xen/held.sh"

start_daemon
client "$CLIENTS/events" || fail "events" "ended with status $?"
check "the daemon holds nothing" wait_for 5 holds_nothing
check "the daemon ends well" stop_daemon
