# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A client that lets the daemon wait for its memory holds up nobody but itself.
start_daemon --sim-port=5:1
mkfifo go
"$BUILD/tests/uml/holdup" 80 <go >holdup.out 2>&1 &
holder=$!
exec {go}>go
check "a client makes 80 calls that wait for its memory" wait_for 5 grep -q holding holdup.out
check "others are served" timeout 20 "$BUILD/gntdev-run" "$BUILD/tests/uml/cycles" 100
kill -TERM "$DAEMON"
check "the daemon ends all the same" wait_for 5 daemon_has_ended "$DAEMON"
wait "$DAEMON"
check "and well: they wait for memory, and nothing is left" test $? -eq 0
unset "daemon_node[$DAEMON]"
check "its node goes" wait_for 2 test ! -e /dev/xen/gntdev
echo >&"$go"
wait $holder
start_daemon --sim-port=5:1
check "the next daemon works" client "$BUILD/tests/uml/cycles" 10
check "and ends well" stop_daemon
