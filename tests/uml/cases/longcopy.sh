# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A GRANT_COPY that takes long holds up nobody, and whoever makes it can be killed.
is_copying() { grep -q '^State:.[DRS]' "/proc/$copier/status"; }
has_ended() { ! is_copying; }
start_daemon --sim-port=5:1
"$BUILD/tests/uml/longcopy" 1000 >out
check_output "one of a thousand segments" "copied: 0" tail -n 1 out
"$BUILD/tests/uml/longcopy" 100000000 >out &
copier=$!
check "a client copies a hundred million segments" wait_for 20 grep -q copying out
sleep 0.5
check "others are served" timeout 20 "$BUILD/gntdev-run" "$BUILD/tests/uml/cycles" 10
check "it is still at it" is_copying
kill -KILL $copier
check "and ends when it is killed" wait_for 5 has_ended
wait $copier
check "the daemon ends well" stop_daemon
