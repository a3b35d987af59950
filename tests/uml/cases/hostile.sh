# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Clients that speak the window protocol and mean no good.
start_daemon --sim-port=5:1
mkfifo go
"$BUILD/gntdev-run" "$BUILD/examples/granter" 0 <go >granter.out 2>&1 &
granter=$!
exec 7>go # held open: the granter ends with its input
wait_for 5 grep -q refs granter.out
ref=$(sed -n 's/refs: //p' granter.out)

check_output "no writable window of a read-only open" '^readonly: Permission denied$' \
	"$BUILD/tests/uml/hostile" readonly 1 "$ref"

"$BUILD/tests/uml/hostile" linger /run/cuse-gntdev/xen-gntdev.sock >linger.out 2>&1 &
linger=$!
wait_for 5 grep -q sent linger.out
busybox usleep 1000000
check "sockets that linger hold up nobody for long" \
	timeout 20 "$BUILD/gntdev-run" "$BUILD/examples/mapper" 1 "$ref"
check_output "a truncated machine" '^truncate: done$' "$BUILD/tests/uml/hostile" truncate 1 "$ref"
busybox usleep 300000
check "does not kill the daemon" kill -0 "$DAEMON"
kill -KILL $granter $linger
wait $granter $linger 2>/dev/null
check "the daemon ends well" stop_daemon
