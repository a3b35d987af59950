# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The daemon with sanitizers: what it makes of clients that misbehave, are killed, and of its own end. And a client
# with them, which needs more of an address space than User-Mode Linux has.
. "$TOP/tests/xen/held.sh"

run() { client "$CLIENTS/$1" "${@:2}" || fail "$1 $2" "ended with status $?"; }

ASAN=1 start_daemon
less_memory
run cycles run "${XEN_TEST_CYCLES:-200}"
run windows calm
[ "$GUEST_TYPE" = PV ] || run windows quarantine "$DAEMON"
check "the daemon holds nothing" wait_for 5 holds_nothing
check "the daemon ends well" stop_daemon
check "the kernel's gntalloc goes" unload_module xen-gntalloc
HYPERVISOR=--sim start_daemon --sim-port=5:1 --evtchn=none
check "a client with AddressSanitizer" client "$BUILD/asan/tests/uml/cycles" 100
check "the daemon for it ends well" stop_daemon
check "the kernel's gntalloc is back" load_module xen-gntalloc
check "no sanitizer has a complaint" test -z "$(grep -E 'Sanitizer|runtime error' "$CASE_DIR/daemon.log")"
